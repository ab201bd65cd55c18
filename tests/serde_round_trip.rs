//! With the feature `serde`: what is written is read back as it was, and nothing is made that decoding would refuse.
#![cfg(feature = "serde")]
#![allow(missing_docs)]

mod arbitrary;
mod common;
mod vectors_support;

use common::{acquainted, builder};
use kaspa_peer::peer::{IoOperation, ProtocolViolation};
use kaspa_peer::wire::*;
use kaspa_peer::{Direction, DisconnectReason, HandshakeError, PeerAddress, Stats};
use proptest::prelude::*;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::fmt::Debug;
use std::{io, time::Duration};
use vectors_support::{bytes, check_rows, load, network, rows, same};

/// The same, after a way through a format for people and one for machines.
fn round_trip<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) -> Result<(), String> {
    let text = serde_json::to_string(value).map_err(|error| error.to_string())?;
    let read: T = serde_json::from_str(&text).map_err(|error| format!("{error} in {text}"))?;
    same("from JSON", &read, value)?;
    let bytes = postcard::to_stdvec(value).map_err(|error| error.to_string())?;
    same("from bytes", &postcard::from_bytes::<T>(&bytes).map_err(|error| error.to_string())?, value)
}

#[test]
fn every_message_of_the_vectors() {
    check_rows(rows(&load("messages.json")), |row| {
        let message = read_message(&mut bytes(&row["frame_hex"]).as_slice(), network(row));
        round_trip(&message.map_err(|error| error.to_string())?)
    });
}

#[test]
fn every_reason_that_a_malformed_frame_gives() {
    check_rows(rows(&load("invalid.json")), |row| {
        match read_message(&mut bytes(&row["frame_hex"]).as_slice(), network(row)) {
            Err(ReadError::Frame(error)) => {
                round_trip(&DisconnectReason::Handshake(HandshakeError::Malformed(error.clone())))?;
                round_trip(&DisconnectReason::Malformed(error))
            }
            _ => Ok(()),
        }
    });
}

#[test]
fn every_other_reason() {
    let (limit, command) = (Duration::from_millis(1500), "hello".parse::<Command>().unwrap());
    let message = "odd\x1b".to_owned();
    let mut reasons = vec![
        DisconnectReason::Local,
        DisconnectReason::RemoteClosed { inside_frame: true },
        DisconnectReason::Idle { limit },
        DisconnectReason::Stalled { request: Command::GetData, limit },
        DisconnectReason::WriteStalled { limit },
        DisconnectReason::Protocol(ProtocolViolation::DuplicateVersion),
        DisconnectReason::BloomNotOffered { command: Command::FilterAdd },
        DisconnectReason::CustomCommand(command),
        DisconnectReason::QueueFull { command: Command::Pong },
        DisconnectReason::FrameTimeout { limit },
        DisconnectReason::RateExceeded { limit },
        DisconnectReason::Misbehaved { score: 100, what: message.clone() },
        DisconnectReason::CallbackPanicked,
    ];
    let (ours, theirs) = (None, Some(SubnetworkId::COINBASE));
    let handshake = [
        HandshakeError::SelfConnection,
        HandshakeError::VersionTooOld { found: -1, minimum: 1 },
        HandshakeError::IncompatibleSubnetworks { ours, theirs },
        HandshakeError::NotVersion { command },
        HandshakeError::Timeout { limit },
    ];
    reasons.extend(handshake.map(DisconnectReason::Handshake));
    for kind in [io::ErrorKind::ConnectionReset, io::ErrorKind::UnexpectedEof, io::ErrorKind::Other] {
        reasons.push(DisconnectReason::Io { operation: IoOperation::Write, kind, message: message.clone() });
    }
    for reason in reasons {
        assert_eq!(round_trip(&reason), Ok(()));
    }
}

#[test]
fn statistics() {
    let (out, inb) = acquainted(builder(), builder());
    out.peer.queue_message(&CustomMessage::new("hello", *b"world").unwrap()).unwrap();
    out.peer.ping().unwrap();
    for stats in [out.peer.stats(), inb.peer.stats()] {
        assert!(stats.handshake_done && stats.remote.is_some());
        assert_eq!(round_trip::<Stats>(&stats), Ok(()));
    }
    let stats = serde_json::to_value(inb.peer.stats()).unwrap();
    assert_eq!(stats["received"]["commands"]["ping"], json!({"messages": 1, "bytes": 32}));
    assert_eq!(stats["received"]["unknown"], json!({"messages": 1, "bytes": 29}));
    for address in [PeerAddress::from("node.onion:5"), PeerAddress::from("[::1]:6")] {
        assert_eq!(round_trip(&(address, Direction::Inbound)), Ok(()));
    }
}

#[test]
fn people_read_what_display_shows() {
    let hash: Hash = "0f2bd52ea69aac311a59428cd5d17e3833e62706f68a1c7c50bef0664459229b".parse().unwrap();
    let value = |message: Message| serde_json::to_value(message).unwrap();
    assert_eq!(value(SelectedTip { hash }.into()), json!({"selectedtip": {"hash": hash.to_string()}}));
    let scope = AddressScope::Subnetwork(SubnetworkId::COINBASE);
    assert_eq!(
        value(GetAddr { scope }.into()),
        json!({"getaddr": {"scope": {"Subnetwork": "0000000000000000000000000000000000000001"}}})
    );
    assert_eq!(value(FilterAdd { data: vec![0, 0xab] }.into()), json!({"filteradd": {"data": "00ab"}}));
    let reason = WireString::from_bytes(*b"\xff\x00");
    let reject = Reject { command: "tx".into(), code: RejectCode::DUST, reason, hash: Some(hash) };
    let reject = value(reject.into());
    assert_eq!(reject["reject"]["command"], "tx");
    assert_eq!(reject["reject"]["reason"], json!({"hex": "ff00"}));
    assert_eq!(serde_json::to_value([Network::Simnet, Network::Custom(7)]).unwrap(), json!(["simnet", "0x00000007"]));
    assert_eq!(serde_json::to_value(Services::NETWORK | Services::BLOOM).unwrap(), json!(5));
}

fn refused<T: DeserializeOwned + Debug>(value: Value) -> String {
    serde_json::from_value::<T>(value).unwrap_err().to_string()
}

#[test]
fn what_decoding_would_refuse_is_refused() {
    let tx = serde_json::to_value(TxFields { version: 1, ..TxFields::default() }).unwrap();
    let mut gas = tx.clone();
    gas["gas"] = 1.into();
    assert!(refused::<Transaction>(gas).contains("native"));
    let header =
        serde_json::to_value(BlockHeader { parents: vec![Hash::ZERO; 256], ..BlockHeader::default() }).unwrap();
    assert!(refused::<Block>(json!({"header": header, "transactions": [tx]})).contains("parents"));
    let script = "00".repeat(MAX_PAYLOAD as usize);
    let mut large = serde_json::to_value(TxFields::default()).unwrap();
    large["outputs"] = json!([{"value": 1, "script": script}]);
    assert!(refused::<Transaction>(large).contains("at most"));
    assert!(refused::<Hash>(json!("00")).contains("expected"));
    assert!(refused::<FilterAdd>(json!({"data": "0"})).contains("hex"));
    assert!(refused::<WireString>(json!({"hex": "zz"})).contains("hex"));
    assert!(refused::<CustomMessage>(json!({"command": "ping", "payload": ""})).contains("known"));
    assert!(refused::<Command>(json!("a name that is too long")).contains("command"));
}

#[test]
fn counts_that_cannot_be_do_not_overflow() {
    let most = json!({"messages": u64::MAX, "bytes": u64::MAX});
    let traffic = json!({"commands": {"ping": most, "hello": most, "world": most}, "unknown": most, "malformed": most});
    let traffic: kaspa_peer::peer::Traffic = serde_json::from_value(traffic).unwrap();
    assert_eq!((traffic.custom().messages, traffic.total().bytes), (u64::MAX, u64::MAX));
}

#[test]
fn a_part_that_another_version_names_is_a_part() {
    let error = json!({"Truncated": {"field": "what is to come", "at": 1, "needed": 2, "left": 0}});
    let error: DecodeError = serde_json::from_value(error).unwrap();
    assert_eq!(error, DecodeError::Truncated { field: "a part", at: 1, needed: 2, left: 0 });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_message(message in arbitrary::any_message()) {
        prop_assert_eq!(round_trip(&message), Ok(()));
    }

    #[test]
    fn any_bytes_are_a_message_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(message) = postcard::from_bytes::<Message>(&bytes) {
            prop_assert!(message.encoded_len() < 10_000);
        }
    }
}
