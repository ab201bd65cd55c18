//! The handle of a peer: observing the peer, waiting for it and ending it.
//!
//! The other methods of [`Peer`] are in the files of this folder.

mod ask;
pub(super) mod connect;
mod constructors;
mod custom;
pub(super) mod orderly_end;
mod push;
mod queueing;

use super::address::{Direction, PeerAddress};
use super::connection::shared::Shared;
use super::disconnect::{DisconnectReason, kept_text};
use super::error::{WaitError, WaitedFor};
use super::settings::Settings;
use super::stats::{Remote, Stats};
use crate::wire::{Hash, padded};
use crossbeam_channel::Receiver;
use std::{
    convert::Infallible,
    fmt, hash,
    net::SocketAddr,
    panic::{RefUnwindSafe, UnwindSafe},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

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
    /// [`Stream::local_addr`](super::Stream::local_addr).
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

    /// Returns whether the remote's selected tip is in our [`DagView`](crate::DagView). Returns `false` before the
    /// remote's `version` has arrived. Also returns `false` after [`on_disconnect`](crate::Listener::on_disconnect) has
    /// returned, because the peer does not keep the view any longer.
    #[must_use]
    pub fn is_selected_tip_known(&self) -> bool {
        self.remote().is_some_and(|remote| self.shared.dag.is_known(&remote.selected_tip))
    }

    /// Records what the remote's selected tip is, for [`Remote::selected_tip`](super::Remote::selected_tip). Nothing is
    /// sent. The library sets the tip from the remote's `version` and `selectedtip` messages. Call this method if the
    /// program learns of a new tip in another way. Does nothing before the remote's `version` has arrived.
    pub fn set_selected_tip(&self, tip: Hash) {
        self.shared.set_selected_tip(tip);
    }

    /// Waits until both sides have sent `version` and `verack`. The
    /// [handshake timeout](crate::ConfigBuilder::handshake_timeout) limits the wait.
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

    /// Returns whether both sides have sent `version` and `verack`. The result stays `true` after the end of the
    /// connection.
    #[must_use]
    pub fn is_handshake_done(&self) -> bool {
        self.shared.lifecycle().is_handshake_done()
    }

    /// Adds points to the remote's score for misbehaviour, and returns the score. If the score reaches the configured
    /// [`ScoreLimit`](crate::ScoreLimit), the peer disconnects with [`DisconnectReason::Misbehaved`], which contains
    /// `what`, at most 512 bytes of it.
    ///
    /// The library gives no points by itself: the program decides what misbehaviour is.
    pub fn misbehaved(&self, points: u32, what: impl Into<String>) -> u32 {
        let score = self.shared.score.lock().add(points, Instant::now());
        if self.settings().score_limit().is_some_and(|limit| score >= limit.threshold) {
            let what = kept_text(&what.into());
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

    /// Waits until the connection has ended, [`on_disconnect`](crate::Listener::on_disconnect) has returned, and all
    /// threads of the peer have exited. Returns the reason. Does not end the connection by itself.
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

    /// The first handle of a peer. [`Shared::handles`] starts at 1, so this handle is counted already.
    pub(super) fn first(shared: Arc<Shared>) -> Self {
        Self { shared, counted: true }
    }

    /// A handle for the peer's own threads, which does not keep the connection open.
    pub(super) fn uncounted(shared: Arc<Shared>) -> Self {
        Self { shared, counted: false }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// A channel that carries no data. It is disconnected when the connection ends.
    pub(super) fn quit_channel(&self) -> Receiver<Infallible> {
        self.shared.lifecycle().quit_channel()
    }
}

impl Clone for Peer {
    /// Returns another handle to the same connection. Each handle keeps the connection open.
    fn clone(&self) -> Self {
        self.shared.handles.fetch_add(1, Ordering::Relaxed);
        Self { shared: Arc::clone(&self.shared), counted: true }
    }
}

impl PartialEq for Peer {
    fn eq(&self, other: &Self) -> bool {
        self.shared.lifecycle().identity() == other.shared.lifecycle().identity()
    }
}

impl Eq for Peer {}

/// The hash of a peer never changes, so a `Peer` can be the key of a map. Clippy's `mutable_key_type` does not know
/// that.
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
