//! A listener is dropped at the end of the last peer that uses it, perhaps on a thread of that peer. Its destructor may
//! wait for other peers. A `DagView` and the output of a capture are dropped at the same time.

use crate::common::local::connected_peer;
use crate::common::{BOTH, DEADLINE, builder};
use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded, unbounded};
use kaspa_peer::peer::Capture;
use kaspa_peer::testing::connect_remote_over_tcp;
use kaspa_peer::wire::{Hash, Network};
use kaspa_peer::{DagView, DisconnectReason, Listener, Peer, WaitError};
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

/// Disconnects another peer when it is dropped, and waits for the end of that peer.
struct EndsAnotherPeer {
    other: Peer,
    results: Sender<Result<DisconnectReason, WaitError>>,
}

impl Listener for EndsAnotherPeer {}

impl Drop for EndsAnotherPeer {
    fn drop(&mut self) {
        self.other.disconnect();
        let _ = self.results.send(self.other.wait_for_disconnect_timeout(DEADLINE));
    }
}

/// Reports that it is dropped, and panics.
struct PanicsOnDrop {
    name: &'static str,
    dropped: Sender<&'static str>,
    /// `on_disconnect` waits until this is disconnected.
    gate: Receiver<()>,
}

impl Listener for PanicsOnDrop {
    fn on_disconnect(&self, _: &Peer, _: &DisconnectReason) {
        let _ = self.gate.recv_timeout(DEADLINE);
    }
}

impl DagView for PanicsOnDrop {}

impl Drop for PanicsOnDrop {
    fn drop(&mut self) {
        let _ = self.dropped.send(self.name);
        panic!("the {} is dropped", self.name);
    }
}

#[test]
fn the_destructors_of_a_listener_and_a_dag_view_can_both_panic() {
    for direction in BOTH {
        let (sender, dropped) = unbounded();
        let (open, gate) = bounded(0);
        let [listener, dag] =
            ["listener", "view"].map(|name| PanicsOnDrop { name, dropped: sender.clone(), gate: gate.clone() });
        drop(sender);
        let config = builder().listener(listener).dag(dag).build().unwrap();
        let (peer, _remote) = connect_remote_over_tcp(direction, &config).unwrap();
        drop(config);
        // Dropped before the peer's threads end, so that they drop the rest.
        drop(peer);
        drop(open);
        for expected in ["listener", "view"] {
            assert_eq!(dropped.recv_timeout(DEADLINE), Ok(expected));
        }
        // Disconnected: both senders are dropped, so both destructors are done.
        assert!(dropped.recv_timeout(DEADLINE).is_err_and(|error| error.is_disconnected()));
    }
}

#[test]
fn the_destructor_of_a_listener_can_wait_for_another_peer() {
    for direction in BOTH {
        let (other, _other_remote) = connected_peer(builder());
        let (sender, results) = unbounded();
        let listener = EndsAnotherPeer { other: other.peer, results: sender };
        let config = builder().listener(listener).build().unwrap();
        let (peer, _remote) = connect_remote_over_tcp(direction, &config).unwrap();
        // Now only the peer's threads own the listener.
        drop(config);
        drop(peer);
        assert_eq!(results.recv_timeout(2 * DEADLINE), Ok(Ok(DisconnectReason::Local)));
    }
}

/// Keeps a handle of its own peer.
struct KeepsItsPeer {
    peer: OnceLock<Peer>,
    /// Dropped with the rest.
    _dropped: Sender<()>,
}

impl Listener for KeepsItsPeer {}

impl DagView for KeepsItsPeer {}

struct Output(Arc<KeepsItsPeer>);

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Self(_keeper) = self;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The part of the program that keeps a handle.
#[derive(Debug, Clone, Copy)]
enum Keeps {
    Listener,
    Dag,
    CaptureOutput,
}

#[test]
fn each_part_of_the_program_that_keeps_a_handle_is_dropped_at_the_end_of_its_peer_although_handles_remain() {
    for (direction, keeps) in BOTH
        .into_iter()
        .flat_map(|direction| [Keeps::Listener, Keeps::Dag, Keeps::CaptureOutput].map(|k| (direction, k)))
    {
        let (sender, dropped) = bounded(1);
        let keeper = Arc::new(KeepsItsPeer { peer: OnceLock::new(), _dropped: sender });
        let builder = match keeps {
            Keeps::Listener => builder().listener(Arc::clone(&keeper)),
            Keeps::Dag => builder().dag(Arc::clone(&keeper)),
            Keeps::CaptureOutput => {
                let output = Output(Arc::clone(&keeper));
                builder().capture(Capture::new(output, Network::Simnet, u64::MAX).unwrap())
            }
        };
        let config = builder.build().unwrap();
        let (peer, mut remote) = connect_remote_over_tcp(direction, &config).unwrap();
        keeper.peer.set(peer.clone()).unwrap();
        drop((keeper, config));
        remote.shake_hands().unwrap();
        peer.wait_for_handshake_timeout(DEADLINE).unwrap();
        assert_eq!(dropped.try_recv(), Err(TryRecvError::Empty), "{keeps:?}");
        peer.disconnect();
        peer.wait_for_disconnect_timeout(DEADLINE).unwrap();
        assert_eq!(dropped.try_recv(), Err(TryRecvError::Disconnected), "{keeps:?}");
        assert!(!peer.is_selected_tip_known(), "{keeps:?}");
    }
}

/// Ends its peer and panics when it is asked, and panics when it is dropped.
struct EndsItsPeer(OnceLock<Peer>);

impl DagView for EndsItsPeer {
    fn is_known(&self, _: &Hash) -> bool {
        let peer = self.0.get().unwrap();
        peer.disconnect();
        peer.wait_for_disconnect_timeout(DEADLINE).unwrap();
        panic!("asked");
    }
}

impl Drop for EndsItsPeer {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

#[test]
fn a_view_can_panic_on_a_thread_of_the_program_that_then_drops_it() {
    for direction in BOTH {
        let view = Arc::new(EndsItsPeer(OnceLock::new()));
        let config = builder().dag(Arc::clone(&view)).build().unwrap();
        let (peer, mut remote) = connect_remote_over_tcp(direction, &config).unwrap();
        view.0.set(peer.clone()).unwrap();
        drop((view, config));
        remote.shake_hands().unwrap();
        peer.wait_for_handshake_timeout(DEADLINE).unwrap();
        let panic = catch_unwind(AssertUnwindSafe(|| peer.is_selected_tip_known())).unwrap_err();
        assert_eq!(panic.downcast_ref(), Some(&"asked"));
        assert_eq!(peer.disconnect_reason(), Some(DisconnectReason::Local));
    }
}
