//! How it is said: one connection's life, from the handshake to the reason of its end.
//!
//! A [`Peer`] is made of a connection that the program dialled or accepted, and of a [`Config`], which says what the
//! node is. Three threads serve it until it ends:
//!
//! ```text
//!             ┌──────────────┐  frames   ┌──────────┐
//!  socket ───►│ kpeer-N-read │──────────►│ Listener │  one callback a message
//!             └──────┬───────┘           └──────────┘
//!                    │ pong, verack, reject
//!                    ▼
//!  queue_message  ┌───────┐ batch  ┌───────────────┐
//!  ──────────────►│ queue │───────►│ kpeer-N-write │───► socket, then the Receipt
//!                 └───────┘        └───────────────┘
//!                    ▲ ping        ┌──────────────┐
//!                    └─────────────│ kpeer-N-ping │ asleep until a deadline
//!                                  └──────────────┘
//! ```
//!
//! # Errors
//!
//! An error of this crate says everything in one line, for people and logs: what went wrong, and why. Programs find the parts
//! in its fields. It has no `source()`, so whoever prints sources as well repeats nothing.

mod address;
mod ask;
mod capture;
mod close;
mod config;
mod connect;
mod connection;
mod dag;
mod disconnect;
mod error;
mod events;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod inbox;
mod listener;
mod logging;
mod panic;
mod push;
mod receipt;
mod rules;
#[cfg(feature = "serde")]
mod serde_impls;
mod stats;
mod stream;
mod sync;

pub use address::{Direction, PeerAddress};
pub use ask::AskError;
pub use capture::{Capture, CaptureReader, CaptureRecord, Captured};
pub use close::CloseError;
pub use config::{Config, ConfigBuilder, CustomCommands, OversizeFrames};
pub use connect::{AttemptError, ConnectError};
pub use dag::DagView;
pub use disconnect::{DisconnectReason, HandshakeError, IoOperation, ProtocolViolation};
pub use error::{ConfigError, QueueError, StartError, WaitError, WaitedFor};
pub use events::{Event, EventKind, EventListener, events};
pub use inbox::{Inbox, InboxMessages};
pub use listener::Listener;
pub use receipt::Receipt;
pub use rules::rate_limit::RateLimit;
pub use rules::score::ScoreLimit;
pub use rules::stall_rule::StallRule;
pub use stats::{Count, Counts, Remote, Stats, Traffic};
pub use stream::{Halves, Stream};

use crate::wire::{Encode, Frame, Hash, Inventory, ParseError, Ping};
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

/// One remote node.
///
/// A handle: cloning it is cheap, all clones are the same peer, and every method can be called from any thread. When
/// the last handle is dropped the peer disconnects. Handles are equal when they are of the same connection.
#[must_use = "dropping the last handle of a peer disconnects it"]
pub struct Peer {
    shared: Arc<Shared>,
    /// Whether this handle keeps the connection alive; those of the peer's own threads do not.
    counted: bool,
}

/// No panic of the program's can leave it half done: callbacks run behind none of its locks.
impl UnwindSafe for Peer {}
impl RefUnwindSafe for Peer {}

impl Peer {
    /// Starts a peer on a connection that the remote made.
    ///
    /// `address` is where the remote is, as `accept` tells it. Callbacks may run, the last of them included, before this
    /// returns.
    ///
    /// # Errors
    ///
    /// If the address is a text that is not an address, the stream cannot be set up, a thread cannot be started, or the process has too many peers; the connection
    /// is closed then, and no callback was called.
    pub fn inbound(
        stream: impl Stream,
        address: impl TryInto<PeerAddress, Error: Into<ParseError>>,
        config: &Config,
    ) -> Result<Self, StartError> {
        connection::start::start(stream, address.try_into().map_err(Into::into)?, Direction::Inbound, config)
    }

    /// Starts a peer on a connection that this side made.
    ///
    /// `address` is what was dialled, which behind a proxy is not what the socket is connected to. It may be a host
    /// name. Callbacks may run, the last of them included, before this returns.
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

    /// The peer's id; ids count up from 1 for each node.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.shared.id
    }

    /// Where the remote is.
    #[must_use]
    pub fn address(&self) -> &PeerAddress {
        &self.shared.address
    }

    /// Which side made the connection.
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

    /// The node that this is a peer of.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// What the remote said in its `version`; `None` before that.
    #[must_use]
    pub fn remote(&self) -> Option<Remote> {
        self.shared.state.lock().remote.clone()
    }

    /// Everything that is known and counted, at one moment.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// Whether the remote's selected tip is in our [`DagView`]; not if it has not told one.
    #[must_use]
    pub fn is_selected_tip_known(&self) -> bool {
        let tip = self.remote().map(|remote| remote.selected_tip);
        tip.is_some_and(|tip| self.shared.settings().dag.is_known(&tip))
    }

    /// Notes the remote's selected tip, where the program learnt it otherwise than from `version` or `selectedtip`. Before
    /// the remote's `version` there is nothing to note it in, and this does nothing.
    pub fn set_selected_tip(&self, tip: Hash) {
        self.shared.set_selected_tip(tip);
    }

    /// Waits until both sides have said `version` and `verack`. The handshake timeout bounds it.
    ///
    /// # Errors
    ///
    /// [`WaitError::Closed`] with the reason when the handshake failed; [`WaitError::InCallback`] in a callback of this
    /// peer.
    pub fn wait_for_handshake(&self) -> Result<(), WaitError> {
        self.shared.lifecycle.wait_for_handshake(None).map(|_| ())
    }

    /// Like [`wait_for_handshake`](Self::wait_for_handshake), but waits at most `timeout`.
    ///
    /// # Errors
    ///
    /// As [`wait_for_handshake`](Self::wait_for_handshake), and [`WaitError::Timeout`].
    pub fn wait_for_handshake_timeout(&self, timeout: Duration) -> Result<(), WaitError> {
        match self.shared.lifecycle.wait_for_handshake(Instant::now().checked_add(timeout))? {
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
        self.shared.lifecycle.is_handshake_done()
    }

    /// Queues a message. Never blocks.
    ///
    /// The message is only lent: it is encoded at once, and after an error it is still the caller's. Until the remote's
    /// `version` is answered it waits for that, and goes out behind our `verack`.
    ///
    /// # Errors
    ///
    /// [`QueueError::Full`] when the remote takes messages more slowly than they are queued, [`QueueError::Closed`]
    /// when it is gone, [`QueueError::Encode`] when nobody could be sent this. The connection is untouched.
    pub fn queue_message<M: Encode + ?Sized>(&self, message: &M) -> Result<Receipt, QueueError> {
        self.shared.queue(message, Wait::No)
    }

    /// Like [`queue_message`](Self::queue_message), but waits for room, at most `timeout`: the simple way to send much.
    ///
    /// It waits when more than the configured [high-water mark](super::ConfigBuilder::high_water_mark) is queued, mostly until half of it is
    /// written, so it sends at the speed at which the remote reads.
    ///
    /// # Errors
    ///
    /// As [`queue_message`](Self::queue_message), with [`QueueError::Timeout`] for `Full`; [`QueueError::InCallback`]
    /// when there is no room at all and the caller is a callback of this peer, which must not wait.
    pub fn send_message<M: Encode + ?Sized>(&self, message: &M, timeout: Duration) -> Result<Receipt, QueueError> {
        self.wait_for_room(timeout, |wait| self.shared.queue(message, wait))
    }

    /// Queues a frame, which may be shared with other peers: nothing is encoded, and a large one is not copied. Never
    /// blocks.
    ///
    /// # Errors
    ///
    /// As [`queue_message`](Self::queue_message), and [`QueueError::Network`] when the frame was encoded for another
    /// network.
    pub fn queue_frame(&self, frame: &Frame) -> Result<Receipt, QueueError> {
        self.shared.queue_frame(frame, Wait::No)
    }

    /// Like [`queue_frame`](Self::queue_frame), but waits for room as [`send_message`](Self::send_message) does.
    ///
    /// # Errors
    ///
    /// As [`queue_frame`](Self::queue_frame) and [`send_message`](Self::send_message).
    pub fn send_frame(&self, frame: &Frame, timeout: Duration) -> Result<Receipt, QueueError> {
        self.wait_for_room(timeout, |wait| self.shared.queue_frame(frame, wait))
    }

    fn wait_for_room<T>(
        &self,
        timeout: Duration,
        queue: impl FnOnce(Wait) -> Result<T, QueueError>,
    ) -> Result<T, QueueError> {
        if !self.shared.lifecycle.identity().is_current() {
            return queue(Wait::AtMost(timeout));
        }
        queue(Wait::No).map_err(|error| match error {
            QueueError::Full { .. } => QueueError::InCallback,
            error => error,
        })
    }

    /// Announces something, unless the remote is known to have it.
    ///
    /// A block goes out at once, in an `inv` of its own; everything else, sync blocks included, is collected and sent
    /// every trickle interval in messages of at most 1000. Before our `verack` is queued it is dropped: there is nobody
    /// yet who could know it. So is what still waits when the connection ends; [`Stats::inventory_queued`] tells how much
    /// that is.
    ///
    /// # Errors
    ///
    /// [`QueueError::InventoryFull`] when too much waits, [`QueueError::Full`] for a block, [`QueueError::Closed`] when
    /// the peer is gone.
    pub fn queue_inventory(&self, item: Inventory) -> Result<(), QueueError> {
        self.shared.queue_inventory(&[item])
    }

    /// Announces several things, see [`queue_inventory`](Self::queue_inventory).
    ///
    /// # Errors
    ///
    /// As [`queue_inventory`](Self::queue_inventory). When the items that trickle do not all fit, none of the list is
    /// taken; when there is no room for a block, they and the blocks before it are.
    pub fn queue_inventories(&self, items: &[Inventory]) -> Result<(), QueueError> {
        self.shared.queue_inventory(items)
    }

    /// Notes that the remote has something, where the program learnt it otherwise than from its `inv`.
    pub fn add_known_inventory(&self, item: Inventory) {
        self.shared.announcements.lock().sent(item);
    }

    /// Sends a `ping` and waits, at most 30 s, for the round-trip time.
    ///
    /// # Errors
    ///
    /// [`WaitError::Closed`] when the peer is gone, [`WaitError::Timeout`] without an answer, [`WaitError::InCallback`]
    /// in a callback of this peer.
    pub fn ping(&self) -> Result<Duration, WaitError> {
        self.ping_timeout(PING_TIMEOUT)
    }

    /// Like [`ping`](Self::ping), with another limit.
    ///
    /// # Errors
    ///
    /// As [`ping`](Self::ping).
    pub fn ping_timeout(&self, timeout: Duration) -> Result<Duration, WaitError> {
        self.shared.lifecycle.identity().check_not_current()?;
        let nonce = self.shared.config.ping_nonce();
        let (answer, rtt) = bounded(1);
        self.shared.state.lock().pings.wait(nonce, answer);
        let result = self.queue_message(&Ping { nonce }).map_err(WaitError::from).and_then(|_| {
            select! {
                recv(rtt) -> rtt => rtt.map_err(|_| WaitError::Closed(self.shared.end_reason())),
                // Of two that are ready either may be looked at, and an answer that came is one.
                recv(self.shared.lifecycle.quitting()) -> _ => rtt.try_recv().map_err(|_| WaitError::Closed(self.shared.end_reason())),
                default(timeout) => Err(WaitError::Timeout { what: WaitedFor::Pong, waited: timeout }),
            }
        });
        self.shared.state.lock().pings.forget(nonce);
        result
    }

    /// Gives the remote points for misbehaving, and tells its score. When that reaches the configured
    /// [`ScoreLimit`], the peer is disconnected with [`DisconnectReason::Misbehaved`] and `what`.
    pub fn misbehaved(&self, points: u32, what: impl Into<String>) -> u32 {
        let score = self.shared.score.lock().add(points, Instant::now());
        if self.shared.settings().score_limit.is_some_and(|limit| score >= limit.threshold) {
            self.shared.end(DisconnectReason::Misbehaved { score, what: what.into() });
        }
        score
    }

    /// Ends the connection. Returns at once; may be called from anywhere, any number of times.
    ///
    /// What is queued and not yet written is not sent, and its receipts say so; wait for the receipt of the last
    /// message first where that matters. Announcements that wait for their interval are dropped, too.
    pub fn disconnect(&self) {
        self.shared.end(DisconnectReason::Local);
    }

    /// Why the connection ended; `None` while it has not.
    #[must_use]
    pub fn disconnect_reason(&self) -> Option<DisconnectReason> {
        self.shared.ended().cloned()
    }

    /// Waits until the connection has ended and all threads of the peer are gone, `on_disconnect` included, and tells
    /// why.
    ///
    /// # Errors
    ///
    /// [`WaitError::InCallback`] in a callback of this peer.
    pub fn wait_for_disconnect(&self) -> Result<DisconnectReason, WaitError> {
        self.shared.lifecycle.identity().check_not_current()?;
        self.shared.lifecycle.wait_until_finished(None);
        Ok(self.shared.end_reason())
    }

    /// Like [`wait_for_disconnect`](Self::wait_for_disconnect), for a limited time.
    ///
    /// # Errors
    ///
    /// [`WaitError::Timeout`] when the peer is still there.
    pub fn wait_for_disconnect_timeout(&self, timeout: Duration) -> Result<DisconnectReason, WaitError> {
        self.shared.lifecycle.identity().check_not_current()?;
        if !self.shared.lifecycle.wait_until_finished(Instant::now().checked_add(timeout)) {
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

    /// Disconnected when the connection has ended.
    fn quitting(&self) -> &Receiver<Infallible> {
        self.shared.lifecycle.quitting()
    }
}

impl Clone for Peer {
    /// Another handle, which keeps the connection alive.
    fn clone(&self) -> Self {
        Self::counted(Arc::clone(&self.shared))
    }
}

impl PartialEq for Peer {
    fn eq(&self, other: &Self) -> bool {
        self.shared.lifecycle.identity() == other.shared.lifecycle.identity()
    }
}

impl Eq for Peer {}

/// Clippy's `mutable_key_type` does not know that this never changes; a peer can be a key all the same.
impl hash::Hash for Peer {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.shared.lifecycle.identity().hash(state);
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
        self.shared.fmt(f)
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
