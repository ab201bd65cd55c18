//! Bloom filters, and blocks reduced by them: `filterload`, `filteradd` and `merkleblock`.

use super::block::Block;
use super::block_header::BlockHeader;
use super::codec::{Codec, Cursor, Put, check_count, var_bytes_size, varint_size};
use super::error::{DecodeError, EncodeError};
use super::hash::Hash;

/// `filterload`: sets the bloom filter by which the receiver selects transactions for the sender.
///
/// Send it only to nodes that offer [`Services::BLOOM`](super::Services::BLOOM). Others may disconnect, and a peer of
/// this crate does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct FilterLoad {
    /// The filter's bits, at most [`MAX_FILTER`](Self::MAX_FILTER) bytes.
    #[cfg_attr(feature = "serde", serde(with = "super::serde_with::bytes"))]
    pub filter: Vec<u8>,
    /// The number of hash functions, at most [`MAX_HASH_FUNCTIONS`](Self::MAX_HASH_FUNCTIONS).
    pub hash_functions: u32,
    /// A number that is mixed into the hash functions.
    pub tweak: u32,
    /// Says how matches update the filter: 0 is never, 1 is always. Other values are carried unchanged.
    pub update: u8,
}

impl FilterLoad {
    /// The longest filter, in bytes, by the protocol.
    pub const MAX_FILTER: usize = 36_000;

    /// The most hash functions, by the protocol.
    pub const MAX_HASH_FUNCTIONS: u32 = 50;
}

impl Codec for FilterLoad {
    fn read(input: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let filter = input.var_bytes("filter", Self::MAX_FILTER as u64)?.to_vec();
        let at = input.at();
        let hash_functions = input.u32("hash functions")?;
        let message = Self { filter, hash_functions, tweak: input.u32("tweak")?, update: input.u8("update flag")? };
        if hash_functions > Self::MAX_HASH_FUNCTIONS {
            let (found, max) = (hash_functions.into(), Self::MAX_HASH_FUNCTIONS.into());
            return Err(DecodeError::TooMany { field: "hash functions", at, found, max });
        }
        Ok(message)
    }

    fn size(&self) -> usize {
        var_bytes_size(&self.filter) + 9
    }

    fn check(&self) -> Result<(), EncodeError> {
        check_count("filter", self.filter.len(), Self::MAX_FILTER as u64)?;
        let (found, max) = (self.hash_functions.into(), Self::MAX_HASH_FUNCTIONS.into());
        if found > max { Err(EncodeError::TooMany { field: "hash functions", found, max }) } else { Ok(()) }
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.put_var_bytes(&self.filter);
        out.put_u32(self.hash_functions);
        out.put_u32(self.tweak);
        out.put_u8(self.update);
    }
}

/// `filteradd`: adds one element to the bloom filter.
///
/// kaspad v0.1.1 to v0.3.1 disconnects after it, because of an inverted test. v0.5.0 sends a reject.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct FilterAdd {
    /// The element, at most [`MAX`](Self::MAX) bytes.
    #[cfg_attr(feature = "serde", serde(with = "super::serde_with::bytes"))]
    pub data: Vec<u8>,
}

impl FilterAdd {
    /// The longest element, in bytes, by the protocol.
    pub const MAX: usize = 520;
}

impl Codec for FilterAdd {
    fn read(input: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        input.var_bytes("filter element", Self::MAX as u64).map(|data| Self { data: data.to_vec() })
    }

    fn size(&self) -> usize {
        var_bytes_size(&self.data)
    }

    fn check(&self) -> Result<(), EncodeError> {
        check_count("filter element", self.data.len(), Self::MAX as u64)
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.put_var_bytes(&self.data);
    }
}

/// `merkleblock`: a block's header, and a proof that the block contains the transactions that match the filter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct MerkleBlock {
    /// The block's header.
    pub header: BlockHeader,
    /// The number of transactions in the block.
    pub transactions: u32,
    /// The hashes of the partial Merkle tree, at most [`Block::MAX_TRANSACTIONS`]. Its leaves are transaction ids.
    pub hashes: Vec<Hash>,
    /// The tree's flag bits, at most [`MAX_FLAGS`](Self::MAX_FLAGS) bytes. They are not checked against the hashes.
    #[cfg_attr(feature = "serde", serde(with = "super::serde_with::bytes"))]
    pub flags: Vec<u8>,
}

impl MerkleBlock {
    /// The most flag bytes, by the protocol.
    pub const MAX_FLAGS: usize = 125_000;
}

impl Codec for MerkleBlock {
    fn read(input: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let header = BlockHeader::read(input)?;
        let transactions = input.u32("transaction count")?;
        let count = input.count("merkle hashes", Block::MAX_TRANSACTIONS as u64)?;
        let hashes = input.hashes(count, "merkle hashes")?;
        let flags = input.var_bytes("merkle flags", Self::MAX_FLAGS as u64)?.to_vec();
        Ok(Self { header, transactions, hashes, flags })
    }

    fn size(&self) -> usize {
        let hashes = varint_size(self.hashes.len() as u64) + self.hashes.len() * Hash::SIZE;
        self.header.size() + 4 + hashes + var_bytes_size(&self.flags)
    }

    fn check(&self) -> Result<(), EncodeError> {
        self.header.check()?;
        check_count("merkle hashes", self.hashes.len(), Block::MAX_TRANSACTIONS as u64)?;
        check_count("merkle flags", self.flags.len(), Self::MAX_FLAGS as u64)
    }

    fn write(&self, out: &mut Vec<u8>) {
        self.header.write(out);
        out.put_u32(self.transactions);
        out.put_varint(self.hashes.len() as u64);
        self.hashes.iter().for_each(|hash| out.put_hash(hash));
        out.put_var_bytes(&self.flags);
    }
}
