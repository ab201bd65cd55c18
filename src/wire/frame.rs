//! Frames: a header and a payload, as they go over the wire.

use super::checksum::checksum;
use super::codec::Put;
use super::command::Command;
use super::encode::Encode;
use super::error::{EncodeError, FrameError};
use super::frame_header::{HEADER_SIZE, Header};
use super::message::Message;
use super::message_table::MAX_PAYLOAD;
use super::network::Network;
use super::payload_limits::PayloadLimits;
use bytes::Bytes;
use std::fmt;

/// Appends a whole frame. Reserves exactly the space that it needs.
pub(crate) fn encode_frame<M: Encode + ?Sized>(
    message: &M,
    network: Network,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    encode_sized(message, message.encoded_len(), network, out)
}

/// Like [`encode_frame`], for a caller that already knows the length of the payload. Computing the length can take as
/// long as writing the payload.
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
    // Cannot fail: `validate_sized` has checked that the length is within the limit of the type.
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

/// A message encoded for one network, to be sent to any number of peers.
///
/// Sending it neither encodes nor hashes anything, and cloning it copies no bytes.
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
    /// Encodes a message.
    ///
    /// # Errors
    ///
    /// If the protocol cannot carry the message, see [`EncodeError`].
    pub fn encode<M: Encode + ?Sized>(message: &M, network: Network) -> Result<Self, EncodeError> {
        let mut bytes = Vec::new();
        encode_frame(message, network, &mut bytes)?;
        Ok(Self { network, command: message.command(), bytes: bytes.into() })
    }

    /// Makes a frame from its bytes, for example from a file. Checks the header and the checksum, but does not decode
    /// the payload.
    ///
    /// # Errors
    ///
    /// As [`FrameDecoder::next_frame`](super::FrameDecoder::next_frame), except that every wrong magic number is a
    /// [`FrameError::Network`]. Also [`FrameError::Truncated`] if `bytes` is not exactly one frame.
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

    /// Makes a frame of any command and any payload. The length and the checksum are right; the payload is not checked.
    /// Use it to test how a node handles malformed payloads, and for payloads that are encoded already.
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
    /// [`FrameError::Payload`] if the payload does not decode. The payload of an [encoded](Self::encode) message always
    /// decodes.
    pub fn decode(&self) -> Result<Message, FrameError> {
        let command = self.command;
        let payload = self.bytes.get(HEADER_SIZE..).unwrap_or_default();
        Message::decode_or(command, payload, |error| FrameError::Payload { command, error })
    }

    /// The network that the frame belongs to.
    #[must_use]
    pub fn network(&self) -> Network {
        self.network
    }

    /// The type of message.
    #[must_use]
    pub fn command(&self) -> Command {
        self.command
    }

    /// The bytes of the header and the payload.
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

/// A frame from a [`FrameDecoder`](super::FrameDecoder). Its header and checksum are checked, its payload is not
/// decoded.
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

    /// The bytes after the header.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        match &self.payload {
            RawPayload::Borrowed(payload) => payload,
            RawPayload::Owned(payload) => payload,
        }
    }

    /// The header, as it was on the wire. `network` must be that of the decoder.
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

    /// The size of the frame on the wire, in bytes, with its header.
    #[must_use]
    pub fn size(&self) -> usize {
        HEADER_SIZE + self.payload().len()
    }

    /// Decodes the payload.
    ///
    /// # Errors
    ///
    /// [`FrameError::Payload`] if the payload does not decode.
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

    fn ping() -> Frame {
        Frame::encode(&Ping { nonce: 7 }, Network::Simnet).unwrap()
    }

    #[test]
    fn debug_output_of_a_raw_frame_has_the_length_of_the_payload() {
        let mut decoder = FrameDecoder::new(Network::Simnet);
        decoder.feed(ping().as_bytes());
        assert_eq!(
            format!("{:?}", decoder.next_frame().unwrap().unwrap()),
            "RawFrame { command: ping, payload: 8, .. }"
        );
    }

    #[test]
    fn from_bytes_takes_exactly_one_frame() {
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
    fn a_raw_frame_carries_any_payload() {
        let payload = 7_u64.to_le_bytes();
        assert_eq!(Frame::raw(Command::Ping, &payload, Network::Simnet), Ok(ping()));
        assert_eq!(ping().decode(), Ok(Ping { nonce: 7 }.into()));

        // The payload is longer than that of a ping.
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
    fn a_decoded_frame_has_the_bytes_that_were_sent() {
        let mut decoder = FrameDecoder::new(Network::Simnet);
        decoder.feed(ping().as_bytes());
        let raw = decoder.next_frame().unwrap().unwrap();
        assert_eq!([raw.header(Network::Simnet).as_slice(), raw.payload()].concat(), ping().as_bytes());
        assert_eq!((raw.command(), raw.size()), (Command::Ping, HEADER_SIZE + 8));
    }

    #[test]
    fn encoding_reserves_exactly_the_space_it_needs() {
        let mut out = Vec::new();
        encode_frame(&Ping { nonce: 7 }, Network::Simnet, &mut out).unwrap();
        assert_eq!((out.len(), out.capacity()), (HEADER_SIZE + 8, HEADER_SIZE + 8));
    }
}
