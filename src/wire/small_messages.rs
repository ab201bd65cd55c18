//! The small messages: nothing, or one number.

use super::DecodeError;
use super::codec::{Codec, Cursor, Put};

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
    /// `verack`: the `version` was taken note of.
    VerAck;
    /// `filterclear`: forgets the bloom filter.
    FilterClear;
    /// `sendheaders`: asks to be told of new blocks by `headers` instead of `inv`.
    SendHeaders;
    /// `getseltip`: asks for the selected tip.
    GetSelectedTip;
}

macro_rules! nonce_messages {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        pub struct $name {
            /// The number by which the answer is recognised.
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
    /// `ping`: asks for a sign of life.
    Ping;
    /// `pong`: answers a `ping` with its nonce.
    Pong;
}

/// `feefilter`: asks not to be told of transactions that pay less.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct FeeFilter {
    /// The least fee of interest, in sompi for 1000 bytes. Negative values are carried as they are.
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
