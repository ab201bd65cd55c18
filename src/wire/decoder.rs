//! Pulling frames out of a byte stream that arrives in any pieces.

use super::body::Body;
use super::frame::{Header, checksum};
use super::{Command, FrameError, HEADER_SIZE, Network, PayloadLimits, RawFrame};
use std::{
    fmt,
    io::{self, Read},
};

/// A payload up to this size is assembled in the shared buffer; a larger one is read straight into a buffer of its own.
const SMALL: usize = 16 * 1024;

/// The shared buffer begins this small, for the handshake and quiet peers …
const FIRST_BUFFER: usize = 4 * 1024;

/// … and doubles up to this size when reads fill it.
const LARGE_BUFFER: usize = 256 * 1024;

/// After so many reads in a row that left the large buffer almost empty, it is given back. Few, since a remote may send next
/// to nothing for hours after a burst.
const QUIET_READS: u32 = 4;

/// A remote that has sent a large payload is trusted to send one as large again, up to this size. What it only claims then
/// is still no more than what it has sent.
const MOST_EARNED: usize = 4 * 1024 * 1024;

/// Takes bytes in pieces of any size and gives frames.
///
/// Memory grows with the bytes that arrive, never with a length that a header claims.
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
    buffer: Vec<u8>,
    /// Where in the buffer bytes begin when it is empty, see `aligned`.
    origin: usize,
    start: usize,
    end: usize,
    quiet_reads: u32,
    /// How many bytes arrived in all.
    arrived: u64,
    /// How large a payload the remote is trusted to send, since it has sent one.
    earned: usize,
    state: State,
}

enum State {
    Header,
    /// A large payload, on its way into its own buffer.
    Payload {
        command: Command,
        checksum: [u8; 4],
        body: Body,
    },
    /// The rest of a refused payload.
    Skip(usize),
    /// Out of step for good.
    Lost(FrameError),
}

impl FrameDecoder {
    /// A decoder at the start of a stream of `network`. It accepts what the protocol allows.
    #[must_use]
    pub fn new(network: Network) -> Self {
        Self {
            network,
            limits: PayloadLimits::protocol(),
            buffer: Vec::new(),
            origin: 0,
            start: 0,
            end: 0,
            quiet_reads: 0,
            arrived: 0,
            earned: 0,
            state: State::Header,
        }
    }

    /// Sets the largest payload of each command; those of the protocol unless set.
    #[must_use]
    pub fn with_limits(mut self, limits: PayloadLimits) -> Self {
        self.set_limits(limits);
        self
    }

    /// Changes the largest payload of each command, for the frames that come next. A payload over 16 KiB that the decoder
    /// has begun to collect is not affected.
    pub fn set_limits(&mut self, limits: PayloadLimits) {
        self.limits = limits;
    }

    /// Adds bytes that arrived. They are kept until their frames are taken with [`next_frame`](Self::next_frame), but for
    /// those that arrive after an error that left the stream out of step.
    ///
    /// Made for pieces as they come from elsewhere. A large frame that is fed whole is held whole until it is decoded,
    /// which copies it once more; [`read_from`](Self::read_from) reads it into what becomes the message.
    pub fn feed(&mut self, bytes: &[u8]) {
        let mut bytes = bytes;
        while !bytes.is_empty() {
            if self.collecting().is_none() {
                // One more, so that taking them all does not look as if there were still more to come.
                self.make_room(bytes.len() + 1);
            }
            // Errors only when a reader does, and a slice does not.
            if !self.read_from(&mut bytes).is_ok_and(|count| count > 0) {
                return;
            }
        }
    }

    /// The large payload that is not whole yet.
    fn collecting(&mut self) -> Option<&mut Body> {
        match &mut self.state {
            State::Payload { body, .. } if !body.is_whole() => Some(body),
            _ => None,
        }
    }

    /// Reads from a stream what it gives at once, or waits until it gives something; `Ok(0)` is its end.
    ///
    /// For a payload over 16 KiB, one call reads as many bytes as are reserved for it: 32 KiB at first, then as many
    /// as have arrived, until the payload is complete. Only the stream's end, failure or interruption makes it return earlier.
    ///
    /// # Errors
    ///
    /// The stream's, [`Interrupted`](io::ErrorKind::Interrupted) included: the decoder does not retry, so that the caller can
    /// decide whether to go on. Bytes that arrived before an error are kept, and reading can go on after a harmless one. If
    /// the stream is interrupted after part of a payload has arrived, the call returns the number of these bytes instead.
    pub fn read_from<R: Read + ?Sized>(&mut self, source: &mut R) -> io::Result<usize> {
        let mut source = Honest { source, interruption: None };
        if let Some(body) = self.collecting() {
            let before = body.arrived();
            let result = body.read_from(&mut source);
            let count = body.arrived() - before;
            self.arrived += count as u64;
            return source.check(result?);
        }
        self.make_room(1);
        let free = self.buffer.get_mut(self.end..).unwrap_or_default();
        let room = free.len();
        let count = source.read(free).and_then(|count| source.check(count))?;
        self.end += count;
        self.arrived += count as u64;
        self.resize_for(count, room);
        Ok(count)
    }

    /// Moves what is left to the front, and makes sure that so much fits behind it.
    fn make_room(&mut self, room: usize) {
        if matches!(self.state, State::Lost(_)) {
            // Nobody will ever look at these.
            self.start = self.end;
        }
        if self.start == self.end {
            (self.start, self.end) = (self.origin, self.origin);
        } else if self.start > self.origin {
            self.buffer.copy_within(self.start..self.end, self.origin);
            (self.start, self.end) = (self.origin, self.origin + self.end - self.start);
        }
        if self.buffer.len() - self.end < room {
            let held = self.end - self.start;
            self.reallocate((held + held.max(room)).max(FIRST_BUFFER));
        }
    }

    fn reallocate(&mut self, size: usize) {
        let (mut buffer, origin) = aligned(size);
        let kept = self.buffer.get(self.start..self.end).unwrap_or_default();
        if let Some(place) = buffer.get_mut(origin..origin + kept.len()) {
            place.copy_from_slice(kept);
        }
        (self.start, self.end) = (origin, origin + kept.len());
        (self.buffer, self.origin) = (buffer, origin);
    }

    fn resize_for(&mut self, count: usize, room: usize) {
        let large = self.buffer.len() >= LARGE_BUFFER;
        if count == room && !large {
            self.reallocate((2 * self.buffer.len()).min(LARGE_BUFFER));
        } else if large && count < FIRST_BUFFER {
            self.quiet_reads += 1;
            if self.quiet_reads > QUIET_READS && self.end - self.start < FIRST_BUFFER / 2 {
                self.reallocate(FIRST_BUFFER);
                self.quiet_reads = 0;
            }
        } else {
            self.quiet_reads = 0;
        }
    }

    /// The next frame that is wholly there; `None` when more bytes are needed.
    ///
    /// # Errors
    ///
    /// The first error of a frame, in this order: payload over 32 MiB, another network, malformed command, payload over
    /// the limit of its type, payload over a configured limit, wrong checksum. At the start of a stream,
    /// [`NotKaspa`](FrameError::NotKaspa) comes before all of these, as soon as four bytes have arrived.
    ///
    /// If the error is [in step](FrameError::in_step), the next call continues after that frame. Otherwise every
    /// call gives the error again.
    #[inline]
    pub fn next_frame(&mut self) -> Result<Option<RawFrame<'_>>, FrameError> {
        match &self.state {
            State::Header => {}
            State::Payload { .. } => return self.next_large(),
            State::Lost(error) => return Err(error.clone()),
            State::Skip(_) => {
                if !self.skip() {
                    return Ok(None);
                }
            }
        }
        let Some((header, rest)) =
            self.buffer.get(self.start..self.end).and_then(|bytes| bytes.split_first_chunk::<HEADER_SIZE>())
        else {
            return self.check_first_bytes();
        };
        // 24 bytes are enough for a header.
        let Ok(header) = Header::read(header) else { return Ok(None) };
        let command = match header.check(self.network, &self.limits) {
            Ok(command) => command,
            Err(error) => return Err(self.refuse(header, error)),
        };
        let length = header.length as usize;
        if rest.len() < length {
            if length > SMALL {
                self.collect(command, header);
            }
            return Ok(None);
        }
        let begin = self.start + HEADER_SIZE;
        self.start = begin + length;
        let payload = self.buffer.get(begin..self.start).unwrap_or_default();
        verify(command, header.checksum, payload)?;
        Ok(Some(RawFrame::borrowed(command, header.checksum, payload)))
    }

    /// Refuses a stream that starts with the magic number of no known network, also before the first header is complete:
    /// an error message of another protocol may be shorter than a header, and then nothing follows.
    fn check_first_bytes(&mut self) -> Result<Option<RawFrame<'_>>, FrameError> {
        if self.arrived < HEADER_SIZE as u64
            && let Some(magic) = self.buffer.get(self.start..self.end).and_then(|bytes| bytes.first_chunk())
            && self.is_foreign(u32::from_le_bytes(*magic))
        {
            let error = FrameError::NotKaspa { found: *magic };
            self.state = State::Lost(error.clone());
            return Err(error);
        }
        Ok(None)
    }

    /// Whether a magic number is neither this network's nor that of another known one.
    fn is_foreign(&self, magic: u32) -> bool {
        magic != self.network.magic() && matches!(Network::from_magic(magic), Network::Custom(_))
    }

    /// Skips a frame with such a header, or gives up if the stream is out of step.
    #[cold]
    fn refuse(&mut self, header: Header, error: FrameError) -> FrameError {
        let is_first = self.position() == 0;
        let error = match error {
            FrameError::Oversize { .. } | FrameError::Network { .. } if is_first && self.is_foreign(header.magic) => {
                FrameError::NotKaspa { found: header.magic.to_le_bytes() }
            }
            error => error,
        };
        self.start += HEADER_SIZE;
        let skip = State::Skip(header.length as usize);
        self.state = if error.in_step() { skip } else { State::Lost(error.clone()) };
        error
    }

    /// Takes what is there of a refused payload; whether that was all.
    #[cold]
    fn skip(&mut self) -> bool {
        let State::Skip(left) = &mut self.state else { return true };
        let skipped = (self.end - self.start).min(*left);
        *left -= skipped;
        self.start += skipped;
        if *left > 0 {
            return false;
        }
        self.state = State::Header;
        true
    }

    /// Begins a large payload, with what is there of it.
    #[cold]
    fn collect(&mut self, command: Command, header: Header) {
        let here = self.buffer.get(self.start + HEADER_SIZE..self.end).unwrap_or_default();
        let body = Body::new(header.length as usize, here, self.earned);
        self.start = self.end;
        self.state = State::Payload { command, checksum: header.checksum, body };
    }

    /// The frame whose payload has its own buffer, once it is whole.
    fn next_large(&mut self) -> Result<Option<RawFrame<'_>>, FrameError> {
        if let State::Payload { body, .. } = &self.state
            && !body.is_whole()
        {
            return Ok(None);
        }
        if let State::Payload { command, checksum, body } = std::mem::replace(&mut self.state, State::Header) {
            let payload = body.into_payload();
            verify(command, checksum, &payload)?;
            self.earned = payload.len().min(MOST_EARNED);
            return Ok(Some(RawFrame::owned(command, checksum, payload)));
        }
        Ok(None)
    }

    /// The command and the payload length, in bytes, that the header of the next frame announces.
    ///
    /// Tells what is arriving before its payload has arrived: from when all 24 bytes of the header have arrived until
    /// [`next_frame`](Self::next_frame) gives the frame or refuses it. The length is the announced one, also when it is over
    /// a limit.
    ///
    /// `None` while there is no whole header, while the payload of a refused frame is skipped, after an error that left
    /// the stream out of step, and for a header with the magic number of another network or a malformed command.
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
        let skipped = match &self.state {
            State::Header => 0,
            // The rest of the refused payload may have arrived together with the next header.
            State::Skip(left) => *left,
            State::Payload { command, body, .. } => return Some((*command, u32::try_from(body.length()).ok()?)),
            State::Lost(_) => return None,
        };
        let bytes = self.buffer.get(self.start.checked_add(skipped)?..self.end)?;
        let header = Header::read(bytes.first_chunk()?).ok()?;
        let command = Command::from_field(&header.command)?;
        (header.magic == self.network.magic()).then_some((command, header.length))
    }

    /// How many bytes of the stream have arrived.
    pub(crate) fn arrived(&self) -> u64 {
        self.arrived
    }

    /// How many bytes of the stream are behind the decoder: those of whole frames, and what it skipped.
    #[must_use]
    pub fn position(&self) -> u64 {
        let frame = match &self.state {
            State::Payload { body, .. } => HEADER_SIZE + body.arrived(),
            _ => 0,
        };
        self.arrived - (self.end - self.start + frame) as u64
    }

    /// A number of the frame of which part is there, the same until it is whole or skipped; `None` when there is none.
    pub(crate) fn frame_under_way(&self) -> Option<u64> {
        match self.state {
            // Its last byte: where it ends, the next frame begins.
            State::Skip(left @ 1..) => Some(self.position() + left as u64 - 1),
            _ => self.is_mid_frame().then(|| self.position()),
        }
    }

    /// How many bytes the frame that is being read lacks for sure, or how many are to be skipped before the next.
    pub(super) fn missing(&self) -> usize {
        let buffered = self.end - self.start;
        match (&self.state, self.buffer.get(self.start..self.end).and_then(|bytes| bytes.first_chunk())) {
            (State::Payload { body, .. }, _) => body.length() - body.arrived(),
            (State::Skip(left), _) => *left,
            (State::Header, Some(header)) => {
                let length = Header::read(header).map_or(0, |header| header.length as usize);
                (HEADER_SIZE + length).saturating_sub(buffered)
            }
            _ => HEADER_SIZE.saturating_sub(buffered),
        }
    }

    /// How many bytes of a refused frame are still to be skipped, beyond those that are buffered.
    pub(super) fn to_skip(&self) -> usize {
        match self.state {
            State::Skip(left) => left.saturating_sub(self.end - self.start),
            _ => 0,
        }
    }

    /// Whether part of a frame is there, so that more must come.
    #[must_use]
    pub fn is_mid_frame(&self) -> bool {
        self.start != self.end || !matches!(self.state, State::Header | State::Skip(0))
    }

    /// Says that the stream ended.
    ///
    /// # Errors
    ///
    /// [`FrameError::Truncated`] when it ended inside a frame. Not for the rest of a frame that was refused already.
    pub fn finish(&self) -> Result<(), FrameError> {
        let buffered = self.end - self.start;
        let header = self.buffer.get(self.start..self.end).and_then(|bytes| bytes.first_chunk());
        match (&self.state, header) {
            (State::Payload { body, .. }, _) => {
                Err(FrameError::Truncated { part: "payload", needed: body.length(), found: body.arrived() })
            }
            (State::Header, Some(header)) => {
                let needed = Header::read(header).map_or(0, |header| header.length as usize);
                Err(FrameError::Truncated { part: "payload", needed, found: buffered - HEADER_SIZE })
            }
            (State::Header, None) if buffered > 0 => {
                Err(FrameError::Truncated { part: "header", needed: HEADER_SIZE, found: buffered })
            }
            _ => Ok(()),
        }
    }
}

/// Guards the standard library's helpers against a stream that breaks the rules of [`Read`] or is interrupted without end.
struct Honest<'a, R: ?Sized> {
    source: &'a mut R,
    interruption: Option<io::Error>,
}

impl<R: ?Sized> Honest<'_, R> {
    /// What a read that gave `count` bytes means: 0 bytes are the end of the stream unless it was interrupted.
    #[inline]
    fn check(&mut self, count: usize) -> io::Result<usize> {
        match self.interruption.take() {
            Some(error) if count == 0 => Err(error),
            _ => Ok(count),
        }
    }
}

impl<R: Read + ?Sized> Read for Honest<'_, R> {
    /// Fails if the stream claims to have given more bytes than it was asked for, where the standard library would panic.
    /// Gives 0 bytes if the stream is interrupted, because `read_to_end` would retry for ever.
    #[inline]
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.source.read(into) {
            Ok(count) if count > into.len() => {
                let message = "the stream claims to have given more bytes than it was asked for";
                Err(io::Error::new(io::ErrorKind::InvalidData, message))
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.interruption = Some(error);
                Ok(0)
            }
            result => result,
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

/// A zeroed buffer with room for `size` bytes from the given offset on. A large one starts 128 bytes into a page: on
/// some processors a read into the place where the allocator puts large blocks (16 bytes into one) is several times
/// slower.
fn aligned(size: usize) -> (Vec<u8>, usize) {
    const PAGE: usize = 4096;
    const PLACE: usize = 128;
    if size < LARGE_BUFFER {
        return (vec![0; size], 0);
    }
    let buffer = vec![0; size + PAGE];
    let origin = (PAGE + PLACE - buffer.as_ptr().addr() % PAGE) % PAGE;
    (buffer, origin)
}

#[cfg(test)]
mod tests;
