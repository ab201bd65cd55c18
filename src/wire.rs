//! What is said: the messages of the kaspa peer-to-peer protocol as plain data, and their bytes.
//!
//! This half of the crate has no threads, no sockets and no clock; whoever wants to read a capture or make a frame
//! needs nothing else. From the outside in:
//!
//! - [`MessageReader`], [`read_message`] and [`write_message`] work on any reader and writer; [`FrameDecoder`] takes
//!   bytes as they come.
//! - A [`Frame`] is an encoded message that can be sent to many; a [`RawFrame`] is one off a stream, verified and not
//!   yet decoded.
//! - [`Message`] is any message, [`Command`] its name. Each of the 25 payload types implements [`Payload`] to be
//!   decoded and [`Encode`] to be sent, as do the plain parts of transactions and blocks, [`TxFields`] and
//!   [`BlockFields`].
//! - [`Transaction`] and [`Block`] are validated bytes with iterators; everything else is a plain struct.
//!
//! Every byte of a payload is checked before a message is made of it, and nothing is reserved for bytes that have not
//! arrived. What is wrong is told by [`FrameError`] and [`DecodeError`] (the sender's fault) or [`EncodeError`] (the
//! caller's).

mod address;
mod block;
mod body;
mod codec;
mod command;
mod custom;
mod decoder;
mod error;
mod filter;
mod frame;
mod hash;
mod header;
mod inventory;
mod limits;
mod lists;
mod locator;
mod message;
mod network;
mod reject;
mod request;
#[cfg(feature = "serde")]
pub(crate) mod serde_impls;
mod services;
mod signal;
mod stream;
mod subnetwork;
mod summary;
mod text;
mod tx;
mod tx_fields;
mod user_agent;
mod version;

pub use address::{Addr, AddressScope, GetAddr, NetAddress, TimedAddress};
pub use block::{Block, BlockFields, Transactions};
pub use command::{Command, CustomCommand};
pub use custom::{CustomMessage, CustomPayload};
pub use decoder::FrameDecoder;
pub use error::{DecodeError, EncodeError, FrameError, ParseError, ReadError, WriteError};
pub use filter::{FilterAdd, FilterLoad, MerkleBlock};
pub use frame::{Frame, HEADER_SIZE, MAX_PAYLOAD, RawFrame};
pub(crate) use frame::{encode_frame, encode_sized};
pub use hash::Hash;
pub use header::{BlockHeader, GetHeaders, Headers};
pub use inventory::{GetData, Inv, Inventory, InventoryType, MAX_INVENTORY, NotFound};
pub use limits::PayloadLimits;
pub use locator::{GetBlockInvs, GetLocator, Locator, SelectedTip};
pub use message::{Encode, Message, Payload};
pub(crate) use message::{for_each_message, released};
pub use network::Network;
pub use reject::{Reject, RejectCode};
pub use request::Request;
pub use services::Services;
pub use signal::{FeeFilter, FilterClear, GetSelectedTip, Ping, Pong, SendHeaders, VerAck};
pub use stream::{MessageReader, read_message, write_message};
pub use subnetwork::SubnetworkId;
pub use summary::Summary;
pub use text::WireString;
pub(crate) use text::{Sanitised, padded};
pub use tx::{InputRef, Inputs, MAX_TX_INPUTS, MAX_TX_OUTPUTS, Outpoint, OutputRef, Outputs, Transaction, TxRef};
pub use tx_fields::{TxFields, TxInput, TxOutput};
pub use user_agent::{UserAgent, UserAgentError};
pub use version::{PROTOCOL_VERSION, Version};
