//! What the original kaspad promised and did not do, or did and should not have: one test a row of the table of it,
//! unless the row has a test of its own elsewhere.
//!
//! | row | where it is tested |
//! |---|---|
//! | queue a message: an unbounded list behind 50 slots | queue_bound.rs, write_deadline.rs |
//! | notification when sent, signalled when it was not sent | here |
//! | encode errors kill the connection | here |
//! | the same message to many peers is encoded for each | queue_bound.rs `one_frame_goes_to_many` |
//! | a block that was announced is announced again | inventory_trickling.rs `what_was_announced_is_not_announced_again` |
//! | what the remote announced must be noted by the caller | inventory_trickling.rs `what_the_remote_announced_is_not_announced_to_it` |
//! | known inventory is keyed by a pointer | here |
//! | a timer runs while nothing is queued | inventory.rs, `nothing_is_due_while_nothing_waits` |
//! | the 51st message before the handshake blocks; after the end the caller hangs | here |
//! | an unknown command is rejected and the end | custom_commands.rs |
//! | bytes left over after the last field are accepted | here |
//! | a negative protocol version is accepted | here, handshake.rs |
//! | a payload that ends at a field boundary is a silent end | here |
//! | a user agent that is too long is silently dropped | here |
//! | a transaction payload that claims 2^38 bytes kills the process | here |
//! | a malformed frame while the remote does not read pins the reader | here |
//! | 51 messages before a handshake that fails: nobody is told | here |
//! | a connection handed over after disconnect stays open | here |

use crate::common::blocking::fill_queue;
use crate::common::frames::{frame_of_size, message_of_size, raw_frame};
use crate::common::local::{connected_peer, end_reason, new_peer};
use crate::common::remote::Remote;
use crate::common::{DEADLINE, builder, sockets, version, wait_until};
use kaspa_peer::wire::{
    Addr, AddressScope, DecodeError, FeeFilter, FrameError, GetAddr, Hash, Inv, Inventory, Locator, Message,
    NetAddress, Network, Ping, Pong, Services, SubnetworkId, TimedAddress, Transaction, TxFields, UserAgentError,
    VerAck, Version,
};
use kaspa_peer::{ConfigError, Direction, DisconnectReason, HandshakeError, Peer, QueueError, Receipt, WaitError};
use std::io::Read;

/// Row "notification when sent": the original's channel also fires when the message was not sent.
#[test]
fn a_receipt_says_whether_the_message_was_sent() {
    let (local, mut remote) = connected_peer(builder().queue_limit(100_000_000));
    let sent = local.peer.queue_message(&Ping { nonce: 1 }).unwrap();
    assert_eq!(sent.wait_timeout(DEADLINE), Ok(()));
    remote.expect::<Ping>();
    // More than the sockets' buffers take: one that is being written, and one that waits.
    let frame = frame_of_size(30_000_000, Network::Simnet);
    let unsent = [(); 2].map(|()| local.peer.queue_frame(&frame).unwrap());
    remote.stream.read_exact(&mut [0; 1000]).unwrap();
    local.peer.disconnect();
    for receipt in unsent {
        assert_eq!(receipt.wait(), Err(WaitError::Closed(DisconnectReason::Local)));
    }
}

/// Row "encode errors": they surface in the original's writer and kill the connection.
#[test]
fn a_message_that_cannot_be_sent_is_the_callers_and_the_connection_lives() {
    let (local, mut remote) = connected_peer(builder());
    let address =
        TimedAddress { time: 0, address: NetAddress { services: Services::NETWORK, ip: [0; 16].into(), port: 1 } };
    let too_many = Addr { scope: AddressScope::All, addresses: vec![address; 1001] };
    assert!(matches!(local.peer.queue_message(&too_many), Err(QueueError::Encode(_))));
    assert!(matches!(local.peer.queue_message(&Locator { hashes: vec![Hash::ZERO; 501] }), Err(QueueError::Encode(_))));
    let native = TxFields { gas: 1, ..TxFields::default() };
    assert!(matches!(local.peer.queue_message(&native), Err(QueueError::Encode(_))));
    assert!(matches!(local.peer.send_message(&message_of_size(33 << 20), DEADLINE), Err(QueueError::Encode(_))));
    wait_until("nothing was queued", || local.peer.stats().queued_bytes == 0);
    local.peer.queue_message(&FeeFilter { min_fee: 1 }).unwrap();
    assert_eq!(remote.expect::<FeeFilter>().min_fee, 1);
}

/// Row "known inventory": the original's keys are pointers, so nothing that was decoded anew is recognised.
#[test]
fn inventory_is_recognised_by_value() {
    let (local, mut remote) = connected_peer(builder());
    let item = |number: u32| Inventory::block(Hash::of(&number.to_le_bytes()));
    remote.send(&Inv::from(vec![item(1), item(2)]));
    local.recorder.wait_for::<Inv>();
    for number in 1..=3 {
        local.peer.queue_inventory(item(number)).unwrap();
    }
    assert_eq!(remote.expect::<Inv>().items, [item(3)]);
}

/// Row "before the handshake is done": the original's caller blocks when 50 messages wait.
#[test]
fn before_the_handshake_nobody_blocks() {
    let (local, mut remote) = new_peer(Direction::Inbound, builder());
    for min_fee in 0..1000 {
        local.peer.queue_message(&FeeFilter { min_fee }).unwrap();
        local.peer.queue_inventory(Inventory::tx(Hash::ZERO)).unwrap();
    }
    remote.shake_hands(&version());
    for min_fee in 0..1000 {
        assert_eq!(remote.expect::<FeeFilter>().min_fee, min_fee);
    }
}

/// Row "before the handshake is done", its end: after disconnect both are refused.
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

/// The peer of a remote that sends this instead of a message ends with the error.
fn refused(command: &str, payload: &[u8]) -> DecodeError {
    let (local, mut remote) = connected_peer(builder());
    remote.send_bytes(&raw_frame(Network::Simnet, command, payload));
    let DisconnectReason::Malformed(FrameError::Payload { command: found, error }) = end_reason(&local.peer) else {
        panic!("{command}: {:?}", local.peer.disconnect_reason())
    };
    assert_eq!(found.name(), command);
    assert!(
        matches!(remote.read_until_closed().as_slice(), [Message::Reject(reject)] if reject.command.to_str() == Some("malformed"))
    );
    error
}

/// Row "bytes left over after a message's last field".
#[test]
fn bytes_behind_the_last_field_are_an_error_but_in_version() {
    assert_eq!(refused("inv", &[0, 7]), DecodeError::Trailing { at: 1, left: 1 });
    assert_eq!(refused("getaddr", &[1, 0, 0]), DecodeError::Trailing { at: 1, left: 2 });
    let (local, mut remote) = new_peer(Direction::Inbound, builder());
    let mut payload = kaspa_peer::wire::Encode::encode(&version()).unwrap();
    payload.extend([1, 2, 3]);
    remote.send_bytes(&raw_frame(Network::Simnet, "version", &payload));
    remote.expect::<Version>();
    remote.expect::<VerAck>();
    remote.send(&VerAck);
    assert_eq!(local.peer.wait_for_handshake(), Ok(()));
}

/// Row "a negative protocol version".
#[test]
fn a_negative_protocol_version_is_too_old() {
    for found in [-1, i32::MIN, 0] {
        let (local, mut remote) = new_peer(Direction::Inbound, builder());
        remote.send(&Version { protocol_version: found, ..version() });
        let error = HandshakeError::VersionTooOld { found, minimum: 1 };
        assert_eq!(end_reason(&local.peer), DisconnectReason::Handshake(error));
        assert_eq!(remote.read_until_closed(), []);
    }
}

/// Row "a payload that ends at a field boundary": the original takes it for a closed connection.
#[test]
fn a_payload_that_ends_at_a_field_boundary_is_malformed() {
    let cases: [(&str, &[u8]); 5] =
        [("ping", &[]), ("getlocator", &[1; 32]), ("addr", &[1]), ("inv", &[2, 1, 0, 0, 0]), ("feefilter", &[])];
    for (command, payload) in cases {
        let error = refused(command, payload);
        assert!(matches!(error, DecodeError::Truncated { .. }), "{command}: {error}");
    }
}

/// Row "a user agent too long for the 256 bytes": the original drops it without a word.
#[test]
fn a_user_agent_that_is_too_long_is_refused_when_the_configuration_is_built() {
    let error = builder().user_agent("x".repeat(256), "1", [""; 0]).build().unwrap_err();
    assert!(matches!(error, ConfigError::UserAgent(UserAgentError::TooLong { length }) if length > 256));
    let error = builder().user_agent("x", "1", ["no/slash"]).build().unwrap_err();
    assert!(matches!(error, ConfigError::UserAgent(UserAgentError::Character { found: '/', .. })));
}

/// Row "a transaction payload that claims 2^38 bytes": the original allocates them and dies.
#[test]
fn a_huge_claim_is_a_decode_error() {
    let fields = TxFields { subnetwork: SubnetworkId::from_bytes([9; 20]), ..TxFields::default() };
    let mut payload = Transaction::new(&fields).unwrap().as_bytes().to_vec();
    assert_eq!(payload.pop(), Some(0), "the length of its payload");
    payload.push(0xff);
    payload.extend_from_slice(&(1u64 << 38).to_le_bytes());
    let error = refused("tx", &payload);
    assert!(matches!(error, DecodeError::Truncated { needed, .. } if needed >= 1 << 38), "{error}");
}

/// Row "malformed frame while the remote does not read": the original's reader waits for its reject for ever.
#[test]
fn a_remote_that_sends_nonsense_and_does_not_read_does_not_pin_the_peer() {
    // No timer would end this peer.
    let (local, mut remote) = connected_peer(builder().write_timeout(None).idle_timeout(None).queue_limit(100_000));
    fill_queue(&local.peer);
    let receipt = local.peer.queue_message(&Pong { nonce: 1 });
    remote.send_bytes(&raw_frame(Network::Simnet, "ping", &[]));
    assert!(matches!(end_reason(&local.peer), DisconnectReason::Malformed(_)));
    assert!(receipt.is_err() || receipt.unwrap().wait().is_err());
}

/// Row "51 messages queued before a handshake that then fails".
#[test]
fn every_receipt_resolves_when_the_handshake_fails() {
    let (local, mut remote) = new_peer(Direction::Inbound, builder());
    let receipts: Vec<Receipt> = (0..200).map(|nonce| local.peer.queue_message(&Ping { nonce }).unwrap()).collect();
    remote.send(&Version { protocol_version: -1, ..version() });
    let reason = end_reason(&local.peer);
    assert!(matches!(reason, DisconnectReason::Handshake(_)), "{reason}");
    for receipt in receipts {
        assert_eq!(receipt.wait_timeout(DEADLINE), Err(WaitError::Closed(reason.clone())));
    }
}

/// Row "a connection handed over after disconnect": here a peer is made with its connection, so that there is no such
/// moment. One that ends at once closes it, too.
#[test]
fn no_connection_is_left_open() {
    let config = builder().build().unwrap();
    for forget in [drop::<Peer>, |peer: Peer| peer.disconnect()] {
        let (ours, theirs) = sockets();
        let address = ours.peer_addr().unwrap();
        forget(Peer::outbound(ours, address, &config).unwrap());
        let said = Remote::new(theirs, Network::Simnet).read_until_closed();
        assert!(said.len() <= 1, "at most our version, then the end: {said:?}");
    }
}
