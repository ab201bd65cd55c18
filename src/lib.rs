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
//! A node is a [`Config`], made once and used for all its connections, also when it dials again. The program dials and
//! accepts (through a proxy, if it likes) and hands the connection over; a [`Peer`] is the handle it gets. Here two
//! nodes in one process talk to each other:
//!
//! ```
//! use kaspa_peer::wire::{FeeFilter, Network};
//! use kaspa_peer::{Config, Peer};
//! use std::net::{TcpListener, TcpStream};
//!
//! let alice = Config::builder(Network::Simnet).user_agent("alice", "1.0.0").build()?;
//! let bob = Config::builder(Network::Simnet).user_agent("bob", "1.0.0").build()?;
//!
//! let door = TcpListener::bind("127.0.0.1:0")?;
//! let address = door.local_addr()?;
//! let to_bob = Peer::outbound(TcpStream::connect(address)?, address, &alice)?;
//! let (stream, from) = door.accept()?;
//! let to_alice = Peer::inbound(stream, from, &bob)?;
//!
//! to_bob.wait_for_handshake()?;
//! let remote = to_bob.remote().ok_or("no version")?;
//! assert_eq!(remote.user_agent.to_string(), "/kaspa-peer:0.1.0/bob:1.0.0/");
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
//! reader thread, one after the other, so that what they queue keeps its order:
//!
//! ```
//! use kaspa_peer::wire::{GetSelectedTip, Hash, Network, SelectedTip};
//! use kaspa_peer::{Config, Listener, Peer};
//! # use std::net::{TcpListener, TcpStream};
//!
//! struct Node;
//!
//! impl Listener for Node {
//!     fn on_get_selected_tip(&self, peer: &Peer, _: GetSelectedTip) {
//!         let _ = peer.queue_message(&SelectedTip { hash: Hash::of(b"our tip") });
//!     }
//! }
//!
//! let config = Config::builder(Network::Simnet).listener(Node).build()?;
//! # let other = Config::builder(Network::Simnet).build()?;
//! # let door = TcpListener::bind("127.0.0.1:0")?;
//! # let remote = Peer::outbound(TcpStream::connect(door.local_addr()?)?, door.local_addr()?, &other)?;
//! # let (stream, from) = door.accept()?;
//! let peer = Peer::inbound(stream, from, &config)?;
//! // … and on the other side:
//! remote.queue_message(&GetSelectedTip)?;
//! remote.ping()?; // answered after what was asked before it
//! assert_eq!(remote.remote().ok_or("no version")?.selected_tip, Hash::of(b"our tip"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Programs that prefer a loop use [`events()`](events()), a channel that any number of peers can share:
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
//! # let remote = Peer::outbound(TcpStream::connect(door.local_addr()?)?, door.local_addr()?, &other)?;
//! # let (stream, from) = door.accept()?;
//! let peer = Peer::inbound(stream, from, &config)?;
//! # remote.queue_message(&Ping { nonce: 5 })?;
//! # remote.queue_message(&Ping { nonce: 6 })?;
//! # remote.ping()?; remote.disconnect();
//! let mut pings = Vec::new();
//! for event in events {
//!     match event.kind {
//!         EventKind::Message(Message::Ping(ping)) => pings.push(ping.nonce),
//!         EventKind::Message(message) => println!("{}: {message}", event.peer), // a line each
//!         EventKind::Disconnected(reason) => {
//!             println!("gone: {reason}");
//!             break;
//!         }
//!         _ => {}
//!     }
//! }
//! assert!(pings.starts_with(&[5, 6])); // what the remote had sent
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
//! | [`queue_message`](Peer::queue_message) | as `queue_message`; the [`Receipt`] tells if it was written |
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
//! let receipt = peer.queue_message(&tx)?;
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
//! ```
//! use kaspa_peer::wire::{Hash, Inventory, Message, Network};
//! # use kaspa_peer::{Config, EventKind, Peer, events};
//! # use std::{net::{TcpListener, TcpStream}, time::Duration};
//! # let (listener, events) = events(100);
//! # let node = Config::builder(Network::Simnet).build()?;
//! # let other = Config::builder(Network::Simnet).listener(listener).build()?;
//! # let door = TcpListener::bind("127.0.0.1:0")?;
//! # let peer = Peer::outbound(TcpStream::connect(door.local_addr()?)?, door.local_addr()?, &node)?;
//! # let (stream, from) = door.accept()?;
//! # let remote = Peer::inbound(stream, from, &other)?;
//! # let messages = std::iter::from_fn(|| events.recv_timeout(Duration::from_secs(60)).ok());
//! # let mut heard = messages.filter_map(|event| match event.kind {
//! #     EventKind::Message(Message::Inv(inv)) => Some(inv.items),
//! #     _ => None,
//! # });
//!
//! // `heard` is what each `inv` that reaches the remote has in it.
//! peer.wait_for_handshake()?; // nobody is there before it
//! let block = Inventory::block(Hash::of(b"a block"));
//! let (known, new) = (Inventory::tx(Hash::of(b"known")), Inventory::tx(Hash::of(b"new")));
//! peer.queue_inventory(block)?;
//! peer.add_known_inventory(known); // as an `inv` of the remote would
//! peer.queue_inventories(&[known, new, new])?;
//! assert_eq!(heard.next(), Some(vec![block]));
//! assert_eq!(heard.next(), Some(vec![new]));
//!
//! let (low, high) = (Hash::ZERO, block.hash);
//! assert!(peer.push_get_block_invs(low, high)?);
//! assert!(!peer.push_get_block_invs(low, high)?, "asked a moment ago");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
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
//! assert_eq!(stats.received.of(Command::VerAck).messages, 1);
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
//! ```
//! # use kaspa_peer::{Config, Peer, wire::Network};
//! # use std::net::{TcpListener, TcpStream};
//! use kaspa_peer::{DisconnectReason, RateLimit, ScoreLimit};
//!
//! let config = Config::builder(Network::Simnet)
//!     .rate_limit(RateLimit::default().messages_per_second(500))
//!     .score_limit(ScoreLimit::new(100))
//!     .build()?;
//! # let other = Config::builder(Network::Simnet).build()?;
//! # let door = TcpListener::bind("127.0.0.1:0")?;
//! # let remote = Peer::outbound(TcpStream::connect(door.local_addr()?)?, door.local_addr()?, &other)?;
//! # let (stream, from) = door.accept()?;
//! let peer = Peer::inbound(stream, from, &config)?;
//! peer.wait_for_handshake()?;
//! assert_eq!(peer.misbehaved(60, "a block without work"), 60); // still welcome
//! peer.misbehaved(60, "and another");
//! let reason = peer.wait_for_disconnect()?;
//! assert_eq!(reason, DisconnectReason::Misbehaved { score: 120, what: "and another".into() });
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! ## Private networks
//!
//! [`Network::Custom`](wire::Network::Custom) takes any magic number; nothing else distinguishes a private network.
//! Commands that this crate does not know reach [`Listener::on_custom`], and
//! [`wire::CustomMessage`] sends them. The peer runs over whatever implements [`peer::Stream`], Unix sockets included.
//!
//! ```
//! # use std::{net::{TcpListener, TcpStream}, time::Duration};
//! use kaspa_peer::wire::{Network, CustomMessage};
//! use kaspa_peer::{Config, Listener, Peer};
//! use std::sync::mpsc::{Sender, channel};
//!
//! struct Lab(Sender<CustomMessage>);
//!
//! impl Listener for Lab {
//!     fn on_custom(&self, _: &Peer, message: CustomMessage) {
//!         let _ = self.0.send(message);
//!     }
//! }
//!
//! let lab = Network::Custom(0xcafe_0001);
//! let (heard, messages) = channel();
//! let config = Config::builder(lab).listener(Lab(heard)).build()?;
//! # let other = Config::builder(lab).build()?;
//! # let door = TcpListener::bind("127.0.0.1:0")?;
//! # let remote = Peer::outbound(TcpStream::connect(door.local_addr()?)?, door.local_addr()?, &other)?;
//! # let (stream, from) = door.accept()?;
//! let peer = Peer::inbound(stream, from, &config)?;
//! let measured = CustomMessage::new("measured", *b"42 ms")?;
//! remote.queue_message(&measured)?;
//! assert_eq!(messages.recv_timeout(Duration::from_secs(60))?, measured);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! ## Testing a node of one's own
//!
//! Two connected sockets and two configurations make two nodes in one test:
//!
//! ```
//! # use kaspa_peer::{Config, DisconnectReason, Peer, wire::Network};
//! # use std::{error::Error, net::{TcpListener, TcpStream}};
//! fn pair(alice: &Config, bob: &Config) -> Result<(Peer, Peer), Box<dyn Error>> {
//!     let door = TcpListener::bind("127.0.0.1:0")?;
//!     let to_bob = Peer::outbound(TcpStream::connect(door.local_addr()?)?, "bob:16511", alice)?;
//!     let (stream, from) = door.accept()?;
//!     let to_alice = Peer::inbound(stream, from, bob)?;
//!     to_bob.wait_for_handshake()?;
//!     to_alice.wait_for_handshake()?;
//!     Ok((to_bob, to_alice))
//! }
//!
//! let node = || Config::builder(Network::Simnet).build();
//! let (to_bob, to_alice) = pair(&node()?, &node()?)?;
//! to_bob.disconnect();
//! assert_eq!(to_alice.wait_for_disconnect()?, DisconnectReason::RemoteClosed { inside_frame: false });
//! # Ok::<(), Box<dyn Error>>(())
//! ```
//!
//! To play a remote that does odd things, [`wire::write_message`] and [`wire::read_message`] work on the bare socket:
//!
//! ```
//! # use kaspa_peer::{Config, DisconnectReason, HandshakeError, Peer};
//! # use std::net::{TcpListener, TcpStream};
//! use kaspa_peer::wire::{Command, Message, Network, Ping, read_message, write_message};
//!
//! let node = Config::builder(Network::Simnet).build()?;
//! let door = TcpListener::bind("127.0.0.1:0")?;
//! let mut remote = TcpStream::connect(door.local_addr()?)?;
//! let (stream, from) = door.accept()?;
//! let peer = Peer::inbound(stream, from, &node)?;
//!
//! write_message(&mut remote, &Ping { nonce: 1 }, Network::Simnet)?; // without a word of introduction
//! assert!(matches!(read_message(&mut remote, Network::Simnet)?, Message::Reject(_)));
//! let expected = HandshakeError::NotVersion { command: Command::Ping };
//! assert_eq!(peer.wait_for_disconnect()?, DisconnectReason::Handshake(expected));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Seeing what happens
//!
//! A [`Message`](wire::Message) can be printed: `{}` gives its name and a [`summary`](wire::Message::summary) in one line,
//! `{:?}` everything. Either is safe for a terminal. Payloads have only `{:?}`; `Message::from(payload)` has both.
//!
//! With the feature `serde`, everything in [`wire`] that is a message or a part of one, [`Stats`] and
//! [`DisconnectReason`] can be serialised and read back. In formats for people, JSON for one, hashes are text as
//! `Display` shows them, other bytes hex, services a number, text from the wire text or `{"hex": …}`, and a message is
//! an object under its command's name. Transactions and blocks are checked as if they had come over the wire.
//!
//! A [`Capture`](peer::Capture) records every frame with its peer, direction and time.
//!
//! The crate logs through [`log`](https://docs.rs/log); any logger will do, with `env_logger` for example `RUST_LOG=kaspa_peer=debug` shows
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
pub mod testing;
pub mod wire;

pub use peer::{
    AskError, CloseError, Config, ConfigBuilder, ConfigError, ConnectError, CustomCommands, DagView, Direction,
    DisconnectReason, Event, EventKind, HandshakeError, Inbox, IoOperation, Listener, Peer, PeerAddress,
    ProtocolViolation, QueueError, RateLimit, Receipt, ScoreLimit, StallRule, StartError, Stats, WaitError, WaitedFor,
    events,
};

/// The channels of [`events()`] and [`Receipt::receiver`], with `select!` and the error types.
pub use crossbeam_channel;

#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct Readme;
