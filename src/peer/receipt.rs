//! Knowing that a message was really sent.

use super::{DisconnectReason, WaitError, current};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, bounded};
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

/// The end of one connection, once it is there.
pub(super) type Ending = OnceLock<DisconnectReason>;

/// Tells whether a queued message was written to the socket.
///
/// It resolves exactly once: when the message's last byte was accepted by the socket, or when the connection ended
/// before that. Dropping it does not take the message back.
#[derive(Debug)]
#[must_use = "a receipt tells nothing unless it is asked; to send without one use queue_message"]
pub struct Receipt {
    written: Receiver<()>,
    ending: Arc<Ending>,
    peer: current::PeerKey,
}

/// The other end: sending says "written", dropping says "not".
pub(super) type Unsent = Sender<()>;

impl Receipt {
    pub(super) fn new(ending: Arc<Ending>, peer: current::PeerKey) -> (Unsent, Self) {
        let (sender, written) = bounded(1);
        (sender, Self { written, ending, peer })
    }

    /// Waits until the message is written or will never be.
    ///
    /// This can take as long as the remote takes to read what was queued before; the write timeout bounds it.
    ///
    /// # Errors
    ///
    /// [`WaitError::Closed`] with the reason when the message was not sent; [`WaitError::InCallback`] in a callback of
    /// the same peer.
    pub fn wait(&self) -> Result<(), WaitError> {
        self.peer.check_not_current()?;
        self.written.recv().map_err(|_| self.not_sent())
    }

    /// Like [`wait`](Self::wait), for a limited time.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait), and [`WaitError::Timeout`]; the receipt can be asked again then.
    pub fn wait_timeout(&self, timeout: Duration) -> Result<(), WaitError> {
        self.peer.check_not_current()?;
        self.wait_bounded(timeout)
    }

    /// For the peer's own reader, which waits, bounded, for its last reject.
    pub(super) fn wait_bounded(&self, timeout: Duration) -> Result<(), WaitError> {
        self.written.recv_timeout(timeout).map_err(|error| match error {
            RecvTimeoutError::Timeout => WaitError::Timeout { waited: timeout },
            RecvTimeoutError::Disconnected => self.not_sent(),
        })
    }

    /// Whether it is known, without waiting: `None` when it is not. Tells "written" once.
    pub fn try_wait(&self) -> Option<Result<(), WaitError>> {
        match self.written.try_recv() {
            Ok(()) => Some(Ok(())),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Err(self.not_sent())),
        }
    }

    /// For `select!`: receives `()` when the message is written, and is disconnected when it was not.
    #[must_use]
    pub fn receiver(&self) -> &Receiver<()> {
        &self.written
    }

    fn not_sent(&self) -> WaitError {
        // The reason is there before anything queued is dropped.
        WaitError::Closed(self.ending.get().cloned().unwrap_or(DisconnectReason::Local))
    }
}
