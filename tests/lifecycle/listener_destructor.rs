//! A listener is dropped with the last peer that uses it, perhaps on a thread of that peer. Its destructor may wait for other peers.

use crate::common::local::connected_peer;
use crate::common::{BOTH, DEADLINE, builder};
use crossbeam_channel::{Sender, unbounded};
use kaspa_peer::testing::connect_remote_over_tcp;
use kaspa_peer::{DisconnectReason, Listener, Peer, WaitError};

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
