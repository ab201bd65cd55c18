//! Why a connection ended.

use crate::wire::{Command, FrameError, Sanitised, SubnetworkId};
use std::{fmt, io, time::Duration};
use thiserror::Error;

/// Why a peer went away: one reason, the first there was, the same for everybody who asks.
///
/// `Display` is for people; what stands in it from the wire is sanitised.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum DisconnectReason {
    /// This side: [`Peer::disconnect`](super::Peer::disconnect), or its last handle was dropped.
    #[error("disconnected by this side")]
    Local,
    /// The remote closed the connection after the handshake. During the handshake the reason is
    /// [`HandshakeError::RemoteClosed`].
    ///
    /// A reset by the remote is mostly an [`Io`](Self::Io) error. It has this reason if the writer thread noticed the
    /// reset before the reader thread did.
    #[error("closed by the remote{}", if *.inside_frame { " in the middle of a frame" } else { "" })]
    RemoteClosed {
        /// Whether part of a frame had arrived.
        inside_frame: bool,
    },
    /// The handshake failed.
    #[error("handshake failed: {0}")]
    Handshake(HandshakeError),
    /// No whole message arrived for the idle timeout.
    #[error("idle: no message for {limit:?}")]
    Idle {
        /// The idle timeout.
        limit: Duration,
    },
    /// The answer to a request did not come in time.
    #[error("stalled: no answer to {request} for {limit:?}")]
    Stalled {
        /// The request.
        request: Command,
        /// How long an answer to it may take.
        limit: Duration,
    },
    /// The remote's socket accepted no byte for the write timeout.
    #[error("write stalled: the remote took nothing for {limit:?}")]
    WriteStalled {
        /// The write timeout.
        limit: Duration,
    },
    /// The remote sent what is not a message, after the handshake.
    #[error("malformed message: {0}")]
    Malformed(FrameError),
    /// The remote broke a rule of the protocol, after the handshake.
    #[error("protocol violation: {0}")]
    Protocol(ProtocolViolation),
    /// The remote sent a bloom filter command, and this node does not offer the bloom service.
    #[error("{command} without the bloom service")]
    BloomNotOffered {
        /// Which one.
        command: Command,
    },
    /// The remote sent a command that this crate does not know, and the configuration says to end on that.
    #[error("unknown command {0}")]
    CustomCommand(Command),
    /// An answer that the peer gives by itself found no room in the outbound queue: the remote asks and does not read.
    #[error("no room in the outbound queue for an automatic {command}")]
    QueueFull {
        /// The answer.
        command: Command,
    },
    /// One frame took too long to arrive.
    #[error("a frame took longer than {limit:?}")]
    FrameTimeout {
        /// The frame timeout.
        limit: Duration,
    },
    /// The remote sent more than its rate limit for so long that the configuration says to end it.
    #[error("rate limit exceeded for {limit:?}")]
    RateExceeded {
        /// For how long it may.
        limit: Duration,
    },
    /// The program gave the remote as many points for misbehaving as the configuration allows.
    #[error("misbehaved: {} (score {score})", Sanitised(.what))]
    Misbehaved {
        /// The score.
        score: u32,
        /// What the last points were for, in the program's words. Shown sanitised, since it may quote the remote.
        what: String,
    },
    /// A listener callback, or other code of the program that a thread of the peer ran, panicked.
    #[error("a callback panicked: {}", Sanitised(.message))]
    CallbackPanicked {
        /// The message of the panic, at most 512 bytes of it. `Display` shows it sanitised, because it may quote the remote.
        message: String,
    },
    /// The connection failed.
    #[error("{operation} failed: {}", Sanitised(.message))]
    Io {
        /// What was tried.
        operation: IoOperation,
        /// The kind of failure.
        #[cfg_attr(feature = "serde", serde(with = "super::serde_impls::error_kind"))]
        kind: io::ErrorKind,
        /// The failure in words.
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

    pub(crate) fn io(operation: IoOperation, error: &io::Error) -> Self {
        Self::Io { operation, kind: error.kind(), message: error.to_string() }
    }
}

/// What was done to a connection when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum IoOperation {
    /// Reading from it.
    Read,
    /// Writing to it.
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

/// What the remote did that no peer may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum ProtocolViolation {
    /// A second `version`. It was answered with a `reject`.
    #[error("a second version")]
    DuplicateVersion,
    /// A second `verack`.
    #[error("a second verack")]
    DuplicateVerAck,
}

/// Why two nodes did not come to terms.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum HandshakeError {
    /// The remote is this node: its nonce is one that this node sent.
    #[error("connected to self")]
    SelfConnection,
    /// The remote's protocol version is too low.
    #[error("protocol version {found} is below {minimum}")]
    VersionTooOld {
        /// The remote's newest version.
        found: i32,
        /// The oldest version accepted.
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
    /// The remote's first message was another than `version`. It was answered with a `reject`.
    #[error("the first message is {command}, not version")]
    NotVersion {
        /// What it was.
        command: Command,
    },
    /// The remote sent a malformed frame.
    #[error("malformed message: {0}")]
    Malformed(FrameError),
    /// The remote closed the connection before the handshake was done, and sent no reason.
    ///
    /// Mostly the remote is on another network, has banned this node, has as many peers as it accepts, or is this node
    /// itself. What answers may also be another kind of server.
    #[error(
        "the remote closed the connection{}; it may be on another network, or accept no more peers",
        if *.inside_frame { " in the middle of a frame" } else { "" }
    )]
    RemoteClosed {
        /// Whether part of a frame had arrived.
        inside_frame: bool,
    },
    /// The handshake was not finished in time.
    #[error("not finished within {limit:?}")]
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
