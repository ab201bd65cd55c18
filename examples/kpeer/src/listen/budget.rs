//! Limits how much work the requests of one peer cause.

use std::time::{Duration, Instant};

/// The budget that a peer may use at once, in bytes.
const BURST: u64 = 64 << 20;

/// The budget that a peer gets each second, in bytes.
const PER_SECOND: u64 = 64 << 20;

/// The cost of one lookup, in addition to the bytes of the answer. A header of 200 bytes takes as long to find
/// and to check as this many bytes of a block take to read and to hash.
const LOOKUP: u64 = 4 << 10;

/// The cost of a block that the search for an answer looks at: as much as its item in an `inv`, whether or not the answer
/// has one for it.
const LOOK: u64 = 36;

/// The work that a peer may still cause. It refills with time.
pub struct Budget {
    left: u64,
    refilled: Instant,
}

/// The work for an answer.
#[derive(Debug, Clone, Copy, Default)]
pub struct Work {
    pub lookups: usize,
    /// The blocks that the search looked at before any lookup.
    pub looked_at: usize,
    /// The size of the answer.
    pub bytes: usize,
}

impl Work {
    fn cost(self) -> u64 {
        let lookups = (self.lookups as u64).saturating_mul(LOOKUP);
        let looks = (self.looked_at as u64).saturating_mul(LOOK);
        lookups.saturating_add(looks).saturating_add(self.bytes as u64)
    }
}

impl Budget {
    #[cfg(test)]
    pub fn left(&self) -> u64 {
        self.left
    }

    pub fn new(now: Instant) -> Self {
        Self { left: BURST, refilled: now }
    }

    /// Takes the cost of an answer. Returns how long the peer must wait before the next one.
    pub fn charge(&mut self, work: Work, now: Instant) -> Duration {
        let passed = now.saturating_duration_since(self.refilled);
        let refill = (passed.as_secs_f64() * PER_SECOND as f64) as u64;
        let available = self.left.saturating_add(refill).min(BURST);
        let cost = work.cost();
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
    fn answers(work: Work, time: Duration, most: u64) -> u64 {
        let start = Instant::now();
        let (mut budget, mut now, mut answers) = (Budget::new(start), start, 0);
        while now <= start + time && answers < most {
            now += budget.charge(work, now);
            answers += 1;
        }
        answers
    }

    #[test]
    fn a_flood_of_requests_causes_no_more_work_than_the_budget_allows() {
        let time = Duration::from_secs(10);
        let allowed = BURST + 10 * PER_SECOND;
        // getheaders that are answered with 2000 headers of 250 bytes, getdata for unknown items, and getblockinvs that
        // find one block, after others or at once.
        let (lookups, looked_at, bytes) = (2000, 2000, 500_000);
        let works = [
            Work { lookups, looked_at, bytes },
            Work { lookups: 1, looked_at: 0, bytes: 36 },
            Work { lookups: 131_072, looked_at: 0, bytes: 36 * 131_072 },
            Work { lookups: 1, looked_at: 131_072, bytes: 37 },
            Work { lookups: 1, looked_at: 1, bytes: 37 },
        ];
        for work in works {
            let cost = work.lookups as u64 * LOOKUP + work.looked_at as u64 * 36 + work.bytes as u64;
            // The last answer may exceed the budget: it is charged when its size is known.
            let most = allowed / cost + 2;
            let answers = answers(work, time, most + 1);
            assert!(answers <= most, "{work:?}: {answers} of {most}");
            assert!(answers >= allowed / cost, "{work:?}: {answers} of {most}");
        }
    }

    #[test]
    fn a_peer_that_waited_for_its_answers_has_the_whole_budget_again() {
        let start = Instant::now();
        let mut budget = Budget::new(start);
        let bytes = |bytes| Work { bytes, ..Work::default() };
        assert_eq!(budget.charge(bytes(BURST as usize), start), Duration::ZERO);
        assert_eq!(budget.charge(bytes(PER_SECOND as usize / 2), start), Duration::from_millis(500));
        let later = start + Duration::from_secs(3600);
        assert_eq!(budget.charge(bytes(BURST as usize), later), Duration::ZERO);
        assert!(budget.charge(Work { lookups: 1, ..Work::default() }, later) > Duration::ZERO);
    }
}
