//! `on_disconnect` is the last that a program hears of a peer, whatever the writer was just telling it.

use crate::common::local::new_peer_of;
use crate::common::memory_file::{MemoryFile, records};
use crate::common::{BOTH, DEADLINE, builder, version, wait_until};
use kaspa_peer::peer::{Capture, Captured};
use kaspa_peer::wire::{Command, FeeFilter, Network};
use kaspa_peer::{DisconnectReason, Listener, Peer};
use parking_lot::{Condvar, Mutex};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Is still being told of the first `feefilter` when the connection ends.
#[derive(Default)]
struct Slow {
    told: Mutex<Vec<Command>>,
    gone: Mutex<bool>,
    changed: Condvar,
}

impl Listener for Slow {
    fn on_write(&self, peer: &Peer, command: Command, _: usize, _: Option<&io::Error>) {
        if command == Command::FeeFilter && !self.recorder.lock().contains(&command) {
            wait_until("the end of the connection", || peer.disconnect_reason().is_some());
            // The reader has nothing left to do by now, and had it the last word, would soon have had it.
            let mut gone = self.gone.lock();
            self.changed.wait_until(&mut gone, Instant::now() + Duration::from_millis(200));
        }
        assert!(!*self.gone.lock(), "{command} was written behind the end");
        self.recorder.lock().push(command);
    }

    fn on_disconnect(&self, _: &Peer, _: &DisconnectReason) {
        *self.gone.lock() = true;
        self.changed.notify_all();
    }
}

#[test]
fn what_is_being_told_is_told_first() {
    for direction in BOTH {
        let listener = Arc::new(Slow::default());
        let file = MemoryFile::default();
        let capture = Capture::new(file.clone(), Network::Simnet, 1 << 20).unwrap();
        let config = builder().shared_listener(listener.clone()).capture(capture).build().unwrap();
        let (peer, mut remote) = new_peer_of(&config, direction);
        // Held back until the handshake is done, and so written as one.
        for min_fee in [1, 2] {
            peer.queue_message(&FeeFilter { min_fee }).unwrap();
        }
        remote.shake_hands(&version());
        for min_fee in [1, 2] {
            assert_eq!(remote.expect::<FeeFilter>(), FeeFilter { min_fee });
        }
        remote.shut_down_sending();
        let reason = peer.wait_for_disconnect_timeout(DEADLINE).unwrap();
        assert_eq!(reason, DisconnectReason::RemoteClosed { inside_frame: false });
        assert!(*listener.gone.lock());
        let told = listener.recorder.lock();
        assert_eq!(told.iter().filter(|&&command| command == Command::FeeFilter).count(), 2, "{told:?}");

        let records = records(&file);
        assert!(matches!(records.last(), Some(Captured::Gone(_))), "{records:#?}");
        assert_eq!(records.iter().filter(|record| matches!(record, Captured::Sent(_))).count(), 4);
    }
}
