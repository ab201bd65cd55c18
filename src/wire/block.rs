//! `block`: blocks as validated bytes, and as plain data to build one from.

use super::block_header::BlockHeader;
use super::codec::{Codec, Cursor, Put, check_count, varint_size};
use super::command::Command;
use super::encode::check_length;
use super::error::{DecodeError, EncodeError};
use super::hash::Hash;
use super::transaction::Transaction;
use super::transaction_fields::TxFields;
use super::transaction_layout::{SMALLEST_TX, TxLayout, validate_tx};
use super::transaction_ref::TxRef;
use std::{fmt, hash, iter::FusedIterator, num::NonZeroU64, slice, sync::OnceLock};

/// `block`: a block, as validated bytes.
///
/// Decoding walks the bytes once, checks everything, and keeps a table of the transactions' positions. That takes two
/// allocations, however many transactions the block has. The header is decoded by the first call of
/// [`header`](Self::header).
///
/// The constructors do not check whether the block is valid in the DAG.
///
/// ```
/// use kaspa_peer::wire::{Block, BlockHeader, Transaction, TxFields};
///
/// let tx = Transaction::new(&TxFields { version: 1, ..TxFields::default() })?;
/// let block = Block::new(BlockHeader::default(), [&tx])?;
/// for tx in block.transactions() {
///     println!("{} spends {} outputs", tx.id(), tx.inputs().len());
/// }
/// assert_eq!(block.hash(), block.header().hash());
/// # Ok::<(), kaspa_peer::wire::EncodeError>(())
/// ```
#[derive(Clone)]
pub struct Block {
    bytes: Vec<u8>,
    /// The size of the header, in bytes.
    header_size: usize,
    header: OnceLock<Box<BlockHeader>>,
    layouts: Vec<TxLayout>,
    /// The gas of a transaction of a built-in subnetwork, which must have none. Such a block can be received, but not
    /// sent.
    forbidden_gas: Option<NonZeroU64>,
}

/// Compares the bytes, from which everything else is computed.
impl PartialEq for Block {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Block {}

impl hash::Hash for Block {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.bytes.hash(state);
    }
}

impl Block {
    /// The most transactions that a block can have, by the protocol.
    pub const MAX_TRANSACTIONS: usize = 1_000_001;

    /// Builds a block from a header and transactions.
    ///
    /// # Errors
    ///
    /// If the protocol cannot carry it, see [`EncodeError`].
    pub fn new<'a>(
        header: BlockHeader,
        transactions: impl IntoIterator<Item = &'a Transaction>,
    ) -> Result<Self, EncodeError> {
        header.check()?;
        let transactions: Vec<TxRef<'_>> = transactions.into_iter().map(Transaction::as_ref).collect();
        check_count("transactions", transactions.len(), Self::MAX_TRANSACTIONS as u64)?;
        let count = transactions.len() as u64;
        let length = transactions.iter().fold(header.size() + varint_size(count), |sum, tx| sum + tx.as_bytes().len());
        check_length(Command::Block, length)?;
        let mut bytes = Vec::with_capacity(length);
        header.write(&mut bytes);
        bytes.put_varint(count);
        for tx in transactions {
            tx.check()?;
            bytes.put_bytes(tx.as_bytes());
        }
        // Checked parts always decode. If they did not, an error would be better than a broken block.
        Self::from_vec(bytes).map_err(|_| EncodeError::TooMany { field: "transactions", found: 0, max: 0 })
    }

    pub(super) fn from_vec(bytes: Vec<u8>) -> Result<Self, DecodeError> {
        let mut input = Cursor::new(&bytes);
        BlockHeader::validate(&mut input)?;
        let header_size = input.at();
        let count = input.count("transactions", Self::MAX_TRANSACTIONS as u64)?;
        let mut forbidden_gas = None;
        let layouts = input.list(count, SMALLEST_TX, |input| {
            let start = input.peek();
            let layout = validate_tx(input)?;
            if !layout.is_native()
                && let Err(EncodeError::BuiltInGas { gas }) = TxRef::new(start, layout).check()
            {
                forbidden_gas = NonZeroU64::new(gas);
            }
            Ok(layout)
        })?;
        input.finish()?;
        Ok(Self { bytes, header_size, header: OnceLock::new(), layouts, forbidden_gas })
    }

    /// The block's header.
    #[must_use]
    pub fn header(&self) -> &BlockHeader {
        // The bytes were validated before, so this cannot fail.
        self.header.get_or_init(|| Box::new(BlockHeader::decode(self.header_bytes()).unwrap_or_default()))
    }

    fn header_bytes(&self) -> &[u8] {
        self.bytes.get(..self.header_size).unwrap_or_default()
    }

    /// The block's hash, which inventory and rejects use: the double SHA-256 of the header.
    #[must_use]
    pub fn hash(&self) -> Hash {
        Hash::of(self.header_bytes())
    }

    /// The transactions, in order.
    #[must_use]
    pub fn transactions(&self) -> Transactions<'_> {
        let skipped = self.header_size + varint_size(self.layouts.len() as u64);
        Transactions { bytes: self.bytes.get(skipped..).unwrap_or_default(), layouts: self.layouts.iter() }
    }

    /// The block's encoding, which is the payload of the `block` message.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The block's encoding, without a copy.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The parts as plain data, to change and build another block from. Copies each script.
    #[must_use]
    pub fn to_fields(&self) -> BlockFields {
        BlockFields { header: self.header().clone(), transactions: self.transactions().map(TxRef::to_fields).collect() }
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Block")
            .field("hash", &self.hash())
            .field("header", self.header())
            .field("transactions", &self.layouts.len())
            .field("bytes", &self.bytes.len())
            .finish()
    }
}

impl<'a> IntoIterator for &'a Block {
    type Item = TxRef<'a>;
    type IntoIter = Transactions<'a>;

    fn into_iter(self) -> Transactions<'a> {
        self.transactions()
    }
}

impl Codec for Block {
    fn read(input: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        Self::from_vec(input.bytes(input.left(), "block")?.to_vec())
    }

    fn size(&self) -> usize {
        self.bytes.len()
    }

    fn check(&self) -> Result<(), EncodeError> {
        self.forbidden_gas.map_or(Ok(()), |gas| Err(EncodeError::BuiltInGas { gas: gas.get() }))
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.put_bytes(&self.bytes);
    }
}

/// An iterator over the transactions of a block. `len()` is the number that are left.
#[derive(Debug, Clone)]
pub struct Transactions<'a> {
    bytes: &'a [u8],
    layouts: slice::Iter<'a, TxLayout>,
}

impl<'a> Iterator for Transactions<'a> {
    type Item = TxRef<'a>;

    #[inline]
    fn next(&mut self) -> Option<TxRef<'a>> {
        let layout = *self.layouts.next()?;
        let (tx, rest) = self.bytes.split_at_checked(layout.len as usize)?;
        self.bytes = rest;
        Some(TxRef::new(tx, layout))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.layouts.size_hint()
    }
}

impl ExactSizeIterator for Transactions<'_> {}

impl FusedIterator for Transactions<'_> {}

/// The parts of a block, as plain data. Can be sent as they are, or built into a [`Block`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct BlockFields {
    /// The block's header.
    pub header: BlockHeader,
    /// The transactions, at most [`Block::MAX_TRANSACTIONS`].
    pub transactions: Vec<TxFields>,
}

impl BlockFields {
    fn built(&self) -> Result<Vec<Transaction>, EncodeError> {
        self.transactions.iter().map(Transaction::new).collect()
    }
}

impl TryFrom<&BlockFields> for Block {
    type Error = EncodeError;

    fn try_from(fields: &BlockFields) -> Result<Self, EncodeError> {
        Self::new(fields.header.clone(), &fields.built()?)
    }
}

impl TryFrom<BlockFields> for Block {
    type Error = EncodeError;

    fn try_from(fields: BlockFields) -> Result<Self, EncodeError> {
        let transactions = fields.built()?;
        Self::new(fields.header, &transactions)
    }
}

impl Codec for BlockFields {
    fn read(input: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        Block::read(input).map(|block| block.to_fields())
    }

    fn size(&self) -> usize {
        let transactions: usize = self.transactions.iter().map(Codec::size).sum();
        self.header.size() + varint_size(self.transactions.len() as u64) + transactions
    }

    fn check(&self) -> Result<(), EncodeError> {
        self.header.check()?;
        check_count("transactions", self.transactions.len(), Block::MAX_TRANSACTIONS as u64)?;
        self.transactions.iter().try_for_each(Codec::check)
    }

    fn write(&self, out: &mut Vec<u8>) {
        self.header.write(out);
        out.put_varint(self.transactions.len() as u64);
        self.transactions.iter().for_each(|tx| tx.write(out));
    }
}
