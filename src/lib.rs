//! The kaspa peer-to-peer protocol over blocking sockets, for programs that have no async runtime and want none.
//!
//! The protocol is the one of **kaspad v0.1.1** (February 2020). The daemons v0.2.0, v0.3.1 and v0.5.0 speak this
//! protocol too, but do not know three of its 25 messages. Today's kaspa network speaks another protocol, which this
//! crate does not know.
//!
//! The crate has three parts:
//!
//! - [`wire`]: the 25 messages as plain data, and their encoding. It has no threads and opens no sockets.
//! - [`peer`]: connections to other nodes, from the handshake until the connection ends, and why it ended.
//! - [`testing`]: tools for tests, such as two connected peers, connections in memory, and a remote that the test
//!   controls.
//!
//! The types that most programs need are also here, at the top of the crate. The [`guide`] has [short
//! programs](guide::recipes) for common tasks, a table for readers who know [kaspad's Go
//! packages](guide::coming_from_go), and a page on [security](guide::security).
//!
//! # The threads of a peer
//!
//! A *peer* is this side of one connection, and the *remote* is the node at the other end. Each [`Peer`] has three
//! threads, which sleep until there is something to do. A peer without traffic takes some 50 KiB of memory and no
//! processor time.
//!
//! ```text
//!             ┌──────────────┐ messages  ┌──────────┐
//!  socket ───►│ kpeer-N-read │──────────►│ Listener │  or events(), or an Inbox
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
//! # A guided tour
//!
//! ## Connect
//!
//! A [`Config`] describes your node. Build it once, and use it for all connections of the node. [`Peer::connect`] dials
//! a remote and waits for the handshake. [`Peer::inbound`] starts a peer on a connection that your program has
//! accepted. Here one thread accepts a connection, and the other thread dials:
//!
//! ```
//! use kaspa_peer::wire::Network;
//! use kaspa_peer::{Config, Peer};
//! use std::net::TcpListener;
//! use std::time::Duration;
//!
//! let server = TcpListener::bind("127.0.0.1:0")?;
//! let address = server.local_addr()?.to_string();
//! let accepting = std::thread::spawn(move || {
//!     let node = Config::builder(Network::Simnet).user_agent("server", "1.0.0").build().unwrap();
//!     let (stream, from) = server.accept().unwrap();
//!     let peer = Peer::inbound(stream, from, &node).unwrap();
//!     peer.wait_for_disconnect().unwrap()
//! });
//!
//! let node = Config::builder(Network::Simnet).user_agent("client", "1.0.0").build()?;
//! let peer = Peer::connect(&address, Duration::from_secs(10), &node)?;
//! let remote = peer.remote().ok_or("no version")?;
//! assert!(remote.user_agent.to_string().ends_with("/server:1.0.0/"));
//! println!("{peer} answers after {:?}", peer.ping()?);
//!
//! peer.disconnect();
//! println!("the server's peer: {}", accepting.join().unwrap());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! To dial through a proxy, connect to the proxy yourself, and pass the stream to [`Peer::outbound`]. A peer works over
//! any [`peer::Stream`], such as a TCP or Unix socket, or a type of your own.
//!
//! The library sends `version`, `verack` and `pong` by itself. Messages that you queue before the handshake are sent
//! after this node's `verack`.
//!
//! ## Ask
//!
//! [`Peer::ask`] sends a request and returns the answer. [`Peer::fetch_block`] and [`Peer::fetch_transaction`] fetch
//! one block or transaction from the remote. When a remote sends requests to your node, the library answers `ping`, and
//! `getseltip` if your node has a [`DagView`]. Your program answers all other requests.
//!
//! ```
//! use kaspa_peer::AskError;
//! use kaspa_peer::wire::{GetAddr, GetSelectedTip};
//! use std::time::Duration;
//! # use kaspa_peer::{Config, DagView, Listener, Peer, wire::*};
//! # struct Node;
//! # impl DagView for Node {
//! #     fn selected_tip(&self) -> Hash { Hash::of(b"tip") }
//! # }
//! # impl Listener for Node {
//! #     fn on_get_addr(&self, peer: &Peer, _: GetAddr) { let _ = peer.queue_message(&Addr::default()); }
//! #     fn on_get_data(&self, peer: &Peer, request: GetData) { let _ = peer.queue_message(&NotFound::from(request.items)); }
//! # }
//! # let other = Config::builder(Network::Simnet).dag(Node).listener(Node).build()?;
//! # let config = Config::builder(Network::Simnet).build()?;
//! # let (peer, remote) = kaspa_peer::testing::connect_peers(&config, &other)?;
//!
//! let timeout = Duration::from_secs(30);
//! let tip = peer.ask(&GetSelectedTip, timeout)?;
//! let known = peer.ask(&GetAddr::all(), timeout)?;
//! println!("the selected tip is {}, and {} addresses are known", tip.hash, known.addresses.len());
//! match peer.fetch_block(tip.hash, timeout) {
//!     Ok(block) => println!("{} transactions", block.transactions().len()),
//!     Err(AskError::NotFound { .. }) => println!("the remote does not have its own tip"),
//!     Err(error) => return Err(error.into()),
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! ## Receive
//!
//! | with | your code runs on | suits |
//! |---|---|---|
//! | a [`Listener`]: a callback for each type of message | the peer's reader thread | nodes, and everything that must be fast |
//! | [`events()`](events()): a channel | a thread of yours, for any number of peers | programs with one main loop |
//! | an [`Inbox`]: waits for the next message of a type | a thread of yours, for one connection | scripts and tests |
//!
//! The callbacks for messages run one after the other, in the order in which the messages arrived. While such a
//! callback runs, the peer reads nothing.
//!
//! ```
//! use kaspa_peer::wire::{GetData, Inv, Network};
//! use kaspa_peer::{Config, Listener, Peer};
//! # use kaspa_peer::wire::{Hash, Inventory};
//!
//! /// Requests everything that the remote announces.
//! struct Download;
//!
//! impl Listener for Download {
//!     fn on_inv(&self, peer: &Peer, inv: Inv) {
//!         if let Err(error) = peer.queue_message(&GetData::from(inv.items)) {
//!             println!("{peer}: {error}");
//!         }
//!     }
//! }
//!
//! let config = Config::builder(Network::Simnet).listener(Download).build()?;
//! # let inbox = kaspa_peer::Inbox::new();
//! # let other = Config::builder(Network::Simnet).listener(inbox.clone()).build()?;
//! # let (remote, peer) = kaspa_peer::testing::connect_peers(&other, &config)?;
//! # let items = vec![Inventory::block(Hash::of(b"a block"))];
//! # remote.queue_message(&Inv { items: items.clone() })?;
//! # assert_eq!(inbox.wait_for::<GetData>(std::time::Duration::from_secs(60))?.items, items);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! This program receives messages as events:
//!
//! ```
//! use kaspa_peer::wire::{Message, Network};
//! use kaspa_peer::{Config, EventKind, events};
//! # use kaspa_peer::{Peer, wire::Ping};
//!
//! let (listener, events) = events(100);
//! let config = Config::builder(Network::Simnet).listener(listener).build()?;
//! # let other = Config::builder(Network::Simnet).build()?;
//! # let (remote, peer) = kaspa_peer::testing::connect_peers(&other, &config)?;
//! # drop(config);
//! # remote.queue_message(&Ping { nonce: 5 })?;
//! # remote.ping()?; remote.disconnect();
//! # drop(peer);
//! # let mut pings = 0;
//! // … start peers with `config`, then:
//! for event in events {
//!     match event.kind {
//!         EventKind::Message(Message::Ping(ping)) => println!("{} pings with {}", event.peer, ping.nonce),
//!         EventKind::Message(message) => println!("{}: {message}", event.peer),
//!         EventKind::Handshake => println!("{}: connected", event.peer),
//!         EventKind::Disconnected(reason) => println!("{}: {reason}", event.peer),
//!         _ => {}
//!     }
//! #   pings += 1;
//! }
//! # assert!(pings >= 4, "version, verack, two pings, the handshake and the end");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! ## Send
//!
//! | method | if there is no room in the outbound queue |
//! |---|---|
//! | [`queue_message`](Peer::queue_message) | returns [`QueueError::Full`] at once |
//! | [`send_message`](Peer::send_message) | waits for room, up to its timeout. It already waits when 256 KiB are queued (the high-water mark), not only at the limit of 8 MiB |
//! | [`queue_frame`](Peer::queue_frame), [`send_frame`](Peer::send_frame) | as above; these methods send a [`Frame`](wire::Frame), which is encoded once for any number of peers |
//!
//! All of these methods return a [`Receipt`], which says whether the message was written to the socket. A program that
//! does not need the receipt can drop it. [`send_and_ping`](Peer::send_and_ping) sends a message and waits until the
//! remote has handled it.
//!
//! ```
//! use kaspa_peer::wire::{Frame, Network, Transaction, TxFields};
//! use std::time::Duration;
//! # use kaspa_peer::{Config, Peer};
//! # let (alice, bob) = (Config::builder(Network::Simnet).build()?, Config::builder(Network::Simnet).build()?);
//! # let (peer, other) = kaspa_peer::testing::connect_peers(&alice, &bob)?;
//!
//! let tx = Transaction::new(&TxFields { version: 1, ..TxFields::default() })?;
//! peer.send_message(&tx, Duration::from_secs(10))?;
//!
//! let receipt = peer.queue_message(&tx)?;
//! receipt.wait()?; // an error says why the message was not written
//!
//! let frame = Frame::encode(&tx, Network::Simnet)?;
//! for peer in [&peer, &other] {
//!     peer.queue_frame(&frame)?; // neither encodes nor hashes again
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! ## Announce
//!
//! [`queue_inventory`](Peer::queue_inventory) announces a block at once. The peer collects all other items and sends
//! them together every 100 ms. The peer skips items that the remote already has: the items that the remote announced,
//! and the items that this peer announced to the remote.
//!
//! ```
//! use kaspa_peer::wire::{Hash, Inv, Inventory, Network};
//! # use kaspa_peer::{Config, Inbox, Peer};
//! # use std::time::Duration;
//! # let inbox = Inbox::new();
//! # let node = Config::builder(Network::Simnet).build()?;
//! # let other = Config::builder(Network::Simnet).listener(inbox.clone()).build()?;
//! # let (peer, remote) = kaspa_peer::testing::connect_peers(&node, &other)?;
//! # let next_inv = || inbox.wait_for::<Inv>(Duration::from_secs(60)).map(|inv| inv.items);
//!
//! peer.wait_for_handshake()?; // before the handshake, the peer drops announcements
//! let block = Inventory::block(Hash::of(b"a block"));
//! let (known, new) = (Inventory::tx(Hash::of(b"known")), Inventory::tx(Hash::of(b"new")));
//! peer.queue_inventory(block)?;
//! peer.add_known_inventory(known); // as if the remote had announced it
//! peer.queue_inventories(&[known, new, new])?;
//!
//! // `next_inv` returns the items of the next `inv` that the remote receives.
//! assert_eq!(next_inv()?, [block]);
//! assert_eq!(next_inv()?, [new]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The methods [`push_addresses`](Peer::push_addresses), [`push_get_block_invs`](Peer::push_get_block_invs),
//! [`push_get_headers`](Peer::push_get_headers), [`push_get_locator`](Peer::push_get_locator),
//! [`push_locator`](Peer::push_locator) and [`push_reject`](Peer::push_reject) queue other common messages. As in
//! kaspad, the methods for `getblockinvs` and `getheaders` do not repeat their last request, and `push_addresses` cuts
//! a long list of addresses down to a random selection.
//!
//! ## Observe
//!
//! [`Peer::stats`] returns a snapshot of the state and the counters of a peer:
//!
//! ```
//! # use kaspa_peer::{Config, Peer, wire::Network};
//! use kaspa_peer::wire::Command;
//!
//! # let (alice, bob) = (Config::builder(Network::Simnet).build()?, Config::builder(Network::Simnet).build()?);
//! # let (peer, other) = kaspa_peer::testing::connect_peers(&alice, &bob)?;
//! # peer.wait_for_handshake()?;
//! let stats = peer.stats();
//! println!("{} bytes received, {} of them in blocks", stats.received.total().bytes, stats.received.of(Command::Block).bytes);
//! println!("shortest round trip: {:?}", stats.min_rtt);
//! assert_eq!(stats.received.of(Command::VerAck).messages, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! For a [`Message`](wire::Message), `{}` shows its command and a [`summary`](wire::Message::summary), and `{:?}` shows
//! all of its content. Both texts are safe for terminals, whatever the remote has sent.
//!
//! A [`Capture`] records each frame of a node's peers in a file. [`CaptureReader`] reads this file, and the program
//! `kpeer inspect` shows it.
//!
//! The crate logs with [`log`](https://docs.rs/log). It formats nothing for a level that is off. With `env_logger`, for
//! example, `RUST_LOG=kaspa_peer=debug` shows these targets:
//!
//! | target | `info` | `debug` | `trace` | `warn`, `error` |
//! |---|---|---|---|---|
//! | `kaspa_peer::life` | connected, handshake done, the reason the connection ended | the negotiated protocol version | | a panic in `on_disconnect` |
//! | `kaspa_peer::received` | | each message in one line; ignored messages; pauses for the rate limit | the content of each message | a malformed message after which the peer stays connected (only on `Regtest`, with a remote that has a loopback address) |
//! | `kaspa_peer::sent` | | each message in one line; messages that could not be sent | the content of each message | a call of `push_reject` for a block or transaction without its hash |
//! | `kaspa_peer::capture` | | | | a capture that stopped or dropped records |
//!
//! ## End
//!
//! | method | what happens to queued messages |
//! |---|---|
//! | [`disconnect`](Peer::disconnect), or dropping the last handle | the peer drops the messages |
//! | [`close`](Peer::close) | the peer sends the messages, within a timeout |
//! | [`disconnect_with`](Peer::disconnect_with) | the peer sends the messages, and then a last `reject`, within 2 s |
//!
//! A connection ends for one [`DisconnectReason`]. [`wait_for_disconnect`](Peer::wait_for_disconnect), the last
//! callback [`on_disconnect`](Listener::on_disconnect) and the last event report the same reason. When
//! `wait_for_disconnect` returns, all threads of the peer have exited.
//!
//! ```
//! # use kaspa_peer::{Config, Peer, wire::Network};
//! # use std::net::{TcpListener, TcpStream};
//! use kaspa_peer::{DisconnectReason, HandshakeError};
//!
//! // A node that dials itself.
//! let node = Config::builder(Network::Simnet).build()?;
//! let server = TcpListener::bind("127.0.0.1:0")?;
//! let address = server.local_addr()?;
//! let outbound = Peer::outbound(TcpStream::connect(address)?, address, &node)?;
//! let (stream, from) = server.accept()?;
//! let inbound = Peer::inbound(stream, from, &node)?;
//! let reason = inbound.wait_for_disconnect()?;
//! assert_eq!(reason, DisconnectReason::Handshake(HandshakeError::SelfConnection));
//! println!("{inbound}: {reason}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! ## Different peers of one node
//!
//! [`Config::with_listener`] gives a connection a listener of its own, with the data of that connection. It returns a
//! second configuration that describes the same node: the peer ids continue to count up, and a connection of the node
//! to itself is still detected. [`Config::with_stall_rules`] gives a connection its own timeouts for the answers to
//! requests.
//!
//! ```
//! use kaspa_peer::wire::{Hash, Network, SelectedTip};
//! use kaspa_peer::{Config, Listener, Peer};
//! use std::sync::{Arc, Mutex};
//! # use std::net::{TcpListener, TcpStream};
//!
//! /// The state of one connection.
//! struct Tip(Arc<Mutex<Hash>>);
//!
//! impl Listener for Tip {
//!     fn on_selected_tip(&self, _: &Peer, message: SelectedTip) {
//!         *self.0.lock().unwrap() = message.hash;
//!     }
//! }
//!
//! let node = Config::builder(Network::Simnet).build()?;
//! # let other = Config::builder(Network::Simnet).build()?;
//! # let server = TcpListener::bind("127.0.0.1:0")?;
//! # let remote = Peer::outbound(TcpStream::connect(server.local_addr()?)?, server.local_addr()?, &other)?;
//! let (stream, from) = server.accept()?;
//! let tip = Arc::new(Mutex::new(Hash::ZERO));
//! let peer = Peer::inbound(stream, from, &node.with_listener(Tip(tip.clone())))?;
//! # remote.send_and_ping(&SelectedTip { hash: Hash::of(b"tip") }, std::time::Duration::from_secs(60))?;
//! # assert_eq!(*tip.lock().unwrap(), Hash::of(b"tip"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! ## Hostile remotes
//!
//! The library trusts no byte from the wire. It allocates memory for bytes that have arrived, not for lengths that a
//! remote claims. By default, every wait for a remote has a timeout. Text from a remote is displayed without control
//! characters. [`ConfigBuilder`] has the settings for timeouts and limits. Two limits are off by default.
//! [`rate_limit`](ConfigBuilder::rate_limit) slows a remote down. [`score_limit`](ConfigBuilder::score_limit)
//! disconnects a remote that your program has given too many points for misbehaviour. Your program also decides which
//! connections become peers. Limit their number: each peer has three threads.
//!
//! ```
//! # use kaspa_peer::{Peer, wire::Network};
//! # use std::net::{TcpListener, TcpStream};
//! use kaspa_peer::{Config, DisconnectReason, RateLimit, ScoreLimit};
//!
//! let config = Config::builder(Network::Simnet)
//!     .rate_limit(RateLimit::default().messages_per_second(500))
//!     .score_limit(ScoreLimit::new(100))
//!     .build()?;
//! # let other = Config::builder(Network::Simnet).build()?;
//! # let server = TcpListener::bind("127.0.0.1:0")?;
//! # let remote = Peer::outbound(TcpStream::connect(server.local_addr()?)?, server.local_addr()?, &other)?;
//! # let (stream, from) = server.accept()?;
//! let peer = Peer::inbound(stream, from, &config)?;
//! peer.wait_for_handshake()?;
//! assert_eq!(peer.misbehaved(60, "a block without work"), 60); // below the limit
//! peer.misbehaved(60, "a second one");
//! let reason = peer.wait_for_disconnect()?;
//! assert_eq!(reason, DisconnectReason::Misbehaved { score: 120, what: "a second one".into() });
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! ## Private networks and your own messages
//!
//! [`Network::Custom`](wire::Network::Custom) takes any magic number. On the wire, networks differ only in their magic
//! numbers. A type of your own becomes a message when it implements [`wire::CustomPayload`]. [`Listener::on_custom`]
//! receives the messages whose command is not one of the protocol's 25. Do not send such messages to kaspad: it
//! disconnects.
//!
//! ```
//! use kaspa_peer::wire::{CustomMessage, CustomPayload, Network};
//! use kaspa_peer::{Config, Listener, Peer};
//! use std::sync::mpsc::{Sender, channel};
//! # use std::time::Duration;
//!
//! #[derive(Debug, PartialEq)]
//! struct Temperature(i32);
//!
//! impl CustomPayload for Temperature {
//!     const COMMAND: &'static str = "temperature";
//!     type Error = std::array::TryFromSliceError;
//!
//!     fn write(&self, payload: &mut Vec<u8>) {
//!         payload.extend(self.0.to_le_bytes());
//!     }
//!
//!     fn read(payload: &[u8]) -> Result<Self, Self::Error> {
//!         payload.try_into().map(i32::from_le_bytes).map(Self)
//!     }
//! }
//!
//! struct Station(Sender<Temperature>);
//!
//! impl Listener for Station {
//!     fn on_custom(&self, peer: &Peer, message: CustomMessage) {
//!         match message.decode_as::<Temperature>() {
//!             Some(Ok(temperature)) => drop(self.0.send(temperature)),
//!             Some(Err(error)) => println!("{peer}: {error}"),
//!             None => {} // another command
//!         }
//!     }
//! }
//!
//! let network = Network::Custom(0xcafe_0001);
//! let (sender, temperatures) = channel();
//! let station = Config::builder(network).listener(Station(sender)).build()?;
//! let sensor = Config::builder(network).build()?;
//! # let (peer, remote) = kaspa_peer::testing::connect_peers(&sensor, &station)?;
//! // `peer` is a connection from the sensor to the station.
//! peer.queue_message(&CustomMessage::from_payload(&Temperature(21))?)?;
//! assert_eq!(temperatures.recv_timeout(Duration::from_secs(60))?, Temperature(21));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! ## Test your own node
//!
//! [`testing::connect_peers`] connects two nodes in memory. A [`testing::ScriptedRemote`] follows the protocol only as
//! far as the test wants: it can send wrong checksums, wrong lengths and parts of frames, and it can close or reset the
//! connection. An [`Inbox`] waits for the messages of a peer. [`send_and_ping`](Peer::send_and_ping) sends a message
//! and waits until the remote has handled it.
//!
//! ```
//! use kaspa_peer::testing::connect_remote;
//! use kaspa_peer::wire::{FeeFilter, Network, Ping, Pong, Reject};
//! use kaspa_peer::{Config, Direction, DisconnectReason};
//!
//! let node = Config::builder(Network::Simnet).build()?;
//! let (peer, mut remote) = connect_remote(Direction::Inbound, &node)?;
//! remote.shake_hands()?;
//! remote.send(&Ping { nonce: 7 })?;
//! assert_eq!(remote.expect::<Pong>()?, Pong { nonce: 7 });
//!
//! remote.send_with_wrong_checksum(&FeeFilter { min_fee: 1 })?;
//! remote.expect::<Reject>()?;
//! assert!(matches!(peer.wait_for_disconnect()?, DisconnectReason::Malformed(_)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Features
//!
//! No feature is on by default.
//!
//! | feature | effect |
//! |---|---|
//! | `serde` | The types of [`wire`] that are messages or parts of messages, [`Stats`] and its parts, [`DisconnectReason`] and its parts, [`PeerAddress`] and [`Direction`] implement `Serialize` and `Deserialize`. No other part of the API depends on a feature. |
//!
//! In text formats such as JSON, hashes are written as `Display` shows them, other bytes as hex, and services as a
//! number. Text from the wire is written as text, or as `{"hex": …}` if it is not UTF-8. A message is an object whose
//! only key is the command. Deserializing validates a transaction or a block in the same way as decoding does.
//!
//! # Examples
//!
//! The directory `examples` of the repository has seven programs of about a hundred lines. The README lists them. Run
//! one with `cargo run --example NAME`, for example `two_peers`.
//!
//! The package `examples/kpeer` is a command line tool for real networks: it serves, downloads, crawls, relays,
//! inspects and measures.

// On nightly, for docs.rs: items that need a feature say so.
#![cfg_attr(docsrs, feature(doc_cfg))]
// Bytes from a remote must not reach code that panics.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

pub mod guide;
pub mod peer;
pub mod testing;
pub mod wire;

#[doc(inline)]
pub use peer::{
    AskError, Capture, CaptureReader, CaptureRecord, Captured, CloseError, Config, ConfigBuilder, ConfigError,
    ConnectError, CustomCommands, DagView, Direction, DisconnectReason, Event, EventKind, HandshakeError, Inbox,
    IoOperation, Listener, OversizeFrames, Peer, PeerAddress, ProtocolViolation, QueueError, RateLimit, Receipt,
    ScoreLimit, Settings, StallRule, StartError, Stats, WaitError, WaitedFor, events,
};

/// A re-export of `crossbeam_channel`. [`events()`] and [`Receipt::receiver`] return channels of `crossbeam_channel`.
/// Its macro `select!` waits for several channels at once.
pub use crossbeam_channel;

#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct Readme;
