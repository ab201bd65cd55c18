//! The errors of bytes from the wire, and of messages to send.

use super::command::Command;
use super::network::Network;
use std::fmt;
use thiserror::Error;

/// The name of a part of a message. It is a type alias, because `serde`'s derive would borrow a field with the plain
/// type `&str` from its input.
pub(super) type Part = &'static str;

/// A payload that does not decode. The sender made the mistake.
///
/// `field` is this crate's name of the part of the message that is wrong. `at` is the offset of that part in the
/// payload, in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum DecodeError {
    /// The payload ends before the message does.
    #[error("{field} at byte {at} needs {needed} bytes, and {left} are left")]
    Truncated {
        /// The part that is cut short.
        #[cfg_attr(feature = "serde", serde(with = "super::serde_with::part"))]
        field: Part,
        /// Where it starts.
        at: usize,
        /// How many bytes that part needs.
        needed: u64,
        /// How many bytes the payload still has.
        left: usize,
    },
    /// Bytes follow the last field of the message. (Only `version` may have such bytes.)
    #[error("the message ends at byte {at}, and {left} more bytes follow")]
    Trailing {
        /// Where the message ended.
        at: usize,
        /// How many bytes follow.
        left: usize,
    },
    /// A number is larger than the protocol allows. Most often it is the length of a list, in items or bytes.
    #[error("{field} at byte {at}: {found} is over the protocol's limit of {max}")]
    TooMany {
        /// The list or the number.
        #[cfg_attr(feature = "serde", serde(with = "super::serde_with::part"))]
        field: Part,
        /// Where the number starts.
        at: usize,
        /// The number in the payload.
        found: u64,
        /// The largest allowed.
        max: u64,
    },
    /// A variable-length integer takes more bytes than its value needs.
    #[error("{field} at byte {at}: the number {value} is encoded in {width} bytes, which is not its shortest form")]
    NonCanonical {
        /// The thing that the number counts.
        #[cfg_attr(feature = "serde", serde(with = "super::serde_with::part"))]
        field: Part,
        /// Where it starts.
        at: usize,
        /// Its value.
        value: u64,
        /// How many bytes encode it.
        width: u8,
    },
    /// An entry of `headers` has a number of transactions other than 0.
    #[error("{field} at byte {at} is {found}, and must be 0")]
    NotZero {
        /// The number that must be zero.
        #[cfg_attr(feature = "serde", serde(with = "super::serde_with::part"))]
        field: Part,
        /// Where it starts.
        at: usize,
        /// Its value.
        found: u64,
    },
}

/// A frame that cannot be read from a stream. Either the sender made a mistake, or the stream ended early.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum FrameError {
    /// A stream starts with four bytes that are the magic number of no known network. The remote is probably a server
    /// of another protocol, such as HTTP or SSH, or a node of a private network.
    ///
    /// This error occurs only at the start of a stream, as soon as its first four bytes have arrived.
    #[error("not a kaspa node: the first four bytes are \"{}\"{}", .found.escape_ascii(), Magic(*.found))]
    NotKaspa {
        /// The first four bytes of the stream.
        found: [u8; 4],
    },
    /// The header announces a payload over 32 MiB, which no message may have. No byte of the payload was read.
    #[error("the header announces a payload of {length} bytes; no message may have more than {max}")]
    Oversize {
        /// The announced payload length, in bytes.
        length: u32,
        /// [`MAX_PAYLOAD`](super::MAX_PAYLOAD).
        max: u32,
    },
    /// The frame belongs to another network.
    #[error("{}", OtherNetwork(*.found, *.expected))]
    Network {
        /// The magic number in the header.
        found: u32,
        /// The network for which this side is configured.
        expected: Network,
    },
    /// The command is not 1 to 12 printable ASCII characters followed by zeros.
    #[error(
        "malformed command \"{}\": a command is 1 to 12 printable ASCII characters, padded with zeros",
        .found.escape_ascii()
    )]
    Command {
        /// The command field of the header.
        found: [u8; 12],
    },
    /// The payload is longer than the protocol allows for this type of message.
    #[error("{} announces a payload of {length} bytes; the protocol allows at most {max}", Name(*.command))]
    TypeLimit {
        /// The type of message.
        command: Command,
        /// The announced payload length, in bytes.
        length: u32,
        /// The protocol's limit for the type, in bytes.
        max: u32,
    },
    /// The payload is longer than this decoder accepts, but not longer than the protocol allows.
    ///
    /// The limit is the program's own, see [`PayloadLimits`](super::PayloadLimits).
    #[error("{} announces a payload of {length} bytes; this side is configured to accept at most {max}", Name(*.command))]
    OverLimit {
        /// The type of message.
        command: Command,
        /// The announced payload length, in bytes.
        length: u32,
        /// The configured limit, in bytes.
        max: u32,
    },
    /// The stream ended inside a frame, or bytes that must be exactly one frame are too few or too many.
    #[error("{}", Cut(.part, *.needed, *.found))]
    Truncated {
        /// `header` or `payload`.
        #[cfg_attr(feature = "serde", serde(with = "super::serde_with::part"))]
        part: Part,
        /// The size of that part, in bytes.
        needed: usize,
        /// How many bytes of it arrived.
        found: usize,
    },
    /// The payload does not match the checksum in its header.
    #[error(
        "the payload of {} does not match its checksum: the header has {:08x}, the payload gives {:08x}",
        Name(*.command), u32::from_be_bytes(*.found), u32::from_be_bytes(*.computed)
    )]
    Checksum {
        /// The type of message.
        command: Command,
        /// The checksum in the header.
        found: [u8; 4],
        /// The checksum of the payload.
        computed: [u8; 4],
    },
    /// The payload does not decode.
    #[error("malformed {command}: {error}")]
    Payload {
        /// The type of message.
        command: Command,
        /// The error of its payload.
        error: DecodeError,
    },
}

impl FrameError {
    /// Returns `true` if the bytes after the bad frame can be read as the next frame, so that reading can go on.
    ///
    /// `false` after [`NotKaspa`](Self::NotKaspa), [`Oversize`](Self::Oversize) and [`Truncated`](Self::Truncated).
    #[must_use]
    pub fn in_step(&self) -> bool {
        !matches!(self, Self::NotKaspa { .. } | Self::Oversize { .. } | Self::Truncated { .. })
    }
}

/// Displays the first bytes of a stream as a magic number, unless they are text.
struct Magic([u8; 4]);

impl fmt::Display for Magic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(bytes) = self;
        if bytes.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ') {
            return Ok(());
        }
        write!(f, " (as a network's magic number, 0x{:08x})", u32::from_le_bytes(*bytes))
    }
}

/// Displays both networks.
struct OtherNetwork(u32, Network);

impl fmt::Display for OtherNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(found, expected) = self;
        match Network::from_magic(*found) {
            Network::Custom(magic) => {
                write!(f, "the frame starts with 0x{magic:08x}, the magic number of no known network")?;
                write!(f, "; its receiver is configured for {expected}")
            }
            // A reject shows this text to the sender of the frame, too.
            found => write!(f, "the frame belongs to {found}, and its receiver is configured for {expected}"),
        }
    }
}

/// Displays a command, with the words "the unknown command" if the protocol does not have it.
struct Name(Command);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(command) = self;
        if command.is_known() { write!(f, "{command}") } else { write!(f, "the unknown command {command}") }
    }
}

/// Displays how many bytes there are, and how many there should be.
struct Cut<'a>(&'a str, usize, usize);

impl fmt::Display for Cut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(part, needed, found) = self;
        if found > needed {
            return write!(f, "{found} bytes follow a header that announces {needed}");
        }
        write!(f, "the stream ended inside a {part}: {found} of {needed} bytes arrived")
    }
}

/// A message that the protocol cannot carry. The caller made the mistake, and nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A number is larger than the protocol allows. Most often it is the length of a list, in items or bytes.
    #[error("{field}: {found} is over the protocol's limit of {max}")]
    TooMany {
        /// The list or the number.
        field: &'static str,
        /// Its length or value.
        found: u64,
        /// The largest allowed.
        max: u64,
    },
    /// The payload as a whole is longer than the protocol allows for this type of message.
    #[error("{command} would have a payload of {length} bytes; the protocol allows at most {max}")]
    TypeLimit {
        /// The type of message.
        command: Command,
        /// The length of its payload, in bytes.
        length: usize,
        /// The protocol's limit for the type, in bytes.
        max: u32,
    },
    /// A native transaction cannot carry gas, a payload or a payload hash.
    #[error("a native transaction cannot carry a {field}: leave it out, or set a subnetwork")]
    NativeTransaction {
        /// The name of the part that the transaction must not have.
        field: &'static str,
    },
    /// A transaction of a built-in subnetwork must have gas 0.
    #[error("a transaction of a built-in subnetwork cannot carry gas, and this one has {gas}: set its gas to 0")]
    BuiltInGas {
        /// Its gas.
        gas: u64,
    },
}

/// The reason that [`read_message`](super::read_message) or [`MessageReader`](super::MessageReader) failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The bytes are not a message of this network.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The stream failed.
    #[error("reading a frame failed: {0}")]
    Io(std::io::Error),
}

/// The reason that [`write_message`](super::write_message) failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The protocol cannot carry the message. Nothing was written.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The stream failed. Part of the frame may be written, so do not write to the stream again.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_of_another_protocol_is_named_by_its_first_bytes() {
        let text = |found: &[u8; 4]| FrameError::NotKaspa { found: *found }.to_string();
        assert_eq!(text(b"HTTP"), "not a kaspa node: the first four bytes are \"HTTP\"");
        assert_eq!(
            text(b"\x01\"\x1b\xff"),
            "not a kaspa node: the first four bytes are \"\\x01\\\"\\x1b\\xff\" (as a network's magic number, 0xff1b2201)"
        );
    }

    #[test]
    fn a_wrong_network_names_both_for_the_sender_and_the_receiver() {
        let text = |found, expected| FrameError::Network { found, expected }.to_string();
        assert_eq!(
            text(Network::Testnet.magic(), Network::Mainnet),
            "the frame belongs to testnet, and its receiver is configured for mainnet"
        );
        assert_eq!(
            text(7, Network::Custom(9)),
            "the frame starts with 0x00000007, the magic number of no known network; \
             its receiver is configured for 0x00000009"
        );
    }

    #[test]
    fn an_unknown_command_is_displayed_as_unknown() {
        let text =
            |command: &str| FrameError::OverLimit { command: command.parse().unwrap(), length: 9, max: 8 }.to_string();
        let limit = "announces a payload of 9 bytes; this side is configured to accept at most 8";
        assert_eq!(text("addr"), format!("addr {limit}"));
        assert_eq!(text("hello"), format!("the unknown command hello {limit}"));
    }

    #[test]
    fn too_few_and_too_many_bytes_have_different_texts() {
        let text = |found| FrameError::Truncated { part: "payload", needed: 8, found }.to_string();
        assert_eq!(text(6), "the stream ended inside a payload: 6 of 8 bytes arrived");
        assert_eq!(text(9), "9 bytes follow a header that announces 8");
    }
}
