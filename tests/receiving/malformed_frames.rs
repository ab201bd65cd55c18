//! Frames that are no messages: tolerated on this machine's regression-test network, the end everywhere else.

use crate::common::by_hand::{ByHand, end_of, frame, strangers};
use crate::common::patience::{from, unless_late};
use crate::common::{DEADLINE, End, version, wait_until};
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

fn acquaintance(builder: ConfigBuilder, direction: Direction, address: Option<&str>) -> (End, ByHand) {
    let (end, mut remote) = strangers(builder, direction, address);
    remote.shake_hands(&version());
    end.peer.wait_for_handshake().unwrap();
    (end, remote)
}

/// Every kind of frame that is no message and leaves the stream in step, and the error's beginning.
fn malformed(network: Network) -> Vec<(Vec<u8>, &'static str)> {
    let mut wrong_checksum = frame(network, "ping", &[1; 8]);
    wrong_checksum[20] ^= 1;
    let other = if network == Network::Simnet { Network::Mainnet } else { Network::Simnet };
    vec![
        (frame(other, "ping", &[1; 8]), "the frame is of network"),
        (frame(other, "block", &[7; 300_000]), "the frame is of network"),
        (frame(network, "pi\0ng", &[1; 8]), "the command \"pi\\x00ng"),
        (frame(network, "", &[]), "the command \"\\x00"),
        (frame(network, "ping", &[1; 9]), "ping announces a payload of 9 bytes, at most 8"),
        (frame(network, "getaddr", &[0; 100_000]), "getaddr announces a payload of 100000"),
        (frame(network, "hello", &vec![0; 1024 * 1024 + 1]), "hello announces a payload of 1048577 bytes"),
        (wrong_checksum, "checksum of ping: the header says"),
        (frame(network, "ping", &[1; 7]), "ping: nonce at byte 0 needs 8 bytes and 7 are left"),
        (frame(network, "verack", &[]).split_at(23).0.iter().chain(&[0]).copied().collect(), "checksum of verack"),
        (frame(network, "inv", &[0, 0]), "inv: 1 bytes follow the last field, at byte 1"),
        (frame(network, "block", &[9; 50_000]), "block: "),
    ]
}

fn oversize(network: Network) -> Vec<u8> {
    let mut header = frame(network, "block", &[]);
    header[16..20].copy_from_slice(&(32 * 1024 * 1024 + 1u32).to_le_bytes());
    header
}

#[test]
fn on_regtest_a_local_remote_may_send_nonsense() {
    for (direction, address) in
        [(Direction::Inbound, None), (Direction::Outbound, Some("[::1]:5")), (Direction::Inbound, Some("127.9.9.9:1"))]
    {
        let network = Network::Regtest;
        let (end, mut remote) = acquaintance(Config::builder(network), direction, address);
        let introduction: usize = [Message::from(version()), VerAck.into()]
            .map(|message| Frame::encode(&message, network).unwrap().as_bytes().len())
            .iter()
            .sum();
        let mut bytes = introduction;
        let all = malformed(network);
        for (nonce, (nonsense, _)) in all.iter().enumerate() {
            let nonce = nonce as u64;
            remote.send_bytes(nonsense);
            remote.send(&Ping { nonce });
            assert_eq!(remote.read_as::<Pong>().nonce, nonce, "in step");
            bytes += nonsense.len() + 32;
        }
        let stats = end.peer.stats();
        assert_eq!(stats.received.malformed().messages, all.len() as u64);
        assert_eq!(stats.received.total().bytes, bytes as u64, "every byte is counted");
        assert_eq!(stats.received.total().messages, 2 + all.len() as u64);
        let errors: Vec<String> = end.told.told(|told| {
            told.read.iter().filter_map(|(_, frame)| frame.as_ref().err().map(ToString::to_string)).collect()
        });
        for (error, (_, expected)) in errors.iter().zip(&all) {
            assert!(error.starts_with(expected), "{error}");
        }
        assert_eq!((errors.len(), end.peer.disconnect_reason()), (all.len(), None));
    }
}

#[test]
fn nonsense_in_one_write_is_told_apart() {
    let network = Network::Regtest;
    let (end, mut remote) = acquaintance(Config::builder(network), Direction::Inbound, None);
    let mut bytes = Vec::new();
    for (nonsense, _) in malformed(network) {
        bytes.extend_from_slice(&nonsense);
        bytes.extend_from_slice(Frame::encode(&FeeFilter { min_fee: 1 }, network).unwrap().as_bytes());
    }
    remote.send_bytes(&bytes);
    end.told.wait_for_count(kaspa_peer::wire::Command::FeeFilter, malformed(network).len());
    assert_eq!(end.peer.stats().received.malformed().messages, malformed(network).len() as u64);
}

#[test]
fn nonsense_is_a_sign_of_life() {
    let network = Network::Regtest;
    unless_late(from(Duration::from_millis(300)), |limit, watch| {
        watch.tick();
        let (end, mut remote) = acquaintance(Config::builder(network).idle_timeout(limit), Direction::Inbound, None);
        let refused = || end.peer.stats().received.malformed().messages;
        let until = Instant::now() + 3 * limit;
        while Instant::now() < until {
            let before = refused();
            watch.tick();
            remote.send_bytes(&frame(network, "ping", &[]));
            wait_until("it is read", || refused() > before || end.peer.disconnect_reason().is_some());
            assert_eq!(end.peer.disconnect_reason(), None);
            std::thread::sleep(Duration::from_millis(10));
        }
        watch.rest();
        assert_eq!(end_of(&end.peer), DisconnectReason::Idle { limit });
    });
}

#[test]
fn a_stream_out_of_step_is_not_tolerated() {
    let (end, mut remote) = acquaintance(Config::builder(Network::Regtest), Direction::Inbound, None);
    remote.send_bytes(&oversize(Network::Regtest));
    let error = FrameError::Oversize { length: 32 * 1024 * 1024 + 1, max: 32 * 1024 * 1024 };
    expect_end(&end, &mut remote, &error);
}

#[test]
fn an_early_end_of_the_stream_is_not_tolerated() {
    let network = Network::Regtest;
    let whole = frame(network, "hello", &[1; 100_000]);
    let skipped = frame(Network::Simnet, "hello", &[1; 100_000]);
    for (bytes, length, inside_frame) in [
        (&whole, 0, false),
        (&whole, 1, true),
        (&whole, 24, true),
        (&whole, whole.len() - 1, true),
        (&whole, whole.len(), false),
        (&skipped, skipped.len() - 1, true),
        (&skipped, skipped.len(), false),
    ] {
        let (end, mut remote) = acquaintance(Config::builder(network), Direction::Inbound, None);
        remote.send_bytes(&bytes[..length]);
        remote.stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(end_of(&end.peer), DisconnectReason::RemoteClosed { inside_frame }, "{length}");
        assert_eq!(remote.rest(), [], "no reject");
    }
}

/// The peer ends because of `error`, after a reject with exactly this text.
fn expect_end(end: &End, remote: &mut ByHand, error: &FrameError) {
    let text = format!("Can't read message from {} ({}): {error}", end.peer.address(), end.peer.direction());
    assert_eq!(remote.rest(), [Message::from(Reject::new("malformed", RejectCode(1), text))]);
    assert_eq!(end_of(&end.peer), DisconnectReason::Malformed(error.clone()));
}

#[test]
fn elsewhere_nonsense_is_rejected_and_the_end() {
    for network in ALL {
        let address = if network == Network::Regtest { Some("203.0.113.7:1") } else { None };
        for (number, (mut nonsense, expected)) in malformed(network).into_iter().enumerate() {
            // What is skipped need not come.
            nonsense.truncate(60_000);
            let direction = if number % 2 == 0 { Direction::Inbound } else { Direction::Outbound };
            let (end, mut remote) = acquaintance(Config::builder(network), direction, address);
            remote.send_bytes(&nonsense);
            let error = end.told.wait("the error", |told| told.read.last().and_then(|read| read.1.clone().err()));
            assert!(error.to_string().starts_with(expected), "{error}");
            expect_end(&end, &mut remote, &error);
            assert_eq!(end.told.commands(), ["version", "verack"]);
        }
        let (end, mut remote) = acquaintance(Config::builder(network), Direction::Inbound, address);
        remote.send_bytes(&oversize(network));
        let error = FrameError::Oversize { length: 32 * 1024 * 1024 + 1, max: 32 * 1024 * 1024 };
        expect_end(&end, &mut remote, &error);
    }
}

#[test]
fn the_text_of_the_reject_is_the_originals() {
    let address = Some("203.0.113.7:1");
    for (direction, text) in [
        (
            Direction::Inbound,
            "Can't read message from 203.0.113.7:1 (inbound): ping: nonce at byte 0 needs 8 bytes and 7 are left",
        ),
        (
            Direction::Outbound,
            "Can't read message from 203.0.113.7:1 (outbound): ping: nonce at byte 0 needs 8 bytes and 7 are left",
        ),
    ] {
        let (_end, mut remote) = acquaintance(Config::builder(Network::Regtest), direction, address);
        remote.send_bytes(&frame(Network::Regtest, "ping", &[1; 7]));
        assert_eq!(remote.rest(), [Message::from(Reject::new("malformed", RejectCode::MALFORMED, text))]);
    }
}

#[test]
fn during_the_handshake_nonsense_is_not_tolerated_and_not_rejected() {
    for network in [Network::Regtest, Network::Simnet] {
        for after_version in [false, true] {
            let (end, mut remote) = strangers(Config::builder(network), Direction::Inbound, None);
            let mut heard = 0;
            if after_version {
                remote.send(&version());
                heard = 2;
            }
            remote.send_bytes(&frame(network, "ping", &[1; 7]));
            let reason = end_of(&end.peer);
            assert!(matches!(reason, DisconnectReason::Handshake(HandshakeError::Malformed(_))), "{reason}");
            let said = remote.rest();
            assert!(said.len() <= heard && said.iter().all(|message| message.command().name().starts_with("ver")));
        }
    }
}

#[test]
fn a_remote_that_does_not_read_its_reject_is_not_waited_for_long() {
    let (end, mut remote) = acquaintance(Config::builder(Network::Simnet), Direction::Inbound, None);
    crate::common::by_hand::fill(&end.peer);
    let start = Instant::now();
    remote.send_bytes(&frame(Network::Simnet, "ping", &[1; 7]));
    let reason = end_of(&end.peer);
    assert!(matches!(reason, DisconnectReason::Malformed(_)), "{reason}");
    assert!(start.elapsed() < DEADLINE);
}
