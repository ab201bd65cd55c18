//! After the end of a connection its handles, receipts and unread events keep next to nothing.

use super::ALLOCATOR;
use super::process::exclusive;
use crate::common::builder;
use crate::common::frames::frame_of_size;
use crate::common::local::{connected_peer_of, end_reason};
use kaspa_peer::wire::{Hash, Inv, Inventory, Network};
use kaspa_peer::{Config, EventKind, Peer, Receipt, events};
use std::time::Duration;

const PEERS: usize = 20;

/// The most that one ended peer may keep, in bytes. The counters by command, in both directions, take nearly half of
/// it.
const MOST: usize = 2048;

fn items(count: u32) -> Vec<Inventory> {
    (0..count).map(|number| Inventory::tx(Hash::of(&number.to_le_bytes()))).collect()
}

/// A peer that held announcements, known inventory and large messages when it ended.
fn ended_peer(config: &Config, announcements: &[Inventory], known: &Inv) -> (Peer, Receipt) {
    let (peer, mut remote) = connected_peer_of(config);
    peer.queue_inventories(announcements).unwrap();
    remote.send(known).unwrap();
    remote.sync_with_ping().unwrap();
    let receipt = peer.queue_frame(&frame_of_size(6_000_000, Network::Simnet)).unwrap();
    peer.disconnect();
    end_reason(&peer);
    assert_eq!(peer.stats().inventory_queued, announcements.len(), "the statistics still say what was not announced");
    (peer, receipt)
}

#[test]
fn a_handle_and_a_receipt_of_an_ended_peer_keep_less_than_two_kibibytes() {
    let _exclusive = exclusive();
    let config = builder().trickle_interval(Duration::from_secs(3600)).build().unwrap();
    let (announcements, known) = (items(100_000), Inv::from(items(2000)));
    let mut kept = Vec::with_capacity(PEERS);
    // The first peer makes what the process needs once.
    drop(ended_peer(&config, &announcements, &known));
    let before = ALLOCATOR.current_usage();
    kept.extend((0..PEERS).map(|_| ended_peer(&config, &announcements, &known)));
    let each = ALLOCATOR.current_usage().saturating_sub(before) / PEERS;
    assert!(each < MOST, "{each} bytes each");
    drop(kept);
}

#[test]
fn an_unread_event_of_an_ended_peer_keeps_less_than_two_kibibytes() {
    let _exclusive = exclusive();
    let (listener, events) = events(1000);
    let config = builder().listener(listener).build().unwrap();
    let last_event = || {
        let (peer, _remote) = connected_peer_of(&config);
        peer.disconnect();
        end_reason(&peer);
        drop(peer);
        events.try_iter().last().unwrap()
    };
    let mut kept = Vec::with_capacity(PEERS);
    // The first peer makes what the process needs once.
    drop(last_event());
    let before = ALLOCATOR.current_usage();
    kept.extend((0..PEERS).map(|_| last_event()));
    let each = ALLOCATOR.current_usage().saturating_sub(before) / PEERS;
    assert!(kept.iter().all(|event| matches!(event.kind, EventKind::Disconnected { .. })), "{kept:?}");
    assert!(each < MOST, "{each} bytes each");
}
