//! The errors of scripted remotes and of connecting two peers.

use crate::wire::{EncodeError, FrameError, Message, Sanitised};
use crate::{StartError, WaitError};
use std::{fmt, io, time::Duration};
use thiserror::Error;

/// How the other end ended the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum End {
    /// It closed the connection, or its writing side, between two frames.
    Closed,
    /// It closed the connection after it had sent part of a frame.
    InsideFrame {
        /// How many bytes of the frame had arrived.
        found: usize,
    },
    /// It reset the connection.
    Reset,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.pad("the connection was closed"),
            Self::InsideFrame { found } => write!(f, "the connection was closed after {found} bytes of a frame"),
            Self::Reset => f.pad("the connection was reset"),
        }
    }
}

/// Why a step of a [`ScriptedRemote`](super::ScriptedRemote) failed: what was expected, and what came instead.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ScriptError {
    /// Another message came.
    #[error("expected {expected}, but this came: {got}")]
    Unexpected {
        /// The expected message or event.
        expected: String,
        /// The message.
        got: Box<Message>,
    },
    /// The connection ended.
    #[error("expected {expected}, but {end}")]
    Ended {
        /// The expected message or event.
        expected: String,
        /// How it ended.
        end: End,
    },
    /// Nothing came in time, or not enough for a whole frame.
    #[error("expected {expected} within {waited:?}, but {}", Arrived { others: *.others, bytes: *.found })]
    Timeout {
        /// The expected message or event.
        expected: String,
        /// How long the call waited.
        waited: Duration,
        /// How many other messages came, which the call skipped.
        others: usize,
        /// How many bytes of a frame have arrived. The next call continues with them.
        found: usize,
    },
    /// The remote sent bytes that are no message.
    #[error("expected {expected}, but a malformed frame came: {error}")]
    Malformed {
        /// The expected message or event.
        expected: String,
        /// The error of the frame.
        error: FrameError,
    },
    /// The custom message came, and its payload does not decode.
    #[error("expected {expected}, but its payload is malformed: {}", Sanitised(.error))]
    CustomPayload {
        /// The expected message or event.
        expected: String,
        /// The text of the payload type's error.
        error: String,
    },
    /// The protocol cannot carry the message, so nothing was sent. Send a [`TestFrame`](super::TestFrame) instead.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The stream failed.
    #[error("{action} failed: {error}")]
    Io {
        /// The step under way, such as `sending ping`.
        action: String,
        /// The error of the stream.
        error: io::Error,
    },
}

impl ScriptError {
    /// How the connection ended, if that is the error.
    #[must_use]
    pub fn end(&self) -> Option<End> {
        match self {
            Self::Ended { end, .. } => Some(*end),
            _ => None,
        }
    }
}

/// The data that arrived before a timeout.
struct Arrived {
    others: usize,
    bytes: usize,
}

impl fmt::Display for Arrived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let others = match self.others {
            1 => "1 other message".to_owned(),
            count => format!("{count} other messages"),
        };
        match (self.others, self.bytes) {
            (0, 0) => f.write_str("nothing came"),
            (0, bytes) => write!(f, "only {bytes} bytes of a frame came"),
            (_, 0) => write!(f, "only {others} came"),
            (_, bytes) => write!(f, "only {others} and {bytes} bytes of a frame came"),
        }
    }
}

/// Why a peer could not be connected to another one or to a scripted remote, see
/// [`connect_peers`](super::connect_peers) and [`connect_remote`](super::connect_remote).
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectPeersError {
    /// The sockets could not be made.
    #[error("connecting two sockets failed: {0}")]
    Sockets(io::Error),
    /// A peer could not be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The handshake failed.
    #[error("the handshake failed: {0}")]
    Handshake(WaitError),
}

impl From<io::Error> for ConnectPeersError {
    fn from(error: io::Error) -> Self {
        Self::Sockets(error)
    }
}

impl From<WaitError> for ConnectPeersError {
    fn from(error: WaitError) -> Self {
        Self::Handshake(error)
    }
}
