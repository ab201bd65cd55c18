//! Messages that are queued before our `verack` are sent after it and in order. Messages that arrive before the
//! remote's `verack` are delivered.

use crate::common::local::new_peer;
use crate::common::{BOTH, builder, version, wait_until};
use kaspa_peer::testing::{ScriptedRemote, TestFrame, connect_remote_over_tcp};
use kaspa_peer::wire::{
    Addr, AddressScope, Command, CustomMessage, FeeFilter, GetAddr, Hash, Inv, Inventory, Message, Network, VerAck,
    Version,
};
use kaspa_peer::{Direction, DisconnectReason, HandshakeError, Listener, Peer, QueueError, Receipt, WaitError};

fn fee(min_fee: i64) -> FeeFilter {
    FeeFilter { min_fee }
}

/// A message that is too large to share a batch with others.
fn large() -> Inv {
    Inv::from(vec![Inventory::tx(Hash::ZERO); 1000])
}

/// The handshake up to our `verack`, before which the remote must receive nothing else.
fn shake_hands_up_to_our_verack(direction: Direction, remote: &mut ScriptedRemote) {
    if direction == Direction::Outbound {
        remote.expect::<Version>().unwrap();
        remote.send(&version()).unwrap();
    } else {
        remote.send(&version()).unwrap();
        remote.expect::<Version>().unwrap();
    }
    remote.expect::<VerAck>().unwrap();
}

#[test]
fn messages_queued_early_wait_for_our_verack_and_keep_their_order() {
    struct QueuesOnVersion;

    impl Listener for QueuesOnVersion {
        fn on_version(&self, peer: &Peer, _: Version) {
            peer.queue_message(&fee(100)).unwrap();
            peer.queue_message(&large()).unwrap();
            peer.queue_message(&fee(101)).unwrap();
        }
    }

    for direction in BOTH {
        let (peer, mut remote) =
            connect_remote_over_tcp(direction, &builder().listener(QueuesOnVersion).build().unwrap()).unwrap();
        let early: Vec<Receipt> = (0..50).map(|n| peer.queue_message(&fee(n)).unwrap()).collect();
        peer.queue_message(&large()).unwrap();
        peer.queue_message(&fee(50)).unwrap();
        assert!(early.iter().all(|receipt| receipt.try_wait().is_none()), "written before the handshake");
        shake_hands_up_to_our_verack(direction, &mut remote);
        let mut expected: Vec<Message> = (0..50).map(|n| fee(n).into()).collect();
        expected.extend([large().into(), fee(50).into(), fee(100).into(), large().into(), fee(101).into()]);
        let received: Vec<Message> = expected.iter().map(|_| remote.next_message().unwrap()).collect();
        assert_eq!(received, expected, "{direction}");
        early.iter().for_each(|receipt| assert_eq!(receipt.wait(), Ok(())));
        remote.send(&VerAck).unwrap();
        assert_eq!(remote.sync_with_ping().unwrap(), []);
    }
}

#[test]
fn messages_queued_by_other_threads_are_not_sent_before_our_verack() {
    for direction in BOTH {
        for _ in 0..30 {
            let (peer, mut remote) = connect_remote_over_tcp(direction, &builder().build().unwrap()).unwrap();
            std::thread::scope(|scope| {
                scope.spawn(|| (0..200).for_each(|n| drop(peer.queue_message(&fee(n)).unwrap())));
                shake_hands_up_to_our_verack(direction, &mut remote);
            });
            (0..200).for_each(|n| assert_eq!(remote.expect::<FeeFilter>().unwrap(), fee(n)));
        }
    }
}

#[test]
fn messages_before_the_remotes_verack_are_delivered() {
    for direction in BOTH {
        let (local, mut remote) = new_peer(direction, builder());
        shake_hands_up_to_our_verack(direction, &mut remote);
        // kaspad sends these to a node that it dialled.
        remote.send(&GetAddr::all()).unwrap();
        remote.send(&Addr { scope: AddressScope::All, addresses: vec![] }).unwrap();
        local.recorder.wait_for::<Addr>();
        assert_eq!(remote.sync_with_ping().unwrap(), [], "pings are answered");
        assert!(!local.peer.stats().handshake_done);
        remote.send(&VerAck).unwrap();
        local.peer.wait_for_handshake().unwrap();
        assert_eq!(remote.sync_with_ping().unwrap(), []);
        local.recorder.wait_for_count(Command::Ping, 2);
        assert_eq!(local.recorder.commands(), ["version", "getaddr", "addr", "ping", "verack", "ping"]);
    }
}

#[test]
fn a_handshake_and_messages_in_one_write_are_handled_in_order() {
    for direction in BOTH {
        let (local, mut remote) = new_peer(direction, builder());
        remote
            .send_bytes(
                &[
                    TestFrame::of(&version(), Network::Simnet).unwrap().to_bytes(),
                    TestFrame::of(&GetAddr::all(), Network::Simnet).unwrap().to_bytes(),
                    TestFrame::of(&VerAck, Network::Simnet).unwrap().to_bytes(),
                    TestFrame::of(&large(), Network::Simnet).unwrap().to_bytes(),
                ]
                .concat(),
            )
            .unwrap();
        local.recorder.wait_for::<Inv>();
        assert_eq!(local.recorder.commands(), ["version", "getaddr", "verack", "inv"]);
        local.peer.wait_for_handshake().unwrap();
    }
}

#[test]
fn receipts_resolve_when_the_handshake_fails() {
    for direction in BOTH {
        let (local, mut remote) = new_peer(direction, builder());
        let receipts: Vec<Receipt> = (0..10_000).map(|n| local.peer.queue_message(&fee(n)).unwrap()).collect();
        wait_until("only these messages are queued", || local.peer.stats().queued_messages == 10_000);
        remote.send(&Version { protocol_version: 0, ..version() }).unwrap();
        let reason = DisconnectReason::Handshake(HandshakeError::VersionTooOld { found: 0, minimum: 1 });
        let closed = WaitError::Closed(reason.clone());
        receipts.iter().for_each(|receipt| assert_eq!(receipt.wait(), Err(closed.clone())));
        assert_eq!(local.end_reason(), reason);
        assert_eq!(local.peer.queue_message(&fee(1)), Err(QueueError::Closed(reason)));
        let stats = local.peer.stats();
        assert_eq!((stats.queued_messages, stats.queued_bytes), (0, 0));
        assert!(remote.read_until_end().unwrap().iter().all(|message| matches!(message, Message::Version(_))));
    }
}

#[test]
fn a_full_queue_does_not_block_the_handshake() {
    let Ok(Command::Custom(command)) = "filling".parse() else { panic!("filling is known") };
    for direction in BOTH {
        let (local, mut remote) = new_peer(direction, builder().queue_limit(10_000));
        let filling = |size| CustomMessage { command, payload: vec![0; size] };
        let mut queued = Vec::new();
        let versions = u64::from(direction == Direction::Outbound);
        wait_until("our version has left the queue", || {
            let stats = local.peer.stats();
            (stats.sent.total().messages, stats.queued_messages) == (versions, 0)
        });
        // Fill the queue to its last bytes, since the messages of the handshake are small.
        for size in [9000, 100, 0] {
            while local.peer.queue_message(&filling(size)).is_ok() {
                queued.push(Message::from(filling(size)));
            }
        }
        assert!(matches!(local.peer.queue_message(&fee(1)), Err(QueueError::Full { .. })));
        shake_hands_up_to_our_verack(direction, &mut remote);
        remote.send(&VerAck).unwrap();
        local.peer.wait_for_handshake().unwrap();
        let received: Vec<Message> = queued.iter().map(|_| remote.next_message().unwrap()).collect();
        assert_eq!(received, queued);
    }
}
