//! `on_disconnect` is the last callback of a peer, even if the writer thread is in a callback when the connection ends.

use crate::common::local::end_reason;
use crate::common::memory_file::{MemoryFile, records};
use crate::common::{BOTH, builder, wait_until};
use kaspa_peer::peer::{Capture, Captured};
use kaspa_peer::testing::connect_remote_over_tcp;
use kaspa_peer::wire::{Command, FeeFilter, Network};
use kaspa_peer::{DisconnectReason, Listener, Peer};
use parking_lot::{Condvar, Mutex};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Stays in `on_write` for the first `feefilter` until the connection has ended.
#[derive(Default)]
struct SlowOnWrite {
    written: Mutex<Vec<Command>>,
    disconnected: Mutex<bool>,
    changed: Condvar,
}

impl Listener for SlowOnWrite {
    fn on_write(&self, peer: &Peer, command: Command, _: usize, _: Option<&io::Error>) {
        if command == Command::FeeFilter && !self.written.lock().contains(&command) {
            wait_until("the end of the connection", || peer.disconnect_reason().is_some());
            // A reader thread that called `on_disconnect` without waiting for this callback would do it about now.
            let mut disconnected = self.disconnected.lock();
            self.changed.wait_until(&mut disconnected, Instant::now() + Duration::from_millis(200));
        }
        assert!(!*self.disconnected.lock(), "on_write for {command} after on_disconnect");
        self.written.lock().push(command);
    }

    fn on_disconnect(&self, _: &Peer, _: &DisconnectReason) {
        *self.disconnected.lock() = true;
        self.changed.notify_all();
    }
}

#[test]
fn on_disconnect_follows_the_callbacks_of_written_messages() {
    for direction in BOTH {
        let listener = Arc::new(SlowOnWrite::default());
        let file = MemoryFile::default();
        let capture = Capture::new(file.clone(), Network::Simnet, 1 << 20).unwrap();
        let config = builder().listener(listener.clone()).capture(capture).build().unwrap();
        let (peer, mut remote) = connect_remote_over_tcp(direction, &config).unwrap();
        // Both wait for the handshake, and are written as one batch after it.
        for min_fee in [1, 2] {
            peer.queue_message(&FeeFilter { min_fee }).unwrap();
        }
        remote.shake_hands().unwrap();
        for min_fee in [1, 2] {
            assert_eq!(remote.expect::<FeeFilter>().unwrap(), FeeFilter { min_fee });
        }
        remote.close_writing().unwrap();
        assert_eq!(end_reason(&peer), DisconnectReason::RemoteClosed { inside_frame: false });
        assert!(*listener.disconnected.lock());
        let written = listener.written.lock();
        assert_eq!(written.iter().filter(|&&command| command == Command::FeeFilter).count(), 2, "{written:?}");

        let records = records(&file);
        assert!(matches!(records.last(), Some(Captured::Gone(_))), "{records:#?}");
        assert_eq!(records.iter().filter(|record| matches!(record, Captured::Sent(_))).count(), 4);
    }
}
