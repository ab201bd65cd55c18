//! A peer has three threads and one descriptor while it is connected, and none afterwards.
//!
//! Alone in its file, since it counts what the whole process has.
#![cfg(target_os = "linux")]
#![allow(missing_docs)]

mod common;

use common::remote::{BOTH, meet, meet_node, met};
use common::{acquainted, builder, version, wait_until};
use kaspa_peer::wire::{FeeFilter, Ping, Version};
use kaspa_peer::{Direction, DisconnectReason, events};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::{fs, time::Duration};

/// The names of the threads that serve peers.
fn threads() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    // One that ends meanwhile has no name any more.
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    let mut names: Vec<String> =
        names.map(|name| name.trim().to_owned()).filter(|name| name.starts_with("kpeer-")).collect();
    names.sort();
    names
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// The kernel lists a thread for a moment after it was joined.
fn none_left() {
    wait_until("no threads", || threads().is_empty());
}

#[test]
fn threads_and_descriptors_come_and_go_with_their_peers() {
    let before = descriptors();
    three_named_threads_while_connected(before);
    gone_when_waited_for();
    gone_without_waiting();
    nothing_is_left_of_many();
    wait_until("no descriptors", || descriptors() == before);
}

fn three_named_threads_while_connected(before: usize) {
    let (remote, end) = met(Direction::Inbound, builder());
    wait_until("three threads", || threads() == ["kpeer-1-ping", "kpeer-1-read", "kpeer-1-write"]);
    assert_eq!(descriptors() - before, 2, "one for each end");
    end.peer.disconnect();
    end.reason();
    none_left();
    assert_eq!(descriptors() - before, 1, "the remote's, though there still is a handle");
    drop(remote);
    assert_eq!(descriptors(), before);
    drop(end);
    let node = builder().build().unwrap();
    let peers: Vec<_> = (0..4).map(|n| meet_node(BOTH[n % 2], &node)).collect();
    assert_eq!(peers.iter().map(|(_, peer)| peer.id()).collect::<Vec<_>>(), [1, 2, 3, 4]);
    wait_until("three threads each", || threads().len() == 12);
}

fn gone_when_waited_for() {
    none_left();
    for direction in BOTH {
        let (remote, end) = meet(direction, builder().handshake_timeout(Duration::from_millis(20)));
        end.reason();
        none_left();
        drop(remote);
        let (mut remote, end) = met(direction, builder());
        remote.send(&version());
        end.reason();
        none_left();
    }
}

fn gone_without_waiting() {
    let (outbound, inbound) = acquainted(builder(), builder());
    drop(outbound);
    none_left();
    assert_eq!(inbound.reason(), DisconnectReason::RemoteClosed { inside_frame: false });
}

/// Connections that end at all sorts of moments, in all sorts of ways.
fn nothing_is_left_of_many() {
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
        let (mut remote, peer) = meet_node(direction, &node.build().unwrap());
        let stage = random.random_range(0..5);
        if stage > 0 {
            peer.queue_message(&FeeFilter { min_fee: round }).unwrap();
        }
        if stage > 1 && direction == Direction::Outbound {
            remote.expect::<Version>();
        }
        if stage > 2 {
            remote.send(&version());
        }
        if stage > 3 {
            remote.next();
            remote.send(&Ping { nonce: 1 });
        }
        (0..random.random_range(0..100)).for_each(|_| std::thread::yield_now());
        let waits = random.random_bool(0.5).then(|| {
            let clone = peer.clone();
            std::thread::spawn(move || clone.wait_for_disconnect())
        });
        match random.random_range(0..4) {
            0 => peer.disconnect(),
            // With a full channel nobody would read as far as the end.
            1 => drop((events, remote)),
            2 => {
                drop(events);
                remote.hang_up();
            }
            // Both at once.
            _ => {
                remote.hang_up();
                peer.disconnect();
            }
        }
        if random.random_bool(0.5) {
            peer.wait_for_disconnect_timeout(common::DEADLINE).unwrap();
        } else {
            drop(peer);
        }
        if let Some(waits) = waits {
            waits.join().unwrap().unwrap();
        }
    }
    none_left();
    wait_until("no descriptors of any of them", || descriptors() == before);
}
