//! Whatever is queued early goes out after our `verack`, and in order; what comes early is delivered.

use crate::common::remote::{BOTH, ByHand, meet, meet_node};
use crate::common::{builder, version};
use kaspa_peer::wire::{
    Addr, AddressScope, Command, CustomMessage, FeeFilter, GetAddr, Hash, Inv, Inventory, Message, VerAck, Version,
};
use kaspa_peer::{Direction, DisconnectReason, HandshakeError, Listener, Peer, QueueError, Receipt, WaitError};

fn fee(min_fee: i64) -> FeeFilter {
    FeeFilter { min_fee }
}

/// Too large to be coalesced with others.
fn large() -> Inv {
    Inv::from(vec![Inventory::tx(Hash::ZERO); 1000])
}

/// The remote introduces itself, and gets an answer before anything else.
fn introduce(direction: Direction, remote: &mut ByHand) {
    if direction == Direction::Outbound {
        remote.expect::<Version>();
        remote.send(&version());
    } else {
        remote.send(&version());
        remote.expect::<Version>();
    }
    remote.expect::<VerAck>();
}

#[test]
fn what_is_queued_early_waits_for_the_verack_and_keeps_its_order() {
    struct Greets;

    impl Listener for Greets {
        fn on_version(&self, peer: &Peer, _: Version) {
            peer.queue_message(&fee(100)).unwrap();
            peer.queue_message(&large()).unwrap();
            peer.queue_message(&fee(101)).unwrap();
        }
    }

    for direction in BOTH {
        let (mut remote, peer) = meet_node(direction, &builder().listener(Greets).build().unwrap());
        let early: Vec<Receipt> = (0..50).map(|n| peer.queue_message(&fee(n)).unwrap()).collect();
        peer.queue_message(&large()).unwrap();
        peer.queue_message(&fee(50)).unwrap();
        assert!(early.iter().all(|receipt| receipt.try_wait().is_none()), "sent before the handshake");
        introduce(direction, &mut remote);
        let mut expected: Vec<Message> = (0..50).map(|n| fee(n).into()).collect();
        expected.extend([large().into(), fee(50).into(), fee(100).into(), large().into(), fee(101).into()]);
        let heard: Vec<Message> = expected.iter().map(|_| remote.next().unwrap()).collect();
        assert_eq!(heard, expected, "{direction}");
        early.iter().for_each(|receipt| assert_eq!(receipt.wait(), Ok(())));
        remote.send(&VerAck);
        assert_eq!(remote.before_pong(1), []);
    }
}

#[test]
fn threads_that_queue_meanwhile_are_not_let_in_front() {
    for direction in BOTH {
        for _ in 0..30 {
            let (mut remote, peer) = meet_node(direction, &builder().build().unwrap());
            std::thread::scope(|scope| {
                scope.spawn(|| (0..200).for_each(|n| drop(peer.queue_message(&fee(n)).unwrap())));
                introduce(direction, &mut remote);
            });
            (0..200).for_each(|n| assert_eq!(remote.expect::<FeeFilter>(), fee(n)));
        }
    }
}

#[test]
fn what_comes_before_the_verack_is_delivered() {
    for direction in BOTH {
        let (mut remote, end) = meet(direction, builder());
        introduce(direction, &mut remote);
        // As kaspad does to a node that it dialled.
        remote.send(&GetAddr::all());
        remote.send(&Addr { scope: AddressScope::All, addresses: vec![] });
        end.told.wait_for::<Addr>();
        assert_eq!(remote.before_pong(1), [], "and pings are answered");
        assert!(!end.peer.stats().handshake_done);
        remote.send(&VerAck);
        end.peer.wait_for_handshake().unwrap();
        assert_eq!(remote.before_pong(2), []);
        end.told.wait_for_count(Command::Ping, 2);
        assert_eq!(end.told.commands(), ["version", "getaddr", "addr", "ping", "verack", "ping"]);
    }
}

#[test]
fn everything_in_one_segment_is_handled_in_order() {
    use crate::common::remote::frame;
    for direction in BOTH {
        let (mut remote, end) = meet(direction, builder());
        remote.send_bytes(&[frame(&version()), frame(&GetAddr::all()), frame(&VerAck), frame(&large())].concat());
        end.told.wait_for::<Inv>();
        assert_eq!(end.told.commands(), ["version", "getaddr", "verack", "inv"]);
        end.peer.wait_for_handshake().unwrap();
    }
}

#[test]
fn nobody_waits_for_a_handshake_that_fails() {
    for direction in BOTH {
        let (mut remote, end) = meet(direction, builder());
        let receipts: Vec<Receipt> = (0..10_000).map(|n| end.peer.queue_message(&fee(n)).unwrap()).collect();
        crate::common::wait_until("only these wait", || end.peer.stats().queued_messages == 10_000);
        remote.send(&Version { protocol_version: 0, ..version() });
        let reason = DisconnectReason::Handshake(HandshakeError::VersionTooOld { found: 0, minimum: 1 });
        let gone = WaitError::Closed(reason.clone());
        receipts.iter().for_each(|receipt| assert_eq!(receipt.wait(), Err(gone.clone())));
        assert_eq!(end.reason(), reason);
        assert_eq!(end.peer.queue_message(&fee(1)), Err(QueueError::Closed(reason)));
        let stats = end.peer.stats();
        assert_eq!((stats.queued_messages, stats.queued_bytes), (0, 0));
        assert!(remote.rest().iter().all(|message| matches!(message, Message::Version(_))));
    }
}

#[test]
fn a_full_queue_does_not_stand_in_the_way_of_the_handshake() {
    let Ok(Command::Custom(command)) = "filling".parse() else { panic!("filling is known") };
    for direction in BOTH {
        let (mut remote, end) = meet(direction, builder().queue_limit(10_000));
        let filling = |size| CustomMessage { command, payload: vec![0; size] };
        let mut queued = Vec::new();
        let versions = u64::from(direction == Direction::Outbound);
        crate::common::wait_until("our version takes no room", || {
            let stats = end.peer.stats();
            (stats.sent.total().messages, stats.queued_messages) == (versions, 0)
        });
        // Down to the last bytes, since the handshake's own messages are small.
        for size in [9000, 100, 0] {
            while end.peer.queue_message(&filling(size)).is_ok() {
                queued.push(Message::from(filling(size)));
            }
        }
        assert!(matches!(end.peer.queue_message(&fee(1)), Err(QueueError::Full { .. })));
        introduce(direction, &mut remote);
        remote.send(&VerAck);
        end.peer.wait_for_handshake().unwrap();
        let heard: Vec<Message> = queued.iter().map(|_| remote.next().unwrap()).collect();
        assert_eq!(heard, queued);
    }
}
