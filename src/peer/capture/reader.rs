//! Reads the records of a capture.

use super::MAGIC;
use crate::wire::{Frame, FrameError, HEADER_SIZE, MAX_PAYLOAD, Message, Network, WireString};
use std::{
    io::{self, Read},
    iter::FusedIterator,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// One record of a capture.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CaptureRecord {
    /// When it was recorded, by the clock of the system.
    pub time: SystemTime,
    /// The [id](crate::Peer::id) of the peer.
    pub peer: u64,
    /// The frame or the event.
    pub what: Captured,
}

impl CaptureRecord {
    /// The message in a record of a received or sent frame. `None` for the other kinds of records.
    ///
    /// The network is the one whose magic number is in the frame.
    ///
    /// ```
    /// use kaspa_peer::peer::CaptureReader;
    /// use kaspa_peer::wire::{Frame, Network, Ping};
    ///
    /// // A file with one record: peer 1 received a ping.
    /// let frame = Frame::encode(&Ping { nonce: 7 }, Network::Simnet)?;
    /// let mut file = b"KPCAP\0\0\x01".to_vec();
    /// file.extend(Network::Simnet.magic().to_le_bytes());
    /// file.push(0);
    /// file.extend(0u64.to_le_bytes());
    /// file.extend(1u64.to_le_bytes());
    /// file.extend(u32::try_from(frame.as_bytes().len())?.to_le_bytes());
    /// file.extend(frame.as_bytes());
    ///
    /// for record in CaptureReader::new(file.as_slice())? {
    ///     let record = record?;
    ///     let message = record.message().transpose()?;
    ///     assert_eq!((record.peer, message), (1, Some(Ping { nonce: 7 }.into())));
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the frame is malformed. This can happen for received frames: a capture also records frames whose payload does
    /// not decode.
    #[must_use]
    pub fn message(&self) -> Option<Result<Message, FrameError>> {
        let (Captured::Received(frame) | Captured::Sent(frame)) = &self.what else { return None };
        let magic = frame.first_chunk().copied().map(u32::from_le_bytes).unwrap_or_default();
        Some(Frame::from_bytes(frame.clone(), Network::from_magic(magic)).and_then(|frame| frame.decode()))
    }
}

/// The content of one record of a capture: a frame, or the start or end of a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Captured {
    /// A frame was received, with these bytes.
    Received(Vec<u8>),
    /// A frame was sent, with these bytes.
    Sent(Vec<u8>),
    /// A peer started: its address and direction.
    Connected(WireString),
    /// A peer ended: the [`DisconnectReason`](crate::DisconnectReason) as it is displayed.
    Gone(WireString),
    /// A malformed frame was received: the error as it is displayed.
    Refused(WireString),
}

/// An iterator over the records of a capture. See [`Capture`](super::Capture) for the format of the file.
#[derive(Debug)]
pub struct CaptureReader<R> {
    source: R,
    network: Network,
    ended: bool,
}

impl<R: Read> CaptureReader<R> {
    /// Reads the first bytes of a capture from `source`, which should be buffered.
    ///
    /// # Errors
    ///
    /// If `source` fails, is shorter than 12 bytes, or is not a capture of version 1
    /// ([`InvalidData`](io::ErrorKind::InvalidData)).
    pub fn new(mut source: R) -> io::Result<Self> {
        let (mut magic, mut network) = ([0; MAGIC.len()], [0; 4]);
        source.read_exact(&mut magic)?;
        source.read_exact(&mut network)?;
        if magic != MAGIC {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("not a capture of version 1: it begins with \"{}\"", magic.escape_ascii()),
            ));
        }
        Ok(Self { source, network: Network::from_magic(u32::from_le_bytes(network)), ended: false })
    }

    /// The network whose traffic was recorded.
    #[must_use]
    pub fn network(&self) -> Network {
        self.network
    }

    fn read(&mut self) -> io::Result<Option<CaptureRecord>> {
        let mut kind = Vec::new();
        self.source.by_ref().take(1).read_to_end(&mut kind)?;
        let Some(&kind) = kind.first() else { return Ok(None) };
        let (mut time, mut peer, mut length) = ([0; 8], [0; 8], [0; 4]);
        self.source.read_exact(&mut time)?;
        self.source.read_exact(&mut peer)?;
        self.source.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length);
        if length > MAX_PAYLOAD + HEADER_SIZE as u32 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a record claims {length} bytes")));
        }
        let mut rest = Vec::new();
        if self.source.by_ref().take(length.into()).read_to_end(&mut rest)? < length as usize {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let what = match kind {
            0 => Captured::Received(rest),
            1 => Captured::Sent(rest),
            2 => Captured::Connected(WireString::from_bytes(rest)),
            3 => Captured::Gone(WireString::from_bytes(rest)),
            4 => Captured::Refused(WireString::from_bytes(rest)),
            kind => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("a record has the unknown kind {kind}"),
                ));
            }
        };
        let time = UNIX_EPOCH
            .checked_add(Duration::from_micros(u64::from_le_bytes(time)))
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the time of a record is out of range"))?;
        Ok(Some(CaptureRecord { time, peer: u64::from_le_bytes(peer), what }))
    }
}

impl<R: Read> Iterator for CaptureReader<R> {
    /// A record, or the error that ends the iteration.
    type Item = io::Result<CaptureRecord>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let item = self.read().transpose();
        self.ended = !matches!(item, Some(Ok(_)));
        item
    }
}

impl<R: Read> FusedIterator for CaptureReader<R> {}
