//! The last callback: whichever of the two threads that call back is done last says that the peer is gone.

use super::Peer;
use super::capture::Entry;
use super::logging::LIFE;
use super::panic::catch_panic;
use super::shared::Shared;
use log::warn;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The reader and the writer.
const CALLERS: usize = 2;

/// How many threads may still call back.
#[derive(Debug)]
pub(super) struct Farewell(AtomicUsize);

impl Default for Farewell {
    fn default() -> Self {
        Self(AtomicUsize::new(CALLERS))
    }
}

/// This thread calls back no more. Neither waits for the other, so a program that holds up one of them holds up nobody but
/// itself.
pub(super) fn leave(shared: &Shared, peer: &Peer) {
    // What the other did before it left comes before what follows.
    if shared.farewell.0.fetch_sub(1, Ordering::AcqRel) > 1 {
        return;
    }
    // The reader has ended the connection, at the latest.
    let Some(reason) = shared.ended() else { return };
    // A panic in what records does not keep the listener from its last call.
    if let Some(capture) = &shared.settings().capture {
        let _ = catch_panic(|| capture.record(shared.id, Entry::Gone(&reason.to_string())));
    }
    if catch_panic(|| shared.settings().listener.on_disconnect(peer, reason)).is_err() {
        warn!(target: LIFE, "{shared}: on_disconnect panicked");
    }
}
