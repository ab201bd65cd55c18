//! Ways to block a peer's threads: callbacks that wait for the test, and queues that are full.

use super::DEADLINE;
use super::frames::message_of_size;
use super::local::connected_peer_with;
use super::recorder::Recorder;
use kaspa_peer::testing::ScriptedRemote;
use kaspa_peer::wire::{Command, FeeFilter, Message, SendHeaders};
use kaspa_peer::{ConfigBuilder, Listener, Peer, QueueError};
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::time::Duration;

/// Calls a closure for every message.
pub struct OnMessage<F>(pub F);

impl<F: Fn(&Peer, &Message) + Send + Sync + 'static> Listener for OnMessage<F> {
    fn on_message(&self, peer: &Peer, message: &Message) {
        (self.0)(peer, message);
    }
}

/// A listener that calls a closure for every `feefilter`.
pub fn on_fee_filter(act: impl Fn(&Peer) + Send + Sync + 'static) -> impl Listener {
    OnMessage(move |peer: &Peer, message: &Message| {
        if matches!(message, Message::FeeFilter(_)) {
            act(peer);
        }
    })
}

/// A listener that blocks the reader thread in the callback of a `feefilter` until the gate is open.
pub fn blocks_on_fee_filter(gate: &Gate) -> impl Listener {
    let gate = gate.clone();
    on_fee_filter(move |_| gate.pass())
}

/// The message that makes [`on_fee_filter`] act.
pub const FEE_FILTER: FeeFilter = FeeFilter { min_fee: 1 };

/// Blocks every thread that passes until the test opens it. Clones are the same gate.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<GateState>, Condvar)>);

#[derive(Default)]
struct GateState {
    open: bool,
    arrived: usize,
}

impl Gate {
    /// Waits until the gate is open, but not longer than the deadline.
    pub fn pass(&self) {
        let mut state = self.0.0.lock();
        state.arrived += 1;
        self.0.1.notify_all();
        self.0.1.wait_while_for(&mut state, |state| !state.open, DEADLINE);
    }

    pub fn open(&self) {
        self.0.0.lock().open = true;
        self.0.1.notify_all();
    }

    /// Waits until a thread has arrived.
    pub fn wait_for_arrival(&self) {
        let mut state = self.0.0.lock();
        let timed_out = self.0.1.wait_while_for(&mut state, |state| state.arrived == 0, DEADLINE).timed_out();
        assert!(!timed_out, "no thread arrived at the gate");
    }
}

/// Records like a [`Recorder`], and blocks the writer thread after it has written a `sendheaders`.
#[derive(Clone, Default)]
pub struct BlocksWriter {
    pub recorder: Recorder,
    pub gate: Gate,
}

impl Listener for BlocksWriter {
    fn on_message(&self, peer: &Peer, message: &Message) {
        self.recorder.on_message(peer, message);
    }

    fn on_write(&self, _: &Peer, command: Command, _: usize, _: Option<&std::io::Error>) {
        if command == Command::SendHeaders {
            self.gate.pass();
        }
    }
}

/// A peer whose writer thread is blocked until the gate is opened. Its remote has read everything so far.
pub fn peer_with_blocked_writer(builder: ConfigBuilder) -> (Peer, BlocksWriter, ScriptedRemote) {
    let listener = BlocksWriter::default();
    let (peer, mut remote) = connected_peer_with(listener.clone(), builder);
    peer.queue_message(&SendHeaders).unwrap();
    remote.expect::<SendHeaders>().unwrap();
    listener.gate.wait_for_arrival();
    (peer, listener, remote)
}

/// Queues messages until the outbound queue and the buffers of both sockets are full, since the remote does not read.
pub fn fill_queue(peer: &Peer) {
    let sent = || peer.stats().sent.total().bytes;
    let message = message_of_size(10_000);
    let (mut before, mut unchanged) = (u64::MAX, 0);
    // A writer that waits for its time on the processor makes no progress either, but not for a whole second.
    while unchanged < 200 {
        match peer.queue_message(&message) {
            Ok(_) => {}
            Err(QueueError::Full { .. }) => {
                unchanged = if before == sent() { unchanged + 1 } else { 0 };
                before = sent();
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) => panic!("{error}"),
        }
    }
}
