//! Limits how much work the requests of one peer cause.

use std::time::{Duration, Instant};

/// The budget that a peer may use at once, in bytes.
const BURST: u64 = 64 << 20;

/// The budget that a peer gets each second, in bytes.
const PER_SECOND: u64 = 64 << 20;

/// The cost of one lookup, in addition to the bytes of the answer. A header of 200 bytes takes as long to find
/// and to check as this many bytes of a block take to read and to hash.
const LOOKUP: u64 = 4 << 10;

/// The work that a peer may still cause. It refills with time.
pub struct Budget {
    left: u64,
    refilled: Instant,
}

impl Budget {
    pub fn new(now: Instant) -> Self {
        Self { left: BURST, refilled: now }
    }

    /// Takes the cost of an answer that was found with `lookups` lookups and has `bytes` bytes. Returns how long the
    /// peer must wait before the next one.
    pub fn charge(&mut self, lookups: usize, bytes: usize, now: Instant) -> Duration {
        let passed = now.saturating_duration_since(self.refilled);
        let refill = (passed.as_secs_f64() * PER_SECOND as f64) as u64;
        let available = self.left.saturating_add(refill).min(BURST);
        let cost = (lookups as u64).saturating_mul(LOOKUP).saturating_add(bytes as u64);
        self.left = available.saturating_sub(cost);
        let missing = cost.saturating_sub(available);
        let wait = Duration::from_secs_f64(missing as f64 / PER_SECOND as f64);
        // The wait refills what was missing, so refilling starts after it.
        self.refilled = now + wait;
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many answers a peer gets in `time`, when it always waits as long as it must. Stops after `most`.
    fn answers(lookups: usize, bytes: usize, time: Duration, most: u64) -> u64 {
        let start = Instant::now();
        let (mut budget, mut now, mut answers) = (Budget::new(start), start, 0);
        while now <= start + time && answers < most {
            now += budget.charge(lookups, bytes, now);
            answers += 1;
        }
        answers
    }

    #[test]
    fn a_flood_of_requests_causes_no_more_work_than_the_budget_allows() {
        let time = Duration::from_secs(10);
        let allowed = BURST + 10 * PER_SECOND;
        // getheaders that are answered with 2000 headers of 250 bytes, and getdata for unknown items.
        for (lookups, bytes) in [(2000, 500_000), (1, 36), (131_072, 36 * 131_072)] {
            let cost = lookups as u64 * LOOKUP + bytes as u64;
            // The last answer may exceed the budget: it is charged when its size is known.
            let most = allowed / cost + 2;
            let answers = answers(lookups, bytes, time, most + 1);
            assert!(answers <= most, "{lookups} lookups, {bytes} bytes: {answers} of {most}");
            assert!(answers >= allowed / cost, "{lookups} lookups, {bytes} bytes: {answers} of {most}");
        }
    }

    #[test]
    fn a_peer_that_waited_for_its_answers_has_the_whole_budget_again() {
        let start = Instant::now();
        let mut budget = Budget::new(start);
        assert_eq!(budget.charge(0, BURST as usize, start), Duration::ZERO);
        assert_eq!(budget.charge(0, PER_SECOND as usize / 2, start), Duration::from_millis(500));
        let later = start + Duration::from_secs(3600);
        assert_eq!(budget.charge(0, BURST as usize, later), Duration::ZERO);
        assert!(budget.charge(1, 0, later) > Duration::ZERO);
    }
}
