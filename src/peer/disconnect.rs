//! The reason a connection ended.

use crate::wire::{Command, FrameError, Reject, Sanitised, SubnetworkId, WireString, padded};
use std::{error::Error, fmt, io, time::Duration};
use thiserror::Error as ThisError;

/// The most bytes of a text of the program that a reason keeps, because every handle of an ended peer keeps its reason.
const KEPT: usize = 512;

/// The part of a `reject` of the remote that a reason keeps: at most 512 bytes of each text.
pub(super) fn kept_reject(reject: &Reject) -> Box<Reject> {
    let cut = |text: &WireString| WireString::from_bytes(text.as_bytes().get(..KEPT).unwrap_or(text.as_bytes()));
    Box::new(Reject { command: cut(&reject.command), reason: cut(&reject.reason), ..*reject })
}

/// The part of a text that a reason keeps: whole characters, at most 512 bytes.
pub(super) fn kept_text(text: &str) -> String {
    let ends = text.char_indices().map(|(at, character)| at + character.len_utf8());
    let end = ends.take_while(|end| *end <= KEPT).last().unwrap_or_default();
    text.get(..end).unwrap_or_default().to_owned()
}

/// The reason a connection ended. If there were several reasons, this is the first.
///
/// `Display` is for people. It replaces control characters in text from the remote.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum DisconnectReason {
    /// This side disconnected: with [`Peer::disconnect`](super::Peer::disconnect), or because the last handle was
    /// dropped.
    Local,
    /// The remote closed the connection after the handshake. During the handshake the reason is
    /// [`HandshakeError::RemoteClosed`].
    ///
    /// If the remote resets the connection, the reason is usually [`Io`](Self::Io). The reason is `RemoteClosed` if the
    /// writer thread noticed the reset before the reader thread did.
    RemoteClosed {
        /// `true` if part of a frame had arrived.
        inside_frame: bool,
    },
    /// The handshake failed.
    Handshake(HandshakeError),
    /// No complete message arrived within the idle timeout.
    Idle {
        /// The idle timeout.
        limit: Duration,
    },
    /// A request was not answered within the limit of its stall rule.
    Stalled {
        /// The request.
        request: Command,
        /// The limit of the stall rule.
        limit: Duration,
    },
    /// The remote accepted no byte within the write timeout.
    WriteStalled {
        /// The write timeout.
        limit: Duration,
    },
    /// The remote sent a malformed frame after the handshake.
    Malformed(FrameError),
    /// The remote broke a rule of the protocol after its `version` was accepted: see [`ProtocolViolation`].
    Protocol(ProtocolViolation),
    /// The remote sent a bloom filter command, although this node does not offer the bloom service.
    BloomNotOffered {
        /// The bloom filter command.
        command: Command,
    },
    /// The remote sent a custom command, and the configuration has
    /// [`CustomCommands::Disconnect`](super::CustomCommands).
    CustomCommand(Command),
    /// The outbound queue had no room for an automatic answer: the remote sends requests and does not read the answers.
    QueueFull {
        /// The command of the answer.
        command: Command,
    },
    /// A frame took longer to arrive than the frame timeout.
    FrameTimeout {
        /// The frame timeout.
        limit: Duration,
    },
    /// The remote sent more than the rate limit for longer than [`RateLimit::end_after`](super::RateLimit::end_after).
    RateExceeded {
        /// The time for which a remote may exceed the rate limit:
        /// [`RateLimit::end_after`](super::RateLimit::end_after).
        limit: Duration,
    },
    /// The points that the program gave with [`Peer::misbehaved`](super::Peer::misbehaved) reached the score limit.
    Misbehaved {
        /// The score.
        score: u32,
        /// The reason that the program gave for the last points, at most 512 bytes of it. `Display` replaces control
        /// characters in this text, because it may quote the remote.
        what: String,
    },
    /// A listener callback, or other code of the program that a thread of the peer ran, panicked.
    CallbackPanicked {
        /// The message of the panic, cut off after 512 bytes. `Display` replaces control characters in this text,
        /// because it may quote the remote.
        message: String,
    },
    /// Reading or writing failed.
    Io {
        /// The operation that failed.
        operation: IoOperation,
        /// The kind of the error.
        #[cfg_attr(feature = "serde", serde(with = "error_kind"))]
        kind: io::ErrorKind,
        /// The text of the error, at most 512 bytes of it.
        message: String,
    },
}

impl DisconnectReason {
    /// The remote closed the connection, during the handshake or after it.
    pub(crate) fn remote_closed(inside_frame: bool, handshake_done: bool) -> Self {
        if handshake_done {
            Self::RemoteClosed { inside_frame }
        } else {
            Self::Handshake(HandshakeError::RemoteClosed { inside_frame })
        }
    }

    /// Reading or writing failed. `error` is the result of `take_error`. If it has the message of a panic, the reason
    /// is [`CallbackPanicked`](Self::CallbackPanicked).
    pub(crate) fn io(operation: IoOperation, error: (io::ErrorKind, Result<String, String>)) -> Self {
        match error {
            (kind, Ok(text)) => Self::Io { operation, kind, message: kept_text(&text) },
            (_, Err(message)) => Self::CallbackPanicked { message },
        }
    }

    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("disconnected by this side"),
            Self::RemoteClosed { inside_frame: false } => f.write_str("closed by the remote"),
            Self::RemoteClosed { inside_frame: true } => f.write_str("closed by the remote in the middle of a frame"),
            Self::Handshake(error) => write!(f, "handshake failed: {error}"),
            Self::Idle { limit } => write!(f, "idle: no message for {limit:?}"),
            Self::Stalled { request, limit } => write!(f, "stalled: no answer to {request} for {limit:?}"),
            Self::WriteStalled { limit } => write!(f, "write stalled: the remote accepted nothing for {limit:?}"),
            Self::Malformed(error) => write!(f, "malformed message: {error}"),
            Self::Protocol(violation) => write!(f, "protocol violation: {violation}"),
            Self::BloomNotOffered { command } => write!(f, "{command} without the bloom service"),
            Self::CustomCommand(command) => write!(f, "unknown command {command}"),
            Self::QueueFull { command } => write!(f, "no room in the outbound queue for an automatic {command}"),
            Self::FrameTimeout { limit } => write!(f, "a frame took longer than {limit:?}"),
            Self::RateExceeded { limit } => write!(f, "rate limit exceeded for {limit:?}"),
            Self::Misbehaved { score, what } => write!(f, "misbehaved: {} (score {score})", Sanitised(what)),
            Self::CallbackPanicked { message } => write!(f, "a callback panicked: {}", Sanitised(message)),
            Self::Io { operation, message, .. } => write!(f, "{operation} failed: {}", Sanitised(message)),
        }
    }
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        padded(f, |f| self.write(f))
    }
}

impl Error for DisconnectReason {}

/// The operation of a connection that failed: reading or writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum IoOperation {
    /// Reading from the connection.
    Read,
    /// Writing to the connection.
    Write,
}

impl fmt::Display for IoOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "reading",
            Self::Write => "writing",
        })
    }
}

/// A rule of the protocol that the remote broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ThisError)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum ProtocolViolation {
    /// The remote sent a second `version`. The peer answered with a `reject`.
    #[error("a second version")]
    DuplicateVersion,
    /// The remote sent a second `verack`.
    #[error("a second verack")]
    DuplicateVerAck,
}

/// The reason a handshake failed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, ThisError)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum HandshakeError {
    /// The remote is this node: its `version` has a nonce that this node sent to one of the last 50 peers
    /// that it dialled.
    #[error("connected to self")]
    SelfConnection,
    /// The remote's protocol version is too low.
    #[error("protocol version {found} is below {minimum}")]
    VersionTooOld {
        /// The remote's newest version.
        found: i32,
        /// The oldest version that this library accepts.
        minimum: i32,
    },
    /// A full node dialled a partial one, or two partial nodes have different subnetworks.
    #[error("incompatible subnetworks: ours is {}, theirs {}", Subnetwork(.ours), Subnetwork(.theirs))]
    IncompatibleSubnetworks {
        /// This node's subnetwork; `None` for a full node.
        ours: Option<SubnetworkId>,
        /// The remote's subnetwork; `None` for a full node.
        theirs: Option<SubnetworkId>,
    },
    /// The first message of the remote was not `version`. The peer answered with a `reject`.
    #[error("the first message is {command}, not version")]
    NotVersion {
        /// The command of the first message.
        command: Command,
    },
    /// The remote sent a malformed frame.
    #[error("malformed message: {0}")]
    Malformed(FrameError),
    /// The remote sent a `reject` instead of finishing the handshake.
    ///
    /// Before the remote's `version` the `reject` ends the connection at once, and no callback is called for it. Later
    /// the listener gets it too, and this is the reason if the remote then closes the connection. At most 512 bytes of
    /// each text of the `reject` are kept.
    #[error("rejected by the remote: {} ({})", .0.reason, .0.code)]
    Rejected(Box<Reject>),
    /// The remote closed the connection before the handshake was done, and sent no `reject`.
    ///
    /// Usually the remote is on another network, has banned this node, accepts no more peers, or is this node itself.
    /// The address may also belong to a server of another kind.
    #[error(
        "the remote closed the connection{}; it may be on another network, or accept no more peers",
        if *.inside_frame { " in the middle of a frame" } else { "" }
    )]
    RemoteClosed {
        /// `true` if part of a frame had arrived.
        inside_frame: bool,
    },
    /// The handshake took longer than the handshake timeout.
    #[error("not done within {limit:?}")]
    Timeout {
        /// The handshake timeout.
        limit: Duration,
    },
}

struct Subnetwork<'a>(&'a Option<SubnetworkId>);

impl fmt::Display for Subnetwork<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(id) => id.fmt(f),
            None => f.write_str("a full node's"),
        }
    }
}

/// For `#[serde(with)]`: serialises a kind as its name in Rust. An unknown name becomes `Other`.
#[cfg(feature = "serde")]
mod error_kind {
    use serde::de::{Deserialize, Deserializer};
    use serde::ser::Serializer;
    use std::io::ErrorKind;

    macro_rules! kinds {
        ($($kind:ident)*) => {
            const KINDS: &[(&str, ErrorKind)] = &[$((stringify!($kind), ErrorKind::$kind)),*];
        };
    }

    kinds! {
        NotFound PermissionDenied ConnectionRefused ConnectionReset HostUnreachable NetworkUnreachable
        ConnectionAborted NotConnected AddrInUse AddrNotAvailable NetworkDown BrokenPipe AlreadyExists WouldBlock
        NotADirectory IsADirectory DirectoryNotEmpty ReadOnlyFilesystem StaleNetworkFileHandle InvalidInput
        InvalidData TimedOut WriteZero StorageFull NotSeekable QuotaExceeded FileTooLarge ResourceBusy
        ExecutableFileBusy Deadlock TooManyLinks ArgumentListTooLong Interrupted Unsupported UnexpectedEof OutOfMemory
    }

    pub fn serialize<S: Serializer>(kind: &ErrorKind, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(KINDS.iter().find(|(_, known)| known == kind).map_or("Other", |(name, _)| name))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<ErrorKind, D::Error> {
        let name = String::deserialize(from)?;
        Ok(KINDS.iter().find(|(known, _)| *known == name).map_or(ErrorKind::Other, |(_, kind)| *kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_padded() {
        assert_eq!(
            format!("{:>21}|", DisconnectReason::RemoteClosed { inside_frame: false }),
            " closed by the remote|"
        );
        assert_eq!(format!("{:<26}|", DisconnectReason::Local), "disconnected by this side |");
        assert_eq!(format!("{:.12}|", DisconnectReason::Local), "disconnected|");
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let text = "ä€".repeat(1000);
        let reason = DisconnectReason::io(IoOperation::Read, (io::ErrorKind::Other, Ok(text.clone())));
        let DisconnectReason::Io { message, .. } = reason else { panic!("{reason}") };
        for kept in [message, kept_text(&text)] {
            assert!(kept.len() <= KEPT && kept.len() > KEPT - 4 && text.starts_with(&kept), "{}", kept.len());
        }
        assert_eq!((kept_text(""), kept_text("short")), (String::new(), "short".to_owned()));
    }

    #[test]
    fn a_close_during_the_handshake_has_a_reason_of_its_own() {
        let reason = DisconnectReason::remote_closed(false, false).to_string();
        assert!(reason.starts_with("handshake failed: the remote closed the connection; it may be"), "{reason}");
        assert_eq!(DisconnectReason::remote_closed(true, true), DisconnectReason::RemoteClosed { inside_frame: true });
    }
}
