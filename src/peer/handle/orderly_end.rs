//! Orderly ends: the last message is written before the connection closes.

use crate::peer::connection::send_progress::Outcome;
use crate::peer::disconnect::DisconnectReason;
use crate::peer::error::QueueError;
use crate::peer::handle::Peer;
use crate::wire::Reject;
use std::time::{Duration, Instant};
use thiserror::Error;

/// The reason [`Peer::close`] did not write everything that was queued. The connection has ended nevertheless, except
/// after [`InCallback`](Self::InCallback).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CloseError {
    /// Some messages were not written within the timeout.
    #[error(
        "closed after {waited:?}; not sent: {messages} messages ({bytes} bytes) and {announcements} announcements, because the \
         remote reads slowly or the handshake was not done"
    )]
    NotSent {
        /// The timeout.
        waited: Duration,
        /// How many messages were not written. Includes all messages of the batch that was being written, even those
        /// that were written already.
        messages: usize,
        /// How many bytes these messages have.
        bytes: usize,
        /// How many inventory items were not announced.
        announcements: usize,
    },
    /// The connection ended for another reason before everything was written.
    #[error("the connection ended before everything was sent: {0}")]
    Closed(DisconnectReason),
    /// The call was made in a callback of the same peer. Call `close` on another thread.
    #[error("a callback cannot wait for its own peer: call close on another thread")]
    InCallback,
}

impl Peer {
    /// Sends the queued messages, then disconnects. Accepts no new messages of the program meanwhile.
    ///
    /// If messages are still not written after `timeout`, disconnects all the same, and the error says how many were
    /// not sent. Messages that wait for the handshake are written after this node's `verack`. Announcements that wait
    /// for the trickle interval are sent without waiting for it. Until the peer disconnects, it reads and delivers the
    /// messages of the remote. The connection ends with the reason [`DisconnectReason::Local`], unless it ends for
    /// another reason before that. If a last `reject` is queued already, see
    /// [`disconnect_with`](Self::disconnect_with), this method waits until the `reject` is written.
    ///
    /// # Errors
    ///
    /// [`CloseError`] if some messages were not sent, or if the call was made in a callback of this peer.
    pub fn close(&self, timeout: Duration) -> Result<(), CloseError> {
        let shared = self.shared();
        if shared.lifecycle().identity().is_current() {
            return Err(CloseError::InCallback);
        }
        let deadline = Instant::now().checked_add(timeout);
        let outbound = shared.outbound();
        outbound.drain();
        let announcements = shared.flush_announcements(deadline);
        let last = outbound.last_position();
        outbound.progress().wait(last, deadline);
        // A last `reject` has no position. The writer thread ends the connection when the `reject` is written.
        if outbound.last_is_queued() {
            shared.lifecycle().wait_for_end(deadline);
        }
        let ended_here = shared.end(DisconnectReason::Local);
        // Another thread that ends the connection may not have closed the queue yet.
        drop(outbound.close());
        let (bytes, messages) = outbound.unwritten();
        let all_written =
            messages == 0 || (outbound.progress().outcome(last) == Outcome::Written && !outbound.last_is_queued());
        match (all_written && announcements == 0, ended_here) {
            (true, _) => Ok(()),
            (false, true) => Err(CloseError::NotSent { waited: timeout, messages, bytes, announcements }),
            (false, false) => Err(CloseError::Closed(shared.end_reason())),
        }
    }

    /// Sends `reject` as the last message, and disconnects when it is written, or after 2 s.
    ///
    /// Returns at once. Works in every callback, also in [`on_version`](crate::Listener::on_version), before our own
    /// `verack` is sent. Messages that were queued earlier are written first, except the messages that wait for the
    /// handshake, which are dropped. After this call, the peer delivers no further messages to the listener. The
    /// connection ends with the reason [`DisconnectReason::Local`].
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
    /// [`QueueError::Encode`] if the `reject` cannot be encoded: the connection then stays open. [`QueueError::Closed`]
    /// if the connection has ended, or is about to end.
    pub fn disconnect_with(&self, reject: &Reject) -> Result<(), QueueError> {
        self.shared().end_with(reject, DisconnectReason::Local)
    }
}
