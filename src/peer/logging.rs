//! What goes to the log, under which target and at which level. The targets are named, so that they stay the same when
//! a module moves.

use crate::wire::{Command, HEADER_SIZE, Message};
use log::{LevelFilter, debug, trace};
use std::fmt::Display;

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
    debug!(target: RECEIVED, "{peer}: received {command}, {size} bytes");
    trace!(target: RECEIVED, "{peer}: received {message:?}");
}

/// A frame was written: a line, and at `trace` all that is in it.
#[cold]
pub(super) fn sent(peer: &impl Display, command: Command, frame: &[u8]) {
    debug!(target: SENT, "{peer}: sent {command}, {} bytes", frame.len());
    if log::max_level() >= LevelFilter::Trace
        && let Some(Ok(message)) = frame.get(HEADER_SIZE..).map(|payload| Message::decode(command, payload))
    {
        trace!(target: SENT, "{peer}: sent {message:?}");
    }
}
