//! The errors of calls that queue a message, wait, ask, build a configuration or start a peer.

use super::disconnect::DisconnectReason;
use crate::wire::{
    Command, CustomCommand, EncodeError, Inventory, Network, ParseError, Reject, Sanitised, UserAgentError, padded,
};
use std::{error::Error as StdError, fmt, io, time::Duration};
use thiserror::Error;

/// The reason a message was not queued. Queueing borrows the message, so the caller still has it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum QueueError {
    /// The outbound queue has no room: the remote reads messages more slowly than they are queued. The program can try
    /// again later, drop the message, or use [`Peer::send_message`](super::Peer::send_message), which waits for room.
    Full {
        /// How many bytes wait to be written.
        queued: usize,
        /// The limit of the queue in bytes, see [`queue_limit`](super::ConfigBuilder::queue_limit).
        limit: usize,
        /// The size of the refused message, in bytes, with its header.
        message: usize,
    },
    /// The queue of announcements has no room. None of the items was queued.
    InventoryFull {
        /// How many items wait to be announced.
        queued: usize,
        /// The largest number of items that wait, see [`inventory_queue`](super::ConfigBuilder::inventory_queue).
        limit: usize,
    },
    /// The outbound queue had no room within the timeout of the call.
    Timeout {
        /// The timeout.
        waited: Duration,
    },
    /// The connection has ended, or is about to end: [`Peer::disconnect_with`](super::Peer::disconnect_with) or
    /// [`Peer::close`](super::Peer::close) was called. While `close` writes the queued messages, the reason is
    /// [`DisconnectReason::Local`], although the connection may yet end for another one.
    Closed(DisconnectReason),
    /// The message cannot be encoded.
    Encode(EncodeError),
    /// The [`COMMAND`](crate::wire::CustomPayload::COMMAND) of the payload type is not a custom command.
    CustomCommand(ParseError),
    /// The frame was encoded for another network than the peer's. Encode the message for the network of the peer.
    Network {
        /// The frame's network.
        frame: Network,
        /// The peer's network.
        peer: Network,
    },
    /// The outbound queue has no room, and the call was made in a callback of the same peer, where waiting could last
    /// for ever: the remote may not read before this side reads, and this side does not read during a callback.
    InCallback,
}

impl QueueError {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { queued, limit, message } => write!(
                f,
                "the outbound queue is full: {queued} of {limit} bytes are waiting, and the message has {message} bytes"
            ),
            Self::InventoryFull { queued, limit } => {
                write!(f, "the inventory queue is full: {queued} of {limit} items are waiting")
            }
            Self::Timeout { waited } => write!(f, "no room in the outbound queue within {waited:?}"),
            Self::Closed(reason) => write!(f, "the connection has ended: {reason}"),
            Self::Encode(error) => write!(f, "{error}"),
            Self::CustomCommand(error) => write!(f, "{error}"),
            Self::Network { frame, peer } => write!(f, "the frame is encoded for {frame}, but the peer is on {peer}"),
            Self::InCallback => f.write_str(
                "no room in the outbound queue, and a callback of this peer cannot wait for room: queue on another thread",
            ),
        }
    }
}

impl fmt::Display for QueueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        padded(f, |f| self.write(f))
    }
}

impl StdError for QueueError {}

impl From<EncodeError> for QueueError {
    fn from(error: EncodeError) -> Self {
        Self::Encode(error)
    }
}

/// The reason a call that waits for a peer returned no result.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitError {
    /// The connection ended before the event that the call waits for.
    Closed(DisconnectReason),
    /// The event that the call waits for did not happen within the timeout of the call.
    Timeout {
        /// The event that the call waited for.
        what: WaitedFor,
        /// The timeout that was given to the call.
        waited: Duration,
    },
    /// The message whose effect the call waits for could not be queued.
    Queue(QueueError),
    /// The call was made in a callback of the same peer, where waiting would last for ever: the peer's thread continues
    /// only when the callback returns. An [`Inbox`](crate::Inbox) that does not know its peer yet returns this error in
    /// the callbacks of every peer.
    InCallback,
    /// The [`COMMAND`](crate::wire::CustomPayload::COMMAND) of the payload type is not a custom command, so that no
    /// message of the type can arrive.
    CustomCommand(ParseError),
    /// The payload of the custom message that arrived does not decode, see
    /// [`Inbox::wait_for_custom`](super::Inbox::wait_for_custom).
    CustomPayload {
        /// The command of the message.
        command: CustomCommand,
        /// The text of the payload type's error. `Display` shows it sanitised, because it may quote the remote.
        error: String,
    },
}

impl WaitError {
    /// Replaces the timeout of one step with the timeout of the whole call.
    pub(super) fn with_timeout(self, timeout: Duration) -> Self {
        match self {
            Self::Timeout { what, .. } => Self::Timeout { what, waited: timeout },
            error => error,
        }
    }

    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(reason) => write!(f, "the peer has ended: {reason}"),
            Self::Timeout { what, waited } => write!(f, "{what} within {waited:?}"),
            Self::Queue(error) => write!(f, "{error}"),
            Self::InCallback => f.write_str("a callback cannot wait for its own peer: wait on another thread"),
            Self::CustomCommand(error) => write!(f, "{error}"),
            Self::CustomPayload { command, error } => write!(f, "malformed {command}: {}", Sanitised(error)),
        }
    }
}

impl fmt::Display for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        padded(f, |f| self.write(f))
    }
}

impl StdError for WaitError {}

/// The event that a call waited for when its timeout passed, see [`WaitError::Timeout`].
///
/// `Display` says that the event did not happen, for example `no inv arrived`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WaitedFor {
    /// The end of the handshake.
    Handshake,
    /// The end of the connection.
    Disconnect,
    /// The pong that answers a ping.
    Pong,
    /// The writing of a queued message.
    Written,
    /// A message of this type.
    Message(Command),
    /// The condition that was given to [`Inbox::wait_until`](super::Inbox::wait_until) or
    /// [`Inbox::wait_for_match`](super::Inbox::wait_for_match).
    Condition,
}

impl fmt::Display for WaitedFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handshake => f.pad("the handshake was not done"),
            Self::Disconnect => f.pad("the connection did not end"),
            Self::Pong => f.pad("no pong arrived for the ping"),
            Self::Written => f.pad("the message was not written"),
            Self::Message(command) => padded(f, |f| write!(f, "no {command} arrived")),
            Self::Condition => f.pad("the messages did not meet the condition"),
        }
    }
}

impl From<QueueError> for WaitError {
    fn from(error: QueueError) -> Self {
        match error {
            QueueError::Closed(reason) => Self::Closed(reason),
            error => Self::Queue(error),
        }
    }
}

/// The reason [`Peer::ask`](super::Peer::ask), [`Peer::fetch_block`](super::Peer::fetch_block) or
/// [`Peer::fetch_transaction`](super::Peer::fetch_transaction) returned no answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AskError {
    /// The answer did not arrive in time. If it arrives later, only the listener gets it.
    #[error("no answer to {request} within {waited:?}")]
    Timeout {
        /// The request.
        request: Command,
        /// How long the caller waited.
        waited: Duration,
    },
    /// The remote does not have the block or the transaction: it answered `notfound`.
    #[error("the remote does not have {item}")]
    NotFound {
        /// The block or the transaction.
        item: Inventory,
    },
    /// The remote answered with a `reject` of the request.
    #[error("the remote rejected the request with {}: {}", .0.code, .0.reason)]
    Rejected(Box<Reject>),
    /// The connection has ended.
    #[error("the connection ended before the answer came: {0}")]
    Closed(DisconnectReason),
    /// The request could not be queued.
    #[error(transparent)]
    Queue(QueueError),
    /// Too many calls wait for answers of this remote.
    #[error("{max} calls already wait for answers of this remote: wait until one of them returns")]
    TooMany {
        /// The largest number of calls that can wait at the same time.
        max: usize,
    },
    /// The call was made in a callback of the same peer, which reads nothing until the callback returns. Ask on another
    /// thread.
    #[error("a callback cannot wait for an answer from its own peer: ask on another thread")]
    InCallback,
}

impl From<QueueError> for AskError {
    fn from(error: QueueError) -> Self {
        match error {
            QueueError::Closed(reason) => Self::Closed(reason),
            error => Self::Queue(error),
        }
    }
}

/// The reason a configuration was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The user agent cannot be sent.
    #[error(transparent)]
    UserAgent(#[from] UserAgentError),
    /// The protocol version is below 1, the lowest version.
    #[error("protocol_version is {0}, but must be at least 1")]
    ProtocolVersion(i32),
    /// A timeout or an interval is too short. Use `None` to turn a timer off.
    #[error("{name} is {value:?}, but must be at least {min:?}")]
    TooShort {
        /// The name of the setting.
        name: &'static str,
        /// The value of the setting.
        value: Duration,
        /// The shortest value.
        min: Duration,
    },
    /// The stack of the threads is too small.
    #[error("a stack_size of {found} bytes is too small: threads need at least {min}")]
    StackSize {
        /// The stack size that was set, in bytes.
        found: usize,
        /// The smallest size, in bytes.
        min: usize,
    },
    /// A limit is zero, which would allow nothing. Use `None` for no limit.
    #[error("{0} must not be zero")]
    ZeroLimit(&'static str),
    /// The subnetwork is the native one, which no partial node can have. A full node has `None`.
    #[error("a partial node cannot have the native subnetwork; use None for a full node")]
    NativeSubnetwork,
    /// The proxy is not written `host:port`.
    #[error(transparent)]
    Proxy(ParseError),
    /// A stall rule has no answers, so that every remote would stall.
    #[error("the stall rule for {0} names no answer")]
    NoAnswer(Command),
    /// There are too many stall rules.
    #[error("{found} stall rules are too many: the limit is {max}")]
    StallRules {
        /// The number of rules.
        found: usize,
        /// The largest number of rules.
        max: usize,
    },
    /// The capture is for another network than the node's. Pass the network of the node to
    /// [`Capture::new`](super::Capture::new).
    #[error("the capture is for {capture}, but the node is on {node}: create the capture with the node's network")]
    CaptureNetwork {
        /// The capture's network.
        capture: Network,
        /// The node's network.
        node: Network,
    },
    /// The high-water mark is above the limit of the queue.
    #[error("the high_water_mark of {high_water_mark} bytes is above the queue_limit of {limit} bytes")]
    HighWaterMark {
        /// The high-water mark, in bytes.
        high_water_mark: usize,
        /// The limit of the queue, in bytes.
        limit: usize,
    },
}

/// The reason a peer could not be started. The library has closed the connection.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address is a text that does not parse, see [`PeerAddress`](super::PeerAddress).
    #[error(transparent)]
    Address(#[from] ParseError),
    /// The stream could not be set up: [`Stream::split`](super::Stream::split) returned this error, or a method of the
    /// stream panicked. After a panic, the error has the message of the panic.
    #[error("the connection could not be set up: {0}")]
    Stream(io::Error),
    /// A thread could not be started: the process has too many threads, or too little memory for another stack.
    #[error("the {thread} thread could not be started: {error}")]
    Thread {
        /// The thread: `reader`, `writer` or `pinger`.
        thread: &'static str,
        /// The error of the system.
        error: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_says_what_was_waited_for() {
        let text = |what| WaitError::Timeout { what, waited: Duration::from_millis(1500) }.to_string();
        assert_eq!(text(WaitedFor::Handshake), "the handshake was not done within 1.5s");
        assert_eq!(text(WaitedFor::Disconnect), "the connection did not end within 1.5s");
        assert_eq!(text(WaitedFor::Pong), "no pong arrived for the ping within 1.5s");
        assert_eq!(text(WaitedFor::Written), "the message was not written within 1.5s");
        assert_eq!(text(WaitedFor::Message(Command::Inv)), "no inv arrived within 1.5s");
        assert_eq!(text(WaitedFor::Condition), "the messages did not meet the condition within 1.5s");
    }

    #[test]
    fn the_text_can_be_aligned() {
        assert_eq!(format!("{:>16}|", WaitedFor::Message(Command::Tx)), "   no tx arrived|");
        let timeout = Duration::from_secs(3);
        let late = WaitError::Timeout { what: WaitedFor::Message(Command::Tx), waited: timeout };
        assert_eq!(format!("{late:>26}|"), "   no tx arrived within 3s|");
        let full = QueueError::Timeout { waited: timeout };
        assert_eq!(format!("{full:<42}|"), "no room in the outbound queue within 3s   |");
    }

    #[test]
    fn a_full_queue_says_how_large_the_refused_message_is() {
        assert_eq!(
            QueueError::Full { queued: 600, limit: 1000, message: 500 }.to_string(),
            "the outbound queue is full: 600 of 1000 bytes are waiting, and the message has 500 bytes"
        );
    }

    #[test]
    fn the_error_of_a_custom_payload_is_sanitised() {
        let error = WaitError::CustomPayload { command: "chat".parse().unwrap(), error: "\x1b[2J".to_owned() };
        assert!(error.to_string().starts_with("malformed chat: ") && !error.to_string().contains('\x1b'), "{error}");
    }
}
