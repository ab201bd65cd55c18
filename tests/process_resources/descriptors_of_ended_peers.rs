//! A handle that the program keeps after the end keeps no socket, so that connections that come and go cannot use up
//! the process's descriptors.

use super::process::{descriptors, exclusive};
use crate::common::builder;
use crate::common::local::{connected_peer, end_reason};
use kaspa_peer::DisconnectReason;

#[test]
fn a_handle_of_an_ended_peer_keeps_no_descriptor() {
    let _exclusive = exclusive();
    let before = descriptors();
    let mut kept = Vec::new();
    for disconnect in [true, false] {
        for _ in 0..20 {
            let (local, remote) = connected_peer(builder());
            if disconnect {
                local.peer.disconnect();
                assert_eq!(end_reason(&local.peer), DisconnectReason::Local);
            }
            drop(remote);
            end_reason(&local.peer);
            kept.push(local.peer);
        }
    }
    assert_eq!(descriptors(), before);
    let known = |peer: &kaspa_peer::Peer| peer.stats().handshake_done && peer.disconnect_reason().is_some();
    assert!(kept.iter().all(known), "a kept handle still knows its statistics and its reason");
}
