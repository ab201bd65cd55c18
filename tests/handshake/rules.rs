//! The rules by which the handshake accepts or refuses a remote, and the messages that it sends in both cases.

use crate::common::local::{Local, connected_pair, connected_peer_in, new_peer};
use crate::common::recorder::Recorder;
use crate::common::{BOTH, builder, version, wait_until};
use kaspa_peer::peer::ProtocolViolation;
use kaspa_peer::testing::{End, ScriptedRemote, TestFrame, connect_remote_over_tcp, tcp_pair};
use kaspa_peer::wire::{
    Block, BlockHeader, Command, CustomMessage, Encode, FrameError, GetAddr, Message, Network, Ping, Pong, Reject,
    RejectCode, SubnetworkId, Transaction, TxFields, VerAck, Version,
};
use kaspa_peer::{ConfigBuilder, Direction, DisconnectReason, HandshakeError, Listener, Peer};
use parking_lot::Mutex;
use std::sync::Arc;

const A: SubnetworkId = SubnetworkId::from_bytes([0xa; 20]);
const B: SubnetworkId = SubnetworkId::from_bytes([0xb; 20]);

fn refused(error: HandshakeError) -> DisconnectReason {
    DisconnectReason::Handshake(error)
}

/// A peer whose remote has read everything that arrives before the remote has sent its `version`.
fn waiting_for_version(direction: Direction, builder: ConfigBuilder) -> (Local, ScriptedRemote) {
    let (local, mut remote) = new_peer(direction, builder);
    if direction == Direction::Outbound {
        remote.expect::<Version>().unwrap();
    }
    (local, remote)
}

/// Checks that the remote receives nothing more and that no message reached the listener.
fn ended_silently(remote: &mut ScriptedRemote, local: &Local) -> DisconnectReason {
    assert_eq!(remote.read_until_end().unwrap(), []);
    let reason = local.end_reason();
    assert_eq!(local.recorder.commands(), [""; 0]);
    reason
}

fn transaction() -> Transaction {
    let (inputs, outputs, subnetwork) = (vec![], vec![], SubnetworkId::NATIVE);
    let fields =
        TxFields { version: 1, inputs, outputs, lock_time: 0, subnetwork, gas: 0, payload_hash: None, payload: None };
    Transaction::new(&fields).unwrap()
}

#[test]
fn the_dialling_side_sends_its_version_first() {
    let (local, mut remote) = new_peer(Direction::Outbound, builder());
    remote.expect::<Version>().unwrap();
    assert_eq!(local.peer.remote(), None);
    remote.send(&version()).unwrap();
    remote.expect::<VerAck>().unwrap();
    assert!(!local.peer.stats().handshake_done);
    remote.send(&VerAck).unwrap();
    local.peer.wait_for_handshake().unwrap();
    assert_eq!(remote.sync_with_ping().unwrap(), []);
    local.recorder.wait_for::<Ping>();
    assert_eq!(local.recorder.commands(), ["version", "verack", "ping"]);
}

#[test]
fn the_dialled_side_sends_its_version_after_the_callback_for_the_remotes() {
    #[derive(Clone, Default)]
    struct Watch(Arc<Mutex<Vec<(u64, usize)>>>);

    impl Listener for Watch {
        fn on_version(&self, peer: &Peer, _: Version) {
            let stats = peer.stats();
            self.0.lock().push((stats.sent.total().messages, stats.queued_messages));
            assert!(peer.remote().is_some(), "set before the callback");
        }
    }

    for (direction, sent_before) in [(Direction::Inbound, 0), (Direction::Outbound, 1)] {
        let seen = Watch::default();
        let (peer, mut remote) =
            connect_remote_over_tcp(direction, &builder().listener(seen.clone()).build().unwrap()).unwrap();
        if direction == Direction::Outbound {
            remote.expect::<Version>().unwrap();
            wait_until("the version is counted", || {
                let stats = peer.stats();
                (stats.sent.total().messages, stats.queued_messages) == (1, 0)
            });
        }
        remote.send(&version()).unwrap();
        if direction == Direction::Inbound {
            remote.expect::<Version>().unwrap();
        }
        remote.expect::<VerAck>().unwrap();
        remote.send(&VerAck).unwrap();
        peer.wait_for_handshake().unwrap();
        assert_eq!(*seen.0.lock(), [(sent_before, 0)], "{direction}");
    }
}

#[test]
fn a_node_that_dials_itself_disconnects() {
    let recorder = Recorder::default();
    let node = builder().listener(recorder.clone()).build().unwrap();
    let (dialled, accepted) = tcp_pair().unwrap();
    let (to, from) = (dialled.peer_addr().unwrap(), accepted.peer_addr().unwrap());
    let inbound = Peer::inbound(accepted, from, &node).unwrap();
    let outbound = Peer::outbound(dialled, to, &node).unwrap();
    assert_eq!(inbound.wait_for_disconnect(), Ok(refused(HandshakeError::SelfConnection)));
    // The accepting end sends nothing, so the dialling end receives no version in which it could recognise itself.
    assert_eq!(outbound.wait_for_disconnect(), Ok(refused(HandshakeError::RemoteClosed { inside_frame: false })));
    assert_eq!(inbound.stats().sent.total().messages, 0);
    assert_eq!(recorder.commands(), [""; 0]);
}

#[test]
fn a_remote_that_echoes_our_version_is_a_self_connection() {
    let (local, mut remote) = new_peer(Direction::Outbound, builder());
    let ours: Version = remote.expect().unwrap();
    remote.send(&ours).unwrap();
    assert_eq!(remote.read_until_end().unwrap(), []);
    assert_eq!(local.end_reason(), refused(HandshakeError::SelfConnection));
    assert_eq!(local.recorder.commands(), [""; 0]);
}

#[test]
fn two_nodes_in_one_process_are_no_self_connection() {
    connected_pair(builder(), builder());
}

#[test]
fn inbound_connections_do_not_hide_a_self_connection() {
    let node = builder().build().unwrap();
    let (_dialled, mut remote) = connect_remote_over_tcp(Direction::Outbound, &node).unwrap();
    let ours: Version = remote.expect().unwrap();
    for _ in 0..60 {
        let (_inbound, mut stranger) = connect_remote_over_tcp(Direction::Inbound, &node).unwrap();
        stranger.send(&version()).unwrap();
        stranger.expect::<Version>().unwrap();
    }
    let (accepted, mut remote) = connect_remote_over_tcp(Direction::Inbound, &node).unwrap();
    remote.send(&ours).unwrap();
    assert_eq!(accepted.wait_for_disconnect(), Ok(refused(HandshakeError::SelfConnection)));
}

#[test]
fn the_last_fifty_nonces_of_dialled_peers_are_remembered() {
    let node = builder().build().unwrap();
    let dialled_nonce =
        || connect_remote_over_tcp(Direction::Outbound, &node).unwrap().1.expect::<Version>().unwrap().nonce;
    let oldest = dialled_nonce();
    for _ in 1..50 {
        dialled_nonce();
    }
    let send_oldest = || {
        let (peer, mut remote) = connect_remote_over_tcp(Direction::Inbound, &node).unwrap();
        remote.send(&Version { nonce: oldest, ..version() }).unwrap();
        (remote.next_message(), peer)
    };
    let (answer, peer) = send_oldest();
    assert_eq!(answer.unwrap_err().end(), Some(End::Closed));
    assert_eq!(peer.wait_for_disconnect(), Ok(refused(HandshakeError::SelfConnection)));
    dialled_nonce();
    assert!(matches!(send_oldest(), (Ok(Message::Version(_)), _)), "the 51st oldest nonce is forgotten");
}

#[test]
fn protocol_versions_below_one_are_refused() {
    for direction in BOTH {
        for found in [0, -1, i32::MIN] {
            let (local, mut remote) = waiting_for_version(direction, builder());
            remote.send(&Version { protocol_version: found, ..version() }).unwrap();
            let reason = ended_silently(&mut remote, &local);
            assert_eq!(reason, refused(HandshakeError::VersionTooOld { found, minimum: 1 }));
            let closed = kaspa_peer::WaitError::Closed(reason);
            assert_eq!(local.peer.wait_for_handshake(), Err(closed));
        }
    }
}

#[test]
fn incompatible_subnetworks_are_refused() {
    use Direction::{Inbound, Outbound};
    let full_node_dials_partial_node = (Outbound, None, Some(A), false);
    let cases = [
        (Outbound, None, None, true),
        (Inbound, None, None, true),
        full_node_dials_partial_node,
        (Inbound, None, Some(A), true),
        (Outbound, Some(A), None, true),
        (Inbound, Some(A), None, true),
        (Outbound, Some(A), Some(A), true),
        (Inbound, Some(A), Some(A), true),
        (Outbound, Some(A), Some(B), false),
        (Inbound, Some(A), Some(B), false),
    ];
    for (direction, ours, theirs, compatible) in cases {
        let version = Version { subnetwork: theirs, ..version() };
        if compatible {
            let (local, mut remote) = new_peer(direction, builder().subnetwork(ours));
            assert_eq!(remote.shake_hands_with(&version).unwrap().subnetwork, ours);
            local.peer.wait_for_handshake().unwrap();
            assert_eq!(local.peer.remote().unwrap().subnetwork, theirs);
        } else {
            let (local, mut remote) = waiting_for_version(direction, builder().subnetwork(ours));
            remote.send(&version).unwrap();
            let reason = ended_silently(&mut remote, &local);
            assert_eq!(reason, refused(HandshakeError::IncompatibleSubnetworks { ours, theirs }));
        }
    }
}

#[test]
fn self_connections_are_refused_before_old_versions_and_these_before_subnetworks() {
    let (local, mut remote) = new_peer(Direction::Outbound, builder());
    let Version { nonce, .. } = remote.expect().unwrap();
    remote.send(&Version { nonce, protocol_version: 0, subnetwork: Some(A), ..version() }).unwrap();
    assert_eq!(local.end_reason(), refused(HandshakeError::SelfConnection));

    let (local, mut remote) = new_peer(Direction::Outbound, builder());
    remote.send(&Version { protocol_version: 0, subnetwork: Some(A), ..version() }).unwrap();
    assert_eq!(local.end_reason(), refused(HandshakeError::VersionTooOld { found: 0, minimum: 1 }));
}

#[test]
fn a_first_message_that_is_not_version_is_rejected() {
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
            let (local, mut remote) = waiting_for_version(direction, builder());
            remote.send(message).unwrap();
            let name = message.command().name().as_bytes().to_vec();
            let mut payload = vec![u8::try_from(name.len()).unwrap()];
            payload.extend(name);
            payload.extend([1, u8::try_from(REASON.len()).unwrap()]);
            payload.extend(REASON);
            payload.extend(vec![0; *zeros]);
            let received = remote.read_bytes_until_end().unwrap();
            assert_eq!(received[4..16], *b"reject\0\0\0\0\0\0", "{direction} {}", message.command());
            assert_eq!(received[24..], payload, "{direction} {}", message.command());
            let command = message.command();
            assert_eq!(local.end_reason(), refused(HandshakeError::NotVersion { command }));
            assert_eq!(local.recorder.commands(), [""; 0]);
        }
    }
}

#[test]
fn a_remote_that_rejects_the_handshake_is_the_reason_of_the_end() {
    let reject = Reject::new("version", RejectCode::OBSOLETE, "too old");
    let reason = refused(HandshakeError::Rejected(Box::new(reject.clone())));
    for direction in BOTH {
        let (local, mut remote) = waiting_for_version(direction, builder());
        remote.send(&reject).unwrap();
        assert_eq!(ended_silently(&mut remote, &local), reason, "{direction}: instead of its version");

        let (local, mut remote) = waiting_for_version(direction, builder());
        remote.send(&version()).unwrap();
        remote.send(&reject).unwrap();
        remote.close_writing().unwrap();
        assert_eq!(local.end_reason(), reason, "{direction}: after its version");
        assert_eq!(local.recorder.commands(), ["version", "reject"]);
    }
}

#[test]
fn a_second_version_is_rejected() {
    for direction in BOTH {
        let (local, mut remote) = connected_peer_in(direction, builder());
        remote.send(&version()).unwrap();
        let reject: Reject = remote.expect().unwrap();
        let mut payload = b"\x07version\x12\x19".to_vec();
        payload.extend(b"duplicate version message");
        assert_eq!(reject.encode().unwrap(), payload);
        assert_eq!(remote.read_until_end().unwrap(), []);
        assert_eq!(local.end_reason(), DisconnectReason::Protocol(ProtocolViolation::DuplicateVersion));
        assert_eq!(local.recorder.commands(), ["version", "verack"], "no callback for the second version");
    }
}

#[test]
fn a_second_version_before_the_verack_is_rejected() {
    for direction in BOTH {
        let (local, mut remote) = new_peer(direction, builder());
        remote
            .send_bytes(
                &[
                    TestFrame::of(&version(), Network::Simnet).unwrap().to_bytes(),
                    TestFrame::of(&version(), Network::Simnet).unwrap().to_bytes(),
                ]
                .concat(),
            )
            .unwrap();
        remote.expect::<Version>().unwrap();
        remote.expect::<VerAck>().unwrap();
        remote.expect::<Reject>().unwrap();
        assert_eq!(remote.read_until_end().unwrap(), []);
        assert_eq!(local.end_reason(), DisconnectReason::Protocol(ProtocolViolation::DuplicateVersion));
        assert_eq!(local.recorder.commands(), ["version"]);
    }
}

#[test]
fn a_second_verack_disconnects_without_a_reject() {
    for direction in BOTH {
        let (local, mut remote) = connected_peer_in(direction, builder());
        remote.send(&VerAck).unwrap();
        assert_eq!(remote.read_until_end().unwrap(), []);
        assert_eq!(local.end_reason(), DisconnectReason::Protocol(ProtocolViolation::DuplicateVerAck));
        assert_eq!(local.recorder.commands(), ["version", "verack"]);
    }
}

type Check = fn(&FrameError) -> bool;

/// Frames that are malformed, and a check of the error for each.
fn malformed() -> [(Vec<u8>, Check); 3] {
    let other_network = kaspa_peer::wire::Frame::encode(&VerAck, Network::Mainnet).unwrap().as_bytes().to_vec();
    // The only known command that the remote may send before its `version`.
    let flipped = TestFrame::of(&version(), Network::Simnet).unwrap().with_wrong_checksum().to_bytes();
    let oversize = [&flipped[..16], &[0xff; 8]].concat();
    [
        (other_network, |error| matches!(error, FrameError::Network { .. })),
        (flipped, |error| matches!(error, FrameError::Checksum { command: Command::Version, .. })),
        (oversize, |error| matches!(error, FrameError::Oversize { .. })),
    ]
}

#[test]
fn a_malformed_frame_during_the_handshake_is_not_answered() {
    for direction in BOTH {
        for after_version in [false, true] {
            for (bytes, is_expected) in malformed() {
                let (local, mut remote) = waiting_for_version(direction, builder());
                if after_version {
                    remote.send(&version()).unwrap();
                    while remote.next_message().unwrap() != VerAck.into() {}
                }
                remote.send_bytes(&bytes).unwrap();
                assert_eq!(remote.read_until_end().unwrap(), []);
                let reason = local.end_reason();
                let DisconnectReason::Handshake(HandshakeError::Malformed(error)) = &reason else {
                    panic!("{reason:?}");
                };
                assert!(is_expected(error), "{error}");
            }
        }
    }
}

#[test]
fn a_malformed_frame_after_the_handshake_is_rejected() {
    for direction in BOTH {
        for (bytes, is_expected) in malformed() {
            let (local, mut remote) = connected_peer_in(direction, builder());
            remote.send_bytes(&bytes).unwrap();
            let reject: Reject = remote.expect().unwrap();
            assert_eq!(remote.read_until_end().unwrap(), []);
            let reason = local.end_reason();
            let DisconnectReason::Malformed(error) = &reason else { panic!("{reason:?}") };
            assert!(is_expected(error), "{error}");
            let text = format!("Can't read message from {} ({direction}): {error}", local.peer.address());
            assert_eq!((reject.command.to_str(), reject.code.0), (Some("malformed"), 1));
            assert_eq!(reject.reason.to_str(), Some(text.as_str()));
        }
    }
}

#[test]
fn custom_commands_are_skipped_before_the_version_and_delivered_after_it() {
    #[derive(Clone, Default)]
    struct CustomMessages(Arc<Mutex<Vec<CustomMessage>>>);

    impl Listener for CustomMessages {
        fn on_custom(&self, _: &Peer, message: CustomMessage) {
            self.0.lock().push(message);
        }
    }

    let Ok(Command::Custom(command)) = "hello".parse() else { panic!("hello is known") };
    let hello = |number| CustomMessage { command, payload: vec![number] };
    for direction in BOTH {
        let seen = CustomMessages::default();
        let (peer, mut remote) =
            connect_remote_over_tcp(direction, &builder().listener(seen.clone()).build().unwrap()).unwrap();
        remote.send(&hello(1)).unwrap();
        remote.send(&version()).unwrap();
        remote.send(&hello(2)).unwrap();
        remote.expect::<Version>().unwrap();
        remote.expect::<VerAck>().unwrap();
        remote.send(&VerAck).unwrap();
        remote.send(&hello(3)).unwrap();
        assert_eq!(remote.sync_with_ping().unwrap(), []);
        assert_eq!(*seen.0.lock(), [hello(2), hello(3)]);
        assert_eq!(peer.stats().received.of(Command::Custom(command)).messages, 3);
    }
}

#[test]
fn a_remote_that_only_closes_receives_nothing() {
    for direction in BOTH {
        for bytes in [0, 10, 24 + 4] {
            let (local, mut remote) = waiting_for_version(direction, builder());
            remote.send_bytes(&TestFrame::of(&version(), Network::Simnet).unwrap().to_bytes()[..bytes]).unwrap();
            remote.close_writing().unwrap();
            let reason = ended_silently(&mut remote, &local);
            assert_eq!(reason, refused(HandshakeError::RemoteClosed { inside_frame: bytes > 0 }));

            let (local, mut remote) = connected_peer_in(direction, builder());
            remote
                .send_bytes(&TestFrame::of(&Ping { nonce: 1 }, Network::Simnet).unwrap().to_bytes()[..bytes])
                .unwrap();
            remote.close_writing().unwrap();
            assert_eq!(remote.read_until_end().unwrap(), []);
            assert_eq!(local.end_reason(), DisconnectReason::RemoteClosed { inside_frame: bytes > 0 });
        }
    }
}

#[test]
fn a_malformed_frame_behind_our_disconnect_is_not_rejected() {
    struct DisconnectOnPing;

    impl Listener for DisconnectOnPing {
        fn on_ping(&self, peer: &Peer, _: Ping) {
            peer.disconnect();
        }
    }

    let (peer, mut remote) =
        connect_remote_over_tcp(Direction::Inbound, &builder().listener(DisconnectOnPing).build().unwrap()).unwrap();
    remote.shake_hands().unwrap();
    remote
        .send_bytes(&[TestFrame::of(&Ping { nonce: 1 }, Network::Simnet).unwrap().to_bytes(), vec![0xff; 24]].concat())
        .unwrap();
    let answered = [Message::Pong(Pong { nonce: 1 })];
    assert!(remote.read_until_end().unwrap().iter().all(|message| answered.contains(message)));
    assert_eq!(peer.wait_for_disconnect(), Ok(DisconnectReason::Local));
}
