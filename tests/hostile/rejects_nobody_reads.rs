//! What is malformed ends the peer in bounded time, even when the reject for it cannot be written.

use crate::common::blocking::fill_queue;
use crate::common::frames::raw_frame;
use crate::common::local::{connected_peer, end_reason};
use crate::common::{builder, version};
use kaspa_peer::DisconnectReason;
use kaspa_peer::peer::{CustomCommands, ProtocolViolation};
use kaspa_peer::wire::{CustomMessage, FrameError, Network};

#[test]
fn a_frame_that_is_none() {
    // Not even the write timeout helps.
    let (local, mut remote) = connected_peer(builder().write_timeout(None).queue_limit(100_000));
    fill_queue(&local.peer);
    remote.send_bytes(&raw_frame(Network::Simnet, "ping", &[1; 7]));
    let reason = end_reason(&local.peer);
    assert!(matches!(reason, DisconnectReason::Malformed(FrameError::Payload { .. })), "{reason}");
}

#[test]
fn a_second_version() {
    let (local, mut remote) = connected_peer(builder().write_timeout(None).queue_limit(100_000));
    fill_queue(&local.peer);
    remote.send(&version());
    assert_eq!(end_reason(&local.peer), DisconnectReason::Protocol(ProtocolViolation::DuplicateVersion));
}

#[test]
fn an_unknown_command_that_is_not_welcome() {
    let config = builder().custom_commands(CustomCommands::Disconnect);
    let (local, mut remote) = connected_peer(config.write_timeout(None).queue_limit(100_000));
    fill_queue(&local.peer);
    remote.send(&CustomMessage::new("hello", vec![]).unwrap());
    assert_eq!(end_reason(&local.peer), DisconnectReason::CustomCommand("hello".parse().unwrap()));
}
