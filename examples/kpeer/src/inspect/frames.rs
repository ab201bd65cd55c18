//! Finding the frames in a stream, and where they are.

use hex::FromHexError;
use kaspa_peer::wire::{Command, DecodeError, FrameError, HEADER_SIZE, Message, Network, ReadError, read_message};
use std::fmt;
use std::io::{self, Read};

/// A frame, good or bad, or a line that is not even hex.
pub struct Found {
    /// The network that is read; unknown of a line that is not hex.
    pub network: Option<Network>,
    /// The line, from 1 on, of a stream that is written in hex.
    pub line: Option<u64>,
    /// Where in its stream it begins.
    pub offset: u64,
    /// How many bytes there are of it.
    pub size: u64,
    /// Its command, if that is well-formed.
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

    /// Whether it is known where the next frame begins.
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
    /// What is wrong, as a name that does not change.
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

/// The public network whose magic number a stream begins with, or else the main network.
pub fn network_of(stream: &[u8]) -> Network {
    let magic = stream.first_chunk().map_or(0, |magic| u32::from_le_bytes(*magic));
    Network::PUBLIC.into_iter().find(|network| network.magic() == magic).unwrap_or(Network::Mainnet)
}

/// A network as the command line takes it.
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

    /// The next frame; `None` at the end of the stream. Not to be called after one that none [follows](Found::is_followed).
    ///
    /// [`MessageReader`](kaspa_peer::wire::MessageReader) is the simpler way to read a stream, but it does not tell where
    /// the frames are, nor what a bad one was meant to be. So the header is looked at here, too.
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
            // Of a frame that its header condemned, the payload is still to come.
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
