//! What goes to the log, under which target and at which level. The targets are named, so that they stay the same when
//! a module moves.

use crate::wire::{Command, HEADER_SIZE, Message};
use log::{Level, LevelFilter, debug, log_enabled, trace};
use std::fmt::{self, Display};

/// A peer's life: connected, introduced, gone.
pub(super) const LIFE: &str = "kaspa_peer::life";

/// What arrives, and what is wrong with it.
pub(super) const RECEIVED: &str = "kaspa_peer::received";

/// What is sent, or is not.
pub(super) const SENT: &str = "kaspa_peer::sent";

/// Captures.
pub(super) const CAPTURE: &str = "kaspa_peer::capture";

/// Whether messages are logged at all: the one thing that is asked for each of them.
#[inline]
pub(super) fn messages() -> bool {
    log::max_level() >= LevelFilter::Debug
}

/// A message arrived: a line, and at `trace` all that is in it.
#[cold]
pub(super) fn received(peer: &impl Display, command: Command, size: usize, message: &Message) {
    debug!(target: RECEIVED, "{peer}: received {command}, {size} bytes{}", Content(message));
    trace!(target: RECEIVED, "{peer}: received {message:?}");
}

/// A frame was written: a line, and at `trace` all that is in it.
#[cold]
pub(super) fn sent(peer: &impl Display, command: Command, frame: &[u8]) {
    // It is decoded for the log alone.
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

/// What is in a message, if there is anything, set off from what is before it.
struct Content<'a>(&'a Message);

impl Display for Content<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let summary = self.0.summary();
        if summary.is_empty() { Ok(()) } else { write!(f, ": {summary}") }
    }
}
