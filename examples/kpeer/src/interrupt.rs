//! Ends subcommands in order on SIGINT (Ctrl-C) and SIGTERM.

use crate::options::Failure;
use crossbeam_channel::{Receiver, TryRecvError, bounded};
use kaspa_peer::Peer;
use parking_lot::Mutex;
use std::{process, thread};

/// A channel that is disconnected by the first SIGINT or SIGTERM. A second signal ends the process at once.
///
/// Nothing is ever sent: `recv` returns an error when the signal arrives. Can be called once per process.
pub fn channel() -> Result<Receiver<()>, Failure> {
    let (sender, receiver) = bounded(0);
    let sender = Mutex::new(Some(sender));
    ctrlc::set_handler(move || {
        if sender.lock().take().is_none() {
            process::exit(130);
        }
    })?;
    Ok(receiver)
}

/// Returns whether the signal has arrived.
pub fn has_arrived(interrupted: &Receiver<()>) -> bool {
    interrupted.try_recv() == Err(TryRecvError::Disconnected)
}

/// Disconnects the peer when the signal arrives, so that all waits for the peer end.
pub fn disconnect(interrupted: &Receiver<()>, peer: &Peer) -> Result<(), Failure> {
    let (interrupted, peer) = (interrupted.clone(), peer.clone());
    thread::Builder::new().name("interrupt".into()).spawn(move || {
        // An error is the signal; nothing is ever sent.
        let _ = interrupted.recv();
        peer.disconnect();
    })?;
    Ok(())
}
