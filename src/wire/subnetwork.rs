//! Subnetwork ids, and the subnetwork of a node.

use super::codec::{Cursor, Put};
use super::error::DecodeError;
use super::hash::{parse_reversed_hex, write_reversed_hex};
use super::parse_error::ParseError;
use std::{fmt, str::FromStr};

/// The id of a subnetwork: 20 bytes.
///
/// Stored in the byte order of the wire. Displays and parses as hex digits in the reversed byte order, like a
/// [`Hash`](super::Hash).
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubnetworkId(pub(crate) [u8; 20]);

impl SubnetworkId {
    /// The size of an id, in bytes.
    pub const SIZE: usize = 20;

    /// The subnetwork of ordinary transactions: 20 zero bytes.
    pub const NATIVE: Self = Self([0; 20]);

    /// The built-in subnetwork of coinbase transactions.
    pub const COINBASE: Self = Self::built_in(1);

    /// The built-in subnetwork in which subnetworks are registered.
    pub const REGISTRY: Self = Self::built_in(2);

    const fn built_in(number: u8) -> Self {
        let mut bytes = [0; 20];
        bytes[0] = number;
        Self(bytes)
    }

    /// An id from its bytes in wire order.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 20]) -> Self {
        Self(bytes)
    }

    /// The bytes in wire order.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }

    /// `true` if this is the subnetwork of ordinary transactions.
    #[must_use]
    pub fn is_native(&self) -> bool {
        *self == Self::NATIVE
    }

    /// `true` if this is [`COINBASE`](Self::COINBASE) or [`REGISTRY`](Self::REGISTRY), whose transactions cannot carry
    /// gas.
    #[must_use]
    pub fn is_built_in(&self) -> bool {
        *self == Self::COINBASE || *self == Self::REGISTRY
    }
}

impl From<[u8; 20]> for SubnetworkId {
    fn from(bytes: [u8; 20]) -> Self {
        Self(bytes)
    }
}

impl From<SubnetworkId> for [u8; 20] {
    fn from(id: SubnetworkId) -> Self {
        id.0
    }
}

impl AsRef<[u8]> for SubnetworkId {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for SubnetworkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_reversed_hex(&self.0, f)
    }
}

impl fmt::Debug for SubnetworkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_reversed_hex(&self.0, f)
    }
}

impl FromStr for SubnetworkId {
    type Err = ParseError;

    /// Parses exactly 40 hex digits, in the reversed byte order.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        parse_reversed_hex(text).map(Self).ok_or_else(|| ParseError::new(text, "a subnetwork id", "40 hex digits"))
    }
}

/// Reads a subnetwork choice: whether the node is a full node, and if not, its subnetwork. `None` is a full node.
pub(super) fn read_choice(input: &mut Cursor<'_>) -> Result<Option<SubnetworkId>, DecodeError> {
    if input.bool("is full node")? {
        return Ok(None);
    }
    input.array("subnetwork").map(|&bytes| Some(SubnetworkId(bytes)))
}

/// The size of a subnetwork choice on the wire, in bytes.
pub(super) fn choice_size(choice: Option<SubnetworkId>) -> usize {
    1 + choice.map_or(0, |_| SubnetworkId::SIZE)
}

/// Appends a subnetwork choice.
pub(super) fn write_choice(choice: Option<SubnetworkId>, out: &mut Vec<u8>) {
    out.put_bool(choice.is_none());
    if let Some(id) = choice {
        out.put_bytes(&id.0);
    }
}
