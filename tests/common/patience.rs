//! Tests of what must be done within a limit, on a machine that may be too busy to do it.
#![allow(dead_code)]

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

/// Sees whether the test was late.
///
/// The library's limits run from moments that a test does not see, but each of them lies between two of the test's own:
/// where no two of these are half a limit apart, no limit can have passed.
pub struct Watch {
    most: Duration,
    since: Cell<Option<Instant>>,
    late: Cell<bool>,
}

impl Watch {
    fn new(limit: Duration) -> Self {
        // Less than half, since some tests are late more than once within one limit.
        Self { most: limit / 8, since: Cell::new(None), late: Cell::new(false) }
    }

    /// The test must be here, or at [`rest`](Self::rest), again in time.
    pub fn tick(&self) {
        self.rest();
        self.since.set(Some(Instant::now()));
    }

    /// What follows may take as long as it likes.
    pub fn rest(&self) {
        if let Some(since) = self.since.take() {
            self.note(since.elapsed());
        }
    }

    /// Sleeps, and must be back in time.
    pub fn sleep(&self, time: Duration) {
        self.rest();
        let start = Instant::now();
        std::thread::sleep(time);
        self.note(start.elapsed().saturating_sub(time));
        self.tick();
    }

    fn note(&self, took: Duration) {
        self.late.set(self.late.get() || took > self.most);
    }

    fn was_late(&self) -> bool {
        self.rest();
        self.late.get()
    }
}

/// Limits to try: the first is short, so that a test is quick where it can be.
pub fn from(first: Duration) -> [Duration; 3] {
    [first, 5 * first, 25 * first]
}

/// Tries something with one limit after the other. An attempt that fails is the failure of the test, unless the test was
/// late in it: that shows nothing, and the next limit is tried.
pub fn unless_late(limits: impl IntoIterator<Item = Duration>, attempt: impl Fn(Duration, &Watch)) {
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
