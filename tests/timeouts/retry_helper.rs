//! The tests' own patience: a failure is put down to a busy machine only where the test was late.

use crate::common::retry::{Watch, growing, retry_if_late};
use std::cell::Cell;
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(10);
const LONG: Duration = Duration::from_secs(600);

/// How many attempts there were, of one that does this and fails as long as it is told to.
fn attempts(limits: [Duration; 3], failures: u32, act: impl Fn(&Watch)) -> (u32, bool) {
    let made = Cell::new(0);
    let passed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        retry_if_late(limits, |_, watch| {
            made.set(made.get() + 1);
            act(watch);
            assert!(made.get() > failures, "as it was told to");
        });
    }));
    (made.get(), passed.is_ok())
}

#[test]
fn a_failure_in_time_is_one() {
    assert_eq!(attempts([LONG; 3], 1, |watch| watch.tick()), (1, false));
    assert_eq!(attempts([SHORT; 3], 1, |_| std::thread::sleep(SHORT)), (1, false), "nothing was to be in time");
    let rests = |watch: &Watch| {
        watch.tick();
        watch.rest();
        std::thread::sleep(SHORT);
    };
    assert_eq!(attempts([LONG; 3], 1, rests), (1, false));
}

#[test]
fn a_failure_when_late_is_tried_again_and_not_for_ever() {
    let late = |watch: &Watch| {
        watch.tick();
        std::thread::sleep(SHORT);
    };
    let later = |watch: &Watch| {
        late(watch);
        watch.rest();
        std::thread::sleep(SHORT);
    };
    for (failures, outcome) in [(0, (1, true)), (1, (2, true)), (2, (3, true)), (3, (3, false))] {
        assert_eq!(attempts([SHORT; 3], failures, late), outcome);
        assert_eq!(attempts([SHORT; 3], failures, later), outcome, "once late is late");
    }
}

#[test]
fn the_limits_grow() {
    assert_eq!(growing(SHORT), [SHORT, 5 * SHORT, 25 * SHORT]);
    let tried = Cell::new(Vec::new());
    retry_if_late(growing(SHORT), |limit, watch| {
        watch.tick();
        std::thread::sleep(limit);
        let mut limits = tried.take();
        limits.push(limit);
        let enough = limits.len() == 3;
        tried.set(limits);
        assert!(enough, "not yet");
    });
    assert_eq!(tried.take(), growing(SHORT));
}
