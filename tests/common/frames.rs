//! Frames and messages of a given size.

use kaspa_peer::wire::{Command, CustomMessage, Frame, Network};

/// A message of exactly this many bytes on the wire, including its header.
pub fn message_of_size(bytes: usize) -> CustomMessage {
    let Ok(Command::Custom(command)) = "filler".parse() else { unreachable!() };
    CustomMessage { command, payload: vec![0; bytes - 24] }
}

/// A frame of exactly this many bytes, including its header.
pub fn frame_of_size(bytes: usize, network: Network) -> Frame {
    Frame::encode(&message_of_size(bytes), network).unwrap()
}
