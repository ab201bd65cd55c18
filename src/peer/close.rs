//! Orderly ends: the last message is written before the connection closes.

use super::connection::send_progress::Outcome;
use super::{DisconnectReason, Peer, QueueError};
use crate::wire::Reject;
use std::time::{Duration, Instant};
use thiserror::Error;

/// Why [`Peer::close`] could not write everything that was queued. The connection has ended all the same, except after
/// [`InCallback`](Self::InCallback).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CloseError {
    /// The timeout passed first. These messages were not written.
    #[error("closed after {waited:?} with {messages} messages ({bytes} bytes) not sent: the remote reads too slowly")]
    NotSent {
        /// The timeout.
        waited: Duration,
        /// How many messages were not written.
        messages: usize,
        /// How many bytes they have.
        bytes: usize,
    },
    /// The connection ended for another reason before everything was written.
    #[error("the connection ended before everything was sent: {0}")]
    Closed(DisconnectReason),
    /// A callback of the peer called this. It must not wait for its own peer: call it on another thread.
    #[error("a peer's own callback cannot wait for it: call close on another thread")]
    InCallback,
}

impl Peer {
    /// Ends the connection in order: accepts no new message, waits until the queued ones are written, then disconnects.
    ///
    /// Waits at most `timeout`; then it disconnects all the same and says what was not sent. Messages that are queued before
    /// the handshake is done wait for it. Announcements that wait for their trickle interval are dropped. While the rest
    /// is written, messages of the remote are still read and delivered. The reason is [`DisconnectReason::Local`].
    ///
    /// # Errors
    ///
    /// [`CloseError`]: what was not sent, or why.
    pub fn close(&self, timeout: Duration) -> Result<(), CloseError> {
        let shared = self.shared();
        if shared.lifecycle.identity().is_current() {
            return Err(CloseError::InCallback);
        }
        let last = shared.outbound.drain();
        let outcome = shared.outbound.progress().wait(last, Instant::now().checked_add(timeout));
        let (bytes, messages) = shared.outbound.size();
        shared.end(DisconnectReason::Local);
        match outcome {
            Outcome::Written => Ok(()),
            Outcome::Waiting => Err(CloseError::NotSent { waited: timeout, messages, bytes }),
            Outcome::NotWritten => Err(CloseError::Closed(shared.end_reason())),
        }
    }

    /// Sends `reject` as the last message and disconnects once it is written, or after 2 s.
    ///
    /// Returns at once and works in every callback, also in [`on_version`](super::Listener::on_version), before our own
    /// `verack` has left. Messages that were queued before are written first, except those that wait for the handshake. No
    /// callback for another message runs afterwards. The reason is [`DisconnectReason::Local`].
    ///
    /// # Errors
    ///
    /// [`QueueError::Encode`] if the reject cannot be encoded: the connection is untouched then. [`QueueError::Closed`] if
    /// the connection has ended or is ending already.
    pub fn disconnect_with(&self, reject: &Reject) -> Result<(), QueueError> {
        self.shared().end_with(reject, DisconnectReason::Local)
    }
}
