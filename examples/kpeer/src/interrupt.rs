//! Ends subcommands in order on SIGINT (Ctrl-C) and SIGTERM.

use crate::options::Failure;
use crossbeam_channel::{Receiver, bounded};
use parking_lot::Mutex;
use std::process;

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
