//! The score of a remote. The program adds points for misbehaviour, and the points decay over time.

use std::time::{Duration, Instant};

/// The score at which a remote is disconnected. A program adds to the score with
/// [`Peer::misbehaved`](crate::Peer::misbehaved).
///
/// The library does not ban addresses. A program that bans an address must do so before it disconnects the remote,
/// because the remote may connect again before [`on_disconnect`](crate::Listener::on_disconnect) runs. See the recipe
/// [Limit and ban remotes](crate::guide::recipes#limit-and-ban-remotes).
///
/// ```
/// use kaspa_peer::ScoreLimit;
/// use std::time::Duration;
///
/// assert_eq!(ScoreLimit::default(), ScoreLimit::new(100).half_life(Duration::from_secs(60)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ScoreLimit {
    /// The score at which the peer is disconnected, at least 1.
    pub threshold: u32,
    /// The time in which half of the points are forgiven, at least 1 ms. `None` forgives nothing.
    pub half_life: Option<Duration>,
}

impl ScoreLimit {
    /// A limit without a half life.
    #[must_use]
    pub const fn new(threshold: u32) -> Self {
        Self { threshold, half_life: None }
    }

    /// Sets the time in which half of the points are forgiven.
    #[must_use]
    pub const fn half_life(mut self, half_life: Duration) -> Self {
        self.half_life = Some(half_life);
        self
    }
}

impl Default for ScoreLimit {
    /// 100 points, of which half are forgiven in a minute.
    fn default() -> Self {
        Self { threshold: 100, half_life: Some(Duration::from_secs(60)) }
    }
}

/// The points of one remote.
#[derive(Debug)]
pub(in crate::peer) struct Score {
    half_life: Option<Duration>,
    points: f64,
    at: Instant,
}

impl Score {
    pub fn new(half_life: Option<Duration>, now: Instant) -> Self {
        Self { half_life, points: 0.0, at: now }
    }

    /// Adds points. Returns the score.
    pub fn add(&mut self, points: u32, now: Instant) -> u32 {
        self.points = self.decayed(now) + f64::from(points);
        self.at = now;
        self.get(now)
    }

    /// The score now, rounded to the nearest point. Without rounding, 50 points given twice within a few milliseconds
    /// would stay below 100.
    pub fn get(&self, now: Instant) -> u32 {
        self.decayed(now).round() as u32
    }

    fn decayed(&self, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        match self.half_life {
            Some(half_life) => self.points * 0.5_f64.powf(passed / half_life.as_secs_f64()),
            None => self.points,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn points_add_up_and_are_forgiven_by_halves() {
        let now = Instant::now();
        let mut score = Score::new(Some(MINUTE), now);
        assert_eq!(score.add(60, now), 60);
        assert_eq!(score.add(20, now), 80);
        assert_eq!(score.get(now + MINUTE), 40);
        assert_eq!(score.add(10, now + 2 * MINUTE), 30);
    }

    #[test]
    fn points_given_within_milliseconds_reach_the_threshold() {
        let mut now = Instant::now();
        let mut score = Score::new(ScoreLimit::default().half_life, now);
        for sum in 1..=10 {
            now += Duration::from_millis(1);
            assert_eq!(score.add(10, now), 10 * sum);
        }
    }

    #[test]
    fn without_a_half_life_nothing_is_forgiven() {
        let now = Instant::now();
        let mut score = Score::new(None, now);
        score.add(7, now);
        assert_eq!(score.get(now + 1_000_000 * MINUTE), 7);
    }

    #[test]
    fn the_score_saturates() {
        let now = Instant::now();
        let mut score = Score::new(None, now);
        score.add(u32::MAX, now);
        assert_eq!(score.add(u32::MAX, now), u32::MAX);
    }
}
