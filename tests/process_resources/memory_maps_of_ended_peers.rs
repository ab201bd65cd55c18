//! A handle that the program keeps after the end keeps no thread, even if the program never waits for the end. A thread
//! that is not joined would keep its stack.

use super::process::{exclusive, memory_maps};
use crate::common::{BOTH, builder, wait_until};
use kaspa_peer::testing::connect_remote_over_tcp;

#[test]
fn handles_of_ended_peers_keep_no_thread_stacks() {
    const PEERS: usize = 1000;
    let _exclusive = exclusive();
    let node = builder().build().unwrap();
    let before = memory_maps();
    let kept: Vec<_> = (0..PEERS)
        .map(|number| {
            let (peer, _remote) = connect_remote_over_tcp(BOTH[number % 2], &node).unwrap();
            peer.disconnect();
            peer
        })
        .collect();
    // The C library keeps some stacks for the next threads.
    wait_until("the stacks are unmapped", || memory_maps() < before + PEERS);
    assert!(kept.iter().all(|peer| peer.disconnect_reason().is_some()));
}
