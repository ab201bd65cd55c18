//! Scores for misbehaviour: the program adds points, and the peer ends when the configured limit is reached.

use crate::common::blocking::OnMessage;
use crate::common::builder;
use crate::common::local::{connected_peer, connected_peer_with, end_reason};
use kaspa_peer::wire::{Addr, AddressScope, Encode, Message, Ping, Pong};
use kaspa_peer::{DisconnectReason, Peer, QueueError, ScoreLimit};
use std::thread;

const LIMIT: ScoreLimit = ScoreLimit::new(100);

fn misbehaved(score: u32, what: &str) -> DisconnectReason {
    DisconnectReason::Misbehaved { score, what: what.into() }
}

#[test]
fn the_peer_ends_when_its_score_reaches_the_threshold() {
    let (local, mut remote) = connected_peer(builder().score_limit(LIMIT));
    assert_eq!(local.peer.misbehaved(60, "spam"), 60);
    assert_eq!(local.peer.misbehaved(39, "more spam"), 99);
    assert_eq!((local.peer.stats().score, local.peer.disconnect_reason()), (99, None));
    remote.send(&Ping { nonce: 1 }).unwrap();
    remote.expect::<Pong>().unwrap();
    assert_eq!(local.peer.misbehaved(1, "the last straw"), 100);
    let reason = misbehaved(100, "the last straw");
    assert_eq!(end_reason(&local.peer), reason);
    assert_eq!(local.recorder.look(|record| record.disconnects.clone()), std::slice::from_ref(&reason));
    assert_eq!(remote.read_until_end().unwrap(), []);
    assert_eq!(local.peer.misbehaved(u32::MAX, "afterwards"), u32::MAX);
    assert_eq!(local.peer.queue_message(&Ping { nonce: 1 }), Err(QueueError::Closed(reason)), "the first reason wins");
}

#[test]
fn a_handle_of_the_ended_peer_keeps_a_part_of_a_long_text() {
    let (local, _remote) = connected_peer(builder().score_limit(LIMIT));
    local.peer.misbehaved(100, "spam ".repeat(1_000_000));
    assert_eq!(end_reason(&local.peer), misbehaved(100, &"spam ".repeat(103)[..512]));
}

#[test]
fn without_a_limit_points_are_only_counted() {
    let (local, mut remote) = connected_peer(builder());
    for _ in 0..3 {
        local.peer.misbehaved(u32::MAX, "everything");
    }
    assert_eq!(local.peer.stats().score, u32::MAX);
    remote.send(&Ping { nonce: 1 }).unwrap();
    remote.expect::<Pong>().unwrap();
    assert_eq!(local.peer.disconnect_reason(), None);
}

/// A node could add ten points for an empty list of addresses.
#[test]
fn points_added_in_a_callback_end_the_peer() {
    let judge = OnMessage(|peer: &Peer, message: &Message| {
        if matches!(message, Message::Addr(addr) if addr.addresses.is_empty()) {
            peer.misbehaved(10, format!("an empty {}", message.command()));
        }
    });
    let (peer, mut remote) = connected_peer_with(judge, builder().score_limit(LIMIT));
    let empty = Addr { scope: AddressScope::All, addresses: vec![] };
    for _ in 0..50 {
        let _ = remote.send(&empty);
    }
    assert_eq!(end_reason(&peer), misbehaved(100, "an empty addr"));
    assert_eq!(peer.stats().score, 100, "later messages do not reach the callback");
}

#[test]
fn points_from_several_threads_add_up() {
    let (local, _remote) = connected_peer(builder().score_limit(ScoreLimit::new(8000)));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..999).for_each(|_| drop(local.peer.misbehaved(1, "a little").to_string())));
        }
    });
    assert_eq!((local.peer.stats().score, local.peer.disconnect_reason()), (7992, None));
    local.peer.misbehaved(8, "a little more");
    assert_eq!(end_reason(&local.peer), misbehaved(8000, "a little more"));
}
