//! A listener is dropped at the end of the last peer that uses it, perhaps on a thread of that peer. Its destructor may
//! wait for other peers.

use crate::common::local::connected_peer;
use crate::common::{BOTH, DEADLINE, builder};
use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded, unbounded};
use kaspa_peer::testing::connect_remote_over_tcp;
use kaspa_peer::{DagView, DisconnectReason, Listener, Peer, WaitError};
use std::sync::OnceLock;

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
    /// Dropped with the listener.
    _dropped: Sender<()>,
}

impl Listener for KeepsItsPeer {
    fn on_disconnect(&self, peer: &Peer, _: &DisconnectReason) {
        let _ = self.peer.set(peer.clone());
    }
}

#[test]
fn a_listener_is_dropped_at_the_end_of_its_peer_although_handles_remain() {
    for direction in BOTH {
        let (sender, dropped) = bounded(1);
        let config = builder().listener(KeepsItsPeer { peer: OnceLock::new(), _dropped: sender }).build().unwrap();
        let (peer, _remote) = connect_remote_over_tcp(direction, &config).unwrap();
        drop(config);
        assert_eq!(dropped.try_recv(), Err(TryRecvError::Empty));
        peer.disconnect();
        peer.wait_for_disconnect_timeout(DEADLINE).unwrap();
        assert_eq!(dropped.try_recv(), Err(TryRecvError::Disconnected));
    }
}
