//! A listener and a `DagView` whose methods do what the harness chooses.

use super::calls::{Caller, Program};
use super::connection::panic_quietly;
use crate::peer::fuzzing::Choices;
use crate::peer::{DagView, DisconnectReason, Listener, Peer};
use crate::wire::{Command, FrameError, Hash, Message};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

/// The callbacks of one peer.
pub(super) struct Callbacks {
    pub program: Arc<Program>,
    /// The actions of the next callbacks, each with choices of its own. When none is left, they do nothing.
    pub next: Mutex<VecDeque<Vec<u8>>>,
}

impl Callbacks {
    fn call(&self, peer: &Peer) {
        // Released before the call, which may lead to another callback on another thread.
        let next = self.next.lock().pop_front();
        if let Some(bytes) = next {
            let mut choices = Choices::new(&bytes);
            while !choices.is_empty() {
                self.program.call(peer, Caller::Callback, &mut choices);
            }
        }
    }

    fn callback(&self, peer: &Peer, reads_message: bool) {
        self.program.record.callback(reads_message, || self.call(peer));
    }
}

impl Listener for Callbacks {
    fn on_message(&self, peer: &Peer, _: &Message) {
        self.callback(peer, false);
    }

    fn on_handshake(&self, peer: &Peer) {
        let done = peer.is_handshake_done();
        self.program.record.check(done, || "on_handshake ran before the handshake was done".into());
        self.callback(peer, false);
    }

    fn on_read(&self, peer: &Peer, _: usize, _: Result<Command, &FrameError>) {
        self.callback(peer, true);
    }

    fn on_write(&self, peer: &Peer, _: Command, _: usize, _: Option<&io::Error>) {
        self.callback(peer, false);
    }

    fn on_disconnect(&self, peer: &Peer, reason: &DisconnectReason) {
        self.program.record.last_callback(reason, || self.call(peer));
    }
}

/// A `DagView` that panics at the numbered call.
pub(super) struct PanickingDag(pub Mutex<u8>);

impl DagView for PanickingDag {
    fn selected_tip(&self) -> Hash {
        let mut left = self.0.lock();
        if *left == 0 {
            drop(left);
            panic_quietly();
        }
        *left -= 1;
        Hash::ZERO
    }
}
