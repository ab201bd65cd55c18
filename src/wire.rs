//! The messages of the kaspa peer-to-peer protocol as plain data, and their encoding.
//!
//! The protocol is the one of kaspad v0.1.1, whose version number on the wire is [`PROTOCOL_VERSION`]. This module has
//! no threads and opens no sockets. It is enough on its own for programs that read captures, build frames, or do their
//! own I/O.
//!
//! | to | use |
//! |---|---|
//! | read messages from any stream or file | [`MessageReader`], [`read_message`] |
//! | write messages to any stream or file | [`write_message`] |
//! | decode bytes that arrive in pieces from other I/O | [`FrameDecoder`] |
//! | encode a message once and send it to many peers | [`Frame`] |
//! | handle any message, or know its type | [`Message`], [`Command`] |
//! | send and receive message types of your own | [`CustomPayload`], [`CustomMessage`] |
//! | build or inspect transactions and blocks | [`TxFields`], [`BlockFields`], [`Transaction`], [`Block`] |
//!
//! Each of the 25 messages has a payload type. It implements [`Payload`], to be decoded, and [`Encode`], to be sent. A
//! [`Transaction`] and a [`Block`] are validated bytes with iterators over their parts, because copying the parts would
//! cost more than the rest of decoding. All other payload types are plain structs.
//!
//! Decoding checks every byte of a payload, and reserves memory only for bytes that have arrived. [`FrameError`] and
//! [`DecodeError`] describe a mistake of the sender, [`EncodeError`] one of the caller.

mod address;
mod block;
mod block_header;
mod bloom_filter;
mod checksum;
mod codec;
mod command;
mod custom_message;
mod decoder;
mod encode;
mod error;
mod frame;
mod frame_header;
mod hash;
mod inventory;
mod list_traits;
mod locator;
mod message;
mod message_table;
mod network;
mod parse_error;
mod payload_limits;
mod reject;
mod request;
#[cfg(feature = "serde")]
mod serde_impls;
#[cfg(feature = "serde")]
mod serde_with;
mod services;
mod small_messages;
mod stream;
mod subnetwork;
mod summary;
mod transaction;
mod transaction_fields;
mod transaction_layout;
mod transaction_ref;
mod user_agent;
mod version;
mod wire_string;

pub use address::{Addr, AddressScope, GetAddr, NetAddress, TimedAddress};
pub use block::{Block, BlockFields, Transactions};
pub use block_header::{BlockHeader, GetHeaders, Headers};
pub use bloom_filter::{FilterAdd, FilterLoad, MerkleBlock};
pub use command::{Command, CustomCommand};
pub use custom_message::{CustomMessage, CustomPayload};
pub use decoder::FrameDecoder;
pub use encode::Encode;
pub use error::{DecodeError, EncodeError, FrameError, ReadError, WriteError};
pub use frame::{Frame, RawFrame};
pub(crate) use frame::{encode_frame, encode_sized};
pub use frame_header::HEADER_SIZE;
pub use hash::Hash;
pub use inventory::{GetData, Inv, Inventory, InventoryType, MAX_INVENTORY, NotFound};
pub use locator::{GetBlockInvs, GetLocator, Locator, SelectedTip};
pub(crate) use message::unboxed;
pub use message::{Message, Payload};
pub use message_table::MAX_PAYLOAD;
pub(crate) use message_table::for_each_message;
pub use network::Network;
pub use parse_error::ParseError;
pub use payload_limits::PayloadLimits;
pub use reject::{Reject, RejectCode};
pub use request::Request;
pub use services::Services;
pub use small_messages::{FeeFilter, FilterClear, GetSelectedTip, Ping, Pong, SendHeaders, VerAck};
pub use stream::{MessageReader, read_message, write_message};
pub use subnetwork::SubnetworkId;
pub use summary::Summary;
pub use transaction::Transaction;
pub use transaction_fields::{TxFields, TxInput, TxOutput};
pub use transaction_layout::{MAX_TX_INPUTS, MAX_TX_OUTPUTS};
pub use transaction_ref::{InputRef, Inputs, Outpoint, OutputRef, Outputs, TxRef};
pub use user_agent::{UserAgent, UserAgentError};
pub use version::{PROTOCOL_VERSION, Version};
pub use wire_string::WireString;
pub(crate) use wire_string::{Sanitised, padded};
