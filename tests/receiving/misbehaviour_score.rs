//! Points for misbehaving: the program gives them, and the limit ends the peer, if there is one.

use crate::common::builder;
use crate::common::by_hand::{OnMessage, by_hand, by_hand_listening, end_of};
use kaspa_peer::wire::{Addr, AddressScope, Encode, Message, Ping, Pong};
use kaspa_peer::{DisconnectReason, Peer, QueueError, ScoreLimit};
use std::thread;

const LIMIT: ScoreLimit = ScoreLimit { threshold: 100, half_life: None };

fn misbehaved(score: u32, what: &str) -> DisconnectReason {
    DisconnectReason::Misbehaved { score, what: what.into() }
}

#[test]
fn below_the_threshold_nothing_happens_and_at_it_the_peer_ends() {
    let (end, mut remote) = by_hand(builder().score_limit(LIMIT));
    assert_eq!(end.peer.misbehaved(60, "spam"), 60);
    assert_eq!(end.peer.misbehaved(39, "more spam"), 99);
    assert_eq!((end.peer.stats().score, end.peer.disconnect_reason()), (99, None));
    remote.send(&Ping { nonce: 1 });
    remote.read_as::<Pong>();
    assert_eq!(end.peer.misbehaved(1, "the last straw"), 100);
    let reason = misbehaved(100, "the last straw");
    assert_eq!(end_of(&end.peer), reason);
    assert_eq!(end.told.told(|told| told.disconnects.clone()), std::slice::from_ref(&reason));
    assert_eq!(remote.rest(), []);
    assert_eq!(end.peer.misbehaved(u32::MAX, "afterwards"), u32::MAX);
    assert_eq!(end.peer.queue_message(&Ping { nonce: 1 }), Err(QueueError::Closed(reason)), "the first reason stays");
}

#[test]
fn without_a_limit_points_are_only_counted() {
    let (end, mut remote) = by_hand(builder());
    for _ in 0..3 {
        end.peer.misbehaved(u32::MAX, "everything");
    }
    assert_eq!(end.peer.stats().score, u32::MAX);
    remote.send(&Ping { nonce: 1 });
    remote.read_as::<Pong>();
    assert_eq!(end.peer.disconnect_reason(), None);
}

/// As a node would: an address list that is empty is worth ten points.
#[test]
fn a_flood_of_bad_messages_ends_from_the_callback() {
    let judge = OnMessage(|peer: &Peer, message: &Message| {
        if matches!(message, Message::Addr(addr) if addr.addresses.is_empty()) {
            peer.misbehaved(10, format!("an empty {}", message.command()));
        }
    });
    let (peer, mut remote) = by_hand_listening(builder().score_limit(LIMIT), judge);
    let empty = Addr { scope: AddressScope::All, addresses: vec![] };
    for _ in 0..50 {
        let _ = kaspa_peer::wire::write_message(&mut remote.stream, &empty, remote.network);
    }
    assert_eq!(end_of(&peer), misbehaved(100, "an empty addr"));
    assert_eq!(peer.stats().score, 100, "nothing behind it was handled");
}

#[test]
fn points_from_several_threads_all_count() {
    let (end, _remote) = by_hand(builder().score_limit(ScoreLimit { threshold: 8000, half_life: None }));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..999).for_each(|_| drop(end.peer.misbehaved(1, "a little").to_string())));
        }
    });
    assert_eq!((end.peer.stats().score, end.peer.disconnect_reason()), (7992, None));
    end.peer.misbehaved(8, "a little more");
    assert_eq!(end_of(&end.peer), misbehaved(8000, "a little more"));
}
