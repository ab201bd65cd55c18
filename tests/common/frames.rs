//! Frames and messages of a given size or content.

use kaspa_peer::wire::{Command, CustomMessage, Encode, Frame, Hash, Network};

/// A frame with this command and payload, valid or not. Its length and its checksum are right.
pub fn raw_frame(network: Network, command: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = network.magic().to_le_bytes().to_vec();
    bytes.extend_from_slice(command.as_bytes());
    bytes.resize(16, 0);
    bytes.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
    bytes.extend_from_slice(&Hash::of(payload).as_bytes()[..4]);
    bytes.extend_from_slice(payload);
    bytes
}

/// The frame of a message on simnet.
pub fn simnet_frame<M: Encode + ?Sized>(message: &M) -> Vec<u8> {
    Frame::encode(message, Network::Simnet).unwrap().as_bytes().to_vec()
}

/// A message of exactly this many bytes on the wire, including its header.
pub fn message_of_size(bytes: usize) -> CustomMessage {
    let Ok(Command::Custom(command)) = "filler".parse() else { unreachable!() };
    CustomMessage { command, payload: vec![0; bytes - 24] }
}

/// A frame of exactly this many bytes, including its header.
pub fn frame_of_size(bytes: usize, network: Network) -> Frame {
    Frame::encode(&message_of_size(bytes), network).unwrap()
}
