//! The error of everything in this module that is parsed from text.

use super::wire_string::WireString;
use thiserror::Error;

/// Text that does not parse. Says what was expected, and shows the first 64 bytes of the text.
///
/// ```
/// use kaspa_peer::wire::Network;
///
/// let error = "mainet".parse::<Network>().unwrap_err();
/// assert!(error.to_string().starts_with("\"mainet\" is not a network: expected mainnet, testnet,"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{found:?}{} is not {what}: expected {expected}", if *.is_cut { "…" } else { "" })]
pub struct ParseError {
    found: WireString,
    is_cut: bool,
    what: &'static str,
    expected: &'static str,
}

impl ParseError {
    /// How much of the text the error keeps, in bytes.
    const KEPT: usize = 64;

    /// The error for `found`, which is not `what` (with its article).
    pub(crate) fn new(found: &str, what: &'static str, expected: &'static str) -> Self {
        let ends = found.char_indices().map(|(at, character)| at + character.len_utf8());
        let end = ends.take_while(|end| *end <= Self::KEPT).last().unwrap_or_default();
        let kept = found.get(..end).unwrap_or_default();
        Self { found: kept.into(), is_cut: kept.len() < found.len(), what, expected }
    }
}

#[cfg(test)]
mod tests {
    use crate::wire::{CustomCommand, Hash};

    #[test]
    fn the_text_is_shown() {
        let error = "ping".parse::<CustomCommand>().unwrap_err().to_string();
        assert!(error.starts_with("\"ping\" is not a custom command: expected"), "{error}");
    }

    #[test]
    fn long_text_is_cut_and_control_characters_are_escaped() {
        let long = format!("a\x1b\"{}", "ä".repeat(10_000));
        let error = long.parse::<Hash>().unwrap_err().to_string();
        assert!(error.starts_with(r#""a\u{1b}\u{22}ää"#) && error.len() < 150, "{error}");
        assert!(error.ends_with("ä\"… is not a hash: expected 64 hex digits"), "{error}");
    }
}
