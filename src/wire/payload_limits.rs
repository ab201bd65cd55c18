//! The largest payloads that a decoder accepts, one limit for each command.

use super::command::Command;
use super::message_table::MAX_PAYLOAD;
use std::fmt;

/// The largest payload that a [`FrameDecoder`](super::FrameDecoder) accepts, for each command.
///
/// The limits can be lower than those of the protocol, which [`Command::payload_limit`] returns, and not higher. Each
/// method replaces what an earlier call set for the same command: call [`all`](Self::all) first, and then set
/// exceptions. All limits are in bytes of payload, without the frame's header.
///
/// For a frame over one of these limits, the decoder returns [`FrameError::OverLimit`](super::FrameError::OverLimit)
/// and skips its payload. For a frame over the protocol's own limit, it returns
/// [`FrameError::TypeLimit`](super::FrameError::TypeLimit).
///
/// ```
/// use kaspa_peer::wire::{Command, CustomMessage, Frame, FrameDecoder, FrameError, Network, PayloadLimits};
///
/// // A crawler that wants addresses and no blocks.
/// let limits = PayloadLimits::protocol().all(1024).command(Command::Addr, 40_000).custom(0);
/// assert_eq!(limits.of(Command::Block), 1024);
/// assert_eq!(limits.of(Command::Ping), 8, "the protocol's own limit");
///
/// let mut decoder = FrameDecoder::new(Network::Simnet).with_limits(limits);
/// decoder.feed(Frame::encode(&CustomMessage::new("hello", *b"world")?, Network::Simnet)?.as_bytes());
/// assert!(matches!(decoder.next_frame(), Err(FrameError::OverLimit { length: 5, max: 0, .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PayloadLimits {
    /// Indexed by `Command::index`. The last entry is for all custom commands.
    max: [u32; Command::ALL.len() + 1],
}

impl PayloadLimits {
    /// The limits of the protocol: those of [`Command::payload_limit`], and 32 MiB for custom commands. Also the
    /// default.
    #[must_use]
    pub const fn protocol() -> Self {
        Self { max: Command::PAYLOAD_LIMITS }
    }

    /// Limits every command, custom ones included, to `max` bytes or to its own limit in the protocol, whichever is
    /// lower.
    #[must_use]
    pub fn all(mut self, max: u32) -> Self {
        for (limit, protocol) in self.max.iter_mut().zip(Command::PAYLOAD_LIMITS) {
            *limit = protocol.min(max);
        }
        self
    }

    /// Limits one command to `max` bytes or to its own limit in the protocol, whichever is lower. All custom commands
    /// share one limit: any of them sets it.
    #[must_use]
    pub fn command(mut self, command: Command, max: u32) -> Self {
        if let Some(limit) = self.max.get_mut(command.index()) {
            *limit = command.payload_limit().min(max);
        }
        self
    }

    /// Limits all custom commands to `max` bytes, at most 32 MiB.
    #[must_use]
    pub fn custom(mut self, max: u32) -> Self {
        let [.., limit] = &mut self.max;
        *limit = max.min(MAX_PAYLOAD);
        self
    }

    /// Lowers every limit that is above `max` bytes to `max`.
    #[must_use]
    pub fn at_most(mut self, max: u32) -> Self {
        for limit in &mut self.max {
            *limit = (*limit).min(max);
        }
        self
    }

    /// The largest payload of a command, in bytes.
    #[inline]
    #[must_use]
    pub fn of(&self, command: Command) -> u32 {
        // Every command has an entry.
        self.max.get(command.index()).copied().unwrap_or_default()
    }
}

impl Default for PayloadLimits {
    fn default() -> Self {
        Self::protocol()
    }
}

/// Shows the limits that are below the protocol's.
impl fmt::Debug for PayloadLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Command::ALL.iter().map(Command::name).chain(["custom"]);
        let limits = self.max.iter().zip(Command::PAYLOAD_LIMITS);
        let lowered = names.zip(limits).filter(|(_, (limit, protocol))| *limit != protocol);
        f.debug_map().entries(lowered.map(|(name, (limit, _))| (name, limit))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn custom(name: &str) -> Command {
        name.parse().unwrap()
    }

    #[test]
    fn limits_are_lowered_and_never_raised() {
        let limits = PayloadLimits::protocol().command(Command::Addr, 100).at_most(1000);
        assert_eq!([Command::Addr, Command::Block, Command::Ping].map(|command| limits.of(command)), [100, 1000, 8]);
    }

    #[test]
    fn the_default_is_the_protocol() {
        let limits = PayloadLimits::default();
        assert_eq!(limits, PayloadLimits::protocol());
        for command in Command::ALL {
            assert_eq!(limits.of(command), command.payload_limit(), "{command}");
        }
        assert_eq!(limits.of(custom("hello")), MAX_PAYLOAD);
        assert_eq!(format!("{limits:?}"), "{}");
    }

    #[test]
    fn no_limit_is_above_the_protocol() {
        let raised = PayloadLimits::protocol().all(u32::MAX).custom(u32::MAX).command(Command::Ping, u32::MAX);
        assert_eq!(raised, PayloadLimits::protocol());
    }

    #[test]
    fn a_later_call_replaces_an_earlier_one() {
        let limits = PayloadLimits::protocol().all(100).command(Command::Block, 5000).command(custom("a"), 7);
        assert_eq!(limits.of(Command::Block), 5000);
        assert_eq!(limits.of(Command::Tx), 100);
        assert_eq!(limits.of(Command::Ping), 8);
        assert_eq!(limits.of(custom("b")), 7, "custom commands share one limit");
        assert_eq!(limits.clone().custom(9).of(custom("a")), 9);
        let text = format!("{limits:?}");
        assert!(text.contains("\"block\": 5000") && text.contains("\"custom\": 7") && !text.contains("ping"), "{text}");
        assert_eq!(limits.all(50).of(Command::Block), 50);
    }
}
