//! A handle that the program keeps after the end keeps no socket, so that connections that come and go cannot use up the
//! process's descriptors.

use super::process::{descriptors, exclusive};
use crate::common::builder;
use crate::common::by_hand::{by_hand, end_of};
use kaspa_peer::DisconnectReason;

#[test]
fn a_handle_of_an_ended_peer_keeps_no_descriptor() {
    let _exclusive = exclusive();
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
    let known = |peer: &kaspa_peer::Peer| peer.stats().handshake_done && peer.disconnect_reason().is_some();
    assert!(kept.iter().all(known), "a kept handle still knows its statistics and its reason");
}
