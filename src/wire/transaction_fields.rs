//! The parts of a transaction as plain data, to build one from.

use super::codec::{Codec, Cursor, MAX_VAR_BYTES, Put, check_count, var_bytes_size, varint_size};
use super::error::{DecodeError, EncodeError};
use super::hash::Hash;
use super::subnetwork::SubnetworkId;
use super::transaction_layout::{MAX_TX_INPUTS, MAX_TX_OUTPUTS, SMALLEST_TX, TxLayout, validate_tx};
use super::transaction_ref::{InputRef, Outpoint, OutputRef, TxRef};

/// An input of a transaction, as plain data.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct TxInput {
    /// The output that the input spends.
    pub previous_output: Outpoint,
    /// The script that proves the right to spend the output. At most 32 MiB, together with the rest of the transaction.
    #[cfg_attr(feature = "serde", serde(with = "super::serde_with::bytes"))]
    pub signature_script: Vec<u8>,
    /// The sequence number: a relative lock time as of BIP 68, or `u64::MAX` for none. This crate does not interpret
    /// it.
    pub sequence: u64,
}

/// An output of a transaction, as plain data.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct TxOutput {
    /// The value, in sompi. A kaspa is 100 000 000 sompi.
    pub value: u64,
    /// The script that defines who may spend the output. At most 32 MiB, together with the rest of the transaction.
    #[cfg_attr(feature = "serde", serde(with = "super::serde_with::bytes"))]
    pub script: Vec<u8>,
}

/// The parts of a transaction, as plain data. Can be sent as they are, or built into a
/// [`Transaction`](super::Transaction).
///
/// The default is a native transaction of version 0 without inputs and outputs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct TxFields {
    /// The transaction's version.
    pub version: i32,
    /// The inputs, at most [`MAX_TX_INPUTS`].
    pub inputs: Vec<TxInput>,
    /// The outputs, at most [`MAX_TX_OUTPUTS`].
    pub outputs: Vec<TxOutput>,
    /// The earliest point at which a block may include the transaction: a blue score if below 500 000 000, otherwise a
    /// time in unix seconds. 0 for any block. This crate does not interpret it.
    pub lock_time: u64,
    /// The subnetwork that the transaction belongs to.
    pub subnetwork: SubnetworkId,
    /// The gas, of which a subnetwork limits the sum over its transactions in a block. Must be 0 for a native
    /// transaction and in the built-in subnetworks.
    pub gas: u64,
    /// The hash of the payload. Must be `None` for a native transaction. For others, `None` stands for the true hash.
    pub payload_hash: Option<Hash>,
    /// The payload. At most 32 MiB, together with the rest of the transaction. Must be `None` for a native transaction.
    /// For others, `None` stands for an empty payload.
    #[cfg_attr(feature = "serde", serde(with = "super::serde_with::optional_bytes"))]
    pub payload: Option<Vec<u8>>,
}

impl TxFields {
    fn payload_bytes(&self) -> &[u8] {
        self.payload.as_deref().unwrap_or_default()
    }

    /// Writes the transaction, and returns where its parts are. The fields must have passed [`check`](Codec::check).
    pub(super) fn write_with_layout(&self, out: &mut Vec<u8>) -> TxLayout {
        let start = out.len();
        self.write(out);
        // Checked fields write a well-formed transaction. Finding its parts again is simpler than computing where they
        // went.
        let mut input = Cursor::new(out.get(start..).unwrap_or_default());
        validate_tx(&mut input).unwrap_or_default()
    }
}

impl TxRef<'_> {
    /// The parts as plain data, to change and build another transaction from. Copies each script.
    #[must_use]
    pub fn to_fields(self) -> TxFields {
        TxFields {
            version: self.version(),
            inputs: self.inputs().map(TxInput::from).collect(),
            outputs: self.outputs().map(TxOutput::from).collect(),
            lock_time: self.lock_time(),
            subnetwork: self.subnetwork(),
            gas: self.gas(),
            payload_hash: self.payload_hash(),
            payload: self.payload().map(Into::into),
        }
    }
}

impl From<InputRef<'_>> for TxInput {
    fn from(input: InputRef<'_>) -> Self {
        Self {
            previous_output: input.previous_output(),
            signature_script: input.signature_script.into(),
            sequence: input.sequence,
        }
    }
}

impl From<OutputRef<'_>> for TxOutput {
    fn from(output: OutputRef<'_>) -> Self {
        Self { value: output.value, script: output.script.into() }
    }
}

impl Codec for TxFields {
    fn read(input: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let bytes = input.peek();
        let layout = validate_tx(input)?;
        let tx = bytes.get(..layout.len as usize).unwrap_or_default();
        Ok(TxRef::new(tx, layout).to_fields())
    }

    fn size(&self) -> usize {
        let inputs = self.inputs.iter().map(|input| 36 + var_bytes_size(&input.signature_script) + 8);
        let outputs = self.outputs.iter().map(|output| 8 + var_bytes_size(&output.script));
        let counts = varint_size(self.inputs.len() as u64) + varint_size(self.outputs.len() as u64);
        let tail = if self.subnetwork.is_native() { 0 } else { 8 + Hash::SIZE + var_bytes_size(self.payload_bytes()) };
        SMALLEST_TX - 2 + counts + inputs.sum::<usize>() + outputs.sum::<usize>() + tail
    }

    fn check(&self) -> Result<(), EncodeError> {
        if self.subnetwork.is_native() {
            let forbidden = [
                ("gas", self.gas != 0),
                ("payload", self.payload.is_some()),
                ("payload hash", self.payload_hash.is_some()),
            ];
            if let Some((field, _)) = forbidden.into_iter().find(|(_, present)| *present) {
                return Err(EncodeError::NativeTransaction { field });
            }
        } else if self.gas != 0 && self.subnetwork.is_built_in() {
            return Err(EncodeError::BuiltInGas { gas: self.gas });
        }
        check_count("inputs", self.inputs.len(), MAX_TX_INPUTS as u64)?;
        check_count("outputs", self.outputs.len(), MAX_TX_OUTPUTS as u64)?;
        let mut scripts = self.inputs.iter().map(|input| ("signature script", input.signature_script.len()));
        scripts.try_for_each(|(field, length)| check_count(field, length, MAX_VAR_BYTES))?;
        let mut scripts = self.outputs.iter().map(|output| ("output script", output.script.len()));
        scripts.try_for_each(|(field, length)| check_count(field, length, MAX_VAR_BYTES))
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.put_i32(self.version);
        out.put_varint(self.inputs.len() as u64);
        for input in &self.inputs {
            out.put_hash(&input.previous_output.id);
            out.put_u32(input.previous_output.index);
            out.put_var_bytes(&input.signature_script);
            out.put_u64(input.sequence);
        }
        out.put_varint(self.outputs.len() as u64);
        for output in &self.outputs {
            out.put_u64(output.value);
            out.put_var_bytes(&output.script);
        }
        out.put_u64(self.lock_time);
        out.put_bytes(&self.subnetwork.0);
        if !self.subnetwork.is_native() {
            let payload = self.payload_bytes();
            out.put_u64(self.gas);
            out.put_hash(&self.payload_hash.unwrap_or_else(|| Hash::of(payload)));
            out.put_var_bytes(payload);
        }
    }
}
