//! Inventory, and the messages `inv`, `getdata` and `notfound`.

use super::codec::{Codec, Cursor, Put, check_count, varint_size};
use super::error::{DecodeError, EncodeError};
use super::hash::Hash;
use super::parse_error::ParseError;
use super::wire_string::padded;
use std::{fmt, str::FromStr};

/// The type of an [`Inventory`] item. Numbers without a name are carried unchanged.
///
/// Displays as in kaspad, for example `MSG_TX`, and as `MSG_99` for a number without a name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct InventoryType(pub u32);

impl InventoryType {
    /// Not an item.
    pub const ERROR: Self = Self(0);
    /// A transaction.
    pub const TX: Self = Self(1);
    /// A block.
    pub const BLOCK: Self = Self(2);
    /// A block reduced by the bloom filter of the node that asks for it.
    pub const FILTERED_BLOCK: Self = Self(3);
    /// A block, during synchronisation. The same block as under [`BLOCK`](Self::BLOCK).
    pub const SYNC_BLOCK: Self = Self(4);
    /// A block that the sender lacks as an ancestor of another. kaspad knows it from v0.5.0 on.
    pub const MISSING_ANCESTOR: Self = Self(5);

    const NAMED: [Self; 6] =
        [Self::ERROR, Self::TX, Self::BLOCK, Self::FILTERED_BLOCK, Self::SYNC_BLOCK, Self::MISSING_ANCESTOR];
}

impl From<u32> for InventoryType {
    fn from(number: u32) -> Self {
        Self(number)
    }
}

impl From<InventoryType> for u32 {
    fn from(kind: InventoryType) -> Self {
        kind.0
    }
}

impl fmt::Display for InventoryType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match *self {
            Self::ERROR => "ERROR",
            Self::TX => "MSG_TX",
            Self::BLOCK => "MSG_BLOCK",
            Self::FILTERED_BLOCK => "MSG_FILTERED_BLOCK",
            Self::SYNC_BLOCK => "MSG_SYNC_BLOCK",
            Self::MISSING_ANCESTOR => "MSG_MISSING_ANCESTOR",
            Self(other) => return f.pad(&format!("MSG_{other}")),
        })
    }
}

impl FromStr for InventoryType {
    type Err = ParseError;

    /// Parses the text that `Display` writes: a name such as `MSG_TX`, or `MSG_` and a decimal number.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let digits = text.strip_prefix("MSG_").filter(|digits| !digits.starts_with('+'));
        let named = Self::NAMED.into_iter().find(|kind| kind.to_string() == text);
        named
            .or_else(|| digits.and_then(|digits| digits.parse().ok()).map(Self))
            .ok_or_else(|| ParseError::new(text, "an inventory type", "a name like MSG_TX, or MSG_ and a number"))
    }
}

impl fmt::Debug for InventoryType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A transaction or a block that a node has, wants or does not have: its type and its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Inventory {
    /// The type.
    pub kind: InventoryType,
    /// The **id** of a transaction, or the hash of a block.
    pub hash: Hash,
}

impl Inventory {
    pub(crate) const SIZE: usize = 36;

    /// An item of any type.
    #[must_use]
    pub const fn new(kind: InventoryType, hash: Hash) -> Self {
        Self { kind, hash }
    }

    /// A transaction, by its **id**.
    #[must_use]
    pub const fn tx(id: Hash) -> Self {
        Self::new(InventoryType::TX, id)
    }

    /// A block, by its hash.
    #[must_use]
    pub const fn block(hash: Hash) -> Self {
        Self::new(InventoryType::BLOCK, hash)
    }

    /// A block during synchronisation, by its hash.
    #[must_use]
    pub const fn sync_block(hash: Hash) -> Self {
        Self::new(InventoryType::SYNC_BLOCK, hash)
    }
}

impl fmt::Display for Inventory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        padded(f, |f| write!(f, "{} {}", self.kind, self.hash))
    }
}

/// The most items that one `inv`, `getdata` or `notfound` can carry, by the protocol.
pub const MAX_INVENTORY: usize = 131_072;

fn read_items(input: &mut Cursor<'_>) -> Result<Vec<Inventory>, DecodeError> {
    let count = input.count("inventory", MAX_INVENTORY as u64)?;
    let bytes = input.bytes(count * Inventory::SIZE, "inventory")?;
    let (items, _) = bytes.as_chunks::<{ Inventory::SIZE }>();
    Ok(items
        .iter()
        .map(|item| {
            let (kind, hash) = item.split_first_chunk::<4>().unwrap_or((&[0; 4], &[]));
            let hash = hash.first_chunk::<32>().unwrap_or(&[0; 32]);
            Inventory { kind: InventoryType(u32::from_le_bytes(*kind)), hash: Hash(*hash) }
        })
        .collect())
}

fn items_size(items: &[Inventory]) -> usize {
    varint_size(items.len() as u64) + size_of_val(items)
}

fn write_items(items: &[Inventory], out: &mut Vec<u8>) {
    out.put_varint(items.len() as u64);
    for item in items {
        let mut bytes = [0; Inventory::SIZE];
        let (kind, hash) = bytes.split_at_mut(4);
        kind.copy_from_slice(&item.kind.0.to_le_bytes());
        hash.copy_from_slice(&item.hash.0);
        out.put_bytes(&bytes);
    }
}

macro_rules! inventory_messages {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        pub struct $name {
            /// The items, at most [`MAX_INVENTORY`].
            pub items: Vec<Inventory>,
        }

        impl Codec for $name {
            fn read(input: &mut Cursor<'_>) -> Result<Self, DecodeError> {
                read_items(input).map(|items| Self { items })
            }

            fn size(&self) -> usize {
                items_size(&self.items)
            }

            fn check(&self) -> Result<(), EncodeError> {
                check_count("inventory", self.items.len(), MAX_INVENTORY as u64)
            }

            fn write(&self, out: &mut Vec<u8>) {
                write_items(&self.items, out);
            }
        }
    )*};
}

inventory_messages! {
    /// `inv`: announces transactions and blocks that the sender has. Also the answer to
    /// [`GetBlockInvs`](super::GetBlockInvs).
    Inv;
    /// `getdata`: asks for transactions and blocks. The answer to each item is a message of its own, or a
    /// [`NotFound`] that names it. By kaspad's convention, at most 50 sync blocks at a time.
    GetData;
    /// `notfound`: names the items that the sender was asked for and does not have.
    NotFound;
}
