//! The frames of a stream, and their positions.

use hex::FromHexError;
use kaspa_peer::wire::{Command, DecodeError, FrameError, HEADER_SIZE, Message, Network, ReadError, read_message};
use std::fmt;
use std::io::{self, Read};

/// A frame, well-formed or not, or a line that is not hex.
pub struct Found {
    /// The network of the stream; `None` for a line that is not hex.
    pub network: Option<Network>,
    /// The number of the line, from 1, if the stream is in hex.
    pub line: Option<u64>,
    /// The position of its first byte in the stream.
    pub offset: u64,
    /// How many bytes of it the stream has.
    pub size: u64,
    /// The command, if it is well-formed.
    pub command: Option<Command>,
    /// The length of the payload according to the header.
    pub payload_len: Option<u32>,
    pub content: Result<Message, Problem>,
}

impl Found {
    pub fn not_hex(line: u64, error: FromHexError) -> Self {
        Self {
            network: None,
            line: Some(line),
            offset: 0,
            size: 0,
            command: None,
            payload_len: None,
            content: Err(Problem::Hex(error)),
        }
    }

    /// `true` if the position of the next frame is known.
    pub fn is_followed(&self) -> bool {
        match &self.content {
            Ok(_) => true,
            Err(Problem::Frame(error)) => error.in_step(),
            Err(Problem::Hex(_)) => false,
        }
    }
}

pub enum Problem {
    Frame(FrameError),
    Hex(FromHexError),
}

impl Problem {
    /// The kind of the problem, as a name that does not change.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Hex(_) => "hex",
            Self::Frame(FrameError::Payload { error, .. }) => match error {
                DecodeError::Truncated { .. } => "truncated",
                DecodeError::Trailing { .. } => "trailing",
                DecodeError::TooMany { .. } => "too_many",
                DecodeError::NonCanonical { .. } => "non_canonical",
                DecodeError::NotZero { .. } => "not_zero",
                _ => "payload",
            },
            Self::Frame(error) => match error {
                FrameError::Oversize { .. } => "oversize",
                FrameError::NotKaspa { .. } => "not_kaspa",
                FrameError::OverLimit { .. } => "over_limit",
                FrameError::Network { .. } => "network",
                FrameError::Command { .. } => "command",
                FrameError::TypeLimit { .. } => "type_limit",
                FrameError::Truncated { .. } => "truncated_stream",
                FrameError::Checksum { .. } => "checksum",
                _ => "frame",
            },
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(error) => error.fmt(f),
            Self::Hex(FromHexError::OddLength) => f.write_str("the last byte has only one digit"),
            Self::Hex(FromHexError::InvalidHexCharacter { c, .. }) => write!(f, "{c:?} is not a hex digit"),
            Self::Hex(error) => error.fmt(f),
        }
    }
}

/// The public network whose magic number a stream begins with, or the main network.
pub fn network_of(stream: &[u8]) -> Network {
    let magic = stream.first_chunk().map_or(0, |magic| u32::from_le_bytes(*magic));
    Network::PUBLIC.into_iter().find(|network| network.magic() == magic).unwrap_or(Network::Mainnet)
}

/// A network as the command line accepts it.
pub fn network_name(network: Network) -> String {
    match network {
        Network::Custom(magic) => format!("0x{magic:08x}"),
        public => public.to_string(),
    }
}

/// The frames of a stream.
pub struct Frames<R> {
    source: R,
    network: Network,
    line: Option<u64>,
    offset: u64,
}

impl<R: Read> Frames<R> {
    /// `source` should be buffered.
    pub fn new(source: R, network: Network) -> Self {
        Self { source, network, line: None, offset: 0 }
    }

    pub fn of_line(self, line: u64) -> Self {
        Self { line: Some(line), ..self }
    }

    /// Returns the next frame, or `None` at the end of the stream. Must not be called after a frame that is not
    /// [followed](Found::is_followed) by another.
    ///
    /// [`MessageReader`](kaspa_peer::wire::MessageReader) is the simpler way to read a stream, but it tells
    /// neither the positions of frames nor the command of a malformed one. So the header is read here too.
    pub fn next_frame(&mut self) -> io::Result<Option<Found>> {
        let mut header = Vec::with_capacity(HEADER_SIZE);
        self.source.by_ref().take(HEADER_SIZE as u64).read_to_end(&mut header)?;
        if header.is_empty() {
            return Ok(None);
        }
        let name = header.get(4..16).and_then(|field| str::from_utf8(field).ok());
        let command = name.and_then(|name| name.trim_end_matches('\0').parse().ok());
        let payload_len = header.get(16..20).and_then(<[u8]>::first_chunk).map(|length| u32::from_le_bytes(*length));

        let announced = payload_len.map_or(0, u64::from);
        let mut payload = self.source.by_ref().take(announced);
        let content = match read_message(&mut header.chain(&mut payload), self.network) {
            Ok(message) => Ok(message),
            Err(ReadError::Frame(error)) => Err(error),
            Err(ReadError::Io(error)) => return Err(error),
            Err(error) => return Err(io::Error::other(error)),
        };
        if content.as_ref().is_err_and(FrameError::in_step) {
            // The payload of a frame with a bad header has not been read.
            io::copy(&mut payload, &mut io::sink())?;
        }
        let size = header.len() as u64 + announced - payload.limit();
        let offset = self.offset;
        self.offset += size;
        let content = content.map_err(Problem::Frame);
        let network = Some(self.network);
        Ok(Some(Found { network, line: self.line, offset, size, command, payload_len, content }))
    }
}
