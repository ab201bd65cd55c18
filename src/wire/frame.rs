//! Frames: a 24-byte header and a payload.

use super::codec::{Cursor, Put};
use super::{Command, DecodeError, Encode, EncodeError, FrameError, MAX_PAYLOAD, Message, Network, PayloadLimits};
use bytes::Bytes;
use sha2::block_api::compress256;
use std::fmt;

/// The size of a frame's header, in bytes.
pub const HEADER_SIZE: usize = 24;

/// What stands before a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) magic: u32,
    pub(crate) command: [u8; 12],
    pub(crate) length: u32,
    pub(crate) checksum: [u8; 4],
}

impl Header {
    #[inline]
    pub(crate) fn read(bytes: &[u8; HEADER_SIZE]) -> Result<Self, DecodeError> {
        let mut input = Cursor::new(bytes);
        Ok(Self {
            magic: input.u32("magic")?,
            command: *input.array("command")?,
            length: input.u32("length")?,
            checksum: *input.array("checksum")?,
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.put_u32(self.magic);
        out.put_bytes(&self.command);
        out.put_u32(self.length);
        out.put_bytes(&self.checksum);
    }

    /// Checks all that can be checked before the payload has arrived, in the protocol's order.
    #[inline]
    pub(crate) fn check(&self, network: Network, limits: &PayloadLimits) -> Result<Command, FrameError> {
        let Self { magic, command: field, length, .. } = *self;
        if length > MAX_PAYLOAD {
            return Err(FrameError::Oversize { length, max: MAX_PAYLOAD });
        }
        if magic != network.magic() {
            return Err(FrameError::Network { found: magic, expected: network });
        }
        let command = Command::from_field(&field).ok_or(FrameError::Command { found: field })?;
        if length > limits.of(command) { Err(over_limit(command, length, limits)) } else { Ok(command) }
    }
}

/// Which of the two limits a payload is over. The protocol's is checked first.
#[cold]
fn over_limit(command: Command, length: u32, limits: &PayloadLimits) -> FrameError {
    let max = command.payload_limit();
    if length > max {
        return FrameError::TypeLimit { command, length, max };
    }
    FrameError::OverLimit { command, length, max: limits.of(command) }
}

/// The checksum of a payload: the first 4 bytes of its double SHA-256.
pub(crate) fn checksum(payload: &[u8]) -> [u8; 4] {
    let digest = sha256(payload);
    // What is hashed again fits one block: the digest, a one bit, zeros, and the length in bits.
    let mut block = [0; 64];
    let (words, _) = block.as_chunks_mut();
    words.iter_mut().zip(digest).for_each(|(bytes, word)| *bytes = word.to_be_bytes());
    if let [.., one, _, _, _, _, _, _, length] = words {
        *one = [0x80, 0, 0, 0];
        *length = 256_u32.to_be_bytes();
    }
    let mut state = START;
    compress256(&mut state, &[block]);
    let [first, ..] = state;
    first.to_be_bytes()
}

/// Where SHA-256 begins.
const START: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// SHA-256 without the buffer that a hasher keeps for bytes still to come: for a short message that costs as much as half the hash.
#[inline]
fn sha256(bytes: &[u8]) -> [u32; 8] {
    let mut state = START;
    let (blocks, rest) = bytes.as_chunks();
    if !blocks.is_empty() {
        compress256(&mut state, blocks);
    }
    // The rest, a one bit, zeros, and the length in bits, in one block or two.
    let mut last = [[0; 64]; 2];
    if let Some((start, [one, ..])) = last.as_flattened_mut().split_at_mut_checked(rest.len()) {
        start.copy_from_slice(rest);
        *one = 0x80;
    }
    let used = if rest.len() < 56 { 1 } else { 2 };
    if let Some(used) = last.get_mut(..used) {
        if let Some(length) = used.as_flattened_mut().last_chunk_mut() {
            *length = (8 * bytes.len() as u64).to_be_bytes();
        }
        compress256(&mut state, used);
    }
    state
}

/// Appends a whole frame, in room reserved once.
pub(crate) fn encode_frame<M: Encode + ?Sized>(
    message: &M,
    network: Network,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    encode_sized(message, message.encoded_len(), network, out)
}

/// Like [`encode_frame`], for who knows the payload's length already: working it out can take as long as writing it.
pub(crate) fn encode_sized<M: Encode + ?Sized>(
    message: &M,
    length: usize,
    network: Network,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    message.validate_sized(length)?;
    out.reserve_exact(HEADER_SIZE + length);
    let start = out.len();
    out.put_u32(network.magic());
    out.put_bytes(&message.command().to_field());
    // Not over the limit of its type, as was just checked.
    out.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    out.put_bytes(&[0; 4]);
    message.write_payload(out);
    if let Some((header, payload)) = out.get_mut(start..).and_then(|frame| frame.split_first_chunk_mut::<HEADER_SIZE>())
        && let Some(place) = header.last_chunk_mut()
    {
        *place = checksum(payload);
    }
    Ok(())
}

/// A message encoded for one network, ready to be sent to any number of peers: cloning it copies no bytes.
///
/// ```
/// use kaspa_peer::wire::{Frame, Network, Ping};
///
/// let frame = Frame::encode(&Ping { nonce: 7 }, Network::Simnet)?;
/// assert_eq!(frame.as_bytes().len(), 24 + 8);
/// # Ok::<(), kaspa_peer::wire::EncodeError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Frame {
    network: Network,
    command: Command,
    bytes: Bytes,
}

impl Frame {
    /// Encodes a message, once.
    ///
    /// # Errors
    ///
    /// When the protocol cannot carry it.
    pub fn encode<M: Encode + ?Sized>(message: &M, network: Network) -> Result<Self, EncodeError> {
        let mut bytes = Vec::new();
        encode_frame(message, network, &mut bytes)?;
        Ok(Self { network, command: message.command(), bytes: bytes.into() })
    }

    /// A frame from its bytes, such as were read from a file: header and checksum are verified, the payload is not decoded.
    ///
    /// # Errors
    ///
    /// What is wrong with the header or the checksum; [`FrameError::Truncated`] when `bytes` is not exactly one frame.
    pub fn from_bytes(bytes: Vec<u8>, network: Network) -> Result<Self, FrameError> {
        let truncated = |part, needed, found| FrameError::Truncated { part, needed, found };
        let Some((header, payload)) = bytes.split_first_chunk::<HEADER_SIZE>() else {
            return Err(truncated("header", HEADER_SIZE, bytes.len()));
        };
        let header = Header::read(header).map_err(|_| truncated("header", HEADER_SIZE, bytes.len()))?;
        let command = header.check(network, &PayloadLimits::protocol())?;
        if payload.len() != header.length as usize {
            return Err(truncated("payload", header.length as usize, payload.len()));
        }
        let computed = checksum(payload);
        if computed != header.checksum {
            return Err(FrameError::Checksum { command, found: header.checksum, computed });
        }
        Ok(Self { network, command, bytes: bytes.into() })
    }

    /// A well-formed frame of any command and any payload: its length and checksum are right, and the payload is not
    /// checked. For tests of how a node treats bad payloads, and for payloads that are encoded already.
    ///
    /// ```
    /// use kaspa_peer::wire::{Command, Frame, Network};
    ///
    /// let frame = Frame::raw(Command::Ping, b"too short", Network::Simnet)?;
    /// assert!(frame.decode().is_err());
    /// # Ok::<(), kaspa_peer::wire::EncodeError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`EncodeError::TypeLimit`] if the payload is longer than [`MAX_PAYLOAD`]. The limit of the type is not checked.
    pub fn raw(command: Command, payload: &[u8], network: Network) -> Result<Self, EncodeError> {
        let length = payload.len();
        let short = u32::try_from(length).ok().filter(|length| *length <= MAX_PAYLOAD);
        let Some(short) = short else {
            return Err(EncodeError::TypeLimit { command, length, max: MAX_PAYLOAD });
        };
        let header =
            Header { magic: network.magic(), command: command.to_field(), length: short, checksum: checksum(payload) };
        let mut bytes = Vec::with_capacity(HEADER_SIZE + length);
        header.write(&mut bytes);
        bytes.put_bytes(payload);
        Ok(Self { network, command, bytes: bytes.into() })
    }

    /// Decodes the message.
    ///
    /// # Errors
    ///
    /// [`FrameError::Payload`] if the payload does not decode. A frame that was [encoded](Self::encode) decodes always.
    pub fn decode(&self) -> Result<Message, FrameError> {
        let command = self.command;
        let payload = self.bytes.get(HEADER_SIZE..).unwrap_or_default();
        Message::decode_or(command, payload, |error| FrameError::Payload { command, error })
    }

    /// The network whose peers can be sent this.
    #[must_use]
    pub fn network(&self) -> Network {
        self.network
    }

    /// The type of message.
    #[must_use]
    pub fn command(&self) -> Command {
        self.command
    }

    /// Header and payload, as they go over the wire.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn shared(&self) -> Bytes {
        self.bytes.clone()
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("network", &self.network)
            .field("command", &self.command)
            .field("bytes", &self.bytes.len())
            .finish()
    }
}

/// A frame off a stream, with its header and checksum verified and its payload not yet decoded.
pub struct RawFrame<'a> {
    command: Command,
    checksum: [u8; 4],
    payload: RawPayload<'a>,
}

enum RawPayload<'a> {
    Borrowed(&'a [u8]),
    Owned(Vec<u8>),
}

impl<'a> RawFrame<'a> {
    pub(super) fn borrowed(command: Command, checksum: [u8; 4], payload: &'a [u8]) -> Self {
        Self { command, checksum, payload: RawPayload::Borrowed(payload) }
    }

    pub(super) fn owned(command: Command, checksum: [u8; 4], payload: Vec<u8>) -> Self {
        Self { command, checksum, payload: RawPayload::Owned(payload) }
    }

    /// The type of message.
    #[must_use]
    pub fn command(&self) -> Command {
        self.command
    }

    /// The bytes behind the header.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        match &self.payload {
            RawPayload::Borrowed(payload) => payload,
            RawPayload::Owned(payload) => payload,
        }
    }

    /// The header as it was on the wire of `network`.
    #[must_use]
    pub fn header(&self, network: Network) -> [u8; HEADER_SIZE] {
        let mut header = Vec::with_capacity(HEADER_SIZE);
        let parts = Header {
            magic: network.magic(),
            command: self.command.to_field(),
            // A payload is at most 32 MiB.
            length: u32::try_from(self.payload().len()).unwrap_or(u32::MAX),
            checksum: self.checksum,
        };
        parts.write(&mut header);
        header.first_chunk().copied().unwrap_or_default()
    }

    /// How many bytes the frame took on the wire, its header included.
    #[must_use]
    pub fn size(&self) -> usize {
        HEADER_SIZE + self.payload().len()
    }

    /// Decodes the payload.
    ///
    /// # Errors
    ///
    /// [`FrameError::Payload`] when it is not what its command says.
    #[inline]
    pub fn decode(self) -> Result<Message, FrameError> {
        let command = self.command;
        let refuse = |error| FrameError::Payload { command, error };
        match self.payload {
            RawPayload::Borrowed(payload) => Message::decode_or(command, payload, refuse),
            RawPayload::Owned(payload) => Message::decode_vec(command, payload).map_err(refuse),
        }
    }
}

impl fmt::Debug for RawFrame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawFrame")
            .field("command", &self.command)
            .field("payload", &self.payload().len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{FrameDecoder, Ping};
    use sha2::{Digest, Sha256};

    #[test]
    fn the_checksum_is_the_start_of_the_double_hash() {
        let bytes: Vec<u8> = (0..=255).collect();
        for length in 0..bytes.len() {
            let payload = &bytes[..length];
            assert_eq!(checksum(payload), Sha256::digest(Sha256::digest(payload))[..4], "{length} bytes");
        }
    }

    fn ping() -> Frame {
        Frame::encode(&Ping { nonce: 7 }, Network::Simnet).unwrap()
    }

    #[test]
    fn a_frame_is_made_of_exactly_its_bytes() {
        let frame = ping();
        let bytes = frame.as_bytes().to_vec();
        assert_eq!(Frame::from_bytes(bytes.clone(), Network::Simnet), Ok(frame.clone()));
        assert_eq!(*frame.shared(), bytes);
        for length in 0..bytes.len() {
            let cut = Frame::from_bytes(bytes[..length].to_vec(), Network::Simnet);
            assert!(matches!(cut, Err(FrameError::Truncated { .. })), "{length}: {cut:?}");
        }
        let longer = [bytes.clone(), vec![0]].concat();
        assert!(matches!(Frame::from_bytes(longer, Network::Simnet), Err(FrameError::Truncated { .. })));
        let mut other = bytes.clone();
        *other.last_mut().unwrap() ^= 1;
        assert!(matches!(Frame::from_bytes(other, Network::Simnet), Err(FrameError::Checksum { .. })));
        assert!(matches!(Frame::from_bytes(bytes, Network::Mainnet), Err(FrameError::Network { .. })));
        assert!(format!("{frame:?}").contains("ping"));
    }

    #[test]
    fn a_raw_frame_is_well_formed_whatever_its_payload() {
        let payload = 7_u64.to_le_bytes();
        assert_eq!(Frame::raw(Command::Ping, &payload, Network::Simnet), Ok(ping()));
        assert_eq!(ping().decode(), Ok(Ping { nonce: 7 }.into()));

        // Longer than a ping may be.
        let long = Frame::raw(Command::Ping, &[0; 9], Network::Simnet).unwrap();
        assert_eq!(long.as_bytes().len(), HEADER_SIZE + 9);
        assert!(matches!(long.decode(), Err(FrameError::Payload { command: Command::Ping, .. })));

        let custom = Frame::raw("hello".parse().unwrap(), b"world", Network::Simnet).unwrap();
        assert!(matches!(custom.decode(), Ok(Message::Custom(message)) if message.payload == b"world"));

        let length = MAX_PAYLOAD as usize + 1;
        let error = EncodeError::TypeLimit { command: Command::Tx, length, max: MAX_PAYLOAD };
        assert_eq!(Frame::raw(Command::Tx, &vec![0; length], Network::Simnet), Err(error));
    }

    #[test]
    fn a_frame_off_a_stream_is_what_was_sent() {
        let mut decoder = FrameDecoder::new(Network::Simnet);
        decoder.feed(ping().as_bytes());
        let raw = decoder.next_frame().unwrap().unwrap();
        assert_eq!([raw.header(Network::Simnet).as_slice(), raw.payload()].concat(), ping().as_bytes());
        assert_eq!((raw.command(), raw.size()), (Command::Ping, HEADER_SIZE + 8));
    }

    #[test]
    fn encoding_reserves_once_and_no_more_than_it_needs() {
        let mut out = Vec::new();
        encode_frame(&Ping { nonce: 7 }, Network::Simnet, &mut out).unwrap();
        assert_eq!((out.len(), out.capacity()), (HEADER_SIZE + 8, HEADER_SIZE + 8));
    }
}
