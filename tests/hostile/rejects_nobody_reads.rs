//! What is malformed ends the peer in bounded time, even when the reject for it cannot be written.

use crate::common::builder;
use crate::common::by_hand::{by_hand, end_of, fill, frame};
use kaspa_peer::DisconnectReason;
use kaspa_peer::peer::{CustomCommands, ProtocolViolation};
use kaspa_peer::wire::{CustomMessage, FrameError, Network};

#[test]
fn a_frame_that_is_none() {
    // Not even the write timeout helps.
    let (end, mut remote) = by_hand(builder().write_timeout(None).queue_limit(100_000));
    fill(&end.peer);
    remote.send_bytes(&frame(Network::Simnet, "ping", &[1; 7]));
    let reason = end_of(&end.peer);
    assert!(matches!(reason, DisconnectReason::Malformed(FrameError::Payload { .. })), "{reason}");
}

#[test]
fn a_second_version() {
    let (end, mut remote) = by_hand(builder().write_timeout(None).queue_limit(100_000));
    fill(&end.peer);
    remote.send(&crate::common::version());
    assert_eq!(end_of(&end.peer), DisconnectReason::Protocol(ProtocolViolation::DuplicateVersion));
}

#[test]
fn an_unknown_command_that_is_not_welcome() {
    let config = builder().custom_commands(CustomCommands::Disconnect);
    let (end, mut remote) = by_hand(config.write_timeout(None).queue_limit(100_000));
    fill(&end.peer);
    remote.send(&CustomMessage::new("hello", vec![]).unwrap());
    assert_eq!(end_of(&end.peer), DisconnectReason::CustomCommand("hello".parse().unwrap()));
}
