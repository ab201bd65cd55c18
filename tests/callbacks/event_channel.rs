//! Events instead of callbacks: order, room, and ends.

use crate::common::frames::simnet_frame;
use crate::common::local::new_peer_of;
use crate::common::remote::Remote;
use crate::common::{BOTH, DEADLINE, builder, version, wait_until};
use crossbeam_channel::{Receiver, RecvTimeoutError};
use kaspa_peer::wire::{Command, Encode, FeeFilter, Message, Ping, Pong, VerAck, Version};
use kaspa_peer::{Config, Direction, DisconnectReason, Event, EventKind, Peer, events};

fn node(capacity: usize) -> (Config, Receiver<Event>) {
    let (listener, events) = events(capacity);
    (builder().listener(listener).build().unwrap(), events)
}

fn next(events: &Receiver<Event>) -> Event {
    events.recv_timeout(DEADLINE).expect("no event")
}

fn message(event: &Event) -> &Message {
    match &event.kind {
        EventKind::Message(message) => message,
        other => panic!("{other:?}"),
    }
}

fn ending(event: &Event) -> DisconnectReason {
    match &event.kind {
        EventKind::Disconnected(reason) => reason.clone(),
        other => panic!("{other:?}"),
    }
}

/// A peer whose handshake is done and whose events about it are taken.
fn met(config: &Config, events: &Receiver<Event>) -> (Remote, Peer) {
    let (peer, mut remote) = new_peer_of(config, Direction::Inbound);
    remote.send(&version());
    assert_eq!(*message(&next(events)), version().into());
    remote.expect::<Version>();
    remote.expect::<VerAck>();
    remote.send(&VerAck);
    assert_eq!(*message(&next(events)), VerAck.into());
    (remote, peer)
}

#[test]
fn messages_and_then_the_end() {
    for direction in BOTH {
        let (config, events) = node(100);
        let (peer, mut remote) = new_peer_of(&config, direction);
        remote.shake_hands(&version());
        for min_fee in 0..10 {
            remote.send(&FeeFilter { min_fee });
        }
        remote.shut_down_sending();
        let reason = peer.wait_for_disconnect().unwrap();
        let told: Vec<Event> = events.try_iter().collect();
        let mut expected: Vec<Message> = vec![version().into(), VerAck.into()];
        expected.extend((0..10).map(|min_fee| FeeFilter { min_fee }.into()));
        assert_eq!(told[..12].iter().map(message).cloned().collect::<Vec<_>>(), expected);
        assert_eq!(ending(&told[12]), reason);
        assert_eq!(told.len(), 13);
        assert!(told.iter().all(|event| event.peer.id() == peer.id()));
    }
}

#[test]
fn several_peers_share_it() {
    let (config, events) = node(10);
    let mut peers: Vec<(Remote, Peer)> = (0..5).map(|_| met(&config, &events)).collect();
    for (remote, peer) in &mut peers {
        remote.send(&FeeFilter { min_fee: i64::try_from(peer.id()).unwrap() });
    }
    for _ in 0..peers.len() {
        let event = next(&events);
        let min_fee = i64::try_from(event.peer.id()).unwrap();
        assert_eq!(*message(&event), FeeFilter { min_fee }.into());
    }
    for (remote, peer) in peers {
        drop(remote);
        assert_eq!(ending(&next(&events)), peer.wait_for_disconnect().unwrap());
    }
}

#[test]
fn clones_of_a_listener_tell_one_channel() {
    let (listener, events) = events(1);
    let node = || builder().listener(listener.clone()).build().unwrap();
    let nodes = [node(), node()];
    let mut peers = nodes.each_ref().map(|node| met(node, &events));
    for (remote, peer) in &mut peers {
        remote.send(&FeeFilter { min_fee: 7 });
        let event = next(&events);
        assert_eq!((message(&event), &event.peer), (&FeeFilter { min_fee: 7 }.into(), &*peer));
    }
    drop((listener, nodes, peers));
    for _ in 0..2 {
        ending(&next(&events));
    }
    assert_eq!(events.recv_timeout(DEADLINE).unwrap_err(), RecvTimeoutError::Disconnected);
}

#[test]
fn the_events_peer_can_be_answered() {
    let (config, events) = node(10);
    let (mut remote, _peer) = met(&config, &events);
    remote.send(&FeeFilter { min_fee: 7 });
    let event = next(&events);
    event.peer.queue_message(&FeeFilter { min_fee: 8 }).unwrap();
    assert_eq!(remote.expect::<FeeFilter>(), FeeFilter { min_fee: 8 });
}

#[test]
fn without_room_nothing_more_is_read() {
    const PINGS: u64 = 500;
    for capacity in [0, 1, 2, 7] {
        let room = capacity.max(1) as u64;
        let (config, events) = node(capacity);
        let (mut remote, peer) = met(&config, &events);
        let read = || peer.stats().received.of(Command::Ping).messages;
        remote.send_bytes(&(1..=PINGS).flat_map(|nonce| simnet_frame(&Ping { nonce })).collect::<Vec<_>>());
        let mut held = Vec::new();
        for nonce in 1..=PINGS {
            // As many as there is room for, and the one that finds none.
            assert!(read() <= nonce - 1 + room + 1, "{} read and {nonce} taken", read());
            let event = next(&events);
            assert_eq!(*message(&event), Ping { nonce }.into());
            held.push(event);
            // An event that is being handled takes room like one that waits.
            if held.len() as u64 == room {
                assert!(events.is_empty());
                assert!(read() <= nonce + 1);
                held.clear();
            }
        }
        let answers: Vec<u64> = (0..PINGS).map(|_| remote.expect::<Pong>().nonce).collect();
        assert_eq!(answers, (1..=PINGS).collect::<Vec<_>>(), "all are read in the end");
    }
}

#[test]
fn a_full_channel_does_not_stand_in_the_way_of_the_end() {
    let (config, events) = node(3);
    let (mut remote, peer) = met(&config, &events);
    (1..100).for_each(|nonce| remote.send(&Ping { nonce }));
    wait_until("it is full", || events.len() == 3);
    peer.disconnect();
    assert_eq!(peer.wait_for_disconnect_timeout(DEADLINE), Ok(DisconnectReason::Local));
    let told: Vec<Event> = events.try_iter().collect();
    let (last, before) = told.split_last().unwrap();
    assert_eq!(ending(last), DisconnectReason::Local);
    let commands: Vec<Command> = before.iter().map(|event| message(event).command()).collect();
    assert_eq!(commands, [Command::Ping; 3]);
}

#[test]
fn one_that_does_not_take_its_events_does_not_keep_others_from_ending() {
    let (config, events) = node(1);
    let (mut first, one) = met(&config, &events);
    let (mut second, other) = met(&config, &events);
    first.send(&Ping { nonce: 1 });
    wait_until("it is full", || events.len() == 1);
    second.send(&Ping { nonce: 2 });
    second.expect::<Pong>();
    other.disconnect();
    assert_eq!(other.wait_for_disconnect_timeout(DEADLINE), Ok(DisconnectReason::Local));
    assert_eq!(one.disconnect_reason(), None);
    assert_eq!(*message(&next(&events)), Ping { nonce: 1 }.into());
    assert_eq!(ending(&next(&events)), DisconnectReason::Local);
}

#[test]
fn peers_go_on_when_nobody_listens_any_more() {
    for waiting in [false, true] {
        let (config, events) = node(2);
        let (mut remote, peer) = met(&config, &events);
        if waiting {
            (1..50).for_each(|nonce| remote.send(&Ping { nonce }));
            wait_until("it is full", || events.len() == 2);
        }
        drop(events);
        remote.messages_before_pong(1000);
        assert_eq!(peer.disconnect_reason(), None);
        peer.disconnect();
        assert_eq!(peer.wait_for_disconnect_timeout(DEADLINE), Ok(DisconnectReason::Local));
    }
}

#[test]
fn a_peer_that_is_forgotten_ends_even_while_events_wait() {
    let (config, events) = node(2);
    let (mut remote, peer) = met(&config, &events);
    remote.messages_before_pong(1);
    wait_until("an event waits", || events.len() == 1);
    drop(peer);
    assert_eq!(remote.read_until_closed(), []);
    let event = next(&events);
    assert_eq!(*message(&event), Ping { nonce: 1 }.into());
    assert_eq!(event.peer.disconnect_reason(), Some(DisconnectReason::Local));
    assert_eq!(ending(&next(&events)), DisconnectReason::Local);
}

#[test]
fn a_clone_from_an_event_keeps_the_peer() {
    let (config, events) = node(2);
    let (mut remote, peer) = met(&config, &events);
    remote.send(&FeeFilter { min_fee: 1 });
    let kept = next(&events).peer.clone();
    drop(peer);
    remote.messages_before_pong(1);
    drop(kept);
    assert_eq!(remote.read_until_closed(), []);
}

#[test]
fn the_loop_ends_when_the_node_is_gone() {
    let (config, events) = node(2);
    let remotes: Vec<Remote> = (0..3)
        .map(|_| {
            let (peer, remote) = new_peer_of(&config, Direction::Inbound);
            // Said before, so that nobody has to listen meanwhile.
            remote.shut_down_sending();
            drop(peer.wait_for_disconnect());
            remote
        })
        .collect();
    drop(config);
    // The receiver lives as long as somebody could send.
    let told = events.into_iter().map(|event| ending(&event)).collect::<Vec<_>>();
    assert_eq!(told.len(), remotes.len());
}
