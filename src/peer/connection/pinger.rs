//! The pinger thread: sleeps until the next deadline, sends pings, and ends the connection when a deadline has passed.

use super::outbound::{MessageKind, Wait};
use super::shared::Shared;
use crate::peer::disconnect::DisconnectReason;
use crate::peer::logging::SENT;
use crate::peer::panic::catch_panic;
use crate::peer::rules::deadlines::Due;
use crate::wire::Ping;
use crossbeam_channel::{Receiver, at, never, select};
use log::debug;
use std::{sync::Arc, time::Instant};

/// Runs until the connection has ended.
pub(in crate::peer) fn run(shared: &Arc<Shared>, wake_up: &Receiver<()>) {
    // The program's logger can panic in `serve`. The connection must end then, because nothing checks its deadlines any
    // more.
    if let Err(message) = catch_panic(|| serve(shared, wake_up)) {
        shared.end(DisconnectReason::CallbackPanicked { message });
    }
}

fn serve(shared: &Arc<Shared>, wake_up: &Receiver<()>) {
    // Checked in every iteration. With a very short ping interval a ping can be due every time, and then the loop does
    // not reach the `select!`, which also notices the end.
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
            recv(wake_up) -> woken => if woken.is_err() { return },
            recv(sleep) -> _ => {}
            recv(shared.lifecycle().quit_channel()) -> _ => return,
        }
    }
}

fn ping(shared: &Shared) {
    let ping = Ping { nonce: shared.settings().node().ping_nonce() };
    match shared.queue_in(MessageKind::Ordinary, &ping, Wait::No) {
        Ok(_) => {}
        // A full queue does not end the connection. The write timeout disconnects a remote that reads nothing.
        Err(error) => debug!(target: SENT, "{shared}: no ping: {error}"),
    }
}
