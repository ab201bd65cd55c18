//! A record of what was said: frames, with their direction, peer and time.

use super::logging::CAPTURE;
use crate::wire::{HEADER_SIZE, MAX_PAYLOAD, Network, WireString};
use log::warn;
use parking_lot::Mutex;
use std::{
    fmt,
    io::{self, BufWriter, Read, Write},
    iter::FusedIterator,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

const MAGIC: [u8; 8] = *b"KPCAP\0\0\x01";

/// The head of a record, in bytes.
const HEAD: usize = 1 + 8 + 8 + 4;

/// Records what the peers of a node say, see [`ConfigBuilder::capture`](super::ConfigBuilder::capture). Clones write to the
/// same place.
///
/// It stops, with a warning in the log, when its limit is reached or writing fails; peers are not affected. But they wait
/// while it is written, all of them: what can block for long, such as a pipe, is no place for a capture. Rotation is the program's: see
/// [`continue_in`](Self::continue_in).
///
/// Dropping the last clone writes what is still buffered, which can block, and no error of it is told: who wants to know
/// calls [`flush`](Self::flush) first.
///
/// ```no_run
/// use kaspa_peer::{Config, peer::Capture, wire::Network};
/// use std::fs::File;
///
/// let capture = Capture::new(File::create("traffic.kpcap")?, Network::Simnet, 100_000_000)?;
/// let config = Config::builder(Network::Simnet).capture(capture).build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # File format
///
/// All numbers are little-endian; nothing is padded or compressed. A file begins with 12 bytes:
///
/// | field | size | |
/// |---|---|---|
/// | magic | 7 bytes | `KPCAP` and two zero bytes |
/// | version | u8 | 1 |
/// | network | u32 | the number at the start of each of its frames, [`Network::magic`] |
///
/// Records follow until the end of the file, each with a head of 21 bytes:
///
/// | field | size | |
/// |---|---|---|
/// | kind | u8 | what happened, see below |
/// | time | u64 | when it was recorded, in microseconds since 1970, by the system's clock |
/// | peer | u64 | [`Peer::id`](super::Peer::id) |
/// | length | u32 | of the rest, in bytes |
/// | rest | length | according to the kind |
///
/// | kind | rest |
/// |---|---|
/// | 0: a frame was received | the frame as it was on the wire, [`HEADER_SIZE`] bytes and its payload |
/// | 1: a frame was sent | the same |
/// | 2: a peer began | text: its address and direction |
/// | 3: a peer is gone | text: the [`DisconnectReason`](super::DisconnectReason) as it is displayed |
/// | 4: what arrived was no message | text: the [`FrameError`](crate::wire::FrameError) as it is displayed |
///
/// What is limited is the file: the limit counts every byte of it, and the first record that does not fit is left out
/// whole, with all that follow. A rest is at most [`HEADER_SIZE`] + [`MAX_PAYLOAD`] bytes long. Text is UTF-8 without
/// control characters. A received frame had the right magic number and checksum; its payload may still be malformed, and a
/// record of kind 4 comes after it then. Of what was refused before that, only the error is recorded.
///
/// Rotation is no part of the format: what [`continue_in`](Self::continue_in) begins is a file of its own, with its own
/// 12 bytes. A reader must be ready for
///
/// - *an end inside a record*, when the program was killed or the disk was full: what stands before it is good.
///   [`CaptureReader`] gives that, and then an error.
/// - *a kind or a version that it does not know*: `CaptureReader` refuses either. A record of an unknown kind can be
///   skipped by its length.
/// - *a length beyond reason*, in a file that was damaged: `CaptureReader` refuses it. Nothing should be reserved for it.
/// - *peers that take turns*: only what one thread of one peer did stands in its order. What is sent is recorded after it
///   was written, so that an answer can stand before its question.
/// - *peers without a beginning or an end*, in a file that was begun after them or ended before.
/// - *the same id twice*, when two nodes share a capture: ids count up from 1 for each node.
/// - *times that go back*, when the clock was set.
#[derive(Clone)]
pub struct Capture {
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    out: BufWriter<Box<dyn Write + Send>>,
    network: Network,
    limit: u64,
    written: u64,
    stopped: bool,
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.inner.lock();
        f.debug_struct("Capture")
            .field("written", &inner.written)
            .field("limit", &inner.limit)
            .field("stopped", &inner.stopped)
            .finish()
    }
}

/// What is recorded.
#[derive(Debug, Clone, Copy)]
pub(super) enum Entry<'a> {
    /// A frame that arrived: its header and its payload.
    Received(&'a [u8; HEADER_SIZE], &'a [u8]),
    Sent(&'a [u8]),
    Connected(&'a str),
    Gone(&'a str),
    Refused(&'a str),
}

impl Capture {
    /// Begins a capture of `network`, which stops before it would be longer than `limit` bytes. Writing is buffered; the
    /// buffer is emptied whenever a peer goes.
    ///
    /// # Errors
    ///
    /// When the beginning of the file cannot be written.
    pub fn new(out: impl Write + Send + 'static, network: Network, limit: u64) -> io::Result<Self> {
        let mut inner = Inner { out: BufWriter::new(Box::new(out)), network, limit, written: 0, stopped: false };
        inner.begin()?;
        Ok(Self { inner: Arc::new(Mutex::new(inner)) })
    }

    /// Goes on in another place, with the limit counted anew: how a program rotates its files.
    ///
    /// # Errors
    ///
    /// When the old place cannot be completed, or the new one begun; nothing is recorded then until this is called again.
    pub fn continue_in(&self, out: impl Write + Send + 'static) -> io::Result<()> {
        let mut inner = self.inner.lock();
        inner.stopped = true;
        inner.out.flush()?;
        inner.out = BufWriter::new(Box::new(out));
        inner.written = 0;
        inner.begin()?;
        inner.stopped = false;
        Ok(())
    }

    /// The network whose traffic is recorded, which must be the node's.
    #[must_use]
    pub fn network(&self) -> Network {
        self.inner.lock().network
    }

    /// How many bytes were recorded.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.inner.lock().written
    }

    /// Whether nothing more is recorded: the limit was reached, or writing failed.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.inner.lock().stopped
    }

    /// Empties the buffer.
    ///
    /// # Errors
    ///
    /// When that cannot be written.
    pub fn flush(&self) -> io::Result<()> {
        self.inner.lock().out.flush()
    }

    pub(super) fn record(&self, peer: u64, entry: Entry<'_>) {
        let mut inner = self.inner.lock();
        if inner.stopped {
            return;
        }
        let (kind, parts): (u8, [&[u8]; 2]) = match entry {
            Entry::Received(header, payload) => (0, [header, payload]),
            Entry::Sent(frame) => (1, [frame, &[]]),
            Entry::Connected(text) => (2, [text.as_bytes(), &[]]),
            Entry::Gone(text) => (3, [text.as_bytes(), &[]]),
            Entry::Refused(text) => (4, [text.as_bytes(), &[]]),
        };
        // Until it is done, so that a panic there ends one peer and not, one after the other, all that record.
        inner.stopped = true;
        let mut result = inner.append(kind, peer, parts);
        if matches!(entry, Entry::Gone(_)) {
            result = result.and_then(|()| inner.out.flush());
        }
        if result.is_err() {
            // What was recorded before is not lost for that.
            let _ = inner.out.flush();
        }
        inner.stopped = result.is_err();
        drop(inner);
        if let Err(error) = result {
            warn!(target: CAPTURE, "capture stopped: {error}");
        }
    }
}

impl Inner {
    fn begin(&mut self) -> io::Result<()> {
        self.out.write_all(&MAGIC)?;
        self.out.write_all(&self.network.magic().to_le_bytes())?;
        self.written = (MAGIC.len() + 4) as u64;
        self.out.flush()
    }

    fn append(&mut self, kind: u8, peer: u64, parts: [&[u8]; 2]) -> io::Result<()> {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let size = (HEAD + length) as u64;
        if self.written + size > self.limit {
            return Err(io::Error::new(io::ErrorKind::StorageFull, format!("its limit is {} bytes", self.limit)));
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let time = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
        let length = u32::try_from(length).map_err(io::Error::other)?;
        self.out.write_all(&[kind])?;
        self.out.write_all(&time.to_le_bytes())?;
        self.out.write_all(&peer.to_le_bytes())?;
        self.out.write_all(&length.to_le_bytes())?;
        parts.iter().try_for_each(|part| self.out.write_all(part))?;
        self.written += size;
        Ok(())
    }
}

/// One thing that a capture recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CaptureRecord {
    /// When it happened.
    pub time: SystemTime,
    /// Which peer it was.
    pub peer: u64,
    /// What happened.
    pub what: Captured,
}

/// What a capture recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Captured {
    /// A frame was received, with these bytes.
    Received(Vec<u8>),
    /// A frame was sent, with these bytes.
    Sent(Vec<u8>),
    /// A peer was made: its address and direction.
    Connected(WireString),
    /// A peer was gone: the reason.
    Gone(WireString),
    /// What arrived was not a message: the error.
    Refused(WireString),
}

/// The records of a capture, one after the other.
#[derive(Debug)]
pub struct CaptureReader<R> {
    source: R,
    network: Network,
    ended: bool,
}

impl<R: Read> CaptureReader<R> {
    /// Reads a capture from `source`, which should be buffered.
    ///
    /// # Errors
    ///
    /// When `source` fails, or is no capture.
    pub fn new(mut source: R) -> io::Result<Self> {
        let (mut magic, mut network) = ([0; MAGIC.len()], [0; 4]);
        source.read_exact(&mut magic)?;
        source.read_exact(&mut network)?;
        if magic != MAGIC {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not a capture, or of another version"));
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
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a record of {length} bytes")));
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
            kind => return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a record of kind {kind}"))),
        };
        let time = UNIX_EPOCH
            .checked_add(Duration::from_micros(u64::from_le_bytes(time)))
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a time that cannot be"))?;
        Ok(Some(CaptureRecord { time, peer: u64::from_le_bytes(peer), what }))
    }
}

impl<R: Read> Iterator for CaptureReader<R> {
    /// A record, or why there are no more.
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
