//! Frames in which any part can be wrong.

use crate::wire::{Encode, EncodeError, Hash, Network};

/// The parts of a frame, each of which can be changed before the frame is sent.
///
/// A new frame is well-formed. Set a field to make it wrong in the way that a test needs.
///
/// ```
/// use kaspa_peer::testing::TestFrame;
/// use kaspa_peer::wire::{Frame, FrameError, Network, Ping};
///
/// let mut frame = TestFrame::of(&Ping { nonce: 7 }, Network::Simnet)?;
/// assert!(Frame::from_bytes(frame.to_bytes(), Network::Simnet).is_ok());
///
/// frame.magic = Network::Mainnet.magic();
/// let refused = Frame::from_bytes(frame.to_bytes(), Network::Simnet);
/// assert!(matches!(refused, Err(FrameError::Network { .. })));
/// # Ok::<(), kaspa_peer::wire::EncodeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TestFrame {
    /// The magic number of the network.
    pub magic: u32,
    /// The command field: the command's characters, padded with zeros.
    pub command: [u8; 12],
    /// The payload length in the header.
    pub length: u32,
    /// The checksum in the header.
    pub checksum: [u8; 4],
    /// The payload. Changing it changes neither `length` nor `checksum`.
    pub payload: Vec<u8>,
}

impl TestFrame {
    /// A well-formed frame of any command and payload, neither of which needs to be valid. Bytes of the command after
    /// the twelfth are left out.
    #[must_use]
    pub fn new(command: impl AsRef<[u8]>, payload: &[u8], network: Network) -> Self {
        let mut field = [0; 12];
        for (place, byte) in field.iter_mut().zip(command.as_ref()) {
            *place = *byte;
        }
        Self {
            magic: network.magic(),
            command: field,
            length: u32::try_from(payload.len()).unwrap_or(u32::MAX),
            checksum: checksum(payload),
            payload: payload.to_vec(),
        }
    }

    /// The frame of a message.
    ///
    /// # Errors
    ///
    /// If the protocol cannot carry the message, see [`EncodeError`]. Use [`new`](Self::new) for such a payload.
    pub fn of<M: Encode + ?Sized>(message: &M, network: Network) -> Result<Self, EncodeError> {
        let payload = message.encode()?;
        Ok(Self::new(message.command().name(), &payload, network))
    }

    /// The same frame with a checksum that does not match the payload.
    #[must_use]
    pub fn with_wrong_checksum(mut self) -> Self {
        self.checksum = self.checksum.map(|byte| !byte);
        self
    }

    /// The same frame with another length in its header.
    #[must_use]
    pub fn with_length(mut self, length: u32) -> Self {
        self.length = length;
        self
    }

    /// The same frame with another magic number.
    #[must_use]
    pub fn with_magic(mut self, magic: u32) -> Self {
        self.magic = magic;
        self
    }

    /// The bytes of the header and the payload.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.magic.to_le_bytes().to_vec();
        bytes.extend_from_slice(&self.command);
        bytes.extend_from_slice(&self.length.to_le_bytes());
        bytes.extend_from_slice(&self.checksum);
        bytes.extend_from_slice(&self.payload);
        bytes
    }
}

impl From<TestFrame> for Vec<u8> {
    fn from(frame: TestFrame) -> Self {
        frame.to_bytes()
    }
}

/// The first four bytes of the double SHA-256 of the payload.
fn checksum(payload: &[u8]) -> [u8; 4] {
    Hash::of(payload).as_bytes().first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Frame, FrameError, Inv, Inventory, Ping};

    const NETWORK: Network = Network::Simnet;

    #[test]
    fn an_unchanged_frame_is_what_the_encoder_gives() {
        let inv = Inv { items: vec![Inventory::tx(Hash::of(b"tx")); 3] };
        let frame = TestFrame::of(&inv, NETWORK).unwrap();
        assert_eq!(frame.to_bytes(), Frame::encode(&inv, NETWORK).unwrap().as_bytes());
    }

    #[test]
    fn every_part_can_be_wrong() {
        let frame = || TestFrame::of(&Ping { nonce: 7 }, NETWORK).unwrap();
        let refused = |frame: TestFrame| Frame::from_bytes(frame.into(), NETWORK).unwrap_err();
        assert!(matches!(refused(frame().with_wrong_checksum()), FrameError::Checksum { .. }));
        assert!(matches!(refused(frame().with_magic(5)), FrameError::Network { found: 5, .. }));
        let short = refused(frame().with_length(7));
        assert_eq!(short, FrameError::Truncated { part: "payload", needed: 7, found: 8 });
        let odd = TestFrame::new(b"\xff\x00ping, and much more", &[], NETWORK);
        assert_eq!(&odd.command, b"\xff\x00ping, and ");
        assert!(matches!(refused(odd), FrameError::Command { .. }));
    }
}
