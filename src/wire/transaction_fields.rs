//! The parts of a transaction as plain data, to build one from.

use super::codec::{Codec, Cursor, MAX_VAR_BYTES, Put, check_count, var_bytes_size, varint_size};
use super::transaction::{SMALLEST_TX, TxLayout, validate_tx};
use super::{
    DecodeError, EncodeError, Hash, InputRef, MAX_TX_INPUTS, MAX_TX_OUTPUTS, Outpoint, OutputRef, SubnetworkId,
    Transaction, TxRef,
};

/// An input as plain data.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct TxInput {
    /// The output that is spent.
    pub previous_output: Outpoint,
    /// The script that proves the right to spend it, at most 32 MiB with all else in the transaction.
    #[cfg_attr(feature = "serde", serde(with = "super::serde_impls::bytes"))]
    pub signature_script: Vec<u8>,
    /// The input's sequence number: a relative lock time as of BIP 68, or `u64::MAX` for none. Not interpreted here.
    pub sequence: u64,
}

/// An output as plain data.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct TxOutput {
    /// Its value, in sompi, of which 100 000 000 are a kaspa.
    pub value: u64,
    /// The script that says who may spend it, at most 32 MiB with all else in the transaction.
    #[cfg_attr(feature = "serde", serde(with = "super::serde_impls::bytes"))]
    pub script: Vec<u8>,
}

/// What a transaction is built from, see [`Transaction::new`]. Can also be sent as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct TxFields {
    /// The transaction's version.
    pub version: i32,
    /// Its inputs, at most [`MAX_TX_INPUTS`](super::MAX_TX_INPUTS).
    pub inputs: Vec<TxInput>,
    /// Its outputs, at most [`MAX_TX_OUTPUTS`](super::MAX_TX_OUTPUTS).
    pub outputs: Vec<TxOutput>,
    /// The blue score, or from 500 000 000 on the unix second, after which it can be in a block; 0 for any.
    pub lock_time: u64,
    /// The subnetwork it belongs to; the native one by default.
    pub subnetwork: SubnetworkId,
    /// Its gas, which a subnetwork limits for all its transactions in a block together; 0 for a native transaction, and in
    /// the built-in subnetworks.
    pub gas: u64,
    /// The hash of its payload: `None` for a native transaction. For others, `None` stands for the true hash.
    pub payload_hash: Option<Hash>,
    /// Its payload, at most 32 MiB with all else in the transaction: `None` for a native transaction. For others, `None`
    /// stands for an empty one.
    #[cfg_attr(feature = "serde", serde(with = "super::serde_impls::optional_bytes"))]
    pub payload: Option<Vec<u8>>,
}

impl TxFields {
    pub(super) fn from_parts(tx: TxRef<'_>) -> Self {
        Self {
            version: tx.version(),
            inputs: tx.inputs().map(TxInput::from).collect(),
            outputs: tx.outputs().map(TxOutput::from).collect(),
            lock_time: tx.lock_time(),
            subnetwork: tx.subnetwork(),
            gas: tx.gas(),
            payload_hash: tx.payload_hash(),
            payload: tx.payload().map(Into::into),
        }
    }

    fn payload_bytes(&self) -> &[u8] {
        self.payload.as_deref().unwrap_or_default()
    }

    /// Writes the transaction, and tells where its parts are in what was written.
    pub(super) fn write_with_layout(&self, out: &mut Vec<u8>) -> TxLayout {
        let start = out.len();
        self.write(out);
        // What was just written from checked fields is well-formed; walking it again is cheaper to trust than to
        // restate.
        let mut input = Cursor::new(out.get(start..).unwrap_or_default());
        validate_tx(&mut input).unwrap_or_default()
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
        Transaction::read(input).map(|tx| tx.to_fields())
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
