//! Connections to other nodes, from the handshake until they end.
//!
//! A [`Peer`] is a connection to one remote. It needs a [`Config`], which describes this node, and a connected stream.
//! The program supplies the stream, or [`Peer::connect`] opens one. Three threads serve each peer until the connection
//! ends:
//!
//! ```text
//!             ┌──────────────┐ messages  ┌──────────┐
//!  socket ───►│ kpeer-N-read │──────────►│ Listener │  one callback for each message
//!             └──────┬───────┘           └──────────┘
//!                    │ pong, verack, reject
//!                    ▼
//!  queue_message  ┌───────┐ batches ┌───────────────┐
//!  ──────────────►│ queue │────────►│ kpeer-N-write │───► socket, then resolves Receipts
//!                 └───────┘         └───────────────┘
//!                    ▲ ping         ┌──────────────┐
//!                    └──────────────│ kpeer-N-ping │ sleeps until the next deadline
//!                                   └──────────────┘
//! ```
//!
//! N is the [id](Peer::id) of the peer. A debugger and `ps -T` show these names.
//!
//! # Errors
//!
//! The text of each error says in one line what went wrong and why, with the text of its cause. The values in the text
//! are also fields of the error. No error has a `source()`, so a program that prints the sources of errors does not
//! print the cause twice.

mod address;
mod capture;
mod config;
mod connection;
mod dag_view;
mod disconnect;
mod error;
mod events;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod handle;
mod inbox;
mod listener;
mod locks;
mod logging;
mod panic;
mod receipt;
mod rules;
mod settings;
mod stats;
mod stream;

pub use address::{Direction, PeerAddress};
pub use capture::{Capture, CaptureReader, CaptureRecord, Captured};
pub use config::Config;
pub use config::builder::ConfigBuilder;
pub use dag_view::DagView;
pub use disconnect::{DisconnectReason, HandshakeError, IoOperation, ProtocolViolation};
pub use error::{AskError, ConfigError, QueueError, StartError, WaitError, WaitedFor};
pub use events::{Event, EventKind, EventListener, events};
pub use handle::Peer;
pub use handle::connect::{AttemptError, ConnectError};
pub use handle::orderly_end::CloseError;
pub use inbox::{Inbox, InboxMessages};
pub use listener::Listener;
pub use receipt::Receipt;
pub use rules::rate_limit::RateLimit;
pub use rules::score::ScoreLimit;
pub use rules::stall_rule::StallRule;
pub use settings::{CustomCommands, OversizeFrames, Settings};
pub use stats::{Count, Counts, Remote, Stats, Traffic};
pub use stream::{Halves, Stream};
