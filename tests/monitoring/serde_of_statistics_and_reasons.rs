//! With the feature `serde`, statistics and disconnect reasons are read back as they were written.

use crate::common::builder;
use crate::common::local::connected_pair;
use kaspa_peer::peer::{IoOperation, ProtocolViolation, Traffic};
use kaspa_peer::wire::{Command, CustomMessage, FrameError, SubnetworkId};
use kaspa_peer::{Direction, DisconnectReason, HandshakeError, PeerAddress};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;
use std::{fmt::Debug, io, time::Duration};

/// Writes a value as text (JSON) and as bytes (postcard), and reads it back from both.
fn round_trip<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    let text = serde_json::to_string(value).unwrap();
    assert_eq!(serde_json::from_str::<T>(&text).as_ref().ok(), Some(value), "{text}");
    let bytes = postcard::to_stdvec(value).unwrap();
    assert_eq!(postcard::from_bytes::<T>(&bytes).as_ref(), Ok(value));
}

#[test]
fn every_reason_is_read_back() {
    let (limit, command) = (Duration::from_millis(1500), "hello".parse::<Command>().unwrap());
    let message = "odd\x1b".to_owned();
    let mut reasons = vec![
        DisconnectReason::Local,
        DisconnectReason::RemoteClosed { inside_frame: true },
        DisconnectReason::Idle { limit },
        DisconnectReason::Stalled { request: Command::GetData, limit },
        DisconnectReason::WriteStalled { limit },
        DisconnectReason::Malformed(FrameError::Oversize { length: 7, max: 6 }),
        DisconnectReason::Protocol(ProtocolViolation::DuplicateVersion),
        DisconnectReason::BloomNotOffered { command: Command::FilterAdd },
        DisconnectReason::CustomCommand(command),
        DisconnectReason::QueueFull { command: Command::Pong },
        DisconnectReason::FrameTimeout { limit },
        DisconnectReason::RateExceeded { limit },
        DisconnectReason::Misbehaved { score: 100, what: message.clone() },
        DisconnectReason::CallbackPanicked { message: message.clone() },
    ];
    let (ours, theirs) = (None, Some(SubnetworkId::COINBASE));
    let handshake = [
        HandshakeError::SelfConnection,
        HandshakeError::VersionTooOld { found: -1, minimum: 1 },
        HandshakeError::IncompatibleSubnetworks { ours, theirs },
        HandshakeError::NotVersion { command },
        HandshakeError::Malformed(FrameError::Command { found: *b"bad command\x1b" }),
        HandshakeError::RemoteClosed { inside_frame: true },
        HandshakeError::Timeout { limit },
    ];
    reasons.extend(handshake.map(DisconnectReason::Handshake));
    for kind in [io::ErrorKind::ConnectionReset, io::ErrorKind::UnexpectedEof, io::ErrorKind::Other] {
        reasons.push(DisconnectReason::Io { operation: IoOperation::Write, kind, message: message.clone() });
    }
    reasons.iter().for_each(round_trip);
}

#[test]
fn statistics_are_read_back() {
    let (out, inb) = connected_pair(builder(), builder());
    out.peer.queue_message(&CustomMessage::new("hello", *b"world").unwrap()).unwrap();
    out.peer.ping().unwrap();
    for stats in [out.peer.stats(), inb.peer.stats()] {
        assert!(stats.handshake_done && stats.remote.is_some());
        round_trip(&stats);
    }
    let stats = serde_json::to_value(inb.peer.stats()).unwrap();
    assert_eq!(stats["received"]["commands"]["ping"], json!({"messages": 1, "bytes": 32}));
    assert_eq!(stats["received"]["unknown"], json!({"messages": 1, "bytes": 29}));
    for address in ["node.onion:5", "[::1]:6"] {
        round_trip(&(address.parse::<PeerAddress>().unwrap(), Direction::Inbound));
    }
}

#[test]
fn counts_that_add_up_to_more_than_64_bits_saturate() {
    let most = json!({"messages": u64::MAX, "bytes": u64::MAX});
    let traffic = json!({"commands": {"ping": most, "hello": most, "world": most}, "unknown": most, "malformed": most});
    let traffic: Traffic = serde_json::from_value(traffic).unwrap();
    assert_eq!((traffic.custom().messages, traffic.total().bytes), (u64::MAX, u64::MAX));
}
