//! Splits a byte stream into frames.

mod checked_reader;
mod large_payload;
mod read_buffer;

use super::checksum::checksum;
use super::command::Command;
use super::error::FrameError;
use super::frame::RawFrame;
use super::frame_header::{HEADER_SIZE, Header};
use super::network::Network;
use super::payload_limits::PayloadLimits;
use checked_reader::{CheckedReader, check_count};
use large_payload::LargePayload;
use read_buffer::ReadBuffer;
use std::{
    fmt,
    io::{self, Read},
    mem,
};

/// A payload up to this size is collected in the read buffer. A larger one is read directly into a buffer of its own.
const SMALL_PAYLOAD: usize = 16 * 1024;

/// The most memory, in bytes, that the decoder reserves when a header announces a payload. It reserves an announced
/// length at once only if the last large payload was at least as long. A remote can therefore make the decoder reserve
/// the memory of a long payload at once only after it has sent a payload that was at least as long.
const MAX_RESERVE: usize = 4 * 1024 * 1024;

/// Splits bytes that arrive in pieces of any size into frames.
///
/// At first, memory grows only with the bytes that arrive. A payload over 16 KiB is large. After a large payload, the
/// decoder reserves the memory of the next large payload as soon as its header has arrived, if that payload is at most
/// as long as the last one and at most 4 MiB long.
///
/// ```
/// use kaspa_peer::wire::{Frame, FrameDecoder, Message, Network, Ping};
///
/// let frame = Frame::encode(&Ping { nonce: 7 }, Network::Simnet)?;
/// let mut decoder = FrameDecoder::new(Network::Simnet);
/// for byte in frame.as_bytes() {
///     assert!(decoder.next_frame()?.is_none());
///     decoder.feed(&[*byte]);
/// }
/// let message = decoder.next_frame()?.map(|frame| frame.decode()).transpose()?;
/// assert_eq!(message, Some(Message::Ping(Ping { nonce: 7 })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct FrameDecoder {
    network: Network,
    limits: PayloadLimits,
    buffer: ReadBuffer,
    /// How many bytes of the stream have arrived.
    arrived: u64,
    /// How many bytes may be reserved at once: the size of the last large payload, at most [`MAX_RESERVE`].
    reserve_limit: usize,
    /// The position of the first byte of the frame that was refused last.
    refused_at: u64,
    state: State,
}

enum State {
    /// The next bytes are a header.
    Header,
    /// A large payload is arriving.
    Payload { command: Command, checksum: [u8; 4], payload: LargePayload },
    /// This many bytes of a refused payload are still to be skipped.
    Skip(usize),
    /// The decoder cannot find the start of the next frame. Every call of `next_frame` returns this error.
    OutOfStep(FrameError),
}

impl FrameDecoder {
    /// A decoder at the start of a stream of `network`. It accepts payloads up to the limits of the protocol.
    #[must_use]
    pub fn new(network: Network) -> Self {
        Self {
            network,
            limits: PayloadLimits::protocol(),
            buffer: ReadBuffer::default(),
            arrived: 0,
            reserve_limit: 0,
            refused_at: 0,
            state: State::Header,
        }
    }

    /// Sets the largest payload of each command. Default: [`PayloadLimits::protocol`].
    #[must_use]
    pub fn with_limits(mut self, limits: PayloadLimits) -> Self {
        self.set_limits(limits);
        self
    }

    /// Changes the largest payload of each command, for the frames that come next. A payload over 16 KiB that is
    /// arriving already is not affected.
    pub fn set_limits(&mut self, limits: PayloadLimits) {
        self.limits = limits;
    }

    /// Adds bytes that arrived. They are kept until [`next_frame`](Self::next_frame) takes their frames. Bytes that
    /// arrive after an error that left the stream out of step are dropped.
    ///
    /// Use it if your program does its own I/O and receives the bytes in pieces. For a large frame, `feed` makes one
    /// more copy than [`read_from`](Self::read_from).
    pub fn feed(&mut self, bytes: &[u8]) {
        let mut bytes = bytes;
        while !bytes.is_empty() {
            if self.incomplete_payload().is_none() {
                // The buffer gets room for one more byte than needed. The buffer grows when a read fills it completely.
                // One spare byte prevents that here.
                self.make_room(bytes.len() + 1);
            }
            // A read from a slice cannot fail, so this never returns early.
            if !self.read_from(&mut bytes).is_ok_and(|count| count > 0) {
                return;
            }
        }
    }

    /// The large payload that is not complete yet.
    fn incomplete_payload(&mut self) -> Option<&mut LargePayload> {
        match &mut self.state {
            State::Payload { payload, .. } if !payload.is_complete() => Some(payload),
            _ => None,
        }
    }

    /// Reads bytes from a stream and keeps them for [`next_frame`](Self::next_frame). Reads once, or several times
    /// while a payload over 16 KiB is arriving. Blocks while a read of the stream blocks. Returns `Ok(0)` at the end of
    /// the stream.
    ///
    /// For a payload over 16 KiB, one call reads until the memory that is reserved so far is full. It returns before
    /// that only if the stream ends, fails or is interrupted. The reserved memory begins at 32 KiB and doubles with
    /// each call. If the last large payload was at least as long as this one, and this one has at most 4 MiB, its
    /// memory is reserved at once.
    ///
    /// # Errors
    ///
    /// The error of the stream, even [`Interrupted`](io::ErrorKind::Interrupted): the decoder does not retry, so that
    /// the caller can decide whether to go on. Bytes that arrived before an error are kept. After an error that leaves
    /// the stream usable, such as `Interrupted`, `WouldBlock` or `TimedOut`, the caller can call this method again. If
    /// the stream is interrupted after this call has read part of a payload, the call returns the number of bytes that
    /// it has read.
    pub fn read_from<R: Read + ?Sized>(&mut self, source: &mut R) -> io::Result<usize> {
        if let Some(payload) = self.incomplete_payload() {
            let mut source = CheckedReader::new(source);
            let before = payload.arrived();
            let result = payload.read_from(&mut source);
            let count = payload.arrived() - before;
            self.arrived += count as u64;
            return source.check(result?);
        }
        self.make_room(1);
        let free = self.buffer.free();
        let room = free.len();
        let count = check_count(source.read(free)?, room)?;
        self.buffer.filled(count, room);
        self.arrived += count as u64;
        Ok(count)
    }

    /// Makes sure that at least `room` bytes of the buffer are free.
    fn make_room(&mut self, room: usize) {
        if matches!(self.state, State::OutOfStep(_)) {
            // These bytes will never be decoded.
            self.buffer.take(usize::MAX);
        }
        self.buffer.make_room(room);
    }

    /// The next complete frame, or `None` if more bytes are needed.
    ///
    /// # Errors
    ///
    /// The first error of a frame, in this order: payload over 32 MiB, another network, malformed command, payload over
    /// the limit of its type, payload over a configured limit, wrong checksum. At the start of a stream,
    /// [`NotKaspa`](FrameError::NotKaspa) comes before all of these, as soon as four bytes have arrived.
    ///
    /// If the error is [in step](FrameError::in_step), the next call continues after that frame. Otherwise every
    /// call returns the error again.
    #[inline]
    pub fn next_frame(&mut self) -> Result<Option<RawFrame<'_>>, FrameError> {
        match &self.state {
            State::Header => {}
            State::Payload { .. } => return self.next_large(),
            State::OutOfStep(error) => return Err(error.clone()),
            State::Skip(_) => {
                if !self.skip() {
                    return Ok(None);
                }
            }
        }
        let Some((header, rest)) = self.buffer.bytes().split_first_chunk::<HEADER_SIZE>() else {
            return if self.arrived < HEADER_SIZE as u64 { self.check_first_bytes() } else { Ok(None) };
        };
        // Cannot fail, because all 24 bytes are there.
        let Ok(header) = Header::read(header) else { return Ok(None) };
        let command = match header.check(self.network, &self.limits) {
            Ok(command) => command,
            Err(error) => return Err(self.refuse(header, error)),
        };
        let length = header.length as usize;
        if rest.len() < length {
            if length > SMALL_PAYLOAD {
                self.begin_large(command, header);
            }
            return Ok(None);
        }
        let frame = self.buffer.take(HEADER_SIZE + length);
        let payload = frame.get(HEADER_SIZE..).unwrap_or_default();
        verify(command, header.checksum, payload)?;
        Ok(Some(RawFrame::borrowed(command, header.checksum, payload)))
    }

    /// Refuses a stream whose first four bytes are not the magic number of a known network. It does not wait for a
    /// complete header, because an error message of another protocol may be shorter than a header.
    #[cold]
    fn check_first_bytes(&mut self) -> Result<Option<RawFrame<'_>>, FrameError> {
        if let Some(magic) = self.buffer.bytes().first_chunk().copied()
            && self.is_unknown(u32::from_le_bytes(magic))
        {
            let error = FrameError::NotKaspa { found: magic };
            self.state = State::OutOfStep(error.clone());
            return Err(error);
        }
        Ok(None)
    }

    /// `true` if a magic number is neither this network's nor that of a public one.
    fn is_unknown(&self, magic: u32) -> bool {
        magic != self.network.magic() && matches!(Network::from_magic(magic), Network::Custom(_))
    }

    /// Begins to skip the payload of a refused frame, or stops decoding if the next frame cannot be found.
    #[cold]
    fn refuse(&mut self, header: Header, error: FrameError) -> FrameError {
        let is_first = self.position() == 0;
        let error = match error {
            FrameError::Oversize { .. } | FrameError::Network { .. } if is_first && self.is_unknown(header.magic) => {
                FrameError::NotKaspa { found: header.magic.to_le_bytes() }
            }
            error => error,
        };
        self.refused_at = self.position();
        self.buffer.take(HEADER_SIZE);
        let skip = State::Skip(header.length as usize);
        self.state = if error.in_step() { skip } else { State::OutOfStep(error.clone()) };
        error
    }

    /// Skips those bytes of a refused payload that have arrived. Returns whether the whole payload is skipped.
    #[cold]
    fn skip(&mut self) -> bool {
        let State::Skip(left) = &mut self.state else { return true };
        *left -= self.buffer.take(*left).len();
        if *left > 0 {
            return false;
        }
        self.state = State::Header;
        true
    }

    /// Creates a buffer for a large payload, and moves the bytes that have arrived to it.
    #[cold]
    fn begin_large(&mut self, command: Command, header: Header) {
        let first_bytes = self.buffer.take(usize::MAX).get(HEADER_SIZE..).unwrap_or_default();
        let payload = LargePayload::new(header.length as usize, first_bytes, self.reserve_limit);
        self.state = State::Payload { command, checksum: header.checksum, payload };
    }

    /// The frame with a large payload, or `None` if the payload is not complete.
    fn next_large(&mut self) -> Result<Option<RawFrame<'_>>, FrameError> {
        if self.incomplete_payload().is_some() {
            return Ok(None);
        }
        if let State::Payload { command, checksum, payload } = mem::replace(&mut self.state, State::Header) {
            let payload = payload.into_bytes();
            verify(command, checksum, &payload)?;
            self.reserve_limit = payload.len().min(MAX_RESERVE);
            return Ok(Some(RawFrame::owned(command, checksum, payload)));
        }
        Ok(None)
    }

    /// The command and the payload length, in bytes, that the header of the next frame announces.
    ///
    /// Available before the payload has arrived: from when all 24 bytes of the header have arrived until
    /// [`next_frame`](Self::next_frame) returns the frame or refuses it. The length is the announced one, even if it is
    /// over a limit.
    ///
    /// `None` while there is no whole header, while the payload of a refused frame is still arriving, after an error
    /// that left the stream out of step, and for a header with the magic number of another network or a malformed
    /// command.
    ///
    /// ```
    /// use kaspa_peer::wire::{Command, Frame, FrameDecoder, Network, Ping};
    ///
    /// let frame = Frame::encode(&Ping { nonce: 7 }, Network::Simnet)?;
    /// let mut decoder = FrameDecoder::new(Network::Simnet);
    /// decoder.feed(&frame.as_bytes()[..23]);
    /// assert_eq!(decoder.announced(), None);
    /// decoder.feed(&frame.as_bytes()[23..24]);
    /// assert_eq!(decoder.announced(), Some((Command::Ping, 8)));
    /// # Ok::<(), kaspa_peer::wire::EncodeError>(())
    /// ```
    #[must_use]
    pub fn announced(&self) -> Option<(Command, u32)> {
        let to_skip = match &self.state {
            State::Header => 0,
            // The buffer begins with the rest of the refused payload. The next header follows that rest, if it has
            // arrived.
            State::Skip(left) => *left,
            State::Payload { command, payload, .. } => return Some((*command, u32::try_from(payload.length()).ok()?)),
            State::OutOfStep(_) => return None,
        };
        let header = Header::read(self.buffer.bytes().get(to_skip..)?.first_chunk()?).ok()?;
        let command = Command::from_field(&header.command)?;
        (header.magic == self.network.magic()).then_some((command, header.length))
    }

    /// How many bytes of the stream have arrived.
    pub(crate) fn arrived(&self) -> u64 {
        self.arrived
    }

    /// How many bytes of the stream the decoder has finished: the frames that it has returned, and those bytes of
    /// refused frames that it has skipped so far. Bytes that were dropped after an error that left the stream out of
    /// step count too.
    #[must_use]
    pub fn position(&self) -> u64 {
        let outside_buffer = match &self.state {
            State::Payload { payload, .. } => HEADER_SIZE + payload.arrived(),
            _ => 0,
        };
        self.arrived - (self.buffer.len() + outside_buffer) as u64
    }

    /// A number that identifies the frame that is arriving: the position of its first byte. It stays the same until the
    /// frame is complete or skipped. `None` between frames.
    pub(crate) fn frame_under_way(&self) -> Option<u64> {
        match self.state {
            // The position moves while the payload is skipped.
            State::Skip(1..) => Some(self.refused_at),
            _ => self.is_mid_frame().then(|| self.position()),
        }
    }

    /// The least number of bytes that must arrive before the current frame is complete. While a payload is skipped, the
    /// result can be too high: it includes bytes to be skipped that are already in the buffer.
    pub(super) fn missing_bytes(&self) -> usize {
        match (&self.state, self.buffer.bytes().first_chunk()) {
            (State::Payload { payload, .. }, _) => payload.length() - payload.arrived(),
            (State::Skip(left), _) => *left,
            (State::Header, Some(header)) => {
                let length = Header::read(header).map_or(0, |header| header.length as usize);
                HEADER_SIZE.saturating_add(length).saturating_sub(self.buffer.len())
            }
            _ => HEADER_SIZE.saturating_sub(self.buffer.len()),
        }
    }

    /// How many bytes of a refused frame the next calls of [`next_frame`](Self::next_frame) skip. Includes bytes that
    /// have not arrived yet.
    pub(crate) fn left_to_skip(&self) -> usize {
        match self.state {
            State::Skip(left) => left,
            _ => 0,
        }
    }

    /// How many bytes of a refused frame have not arrived yet.
    pub(super) fn missing_bytes_to_skip(&self) -> usize {
        self.left_to_skip().saturating_sub(self.buffer.len())
    }

    /// `true` if bytes have arrived that [`next_frame`](Self::next_frame) has not returned: usually a part of a frame
    /// whose rest must follow.
    #[must_use]
    pub fn is_mid_frame(&self) -> bool {
        !self.buffer.is_empty() || !matches!(self.state, State::Header | State::Skip(0))
    }

    /// Checks that the stream may end here.
    ///
    /// # Errors
    ///
    /// [`FrameError::Truncated`] if part of a frame has arrived. Take all complete frames with
    /// [`next_frame`](Self::next_frame) before you call this method: a frame that was not taken counts as a part. It is
    /// no error if the rest of a refused frame is missing.
    pub fn finish(&self) -> Result<(), FrameError> {
        let truncated = |part, needed, found| Err(FrameError::Truncated { part, needed, found });
        let buffered = self.buffer.len();
        match (&self.state, self.buffer.bytes().first_chunk()) {
            (State::Payload { payload, .. }, _) => truncated("payload", payload.length(), payload.arrived()),
            (State::Header, Some(header)) => {
                let needed = Header::read(header).map_or(0, |header| header.length as usize);
                truncated("payload", needed, buffered - HEADER_SIZE)
            }
            (State::Header, None) if buffered > 0 => truncated("header", HEADER_SIZE, buffered),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for FrameDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameDecoder")
            .field("network", &self.network)
            .field("position", &self.position())
            .field("arrived", &self.arrived)
            .field("is_mid_frame", &self.is_mid_frame())
            .finish_non_exhaustive()
    }
}

#[inline]
fn verify(command: Command, found: [u8; 4], payload: &[u8]) -> Result<(), FrameError> {
    let computed = checksum(payload);
    if found == computed { Ok(()) } else { Err(FrameError::Checksum { command, found, computed }) }
}

#[cfg(test)]
mod tests;
