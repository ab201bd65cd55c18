//! Defects of the original `peer` package: promises that it did not keep, and things that it should not have done. Each
//! has a test here or elsewhere.
//!
//! | defect of the original | test here |
//! |---|---|
//! | an unbounded list behind a queue of 50 slots | `sending/queue_limit.rs`, `timeouts/write_timeout.rs` |
//! | the notification of a sent message also arrives when it was not sent | this file |
//! | encode errors end the connection | this file |
//! | a message for many peers is encoded for each of them | `one_frame_can_be_sent_to_many_peers` |
//! | a block that was announced is announced again | `items_are_not_announced_twice` |
//! | the caller must note what the remote announced | `items_that_the_remote_announced_are_not_announced_to_it` |
//! | known inventory is keyed by a pointer | this file |
//! | the trickle timer runs while nothing is queued | the unit tests of inventory |
//! | the 51st message before the handshake blocks its caller; after the end the caller hangs | this file |
//! | an unknown command is rejected and ends the connection | `receiving/custom_commands.rs` |
//! | bytes behind the last field are accepted | this file |
//! | a negative protocol version is accepted | this file, `handshake/rules.rs` |
//! | a payload that ends at a field boundary ends the connection silently | this file |
//! | a user agent that is too long is silently dropped | this file |
//! | a transaction payload that claims 2^38 bytes ends the process | this file |
//! | a malformed frame blocks the reader for ever while the remote does not read | this file |
//! | callers of 51 messages before a handshake that fails get no notification | this file |
//! | a connection handed over after the disconnect stays open | this file |

use crate::common::blocking::fill_queue;
use crate::common::frames::{frame_of_size, message_of_size};
use crate::common::local::{connected_peer, end_reason, new_peer};
use crate::common::{DEADLINE, builder, version, wait_until};
use kaspa_peer::testing::{ScriptedRemote, tcp_pair};
use kaspa_peer::wire::{
    Addr, AddressScope, DecodeError, FeeFilter, FrameError, GetAddr, Hash, Inv, Inventory, Locator, Message,
    NetAddress, Network, Ping, Pong, Services, SubnetworkId, TimedAddress, Transaction, TxFields, UserAgentError,
    VerAck, Version,
};
use kaspa_peer::{ConfigError, Direction, DisconnectReason, HandshakeError, Peer, QueueError, Receipt, WaitError};
use std::io::Read;

/// In the original, the notification of a sent message also arrives when it was not sent.
#[test]
fn a_receipt_says_whether_the_message_was_sent() {
    let (local, mut remote) = connected_peer(builder().queue_limit(100_000_000));
    let sent = local.peer.queue_message(&Ping { nonce: 1 }).unwrap();
    assert_eq!(sent.wait_timeout(DEADLINE), Ok(()));
    remote.expect::<Ping>().unwrap();
    // More than the buffers of the sockets hold: one message is being written, and one waits.
    let frame = frame_of_size(30_000_000, Network::Simnet);
    let unsent = [(); 2].map(|()| local.peer.queue_frame(&frame).unwrap());
    remote.stream().read_exact(&mut [0; 1000]).unwrap();
    local.peer.disconnect();
    for receipt in unsent {
        assert_eq!(receipt.wait(), Err(WaitError::Closed(DisconnectReason::Local)));
    }
}

/// In the original, encode errors appear in the writer and end the connection.
#[test]
fn a_message_that_cannot_be_encoded_is_refused_and_the_connection_stays_open() {
    let (local, mut remote) = connected_peer(builder());
    let address =
        TimedAddress { time: 0, address: NetAddress { services: Services::NETWORK, ip: [0; 16].into(), port: 1 } };
    let too_many = Addr { scope: AddressScope::All, addresses: vec![address; 1001] };
    assert!(matches!(local.peer.queue_message(&too_many), Err(QueueError::Encode(_))));
    assert!(matches!(local.peer.queue_message(&Locator { hashes: vec![Hash::ZERO; 501] }), Err(QueueError::Encode(_))));
    let native = TxFields { gas: 1, ..TxFields::default() };
    assert!(matches!(local.peer.queue_message(&native), Err(QueueError::Encode(_))));
    assert!(matches!(local.peer.send_message(&message_of_size(33 << 20), DEADLINE), Err(QueueError::Encode(_))));
    wait_until("the queue is empty", || local.peer.stats().queued_bytes == 0);
    local.peer.queue_message(&FeeFilter { min_fee: 1 }).unwrap();
    assert_eq!(remote.expect::<FeeFilter>().unwrap().min_fee, 1);
}

/// In the original, the keys of known inventory are pointers, so that no decoded item is recognised.
#[test]
fn inventory_is_recognised_by_value() {
    let (local, mut remote) = connected_peer(builder());
    let item = |number: u32| Inventory::block(Hash::of(&number.to_le_bytes()));
    remote.send(&Inv::from(vec![item(1), item(2)])).unwrap();
    local.recorder.wait_for::<Inv>();
    for number in 1..=3 {
        local.peer.queue_inventory(item(number)).unwrap();
    }
    assert_eq!(remote.expect::<Inv>().unwrap().items, [item(3)]);
}

/// In the original, the caller blocks before the handshake when 50 messages wait.
#[test]
fn queueing_before_the_handshake_does_not_block() {
    let (local, mut remote) = new_peer(Direction::Inbound, builder());
    for min_fee in 0..1000 {
        local.peer.queue_message(&FeeFilter { min_fee }).unwrap();
        local.peer.queue_inventory(Inventory::tx(Hash::ZERO)).unwrap();
    }
    remote.shake_hands().unwrap();
    for min_fee in 0..1000 {
        assert_eq!(remote.expect::<FeeFilter>().unwrap().min_fee, min_fee);
    }
}

/// In the original, the caller hangs after the end.
#[test]
fn after_the_end_messages_and_inventory_are_refused() {
    let (local, _remote) = new_peer(Direction::Outbound, builder());
    local.peer.disconnect();
    let closed = QueueError::Closed(DisconnectReason::Local);
    for _ in 0..100 {
        assert_eq!(local.peer.queue_message(&GetAddr::all()).unwrap_err(), closed);
        assert_eq!(local.peer.send_message(&GetAddr::all(), DEADLINE).unwrap_err(), closed);
        assert_eq!(local.peer.queue_inventory(Inventory::tx(Hash::ZERO)).unwrap_err(), closed);
    }
}

/// Sends a frame that must end the peer, and returns the decode error.
fn decode_error(command: &str, payload: &[u8]) -> DecodeError {
    let (local, mut remote) = connected_peer(builder());
    remote.send_frame(command, payload).unwrap();
    let DisconnectReason::Malformed(FrameError::Payload { command: found, error }) = end_reason(&local.peer) else {
        panic!("{command}: {:?}", local.peer.disconnect_reason())
    };
    assert_eq!(found.name(), command);
    assert!(
        matches!(remote.read_until_end().unwrap().as_slice(), [Message::Reject(reject)] if reject.command.to_str() == Some("malformed"))
    );
    error
}

/// The original accepts bytes behind the last field of any message. Only `version` can be longer in newer versions.
#[test]
fn bytes_behind_the_last_field_are_an_error_except_in_version() {
    assert_eq!(decode_error("inv", &[0, 7]), DecodeError::Trailing { at: 1, left: 1 });
    assert_eq!(decode_error("getaddr", &[1, 0, 0]), DecodeError::Trailing { at: 1, left: 2 });
    let (local, mut remote) = new_peer(Direction::Inbound, builder());
    let mut payload = kaspa_peer::wire::Encode::encode(&version()).unwrap();
    payload.extend([1, 2, 3]);
    remote.send_frame("version", &payload).unwrap();
    remote.expect::<Version>().unwrap();
    remote.expect::<VerAck>().unwrap();
    remote.send(&VerAck).unwrap();
    assert_eq!(local.peer.wait_for_handshake(), Ok(()));
}

/// The original accepts negative protocol versions.
#[test]
fn a_negative_protocol_version_is_too_old() {
    for found in [-1, i32::MIN, 0] {
        let (local, mut remote) = new_peer(Direction::Inbound, builder());
        remote.send(&Version { protocol_version: found, ..version() }).unwrap();
        let error = HandshakeError::VersionTooOld { found, minimum: 1 };
        assert_eq!(end_reason(&local.peer), DisconnectReason::Handshake(error));
        assert_eq!(remote.read_until_end().unwrap(), []);
    }
}

/// The original takes such a payload for a closed connection.
#[test]
fn a_payload_that_ends_at_a_field_boundary_is_malformed() {
    let cases: [(&str, &[u8]); 5] =
        [("ping", &[]), ("getlocator", &[1; 32]), ("addr", &[1]), ("inv", &[2, 1, 0, 0, 0]), ("feefilter", &[])];
    for (command, payload) in cases {
        let error = decode_error(command, payload);
        assert!(matches!(error, DecodeError::Truncated { .. }), "{command}: {error}");
    }
}

/// The original silently drops a user agent of more than 256 bytes.
#[test]
fn a_user_agent_that_is_too_long_is_refused_by_the_builder() {
    let error = builder().user_agent("x".repeat(256), "1").build().unwrap_err();
    assert!(matches!(error, ConfigError::UserAgent(UserAgentError::TooLong { length }) if length > 256));
    let error = builder().user_agent_with_comments("x", "1", ["no/slash"]).build().unwrap_err();
    assert!(matches!(error, ConfigError::UserAgent(UserAgentError::Character { found: '/', .. })));
}

/// The original allocates the claimed bytes, and the process ends.
#[test]
fn a_transaction_payload_that_claims_too_much_is_a_decode_error() {
    let fields = TxFields { subnetwork: SubnetworkId::from_bytes([9; 20]), ..TxFields::default() };
    let mut payload = Transaction::new(&fields).unwrap().as_bytes().to_vec();
    assert_eq!(payload.pop(), Some(0), "the length of the transaction's payload");
    payload.push(0xff);
    payload.extend_from_slice(&(1u64 << 38).to_le_bytes());
    let error = decode_error("tx", &payload);
    assert!(matches!(error, DecodeError::Truncated { needed, .. } if needed >= 1 << 38), "{error}");
}

/// In the original, the reader waits for ever until its reject is written.
#[test]
fn a_malformed_frame_ends_the_peer_while_the_remote_does_not_read() {
    // No timeout would end this peer.
    let (local, mut remote) = connected_peer(builder().write_timeout(None).idle_timeout(None).queue_limit(100_000));
    fill_queue(&local.peer);
    let receipt = local.peer.queue_message(&Pong { nonce: 1 });
    remote.send_frame("ping", &[]).unwrap();
    assert!(matches!(end_reason(&local.peer), DisconnectReason::Malformed(_)));
    assert!(receipt.is_err() || receipt.unwrap().wait().is_err());
}

/// In the original, callers get no notification when the handshake fails.
#[test]
fn every_receipt_resolves_when_the_handshake_fails() {
    let (local, mut remote) = new_peer(Direction::Inbound, builder());
    let receipts: Vec<Receipt> = (0..200).map(|nonce| local.peer.queue_message(&Ping { nonce }).unwrap()).collect();
    remote.send(&Version { protocol_version: -1, ..version() }).unwrap();
    let reason = end_reason(&local.peer);
    assert!(matches!(reason, DisconnectReason::Handshake(_)), "{reason}");
    for receipt in receipts {
        assert_eq!(receipt.wait_timeout(DEADLINE), Err(WaitError::Closed(reason.clone())));
    }
}

/// In the original, a connection that is handed over after the disconnect stays open. Here a peer is constructed with
/// its connection. A peer that ends at once closes it, too.
#[test]
fn a_peer_that_ends_at_once_closes_its_connection() {
    let config = builder().build().unwrap();
    for end in [drop::<Peer>, |peer: Peer| peer.disconnect()] {
        let (ours, theirs) = tcp_pair().unwrap();
        let address = ours.peer_addr().unwrap();
        end(Peer::outbound(ours, address, &config).unwrap());
        let received = ScriptedRemote::new(theirs, Network::Simnet).read_until_end().unwrap();
        assert!(received.len() <= 1, "at most our version: {received:?}");
    }
}
