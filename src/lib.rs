//! The kaspa peer-to-peer protocol over blocking sockets, for programs that have no async runtime and want none.
//!
//! There are two rooms. [`wire`] is *what is said*: the 25 messages as plain data, and their bytes; it has no threads
//! and no sockets. [`peer`] is *how it is said*: one connection's life, served by three threads. The names that one
//! needs every day are here at the top.
//!
//! # A guided tour
//!
//! ## A first conversation
//!
//! A node is a [`Config`]. The program dials and accepts (through a proxy, if it likes) and hands the connection over;
//! a [`Peer`] is the handle it gets. Here two nodes in one process talk to each other:
//!
//! ```
//! use kaspa_peer::wire::{FeeFilter, Network};
//! use kaspa_peer::{Config, Peer};
//! use std::net::{TcpListener, TcpStream};
//!
//! let alice = Config::builder(Network::Simnet).user_agent("alice", "1.0.0", ["tour"]).build()?;
//! let bob = Config::builder(Network::Simnet).user_agent("bob", "1.0.0", ["tour"]).build()?;
//!
//! let door = TcpListener::bind("127.0.0.1:0")?;
//! let address = door.local_addr()?;
//! let to_bob = Peer::outbound(TcpStream::connect(address)?, address, &alice)?;
//! let (stream, from) = door.accept()?;
//! let to_alice = Peer::inbound(stream, from, &bob)?;
//!
//! to_bob.wait_for_handshake()?;
//! let remote = to_bob.remote().ok_or("no version")?;
//! assert_eq!(remote.user_agent.to_string(), "/kaspa-peer:0.1.0/bob:1.0.0(tour)/");
//! to_bob.queue_message(&FeeFilter { min_fee: 1000 })?;
//! println!("{:?} there and back", to_bob.ping()?);
//! # assert_eq!(to_alice.stats().received.of(kaspa_peer::wire::Command::FeeFilter).messages, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! `version`, `verack` and `pong` need no help. What is queued early goes out after the handshake.
//!
//! ## Callbacks or events
//!
//! A [`Listener`] has a method for each message, and does nothing in those that are left out. They run on the peer's own
//! reader thread, one after the other. Programs that prefer a loop use [`events()`](events()), a channel that any number of
//! peers can share:
//!
//! ```
//! use kaspa_peer::wire::{Message, Network, Ping};
//! use kaspa_peer::{Config, EventKind, Peer, events};
//! # use std::net::{TcpListener, TcpStream};
//!
//! let (listener, events) = events(100);
//! let config = Config::builder(Network::Simnet).listener(listener).build()?;
//! # let other = Config::builder(Network::Simnet).build()?;
//! # let door = TcpListener::bind("127.0.0.1:0")?;
//! # let address = door.local_addr()?;
//! # let remote = Peer::outbound(TcpStream::connect(address)?, address, &other)?;
//! # let (stream, from) = door.accept()?;
//! let peer = Peer::inbound(stream, from, &config)?;
//! # remote.queue_message(&Ping { nonce: 5 })?;
//! # let receipt = remote.queue_message_with_receipt(&Ping { nonce: 6 })?;
//! # receipt.wait()?; remote.ping()?; remote.disconnect();
//! for event in events {
//!     match event.kind {
//!         EventKind::Message(Message::Ping(ping)) => println!("{} pings with {}", event.peer, ping.nonce),
//!         EventKind::Message(message) => println!("{}: {message}", event.peer), // a line each
//!         EventKind::Disconnected(reason) => {
//!             println!("gone: {reason}");
//!             break;
//!         }
//!         _ => {}
//!     }
//! }
//! # drop(peer);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! ## Sending, and knowing that it was sent
//!
//! | method | when there is no room |
//! |---|---|
//! | [`queue_message`](Peer::queue_message) | gives [`QueueError::Full`] at once; the message was only lent |
//! | [`send_message`](Peer::send_message) | waits, for a limited time |
//! | [`queue_message_with_receipt`](Peer::queue_message_with_receipt) | as `queue_message`; the [`Receipt`] tells if it was written |
//! | [`queue_frame`](Peer::queue_frame), [`send_frame`](Peer::send_frame) | the same for a [`Frame`](wire::Frame), encoded once for any number of peers |
//!
//! ```
//! use kaspa_peer::wire::{Frame, Network, Transaction, TxFields};
//! use std::time::Duration;
//! # use kaspa_peer::{Config, Peer};
//! # use std::net::{TcpListener, TcpStream};
//! # let (alice, bob) = (Config::builder(Network::Simnet).build()?, Config::builder(Network::Simnet).build()?);
//! # let door = TcpListener::bind("127.0.0.1:0")?;
//! # let address = door.local_addr()?;
//! # let peer = Peer::outbound(TcpStream::connect(address)?, address, &alice)?;
//! # let (stream, from) = door.accept()?;
//! # let other = Peer::inbound(stream, from, &bob)?;
//!
//! let tx = Transaction::new(&TxFields { version: 1, ..TxFields::default() })?;
//! peer.send_message(&tx, Duration::from_secs(10))?;
//!
//! let receipt = peer.queue_message_with_receipt(&tx)?;
//! receipt.wait()?; // written to the socket, or why not
//!
//! let frame = Frame::encode(&tx, Network::Simnet)?;
//! for peer in [&peer, &other] {
//!     peer.queue_frame(&frame)?; // no encoding, no second checksum
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! ## Announcing what one has
//!
//! [`queue_inventory`](Peer::queue_inventory) announces a block at once. Transactions are collected and sent together every
//! 100 ms, without what the remote is known to have: what it announced itself, and what it has been told.
//! [`push_addresses`](Peer::push_addresses), [`push_get_block_invs`](Peer::push_get_block_invs) and their kin do the
//! like for other messages that nodes often send.
//!
//! ## Statistics
//!
//! ```
//! # use kaspa_peer::{Config, Peer, wire::{Command, Network}};
//! # use std::net::{TcpListener, TcpStream};
//! # let (alice, bob) = (Config::builder(Network::Simnet).build()?, Config::builder(Network::Simnet).build()?);
//! # let door = TcpListener::bind("127.0.0.1:0")?;
//! # let address = door.local_addr()?;
//! # let peer = Peer::outbound(TcpStream::connect(address)?, address, &alice)?;
//! # let (stream, from) = door.accept()?;
//! # let other = Peer::inbound(stream, from, &bob)?;
//! # peer.wait_for_handshake()?;
//! let stats = peer.stats();
//! println!("{} bytes received", stats.received.total().bytes);
//! println!("{} of them in blocks", stats.received.of(Command::Block).bytes);
//! println!("at best {:?} there and back", stats.min_rtt);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! ## Endings
//!
//! A peer ends for one [`DisconnectReason`], which [`wait_for_disconnect`](Peer::wait_for_disconnect),
//! [`on_disconnect`](Listener::on_disconnect) and the event channel tell alike, as the last that they tell of that peer.
//! When `wait_for_disconnect` returns, the threads are gone. Dropping the last handle disconnects.
//!
//! ```
//! # use kaspa_peer::{Config, Peer, wire::Network};
//! # use std::net::{TcpListener, TcpStream};
//! use kaspa_peer::{DisconnectReason, HandshakeError};
//!
//! let node = Config::builder(Network::Simnet).build()?;
//! let door = TcpListener::bind("127.0.0.1:0")?;
//! let address = door.local_addr()?;
//! let out = Peer::outbound(TcpStream::connect(address)?, address, &node)?;
//! let (stream, from) = door.accept()?;
//! let peer = Peer::inbound(stream, from, &node)?; // a node that dialled itself
//! let reason = peer.wait_for_disconnect()?;
//! assert_eq!(reason, DisconnectReason::Handshake(HandshakeError::SelfConnection));
//! println!("{peer} went away: {reason}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! ## Hostile remotes
//!
//! Every byte from the wire is taken as hostile: nothing is reserved for what a remote merely claims, no wait is without
//! an end, and text is shown so that it can do no harm. [`Config`] has the timers and limits. Off unless set are
//! [`rate_limit`](ConfigBuilder::rate_limit), which slows a remote down, and
//! [`score_limit`](ConfigBuilder::score_limit), which ends it for what the program calls misbehaving. How many
//! connections to accept, and from whom, is the program's to decide: every peer costs three threads.
//!
//! ## Private networks
//!
//! [`Network::Custom`](wire::Network::Custom) takes any magic number; nothing else distinguishes a private network.
//! Commands that this crate does not know reach [`Listener::on_unknown`], and
//! [`wire::Unknown`] sends them. The peer runs over whatever implements [`peer::Stream`], Unix sockets included.
//!
//! ## Testing a node of one's own
//!
//! Two connected sockets (`TcpListener` on port 0, or `UnixStream::pair()`) and two configurations make two nodes in one test, as in the first
//! example above. To play a remote that does odd things, [`wire::write_message`] and [`wire::read_message`] work on
//! the bare socket.
//!
//! # Seeing what happens
//!
//! A [`Message`](wire::Message) can be printed: `{}` gives its name and a [`summary`](wire::Message::summary) in one line,
//! `{:?}` everything. Either is safe for a terminal.
//!
//! With the feature `serde`, everything in [`wire`] that is a message or a part of one, [`Stats`] and
//! [`DisconnectReason`] can be serialised and read back. In formats for people, JSON for one, hashes are text as
//! `Display` shows them, other bytes hex, services a number, text from the wire text or `{"hex": …}`, and a message is
//! an object under its command's name. Transactions and blocks are checked as if they had come over the wire.
//!
//! A [`Capture`](peer::Capture) records every frame with its peer, direction and time.
//!
//! The crate logs through [`log`]; any logger will do, with `env_logger` for example `RUST_LOG=kaspa_peer=debug` shows
//! it. Nothing is formatted at a level that is off.
//!
//! | target | `info` | `debug` | `trace` | `warn`, `error` |
//! |---|---|---|---|---|
//! | `kaspa_peer::life` | connected, handshake done, gone and why | the version spoken | | a panic in `on_disconnect` |
//! | `kaspa_peer::received` | | each message in a line, with its summary; what is ignored or slowed down | all that is in it | malformed messages that are tolerated |
//! | `kaspa_peer::sent` | | the same; what could not be sent | all that is in it | a reject that lacks its hash |
//! | `kaspa_peer::capture` | | | | a capture that had to stop |
//!
//! Threads are called `kpeer-N-read`, `kpeer-N-write` and `kpeer-N-ping`, N being the peer's
//! id.

// What a remote sends must not find anything that panics.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

pub mod guide;
pub mod peer;
pub mod wire;

pub use peer::{
    Config, ConfigBuilder, ConfigError, DagView, Direction, DisconnectReason, Event, EventKind, HandshakeError,
    IoOperation, Listener, Peer, PeerAddress, ProtocolViolation, QueueError, RateLimit, Receipt, ScoreLimit, StallRule,
    StartError, Stats, UnknownCommands, WaitError, events,
};

#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct Readme;
