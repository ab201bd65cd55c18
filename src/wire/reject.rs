//! `reject`, and its codes.

use super::codec::{Codec, Cursor, MAX_VAR_BYTES, Put, check_count, var_bytes_size};
use super::command::Command;
use super::error::{DecodeError, EncodeError};
use super::hash::Hash;
use super::wire_string::WireString;
use std::fmt;

/// The reason of a [`Reject`], as a number. Numbers without a name are carried unchanged.
///
/// Displays as in kaspad, for example `REJECT_DUST`, and as `REJECT_0xee` for a number without a name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct RejectCode(pub u8);

impl RejectCode {
    /// The message does not decode.
    pub const MALFORMED: Self = Self(0x01);
    /// The message, transaction or block breaks a rule.
    pub const INVALID: Self = Self(0x10);
    /// The sender's protocol version is too old.
    pub const OBSOLETE: Self = Self(0x11);
    /// The message, transaction or block was received before.
    pub const DUPLICATE: Self = Self(0x12);
    /// The transaction or block was not requested. kaspad knows this code from v0.5.0 on.
    pub const NOT_REQUESTED: Self = Self(0x13);
    /// The transaction is valid, but of a kind that is not relayed.
    pub const NONSTANDARD: Self = Self(0x40);
    /// An output of the transaction has too small a value.
    pub const DUST: Self = Self(0x41);
    /// The transaction's fee is too low.
    pub const INSUFFICIENT_FEE: Self = Self(0x42);
    /// The block contradicts a block that is final.
    pub const FINALITY: Self = Self(0x43);
    /// The block's difficulty is wrong.
    pub const DIFFICULTY: Self = Self(0x44);
}

impl From<u8> for RejectCode {
    fn from(number: u8) -> Self {
        Self(number)
    }
}

impl From<RejectCode> for u8 {
    fn from(code: RejectCode) -> Self {
        code.0
    }
}

impl fmt::Display for RejectCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match *self {
            Self::MALFORMED => "REJECT_MALFORMED",
            Self::INVALID => "REJECT_INVALID",
            Self::OBSOLETE => "REJECT_OBSOLETE",
            Self::DUPLICATE => "REJECT_DUPLICATE",
            Self::NOT_REQUESTED => "REJECT_NOT_REQUESTED",
            Self::NONSTANDARD => "REJECT_NONSTANDARD",
            Self::DUST => "REJECT_DUST",
            Self::INSUFFICIENT_FEE => "REJECT_INSUFFICIENTFEE",
            Self::FINALITY => "REJECT_FINALITY",
            Self::DIFFICULTY => "REJECT_DIFFICULTY",
            Self(other) => return f.pad(&format!("REJECT_0x{other:02x}")),
        })
    }
}

impl fmt::Debug for RejectCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// `reject`: tells a node why its message was rejected.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Reject {
    /// The command of the rejected message. It may be any string, at most 32 MiB together with the rest of the message.
    pub command: WireString,
    /// The reason.
    pub code: RejectCode,
    /// The reason in words, at most 32 MiB together with the rest of the message.
    pub reason: WireString,
    /// The hash of the rejected block, or the id of the rejected transaction. Encoded only if the command is `block` or
    /// `tx`, and then `None` becomes [`Hash::ZERO`].
    pub hash: Option<Hash>,
}

impl Reject {
    /// A reject without a hash. For `block` and `tx`, set [`hash`](Self::hash) too.
    #[must_use]
    pub fn new(command: impl Into<WireString>, code: RejectCode, reason: impl Into<WireString>) -> Self {
        Self { command: command.into(), code, reason: reason.into(), hash: None }
    }

    /// `true` if the rejected message is a block or a transaction, so that a hash follows.
    pub(crate) fn names_object(&self) -> bool {
        Self::names_an_object(self.command.as_bytes())
    }

    fn names_an_object(command: &[u8]) -> bool {
        command == Command::Block.name().as_bytes() || command == Command::Tx.name().as_bytes()
    }
}

impl Codec for Reject {
    fn read(input: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let command = input.var_bytes("rejected command", MAX_VAR_BYTES)?;
        let code = RejectCode(input.u8("reject code")?);
        let reason = input.var_bytes("reject reason", MAX_VAR_BYTES)?;
        let hash = if Self::names_an_object(command) { Some(input.hash("rejected hash")?) } else { None };
        let (command, reason) = (WireString::from_bytes(command), WireString::from_bytes(reason));
        Ok(Self { command, code, reason, hash })
    }

    fn size(&self) -> usize {
        let hash = if self.names_object() { Hash::SIZE } else { 0 };
        var_bytes_size(self.command.as_bytes()) + 1 + var_bytes_size(self.reason.as_bytes()) + hash
    }

    fn check(&self) -> Result<(), EncodeError> {
        check_count("rejected command", self.command.as_bytes().len(), MAX_VAR_BYTES)?;
        check_count("reject reason", self.reason.as_bytes().len(), MAX_VAR_BYTES)
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.put_var_bytes(self.command.as_bytes());
        out.put_u8(self.code.0);
        out.put_var_bytes(self.reason.as_bytes());
        if self.names_object() {
            out.put_hash(&self.hash.unwrap_or_default());
        }
    }
}
