//! Block headers, and the messages `getheaders` and `headers`.

use super::codec::{Codec, Cursor, Put, check_count, varint_size};
use super::error::{DecodeError, EncodeError};
use super::hash::Hash;

/// The header of a block. Its hash is the block's hash.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct BlockHeader {
    /// The block's version.
    pub version: i32,
    /// The hashes of the parent blocks, at most [`MAX_PARENTS`](Self::MAX_PARENTS). Empty for a genesis block.
    pub parents: Vec<Hash>,
    /// The root of the Merkle tree of the transactions' hashes.
    pub hash_merkle_root: Hash,
    /// The root of the Merkle tree of the accepted transactions' ids.
    pub accepted_id_merkle_root: Hash,
    /// A commitment to the set of unspent outputs.
    pub utxo_commitment: Hash,
    /// The time at which the block was mined, in unix seconds, by the miner's clock.
    pub time: i64,
    /// The difficulty target, in the compact form of Bitcoin.
    pub bits: u32,
    /// The number that the miner chose to make the hash meet the target.
    pub nonce: u64,
}

impl BlockHeader {
    /// The most parents that a block can have, by the protocol.
    pub const MAX_PARENTS: usize = 255;

    /// Validates the header at the cursor, and moves the cursor past it.
    pub(super) fn validate(input: &mut Cursor<'_>) -> Result<(), DecodeError> {
        input.array::<4>("block version")?;
        let parents: usize = input.u8("parent count")?.into();
        input.bytes(parents * Hash::SIZE, "parents")?;
        for root in ["hash merkle root", "accepted id merkle root", "utxo commitment"] {
            input.array::<{ Hash::SIZE }>(root)?;
        }
        input.array::<8>("block time")?;
        input.array::<4>("bits")?;
        input.array::<8>("nonce")?;
        Ok(())
    }

    /// The size of a header without parents, in bytes.
    const SMALLEST: usize = 121;

    /// The block's hash: the double SHA-256 of the header's encoding. Meaningless if the header has more than
    /// [`MAX_PARENTS`](Self::MAX_PARENTS) parents.
    #[must_use]
    pub fn hash(&self) -> Hash {
        let mut bytes = Vec::with_capacity(self.size());
        self.write(&mut bytes);
        Hash::of(&bytes)
    }
}

impl BlockHeader {
    /// Encodes the header.
    ///
    /// # Errors
    ///
    /// [`EncodeError::TooMany`] if there are more than [`MAX_PARENTS`](Self::MAX_PARENTS) parents.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        self.check()?;
        let mut bytes = Vec::with_capacity(self.size());
        self.write(&mut bytes);
        Ok(bytes)
    }

    /// Decodes a whole header.
    ///
    /// # Errors
    ///
    /// The first part that is malformed, and where it is.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Cursor::new(bytes);
        let header = Self::read(&mut input)?;
        input.finish()?;
        Ok(header)
    }
}

impl Codec for BlockHeader {
    fn read(input: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let version = input.i32("block version")?;
        let parents = input.u8("parent count")?;
        Ok(Self {
            version,
            parents: input.hashes(parents.into(), "parents")?,
            hash_merkle_root: input.hash("hash merkle root")?,
            accepted_id_merkle_root: input.hash("accepted id merkle root")?,
            utxo_commitment: input.hash("utxo commitment")?,
            time: input.i64("block time")?,
            bits: input.u32("bits")?,
            nonce: input.u64("nonce")?,
        })
    }

    fn size(&self) -> usize {
        Self::SMALLEST + self.parents.len() * Hash::SIZE
    }

    fn check(&self) -> Result<(), EncodeError> {
        check_count("parents", self.parents.len(), Self::MAX_PARENTS as u64)
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.put_i32(self.version);
        out.put_u8(u8::try_from(self.parents.len()).unwrap_or(u8::MAX));
        self.parents.iter().for_each(|parent| out.put_hash(parent));
        out.put_hash(&self.hash_merkle_root);
        out.put_hash(&self.accepted_id_merkle_root);
        out.put_hash(&self.utxo_commitment);
        out.put_i64(self.time);
        out.put_u32(self.bits);
        out.put_u64(self.nonce);
    }
}

/// `getheaders`: asks for the headers between two blocks. The answer is a [`Headers`].
///
/// kaspad knows this message only in v0.1.1. Later versions disconnect.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct GetHeaders {
    /// The block after which the headers begin.
    pub low: Hash,
    /// The block with which the headers end.
    pub high: Hash,
}

impl Codec for GetHeaders {
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

/// `headers`: block headers.
///
/// kaspad knows this message only in v0.1.1. Later versions disconnect.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Headers {
    /// The headers, at most [`MAX`](Self::MAX).
    pub headers: Vec<BlockHeader>,
}

impl Headers {
    /// The most headers that one message can carry, by the protocol.
    pub const MAX: usize = 2000;
}

impl Codec for Headers {
    fn read(input: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let count = input.count("headers", Self::MAX as u64)?;
        let headers = input.list(count, BlockHeader::SMALLEST + 1, |input| {
            let header = BlockHeader::read(input)?;
            let at = input.at();
            match input.varint("transaction count")? {
                0 => Ok(header),
                found => Err(DecodeError::NotZero { field: "transaction count", at, found }),
            }
        })?;
        Ok(Self { headers })
    }

    fn size(&self) -> usize {
        varint_size(self.headers.len() as u64) + self.headers.iter().map(|header| header.size() + 1).sum::<usize>()
    }

    fn check(&self) -> Result<(), EncodeError> {
        check_count("headers", self.headers.len(), Self::MAX as u64)?;
        self.headers.iter().try_for_each(Codec::check)
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.put_varint(self.headers.len() as u64);
        for header in &self.headers {
            header.write(out);
            out.put_u8(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validating_and_decoding_agree_on_headers_cut_at_any_byte() {
        let header = BlockHeader { parents: vec![Hash::ZERO; 3], ..BlockHeader::default() };
        let bytes = header.encode().unwrap();
        for length in 0..=bytes.len() {
            let bytes = bytes.get(..length).unwrap();
            let mut input = Cursor::new(bytes);
            let validated = BlockHeader::validate(&mut input).map(|()| input.at());
            assert_eq!(validated, BlockHeader::decode(bytes).map(|header| header.size()), "of {length} bytes");
        }
    }

    #[test]
    fn a_header_decodes_as_it_was_encoded_up_to_the_largest() {
        for parents in [0, 1, 255] {
            let header =
                BlockHeader { parents: vec![Hash::of(b"parent"); parents], nonce: 7, ..BlockHeader::default() };
            let bytes = header.encode().unwrap();
            assert_eq!(bytes.len(), 121 + parents * 32);
            assert_eq!(BlockHeader::decode(&bytes), Ok(header));
        }
        let header = BlockHeader { parents: vec![Hash::ZERO; 256], ..BlockHeader::default() };
        assert!(matches!(header.encode(), Err(EncodeError::TooMany { found: 256, max: 255, .. })));
    }
}
