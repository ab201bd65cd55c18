//! Reads the records of a capture.

use super::format::{FILE_HEAD, HEAD, MAGIC};
use crate::wire::{Frame, FrameError, HEADER_SIZE, MAX_PAYLOAD, Message, Network, WireString};
use std::{
    fmt,
    io::{self, Read},
    iter::FusedIterator,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// One record of a capture.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CaptureRecord {
    /// The time at which it was recorded, by the clock of the system.
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

/// An iterator over the records of a capture. A file that ends inside a record gives the records before it, and then an
/// error of the kind [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) that says where that record begins. See
/// [`Capture`](super::Capture) for the format of the file.
#[derive(Debug)]
pub struct CaptureReader<R> {
    source: R,
    network: Network,
    /// Where the next record begins, in bytes.
    offset: u64,
    ended: bool,
}

impl<R: Read> CaptureReader<R> {
    /// Reads the first bytes of a capture from `source`, which should be buffered.
    ///
    /// # Errors
    ///
    /// If `source` fails, is empty or shorter than 12 bytes ([`UnexpectedEof`](io::ErrorKind::UnexpectedEof)), or is
    /// not a capture of version 1 ([`InvalidData`](io::ErrorKind::InvalidData)). The text says which.
    pub fn new(mut source: R) -> io::Result<Self> {
        let mut start = Vec::new();
        source.by_ref().take(FILE_HEAD as u64).read_to_end(&mut start)?;
        if start.is_empty() {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "not a capture: the file is empty"));
        }
        let magic = start.get(..MAGIC.len()).unwrap_or(&start);
        if !MAGIC.starts_with(magic) {
            let text = format!("not a capture of version 1: the file begins with \"{}\"", magic.escape_ascii());
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let Some(network) = start.get(MAGIC.len()..).and_then(|network| network.first_chunk()) else {
            let text =
                format!("not a capture: the file has {} bytes, and a capture begins with {FILE_HEAD}", start.len());
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
        };
        let network = Network::from_magic(u32::from_le_bytes(*network));
        Ok(Self { source, network, offset: FILE_HEAD as u64, ended: false })
    }

    /// The network whose traffic was recorded.
    #[must_use]
    pub fn network(&self) -> Network {
        self.network
    }

    /// Reads a part of the record that begins at `offset`.
    fn read_part(&mut self, part: &mut [u8]) -> io::Result<()> {
        self.source.read_exact(part).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => self.ends_inside_record(),
            _ => error,
        })
    }

    fn ends_inside_record(&self) -> io::Error {
        let text = format!("the capture ends inside a record that begins at byte {}", self.offset);
        io::Error::new(io::ErrorKind::UnexpectedEof, text)
    }

    fn invalid_record(&self, what: fmt::Arguments<'_>) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, format!("the record that begins at byte {} {what}", self.offset))
    }

    fn read(&mut self) -> io::Result<Option<CaptureRecord>> {
        let mut kind = Vec::new();
        self.source.by_ref().take(1).read_to_end(&mut kind)?;
        let Some(&kind) = kind.first() else { return Ok(None) };
        let (mut time, mut peer, mut length) = ([0; 8], [0; 8], [0; 4]);
        self.read_part(&mut time)?;
        self.read_part(&mut peer)?;
        self.read_part(&mut length)?;
        let length = u32::from_le_bytes(length);
        if length > MAX_PAYLOAD + HEADER_SIZE as u32 {
            return Err(self.invalid_record(format_args!("claims {length} bytes")));
        }
        let mut rest = Vec::new();
        if self.source.by_ref().take(length.into()).read_to_end(&mut rest)? < length as usize {
            return Err(self.ends_inside_record());
        }
        let what = match kind {
            0 => Captured::Received(rest),
            1 => Captured::Sent(rest),
            2 => Captured::Connected(WireString::from_bytes(rest)),
            3 => Captured::Gone(WireString::from_bytes(rest)),
            4 => Captured::Refused(WireString::from_bytes(rest)),
            kind => return Err(self.invalid_record(format_args!("has the unknown kind {kind}"))),
        };
        let time = UNIX_EPOCH
            .checked_add(Duration::from_micros(u64::from_le_bytes(time)))
            .ok_or_else(|| self.invalid_record(format_args!("has a time that is out of range")))?;
        self.offset += (HEAD as u64).saturating_add(length.into());
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with two records of 21 bytes and a text of 2.
    fn file() -> Vec<u8> {
        let mut file = MAGIC.to_vec();
        file.extend(Network::Simnet.magic().to_le_bytes());
        for _ in 0..2 {
            file.extend([3; 1]);
            file.extend([0; 16]);
            file.extend(2u32.to_le_bytes());
            file.extend(b"ok");
        }
        file
    }

    #[test]
    fn a_file_that_ends_inside_a_record_says_where_the_record_begins() {
        let file = file();
        let records = |length: usize| CaptureReader::new(&file[..length]).unwrap().collect::<Vec<_>>();
        assert!(records(58).iter().all(Result::is_ok) && records(58).len() == 2);
        assert!(records(35).iter().all(Result::is_ok) && records(35).len() == 1);
        for (begins, lengths) in [(12, 13..35), (35, 36..58)] {
            for length in lengths {
                let error = records(length).pop().unwrap().unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
                let expected = format!("the capture ends inside a record that begins at byte {begins}");
                assert_eq!(error.to_string(), expected, "{length} bytes");
            }
        }
    }

    #[test]
    fn a_malformed_record_says_where_it_begins() {
        let mut file = file();
        file[35] = 9;
        let error = CaptureReader::new(file.as_slice()).unwrap().last().unwrap().unwrap_err();
        assert_eq!(error.to_string(), "the record that begins at byte 35 has the unknown kind 9");
    }

    #[test]
    fn a_file_that_is_empty_or_too_short_or_of_another_kind_says_so() {
        let text = |length: usize| CaptureReader::new(&file()[..length]).unwrap_err().to_string();
        assert_eq!(text(0), "not a capture: the file is empty");
        for length in 1..12 {
            let expected = format!("not a capture: the file has {length} bytes, and a capture begins with 12");
            assert_eq!(text(length), expected);
        }
        let error = CaptureReader::new(b"HTTP".as_slice()).unwrap_err();
        assert_eq!(error.to_string(), "not a capture of version 1: the file begins with \"HTTP\"");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
