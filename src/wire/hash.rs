//! Hashes, which name blocks and transactions.

use super::parse_error::ParseError;
use super::wire_string::padded;
use sha2::{Digest, Sha256};
use std::{fmt, str::FromStr};

/// A 32-byte hash, such as that of a block or a transaction.
///
/// Stored in the byte order of the wire. [`Display`](fmt::Display) and [`FromStr`] use hex digits in the reversed byte
/// order, as kaspad does. A precision shortens the text: `{:.8}` shows the first eight digits.
///
/// ```
/// use kaspa_peer::wire::Hash;
///
/// let genesis: Hash = "0f2bd52ea69aac311a59428cd5d17e3833e62706f68a1c7c50bef0664459229b".parse()?;
/// assert_eq!(genesis.as_bytes()[0], 0x9b);
/// # Ok::<(), kaspa_peer::wire::ParseError>(())
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hash(pub(crate) [u8; 32]);

impl Hash {
    /// The size of a hash, in bytes.
    pub const SIZE: usize = 32;

    /// 32 zero bytes, which name nothing.
    pub const ZERO: Self = Self([0; 32]);

    /// A hash from its bytes in wire order.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes in wire order.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The double SHA-256 of `data`, which is the only hash of the protocol.
    #[must_use]
    pub fn of(data: &[u8]) -> Self {
        Self::finish(Sha256::new_with_prefix(data))
    }

    /// The double SHA-256 of the data that `first` was updated with.
    pub(crate) fn finish(first: Sha256) -> Self {
        Self(Sha256::digest(first.finalize()).into())
    }
}

impl From<[u8; 32]> for Hash {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl From<Hash> for [u8; 32] {
    fn from(hash: Hash) -> Self {
        hash.0
    }
}

impl AsRef<[u8]> for Hash {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_reversed_hex(&self.0, f)
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_reversed_hex(&self.0, f)
    }
}

impl FromStr for Hash {
    type Err = ParseError;

    /// Parses exactly 64 hex digits, in the reversed byte order.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        parse_reversed_hex(text).map(Self).ok_or_else(|| ParseError::new(text, "a hash", "64 hex digits"))
    }
}

/// Writes bytes as hex digits, the last byte first.
pub(super) fn write_reversed_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    padded(f, |f| bytes.iter().rev().try_for_each(|byte| write!(f, "{byte:02x}")))
}

/// Parses the text that `write_reversed_hex` writes.
pub(super) fn parse_reversed_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().rev().zip(digits.chunks_exact(2)) {
        let &[high, low] = pair else { return None };
        *byte = nibble(high)? << 4 | nibble(low)?;
    }
    Some(bytes)
}
