//! Sequential pings.

use crate::bench::floor::Caller;
use crate::bench::measure::{Cost, Outcome, Sample, Target, calibrate, median};
use crate::bench::report::Report;
use crate::bench::{Plan, Result};
use std::time::Instant;

pub fn run(plan: &Plan, report: &mut Report) -> Result<()> {
    let receiver = plan.receiver()?;
    let mut caller = Caller::connect(receiver.address)?;
    let count = calibrate(plan, |count| (0..count).try_for_each(|_| caller.call()))?;
    // The processors on which the threads run matter much, and are chosen anew for each connection.
    let floor = || {
        let mut caller = Caller::connect(receiver.address)?;
        sample(count, || caller.call())
    };
    let library = || {
        let peer = receiver.peer()?;
        sample(count, || Ok(peer.ping().map(drop)?))
    };
    report.show(&Outcome::alternate(plan, "rtt", "µs", Target::RatioAtMost(1.45), floor, library)?);
    Ok(())
}

/// The median of `count` calls.
fn sample(count: u64, mut call: impl FnMut() -> Result<()>) -> Result<Sample> {
    let mut times = Vec::with_capacity(usize::try_from(count)?);
    let (cost, ()) = Cost::of(|| {
        for _ in 0..count {
            let start = Instant::now();
            call()?;
            times.push(start.elapsed().as_secs_f64() * 1e6);
        }
        Ok(())
    })?;
    Ok(Sample::new(median(times.into_iter()), cost, count))
}
