//! The messages by which nodes find common blocks: `getblockinvs`, `getlocator`, `locator` and `selectedtip`.

use super::codec::{Codec, Cursor, Put, check_count, varint_size};
use super::error::{DecodeError, EncodeError};
use super::hash::Hash;

/// `getblockinvs`: asks for the inventory of the blocks between two blocks. The answer is an [`Inv`](super::Inv).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct GetBlockInvs {
    /// The block after which the inventory begins.
    pub low: Hash,
    /// The block with which the inventory ends.
    pub high: Hash,
}

impl Codec for GetBlockInvs {
    fn read(input: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        Ok(Self { low: input.hash("low hash")?, high: input.hash("high hash")? })
    }

    fn size(&self) -> usize {
        2 * Hash::SIZE
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.put_hash(&self.low);
        out.put_hash(&self.high);
    }
}

/// `getlocator`: asks for a locator of the blocks between two blocks. The answer is a [`Locator`].
///
/// On the wire, the high hash comes first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct GetLocator {
    /// The block with which the locator begins.
    pub high: Hash,
    /// The lower end. kaspad's locators end above it if their next step would go below.
    pub low: Hash,
}

impl Codec for GetLocator {
    fn read(input: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        Ok(Self { high: input.hash("high hash")?, low: input.hash("low hash")? })
    }

    fn size(&self) -> usize {
        2 * Hash::SIZE
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.put_hash(&self.high);
        out.put_hash(&self.low);
    }
}

/// `locator`: hashes of blocks from high to low, with growing gaps.
///
/// A locator need not reach the lower end. The node that asked for it continues with the last hash as the new high one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Locator {
    /// The hashes, at most [`MAX`](Self::MAX).
    pub hashes: Vec<Hash>,
}

impl Locator {
    /// The most hashes that one message can carry, by the protocol.
    pub const MAX: usize = 500;
}

impl Codec for Locator {
    fn read(input: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let count = input.count("locator hashes", Self::MAX as u64)?;
        input.hashes(count, "locator hashes").map(|hashes| Self { hashes })
    }

    fn size(&self) -> usize {
        varint_size(self.hashes.len() as u64) + self.hashes.len() * Hash::SIZE
    }

    fn check(&self) -> Result<(), EncodeError> {
        check_count("locator hashes", self.hashes.len(), Self::MAX as u64)
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.put_varint(self.hashes.len() as u64);
        self.hashes.iter().for_each(|hash| out.put_hash(hash));
    }
}

/// `selectedtip`: the selected tip of the sender's DAG. Of the blocks that no other block builds on, the selected tip
/// is the one that the node prefers, as the tip of the best chain in Bitcoin. Answers a
/// [`GetSelectedTip`](super::GetSelectedTip).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct SelectedTip {
    /// The hash of that block.
    pub hash: Hash,
}

impl Codec for SelectedTip {
    fn read(input: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        input.hash("selected tip").map(|hash| Self { hash })
    }

    fn size(&self) -> usize {
        Hash::SIZE
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.put_hash(&self.hash);
    }
}
