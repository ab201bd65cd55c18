//! Events instead of callbacks: their order, the capacity of their channel, and the ends of their peers.

use crate::common::{BOTH, DEADLINE, builder, version, wait_until};
use crossbeam_channel::{Receiver, RecvTimeoutError};
use kaspa_peer::testing::{ScriptedRemote, TestFrame, connect_remote_over_tcp};
use kaspa_peer::wire::{Command, Encode, FeeFilter, Message, Network, Ping, Pong, VerAck, Version};
use kaspa_peer::{Config, Direction, DisconnectReason, Event, EventKind, Peer, events};

fn node(capacity: usize) -> (Config, Receiver<Event>) {
    let (listener, events) = events(capacity);
    (builder().listener(listener).build().unwrap(), events)
}

fn next(events: &Receiver<Event>) -> Event {
    events.recv_timeout(DEADLINE).expect("an event")
}

fn message(event: &Event) -> &Message {
    match &event.kind {
        EventKind::Message(message) => message,
        other => panic!("{other:?}"),
    }
}

fn end_reason(event: &Event) -> DisconnectReason {
    match &event.kind {
        EventKind::Disconnected(reason) => reason.clone(),
        other => panic!("{other:?}"),
    }
}

/// A peer after its handshake, whose events have been received.
fn connected_peer(config: &Config, events: &Receiver<Event>) -> (ScriptedRemote, Peer) {
    let (peer, mut remote) = connect_remote_over_tcp(Direction::Inbound, config).unwrap();
    remote.send(&version()).unwrap();
    assert_eq!(*message(&next(events)), version().into());
    remote.expect::<Version>().unwrap();
    remote.expect::<VerAck>().unwrap();
    remote.send(&VerAck).unwrap();
    assert_eq!(*message(&next(events)), VerAck.into());
    assert_eq!(next(events).kind, EventKind::Handshake);
    (remote, peer)
}

#[test]
fn the_event_of_the_end_follows_those_of_all_messages() {
    for direction in BOTH {
        let (config, events) = node(100);
        let (peer, mut remote) = connect_remote_over_tcp(direction, &config).unwrap();
        remote.shake_hands_with(&version()).unwrap();
        for min_fee in 0..10 {
            remote.send(&FeeFilter { min_fee }).unwrap();
        }
        remote.close_writing().unwrap();
        let reason = peer.wait_for_disconnect().unwrap();
        let received: Vec<Event> = events.try_iter().collect();
        let mut expected: Vec<Message> = vec![version().into(), VerAck.into()];
        expected.extend((0..10).map(|min_fee| FeeFilter { min_fee }.into()));
        let messages = received.iter().filter_map(|event| match &event.kind {
            EventKind::Message(message) => Some(message.clone()),
            _ => None,
        });
        assert_eq!(messages.collect::<Vec<_>>(), expected);
        assert_eq!(received[2].kind, EventKind::Handshake, "right after the verack");
        assert_eq!(end_reason(&received[13]), reason);
        assert_eq!(received.len(), 14);
        assert!(received.iter().all(|event| event.peer.id() == peer.id()));
    }
}

#[test]
fn several_peers_can_share_a_channel() {
    let (config, events) = node(10);
    let mut peers: Vec<(ScriptedRemote, Peer)> = (0..5).map(|_| connected_peer(&config, &events)).collect();
    for (remote, peer) in &mut peers {
        remote.send(&FeeFilter { min_fee: i64::try_from(peer.id()).unwrap() }).unwrap();
    }
    for _ in 0..peers.len() {
        let event = next(&events);
        let min_fee = i64::try_from(event.peer.id()).unwrap();
        assert_eq!(*message(&event), FeeFilter { min_fee }.into());
    }
    for (remote, peer) in peers {
        drop(remote);
        assert_eq!(end_reason(&next(&events)), peer.wait_for_disconnect().unwrap());
    }
}

#[test]
fn clones_of_a_listener_send_to_one_channel() {
    let (listener, events) = events(1);
    let node = || builder().listener(listener.clone()).build().unwrap();
    let nodes = [node(), node()];
    let mut peers = nodes.each_ref().map(|node| connected_peer(node, &events));
    for (remote, peer) in &mut peers {
        remote.send(&FeeFilter { min_fee: 7 }).unwrap();
        let event = next(&events);
        assert_eq!((message(&event), &event.peer), (&FeeFilter { min_fee: 7 }.into(), &*peer));
    }
    drop((listener, nodes, peers));
    for _ in 0..2 {
        end_reason(&next(&events));
    }
    assert_eq!(events.recv_timeout(DEADLINE).unwrap_err(), RecvTimeoutError::Disconnected);
}

#[test]
fn the_peer_of_an_event_can_be_sent_an_answer() {
    let (config, events) = node(10);
    let (mut remote, _peer) = connected_peer(&config, &events);
    remote.send(&FeeFilter { min_fee: 7 }).unwrap();
    let event = next(&events);
    event.peer.queue_message(&FeeFilter { min_fee: 8 }).unwrap();
    assert_eq!(remote.expect::<FeeFilter>().unwrap(), FeeFilter { min_fee: 8 });
}

#[test]
fn a_full_channel_stops_reading() {
    const PINGS: u64 = 500;
    for capacity in [0, 1, 2, 7] {
        let slots = capacity.max(1) as u64;
        let (config, events) = node(capacity);
        let (mut remote, peer) = connected_peer(&config, &events);
        let read = || peer.stats().received.of(Command::Ping).messages;
        remote
            .send_bytes(
                &(1..=PINGS)
                    .flat_map(|nonce| TestFrame::of(&Ping { nonce }, Network::Simnet).unwrap().to_bytes())
                    .collect::<Vec<_>>(),
            )
            .unwrap();
        let mut held = Vec::new();
        for nonce in 1..=PINGS {
            // As many as the channel holds, and one more, which waits for space.
            assert!(read() <= nonce - 1 + slots + 1, "{} were read and {nonce} received", read());
            let event = next(&events);
            assert_eq!(*message(&event), Ping { nonce }.into());
            held.push(event);
            // An event that the program still holds occupies a slot, like one that waits.
            if held.len() as u64 == slots {
                assert!(events.is_empty());
                assert!(read() <= nonce + 1);
                held.clear();
            }
        }
        let answers: Vec<u64> = (0..PINGS).map(|_| remote.expect::<Pong>().unwrap().nonce).collect();
        assert_eq!(answers, (1..=PINGS).collect::<Vec<_>>(), "all pings are read in the end");
    }
}

#[test]
fn a_full_channel_does_not_delay_the_end() {
    let (config, events) = node(3);
    let (mut remote, peer) = connected_peer(&config, &events);
    (1..100).for_each(|nonce| remote.send(&Ping { nonce }).unwrap());
    wait_until("the channel is full", || events.len() == 3);
    peer.disconnect();
    assert_eq!(peer.wait_for_disconnect_timeout(DEADLINE), Ok(DisconnectReason::Local));
    let received: Vec<Event> = events.try_iter().collect();
    let (last, before) = received.split_last().unwrap();
    assert_eq!(end_reason(last), DisconnectReason::Local);
    let commands: Vec<Command> = before.iter().map(|event| message(event).command()).collect();
    assert_eq!(commands, [Command::Ping; 3]);
}

#[test]
fn a_channel_filled_by_one_peer_does_not_delay_the_end_of_another() {
    let (config, events) = node(1);
    let (mut first, one) = connected_peer(&config, &events);
    let (mut second, other) = connected_peer(&config, &events);
    first.send(&Ping { nonce: 1 }).unwrap();
    wait_until("the channel is full", || events.len() == 1);
    second.send(&Ping { nonce: 2 }).unwrap();
    second.expect::<Pong>().unwrap();
    other.disconnect();
    assert_eq!(other.wait_for_disconnect_timeout(DEADLINE), Ok(DisconnectReason::Local));
    assert_eq!(one.disconnect_reason(), None);
    assert_eq!(*message(&next(&events)), Ping { nonce: 1 }.into());
    assert_eq!(end_reason(&next(&events)), DisconnectReason::Local);
}

#[test]
fn peers_stay_connected_when_the_receiver_is_dropped() {
    for waiting in [false, true] {
        let (config, events) = node(2);
        let (mut remote, peer) = connected_peer(&config, &events);
        if waiting {
            (1..50).for_each(|nonce| remote.send(&Ping { nonce }).unwrap());
            wait_until("the channel is full", || events.len() == 2);
        }
        drop(events);
        remote.sync_with_ping().unwrap();
        assert_eq!(peer.disconnect_reason(), None);
        peer.disconnect();
        assert_eq!(peer.wait_for_disconnect_timeout(DEADLINE), Ok(DisconnectReason::Local));
    }
}

#[test]
fn the_handle_in_an_event_keeps_the_peer_connected() {
    let (config, events) = node(2);
    let (mut remote, peer) = connected_peer(&config, &events);
    remote.send(&FeeFilter { min_fee: 1 }).unwrap();
    let event = next(&events);
    drop(peer);
    remote.send(&Ping { nonce: 1 }).unwrap();
    remote.expect::<Pong>().unwrap();
    assert!(event.peer.is_connected());
    drop(event);
    // The event of the ping has the last handle.
    drop(next(&events));
    assert_eq!(remote.read_until_end().unwrap(), []);
}

#[test]
fn events_that_the_program_keeps_do_not_stop_the_peer_once_the_receiver_is_dropped() {
    let (config, events) = node(1);
    let (mut remote, peer) = connected_peer(&config, &events);
    remote.send(&FeeFilter { min_fee: 1 }).unwrap();
    let _kept = next(&events);
    drop(events);
    for nonce in 1..=3 {
        remote.send(&Ping { nonce }).unwrap();
        assert_eq!(remote.expect::<Pong>().unwrap(), Pong { nonce });
    }
    assert!(peer.is_connected());
}

#[test]
fn the_channel_closes_when_the_node_and_its_peers_are_dropped() {
    let (config, events) = node(2);
    let remotes: Vec<ScriptedRemote> = (0..3)
        .map(|_| {
            let (peer, remote) = connect_remote_over_tcp(Direction::Inbound, &config).unwrap();
            remote.close_writing().unwrap();
            drop(peer.wait_for_disconnect());
            remote
        })
        .collect();
    drop(config);
    // The loop ends when every sender of the channel is dropped.
    let received = events.into_iter().map(|event| end_reason(&event)).collect::<Vec<_>>();
    assert_eq!(received.len(), remotes.len());
}
