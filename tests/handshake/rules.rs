//! Who is let in, who is not, and what either is told.

use crate::common::remote::{BOTH, ByHand, frame, meet, meet_node, met};
use crate::common::{End, Recorder, acquainted, builder, sockets, version};
use kaspa_peer::peer::ProtocolViolation;
use kaspa_peer::wire::{
    Block, BlockHeader, Command, CustomMessage, Encode, FrameError, GetAddr, Message, Network, Ping, Pong, Reject,
    SubnetworkId, Transaction, TxFields, VerAck, Version,
};
use kaspa_peer::{ConfigBuilder, Direction, DisconnectReason, HandshakeError, Listener, Peer};
use parking_lot::Mutex;
use std::sync::Arc;

const A: SubnetworkId = SubnetworkId::from_bytes([0xa; 20]);
const B: SubnetworkId = SubnetworkId::from_bytes([0xb; 20]);

fn refused(error: HandshakeError) -> DisconnectReason {
    DisconnectReason::Handshake(error)
}

/// A peer and its remote, up to where the remote must speak.
fn greeted(direction: Direction, builder: ConfigBuilder) -> (ByHand, End) {
    let (mut remote, end) = meet(direction, builder);
    if direction == Direction::Outbound {
        remote.expect::<Version>();
    }
    (remote, end)
}

/// The remote is sent nothing more, and the application was told of no message.
fn ended_without_a_word(remote: &mut ByHand, end: &End) -> DisconnectReason {
    assert_eq!(remote.rest(), []);
    let reason = end.reason();
    assert_eq!(end.told.commands(), [""; 0]);
    reason
}

fn transaction() -> Transaction {
    let (inputs, outputs, subnetwork) = (vec![], vec![], SubnetworkId::NATIVE);
    let fields =
        TxFields { version: 1, inputs, outputs, lock_time: 0, subnetwork, gas: 0, payload_hash: None, payload: None };
    Transaction::new(&fields).unwrap()
}

#[test]
fn who_dials_speaks_first() {
    let (mut remote, end) = meet(Direction::Outbound, builder());
    remote.expect::<Version>();
    assert_eq!(end.peer.remote(), None);
    remote.send(&version());
    remote.expect::<VerAck>();
    assert!(!end.peer.stats().handshake_done);
    remote.send(&VerAck);
    end.peer.wait_for_handshake().unwrap();
    assert_eq!(remote.before_pong(1), []);
    end.told.wait_for::<Ping>();
    assert_eq!(end.told.commands(), ["version", "verack", "ping"]);
}

#[test]
fn who_is_dialled_waits_until_its_callback_has_seen_the_version() {
    #[derive(Clone, Default)]
    struct Watch(Arc<Mutex<Vec<(u64, usize)>>>);

    impl Listener for Watch {
        fn on_version(&self, peer: &Peer, _: Version) {
            let stats = peer.stats();
            self.0.lock().push((stats.sent.total().messages, stats.queued_messages));
            assert!(peer.remote().is_some(), "known before the callback");
        }
    }

    for (direction, sent_before) in [(Direction::Inbound, 0), (Direction::Outbound, 1)] {
        let seen = Watch::default();
        let (mut remote, peer) = meet_node(direction, &builder().listener(seen.clone()).build().unwrap());
        if direction == Direction::Outbound {
            remote.expect::<Version>();
            crate::common::wait_until("the version is counted", || {
                let stats = peer.stats();
                (stats.sent.total().messages, stats.queued_messages) == (1, 0)
            });
        }
        remote.send(&version());
        if direction == Direction::Inbound {
            remote.expect::<Version>();
        }
        remote.expect::<VerAck>();
        remote.send(&VerAck);
        peer.wait_for_handshake().unwrap();
        assert_eq!(*seen.0.lock(), [(sent_before, 0)], "{direction}");
    }
}

#[test]
fn a_node_that_dials_itself_notices() {
    let told = Recorder::default();
    let node = builder().listener(told.clone()).build().unwrap();
    let (dialled, accepted) = sockets();
    let (to, from) = (dialled.peer_addr().unwrap(), accepted.peer_addr().unwrap());
    let inbound = Peer::inbound(accepted, from, &node).unwrap();
    let outbound = Peer::outbound(dialled, to, &node).unwrap();
    assert_eq!(inbound.wait_for_disconnect(), Ok(refused(HandshakeError::SelfConnection)));
    // The dialling end is told nothing, not even a version in which it could recognise itself.
    assert_eq!(outbound.wait_for_disconnect(), Ok(DisconnectReason::RemoteClosed { inside_frame: false }));
    assert_eq!(inbound.stats().sent.total().messages, 0);
    assert_eq!(told.commands(), [""; 0]);
}

#[test]
fn an_echo_is_a_self_connection() {
    let (mut remote, end) = meet(Direction::Outbound, builder());
    let ours: Version = remote.expect();
    remote.send(&ours);
    assert_eq!(remote.rest(), []);
    assert_eq!(end.reason(), refused(HandshakeError::SelfConnection));
    assert_eq!(end.told.commands(), [""; 0]);
}

#[test]
fn two_nodes_in_one_process_are_not_one() {
    acquainted(builder(), builder());
}

#[test]
fn the_last_fifty_nonces_are_remembered() {
    let node = builder().build().unwrap();
    let dial = || meet_node(Direction::Outbound, &node).0.expect::<Version>().nonce;
    let oldest = dial();
    for _ in 1..50 {
        dial();
    }
    let greet = || {
        let (mut remote, peer) = meet_node(Direction::Inbound, &node);
        remote.send(&Version { nonce: oldest, ..version() });
        (remote.next(), peer)
    };
    let (answer, peer) = greet();
    assert_eq!(answer, None);
    assert_eq!(peer.wait_for_disconnect(), Ok(refused(HandshakeError::SelfConnection)));
    dial();
    assert!(matches!(greet(), (Some(Message::Version(_)), _)), "forgotten by now");
}

#[test]
fn versions_below_one_are_too_old() {
    for direction in BOTH {
        for found in [0, -1, i32::MIN] {
            let (mut remote, end) = greeted(direction, builder());
            remote.send(&Version { protocol_version: found, ..version() });
            let reason = ended_without_a_word(&mut remote, &end);
            assert_eq!(reason, refused(HandshakeError::VersionTooOld { found, minimum: 1 }));
            let gone = kaspa_peer::WaitError::Closed(reason);
            assert_eq!(end.peer.wait_for_handshake(), Err(gone));
        }
    }
}

#[test]
fn subnetworks_must_fit() {
    use Direction::{Inbound, Outbound};
    let full_dials_partial = (Outbound, None, Some(A), false);
    let cases = [
        (Outbound, None, None, true),
        (Inbound, None, None, true),
        full_dials_partial,
        (Inbound, None, Some(A), true),
        (Outbound, Some(A), None, true),
        (Inbound, Some(A), None, true),
        (Outbound, Some(A), Some(A), true),
        (Inbound, Some(A), Some(A), true),
        (Outbound, Some(A), Some(B), false),
        (Inbound, Some(A), Some(B), false),
    ];
    for (direction, ours, theirs, fit) in cases {
        let introduction = Version { subnetwork: theirs, ..version() };
        if fit {
            let (mut remote, end) = meet(direction, builder().subnetwork(ours));
            assert_eq!(remote.shake(direction, &introduction).subnetwork, ours);
            end.peer.wait_for_handshake().unwrap();
            assert_eq!(end.peer.remote().unwrap().subnetwork, theirs);
        } else {
            let (mut remote, end) = greeted(direction, builder().subnetwork(ours));
            remote.send(&introduction);
            let reason = ended_without_a_word(&mut remote, &end);
            assert_eq!(reason, refused(HandshakeError::IncompatibleSubnetworks { ours, theirs }));
        }
    }
}

#[test]
fn the_checks_have_an_order() {
    let (mut remote, end) = meet(Direction::Outbound, builder());
    let Version { nonce, .. } = remote.expect();
    remote.send(&Version { nonce, protocol_version: 0, subnetwork: Some(A), ..version() });
    assert_eq!(end.reason(), refused(HandshakeError::SelfConnection));

    let (mut remote, end) = meet(Direction::Outbound, builder());
    remote.send(&Version { protocol_version: 0, subnetwork: Some(A), ..version() });
    assert_eq!(end.reason(), refused(HandshakeError::VersionTooOld { found: 0, minimum: 1 }));
}

#[test]
fn the_first_message_must_be_version() {
    const REASON: &[u8] = b"A version message must precede all others";
    let block = Block::new(BlockHeader::default(), &[transaction()]).unwrap();
    let messages: [(Message, usize); 5] = [
        (VerAck.into(), 0),
        (Ping { nonce: 7 }.into(), 0),
        (GetAddr::all().into(), 0),
        (transaction().into(), 32),
        (block.into(), 32),
    ];
    for direction in BOTH {
        for (message, zeros) in &messages {
            let (mut remote, end) = greeted(direction, builder());
            remote.send(message);
            let name = message.command().name().as_bytes().to_vec();
            let mut payload = vec![u8::try_from(name.len()).unwrap()];
            payload.extend(name);
            payload.extend([1, u8::try_from(REASON.len()).unwrap()]);
            payload.extend(REASON);
            payload.extend(vec![0; *zeros]);
            let heard = remote.rest_of_bytes();
            assert_eq!(heard[4..16], *b"reject\0\0\0\0\0\0", "{direction} {}", message.command());
            assert_eq!(heard[24..], payload, "{direction} {}", message.command());
            let command = message.command();
            assert_eq!(end.reason(), refused(HandshakeError::NotVersion { command }));
            assert_eq!(end.told.commands(), [""; 0]);
        }
    }
}

#[test]
fn a_second_version_is_rejected() {
    for direction in BOTH {
        let (mut remote, end) = met(direction, builder());
        remote.send(&version());
        let reject: Reject = remote.expect();
        let mut payload = b"\x07version\x12\x19".to_vec();
        payload.extend(b"duplicate version message");
        assert_eq!(reject.encode().unwrap(), payload);
        assert_eq!(remote.rest(), []);
        assert_eq!(end.reason(), DisconnectReason::Protocol(ProtocolViolation::DuplicateVersion));
        assert_eq!(end.told.commands(), ["version", "verack"], "no callback for the second");
    }
}

#[test]
fn a_second_version_before_the_verack_is_rejected_too() {
    for direction in BOTH {
        let (mut remote, end) = meet(direction, builder());
        remote.send_bytes(&[frame(&version()), frame(&version())].concat());
        remote.expect::<Version>();
        remote.expect::<VerAck>();
        remote.expect::<Reject>();
        assert_eq!(remote.rest(), []);
        assert_eq!(end.reason(), DisconnectReason::Protocol(ProtocolViolation::DuplicateVersion));
        assert_eq!(end.told.commands(), ["version"]);
    }
}

#[test]
fn a_second_verack_ends_it_without_a_word() {
    for direction in BOTH {
        let (mut remote, end) = met(direction, builder());
        remote.send(&VerAck);
        assert_eq!(remote.rest(), []);
        assert_eq!(end.reason(), DisconnectReason::Protocol(ProtocolViolation::DuplicateVerAck));
        assert_eq!(end.told.commands(), ["version", "verack"]);
    }
}

type Check = fn(&FrameError) -> bool;

/// Bytes that are no message, and what is wrong with them.
fn malformed() -> [(Vec<u8>, Check); 3] {
    let other_network = kaspa_peer::wire::Frame::encode(&VerAck, Network::Mainnet).unwrap().as_bytes().to_vec();
    let mut flipped = frame(&Ping { nonce: 1 });
    flipped[24] ^= 1;
    let oversize = [&flipped[..16], &[0xff; 8]].concat();
    [
        (other_network, |error| matches!(error, FrameError::Network { .. })),
        (flipped, |error| matches!(error, FrameError::Checksum { command: Command::Ping, .. })),
        (oversize, |error| matches!(error, FrameError::Oversize { .. })),
    ]
}

#[test]
fn what_is_malformed_during_the_handshake_is_not_answered() {
    for direction in BOTH {
        for introduced in [false, true] {
            for (bytes, is_expected) in malformed() {
                let (mut remote, end) = greeted(direction, builder());
                if introduced {
                    remote.send(&version());
                    while remote.next().unwrap() != VerAck.into() {}
                }
                remote.send_bytes(&bytes);
                assert_eq!(remote.rest(), []);
                let reason = end.reason();
                let DisconnectReason::Handshake(HandshakeError::Malformed(error)) = &reason else {
                    panic!("{reason:?}");
                };
                assert!(is_expected(error), "{error}");
            }
        }
    }
}

#[test]
fn what_is_malformed_after_the_handshake_is_answered() {
    for direction in BOTH {
        for (bytes, is_expected) in malformed() {
            let (mut remote, end) = met(direction, builder());
            remote.send_bytes(&bytes);
            let reject: Reject = remote.expect();
            assert_eq!(remote.rest(), []);
            let reason = end.reason();
            let DisconnectReason::Malformed(error) = &reason else { panic!("{reason:?}") };
            assert!(is_expected(error), "{error}");
            let text = format!("Can't read message from {} ({direction}): {error}", end.peer.address());
            assert_eq!((reject.command.to_str(), reject.code.0), (Some("malformed"), 1));
            assert_eq!(reject.reason.to_str(), Some(text.as_str()));
        }
    }
}

#[test]
fn unknown_commands_do_no_harm_while_it_runs() {
    #[derive(Clone, Default)]
    struct Unknowns(Arc<Mutex<Vec<CustomMessage>>>);

    impl Listener for Unknowns {
        fn on_custom(&self, _: &Peer, message: CustomMessage) {
            self.0.lock().push(message);
        }
    }

    let Ok(Command::Custom(command)) = "hello".parse() else { panic!("hello is known") };
    let hello = |number| CustomMessage { command, payload: vec![number] };
    for direction in BOTH {
        let seen = Unknowns::default();
        let (mut remote, peer) = meet_node(direction, &builder().listener(seen.clone()).build().unwrap());
        remote.send(&hello(1));
        remote.send(&version());
        remote.send(&hello(2));
        remote.expect::<Version>();
        remote.expect::<VerAck>();
        remote.send(&VerAck);
        remote.send(&hello(3));
        assert_eq!(remote.before_pong(9), []);
        assert_eq!(*seen.0.lock(), [hello(1), hello(2), hello(3)]);
        assert_eq!(peer.stats().received.of(Command::Custom(command)).messages, 3);
    }
}

#[test]
fn who_just_leaves_is_told_nothing() {
    for direction in BOTH {
        for bytes in [0, 10, 24 + 4] {
            let (mut remote, end) = greeted(direction, builder());
            remote.send_bytes(&frame(&version())[..bytes]);
            remote.hang_up();
            let reason = ended_without_a_word(&mut remote, &end);
            assert_eq!(reason, DisconnectReason::RemoteClosed { inside_frame: bytes > 0 });

            let (mut remote, end) = met(direction, builder());
            remote.send_bytes(&frame(&Ping { nonce: 1 })[..bytes]);
            remote.hang_up();
            assert_eq!(remote.rest(), []);
            assert_eq!(end.reason(), DisconnectReason::RemoteClosed { inside_frame: bytes > 0 });
        }
    }
}

#[test]
fn who_is_disconnecting_says_nothing_of_what_is_malformed() {
    struct Leave;

    impl Listener for Leave {
        fn on_ping(&self, peer: &Peer, _: Ping) {
            peer.disconnect();
        }
    }

    let (mut remote, peer) = meet_node(Direction::Inbound, &builder().listener(Leave).build().unwrap());
    remote.shake(Direction::Inbound, &version());
    remote.send_bytes(&[frame(&Ping { nonce: 1 }), vec![0xff; 24]].concat());
    let answered = [Message::Pong(Pong { nonce: 1 })];
    assert!(remote.rest().iter().all(|message| answered.contains(message)));
    assert_eq!(peer.wait_for_disconnect(), Ok(DisconnectReason::Local));
}
