//! The header of a frame: magic number, command, payload length and checksum.

use super::codec::{Cursor, Put};
use super::command::Command;
use super::error::{DecodeError, FrameError};
use super::message_table::MAX_PAYLOAD;
use super::network::Network;
use super::payload_limits::PayloadLimits;

/// The size of a frame's header, in bytes.
pub const HEADER_SIZE: usize = 24;

/// The header of a frame, as it is on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub magic: u32,
    pub command: [u8; 12],
    pub length: u32,
    pub checksum: [u8; 4],
}

impl Header {
    #[inline]
    pub fn read(bytes: &[u8; HEADER_SIZE]) -> Result<Self, DecodeError> {
        let mut input = Cursor::new(bytes);
        Ok(Self {
            magic: input.u32("magic")?,
            command: *input.array("command")?,
            length: input.u32("length")?,
            checksum: *input.array("checksum")?,
        })
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        out.put_u32(self.magic);
        out.put_bytes(&self.command);
        out.put_u32(self.length);
        out.put_bytes(&self.checksum);
    }

    /// Checks everything that can be checked before the payload has arrived, in the protocol's order.
    #[inline]
    pub fn check(&self, network: Network, limits: &PayloadLimits) -> Result<Command, FrameError> {
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

/// The error for a payload over a limit. The protocol's own limit comes first.
#[cold]
fn over_limit(command: Command, length: u32, limits: &PayloadLimits) -> FrameError {
    let max = command.payload_limit();
    if length > max {
        return FrameError::TypeLimit { command, length, max };
    }
    FrameError::OverLimit { command, length, max: limits.of(command) }
}
