//! What a listener owns is dropped with it, perhaps on a thread of its last peer; there it may wait for other peers.

use crate::common::local::{connected_peer, new_peer_of};
use crate::common::{DEADLINE, builder};
use crossbeam_channel::{Sender, unbounded};
use kaspa_peer::{Direction, DisconnectReason, Listener, Peer, WaitError};

/// A program's hub: when it goes, it sees its other peer off.
struct Hub {
    other: Peer,
    told: Sender<Result<DisconnectReason, WaitError>>,
}

impl Listener for Hub {}

impl Drop for Hub {
    fn drop(&mut self) {
        self.other.disconnect();
        let _ = self.recorder.send(self.other.wait_for_disconnect_timeout(DEADLINE));
    }
}

#[test]
fn it_can_wait_for_another_peer() {
    for direction in [Direction::Inbound, Direction::Outbound] {
        let (local, _other_remote) = connected_peer(builder());
        let (told, results) = unbounded();
        let config = builder().listener(Hub { other: local.peer, told }).build().unwrap();
        let (peer, _remote) = new_peer_of(&config, direction);
        // From here on only the threads have it.
        drop(config);
        drop(peer);
        assert_eq!(results.recv_timeout(2 * DEADLINE), Ok(Ok(DisconnectReason::Local)));
    }
}
