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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_that_equals_a_limit_does_not_exceed_it() {
        let check = |length, limits: &PayloadLimits| {
            let command = *b"ping\0\0\0\0\0\0\0\0";
            let header = Header { magic: Network::Simnet.magic(), command, length, checksum: [0; 4] };
            header.check(Network::Simnet, limits)
        };
        let ping_limit = Command::Ping.payload_limit();
        let protocol = PayloadLimits::protocol();
        assert_eq!(check(ping_limit, &protocol), Ok(Command::Ping));
        let max = ping_limit;
        let error = FrameError::TypeLimit { command: Command::Ping, length: MAX_PAYLOAD, max };
        assert_eq!(check(MAX_PAYLOAD, &protocol), Err(error), "not `Oversize`");
        assert_eq!(
            check(MAX_PAYLOAD + 1, &protocol),
            Err(FrameError::Oversize { length: MAX_PAYLOAD + 1, max: MAX_PAYLOAD })
        );

        let lower = PayloadLimits::protocol().command(Command::Ping, ping_limit - 1);
        assert_eq!(check(ping_limit - 1, &lower), Ok(Command::Ping));
        let error = FrameError::OverLimit { command: Command::Ping, length: ping_limit, max: ping_limit - 1 };
        assert_eq!(check(ping_limit, &lower), Err(error), "not `TypeLimit`");
    }
}
