//! The state machine of the handshake. It decides what to do with each message, based on the messages that arrived
//! before.

use crate::peer::address::Direction;
use crate::peer::disconnect::{DisconnectReason, HandshakeError, ProtocolViolation, kept_reject};
use crate::wire::{Command, Message, Reject, RejectCode, SubnetworkId, Version};

/// The lowest protocol version that is accepted.
const MINIMUM_VERSION: i32 = 1;

/// The handshake of one connection.
#[derive(Debug)]
pub(in crate::peer) struct Handshake {
    direction: Direction,
    subnetwork: Option<SubnetworkId>,
    protocol_version: i32,
    stage: Stage,
    /// The last `reject` of the remote before the handshake was done.
    rejected: Option<Box<Reject>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The remote must send its `version` next.
    Version,
    /// The remote has yet to send its `verack`. It may send other messages before.
    VerAck,
    Done,
}

/// The action for a message.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::peer) enum Step {
    /// Deliver it to the listener.
    Deliver,
    /// Ignore it: a custom command before the remote's `version`.
    Skip,
    /// Deliver it to the listener, then answer with our `version`, unless it is sent already, and our `verack`.
    VersionAccepted {
        /// The protocol version that both sides speak.
        negotiated: i32,
        send_version: bool,
    },
    /// The handshake is done. Deliver the message to the listener.
    Finished,
    /// Disconnect. If there is a `reject`, send it first.
    End(Option<Reject>, DisconnectReason),
}

impl Handshake {
    pub fn new(direction: Direction, subnetwork: Option<SubnetworkId>, protocol_version: i32) -> Self {
        Self { direction, subnetwork, protocol_version, stage: Stage::Version, rejected: None }
    }

    pub fn is_done(&self) -> bool {
        self.stage == Stage::Done
    }

    /// The reason of the end if the connection fails now, and the remote has sent a `reject` during the handshake.
    pub fn rejected(&self) -> Option<DisconnectReason> {
        let reject = self.rejected.as_ref().filter(|_| !self.is_done())?;
        Some(DisconnectReason::Handshake(HandshakeError::Rejected(reject.clone())))
    }

    /// Returns the action for a message. `sent_nonce` returns whether this node has sent a nonce in a `version`.
    pub fn step(&mut self, message: &Message, sent_nonce: impl FnOnce(u64) -> bool) -> Step {
        match (self.stage, message) {
            (Stage::Done, Message::Version(_)) | (Stage::VerAck, Message::Version(_)) => {
                let reject = Reject::new("version", RejectCode::DUPLICATE, "duplicate version message");
                Step::End(Some(reject), DisconnectReason::Protocol(ProtocolViolation::DuplicateVersion))
            }
            (Stage::Version, Message::Version(version)) => match self.accept(version, sent_nonce) {
                Ok(negotiated) => {
                    self.stage = Stage::VerAck;
                    Step::VersionAccepted { negotiated, send_version: self.direction == Direction::Inbound }
                }
                Err(error) => Step::End(None, DisconnectReason::Handshake(error)),
            },
            (Stage::VerAck, Message::VerAck(_)) => {
                self.stage = Stage::Done;
                Step::Finished
            }
            (Stage::Done, Message::VerAck(_)) => {
                Step::End(None, DisconnectReason::Protocol(ProtocolViolation::DuplicateVerAck))
            }
            (Stage::VerAck, Message::Reject(reject)) => {
                self.rejected = Some(kept_reject(reject));
                Step::Deliver
            }
            (Stage::VerAck | Stage::Done, _) => Step::Deliver,
            // Answering a `reject` with a `reject` would tell the remote nothing.
            (Stage::Version, Message::Reject(reject)) => {
                Step::End(None, DisconnectReason::Handshake(HandshakeError::Rejected(kept_reject(reject))))
            }
            (Stage::Version, Message::Custom(_)) => Step::Skip,
            (Stage::Version, other) => {
                let (reject, reason) = refuse(crate::wire::Encode::command(other));
                Step::End(Some(reject), reason)
            }
        }
    }

    /// Returns a `reject` and the reason to disconnect if the handshake does not allow the command `announced` yet. The
    /// reader calls this when only the header of a frame has arrived, so that the payload of a refused frame is never
    /// read.
    pub fn refuses(&self, announced: Command) -> Option<(Reject, DisconnectReason)> {
        let legal = matches!(announced, Command::Version | Command::Reject | Command::Custom(_));
        (self.stage == Stage::Version && !legal).then(|| refuse(announced))
    }

    fn accept(&self, version: &Version, sent_nonce: impl FnOnce(u64) -> bool) -> Result<i32, HandshakeError> {
        if sent_nonce(version.nonce) {
            return Err(HandshakeError::SelfConnection);
        }
        let found = version.protocol_version;
        if found < MINIMUM_VERSION {
            return Err(HandshakeError::VersionTooOld { found, minimum: MINIMUM_VERSION });
        }
        let (ours, theirs) = (self.subnetwork, version.subnetwork);
        let compatible = match (ours, theirs) {
            (None, Some(_)) => self.direction == Direction::Inbound,
            (Some(ours), Some(theirs)) => ours == theirs,
            (_, None) => true,
        };
        if compatible {
            Ok(found.min(self.protocol_version))
        } else {
            Err(HandshakeError::IncompatibleSubnetworks { ours, theirs })
        }
    }
}

/// The answer to a first message that is not a `version`.
fn refuse(command: Command) -> (Reject, DisconnectReason) {
    let reject = Reject::new(command.name(), RejectCode::MALFORMED, "A version message must precede all others");
    (reject, DisconnectReason::Handshake(HandshakeError::NotVersion { command }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{CustomMessage, GetAddr, Hash, NetAddress, Ping, Services, UserAgent, VerAck};
    use std::net::Ipv6Addr;

    const A: SubnetworkId = SubnetworkId::from_bytes([0xa; 20]);
    const B: SubnetworkId = SubnetworkId::from_bytes([0xb; 20]);

    fn version(protocol_version: i32, subnetwork: Option<SubnetworkId>) -> Message {
        let nobody = NetAddress { services: Services::empty(), ip: Ipv6Addr::UNSPECIFIED, port: 0 };
        Version {
            protocol_version,
            services: Services::NETWORK,
            time: 0,
            subnetwork,
            receiver: nobody,
            sender: nobody,
            nonce: 77,
            user_agent: UserAgent::default(),
            selected_tip: Hash::ZERO,
            relay_transactions: true,
        }
        .into()
    }

    fn handshake(direction: Direction) -> Handshake {
        Handshake::new(direction, None, 3)
    }

    fn step(handshake: &mut Handshake, message: &Message) -> Step {
        handshake.step(message, |nonce| nonce == 13)
    }

    #[test]
    fn the_inbound_side_answers_with_its_version() {
        for (direction, send_version) in [(Direction::Inbound, true), (Direction::Outbound, false)] {
            let mut it = handshake(direction);
            assert_eq!(step(&mut it, &version(1, None)), Step::VersionAccepted { negotiated: 1, send_version });
            assert!(!it.is_done());
            assert_eq!(step(&mut it, &VerAck.into()), Step::Finished);
            assert!(it.is_done());
        }
    }

    #[test]
    fn the_lower_of_both_protocol_versions_is_negotiated() {
        for (theirs, negotiated) in [(1, 1), (3, 3), (i32::MAX, 3)] {
            let step = step(&mut handshake(Direction::Outbound), &version(theirs, None));
            assert_eq!(step, Step::VersionAccepted { negotiated, send_version: false });
        }
    }

    #[test]
    fn versions_below_one_are_too_old() {
        for found in [0, -1, i32::MIN] {
            let error = HandshakeError::VersionTooOld { found, minimum: 1 };
            let step = step(&mut handshake(Direction::Inbound), &version(found, None));
            assert_eq!(step, Step::End(None, DisconnectReason::Handshake(error)));
        }
    }

    #[test]
    fn a_self_connection_is_detected_before_any_other_error() {
        let step = handshake(Direction::Outbound).step(&version(-1, Some(A)), |nonce| nonce == 77);
        assert_eq!(step, Step::End(None, DisconnectReason::Handshake(HandshakeError::SelfConnection)));
    }

    #[test]
    fn incompatible_subnetworks_are_refused() {
        use Direction::{Inbound, Outbound};
        let cases = [
            (Outbound, None, None, true),
            (Inbound, None, None, true),
            (Outbound, None, Some(A), false),
            (Inbound, None, Some(A), true),
            (Outbound, Some(A), None, true),
            (Inbound, Some(A), None, true),
            (Outbound, Some(A), Some(A), true),
            (Inbound, Some(A), Some(A), true),
            (Outbound, Some(A), Some(B), false),
            (Inbound, Some(A), Some(B), false),
        ];
        for (direction, ours, theirs, accepted) in cases {
            let step = step(&mut Handshake::new(direction, ours, 1), &version(1, theirs));
            match step {
                Step::VersionAccepted { .. } => assert!(accepted, "{direction} {ours:?} {theirs:?}"),
                step => {
                    let error = HandshakeError::IncompatibleSubnetworks { ours, theirs };
                    assert_eq!(step, Step::End(None, DisconnectReason::Handshake(error)));
                    assert!(!accepted, "{direction} {ours:?} {theirs:?}");
                }
            }
        }
    }

    #[test]
    fn the_first_message_must_be_version() {
        for (message, command) in [(Message::from(VerAck), Command::VerAck), (Ping { nonce: 1 }.into(), Command::Ping)]
        {
            let Step::End(Some(reject), reason) = step(&mut handshake(Direction::Inbound), &message) else {
                panic!("{message:?} was accepted");
            };
            assert_eq!(reject, Reject::new(command.name(), RejectCode(1), "A version message must precede all others"));
            assert_eq!(reason, DisconnectReason::Handshake(HandshakeError::NotVersion { command }));
        }
    }

    #[test]
    fn before_the_version_only_a_version_a_reject_or_a_custom_command_is_allowed() {
        let mut it = handshake(Direction::Inbound);
        let hello = "hello".parse().unwrap();
        for command in Command::ALL {
            let is_allowed = matches!(command, Command::Version | Command::Reject);
            assert_eq!(it.refuses(command).is_none(), is_allowed, "{command}");
        }
        assert_eq!(it.refuses(hello), None);
        step(&mut it, &version(1, None));
        for command in Command::ALL {
            assert_eq!(it.refuses(command), None, "{command}");
        }
    }

    #[test]
    fn a_reject_during_the_handshake_is_the_reason_if_the_connection_then_fails() {
        let reject = Reject::new("version", RejectCode::OBSOLETE, "too old");
        let reason = DisconnectReason::Handshake(HandshakeError::Rejected(Box::new(reject.clone())));
        let mut it = handshake(Direction::Outbound);
        assert_eq!(step(&mut it, &reject.clone().into()), Step::End(None, reason.clone()));
        step(&mut it, &version(1, None));
        assert_eq!(it.rejected(), None);
        assert_eq!(step(&mut it, &reject.into()), Step::Deliver);
        assert_eq!(it.rejected(), Some(reason));
        step(&mut it, &VerAck.into());
        assert_eq!(it.rejected(), None, "the handshake is done");
    }

    #[test]
    fn a_reason_keeps_at_most_512_bytes_of_each_text_of_a_reject() {
        let long = "x".repeat(60_000);
        let cut = Reject::new(&long[..512], RejectCode::OBSOLETE, &long[..512]);
        let reason = DisconnectReason::Handshake(HandshakeError::Rejected(Box::new(cut)));
        let reject = Reject::new(long.as_str(), RejectCode::OBSOLETE, long.as_str());
        let mut it = handshake(Direction::Outbound);
        assert_eq!(step(&mut it, &reject.clone().into()), Step::End(None, reason.clone()));
        step(&mut it, &version(1, None));
        step(&mut it, &reject.into());
        assert_eq!(it.rejected(), Some(reason));
    }

    #[test]
    fn custom_commands_are_skipped_before_the_version_and_delivered_after_it() {
        let Ok(Command::Custom(command)) = "hello".parse() else { panic!("hello is known") };
        let message = Message::from(CustomMessage { command, payload: vec![] });
        let mut it = handshake(Direction::Inbound);
        assert_eq!(step(&mut it, &message), Step::Skip);
        step(&mut it, &version(1, None));
        assert_eq!(step(&mut it, &message), Step::Deliver);
        assert_eq!(step(&mut it, &VerAck.into()), Step::Finished);
    }

    #[test]
    fn ordinary_messages_may_come_before_the_verack() {
        let mut it = handshake(Direction::Outbound);
        step(&mut it, &version(1, None));
        assert_eq!(step(&mut it, &GetAddr::all().into()), Step::Deliver);
        assert_eq!(step(&mut it, &VerAck.into()), Step::Finished);
        assert_eq!(step(&mut it, &GetAddr::all().into()), Step::Deliver);
    }

    #[test]
    fn a_second_version_is_rejected_at_any_time() {
        let mut it = handshake(Direction::Outbound);
        step(&mut it, &version(1, None));
        for _ in 0..2 {
            let Step::End(Some(reject), reason) = step(&mut it, &version(1, None)) else { panic!("accepted") };
            assert_eq!(reject, Reject::new("version", RejectCode(0x12), "duplicate version message"));
            assert_eq!(reason, DisconnectReason::Protocol(ProtocolViolation::DuplicateVersion));
            let _ = step(&mut it, &VerAck.into());
        }
        let end = step(&mut it, &VerAck.into());
        assert_eq!(end, Step::End(None, DisconnectReason::Protocol(ProtocolViolation::DuplicateVerAck)));
    }
}
