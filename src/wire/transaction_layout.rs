//! Validates the bytes of a transaction, and finds its parts.

use super::codec::{Cursor, MAX_VAR_BYTES};
use super::error::DecodeError;
use super::subnetwork::SubnetworkId;

/// The most inputs that a transaction can have, by the protocol.
pub const MAX_TX_INPUTS: usize = 818_401;

/// The most outputs that a transaction can have, by the protocol.
pub const MAX_TX_OUTPUTS: usize = 3_728_271;

/// The offsets of a transaction's parts from its start, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) struct TxLayout {
    /// The output count.
    pub outputs: u32,
    /// The lock time, after the last output.
    pub tail: u32,
    /// The end.
    pub len: u32,
}

impl TxLayout {
    /// `true` if the transaction ends with its subnetwork, which only a native one does.
    pub fn is_native(self) -> bool {
        self.len - self.tail == 8 + 20
    }
}

/// The size of the smallest transaction, in bytes: version, two counts, lock time, native subnetwork.
pub(super) const SMALLEST_TX: usize = 4 + 1 + 1 + 8 + SubnetworkId::SIZE;

/// Validates the transaction at the cursor, moves the cursor past it, and returns where its parts are.
// Always inlined, so that the result stays in registers: on its way through memory it costs a stall for each
// transaction.
#[inline(always)]
pub(super) fn validate_tx(input: &mut Cursor<'_>) -> Result<TxLayout, DecodeError> {
    let start = input.at();
    // A payload is at most 32 MiB, so the offsets fit.
    let offset = |input: &Cursor<'_>| u32::try_from(input.at() - start).unwrap_or(u32::MAX);
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
