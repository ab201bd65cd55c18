//! `Message`, the enum of all messages, and the trait of the payload types.

use super::address::{Addr, GetAddr};
use super::block::{Block, BlockFields};
use super::block_header::{GetHeaders, Headers};
use super::bloom_filter::{FilterAdd, FilterLoad, MerkleBlock};
use super::codec::{Codec, Cursor};
use super::command::Command;
use super::custom_message::CustomMessage;
use super::encode::{Encode, sealed};
use super::error::{DecodeError, EncodeError};
use super::inventory::{GetData, Inv, NotFound};
use super::locator::{GetBlockInvs, GetLocator, Locator, SelectedTip};
use super::message_table::for_each_message;
use super::reject::Reject;
use super::small_messages::{FeeFilter, FilterClear, GetSelectedTip, Ping, Pong, SendHeaders, VerAck};
use super::transaction::Transaction;
use super::transaction_fields::TxFields;
use super::version::Version;

/// The type that [`Message`] holds for a payload type of the table: itself, or a box of it.
macro_rules! boxed {
    ($type:ident) => { $type };
    ($type:ident in $box:ident) => { $box<$type> };
}

/// The payload out of what [`Message`] holds.
macro_rules! unboxed {
    ($payload:ident) => {
        $payload
    };
    ($payload:ident in $box:ident) => {
        *$payload
    };
}
pub(crate) use unboxed;

/// The payload of one of the protocol's 25 messages. Sealed.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the payload of one of the protocol's 25 messages",
    note = "for a `CustomPayload`, use `Inbox::wait_for_custom` or `ScriptedRemote::expect_custom`, or `CustomMessage::from_payload` \
            and `CustomMessage::decode_as`"
)]
pub trait Payload: Encode + Into<Message> + TryFrom<Message, Error = Message> {
    /// The type of message.
    const COMMAND: Command;

    /// Decodes a whole payload.
    ///
    /// # Errors
    ///
    /// The first part that is malformed, and where it is.
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
    ($($variant:ident $type:ident $(in $box:ident)? $name:literal $limit:expr, $callback:ident, $doc:literal;)*) => {
        /// Any message: one variant for each of the protocol's 25, and one for all other commands.
        ///
        /// [`From`] converts a payload into a message, and [`TryFrom`] a message into its payload:
        ///
        /// ```
        /// use kaspa_peer::wire::{Message, Ping, Pong};
        ///
        /// let message = Message::from(Ping { nonce: 7 });
        /// assert_eq!(Ping::try_from(message.clone()), Ok(Ping { nonce: 7 }));
        /// assert_eq!(Pong::try_from(message.clone()), Err(message), "another type");
        /// ```
        // The large payloads of rare messages are boxed, because a message takes the space of the largest variant and
        // is moved several times.
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        #[non_exhaustive]
        pub enum Message {
            $(
                #[doc = concat!("`", $name, "`: ", $doc)]
                #[cfg_attr(feature = "serde", serde(rename = $name))]
                $variant(boxed!($type $(in $box)?)),
            )*
            /// A message whose command is not one of the protocol's 25.
            #[cfg_attr(feature = "serde", serde(rename = "unknown"))]
            Custom(CustomMessage),
        }

        impl Message {
            /// Decodes a whole payload of a message of type `command`.
            ///
            /// # Errors
            ///
            /// The first part that is malformed, and where it is.
            pub fn decode(command: Command, payload: &[u8]) -> Result<Self, DecodeError> {
                Self::decode_or(command, payload, |error| error)
            }

            /// Like [`decode`](Self::decode), with the error converted by `refuse`. Converting the result afterwards
            /// would move the message once more.
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
                /// The message, if it is of another type.
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
    /// Like [`decode`](Self::decode), but takes the buffer and keeps it in the message if it is a `block`, a `tx` or a
    /// custom message.
    ///
    /// # Errors
    ///
    /// The first part that is malformed, and where it is.
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

impl From<CustomMessage> for Message {
    fn from(message: CustomMessage) -> Self {
        Self::Custom(message)
    }
}
