//! Malformed frames: tolerated from local remotes on the regression-test network, rejected everywhere else.

use crate::common::blocking::fill_queue;
use crate::common::local::{Local, end_reason, new_peer, new_peer_at};
use crate::common::retry::{growing, retry_if_late};
use crate::common::{version, wait_until};
use kaspa_peer::testing::{ScriptedRemote, TestFrame};
use kaspa_peer::wire::{
    Encode, FeeFilter, Frame, FrameError, Message, Network, Ping, Pong, Reject, RejectCode, VerAck,
};
use kaspa_peer::{Config, ConfigBuilder, Direction, DisconnectReason, HandshakeError};
use std::net::Shutdown;
use std::time::{Duration, Instant};

const ALL: [Network; 6] = [
    Network::Mainnet,
    Network::Testnet,
    Network::Regtest,
    Network::Simnet,
    Network::Devnet,
    Network::Custom(0xcafe_0001),
];

/// A peer at this address, after its handshake.
fn connected_peer_at(builder: ConfigBuilder, direction: Direction, address: Option<&str>) -> (Local, ScriptedRemote) {
    let (local, mut remote) = new_peer_at(address, direction, builder);
    remote.shake_hands_with(&version()).unwrap();
    local.peer.wait_for_handshake().unwrap();
    (local, remote)
}

/// Every kind of malformed frame that leaves the stream in step, and how its error begins.
fn malformed(network: Network) -> Vec<(Vec<u8>, &'static str)> {
    let other = if network == Network::Simnet { Network::Mainnet } else { Network::Simnet };
    vec![
        (TestFrame::new("ping", &[1; 8], other).to_bytes(), "the frame belongs to "),
        (TestFrame::new("block", &[7; 300_000], other).to_bytes(), "the frame belongs to "),
        (TestFrame::new("pi\0ng", &[1; 8], network).to_bytes(), "malformed command \"pi\\x00ng"),
        (TestFrame::new("", &[], network).to_bytes(), "malformed command \"\\x00"),
        (
            TestFrame::new("ping", &[1; 9], network).to_bytes(),
            "ping announces a payload of 9 bytes; the protocol allows at most 8",
        ),
        (TestFrame::new("getaddr", &[0; 100_000], network).to_bytes(), "getaddr announces a payload of 100000"),
        (TestFrame::new("hello", &vec![0; 1024 * 1024 + 1], network).to_bytes(), ""),
        (
            TestFrame::new("ping", &[1; 8], network).with_wrong_checksum().to_bytes(),
            "the payload of ping does not match its checksum",
        ),
        (
            TestFrame::new("ping", &[1; 7], network).to_bytes(),
            "malformed ping: nonce at byte 0 needs 8 bytes, and 7 are left",
        ),
        (
            TestFrame::new("verack", &[], network).with_wrong_checksum().to_bytes(),
            "the payload of verack does not match",
        ),
        (
            TestFrame::new("inv", &[0, 0], network).to_bytes(),
            "malformed inv: the message ends at byte 1, and 1 more bytes follow",
        ),
        (TestFrame::new("block", &[9; 50_000], network).to_bytes(), "malformed block: "),
    ]
}

fn oversize(network: Network) -> Vec<u8> {
    TestFrame::new("block", &[], network).with_length(32 * 1024 * 1024 + 1).to_bytes()
}

#[test]
fn on_regtest_malformed_frames_of_a_local_remote_are_tolerated() {
    for (direction, address) in
        [(Direction::Inbound, None), (Direction::Outbound, Some("[::1]:5")), (Direction::Inbound, Some("127.9.9.9:1"))]
    {
        let network = Network::Regtest;
        let (local, mut remote) = connected_peer_at(Config::builder(network), direction, address);
        let handshake: usize = [Message::from(version()), VerAck.into()]
            .map(|message| Frame::encode(&message, network).unwrap().as_bytes().len())
            .iter()
            .sum();
        let mut bytes = handshake;
        let all = malformed(network);
        for (nonce, (malformed, _)) in all.iter().enumerate() {
            let nonce = nonce as u64;
            remote.send_bytes(malformed).unwrap();
            remote.send(&Ping { nonce }).unwrap();
            assert_eq!(remote.expect::<Pong>().unwrap().nonce, nonce, "the stream is in step");
            bytes += malformed.len() + 32;
        }
        let stats = local.peer.stats();
        assert_eq!(stats.received.malformed().messages, all.len() as u64);
        assert_eq!(stats.received.total().bytes, bytes as u64, "every byte is counted");
        assert_eq!(stats.received.total().messages, 2 + all.len() as u64);
        let errors: Vec<String> = local.recorder.look(|record| {
            record.read.iter().filter_map(|(_, frame)| frame.as_ref().err().map(ToString::to_string)).collect()
        });
        for (error, (_, expected)) in errors.iter().zip(&all) {
            assert!(error.starts_with(expected), "{error}");
        }
        assert_eq!((errors.len(), local.peer.disconnect_reason()), (all.len(), None));
    }
}

#[test]
fn malformed_frames_between_messages_in_one_write_are_skipped() {
    let network = Network::Regtest;
    let (local, mut remote) = connected_peer_at(Config::builder(network), Direction::Inbound, None);
    let mut bytes = Vec::new();
    for (malformed, _) in malformed(network) {
        bytes.extend_from_slice(&malformed);
        bytes.extend_from_slice(Frame::encode(&FeeFilter { min_fee: 1 }, network).unwrap().as_bytes());
    }
    remote.send_bytes(&bytes).unwrap();
    local.recorder.wait_for_count(kaspa_peer::wire::Command::FeeFilter, malformed(network).len());
    assert_eq!(local.peer.stats().received.malformed().messages, malformed(network).len() as u64);
}

#[test]
fn tolerated_frames_restart_the_idle_timeout() {
    let network = Network::Regtest;
    retry_if_late(growing(Duration::from_millis(300)), |limit, watch| {
        watch.tick();
        let (local, mut remote) =
            connected_peer_at(Config::builder(network).idle_timeout(limit), Direction::Inbound, None);
        let refused = || local.peer.stats().received.malformed().messages;
        let until = Instant::now() + 3 * limit;
        while Instant::now() < until {
            let before = refused();
            watch.tick();
            remote.send_frame("ping", &[]).unwrap();
            wait_until("the frame is read", || refused() > before || local.peer.disconnect_reason().is_some());
            assert_eq!(local.peer.disconnect_reason(), None);
            std::thread::sleep(Duration::from_millis(10));
        }
        watch.rest();
        assert_eq!(end_reason(&local.peer), DisconnectReason::Idle { limit });
    });
}

#[test]
fn a_stream_out_of_step_is_not_tolerated_on_regtest() {
    let (local, mut remote) = connected_peer_at(Config::builder(Network::Regtest), Direction::Inbound, None);
    remote.send_bytes(&oversize(Network::Regtest)).unwrap();
    let error = FrameError::Oversize { length: 32 * 1024 * 1024 + 1, max: 32 * 1024 * 1024 };
    check_rejected(&local, &mut remote, &error);
}

#[test]
fn the_end_of_the_stream_is_not_tolerated_on_regtest() {
    let network = Network::Regtest;
    let whole = TestFrame::new("hello", &[1; 100_000], network).to_bytes();
    let skipped = TestFrame::new("hello", &[1; 100_000], Network::Simnet).to_bytes();
    for (bytes, length, inside_frame) in [
        (&whole, 0, false),
        (&whole, 1, true),
        (&whole, 24, true),
        (&whole, whole.len() - 1, true),
        (&whole, whole.len(), false),
        (&skipped, skipped.len() - 1, true),
        (&skipped, skipped.len(), false),
    ] {
        let (local, mut remote) = connected_peer_at(Config::builder(network), Direction::Inbound, None);
        remote.send_bytes(&bytes[..length]).unwrap();
        remote.stream().shutdown(Shutdown::Write).unwrap();
        assert_eq!(end_reason(&local.peer), DisconnectReason::RemoteClosed { inside_frame }, "{length}");
        assert_eq!(remote.read_until_end().unwrap(), [], "no reject");
    }
}

/// Checks that the peer ends because of `error`, after a reject with exactly this text.
fn check_rejected(local: &Local, remote: &mut ScriptedRemote, error: &FrameError) {
    let text = format!("Can't read message from {} ({}): {error}", local.peer.address(), local.peer.direction());
    assert_eq!(remote.read_until_end().unwrap(), [Message::from(Reject::new("malformed", RejectCode(1), text))]);
    assert_eq!(end_reason(&local.peer), DisconnectReason::Malformed(error.clone()));
}

#[test]
fn on_other_networks_a_malformed_frame_is_rejected() {
    for network in ALL {
        let address = if network == Network::Regtest { Some("203.0.113.7:1") } else { None };
        for (number, (mut malformed, expected)) in malformed(network).into_iter().enumerate() {
            // The rest of a long payload need not arrive.
            malformed.truncate(60_000);
            let direction = if number % 2 == 0 { Direction::Inbound } else { Direction::Outbound };
            let (local, mut remote) = connected_peer_at(Config::builder(network), direction, address);
            remote.send_bytes(&malformed).unwrap();
            let error = local
                .recorder
                .wait("the error is reported", |record| record.read.last().and_then(|read| read.1.clone().err()));
            assert!(error.to_string().starts_with(expected), "{error}");
            check_rejected(&local, &mut remote, &error);
            assert_eq!(local.recorder.commands(), ["version", "verack"]);
        }
        let (local, mut remote) = connected_peer_at(Config::builder(network), Direction::Inbound, address);
        remote.send_bytes(&oversize(network)).unwrap();
        let error = FrameError::Oversize { length: 32 * 1024 * 1024 + 1, max: 32 * 1024 * 1024 };
        check_rejected(&local, &mut remote, &error);
    }
}

#[test]
fn the_reject_has_the_text_of_kaspad() {
    let address = Some("203.0.113.7:1");
    for (direction, text) in [
        (
            Direction::Inbound,
            "Can't read message from 203.0.113.7:1 (inbound): malformed ping: nonce at byte 0 needs 8 bytes, and 7 are left",
        ),
        (
            Direction::Outbound,
            "Can't read message from 203.0.113.7:1 (outbound): malformed ping: nonce at byte 0 needs 8 bytes, and 7 are left",
        ),
    ] {
        let (_end, mut remote) = connected_peer_at(Config::builder(Network::Regtest), direction, address);
        remote.send_frame("ping", &[1; 7]).unwrap();
        assert_eq!(
            remote.read_until_end().unwrap(),
            [Message::from(Reject::new("malformed", RejectCode::MALFORMED, text))]
        );
    }
}

#[test]
fn during_the_handshake_a_malformed_frame_is_neither_tolerated_nor_rejected() {
    for network in [Network::Regtest, Network::Simnet] {
        for after_version in [false, true] {
            let (local, mut remote) = new_peer(Direction::Inbound, Config::builder(network));
            let mut answers = 0;
            if after_version {
                remote.send(&version()).unwrap();
                answers = 2;
            }
            remote.send_frame("version", &[1; 7]).unwrap();
            let reason = end_reason(&local.peer);
            assert!(matches!(reason, DisconnectReason::Handshake(HandshakeError::Malformed(_))), "{reason}");
            let received = remote.read_until_end().unwrap();
            assert!(
                received.len() <= answers && received.iter().all(|message| message.command().name().starts_with("ver"))
            );
        }
    }
}

#[test]
fn a_peer_whose_remote_does_not_read_the_reject_ends_all_the_same() {
    let (local, mut remote) = connected_peer_at(Config::builder(Network::Simnet), Direction::Inbound, None);
    fill_queue(&local.peer);
    remote.send_frame("ping", &[1; 7]).unwrap();
    let reason = end_reason(&local.peer);
    assert!(matches!(reason, DisconnectReason::Malformed(_)), "{reason}");
}
