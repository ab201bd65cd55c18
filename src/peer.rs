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
mod ask;
mod capture;
mod config;
mod connect;
mod connection;
mod custom;
mod dag_view;
mod disconnect;
mod error;
mod events;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod inbox;
mod listener;
mod locks;
mod logging;
mod orderly_end;
mod panic;
mod push;
mod receipt;
mod rules;
mod settings;
mod stats;
mod stream;

pub use address::{Direction, PeerAddress};
pub use capture::{Capture, CaptureReader, CaptureRecord, Captured};
pub use config::Config;
pub use config::builder::ConfigBuilder;
pub use connect::{AttemptError, ConnectError};
pub use dag_view::DagView;
pub use disconnect::{DisconnectReason, HandshakeError, IoOperation, ProtocolViolation};
pub use error::{AskError, ConfigError, QueueError, StartError, WaitError, WaitedFor};
pub use events::{Event, EventKind, EventListener, events};
pub use inbox::{Inbox, InboxMessages};
pub use listener::Listener;
pub use orderly_end::CloseError;
pub use receipt::Receipt;
pub use rules::rate_limit::RateLimit;
pub use rules::score::ScoreLimit;
pub use rules::stall_rule::StallRule;
pub use settings::{CustomCommands, OversizeFrames, Settings};
pub use stats::{Count, Counts, Remote, Stats, Traffic};
pub use stream::{Halves, Stream};

use crate::wire::{Encode, Frame, Hash, Inventory, ParseError, Ping, padded};
use connection::outbound::Wait;
use connection::shared::Shared;
use crossbeam_channel::{Receiver, bounded, select};
use std::{
    convert::Infallible,
    fmt, hash,
    net::SocketAddr,
    panic::{RefUnwindSafe, UnwindSafe},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

/// How long [`Peer::ping`] waits for the pong.
const PING_TIMEOUT: Duration = Duration::from_secs(30);

/// A handle to the connection with one remote.
///
/// Cloning a handle is cheap, and all clones refer to the same connection. Every method can be called from any thread.
/// Handles are equal if they refer to the same connection. When the last handle is dropped, the peer disconnects. A
/// callback only borrows a handle: clone the handle to use the peer after the callback.
///
/// # How to get one
///
/// | to | call |
/// |---|---|
/// | dial a node and wait for the handshake | [`Peer::connect`] |
/// | use a connection that the remote made | [`Peer::inbound`] |
/// | use a connection that your program made, for example through a proxy | [`Peer::outbound`] |
///
/// # What to do with it
///
/// | to | call |
/// |---|---|
/// | ask and get the answer | [`ask`](Self::ask), [`fetch_block`](Self::fetch_block), [`fetch_transaction`](Self::fetch_transaction), [`ping`](Self::ping) |
/// | send | [`queue_message`](Self::queue_message), [`send_message`](Self::send_message), [`send_and_ping`](Self::send_and_ping); [`queue_frame`](Self::queue_frame) and [`send_frame`](Self::send_frame) for the same bytes to many peers; [`queue_custom`](Self::queue_custom) and [`send_custom`](Self::send_custom) for payload types of your own; the `push_` methods for some common messages |
/// | announce | [`queue_inventory`](Self::queue_inventory), [`queue_inventories`](Self::queue_inventories), [`add_known_inventory`](Self::add_known_inventory) |
/// | observe | [`remote`](Self::remote), [`stats`](Self::stats), [`is_connected`](Self::is_connected), [`is_handshake_done`](Self::is_handshake_done), [`address`](Self::address), [`local_addr`](Self::local_addr), [`id`](Self::id) |
/// | end | [`disconnect`](Self::disconnect), [`close`](Self::close), [`disconnect_with`](Self::disconnect_with), [`misbehaved`](Self::misbehaved), [`wait_for_disconnect`](Self::wait_for_disconnect), [`disconnect_reason`](Self::disconnect_reason) |
///
/// The first word of a name says when the method returns:
///
/// | name | returns when | if the outbound queue is full |
/// |---|---|---|
/// | `queue_…`, `push_…` | the message is queued: these methods never wait | returns an error |
/// | `send_…` | the message is queued | waits for room, up to its timeout |
/// | `ask`, `fetch_…`, `ping` | the answer has arrived, or the timeout has passed | returns an error |
/// | `wait_for_…` | the event in the name has happened; the `_timeout` variants also return after the timeout | – |
///
/// Two methods do more than their first word says. [`send_and_ping`](Self::send_and_ping) also waits for the answer to
/// its `ping`. [`push_reject_and_wait`](Self::push_reject_and_wait) also waits until its message is written.
///
/// No method waits in a callback of the same peer: a call that would have to wait returns an error instead.
///
/// ```
/// use kaspa_peer::wire::{FeeFilter, Network};
/// use kaspa_peer::{Config, Peer};
/// use std::time::Duration;
///
/// # let server = std::net::TcpListener::bind("127.0.0.1:0")?;
/// # let address = server.local_addr()?.to_string();
/// # let other = Config::builder(Network::Simnet).build()?;
/// # let node = std::thread::spawn(move || {
/// #     let (stream, from) = server.accept().unwrap();
/// #     Peer::inbound(stream, from, &other).unwrap().wait_for_disconnect()
/// # });
/// let config = Config::builder(Network::Simnet).user_agent("demo", "1.0.0").build()?;
/// let peer = Peer::connect(&address, Duration::from_secs(10), &config)?;
/// println!("connected to {peer}, round trip {:?}", peer.ping()?);
/// peer.queue_message(&FeeFilter { min_fee: 1000 })?;
/// peer.close(Duration::from_secs(10))?;
/// println!("{}", peer.wait_for_disconnect()?);
/// # let _ = node.join();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "dropping the last handle of a peer disconnects it"]
pub struct Peer {
    shared: Arc<Shared>,
    /// `true` if this handle keeps the connection open. The handles of the peer's own threads do not.
    counted: bool,
}

/// A panic in the program's code cannot leave a peer in an inconsistent state, because the library holds no lock of the
/// peer while it runs code of the program.
impl UnwindSafe for Peer {}
impl RefUnwindSafe for Peer {}

impl Peer {
    /// Starts a peer on a connection that the remote made.
    ///
    /// `address` is the remote's address, as `accept` returns it. The threads of the peer do the handshake; use
    /// [`wait_for_handshake`](Self::wait_for_handshake) to wait for it. Callbacks may run before this method returns,
    /// even the last callback, [`on_disconnect`](Listener::on_disconnect).
    ///
    /// ```
    /// use kaspa_peer::{Config, Peer, wire::Network};
    /// use std::net::TcpListener;
    ///
    /// let config = Config::builder(Network::Simnet).build()?;
    /// let server = TcpListener::bind("127.0.0.1:0")?;
    /// # let remote = std::net::TcpStream::connect(server.local_addr()?)?;
    /// let (stream, from) = server.accept()?;
    /// let peer = Peer::inbound(stream, from, &config)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`StartError`] if `address` is text that cannot be parsed, if the stream cannot be set up, or if a thread cannot
    /// be started. After an error, the connection is closed, and no callback has run.
    pub fn inbound(
        stream: impl Stream,
        address: impl TryInto<PeerAddress, Error: Into<ParseError>>,
        config: &Config,
    ) -> Result<Self, StartError> {
        connection::start::start(stream, address.try_into().map_err(Into::into)?, Direction::Inbound, config)
    }

    /// Starts a peer on a connection that this side made, for example through a proxy. To dial directly, use
    /// [`connect`](Self::connect).
    ///
    /// `address` is the address of the remote, which may be a host name. If the connection goes through a proxy, pass
    /// the address of the node behind the proxy, not the address of the proxy. Callbacks may run before this method
    /// returns, even the last callback, [`on_disconnect`](Listener::on_disconnect).
    ///
    /// # Errors
    ///
    /// As [`inbound`](Self::inbound).
    pub fn outbound(
        stream: impl Stream,
        address: impl TryInto<PeerAddress, Error: Into<ParseError>>,
        config: &Config,
    ) -> Result<Self, StartError> {
        connection::start::start(stream, address.try_into().map_err(Into::into)?, Direction::Outbound, config)
    }

    /// The id of the peer. The peers of one node have the ids 1, 2, 3 and so on, in the order in which they were
    /// started.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.shared.id
    }

    /// The address of the remote, as it was given to the constructor.
    #[must_use]
    pub fn address(&self) -> &PeerAddress {
        &self.shared.address
    }

    /// The side that made the connection.
    #[must_use]
    pub fn direction(&self) -> Direction {
        self.shared.direction
    }

    /// The address of this side of the connection, or `None` if the stream has no IP address. See
    /// [`Stream::local_addr`].
    ///
    /// ```
    /// use kaspa_peer::testing::tcp_pair;
    /// use kaspa_peer::{Config, Peer, wire::Network};
    ///
    /// let (dialled, accepted) = tcp_pair()?;
    /// let config = Config::builder(Network::Simnet).build()?;
    /// let peer = Peer::outbound(dialled, accepted.local_addr()?, &config)?;
    /// assert_eq!(peer.local_addr(), Some(accepted.peer_addr()?));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.shared.local_addr
    }

    /// The settings with which the peer was started.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        self.shared.settings()
    }

    /// The content of the remote's `version`; `None` before the `version` has arrived.
    #[must_use]
    pub fn remote(&self) -> Option<Remote> {
        self.shared.state.lock().remote.clone()
    }

    /// The state and the counters of the peer, in one consistent snapshot.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// Returns whether the remote's selected tip is in our [`DagView`]. Returns `false` before the remote's `version` has arrived.
    #[must_use]
    pub fn is_selected_tip_known(&self) -> bool {
        let tip = self.remote().map(|remote| remote.selected_tip);
        tip.zip(self.settings().dag()).is_some_and(|(tip, dag)| dag.is_known(&tip))
    }

    /// Records what the remote's selected tip is, for [`Remote::selected_tip`]. Nothing is sent. The library sets the tip from the remote's `version`
    /// and `selectedtip` messages. Call this method if the program learns of a new tip in another way. Does nothing
    /// before the remote's `version` has arrived.
    pub fn set_selected_tip(&self, tip: Hash) {
        self.shared.set_selected_tip(tip);
    }

    /// Waits until both sides have sent `version` and `verack`. The
    /// [handshake timeout](super::ConfigBuilder::handshake_timeout) limits the wait.
    ///
    /// # Errors
    ///
    /// [`WaitError::Closed`] with the reason if the handshake failed; [`WaitError::InCallback`] in a callback of this
    /// peer.
    pub fn wait_for_handshake(&self) -> Result<(), WaitError> {
        self.shared.lifecycle().wait_for_handshake(None).map(|_| ())
    }

    /// Like [`wait_for_handshake`](Self::wait_for_handshake), but waits at most `timeout`.
    ///
    /// # Errors
    ///
    /// As [`wait_for_handshake`](Self::wait_for_handshake), and [`WaitError::Timeout`].
    pub fn wait_for_handshake_timeout(&self, timeout: Duration) -> Result<(), WaitError> {
        match self.shared.lifecycle().wait_for_handshake(Instant::now().checked_add(timeout))? {
            true => Ok(()),
            false => Err(WaitError::Timeout { what: WaitedFor::Handshake, waited: timeout }),
        }
    }

    /// Returns `true` until the connection ends, also while the handshake is running.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.shared.ended().is_none()
    }

    /// Returns whether both sides have sent `version` and `verack`. The result stays `true` after the end of the connection.
    #[must_use]
    pub fn is_handshake_done(&self) -> bool {
        self.shared.lifecycle().is_handshake_done()
    }

    /// Queues a message to be sent. Never waits.
    ///
    /// The message is encoded at once and only borrowed, so the caller still has it after an error. A message that is
    /// queued before the handshake is sent after our `verack`. The [`Receipt`] says whether the message was written; a
    /// program that does not need the receipt can drop it.
    ///
    /// ```
    /// use kaspa_peer::QueueError;
    /// use kaspa_peer::wire::{FeeFilter, Ping};
    /// # use kaspa_peer::{Config, Peer, wire::Network};
    /// # let config = Config::builder(Network::Simnet).build()?;
    /// # let server = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// # let remote = std::net::TcpStream::connect(server.local_addr()?)?;
    /// # let (stream, from) = server.accept()?;
    /// # let peer = Peer::inbound(stream, from, &config)?;
    ///
    /// match peer.queue_message(&FeeFilter { min_fee: 1000 }) {
    ///     Ok(_receipt) => {}
    ///     Err(QueueError::Full { queued, .. }) => println!("{queued} bytes wait: try again later"),
    ///     Err(QueueError::Closed(reason)) => println!("disconnected: {reason}"),
    ///     Err(error) => println!("cannot be sent: {error}"),
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`QueueError::Full`] if the outbound queue has no room; [`QueueError::Closed`] if the connection has ended;
    /// [`QueueError::Encode`] if the protocol cannot carry the message. None of these errors affects the connection.
    pub fn queue_message<M: Encode + ?Sized>(&self, message: &M) -> Result<Receipt, QueueError> {
        self.shared.queue(message, Wait::No)
    }

    /// Like [`queue_message`](Self::queue_message), but waits up to `timeout` for room in the outbound queue. Use this
    /// method to send many messages: the peer then sends them as fast as the remote reads.
    ///
    /// This method waits while the size of the queue is at or above the [high-water
    /// mark](super::ConfigBuilder::high_water_mark), and while an earlier sender waits. Senders that wait are served in
    /// order. In a callback of this peer, this method does not wait. It queues the message if the [limit of the
    /// queue](super::ConfigBuilder::queue_limit) allows it.
    ///
    /// # Errors
    ///
    /// As [`queue_message`](Self::queue_message), but [`QueueError::Timeout`] instead of `Full`; [`QueueError::InCallback`]
    /// if the queue is full in a callback of this peer.
    pub fn send_message<M: Encode + ?Sized>(&self, message: &M, timeout: Duration) -> Result<Receipt, QueueError> {
        self.wait_for_room(timeout, |wait| self.shared.queue(message, wait))
    }

    /// Queues a message that is already encoded. Never waits.
    ///
    /// Use this method to send the same message to many peers: the message is encoded and hashed once, and the peers
    /// share the bytes of a large frame.
    ///
    /// # Errors
    ///
    /// As [`queue_message`](Self::queue_message), and [`QueueError::Network`] if the frame was encoded for another
    /// network.
    pub fn queue_frame(&self, frame: &Frame) -> Result<Receipt, QueueError> {
        self.shared.queue_frame(frame, Wait::No)
    }

    /// Like [`queue_frame`](Self::queue_frame), but waits for room as [`send_message`](Self::send_message) does.
    ///
    /// # Errors
    ///
    /// As [`send_message`](Self::send_message), and [`QueueError::Network`] if the frame was encoded for another network.
    pub fn send_frame(&self, frame: &Frame, timeout: Duration) -> Result<Receipt, QueueError> {
        self.wait_for_room(timeout, |wait| self.shared.queue_frame(frame, wait))
    }

    fn wait_for_room<T>(
        &self,
        timeout: Duration,
        queue: impl FnOnce(Wait) -> Result<T, QueueError>,
    ) -> Result<T, QueueError> {
        if !self.shared.lifecycle().identity().is_current() {
            return queue(Wait::AtMost(timeout));
        }
        queue(Wait::No).map_err(|error| match error {
            QueueError::Full { .. } => QueueError::InCallback,
            error => error,
        })
    }

    /// Announces an inventory item with an `inv`, unless the remote is known to have it.
    ///
    /// A block is announced at once, in an `inv` of its own. Transactions, and blocks announced to a node that is
    /// synchronising ([`Inventory::sync_block`](crate::wire::Inventory::sync_block)), are collected and sent after the
    /// [trickle interval](super::ConfigBuilder::trickle_interval), in messages of at most 1000 items. The remote is
    /// known to have the items that it announced to us, and the items that we announced to it.
    ///
    /// Until our `verack` is queued, this method drops the item and returns `Ok`. When the connection ends, the peer
    /// drops the items that still wait. After the end, [`Stats::inventory_queued`] still says how many there were.
    ///
    /// # Errors
    ///
    /// [`QueueError::InventoryFull`] if too many items wait; [`QueueError::Full`] if the outbound queue has no room for the
    /// announcement of a block; [`QueueError::Closed`] if the connection has ended.
    pub fn queue_inventory(&self, item: Inventory) -> Result<(), QueueError> {
        self.shared.queue_inventory(&[item])
    }

    /// Announces several inventory items, each as [`queue_inventory`](Self::queue_inventory) does.
    ///
    /// # Errors
    ///
    /// As [`queue_inventory`](Self::queue_inventory). After [`QueueError::InventoryFull`] no item of the list is
    /// queued. After [`QueueError::Full`], all items other than blocks are queued. The blocks before the one that did
    /// not fit are queued too. That block and the blocks after it are not queued.
    pub fn queue_inventories(&self, items: &[Inventory]) -> Result<(), QueueError> {
        self.shared.queue_inventory(items)
    }

    /// Adds an item to those that the remote is known to have. The library adds the items that the remote announces.
    /// Call this method if the program learns in another way that the remote has an item.
    pub fn add_known_inventory(&self, item: Inventory) {
        self.shared.note_known(item);
    }

    /// Sends a `ping`, waits up to 30 s for the `pong`, and returns the round-trip time.
    ///
    /// Remotes handle messages in order, so the `pong` also shows that the remote has handled the messages that were
    /// sent before the `ping`.
    ///
    /// # Errors
    ///
    /// [`WaitError::Timeout`] if no `pong` arrived in time; [`WaitError::Closed`] if the connection has ended;
    /// [`WaitError::Queue`] if the `ping` could not be queued; [`WaitError::InCallback`] in a callback of this peer.
    pub fn ping(&self) -> Result<Duration, WaitError> {
        self.ping_timeout(PING_TIMEOUT)
    }

    /// Like [`ping`](Self::ping), but waits up to `timeout`.
    ///
    /// # Errors
    ///
    /// As [`ping`](Self::ping).
    pub fn ping_timeout(&self, timeout: Duration) -> Result<Duration, WaitError> {
        self.shared.lifecycle().identity().check_not_current()?;
        let nonce = self.settings().node().ping_nonce();
        let (answer, rtt) = bounded(1);
        self.shared.state.lock().pings.wait(nonce, answer);
        let result = self.queue_message(&Ping { nonce }).map_err(WaitError::from).and_then(|_| {
            select! {
                recv(rtt) -> rtt => rtt.map_err(|_| WaitError::Closed(self.shared.end_reason())),
                // If both channels are ready, either branch may run. A `pong` that has arrived is returned in both.
                recv(self.shared.lifecycle().quitting()) -> _ => rtt.try_recv().map_err(|_| WaitError::Closed(self.shared.end_reason())),
                default(timeout) => Err(WaitError::Timeout { what: WaitedFor::Pong, waited: timeout }),
            }
        });
        self.shared.state.lock().pings.forget(nonce);
        result
    }

    /// Adds points to the remote's score for misbehaviour, and returns the score. If the score reaches the configured
    /// [`ScoreLimit`], the peer disconnects with [`DisconnectReason::Misbehaved`], which contains `what`, at most 512 bytes of
    /// it.
    ///
    /// The library gives no points by itself: the program decides what misbehaviour is.
    pub fn misbehaved(&self, points: u32, what: impl Into<String>) -> u32 {
        let score = self.shared.score.lock().add(points, Instant::now());
        if self.settings().score_limit().is_some_and(|limit| score >= limit.threshold) {
            let what = disconnect::kept_text(&what.into());
            self.shared.end(DisconnectReason::Misbehaved { score, what });
        }
        score
    }

    /// Ends the connection. Returns at once, and may be called on any thread, in any callback, any number of times.
    ///
    /// The peer drops the queued messages that are not yet written, and their receipts return an error. It also drops
    /// the announcements that wait. Use [`close`](Self::close) to send the queued messages before disconnecting.
    pub fn disconnect(&self) {
        self.shared.end(DisconnectReason::Local);
    }

    /// The reason the connection ended; `None` while it is open.
    #[must_use]
    pub fn disconnect_reason(&self) -> Option<DisconnectReason> {
        self.shared.ended().cloned()
    }

    /// Waits until the connection has ended, [`on_disconnect`](Listener::on_disconnect) has returned, and all threads of the peer
    /// have exited. Returns the reason. Does not end the connection by itself.
    ///
    /// # Errors
    ///
    /// [`WaitError::InCallback`] in a callback of this peer.
    pub fn wait_for_disconnect(&self) -> Result<DisconnectReason, WaitError> {
        self.shared.lifecycle().identity().check_not_current()?;
        self.shared.lifecycle().wait_until_finished(None);
        Ok(self.shared.end_reason())
    }

    /// Like [`wait_for_disconnect`](Self::wait_for_disconnect), but waits up to `timeout`.
    ///
    /// # Errors
    ///
    /// As [`wait_for_disconnect`](Self::wait_for_disconnect), and [`WaitError::Timeout`] if the threads of the peer
    /// have not exited by then.
    pub fn wait_for_disconnect_timeout(&self, timeout: Duration) -> Result<DisconnectReason, WaitError> {
        self.shared.lifecycle().identity().check_not_current()?;
        if !self.shared.lifecycle().wait_until_finished(Instant::now().checked_add(timeout)) {
            return Err(WaitError::Timeout { what: WaitedFor::Disconnect, waited: timeout });
        }
        Ok(self.shared.end_reason())
    }

    fn counted(shared: Arc<Shared>) -> Self {
        shared.handles.fetch_add(1, Ordering::Relaxed);
        Self { shared, counted: true }
    }

    fn uncounted(shared: Arc<Shared>) -> Self {
        Self { shared, counted: false }
    }

    fn shared(&self) -> &Shared {
        &self.shared
    }

    /// A channel that carries no data. It is disconnected when the connection ends.
    fn quitting(&self) -> Receiver<Infallible> {
        self.shared.lifecycle().quitting()
    }
}

impl Clone for Peer {
    /// Returns another handle to the same connection. Each handle keeps the connection open.
    fn clone(&self) -> Self {
        Self::counted(Arc::clone(&self.shared))
    }
}

impl PartialEq for Peer {
    fn eq(&self, other: &Self) -> bool {
        self.shared.lifecycle().identity() == other.shared.lifecycle().identity()
    }
}

impl Eq for Peer {}

/// The hash of a peer never changes, so a `Peer` can be the key of a map. Clippy's `mutable_key_type` does not know that.
impl hash::Hash for Peer {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.shared.lifecycle().identity().hash(state);
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if self.counted && self.shared.handles.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.disconnect();
        }
    }
}

impl fmt::Display for Peer {
    /// `address (inbound)` or `address (outbound)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        padded(f, |f| self.shared.fmt(f))
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("id", &self.id())
            .field("address", self.address())
            .field("direction", &self.direction())
            .field("ended", &self.shared.ended())
            .finish_non_exhaustive()
    }
}
