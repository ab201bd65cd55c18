//! The messages and bytes that a scripted remote can send, and how a peer handles them.

use kaspa_peer::testing::{End, MemoryStream, ScriptError, ScriptedRemote, connect_remote, memory_pair_with_capacity};
use kaspa_peer::wire::{EncodeError, FeeFilter, FrameError, Hash, Locator, Network, Ping, Pong, Reject};
use kaspa_peer::{Config, Direction, DisconnectReason, HandshakeError, Peer};
use std::io::ErrorKind;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(20);

/// A peer, and its remote before the handshake.
fn new_peer() -> (Peer, ScriptedRemote<MemoryStream>) {
    connect_remote(Direction::Inbound, &Config::builder(Network::Simnet).build().unwrap()).unwrap()
}

fn peer_after_handshake() -> (Peer, ScriptedRemote<MemoryStream>) {
    let (peer, mut remote) = new_peer();
    remote.shake_hands().unwrap();
    peer.wait_for_handshake().unwrap();
    (peer, remote)
}

/// The error for which the peer ended the connection.
fn malformed(peer: &Peer) -> FrameError {
    match peer.wait_for_disconnect_timeout(DEADLINE).unwrap() {
        DisconnectReason::Malformed(error) => error,
        other => panic!("{other}"),
    }
}

#[test]
fn each_wrong_part_of_a_frame_reaches_the_peer() {
    type Fits = fn(&FrameError) -> bool;
    type Send = fn(&mut ScriptedRemote<MemoryStream>) -> Result<(), ScriptError>;
    const FEE: FeeFilter = FeeFilter { min_fee: 1 };
    let cases: [(Send, Fits); 5] = [
        (|remote| remote.send_with_wrong_checksum(&FEE), |error| matches!(error, FrameError::Checksum { .. })),
        (|remote| remote.send_with_magic(&FEE, 5), |error| matches!(error, FrameError::Network { found: 5, .. })),
        (
            |remote| remote.send_with_length(&FEE, u32::MAX),
            |error| matches!(error, FrameError::Oversize { length: u32::MAX, .. }),
        ),
        (|remote| remote.send_frame("feefilter", &[0; 7]), |error| matches!(error, FrameError::Payload { .. })),
        (|remote| remote.send_frame(b"\xff\x01", &[]), |error| matches!(error, FrameError::Command { .. })),
    ];
    for (number, (send, fits)) in cases.into_iter().enumerate() {
        let (peer, mut remote) = peer_after_handshake();
        remote.send(&FEE).unwrap();
        send(&mut remote).unwrap();
        let reject: Reject = remote.expect().unwrap();
        assert_eq!(reject.command.to_string(), "malformed");
        assert_eq!(remote.expect_end().unwrap(), End::Closed);
        let error = malformed(&peer);
        assert!(fits(&error), "{number}: {error}");
    }
}

#[test]
fn a_frame_can_be_sent_in_parts_or_not_to_its_end() {
    let (peer, mut remote) = peer_after_handshake();
    let rest = remote.send_part(&Ping { nonce: 5 }, 24).unwrap();
    assert_eq!(rest, 5u64.to_le_bytes());
    remote.send_bytes(&rest).unwrap();
    assert_eq!(remote.expect::<Pong>().unwrap(), Pong { nonce: 5 });
    assert_eq!(remote.send_part(&Ping { nonce: 6 }, 1000).unwrap(), []);
    assert_eq!(remote.expect::<Pong>().unwrap(), Pong { nonce: 6 });
    remote.send_part(&Ping { nonce: 7 }, 30).unwrap();
    remote.close_writing().unwrap();
    let reason = peer.wait_for_disconnect_timeout(DEADLINE).unwrap();
    assert_eq!(reason, DisconnectReason::RemoteClosed { inside_frame: true });
    assert_eq!(remote.read_until_end().unwrap(), []);
}

#[test]
fn the_handshake_can_be_done_by_hand_and_left_out() {
    let (peer, mut remote) = new_peer();
    remote.send_frame("verack", &[]).unwrap();
    let reject: Reject = remote.expect().unwrap();
    assert_eq!(reject.command.to_string(), "verack");
    let reason = peer.wait_for_disconnect_timeout(DEADLINE).unwrap();
    assert!(matches!(reason, DisconnectReason::Handshake(HandshakeError::NotVersion { .. })), "{reason}");
}

#[test]
fn a_message_that_cannot_be_encoded_is_not_sent() {
    let (_peer, mut remote) = peer_after_handshake();
    let too_long = Locator { hashes: vec![Hash::ZERO; Locator::MAX + 1] };
    let refused = remote.send(&too_long);
    assert!(matches!(refused, Err(ScriptError::Encode(EncodeError::TooMany { .. }))), "{refused:?}");
    assert_eq!(remote.sync_with_ping().unwrap(), []);
}

#[test]
fn sending_fails_when_the_node_takes_nothing_or_has_gone() {
    let (one, other) = memory_pair_with_capacity(100);
    let mut remote = ScriptedRemote::new(one, Network::Simnet).with_timeout(Duration::from_millis(20));
    let error = remote.send_bytes(&[0; 130]).unwrap_err();
    assert_eq!(error.to_string(), "sending bytes failed: the node took 30 bytes too few within 20ms");
    drop(other);
    let error = remote.send(&Ping { nonce: 1 }).unwrap_err();
    assert!(error.to_string().starts_with("sending ping failed: "), "{error}");
    assert!(matches!(error, ScriptError::Io { error, .. } if error.kind() == ErrorKind::BrokenPipe));
}
