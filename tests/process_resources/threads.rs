//! A peer has three threads and one descriptor while it is connected, and none afterwards.

use super::process::{descriptors, exclusive, no_threads_left, threads};
use crate::common::local::{connected_pair, connected_peer_in, new_peer};
use crate::common::{BOTH, DEADLINE, builder, version, wait_until};
use kaspa_peer::testing::connect_remote_over_tcp;
use kaspa_peer::wire::{FeeFilter, Ping, Version};
use kaspa_peer::{Direction, DisconnectReason, events};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::time::Duration;

#[test]
fn a_connected_peer_has_three_named_threads_and_one_descriptor() {
    let _exclusive = exclusive();
    let before = descriptors();
    let (local, remote) = connected_peer_in(Direction::Inbound, builder());
    wait_until("three threads", || threads() == ["kpeer-1-ping", "kpeer-1-read", "kpeer-1-write"]);
    assert_eq!(descriptors() - before, 2, "one for each end");
    local.peer.disconnect();
    local.end_reason();
    no_threads_left();
    assert_eq!(descriptors() - before, 1, "the remote's, although the program still has a handle");
    drop(remote);
    assert_eq!(descriptors(), before);
}

#[test]
fn peers_of_one_node_have_three_threads_each_and_consecutive_ids() {
    let _exclusive = exclusive();
    let before = descriptors();
    let node = builder().build().unwrap();
    let peers: Vec<_> = (0..4).map(|n| connect_remote_over_tcp(BOTH[n % 2], &node).unwrap()).collect();
    assert_eq!(peers.iter().map(|(peer, _)| peer.id()).collect::<Vec<_>>(), [1, 2, 3, 4]);
    wait_until("three threads each", || threads().len() == 12);
    drop(peers);
    no_threads_left();
    assert_eq!(descriptors(), before);
}

#[test]
fn the_threads_of_a_peer_exit_at_any_end() {
    let _exclusive = exclusive();
    for direction in BOTH {
        let (local, remote) = new_peer(direction, builder().handshake_timeout(Duration::from_millis(20)));
        local.end_reason();
        no_threads_left();
        drop(remote);
        let (local, mut remote) = connected_peer_in(direction, builder());
        remote.send(&version()).unwrap();
        local.end_reason();
        no_threads_left();
    }
}

#[test]
fn the_threads_of_a_peer_exit_if_no_call_waits_for_the_end() {
    let _exclusive = exclusive();
    let (outbound, inbound) = connected_pair(builder(), builder());
    drop(outbound);
    no_threads_left();
    assert_eq!(inbound.end_reason(), DisconnectReason::RemoteClosed { inside_frame: false });
}

#[test]
fn connections_that_end_at_random_moments_leave_nothing_behind() {
    let _exclusive = exclusive();
    let before = descriptors();
    let mut random = StdRng::seed_from_u64(1);
    for round in 0..300 {
        let direction = BOTH[random.random_range(0..2)];
        let (listener, events) = events(random.random_range(1..5));
        let node = match random.random_range(0..3) {
            0 => builder().listener(listener),
            _ => builder(),
        };
        let node = node.ping_interval(Duration::from_millis(random.random_range(1..20)));
        let (peer, mut remote) = connect_remote_over_tcp(direction, &node.build().unwrap()).unwrap();
        let stage = random.random_range(0..5);
        if stage > 0 {
            peer.queue_message(&FeeFilter { min_fee: round }).unwrap();
        }
        if stage > 1 && direction == Direction::Outbound {
            remote.expect::<Version>().unwrap();
        }
        if stage > 2 {
            remote.send(&version()).unwrap();
        }
        if stage > 3 {
            remote.next_message().unwrap();
            remote.send(&Ping { nonce: 1 }).unwrap();
        }
        (0..random.random_range(0..100)).for_each(|_| std::thread::yield_now());
        let waits = random.random_bool(0.5).then(|| {
            let clone = peer.clone();
            std::thread::spawn(move || clone.wait_for_disconnect())
        });
        match random.random_range(0..4) {
            0 => peer.disconnect(),
            // With a full event channel the reader would not read as far as the end.
            1 => drop((events, remote)),
            2 => {
                drop(events);
                remote.close_writing().unwrap();
            }
            // Both sides at once.
            _ => {
                remote.close_writing().unwrap();
                peer.disconnect();
            }
        }
        if random.random_bool(0.5) {
            peer.wait_for_disconnect_timeout(DEADLINE).unwrap();
        } else {
            drop(peer);
        }
        if let Some(waits) = waits {
            waits.join().unwrap().unwrap();
        }
    }
    no_threads_left();
    wait_until("all descriptors are closed", || descriptors() == before);
}
