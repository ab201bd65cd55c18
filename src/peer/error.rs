//! What a call can fail with. In every case but a bad message, what was to be sent stays the caller's: it was only
//! lent.

use super::DisconnectReason;
use crate::wire::{EncodeError, Network, ParseError, UserAgentError};
use std::{io, time::Duration};
use thiserror::Error;

/// Why a message was not queued. It was only lent, so the caller still has it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum QueueError {
    /// The outbound queue has no room: the remote takes messages more slowly than they are queued. Try again later, use
    /// [`Peer::send_message`](super::Peer::send_message), which waits, or let the message go.
    #[error("the outbound queue is full: {queued} of {limit} bytes are waiting")]
    Full {
        /// How many bytes are waiting to be written.
        queued: usize,
        /// How many may wait.
        limit: usize,
    },
    /// The to-be-announced queue has no room. Nothing of the batch was taken.
    #[error("the inventory queue is full: {queued} of {limit} items are waiting")]
    InventoryFull {
        /// How many items are waiting.
        queued: usize,
        /// How many may wait.
        limit: usize,
    },
    /// There was no room for the whole time that the caller was ready to wait.
    #[error("no room in the outbound queue within {waited:?}")]
    Timeout {
        /// How long that was.
        waited: Duration,
    },
    /// The peer is gone.
    #[error("the peer is gone: {0}")]
    Closed(DisconnectReason),
    /// The message cannot be sent to anybody.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The frame was encoded for another network; encode the message for the peer's.
    #[error("the frame is for {frame}, the peer is on {peer}")]
    Network {
        /// The frame's network.
        frame: Network,
        /// The peer's network.
        peer: Network,
    },
    /// There is no room, and to wait for it in one of the peer's own callbacks could last for ever: the remote may wait
    /// for this side to read.
    #[error("no room in the outbound queue, and a callback may not wait for it: queue from another thread")]
    InCallback,
}

/// Why waiting for a peer gave no result.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WaitError {
    /// The peer went away first.
    #[error("the peer is gone: {0}")]
    Closed(DisconnectReason),
    /// It did not happen in the time the caller was ready to wait.
    #[error("nothing within {waited:?}")]
    Timeout {
        /// How long that was.
        waited: Duration,
    },
    /// The message to wait for could not be queued.
    #[error(transparent)]
    Queue(QueueError),
    /// Waiting for a peer in one of its own callbacks would last for ever: the callback is what it would wait for.
    #[error("a peer's own callback cannot wait for it: wait on another thread")]
    InCallback,
}

impl From<QueueError> for WaitError {
    fn from(error: QueueError) -> Self {
        match error {
            QueueError::Closed(reason) => Self::Closed(reason),
            error => Self::Queue(error),
        }
    }
}

/// Why a configuration was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The user agent cannot be sent.
    #[error(transparent)]
    UserAgent(#[from] UserAgentError),
    /// The protocol version is below 1, which nobody speaks.
    #[error("protocol version {0}: the lowest there is, is 1")]
    ProtocolVersion(i32),
    /// A timeout or an interval is too short. Use `None` to turn a timer off.
    #[error("{name} is {value:?}, but must be at least {min:?}")]
    TooShort {
        /// The setting.
        name: &'static str,
        /// Its value.
        value: Duration,
        /// The shortest value.
        min: Duration,
    },
    /// The stack of the threads is too small.
    #[error("a stack_size of {found} bytes is too small: threads need at least {min}")]
    StackSize {
        /// The setting, in bytes.
        found: usize,
        /// The smallest size, in bytes.
        min: usize,
    },
    /// A limit is zero, so that nothing would be allowed. Use `None` where there is to be no limit.
    #[error("{0} must not be zero")]
    ZeroLimit(&'static str),
    /// The native subnetwork is not one a partial node can have: a full node has `None`.
    #[error("a partial node cannot be of the native subnetwork; a full node has no subnetwork")]
    NativeSubnetwork,
    /// A stall rule without an answer could never be satisfied.
    #[error("the stall rule for {0} names no answer")]
    NoAnswer(crate::wire::Command),
    /// More stall rules than can be watched.
    #[error("{found} stall rules, at most {max} can be watched")]
    StallRules {
        /// How many there are.
        found: usize,
        /// How many there may be.
        max: usize,
    },
    /// The capture was begun for another network, so that nobody could read what would be in it. Give
    /// [`Capture::new`](super::Capture::new) the node's.
    #[error("the capture is of {capture}, the node is on {node}: begin the capture with the node's network")]
    CaptureNetwork {
        /// The capture's network.
        capture: Network,
        /// The node's network.
        node: Network,
    },
    /// The high-water mark lies above the queue's limit.
    #[error("the high-water mark of {high_water_mark} bytes is above the queue's limit of {limit}")]
    HighWaterMark {
        /// Where senders begin to wait, in bytes.
        high_water_mark: usize,
        /// What may wait at most, in bytes.
        limit: usize,
    },
}

/// Why a peer could not be started. The connection was closed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address is a text that does not parse, see [`PeerAddress`](super::PeerAddress).
    #[error(transparent)]
    Address(#[from] ParseError),
    /// The stream could not be set up.
    #[error("the connection could not be set up: {0}")]
    Stream(io::Error),
    /// The process has so many peers that more could exhaust its memory maps, which would abort it. On Linux a peer takes
    /// 12 of `vm.max_map_count`, of which a tenth is left to the rest of the program: by default 4914 peers have room.
    #[error("this process has {limit} peers, for more of them raise vm.max_map_count, or start another process")]
    TooManyPeers {
        /// How many there may be.
        limit: usize,
    },
    /// A thread could not be started: the process has too many, or no memory.
    #[error("the {thread} thread could not be started: {error}")]
    Thread {
        /// Which of `reader`, `writer` and `pinger`.
        thread: &'static str,
        /// Why.
        error: io::Error,
    },
}
