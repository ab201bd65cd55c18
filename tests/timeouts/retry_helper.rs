//! The helper that retries a test that was late: it must not hide a failure of a test that was not.

use crate::common::retry::{Watch, growing, retry_if_late};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(10);
const LONG: Duration = Duration::from_secs(600);

/// Runs an attempt that does `act` and then fails as often as `failures` says. Returns the number of attempts, and
/// whether the last one passed.
fn attempts(limits: [Duration; 3], failures: u32, act: impl Fn(&Watch)) -> (u32, bool) {
    let made = Cell::new(0);
    let result = catch_unwind(AssertUnwindSafe(|| {
        retry_if_late(limits, |_, watch| {
            made.set(made.get() + 1);
            act(watch);
            assert!(made.get() > failures, "this attempt is meant to fail");
        });
    }));
    (made.get(), result.is_ok())
}

#[test]
fn a_failure_without_lateness_is_not_retried() {
    assert_eq!(attempts([LONG; 3], 1, Watch::tick), (1, false));
    assert_eq!(attempts([SHORT; 3], 1, |_| std::thread::sleep(SHORT)), (1, false), "no interval was open");
    let rests = |watch: &Watch| {
        watch.tick();
        watch.rest();
        std::thread::sleep(SHORT);
    };
    assert_eq!(attempts([LONG; 3], 1, rests), (1, false));
}

#[test]
fn a_failure_with_lateness_is_retried_until_the_limits_run_out() {
    let late = |watch: &Watch| {
        watch.tick();
        std::thread::sleep(SHORT);
    };
    let late_at_first = |watch: &Watch| {
        late(watch);
        watch.rest();
        std::thread::sleep(SHORT);
    };
    for (failures, outcome) in [(0, (1, true)), (1, (2, true)), (2, (3, true)), (3, (3, false))] {
        assert_eq!(attempts([SHORT; 3], failures, late), outcome);
        assert_eq!(attempts([SHORT; 3], failures, late_at_first), outcome, "one late interval is enough");
    }
}

#[test]
fn each_retry_has_a_longer_limit() {
    assert_eq!(growing(SHORT), [SHORT, 5 * SHORT, 25 * SHORT]);
    let tried = Cell::new(Vec::new());
    retry_if_late(growing(SHORT), |limit, watch| {
        watch.tick();
        std::thread::sleep(limit);
        let mut limits = tried.take();
        limits.push(limit);
        let enough = limits.len() == 3;
        tried.set(limits);
        assert!(enough, "this attempt is meant to fail");
    });
    assert_eq!(tried.take(), growing(SHORT));
}
