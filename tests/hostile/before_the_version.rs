//! A remote that never sends its `version` cannot use up time or memory.

use crate::common::frames::message_of_size;
use crate::common::local::{Local, end_reason, new_peer};
use crate::common::{builder, version, wait_until};
use kaspa_peer::testing::{ScriptedRemote, TestFrame};
use kaspa_peer::wire::{Command, FrameError, HEADER_SIZE, Message, Network};
use kaspa_peer::{Direction, DisconnectReason, HandshakeError};

/// The header of a frame that claims a payload of this size.
fn header(command: &str, length: u32) -> Vec<u8> {
    TestFrame::new(command, &[], Network::Simnet).with_length(length).to_bytes()
}

fn new_inbound() -> (Local, ScriptedRemote) {
    new_peer(Direction::Inbound, builder())
}

#[test]
fn a_header_of_another_message_is_enough_to_be_rejected() {
    for (command, length) in [(Command::Block, 30_000_000), (Command::Tx, 100), (Command::Ping, 8), (Command::Inv, 0)] {
        let (local, mut remote) = new_inbound();
        remote.send_bytes(&header(command.name(), length)).unwrap();
        let messages = remote.read_until_end().unwrap();
        let [Message::Reject(reject)] = &messages[..] else { panic!("{messages:?}") };
        assert_eq!(reject.command.to_str(), Some(command.name()));
        let reason = DisconnectReason::Handshake(HandshakeError::NotVersion { command });
        assert_eq!(end_reason(&local.peer), reason);
        assert_eq!(local.recorder.commands(), [""; 0]);
        // The header was received, and the statistics say so.
        let received = local.peer.stats().received;
        assert_eq!((received.of(command).messages, received.total().bytes), (1, HEADER_SIZE as u64));
    }
}

#[test]
fn no_payload_over_64_kib_is_accepted_before_the_handshake_is_done() {
    for introduce in [false, true] {
        let (local, mut remote) = new_inbound();
        if introduce {
            remote.send(&version()).unwrap();
        }
        remote.send(&message_of_size(24 + 64 * 1024)).unwrap();
        let received = || local.peer.stats().received.custom().messages;
        wait_until("a payload of 64 KiB is read", || received() == 1);
        assert_eq!(local.peer.disconnect_reason(), None);
        remote.send_bytes(&header("filler", 64 * 1024 + 1)).unwrap();
        let reason = end_reason(&local.peer);
        let is_limit = matches!(
            &reason,
            DisconnectReason::Handshake(HandshakeError::Malformed(FrameError::OverLimit { max: 65_536, .. }))
        );
        assert!(is_limit, "{reason}");
    }
}

#[test]
fn after_the_handshake_the_usual_limits_hold() {
    let (local, mut remote) = new_inbound();
    remote.shake_hands().unwrap();
    remote.send(&message_of_size(500_000)).unwrap();
    assert_eq!(remote.sync_with_ping().unwrap(), []);
    assert_eq!(local.peer.stats().received.custom().messages, 1);
}
