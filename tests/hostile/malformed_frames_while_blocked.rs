//! A malformed frame or a protocol violation ends the peer in bounded time, even if the reject for it cannot be
//! written.

use crate::common::blocking::fill_queue;
use crate::common::local::{Local, connected_peer, end_reason};
use crate::common::{builder, version};
use kaspa_peer::peer::{CustomCommands, ProtocolViolation};
use kaspa_peer::testing::ScriptedRemote;
use kaspa_peer::wire::{CustomMessage, FrameError};
use kaspa_peer::{ConfigBuilder, DisconnectReason};

/// A peer whose queue is full and whose writer is blocked. No write timeout ends it.
fn blocked_peer(builder: ConfigBuilder) -> (Local, ScriptedRemote) {
    let (local, remote) = connected_peer(builder.write_timeout(None).queue_limit(100_000));
    fill_queue(&local.peer);
    (local, remote)
}

#[test]
fn a_malformed_frame_ends_a_blocked_peer() {
    let (local, mut remote) = blocked_peer(builder());
    remote.send_frame("ping", &[1; 7]).unwrap();
    let reason = end_reason(&local.peer);
    assert!(matches!(reason, DisconnectReason::Malformed(FrameError::Payload { .. })), "{reason}");
}

#[test]
fn a_second_version_ends_a_blocked_peer() {
    let (local, mut remote) = blocked_peer(builder());
    remote.send(&version()).unwrap();
    assert_eq!(end_reason(&local.peer), DisconnectReason::Protocol(ProtocolViolation::DuplicateVersion));
}

#[test]
fn a_custom_command_that_disconnects_ends_a_blocked_peer() {
    let (local, mut remote) = blocked_peer(builder().custom_commands(CustomCommands::Disconnect));
    remote.send(&CustomMessage::new("hello", vec![]).unwrap()).unwrap();
    assert_eq!(end_reason(&local.peer), DisconnectReason::CustomCommand("hello".parse().unwrap()));
}
