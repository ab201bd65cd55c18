//! Tools for tests of programs that use this crate, and for tests of other kaspa nodes.
//!
//! | to | use |
//! |---|---|
//! | connect two nodes of yours in one process | [`connect_peers`], [`connect_peers_over_tcp`] |
//! | wait for the messages of a peer in a test | an [`Inbox`](crate::Inbox) as its listener |
//! | play a remote that does whatever you tell it, also wrong things | [`ScriptedRemote`] |
//! | connect a node of yours to such a remote | [`connect_remote`], [`connect_remote_over_tcp`] |
//! | serve blocks and transactions to a node that downloads | [`DataStore`] |
//! | build a frame with a wrong part | [`TestFrame`] |
//! | get two connected streams | [`memory_pair`], [`tcp_pair`], or `UnixStream::pair()` on Unix |
//! | turn off what a peer does by itself | [`automatic_pongs`](crate::ConfigBuilder::automatic_pongs), [`answer_selected_tip`](crate::ConfigBuilder::answer_selected_tip) |
//!
//! The module is always part of the crate: it needs no other dependencies, and a program that does not use it does not
//! contain it.
//!
//! A test of a node, here one that has to end the connection of a remote that sends `ping` before its `version`:
//!
//! ```
//! use kaspa_peer::testing::{End, connect_remote};
//! use kaspa_peer::wire::{Command, Network, Ping, Reject};
//! use kaspa_peer::{Config, Direction, DisconnectReason, HandshakeError};
//!
//! let config = Config::builder(Network::Simnet).build()?;
//! let (peer, mut remote) = connect_remote(Direction::Inbound, &config)?;
//! remote.send(&Ping { nonce: 1 })?;
//! let reject: Reject = remote.expect()?;
//! assert_eq!(reject.command.to_string(), "ping");
//! assert_eq!(remote.expect_end()?, End::Closed);
//! let expected = HandshakeError::NotVersion { command: Command::Ping };
//! assert_eq!(peer.wait_for_disconnect()?, DisconnectReason::Handshake(expected));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod connect_peers;
mod data_store;
mod error;
mod frame_buffer;
mod memory_stream;
mod remote_stream;
mod scripted_remote;
mod test_frame;

pub use connect_peers::{connect_peers, connect_peers_over_tcp, connect_remote, connect_remote_over_tcp, tcp_pair};
pub use data_store::DataStore;
pub use error::{ConnectPeersError, End, ScriptError};
pub use memory_stream::{MemoryStream, memory_pair, memory_pair_with_capacity};
pub use remote_stream::RemoteStream;
pub use scripted_remote::ScriptedRemote;
pub use test_frame::TestFrame;
