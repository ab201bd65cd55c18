//! Transactions that borrow their bytes, and iterators over their inputs and outputs.
//!
//! The bytes were validated when the owner decoded them. Reading a part parses it in place and cannot fail.

use super::codec::Cursor;
use super::error::{DecodeError, EncodeError};
use super::hash::Hash;
use super::parse_error::ParseError;
use super::subnetwork::SubnetworkId;
use super::transaction_layout::TxLayout;
use super::wire_string::padded;
use sha2::{Digest, Sha256};
use std::{fmt, iter::FusedIterator, str::FromStr};

/// A transaction that borrows its bytes, from a [`Block`](super::Block) or a [`Transaction`](super::Transaction).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TxRef<'a> {
    bytes: &'a [u8],
    layout: TxLayout,
}

impl<'a> TxRef<'a> {
    /// `layout` must be that of the transaction at the start of `bytes`.
    pub(super) fn new(bytes: &'a [u8], layout: TxLayout) -> Self {
        Self { bytes, layout }
    }

    pub(super) fn layout(self) -> TxLayout {
        self.layout
    }

    fn from(self, offset: u32) -> Cursor<'a> {
        Cursor::new(self.bytes.get(offset as usize..).unwrap_or_default())
    }

    fn tail(self) -> Tail<'a> {
        let mut input = self.from(self.layout.tail);
        Tail::read(&mut input).unwrap_or_default()
    }

    /// The transaction's version.
    #[must_use]
    pub fn version(self) -> i32 {
        self.from(0).i32("").unwrap_or_default()
    }

    /// The inputs, in order.
    #[must_use]
    pub fn inputs(self) -> Inputs<'a> {
        let mut rest = self.from(4);
        let left = rest.count("", u64::MAX).unwrap_or_default();
        Inputs { rest, left }
    }

    /// The outputs, in order.
    #[must_use]
    pub fn outputs(self) -> Outputs<'a> {
        let mut rest = self.from(self.layout.outputs);
        let left = rest.count("", u64::MAX).unwrap_or_default();
        Outputs { rest, left }
    }

    /// The earliest point at which a block may include the transaction, see
    /// [`TxFields::lock_time`](super::TxFields::lock_time).
    #[must_use]
    pub fn lock_time(self) -> u64 {
        self.tail().lock_time
    }

    /// The subnetwork that the transaction belongs to.
    #[must_use]
    pub fn subnetwork(self) -> SubnetworkId {
        self.tail().subnetwork
    }

    /// The gas, see [`TxFields::gas`](super::TxFields::gas). 0 for a native transaction.
    #[must_use]
    pub fn gas(self) -> u64 {
        self.tail().gas
    }

    /// The hash that the transaction states for its payload. It is not checked against the payload. `None` for a native
    /// transaction.
    #[must_use]
    pub fn payload_hash(self) -> Option<Hash> {
        self.tail().payload.map(|(hash, _)| hash)
    }

    /// The payload. `None` for a native transaction.
    #[must_use]
    pub fn payload(self) -> Option<&'a [u8]> {
        self.tail().payload.map(|(_, payload)| payload)
    }

    /// `true` if this is a coinbase transaction, which is one of the coinbase subnetwork.
    #[must_use]
    pub fn is_coinbase(self) -> bool {
        self.subnetwork() == SubnetworkId::COINBASE
    }

    /// The transaction's encoding.
    #[must_use]
    pub fn as_bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// The transaction's hash: the double SHA-256 of its encoding without the payload (with a payload length of 0).
    #[must_use]
    pub fn hash(self) -> Hash {
        let mut hasher = Sha256::new();
        self.hash_from(0, &mut hasher);
        Hash::finish(hasher)
    }

    /// The transaction's id, which outpoints, inventory and rejects use. Computed like the [`hash`](Self::hash), but
    /// with empty signature scripts. For a coinbase transaction, the double SHA-256 of its whole encoding.
    #[must_use]
    pub fn id(self) -> Hash {
        let mut hasher = Sha256::new();
        if self.is_coinbase() {
            hasher.update(self.bytes);
            return Hash::finish(hasher);
        }
        let inputs = self.inputs();
        hasher.update(self.bytes.get(..self.bytes.len() - inputs.rest.left()).unwrap_or_default());
        for input in inputs {
            hasher.update(input.previous_output);
            hasher.update([0]);
            hasher.update(input.sequence.to_le_bytes());
        }
        self.hash_from(self.layout.outputs, &mut hasher);
        Hash::finish(hasher)
    }

    /// Hashes the bytes from `start` on, with a payload length of 0 in place of the payload.
    fn hash_from(self, start: u32, hasher: &mut Sha256) {
        let end = match self.tail().payload {
            Some(_) => self.layout.tail as usize + 8 + SubnetworkId::SIZE + 8 + Hash::SIZE,
            None => self.bytes.len(),
        };
        hasher.update(self.bytes.get(start as usize..end).unwrap_or_default());
        if end < self.bytes.len() {
            hasher.update([0]);
        }
    }

    pub(super) fn check(self) -> Result<(), EncodeError> {
        // Nearly all transactions are native and have no gas to look for.
        if self.layout.is_native() {
            return Ok(());
        }
        let Tail { subnetwork, gas, .. } = self.tail();
        if gas != 0 && subnetwork.is_built_in() { Err(EncodeError::BuiltInGas { gas }) } else { Ok(()) }
    }
}

impl fmt::Debug for TxRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction")
            .field("id", &self.id())
            .field("version", &self.version())
            .field("inputs", &self.inputs().len())
            .field("outputs", &self.outputs().len())
            .field("subnetwork", &self.subnetwork())
            .finish_non_exhaustive()
    }
}

/// The parts after the outputs.
#[derive(Debug, Default)]
struct Tail<'a> {
    lock_time: u64,
    subnetwork: SubnetworkId,
    gas: u64,
    payload: Option<(Hash, &'a [u8])>,
}

impl<'a> Tail<'a> {
    fn read(input: &mut Cursor<'a>) -> Result<Self, DecodeError> {
        let mut tail =
            Self { lock_time: input.u64("")?, subnetwork: SubnetworkId(*input.array("")?), ..Self::default() };
        if !tail.subnetwork.is_native() {
            tail.gas = input.u64("")?;
            tail.payload = Some((input.hash("")?, input.var_bytes("", u64::MAX)?));
        }
        Ok(tail)
    }
}

/// An input of a transaction. Borrows the transaction's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct InputRef<'a> {
    previous_output: &'a [u8; 36],
    /// The script that proves the right to spend the output.
    pub signature_script: &'a [u8],
    /// The input's sequence number, see [`TxInput::sequence`](super::TxInput::sequence).
    pub sequence: u64,
}

impl InputRef<'_> {
    /// The output that the input spends.
    #[must_use]
    pub fn previous_output(&self) -> Outpoint {
        let mut input = Cursor::new(self.previous_output);
        let id = input.hash("").unwrap_or_default();
        Outpoint { id, index: input.u32("").unwrap_or_default() }
    }
}

/// An output of a transaction. Borrows the transaction's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OutputRef<'a> {
    /// The value, in sompi. A kaspa is 100 000 000 sompi.
    pub value: u64,
    /// The script that defines who may spend the output.
    pub script: &'a [u8],
}

/// Names one output of one transaction. Displays as `id:index`.
///
/// ```
/// use kaspa_peer::wire::{Hash, Outpoint};
///
/// let outpoint = Outpoint { id: Hash::of(b"transaction"), index: 7 };
/// assert_eq!(outpoint.to_string().parse(), Ok(outpoint));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Outpoint {
    /// The transaction's id.
    pub id: Hash,
    /// The place of the output in the transaction, from 0.
    pub index: u32,
}

impl fmt::Display for Outpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        padded(f, |f| write!(f, "{}:{}", self.id, self.index))
    }
}

impl FromStr for Outpoint {
    type Err = ParseError;

    /// Parses an id of 64 hex digits, a colon and a decimal number.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        text.split_once(':')
            .filter(|(_, index)| !index.starts_with('+'))
            .and_then(|(id, index)| Some(Self { id: id.parse().ok()?, index: index.parse().ok()? }))
            .ok_or_else(|| ParseError::new(text, "an outpoint", "64 hex digits, a colon and a number"))
    }
}

macro_rules! part_iterator {
    ($(#[$doc:meta])* $name:ident, $item:ident, $read:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $name<'a> {
            rest: Cursor<'a>,
            left: usize,
        }

        impl<'a> Iterator for $name<'a> {
            type Item = $item<'a>;

            #[inline]
            fn next(&mut self) -> Option<$item<'a>> {
                self.left = self.left.checked_sub(1)?;
                let read: fn(&mut Cursor<'a>) -> Result<$item<'a>, DecodeError> = $read;
                read(&mut self.rest).ok()
            }

            fn size_hint(&self) -> (usize, Option<usize>) {
                (self.left, Some(self.left))
            }
        }

        impl ExactSizeIterator for $name<'_> {}

        impl FusedIterator for $name<'_> {}
    };
}

part_iterator! {
    /// An iterator over the inputs of a transaction. `len()` is the number that are left.
    Inputs, InputRef, |input| Ok(InputRef {
        previous_output: input.array("")?,
        signature_script: input.var_bytes("", u64::MAX)?,
        sequence: input.u64("")?,
    })
}

part_iterator! {
    /// An iterator over the outputs of a transaction. `len()` is the number that are left.
    Outputs, OutputRef, |input| Ok(OutputRef { value: input.u64("")?, script: input.var_bytes("", u64::MAX)? })
}
