//! Orderly ends: the last message is written before the connection closes.

use super::connection::send_progress::Outcome;
use super::{DisconnectReason, Peer, QueueError};
use crate::wire::Reject;
use std::time::{Duration, Instant};
use thiserror::Error;

/// The reason [`Peer::close`] did not write everything that was queued. The connection has ended nevertheless, except after
/// [`InCallback`](Self::InCallback).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CloseError {
    /// Some messages were not written within the timeout.
    #[error(
        "closed after {waited:?} with {messages} messages ({bytes} bytes) not sent: the remote reads too slowly, or the \
         handshake is not done"
    )]
    NotSent {
        /// The timeout.
        waited: Duration,
        /// How many messages were not written.
        messages: usize,
        /// How many bytes these messages have.
        bytes: usize,
    },
    /// The connection ended for another reason before everything was written.
    #[error("the connection ended before everything was sent: {0}")]
    Closed(DisconnectReason),
    /// The call was made in a callback of the same peer. Call it on another thread.
    #[error("a peer's own callback cannot wait for it: call close on another thread")]
    InCallback,
}

impl Peer {
    /// Ends the connection in order: accepts no new message, waits until the queued ones are written, then disconnects.
    ///
    /// After `timeout` it disconnects in any case, and the error says how much was not sent. If the handshake is not done, the messages that
    /// wait for it are written after it. Announcements that wait for their trickle interval are dropped. Until the
    /// disconnect, messages of the remote are read and delivered. The reason is [`DisconnectReason::Local`].
    ///
    /// # Errors
    ///
    /// [`CloseError`], if something was not sent.
    pub fn close(&self, timeout: Duration) -> Result<(), CloseError> {
        let shared = self.shared();
        if shared.lifecycle.identity().is_current() {
            return Err(CloseError::InCallback);
        }
        let last = shared.outbound.drain();
        let waited_for = shared.outbound.progress().wait(last, Instant::now().checked_add(timeout));
        let (bytes, messages) = shared.outbound.size();
        shared.end(DisconnectReason::Local);
        // After a timeout, the last message may still be written, or the connection end, before the size is read.
        match (shared.outbound.progress().outcome(last), waited_for) {
            (Outcome::Written, _) => Ok(()),
            (_, Outcome::Waiting) if messages > 0 => Err(CloseError::NotSent { waited: timeout, messages, bytes }),
            _ => Err(CloseError::Closed(shared.end_reason())),
        }
    }

    /// Sends `reject` as the last message and disconnects once it is written, or after 2 s.
    ///
    /// Returns at once. Works in every callback, also in [`on_version`](super::Listener::on_version), before our own
    /// `verack` is sent. Messages that were queued before are written first, except those that wait for the handshake. No
    /// callback for another message runs afterwards. The reason is [`DisconnectReason::Local`].
    ///
    /// ```
    /// use kaspa_peer::wire::{Reject, RejectCode, Version};
    /// use kaspa_peer::{Listener, Peer};
    ///
    /// /// Refuses remotes that want no transactions.
    /// struct Gate;
    ///
    /// impl Listener for Gate {
    ///     fn on_version(&self, peer: &Peer, version: Version) {
    ///         if version.relay_transactions {
    ///             return;
    ///         }
    ///         let reject = Reject::new("version", RejectCode::NONSTANDARD, "this node serves only relaying nodes");
    ///         if let Err(error) = peer.disconnect_with(&reject) {
    ///             println!("{peer}: {error}");
    ///         }
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`QueueError::Encode`] if the reject cannot be encoded, in which case the connection goes on. [`QueueError::Closed`] if
    /// the connection has ended or is ending already.
    pub fn disconnect_with(&self, reject: &Reject) -> Result<(), QueueError> {
        self.shared().end_with(reject, DisconnectReason::Local)
    }
}
