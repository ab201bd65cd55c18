//! The messages with an empty payload, and those with one number.

use super::codec::{Codec, Cursor, Put};
use super::error::DecodeError;

macro_rules! empty_messages {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        pub struct $name;

        impl Codec for $name {
            fn read(_: &mut Cursor<'_>) -> Result<Self, DecodeError> {
                Ok(Self)
            }

            fn size(&self) -> usize {
                0
            }

            fn write(&self, _: &mut Vec<u8>) {}
        }
    )*};
}

empty_messages! {
    /// `verack`: acknowledges the remote's `version`.
    VerAck;
    /// `filterclear`: removes the bloom filter.
    FilterClear;
    /// `sendheaders`: asks the receiver to announce new blocks by `headers` instead of `inv`.
    ///
    /// kaspad knows this message only in v0.1.1. Later versions disconnect.
    SendHeaders;
    /// `getseltip`: asks for the selected tip. The answer is a [`SelectedTip`](super::SelectedTip).
    ///
    /// kaspad disconnects from a node that does not answer within 30 to 45 seconds.
    GetSelectedTip;
}

macro_rules! nonce_messages {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        pub struct $name {
            /// The number that connects a `pong` with its `ping`. kaspad ignores a `pong` with nonce 0.
            pub nonce: u64,
        }

        impl Codec for $name {
            fn read(input: &mut Cursor<'_>) -> Result<Self, DecodeError> {
                input.u64("nonce").map(|nonce| Self { nonce })
            }

            fn size(&self) -> usize {
                8
            }

            fn write(&self, out: &mut Vec<u8>) {
                out.put_u64(self.nonce);
            }
        }
    )*};
}

nonce_messages! {
    /// `ping`: asks for a [`Pong`] with the same nonce.
    Ping;
    /// `pong`: answers a [`Ping`], with its nonce.
    Pong;
}

/// `feefilter`: asks the receiver not to announce transactions with a lower fee.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct FeeFilter {
    /// The minimum fee, in sompi per 1000 bytes. Negative values are carried unchanged.
    pub min_fee: i64,
}

impl Codec for FeeFilter {
    fn read(input: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        input.i64("minimum fee").map(|min_fee| Self { min_fee })
    }

    fn size(&self) -> usize {
        8
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.put_i64(self.min_fee);
    }
}
