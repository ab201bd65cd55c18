//! Tests of behaviour with a time limit, on a machine that may be too busy for the test to keep its own part of the
//! limit.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

/// Notes whether the test itself was late.
///
/// The library's limits start at moments that a test cannot see, but each of these lies between two moments of the
/// test. If none of the intervals that the test announces takes longer than an eighth of the limit, then no limit has
/// passed meanwhile.
pub struct Watch {
    longest: Duration,
    since: Cell<Option<Instant>>,
    late: Cell<bool>,
}

impl Watch {
    fn new(limit: Duration) -> Self {
        // Some tests have several intervals within one limit.
        Self { longest: limit / 8, since: Cell::new(None), late: Cell::new(false) }
    }

    /// Starts an interval, and ends the one before. It must end soon, by another `tick` or by [`rest`](Self::rest).
    pub fn tick(&self) {
        self.rest();
        self.since.set(Some(Instant::now()));
    }

    /// Ends the interval. What follows may take any time.
    pub fn rest(&self) {
        if let Some(since) = self.since.take() {
            self.note(since.elapsed());
        }
    }

    /// Sleeps, must wake soon after `time`, and starts an interval.
    pub fn sleep(&self, time: Duration) {
        self.rest();
        let start = Instant::now();
        std::thread::sleep(time);
        self.note(start.elapsed().saturating_sub(time));
        self.tick();
    }

    fn note(&self, took: Duration) {
        self.late.set(self.late.get() || took > self.longest);
    }

    fn was_late(&self) -> bool {
        self.rest();
        self.late.get()
    }
}

/// Limits to try one after the other. The first is short, so that a test on an idle machine is quick.
pub fn growing(first: Duration) -> [Duration; 3] {
    [first, 5 * first, 25 * first]
}

/// Makes attempts with one limit after the other, until one passes. An attempt that fails although the test was never
/// late is a failure of the test. A failed attempt in which the test was late shows nothing, so the next limit is
/// tried.
pub fn retry_if_late(limits: impl IntoIterator<Item = Duration>, attempt: impl Fn(Duration, &Watch)) {
    let mut limits = limits.into_iter().peekable();
    while let Some(limit) = limits.next() {
        let watch = Watch::new(limit);
        match catch_unwind(AssertUnwindSafe(|| attempt(limit, &watch))) {
            Ok(()) => return,
            Err(_) if watch.was_late() && limits.peek().is_some() => {}
            Err(panic) => resume_unwind(panic),
        }
    }
}
