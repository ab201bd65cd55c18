//! Receipts: whether a queued message was written to the socket.

use super::connection::lifecycle::Lifecycle;
use super::connection::outbound::Outbound;
use super::connection::send_progress::Outcome;
use super::{DisconnectReason, WaitError, WaitedFor};
use crossbeam_channel::Receiver;
use std::{
    fmt,
    panic::{RefUnwindSafe, UnwindSafe},
    sync::Arc,
    time::{Duration, Instant},
};

/// Says whether a queued message was written to the socket.
///
/// Every method that queues a message returns one. A receipt is the position of its message in the order in which
/// the peer's messages leave, so it costs no allocation and may be dropped at once. It resolves exactly once: when the message
/// is written, or when the connection ends without having written it. "Written" means that the operating system took the
/// bytes; to learn that the remote has worked through them, use [`Peer::ping`](super::Peer::ping) afterwards.
///
/// ```
/// use kaspa_peer::wire::{FeeFilter, Network};
/// use kaspa_peer::{Config, Peer};
/// # use std::net::{TcpListener, TcpStream};
///
/// # let config = Config::builder(Network::Simnet).build()?;
/// # let other = Config::builder(Network::Simnet).build()?;
/// # let listener = TcpListener::bind("127.0.0.1:0")?;
/// # let remote = Peer::outbound(TcpStream::connect(listener.local_addr()?)?, listener.local_addr()?, &other)?;
/// # let (stream, from) = listener.accept()?;
/// let peer = Peer::inbound(stream, from, &config)?;
/// let receipt = peer.queue_message(&FeeFilter { min_fee: 1000 })?;
/// receipt.wait()?; // the message has left
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Receipt {
    position: u64,
    outbound: Arc<Outbound>,
    lifecycle: Arc<Lifecycle>,
}

/// A panic of the program cannot leave a receipt half changed: no code of the program runs behind its locks.
impl UnwindSafe for Receipt {}
impl RefUnwindSafe for Receipt {}

impl Receipt {
    pub(super) fn new(position: u64, outbound: Arc<Outbound>, lifecycle: Arc<Lifecycle>) -> Self {
        Self { position, outbound, lifecycle }
    }

    /// Waits until the message is written or never will be.
    ///
    /// This can take as long as the remote takes to read what was queued before; the write timeout bounds it.
    ///
    /// # Errors
    ///
    /// [`WaitError::Closed`] with the reason if the message was not written; [`WaitError::InCallback`] in a callback of
    /// the same peer, which must not wait.
    pub fn wait(&self) -> Result<(), WaitError> {
        self.lifecycle.identity().check_not_current()?;
        self.result(self.outbound.progress().wait(self.position, None)).unwrap_or(Ok(()))
    }

    /// Like [`wait`](Self::wait), but waits at most `timeout`.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait), and [`WaitError::Timeout`] if the outcome is not known by then; the receipt can be asked
    /// again.
    pub fn wait_timeout(&self, timeout: Duration) -> Result<(), WaitError> {
        self.lifecycle.identity().check_not_current()?;
        let outcome = self.outbound.progress().wait(self.position, Instant::now().checked_add(timeout));
        self.result(outcome).unwrap_or(Err(WaitError::Timeout { what: WaitedFor::Written, waited: timeout }))
    }

    /// Returns the outcome if it is known, without waiting; `None` if it is not. Works in callbacks too.
    ///
    /// # Errors
    ///
    /// [`WaitError::Closed`] with the reason if the message was not written.
    #[must_use]
    pub fn try_wait(&self) -> Option<Result<(), WaitError>> {
        self.result(self.outbound.progress().outcome(self.position))
    }

    /// A channel for `select!`: receives `()` once the message is written, and is disconnected if it never will be.
    ///
    /// Each call makes a new channel of capacity 1. Unlike [`wait`](Self::wait), a channel cannot refuse to be waited on in a
    /// callback of the same peer, where the message may never be written.
    #[must_use]
    pub fn receiver(&self) -> Receiver<()> {
        self.outbound.progress().channel(self.position)
    }

    fn result(&self, outcome: Outcome) -> Option<Result<(), WaitError>> {
        match outcome {
            Outcome::Waiting => None,
            Outcome::Written => Some(Ok(())),
            // The reason is set before the count of written messages becomes final.
            Outcome::NotWritten => {
                Some(Err(WaitError::Closed(self.lifecycle.reason().cloned().unwrap_or(DisconnectReason::Local))))
            }
        }
    }
}

/// Receipts are equal if they are of the same message.
impl PartialEq for Receipt {
    fn eq(&self, other: &Self) -> bool {
        self.position == other.position && Arc::ptr_eq(&self.outbound, &other.outbound)
    }
}

impl Eq for Receipt {}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt")
            .field("position", &self.position)
            .field("outcome", &self.outbound.progress().outcome(self.position))
            .finish()
    }
}
