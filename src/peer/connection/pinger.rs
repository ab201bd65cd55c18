//! Thread 3: the clock. Asleep until something is due.

use super::outbound::{Lane, Wait};
use super::shared::Shared;
use crate::peer::DisconnectReason;
use crate::peer::logging::SENT;
use crate::peer::panic::catch_panic;
use crate::peer::rules::deadlines::Due;
use crate::wire::Ping;
use crossbeam_channel::{Receiver, at, never, select};
use log::debug;
use std::{sync::Arc, time::Instant};

/// Pings, and ends the connection when it is time, until it has ended.
pub(in crate::peer) fn run(shared: &Arc<Shared>, bell: &Receiver<()>) {
    // The program's logger can panic, and without its deadlines a peer must not go on.
    if let Err(message) = catch_panic(|| serve(shared, bell)) {
        shared.end(DisconnectReason::CallbackPanicked { message });
    }
}

fn serve(shared: &Arc<Shared>, bell: &Receiver<()>) {
    // Asked each time: an interval shorter than a ping takes leaves no time to hear of the end below.
    while shared.ended().is_none() {
        let sleep = match shared.next_due(Instant::now()) {
            Ok(Due::Ping) => {
                ping(shared);
                continue;
            }
            Ok(Due::End(reason)) => {
                shared.end(reason);
                return;
            }
            Err(Some(wake_at)) => at(wake_at),
            Err(None) => never(),
        };
        select! {
            recv(bell) -> rung => if rung.is_err() { return },
            recv(sleep) -> _ => {}
            recv(shared.lifecycle.quitting()) -> _ => return,
        }
    }
}

fn ping(shared: &Shared) {
    let ping = Ping { nonce: shared.config.ping_nonce() };
    match shared.queue_in(Lane::Ordinary, &ping, Wait::No) {
        Ok(_) => {}
        // The write timeout looks after a remote that takes nothing.
        Err(error) => debug!(target: SENT, "{shared}: no ping: {error}"),
    }
}
