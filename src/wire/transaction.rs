//! `tx`: transactions that own their bytes.

use super::codec::{Codec, Cursor};
use super::command::Command;
use super::encode::check_length;
use super::error::{DecodeError, EncodeError};
use super::hash::Hash;
use super::subnetwork::SubnetworkId;
use super::transaction_fields::TxFields;
use super::transaction_layout::{TxLayout, validate_tx};
use super::transaction_ref::{Inputs, Outputs, TxRef};
use std::fmt;

/// `tx`: a transaction, as validated bytes.
///
/// Decoding walks the bytes once, checks everything, and keeps three offsets. So a transaction is one allocation,
/// however many scripts it has.
///
/// Build one from [`TxFields`], or receive one. Either way every part is present and well-formed. Whether the
/// transaction is valid in the DAG is not checked, for example whether its payload hash is that of its payload.
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
    /// Builds a transaction from its parts.
    ///
    /// # Errors
    ///
    /// If the protocol cannot carry it, see [`EncodeError`].
    pub fn new(fields: &TxFields) -> Result<Self, EncodeError> {
        fields.check()?;
        let length = fields.size();
        check_length(Command::Tx, length)?;
        let mut bytes = Vec::with_capacity(length);
        let layout = fields.write_with_layout(&mut bytes);
        Ok(Self { bytes: bytes.into(), layout })
    }

    pub(super) fn from_vec(bytes: Vec<u8>) -> Result<Self, DecodeError> {
        let mut input = Cursor::new(&bytes);
        let layout = validate_tx(&mut input)?;
        input.finish()?;
        Ok(Self { bytes: bytes.into(), layout })
    }

    /// The transaction's encoding, without a copy.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes.into_vec()
    }

    /// The same transaction, borrowed.
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
    /// The inputs, in order.
    inputs -> Inputs<'_>;
    /// The outputs, in order.
    outputs -> Outputs<'_>;
    /// The earliest point at which a block may include the transaction, see [`TxFields::lock_time`].
    lock_time -> u64;
    /// The subnetwork that the transaction belongs to.
    subnetwork -> SubnetworkId;
    /// The gas, see [`TxFields::gas`]. 0 for a native transaction.
    gas -> u64;
    /// The hash that the transaction states for its payload. It is not checked against the payload. `None` for a native
    /// transaction.
    payload_hash -> Option<Hash>;
    /// The payload. `None` for a native transaction.
    payload -> Option<&[u8]>;
    /// `true` if this is a coinbase transaction, which is one of the coinbase subnetwork.
    is_coinbase -> bool;
    /// The transaction's encoding, which is the payload of the `tx` message.
    as_bytes -> &[u8];
    /// The transaction's hash, see [`TxRef::hash`].
    hash -> Hash;
    /// The transaction's id, which outpoints, inventory and rejects use, see [`TxRef::id`].
    id -> Hash;
    /// The parts as plain data, to change and build another transaction from. Copies each script.
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

impl TxRef<'_> {
    /// A transaction with a copy of the bytes.
    #[must_use]
    pub fn to_transaction(self) -> Transaction {
        Transaction { bytes: self.as_bytes().into(), layout: self.layout() }
    }
}

impl From<TxRef<'_>> for Transaction {
    fn from(tx: TxRef<'_>) -> Self {
        tx.to_transaction()
    }
}

impl Codec for Transaction {
    #[inline]
    fn read(input: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let mut ahead = Cursor::new(input.peek());
        let layout = validate_tx(&mut ahead)?;
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
