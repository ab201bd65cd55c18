//! The targets of log records, and the log records of messages. The targets are not the paths of modules, so that they
//! stay the same when a module moves.

use crate::wire::{Command, HEADER_SIZE, Message};
use log::{Level, LevelFilter, debug, log_enabled, trace};
use std::fmt::{self, Display};

/// Start, handshake and end of peers.
pub(super) const LIFE: &str = "kaspa_peer::life";

/// Received messages, and malformed frames.
pub(super) const RECEIVED: &str = "kaspa_peer::received";

/// Sent messages, and messages that could not be sent.
pub(super) const SENT: &str = "kaspa_peer::sent";

/// Captures that stop or drop records.
pub(super) const CAPTURE: &str = "kaspa_peer::capture";

/// `true` if messages are logged. This is called for each message, so it must be cheap.
#[inline]
pub(super) fn messages() -> bool {
    log::max_level() >= LevelFilter::Debug
}

/// Logs a received message: one line at `debug`, and all its fields at `trace`.
#[cold]
pub(super) fn received(peer: &impl Display, command: Command, size: usize, message: &Message) {
    debug!(target: RECEIVED, "{peer}: received {command}, {size} bytes{}", Content(message));
    trace!(target: RECEIVED, "{peer}: received {message:?}");
}

/// Logs a written frame: one line at `debug`, and all fields of its message at `trace`.
#[cold]
pub(super) fn sent(peer: &impl Display, command: Command, frame: &[u8]) {
    // The frame is decoded only for the log.
    if !log_enabled!(target: SENT, Level::Debug) {
        return;
    }
    let size = frame.len();
    match frame.get(HEADER_SIZE..).map(|payload| Message::decode(command, payload)) {
        Some(Ok(message)) => {
            debug!(target: SENT, "{peer}: sent {command}, {size} bytes{}", Content(&message));
            trace!(target: SENT, "{peer}: sent {message:?}");
        }
        _ => debug!(target: SENT, "{peer}: sent {command}, {size} bytes"),
    }
}

/// The summary of a message after a colon, or nothing if the summary is empty.
struct Content<'a>(&'a Message);

impl Display for Content<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let summary = self.0.summary();
        if summary.is_empty() { Ok(()) } else { write!(f, ": {summary}") }
    }
}
