//! Receipts: whether a queued message was written to the socket.

use super::connection::send_progress::{Outcome, SendProgress};
use super::connection::shared::KeptByReceipts;
use super::disconnect::DisconnectReason;
use super::error::{WaitError, WaitedFor};
use crossbeam_channel::Receiver;
use std::{
    fmt,
    panic::{RefUnwindSafe, UnwindSafe},
    sync::Arc,
    time::{Duration, Instant},
};

/// The outcome of one queued message: whether it was written to the socket.
///
/// [`Peer::queue_message`](super::Peer::queue_message), [`Peer::send_message`](super::Peer::send_message) and other
/// methods that queue a message return a receipt. A receipt needs no allocation, and a program that does not need the
/// receipt can drop it. A receipt resolves exactly once: when the message has been written, or when the connection has
/// ended before that. "Written" means that the operating system has accepted the bytes. To learn that the remote has
/// handled the message, use [`Peer::send_and_ping`](super::Peer::send_and_ping).
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
/// receipt.wait()?; // the message was written
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Receipt {
    position: u64,
    kept: Arc<KeptByReceipts>,
}

/// A panic in the program's code cannot leave a receipt in an inconsistent state, because the library holds none of its
/// locks while it runs code of the program.
impl UnwindSafe for Receipt {}
impl RefUnwindSafe for Receipt {}

impl Receipt {
    pub(super) fn new(position: u64, kept: Arc<KeptByReceipts>) -> Self {
        Self { position, kept }
    }

    fn progress(&self) -> &SendProgress {
        self.kept.outbound.progress()
    }

    /// Waits until the message has been written, or until it is certain that the message will not be written.
    ///
    /// The wait is long if the remote reads slowly, because messages that were queued earlier are written first. If the
    /// remote does not read at all, the peer disconnects after the write timeout, and the wait ends.
    ///
    /// # Errors
    ///
    /// [`WaitError::Closed`] with the reason if the message was not written; [`WaitError::InCallback`] in a callback of
    /// the same peer.
    pub fn wait(&self) -> Result<(), WaitError> {
        self.kept.lifecycle.identity().check_not_current()?;
        self.result(self.progress().wait(self.position, None)).unwrap_or(Ok(()))
    }

    /// Like [`wait`](Self::wait), but waits at most `timeout`.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait), and [`WaitError::Timeout`] if the outcome is not known by then. The caller can then
    /// wait again.
    pub fn wait_timeout(&self, timeout: Duration) -> Result<(), WaitError> {
        self.kept.lifecycle.identity().check_not_current()?;
        let outcome = self.progress().wait(self.position, Instant::now().checked_add(timeout));
        self.result(outcome).unwrap_or(Err(WaitError::Timeout { what: WaitedFor::Written, waited: timeout }))
    }

    /// Returns the outcome, or `None` if it is not known yet. Never waits, so this method also works in callbacks.
    ///
    /// # Errors
    ///
    /// [`WaitError::Closed`] with the reason if the message was not written.
    #[must_use]
    pub fn try_wait(&self) -> Option<Result<(), WaitError>> {
        self.result(self.progress().outcome(self.position))
    }

    /// Returns a channel for `select!`. The channel receives `()` when the message is written, and is disconnected when
    /// it is certain that the message will not be written.
    ///
    /// Each receiver gets one value. The first 16 calls for a message that is not written yet make a new channel each.
    /// Later calls return receivers of shared channels, so that a program can call this method for each `select!` of a
    /// loop. A receiver of a shared channel that takes a second value takes it from another one, so take one value from
    /// a receiver.
    ///
    /// Do not wait for the channel in a callback of the same peer, because the message may not be written before the
    /// callback returns. [`wait`](Self::wait) returns an error in this case, but a channel cannot.
    #[must_use]
    pub fn receiver(&self) -> Receiver<()> {
        self.progress().channel(self.position)
    }

    fn result(&self, outcome: Outcome) -> Option<Result<(), WaitError>> {
        match outcome {
            Outcome::Waiting => None,
            Outcome::Written => Some(Ok(())),
            // The reason is set before the number of written messages becomes final.
            Outcome::NotWritten => {
                Some(Err(WaitError::Closed(self.kept.lifecycle.reason().cloned().unwrap_or(DisconnectReason::Local))))
            }
        }
    }
}

/// Receipts are equal if they are of the same message.
impl PartialEq for Receipt {
    fn eq(&self, other: &Self) -> bool {
        self.position == other.position && Arc::ptr_eq(&self.kept, &other.kept)
    }
}

impl Eq for Receipt {}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt")
            .field("position", &self.position)
            .field("outcome", &self.progress().outcome(self.position))
            .finish()
    }
}
