//! The rate limit. It decides how long the reader pauses, based on the messages and bytes that arrived.

use std::time::{Duration, Instant};

/// A limit on what one remote may send.
///
/// The limit is a token bucket. The rates hold on average. As much as they allow in the time `burst` may arrive at
/// once.
///
/// If a remote sends more, the peer reads more slowly, so that the remote's writes block. The peer disconnects the
/// remote if `end_after` is set. Without `end_after`, a pause can still be longer than the
/// [idle timeout](crate::ConfigBuilder::idle_timeout), and the peer then disconnects for that reason: after a message
/// of 32 MiB, a limit of 100 000 bytes a second leads to a pause of more than five minutes.
///
/// ```
/// use kaspa_peer::{Config, RateLimit, wire::Network};
///
/// let limit = RateLimit::default().messages_per_second(500);
/// let config = Config::builder(Network::Simnet).rate_limit(limit).build()?;
/// # Ok::<(), kaspa_peer::ConfigError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct RateLimit {
    /// How many messages a second, at least 1. `None` is no limit.
    pub messages_per_second: Option<u32>,
    /// How many bytes a second, at least 1. `None` is no limit.
    pub bytes_per_second: Option<u32>,
    /// How much may arrive at once: as much as the rates allow in this time.
    pub burst: Duration,
    /// How long a remote may stay at or above its limit before it is disconnected, at least 1 ms. `None` never
    /// disconnects it. The time starts again when the remote stays below the limit for half a second, or for half of
    /// `burst` if that is longer. Half of `end_after` is always enough.
    pub end_after: Option<Duration>,
}

impl RateLimit {
    /// Sets the number of messages a second.
    #[must_use]
    pub const fn messages_per_second(mut self, messages: u32) -> Self {
        self.messages_per_second = Some(messages);
        self
    }

    /// Sets the number of bytes a second.
    #[must_use]
    pub const fn bytes_per_second(mut self, bytes: u32) -> Self {
        self.bytes_per_second = Some(bytes);
        self
    }

    /// Sets how much may arrive at once.
    #[must_use]
    pub const fn burst(mut self, burst: Duration) -> Self {
        self.burst = burst;
        self
    }

    /// Sets how long a remote may be at its limit before it is disconnected.
    #[must_use]
    pub const fn end_after(mut self, limit: Duration) -> Self {
        self.end_after = Some(limit);
        self
    }
}

impl Default for RateLimit {
    /// No rates, a burst of 10 s, and no disconnect.
    fn default() -> Self {
        Self { messages_per_second: None, bytes_per_second: None, burst: Duration::from_secs(10), end_after: None }
    }
}

/// If a remote stays below its limit for this long, or for half of the burst if that is longer, the time of `end_after`
/// starts again.
const SHORTEST_BREAK: Duration = Duration::from_millis(500);

/// How the reader continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::peer) enum Pace {
    /// The reader continues without a pause.
    Free,
    /// The reader continues after this pause.
    Pause(Duration),
    /// The reader pauses for the time `after` and then disconnects. The remote has then been over its limit for the
    /// time `limit`.
    End { after: Duration, limit: Duration },
}

/// The rate limit of one remote.
#[derive(Debug)]
pub(in crate::peer) struct Pacer {
    limit: RateLimit,
    /// The time at which the remote will have earned the tokens for everything that has arrived: for messages, and for
    /// bytes.
    spent_until: [Instant; 2],
    /// The time at which the remote went over its limit, and the end of the last pause.
    over: Option<(Instant, Instant)>,
}

impl Pacer {
    pub fn new(limit: RateLimit, now: Instant) -> Self {
        Self { limit, spent_until: [now; 2], over: None }
    }

    /// Returns how the reader continues after `bytes` bytes arrived that completed `messages` messages.
    pub fn arrived(&mut self, messages: u64, bytes: u64, now: Instant) -> Pace {
        let rates = [(messages, self.limit.messages_per_second), (bytes, self.limit.bytes_per_second)];
        let mut pause = Duration::ZERO;
        for ((count, rate), spent_until) in rates.into_iter().zip(&mut self.spent_until) {
            let Some(rate) = rate else { continue };
            let seconds = count as f64 / f64::from(rate.max(1));
            let cost = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
            let from = (*spent_until).max(now);
            *spent_until = from.checked_add(cost).unwrap_or(from);
            let ahead = spent_until.saturating_duration_since(now);
            pause = pause.max(ahead.saturating_sub(self.limit.burst));
        }
        if pause.is_zero() {
            return Pace::Free;
        }
        let since = match self.over {
            Some((since, until)) if now.saturating_duration_since(until) < self.longest_gap() => since,
            _ => now,
        };
        self.over = Some((since, now.checked_add(pause).unwrap_or(now)));
        let Some(limit) = self.limit.end_after else { return Pace::Pause(pause) };
        let after = limit.saturating_sub(now.saturating_duration_since(since));
        if after <= pause { Pace::End { after, limit } } else { Pace::Pause(pause) }
    }

    /// The time that a remote must stay below its limit so that the time of `end_after` starts again.
    fn longest_gap(&self) -> Duration {
        let gap = SHORTEST_BREAK.max(self.limit.burst / 2);
        self.limit.end_after.map_or(gap, |limit| gap.min(limit / 2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn pacer(messages: u32, bytes: u32, end_after: Option<Duration>) -> (Pacer, Instant) {
        let now = Instant::now();
        let limit =
            RateLimit { messages_per_second: Some(messages), bytes_per_second: Some(bytes), burst: S, end_after };
        (Pacer::new(limit, now), now)
    }

    #[test]
    fn a_burst_causes_no_pause_and_more_than_a_burst_does() {
        let (mut pacer, now) = pacer(10, 1_000_000, None);
        assert_eq!(pacer.arrived(10, 0, now), Pace::Free);
        assert_eq!(pacer.arrived(10, 0, now), Pace::Pause(S));
        assert_eq!(pacer.arrived(1, 0, now + S), Pace::Pause(S / 10));
        assert_eq!(pacer.arrived(1, 0, now + 9 * S), Pace::Free, "time heals");
    }

    #[test]
    fn the_stricter_of_both_rates_applies() {
        let (mut pacer, now) = pacer(1000, 100, None);
        assert_eq!(pacer.arrived(1, 300, now), Pace::Pause(2 * S));
    }

    #[test]
    fn without_rates_the_reader_never_pauses() {
        let now = Instant::now();
        let mut pacer = Pacer::new(RateLimit::default(), now);
        assert_eq!(pacer.arrived(u64::MAX, u64::MAX, now), Pace::Free);
    }

    #[test]
    fn only_a_remote_that_stays_over_its_limit_is_disconnected() {
        let (mut pacer, now) = pacer(1, 1_000_000, Some(5 * S));
        assert_eq!(pacer.arrived(4, 0, now), Pace::Pause(3 * S));
        assert_eq!(pacer.arrived(3, 0, now + 4 * S), Pace::Pause(2 * S), "a break of a second");
        assert_eq!(pacer.arrived(0, 0, now + 6 * S), Pace::Free, "nothing came of that read");
        assert_eq!(pacer.arrived(1, 0, now + 6 * S), Pace::Pause(S));
        assert_eq!(pacer.arrived(1, 0, now + 7 * S), Pace::Pause(S), "five seconds are over in two");
        assert_eq!(pacer.arrived(1, 0, now + 8 * S), Pace::End { after: S, limit: 5 * S });
    }

    #[test]
    fn one_large_message_alone_can_cause_a_disconnect() {
        let (mut pacer, now) = pacer(1_000, 10, Some(5 * S));
        assert_eq!(pacer.arrived(0, 1_000_000, now), Pace::End { after: 5 * S, limit: 5 * S });
    }

    #[test]
    fn a_long_silence_restarts_the_time_of_end_after() {
        let (mut pacer, now) = pacer(1, 1_000_000, Some(5 * S));
        assert_eq!(pacer.arrived(4, 0, now), Pace::Pause(3 * S));
        assert_eq!(pacer.arrived(5, 0, now + 60 * S), Pace::Pause(4 * S));
    }

    #[test]
    fn a_silence_of_half_of_end_after_restarts_its_time() {
        let millis = Duration::from_millis;
        for (silence, ends) in [(350, true), (450, false)] {
            let (mut pacer, now) = pacer(10, 1_000_000, Some(millis(800)));
            assert_eq!(pacer.arrived(11, 0, now), Pace::Pause(millis(100)));
            let pace = pacer.arrived(9, 0, now + millis(100 + silence));
            assert_eq!(matches!(pace, Pace::End { .. }), ends, "{silence} ms: {pace:?}");
        }
    }

    #[test]
    fn huge_counts_do_not_panic() {
        let (mut pacer, now) = pacer(1, 1, None);
        assert!(matches!(pacer.arrived(u64::MAX, u64::MAX, now), Pace::Pause(_) | Pace::Free));
    }
}
