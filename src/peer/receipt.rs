//! Knowing that a message was really sent.

use super::{DisconnectReason, WaitError, current};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, bounded};
use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// The end of one connection, once it is there.
pub(super) type Ending = OnceLock<DisconnectReason>;

/// Tells whether a queued message was written to the socket.
///
/// It resolves exactly once: when the message's last byte was accepted by the socket, or when the connection ended
/// before that; whoever asks later is told the same. Dropping it does not take the message back.
#[derive(Debug)]
#[must_use = "a receipt tells nothing unless it is asked; to send without one use queue_message"]
pub struct Receipt {
    told: Receiver<()>,
    written: Arc<AtomicBool>,
    ending: Arc<Ending>,
    peer: current::PeerKey,
}

/// The other end: dropping it says "not written".
#[derive(Debug)]
pub(super) struct Unsent {
    tell: Sender<()>,
    written: Arc<AtomicBool>,
}

impl Unsent {
    /// The end of a receipt that says nothing of an ending.
    fn new() -> (Self, Receiver<()>, Arc<AtomicBool>) {
        let (tell, told) = bounded(1);
        let written = Arc::new(AtomicBool::new(false));
        (Self { tell, written: Arc::clone(&written) }, told, written)
    }

    /// The message was written.
    pub fn written(self) {
        // First, so that who finds the channel empty and gone finds this.
        self.written.store(true, Ordering::Release);
        // A receipt that was dropped wants to know nothing.
        let _ = self.tell.try_send(());
    }

    #[cfg(test)]
    pub fn with_receiver() -> (Self, Receiver<()>) {
        let (unsent, told, _) = Self::new();
        (unsent, told)
    }
}

impl Receipt {
    pub(super) fn new(ending: Arc<Ending>, peer: current::PeerKey) -> (Unsent, Self) {
        let (unsent, told, written) = Unsent::new();
        (unsent, Self { told, written, ending, peer })
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
        self.told.recv().or_else(|_| self.end())
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
        self.told.recv_timeout(timeout).or_else(|error| match error {
            RecvTimeoutError::Timeout => Err(WaitError::Timeout { waited: timeout }),
            RecvTimeoutError::Disconnected => self.end(),
        })
    }

    /// Whether it is known, without waiting: `None` when it is not.
    pub fn try_wait(&self) -> Option<Result<(), WaitError>> {
        match self.told.try_recv() {
            Ok(()) => Some(Ok(())),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(self.end()),
        }
    }

    /// For `select!`: receives `()` once when the message is written, and is disconnected when it was not, or was told
    /// already.
    #[must_use]
    pub fn receiver(&self) -> &Receiver<()> {
        &self.told
    }

    /// The other end is gone: it has told somebody, or has nothing to tell.
    fn end(&self) -> Result<(), WaitError> {
        if self.written.load(Ordering::Acquire) {
            return Ok(());
        }
        // The reason is there before anything queued is dropped.
        Err(WaitError::Closed(self.ending.get().cloned().unwrap_or(DisconnectReason::Local)))
    }
}
