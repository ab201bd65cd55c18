//! The one table of messages, and the enum that is made from it.

use super::codec::{Codec, Cursor};
use super::{
    Addr, Block, BlockFields, Command, CustomMessage, DecodeError, EncodeError, FeeFilter, FilterAdd, FilterClear,
    FilterLoad, GetAddr, GetBlockInvs, GetData, GetHeaders, GetLocator, GetSelectedTip, Headers, Inv, Locator,
    MerkleBlock, NotFound, Ping, Pong, Reject, SelectedTip, SendHeaders, Transaction, TxFields, VerAck, Version,
};

/// Calls a macro with all that is to be known of each message: its variant, its payload type, whether [`Message`] keeps
/// it elsewhere, its name, its payload's limit in bytes, the listener's hook, and a few words. The only place in which
/// the 25 are listed.
macro_rules! for_each_message {
    ($macro:ident) => {
        $macro! {
            Version Version in Box "version" 394, on_version, "introduces a node.";
            VerAck VerAck "verack" 0, on_verack, "the `version` was taken note of.";
            GetAddr GetAddr "getaddr" 22, on_get_addr, "asks for addresses of nodes.";
            Addr Addr "addr" 22 + 9 + 1000 * 34, on_addr, "addresses of nodes.";
            GetBlockInvs GetBlockInvs "getblockinvs" 64, on_get_block_invs, "asks which blocks lie between two.";
            Inv Inv "inv" 9 + $crate::wire::MAX_INVENTORY * 36, on_inv, "announces blocks and transactions.";
            GetData GetData "getdata" 9 + $crate::wire::MAX_INVENTORY * 36, on_get_data, "asks for blocks and transactions.";
            NotFound NotFound "notfound" 9 + $crate::wire::MAX_INVENTORY * 36, on_not_found, "was asked for and is not there.";
            Block Block "block" $crate::wire::MAX_PAYLOAD, on_block, "a block.";
            Tx Transaction "tx" $crate::wire::MAX_PAYLOAD, on_tx, "a transaction.";
            GetHeaders GetHeaders "getheaders" 64, on_get_headers, "asks for the headers between two blocks.";
            Headers Headers "headers" $crate::wire::Headers::MAX_PAYLOAD, on_headers, "block headers.";
            Ping Ping "ping" 8, on_ping, "asks for a sign of life.";
            Pong Pong "pong" 8, on_pong, "a sign of life.";
            FilterLoad FilterLoad "filterload" 3 + 36_000 + 9, on_filter_load, "sets a bloom filter.";
            FilterAdd FilterAdd "filteradd" 3 + 520, on_filter_add, "adds to the bloom filter.";
            FilterClear FilterClear "filterclear" 0, on_filter_clear, "forgets the bloom filter.";
            MerkleBlock MerkleBlock in Box "merkleblock" $crate::wire::MAX_PAYLOAD, on_merkle_block, "a block reduced by a bloom filter.";
            Reject Reject in Box "reject" $crate::wire::MAX_PAYLOAD, on_reject, "says what was wrong with a message.";
            SendHeaders SendHeaders "sendheaders" 0, on_send_headers, "asks for new blocks as `headers`.";
            FeeFilter FeeFilter "feefilter" 8, on_fee_filter, "sets a least fee of interest.";
            GetLocator GetLocator "getlocator" 64, on_get_locator, "asks for a locator between two blocks.";
            Locator Locator "locator" 9 + 500 * 32, on_locator, "blocks with growing gaps.";
            GetSelectedTip GetSelectedTip "getseltip" 0, on_get_selected_tip, "asks for the selected tip.";
            SelectedTip SelectedTip "selectedtip" 32, on_selected_tip, "the selected tip.";
        }
    };
}
pub(crate) use for_each_message;

/// Calls a macro with the requests of that table whose answer is exactly one message, and the answer's type.
macro_rules! for_each_request {
    ($macro:ident) => {
        $macro! {
            GetAddr Addr;
            GetBlockInvs Inv;
            GetHeaders Headers;
            GetLocator Locator;
            GetSelectedTip SelectedTip;
        }
    };
}
pub(super) use for_each_request;

/// How [`Message`] holds a payload.
macro_rules! boxed {
    ($type:ident) => { $type };
    ($type:ident in $box:ident) => { $box<$type> };
}

/// The payload that [`Message`] held.
macro_rules! unboxed {
    ($payload:ident) => {
        $payload
    };
    ($payload:ident in $box:ident) => {
        *$payload
    };
}
pub(crate) use unboxed;

pub(super) mod sealed {
    pub trait Sealed {}
}

/// What can be sent: every payload type, [`Message`], and the plain parts of transactions and blocks. Sealed.
pub trait Encode: sealed::Sealed {
    /// The type of message.
    #[must_use]
    fn command(&self) -> Command;

    /// The length of its payload, in bytes.
    #[must_use]
    fn encoded_len(&self) -> usize;

    #[doc(hidden)]
    fn check_parts(&self) -> Result<(), EncodeError>;

    #[doc(hidden)]
    fn write_payload(&self, out: &mut Vec<u8>);

    /// Whether the protocol can carry it: checked before anything is written, by everything that sends.
    ///
    /// # Errors
    ///
    /// What stands in the way, see [`EncodeError`].
    fn validate(&self) -> Result<(), EncodeError> {
        self.validate_sized(self.encoded_len())
    }

    #[doc(hidden)]
    fn validate_sized(&self, length: usize) -> Result<(), EncodeError> {
        self.check_parts()?;
        let (command, max) = (self.command(), self.command().payload_limit());
        if length > max as usize { Err(EncodeError::TypeLimit { command, length, max }) } else { Ok(()) }
    }

    /// The payload.
    ///
    /// # Errors
    ///
    /// When the protocol cannot carry it.
    fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let length = self.encoded_len();
        self.validate_sized(length)?;
        let mut payload = Vec::with_capacity(length);
        self.write_payload(&mut payload);
        Ok(payload)
    }
}

/// The payload of one of the 25 messages. Sealed.
pub trait Payload: Encode + Into<Message> + TryFrom<Message, Error = Message> {
    /// The type of message.
    const COMMAND: Command;

    /// Reads a whole payload.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and where.
    fn decode(payload: &[u8]) -> Result<Self, DecodeError>;
}

#[inline]
fn decode_whole<T: Codec>(payload: &[u8]) -> Result<T, DecodeError> {
    let mut input = Cursor::new(payload);
    let message = T::read(&mut input)?;
    input.finish()?;
    Ok(message)
}

macro_rules! encode {
    ($type:ident $variant:ident) => {
        impl sealed::Sealed for $type {}

        impl Encode for $type {
            fn command(&self) -> Command {
                Command::$variant
            }

            fn encoded_len(&self) -> usize {
                self.size()
            }

            fn check_parts(&self) -> Result<(), EncodeError> {
                self.check()
            }

            fn write_payload(&self, out: &mut Vec<u8>) {
                self.write(out);
            }
        }
    };
}

encode!(TxFields Tx);
encode!(BlockFields Block);

macro_rules! messages {
    ($($variant:ident $type:ident $(in $box:ident)? $name:literal $limit:expr, $hook:ident, $doc:literal;)*) => {
        /// Any message. The rare large ones are boxed: every message is moved a few times on its way, at the size of the
        /// largest.
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        #[non_exhaustive]
        pub enum Message {
            $(
                #[doc = concat!("`", $name, "`: ", $doc)]
                #[cfg_attr(feature = "serde", serde(rename = $name))]
                $variant(boxed!($type $(in $box)?)),
            )*
            /// A message whose command this crate does not know.
            #[cfg_attr(feature = "serde", serde(rename = "unknown"))]
            Custom(CustomMessage),
        }

        impl Message {
            /// Reads a whole payload of a message of type `command`.
            ///
            /// # Errors
            ///
            /// What is wrong with it, and where.
            pub fn decode(command: Command, payload: &[u8]) -> Result<Self, DecodeError> {
                Self::decode_or(command, payload, |error| error)
            }

            /// Like [`decode`](Self::decode), for another type of error: to make one result of another moves the message.
            #[inline]
            pub(crate) fn decode_or<E>(
                command: Command,
                payload: &[u8],
                refuse: impl FnOnce(DecodeError) -> E,
            ) -> Result<Self, E> {
                Ok(match command {
                    $(Command::$variant => match $type::decode(payload) {
                        Ok(message) => Self::$variant(message.into()),
                        Err(error) => return Err(refuse(error)),
                    },)*
                    Command::Custom(command) => Self::Custom(CustomMessage { command, payload: payload.into() }),
                })
            }
        }

        impl Encode for Message {
            fn command(&self) -> Command {
                match self {
                    $(Self::$variant(_) => Command::$variant,)*
                    Self::Custom(message) => message.command(),
                }
            }

            fn encoded_len(&self) -> usize {
                match self {
                    $(Self::$variant(message) => message.encoded_len(),)*
                    Self::Custom(message) => message.encoded_len(),
                }
            }

            fn check_parts(&self) -> Result<(), EncodeError> {
                match self {
                    $(Self::$variant(message) => message.check_parts(),)*
                    Self::Custom(message) => message.check_parts(),
                }
            }

            fn write_payload(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::$variant(message) => message.write_payload(out),)*
                    Self::Custom(message) => message.write_payload(out),
                }
            }
        }

        $(
            encode!($type $variant);

            impl Payload for $type {
                const COMMAND: Command = Command::$variant;

                #[inline]
                fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
                    decode_whole(payload)
                }
            }

            impl From<$type> for Message {
                fn from(payload: $type) -> Self {
                    Self::$variant(payload.into())
                }
            }

            impl TryFrom<Message> for $type {
                /// The message, when it is of another type.
                type Error = Message;

                fn try_from(message: Message) -> Result<Self, Message> {
                    match message {
                        Message::$variant(payload) => Ok(unboxed!(payload $(in $box)?)),
                        other => Err(other),
                    }
                }
            }
        )*
    };
}

for_each_message!(messages);

impl Message {
    /// Like [`decode`](Self::decode), but keeps the buffer where the message is made of it: for `block`, `tx` and
    /// unknown commands.
    ///
    /// # Errors
    ///
    /// What is wrong with the payload, and where.
    pub fn decode_vec(command: Command, payload: Vec<u8>) -> Result<Self, DecodeError> {
        match command {
            Command::Block => Block::from_vec(payload).map(Self::Block),
            Command::Tx => Transaction::from_vec(payload).map(Self::Tx),
            Command::Custom(command) => Ok(Self::Custom(CustomMessage { command, payload })),
            _ => Self::decode(command, &payload),
        }
    }
}

impl sealed::Sealed for Message {}
