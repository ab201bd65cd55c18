//! What can be wrong with bytes, and whose fault it is.

use super::{Command, Network};
use thiserror::Error;

/// The name of a part of a message. (Named, since `serde` would borrow a plain `&str` from what it reads.)
pub(super) type Part = &'static str;

/// A payload that is not a message: the sender's fault.
///
/// `field` names the part of the message in this crate's vocabulary, `at` is the offset in the payload, in bytes, at
/// which that part starts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum DecodeError {
    /// The payload ends before the message does.
    #[error("{field} at byte {at} needs {needed} bytes and {left} are left")]
    Truncated {
        /// The part that is cut short.
        #[cfg_attr(feature = "serde", serde(with = "super::serde_impls::part"))]
        field: Part,
        /// Where it starts.
        at: usize,
        /// How many bytes it takes.
        needed: u64,
        /// How many there are.
        left: usize,
    },
    /// Bytes follow the last field of the message. (`version` is the one message in which they are allowed.)
    #[error("{left} bytes follow the last field, at byte {at}")]
    Trailing {
        /// Where the message ended.
        at: usize,
        /// How many bytes are left over.
        left: usize,
    },
    /// A list is announced as longer, in items or bytes, than the protocol allows.
    #[error("{field} at byte {at}: {found} announced, at most {max} allowed")]
    TooMany {
        /// The list.
        #[cfg_attr(feature = "serde", serde(with = "super::serde_impls::part"))]
        field: Part,
        /// Where its length starts.
        at: usize,
        /// The announced length.
        found: u64,
        /// The longest allowed.
        max: u64,
    },
    /// A variable-length integer takes more bytes than its value needs.
    #[error("{field} at byte {at}: {value} is written in {width} bytes, which is more than it needs")]
    NonCanonical {
        /// What the number counts.
        #[cfg_attr(feature = "serde", serde(with = "super::serde_impls::part"))]
        field: Part,
        /// Where it starts.
        at: usize,
        /// Its value.
        value: u64,
        /// How many bytes it was written in.
        width: u8,
    },
    /// An entry of `headers` announces transactions; it must announce none.
    #[error("{field} at byte {at} must be 0 and is {found}")]
    NotZero {
        /// The number that must be zero.
        #[cfg_attr(feature = "serde", serde(with = "super::serde_impls::part"))]
        field: Part,
        /// Where it starts.
        at: usize,
        /// What it is.
        found: u64,
    },
}

/// A frame that cannot be read from a stream: the sender's fault, or the stream's early end.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum FrameError {
    /// The header announces more than any message may have. Nothing of the payload was read.
    #[error("a payload of {length} bytes is announced, at most {max} are allowed")]
    Oversize {
        /// The announced payload length, in bytes.
        length: u32,
        /// [`MAX_PAYLOAD`](super::MAX_PAYLOAD).
        max: u32,
    },
    /// The frame belongs to another network.
    #[error("the frame is of network {}, expected {expected}", Network::from_magic(*.found))]
    Network {
        /// The magic number in the header.
        found: u32,
        /// The network that is being read.
        expected: Network,
    },
    /// The command is not 1 to 12 printable ASCII characters followed by zeros.
    #[error("the command \"{}\" is malformed", .found.escape_ascii())]
    Command {
        /// The command field as it came.
        found: [u8; 12],
    },
    /// The payload is longer than this type of message can be.
    #[error("{command} announces a payload of {length} bytes, at most {max} are allowed")]
    TypeLimit {
        /// The type of message.
        command: Command,
        /// The announced payload length, in bytes.
        length: u32,
        /// The limit of the type, in bytes.
        max: u32,
    },
    /// The payload is longer than this decoder accepts, and not longer than the protocol allows.
    ///
    /// The limit is the program's own, see [`PayloadLimits`](super::PayloadLimits).
    #[error("{command} announces a payload of {length} bytes; this program accepts at most {max}")]
    OverLimit {
        /// The type of message.
        command: Command,
        /// The announced payload length, in bytes.
        length: u32,
        /// The configured limit, in bytes.
        max: u32,
    },
    /// The stream ended inside a frame.
    #[error("the stream ended in a {part}: {needed} bytes are due, {found} came")]
    Truncated {
        /// `header` or `payload`.
        #[cfg_attr(feature = "serde", serde(with = "super::serde_impls::part"))]
        part: Part,
        /// The size of that part, in bytes.
        needed: usize,
        /// How much of it came.
        found: usize,
    },
    /// The payload is not what the header's checksum says.
    #[error("checksum of {command}: the header says {found:02x?}, the payload gives {computed:02x?}")]
    Checksum {
        /// The type of message.
        command: Command,
        /// The checksum in the header.
        found: [u8; 4],
        /// The checksum of the payload.
        computed: [u8; 4],
    },
    /// The payload does not decode.
    #[error("{command}: {error}")]
    Payload {
        /// The type of message.
        command: Command,
        /// What is wrong with it.
        error: DecodeError,
    },
}

impl FrameError {
    /// Whether the stream is still in step: what follows the bad frame can be read as a frame again.
    #[must_use]
    pub fn in_step(&self) -> bool {
        !matches!(self, Self::Oversize { .. } | Self::Truncated { .. })
    }
}

/// A message that the protocol cannot carry: the caller's fault. Nothing was produced.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A list is longer, in items or bytes, than the protocol allows.
    #[error("{field}: {found}, and at most {max} can be sent")]
    TooMany {
        /// The list.
        field: &'static str,
        /// Its length.
        found: u64,
        /// The longest allowed.
        max: u64,
    },
    /// The message as a whole is longer than its type may be.
    #[error("{command} would be {length} bytes long, at most {max} can be sent")]
    TypeLimit {
        /// The type of message.
        command: Command,
        /// Its length, in bytes.
        length: usize,
        /// The limit of the type, in bytes.
        max: u32,
    },
    /// A native transaction cannot carry gas, a payload or a payload hash.
    #[error("a native transaction has no {field}; leave it out, or choose a subnetwork")]
    NativeTransaction {
        /// What it has and must not have.
        field: &'static str,
    },
    /// A transaction in a built-in subnetwork must have gas 0.
    #[error("a transaction in a built-in subnetwork must have no gas and has {gas}")]
    BuiltInGas {
        /// Its gas.
        gas: u64,
    },
}

/// Why [`read_message`](super::read_message) gave nothing.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// What was read is not a message of this network.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The stream failed.
    #[error("reading a frame failed: {0}")]
    Io(std::io::Error),
}

/// Why [`write_message`](super::write_message) did not write.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The message cannot be sent. Nothing was written.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The stream failed, perhaps after part of the frame was written: it is of no more use.
    #[error("writing a frame failed: {0}")]
    Io(std::io::Error),
}

impl From<std::io::Error> for ReadError {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<std::io::Error> for WriteError {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

/// Text that does not name what it should.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{what}: expected {expected}")]
pub struct ParseError {
    pub(crate) what: &'static str,
    pub(crate) expected: &'static str,
}
