//! A handle that a program keeps after the end keeps no thread, though nobody ever waits for it: what an ended thread leaves
//! would add up.
//!
//! Alone in its file, since it counts what the whole process has.
#![cfg(target_os = "linux")]
#![allow(missing_docs)]

mod common;

use common::remote::{BOTH, meet_node};
use common::{builder, wait_until};

/// A thread that was not joined has two: its stack and a guard page.
fn memory_maps() -> usize {
    std::fs::read_to_string("/proc/self/maps").unwrap().lines().count()
}

#[test]
fn peers_that_nobody_waited_for_leave_no_threads() {
    const PEERS: usize = 1000;
    let node = builder().build().unwrap();
    let before = memory_maps();
    let kept: Vec<_> = (0..PEERS)
        .map(|number| {
            let (_remote, peer) = meet_node(BOTH[number % 2], &node);
            peer.disconnect();
            peer
        })
        .collect();
    // The C library keeps some stacks for the next threads.
    wait_until("few maps", || memory_maps() < before + PEERS);
    assert!(kept.iter().all(|peer| peer.disconnect_reason().is_some()));
}
