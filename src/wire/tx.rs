//! Transactions: validated bytes with iterators over their parts.
//!
//! Decoding walks the bytes once, checks everything, and keeps two offsets; a transaction is then one allocation
//! whatever its scripts. Reading a part later parses it in place and cannot fail.

use super::codec::{Codec, Decoder, MAX_VAR_BYTES};
use super::{DecodeError, Encode, EncodeError, Hash, ParseError, SubnetworkId, TxFields, padded};
use sha2::{Digest, Sha256};
use std::{fmt, iter::FusedIterator, str::FromStr};

/// The most inputs a transaction can have.
pub const MAX_TX_INPUTS: usize = 818_401;

/// The most outputs a transaction can have.
pub const MAX_TX_OUTPUTS: usize = 3_728_271;

/// Where the parts of a transaction are, relative to its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) struct TxLayout {
    /// The output count.
    outputs: u32,
    /// The lock time, behind the last output.
    tail: u32,
    /// The end.
    pub(super) len: u32,
}

impl TxLayout {
    /// Whether nothing follows the subnetwork, which only a native transaction does without.
    pub(super) fn is_native(self) -> bool {
        self.len - self.tail == 8 + 20
    }
}

/// The smallest transaction: version, two counts, lock time, native subnetwork.
pub(super) const SMALLEST_TX: usize = 4 + 1 + 1 + 8 + SubnetworkId::SIZE;

/// Checks one transaction and takes it off the cursor.
// Its result goes straight into a transaction: by way of memory the processor would wait for it.
#[inline(always)]
pub(super) fn walk(input: &mut Decoder<'_>) -> Result<TxLayout, DecodeError> {
    let start = input.at();
    // A payload is at most 32 MiB, so offsets in it fit.
    let offset = |input: &Decoder<'_>| u32::try_from(input.at() - start).unwrap_or(u32::MAX);
    input.array::<4>("transaction version")?;
    for _ in 0..input.count("inputs", MAX_TX_INPUTS as u64)? {
        input.array::<36>("previous output")?;
        input.var_bytes("signature script", MAX_VAR_BYTES)?;
        input.array::<8>("sequence")?;
    }
    let outputs = offset(input);
    for _ in 0..input.count("outputs", MAX_TX_OUTPUTS as u64)? {
        input.array::<8>("value")?;
        input.var_bytes("output script", MAX_VAR_BYTES)?;
    }
    let tail = offset(input);
    input.array::<8>("lock time")?;
    if *input.array("subnetwork")? != SubnetworkId::NATIVE.0 {
        input.array::<8>("gas")?;
        input.array::<32>("payload hash")?;
        input.var_bytes("transaction payload", u64::MAX)?;
    }
    Ok(TxLayout { outputs, tail, len: offset(input) })
}

/// A transaction that lies in somebody else's bytes, such as a [`Block`](super::Block)'s.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TxRef<'a> {
    bytes: &'a [u8],
    layout: TxLayout,
}

impl<'a> TxRef<'a> {
    pub(super) fn new(bytes: &'a [u8], layout: TxLayout) -> Self {
        Self { bytes, layout }
    }

    fn from(self, offset: u32) -> Decoder<'a> {
        Decoder::new(self.bytes.get(offset as usize..).unwrap_or_default())
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

    /// Its inputs, in order.
    #[must_use]
    pub fn inputs(self) -> Inputs<'a> {
        let mut rest = self.from(4);
        let left = rest.count("", u64::MAX).unwrap_or_default();
        Inputs { rest, left }
    }

    /// Its outputs, in order.
    #[must_use]
    pub fn outputs(self) -> Outputs<'a> {
        let mut rest = self.from(self.layout.outputs);
        let left = rest.count("", u64::MAX).unwrap_or_default();
        Outputs { rest, left }
    }

    /// The blue score, or from 500 000 000 on the unix second, after which it can be in a block; 0 for any.
    #[must_use]
    pub fn lock_time(self) -> u64 {
        self.tail().lock_time
    }

    /// The subnetwork it belongs to.
    #[must_use]
    pub fn subnetwork(self) -> SubnetworkId {
        self.tail().subnetwork
    }

    /// Its gas, see [`TxFields::gas`]; 0 for a native transaction.
    #[must_use]
    pub fn gas(self) -> u64 {
        self.tail().gas
    }

    /// The hash that it states for its payload, unchecked; `None` for a native transaction.
    #[must_use]
    pub fn payload_hash(self) -> Option<Hash> {
        self.tail().payload.map(|(hash, _)| hash)
    }

    /// Its payload; `None` for a native transaction.
    #[must_use]
    pub fn payload(self) -> Option<&'a [u8]> {
        self.tail().payload.map(|(_, payload)| payload)
    }

    /// Whether it is a coinbase transaction.
    #[must_use]
    pub fn is_coinbase(self) -> bool {
        self.subnetwork() == SubnetworkId::COINBASE
    }

    /// Its bytes, as on the wire.
    #[must_use]
    pub fn as_bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// Its hash: the double SHA-256 of its bytes without its payload.
    #[must_use]
    pub fn hash(self) -> Hash {
        let mut hasher = Sha256::new();
        self.hash_tail(0, &mut hasher);
        Hash::finish(hasher)
    }

    /// Its id, by which outpoints, inventory and rejects name it: like its [`hash`](Self::hash), but without the
    /// signature scripts; for a coinbase transaction nothing is left out.
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
        self.hash_tail(self.layout.outputs, &mut hasher);
        Hash::finish(hasher)
    }

    /// Feeds the bytes from `start` on, with the payload written as empty.
    fn hash_tail(self, start: u32, hasher: &mut Sha256) {
        let end = match self.tail().payload {
            Some(_) => self.layout.tail as usize + 8 + SubnetworkId::SIZE + 8 + Hash::SIZE,
            None => self.bytes.len(),
        };
        hasher.update(self.bytes.get(start as usize..end).unwrap_or_default());
        if end < self.bytes.len() {
            hasher.update([0]);
        }
    }

    /// A transaction of its own, with a copy of the bytes.
    #[must_use]
    pub fn to_transaction(self) -> Transaction {
        Transaction { bytes: self.bytes.into(), layout: self.layout }
    }

    /// The parts as plain data, to change and build another from: a copy of each script.
    #[must_use]
    pub fn to_fields(self) -> TxFields {
        TxFields::from_parts(self)
    }

    pub(super) fn check(self) -> Result<(), EncodeError> {
        // Nearly all are, and there is no gas to look for.
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

/// What lies behind the outputs.
#[derive(Debug, Default)]
struct Tail<'a> {
    lock_time: u64,
    subnetwork: SubnetworkId,
    gas: u64,
    payload: Option<(Hash, &'a [u8])>,
}

impl<'a> Tail<'a> {
    fn read(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        let mut tail =
            Self { lock_time: input.u64("")?, subnetwork: SubnetworkId(*input.array("")?), ..Self::default() };
        if !tail.subnetwork.is_native() {
            tail.gas = input.u64("")?;
            tail.payload = Some((input.hash("")?, input.var_bytes("", u64::MAX)?));
        }
        Ok(tail)
    }
}

/// An output that a transaction spends, still in the transaction's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct InputRef<'a> {
    previous_output: &'a [u8; 36],
    /// The script that proves the right to spend it.
    pub signature_script: &'a [u8],
    /// The input's sequence number: a relative lock time as of BIP 68, or `u64::MAX` for none. Not interpreted here.
    pub sequence: u64,
}

impl InputRef<'_> {
    /// The output that is spent.
    #[must_use]
    pub fn previous_output(&self) -> Outpoint {
        let mut input = Decoder::new(self.previous_output);
        let id = input.hash("").unwrap_or_default();
        Outpoint { id, index: input.u32("").unwrap_or_default() }
    }
}

/// An output, still in the transaction's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OutputRef<'a> {
    /// Its value, in sompi, of which 100 000 000 are a kaspa.
    pub value: u64,
    /// The script that says who may spend it.
    pub script: &'a [u8],
}

/// One output of one transaction; shown as `id:index`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Outpoint {
    /// The transaction's id.
    pub id: Hash,
    /// Which of its outputs.
    pub index: u32,
}

impl fmt::Display for Outpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        padded(f, |f| write!(f, "{}:{}", self.id, self.index))
    }
}

impl FromStr for Outpoint {
    type Err = ParseError;

    /// Takes an id of 64 hex digits, a colon and a decimal number.
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
            rest: Decoder<'a>,
            left: usize,
        }

        impl<'a> Iterator for $name<'a> {
            type Item = $item<'a>;

            #[inline]
            fn next(&mut self) -> Option<$item<'a>> {
                self.left = self.left.checked_sub(1)?;
                let read: fn(&mut Decoder<'a>) -> Result<$item<'a>, DecodeError> = $read;
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
    /// The inputs of a transaction.
    Inputs, InputRef, |input| Ok(InputRef {
        previous_output: input.array("")?,
        signature_script: input.var_bytes("", u64::MAX)?,
        sequence: input.u64("")?,
    })
}

part_iterator! {
    /// The outputs of a transaction.
    Outputs, OutputRef, |input| Ok(OutputRef { value: input.u64("")?, script: input.var_bytes("", u64::MAX)? })
}

/// `tx`: a transaction, as validated bytes.
///
/// Build one from [`TxFields`], or receive one; either way every part is there and well-formed. (Whether it *means*
/// anything, such as whether its payload hash is that of its payload, is validation and not looked at.)
///
/// ```
/// use kaspa_peer::wire::{SubnetworkId, Transaction, TxFields, TxOutput};
///
/// let tx = Transaction::new(&TxFields {
///     version: 1,
///     outputs: vec![TxOutput { value: 5_000, script: vec![0x51] }],
///     ..TxFields::default()
/// })?;
/// assert_eq!(tx.outputs().next().map(|output| output.value), Some(5_000));
/// assert_eq!(tx.subnetwork(), SubnetworkId::NATIVE);
/// println!("{}", tx.id());
/// # Ok::<(), kaspa_peer::wire::EncodeError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Transaction {
    bytes: Box<[u8]>,
    layout: TxLayout,
}

impl Transaction {
    /// A transaction of these parts.
    ///
    /// # Errors
    ///
    /// When the protocol cannot carry it, see [`EncodeError`].
    pub fn new(fields: &TxFields) -> Result<Self, EncodeError> {
        fields.validate()?;
        let mut bytes = Vec::with_capacity(fields.size());
        let layout = fields.write_with_layout(&mut bytes);
        Ok(Self { bytes: bytes.into(), layout })
    }

    pub(super) fn from_vec(bytes: Vec<u8>) -> Result<Self, DecodeError> {
        let mut input = Decoder::new(&bytes);
        let layout = walk(&mut input)?;
        input.finish()?;
        Ok(Self { bytes: bytes.into(), layout })
    }

    /// Its bytes, as on the wire, without a copy.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes.into_vec()
    }

    /// The same transaction, to be passed around without its bytes.
    #[must_use]
    pub fn as_ref(&self) -> TxRef<'_> {
        TxRef::new(&self.bytes, self.layout)
    }
}

macro_rules! forward {
    ($($(#[$doc:meta])* $name:ident -> $result:ty;)*) => {
        impl Transaction {$(
            $(#[$doc])*
            #[must_use]
            pub fn $name(&self) -> $result {
                self.as_ref().$name()
            }
        )*}
    };
}

forward! {
    /// The transaction's version.
    version -> i32;
    /// Its inputs, in order.
    inputs -> Inputs<'_>;
    /// Its outputs, in order.
    outputs -> Outputs<'_>;
    /// The blue score, or from 500 000 000 on the unix second, after which it can be in a block; 0 for any.
    lock_time -> u64;
    /// The subnetwork it belongs to.
    subnetwork -> SubnetworkId;
    /// Its gas, see [`TxFields::gas`]; 0 for a native transaction.
    gas -> u64;
    /// The hash that it states for its payload, unchecked; `None` for a native transaction.
    payload_hash -> Option<Hash>;
    /// Its payload; `None` for a native transaction.
    payload -> Option<&[u8]>;
    /// Whether it is a coinbase transaction.
    is_coinbase -> bool;
    /// Its bytes, as on the wire.
    as_bytes -> &[u8];
    /// Its hash, see [`TxRef::hash`].
    hash -> Hash;
    /// Its id, by which outpoints, inventory and rejects name it, see [`TxRef::id`].
    id -> Hash;
    /// The parts as plain data, to change and build another from: a copy of each script.
    to_fields -> TxFields;
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}

impl TryFrom<&TxFields> for Transaction {
    type Error = EncodeError;

    fn try_from(fields: &TxFields) -> Result<Self, EncodeError> {
        Self::new(fields)
    }
}

impl TryFrom<TxFields> for Transaction {
    type Error = EncodeError;

    fn try_from(fields: TxFields) -> Result<Self, EncodeError> {
        Self::new(&fields)
    }
}

impl From<TxRef<'_>> for Transaction {
    fn from(tx: TxRef<'_>) -> Self {
        tx.to_transaction()
    }
}

impl Codec for Transaction {
    #[inline]
    fn read(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let mut ahead = Decoder::new(input.peek());
        let layout = walk(&mut ahead)?;
        Ok(Self { bytes: input.bytes(layout.len as usize, "transaction")?.into(), layout })
    }

    fn size(&self) -> usize {
        self.bytes.len()
    }

    fn check(&self) -> Result<(), EncodeError> {
        self.as_ref().check()
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes);
    }
}
