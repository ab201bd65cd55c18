//! Text from the wire, and how values are displayed.

use std::fmt::{self, Write};

/// A string from the wire. Keeps its bytes unchanged, and shows them so that they cannot harm a terminal or a log.
///
/// `Display` and `Debug` replace bytes that are not UTF-8 by U+FFFD, escape characters that control the terminal,
/// reorder text or are invisible, and stop after [`SHOWN`](Self::SHOWN) characters. [`as_bytes`](Self::as_bytes)
/// returns all bytes.
///
/// ```
/// use kaspa_peer::wire::WireString;
///
/// let reason = WireString::from("dust\x1b[2J");
/// assert_eq!(reason.to_string(), r"dust\u{1b}[2J");
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WireString(Vec<u8>);

impl WireString {
    /// How many characters are shown. After them, only the length in bytes is shown.
    pub const SHOWN: usize = 512;

    /// A string of these bytes.
    #[must_use]
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// The bytes, unchanged.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text if it is UTF-8. It is not sanitised, so do not print it.
    #[must_use]
    pub fn to_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

impl From<&str> for WireString {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<String> for WireString {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<&[u8]> for WireString {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

impl From<Vec<u8>> for WireString {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl AsRef<[u8]> for WireString {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq<str> for WireString {
    fn eq(&self, text: &str) -> bool {
        self.0 == text.as_bytes()
    }
}

impl PartialEq<&str> for WireString {
    fn eq(&self, text: &&str) -> bool {
        *self == **text
    }
}

impl fmt::Display for WireString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        padded(f, |f| write_sanitised(&self.0, misleads, f))
    }
}

/// Writes a value so that its `Display` honours width, alignment and precision, as that of `str` does.
pub(crate) fn padded(
    f: &mut fmt::Formatter<'_>,
    write: impl Fn(&mut fmt::Formatter<'_>) -> fmt::Result,
) -> fmt::Result {
    struct Unpadded<W>(W);

    impl<W: Fn(&mut fmt::Formatter<'_>) -> fmt::Result> fmt::Display for Unpadded<W> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0(f)
        }
    }

    if f.width().is_none() && f.precision().is_none() { write(f) } else { f.pad(&Unpadded(write).to_string()) }
}

/// Text that the program may have taken from a remote, shown like a [`WireString`].
pub(crate) struct Sanitised<'a>(pub &'a str);

impl fmt::Display for Sanitised<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        padded(f, |f| write_sanitised(self.0.as_bytes(), misleads, f))
    }
}

impl fmt::Debug for WireString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        // Quotes and backslashes are escaped too, so that the text cannot seem to end early.
        write_sanitised(&self.0, |character| misleads(character) || matches!(character, '"' | '\\'), f)?;
        f.write_char('"')
    }
}

fn write_sanitised(bytes: &[u8], escaped: impl Fn(char) -> bool, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    // A character has at most four bytes, so the bytes after these are not shown.
    let shown = bytes.get(..4 * WireString::SHOWN).unwrap_or(bytes);
    let mut written = 0;
    for chunk in shown.utf8_chunks() {
        let invalid = (!chunk.invalid().is_empty()).then_some(char::REPLACEMENT_CHARACTER);
        for character in chunk.valid().chars().chain(invalid) {
            if written == WireString::SHOWN {
                return write!(f, "… ({} bytes)", bytes.len());
            }
            written += 1;
            if escaped(character) { write!(f, "{}", character.escape_unicode())? } else { f.write_char(character)? }
        }
    }
    if shown.len() < bytes.len() { write!(f, "… ({} bytes)", bytes.len()) } else { Ok(()) }
}

/// `true` if a character moves the cursor, reorders or hides text, or is invisible: control characters, format
/// characters and Unicode's default ignorable characters.
fn misleads(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_controls_are_escaped() {
        let hostile = WireString::from("a\u{1b}]0;x\u{7}b\r\n\u{202e}c\u{9b}d");
        assert_eq!(hostile.to_string(), r"a\u{1b}]0;x\u{7}b\u{d}\u{a}\u{202e}c\u{9b}d");
    }

    #[test]
    fn invisible_characters_are_escaped() {
        for hidden in ['\u{34f}', '\u{1160}', '\u{180e}', '\u{3164}', '\u{fe0f}', '\u{ffa0}', '\u{1d17a}', '\u{e0101}']
        {
            let text = WireString::from(format!("a{hidden}b"));
            assert_eq!(text.to_string(), format!("a{}b", hidden.escape_unicode()));
        }
    }

    #[test]
    fn quotes_and_backslashes_are_escaped_within_quotes() {
        let forger = WireString::from("a\", \"b\\");
        assert_eq!(format!("{forger:?}"), r#""a\u{22}, \u{22}b\u{5c}""#);
        assert_eq!(forger.to_string(), "a\", \"b\\");
    }

    #[test]
    fn bytes_that_are_not_utf8_are_replaced_when_shown_and_kept() {
        let odd = WireString::from_bytes([b'a', 0xff, b'b']);
        assert_eq!(odd.to_string(), "a\u{fffd}b");
        assert_eq!(odd.as_bytes(), [b'a', 0xff, b'b']);
    }

    #[test]
    fn width_alignment_and_precision_are_honoured() {
        let text = WireString::from("a\u{7}");
        assert_eq!(format!("{text:>8}|{text:<8}|{text:.2}"), r"  a\u{7}|a\u{7}  |a\");
    }

    #[test]
    fn types_that_are_printed_in_tables_honour_width_alignment_and_precision() {
        use crate::wire::*;
        let (hash, ping) = (Hash::of(b"hash"), Message::from(Ping { nonce: 7 }));
        let values: [&dyn fmt::Display; 18] = [
            &hash,
            &SubnetworkId::COINBASE,
            &Outpoint { id: hash, index: 7 },
            &Network::Simnet,
            &Network::Custom(7),
            &Inventory::tx(hash),
            &InventoryType::TX,
            &InventoryType(99),
            &Services::BLOOM,
            &Services::from_bits_retain(0x101),
            &Command::Ping,
            &CustomMessage::new("hello", []).unwrap().command,
            &RejectCode::DUST,
            &RejectCode(0xee),
            &UserAgent::from_bytes("/a:1/"),
            &WireString::from("text"),
            &ping,
            &ping.summary(),
        ];
        for value in values {
            let text = value.to_string();
            assert_eq!(
                format!("{value:>100}|{value:<100}|{value:*^100}"),
                format!("{text:>100}|{text:<100}|{text:*^100}")
            );
            assert_eq!(format!("{value:.3}"), format!("{text:.3}"));
        }
    }

    #[test]
    fn a_long_string_is_cut_when_shown() {
        let long = WireString::from("x".repeat(100_000)).to_string();
        assert!(long.ends_with("… (100000 bytes)") && long.len() < 600, "{long}");
    }
}
