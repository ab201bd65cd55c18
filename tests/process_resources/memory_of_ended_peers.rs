//! After the end of a connection its handles, receipts and unread events keep next to nothing. Before the end, the
//! dropped channels of a receipt keep next to nothing either.

use super::ALLOCATOR;
use super::process::exclusive;
use crate::common::builder;
use crate::common::frames::frame_of_size;
use crate::common::local::{connected_peer_of, end_reason};
use kaspa_peer::wire::{GetSelectedTip, Hash, Inv, Inventory, Network};
use kaspa_peer::{AskError, Config, EventKind, Peer, Receipt, WaitError, events};
use std::thread;
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

/// The number of threads that call one peer at the same time.
const CALLERS: usize = 500;

/// A peer that ended while many threads waited for an answer of the remote. `call` sends one message and waits.
fn ended_while_waiting(config: &Config, call: fn(&Peer)) -> Peer {
    let (peer, mut remote) = connected_peer_of(config);
    thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| thread::Builder::new().stack_size(128 * 1024).spawn_scoped(scope, || call(&peer)).unwrap())
            .collect();
        // The remote answers none of the messages, so all callers still wait.
        for _ in 0..CALLERS {
            remote.next_message().unwrap();
        }
        peer.disconnect();
        callers.into_iter().for_each(|caller| caller.join().unwrap());
    });
    end_reason(&peer);
    peer
}

#[test]
fn a_handle_keeps_less_than_two_kibibytes_after_many_calls_waited_at_once() {
    let _exclusive = exclusive();
    let config = builder().build().unwrap();
    let ask = |peer: &Peer| {
        let result = peer.ask(&GetSelectedTip, Duration::from_secs(3600));
        assert!(matches!(result, Err(AskError::Closed(_))), "{result:?}");
    };
    let ping = |peer: &Peer| {
        let result = peer.ping_timeout(Duration::from_secs(3600));
        assert!(matches!(result, Err(WaitError::Closed(_))), "{result:?}");
    };
    check_memory_after_waiting("ask", &config, ask);
    check_memory_after_waiting("ping", &config, ping);
}

fn check_memory_after_waiting(name: &str, config: &Config, call: fn(&Peer)) {
    let peer = ended_while_waiting(config, call);
    let before = ALLOCATOR.current_usage();
    drop(peer);
    let kept = before.saturating_sub(ALLOCATOR.current_usage());
    assert!(kept < MOST, "{name}: {kept} bytes");
}

#[test]
fn dropped_channels_of_a_receipt_take_next_to_no_memory_before_the_message_is_written() {
    let _exclusive = exclusive();
    let (peer, _remote) = connected_peer_of(&builder().build().unwrap());
    // More than the buffers of the sockets hold, for a remote that does not read.
    let receipt = peer.queue_frame(&frame_of_size(30_000_000, Network::Simnet)).unwrap();
    let before = ALLOCATOR.current_usage();
    for _ in 0..20_000 {
        drop(receipt.receiver());
    }
    let kept = ALLOCATOR.current_usage().saturating_sub(before);
    assert_eq!(receipt.try_wait(), None, "the message is not written yet");
    assert!(kept < 64 * 1024, "{kept} bytes");
}
