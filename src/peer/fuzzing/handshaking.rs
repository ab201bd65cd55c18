//! The handshake with any messages in any order.

use super::Choices;
use crate::peer::disconnect::kept_reject;
use crate::peer::rules::handshake::{Handshake, Step};
use crate::peer::{Direction, DisconnectReason, HandshakeError, ProtocolViolation};
use crate::wire::{Encode, Message, RejectCode, SubnetworkId, Version};

/// Nonces below this are this node's own.
pub(super) const OWN_NONCES: u64 = 8;

/// The settings of one side of a handshake.
struct Side {
    direction: Direction,
    subnetwork: Option<SubnetworkId>,
    protocol_version: i32,
}

/// Runs a handshake with the messages that `input` makes.
///
/// # Panics
///
/// If a step is wrong.
pub fn handshake(input: &[u8]) {
    let mut choices = Choices::new(input);
    let side = Side {
        direction: choices.of(&[Direction::Inbound, Direction::Outbound]),
        subnetwork: choices.of(&[None, Some([1; 20]), Some([2; 20])]).map(SubnetworkId::from_bytes),
        protocol_version: i32::from(choices.byte()) + 1,
    };
    let mut handshake = Handshake::new(side.direction, side.subnetwork, side.protocol_version);
    let (mut versions, mut veracks) = (0, 0);
    while !choices.is_empty() {
        let Some(message) = choices.message() else { continue };
        let step = handshake.step(&message, |nonce| nonce < OWN_NONCES);
        side.check(&message, &step, versions > 0, veracks > 0);
        match step {
            Step::VersionAccepted { .. } => versions += 1,
            Step::Finished => veracks += 1,
            Step::Deliver | Step::Skip => {}
            // The peer ends here. Its state must not change all the same.
            Step::End(..) => {
                let done = handshake.is_done();
                assert_eq!(done, veracks > 0);
                continue;
            }
        }
        assert!(versions <= 1 && veracks <= versions);
        assert_eq!(handshake.is_done(), veracks == 1);
    }
}

impl Side {
    /// Checks that `step` is right for `message`. `introduced` and `done` say whether `version` and `verack` came
    /// before.
    fn check(&self, message: &Message, step: &Step, introduced: bool, done: bool) {
        let expected = match message {
            Message::Version(_) if introduced => {
                matches!(step, Step::End(Some(reject), DisconnectReason::Protocol(ProtocolViolation::DuplicateVersion))
                    if reject.code == RejectCode::DUPLICATE)
            }
            Message::Version(version) => self.check_version(version, step),
            Message::Custom(_) => *step == if introduced { Step::Deliver } else { Step::Skip },
            Message::Reject(reject) if !introduced => {
                *step == Step::End(None, DisconnectReason::Handshake(HandshakeError::Rejected(kept_reject(reject))))
            }
            _ if !introduced => {
                matches!(step, Step::End(Some(reject), DisconnectReason::Handshake(HandshakeError::NotVersion { command }))
                    if *command == message.command() && reject.code == RejectCode::MALFORMED)
            }
            Message::VerAck(_) if done => {
                *step == Step::End(None, DisconnectReason::Protocol(ProtocolViolation::DuplicateVerAck))
            }
            Message::VerAck(_) => *step == Step::Finished,
            _ => *step == Step::Deliver,
        };
        assert!(expected, "{message:?}, introduced {introduced}, done {done}: {step:?}");
    }

    fn check_version(&self, version: &Version, step: &Step) -> bool {
        let fits = match (self.subnetwork, version.subnetwork) {
            (Some(ours), Some(theirs)) => ours == theirs,
            (None, Some(_)) => self.direction == Direction::Inbound,
            (_, None) => true,
        };
        match step {
            Step::VersionAccepted { negotiated, send_version } => {
                *negotiated == version.protocol_version.min(self.protocol_version)
                    && *negotiated >= 1
                    && *send_version == (self.direction == Direction::Inbound)
                    && version.nonce >= OWN_NONCES
                    && fits
            }
            Step::End(None, DisconnectReason::Handshake(error)) => match error {
                HandshakeError::SelfConnection => version.nonce < OWN_NONCES,
                HandshakeError::VersionTooOld { found, .. } => *found < 1 && *found == version.protocol_version,
                HandshakeError::IncompatibleSubnetworks { .. } => !fits,
                _ => false,
            },
            _ => false,
        }
    }
}
