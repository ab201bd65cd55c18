//! A handle that a program keeps after the end keeps no socket: who comes and goes cannot use up the descriptors.
//!
//! Alone in its file, since it counts what the whole process has.
#![cfg(target_os = "linux")]
#![allow(missing_docs)]

mod common;

use common::builder;
use common::by_hand::{by_hand, end_of};
use kaspa_peer::DisconnectReason;

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn a_peer_that_ended_has_no_descriptor() {
    let before = descriptors();
    let mut kept = Vec::new();
    for local in [true, false] {
        for _ in 0..20 {
            let (end, remote) = by_hand(builder());
            if local {
                end.peer.disconnect();
                assert_eq!(end_of(&end.peer), DisconnectReason::Local);
            }
            drop(remote);
            end_of(&end.peer);
            kept.push(end.peer);
        }
    }
    assert_eq!(descriptors(), before);
    // They still know everything.
    assert!(kept.iter().all(|peer| peer.stats().handshake_done && peer.disconnect_reason().is_some()));
}
