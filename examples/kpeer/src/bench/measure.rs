//! Measures the time, the CPU time and the allocations of work, and compares two kinds of work.

use super::{Plan, Result};
use crate::heap;
use cpu_time::ProcessTime;
use std::time::{Duration, Instant};

/// The cost of some work.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    pub wall: Duration,
    /// Of the whole process, both ends where both are in it.
    pub cpu: Duration,
    pub allocations: u64,
}

impl Cost {
    /// Does the work. Returns what it took, and its result.
    pub fn of<T>(work: impl FnOnce() -> Result<T>) -> Result<(Self, T)> {
        let before = heap::allocations();
        let cpu = ProcessTime::try_now()?;
        let start = Instant::now();
        let given = work()?;
        let wall = start.elapsed();
        let cpu = cpu.try_elapsed()?;
        let allocations = heap::allocations() - before;
        Ok((Self { wall, cpu, allocations }, given))
    }
}

/// One side of one round, in the unit of its kind.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    pub value: f64,
    pub cpu: Duration,
    /// For each message.
    pub allocations: f64,
}

impl Sample {
    /// Messages a second.
    pub fn rate(cost: Cost, messages: u64) -> Self {
        Self::new(messages as f64 / cost.wall.as_secs_f64(), cost, messages)
    }

    pub fn new(value: f64, cost: Cost, messages: u64) -> Self {
        Self { value, cpu: cost.cpu, allocations: cost.allocations as f64 / messages.max(1) as f64 }
    }
}

/// A target for the ratio or for the figure of the library.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    /// Library ÷ floor, at least.
    Ratio(f64),
    /// Library ÷ floor, at most.
    RatioAtMost(f64),
    /// The library's own figure, at most.
    AtMost(f64),
}

/// All rounds of one kind.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub kind: String,
    pub unit: &'static str,
    pub target: Option<Target>,
    pub library: Vec<Sample>,
    pub floor: Vec<Sample>,
}

impl Outcome {
    /// Measures floor and library in turns, so that other load on the machine affects both.
    pub fn alternate(
        plan: &Plan,
        kind: impl Into<String>,
        unit: &'static str,
        target: impl Into<Option<Target>>,
        mut floor: impl FnMut() -> Result<Sample>,
        mut library: impl FnMut() -> Result<Sample>,
    ) -> Result<Self> {
        let mut outcome =
            Self { kind: kind.into(), unit, target: target.into(), library: Vec::new(), floor: Vec::new() };
        for round in 0..plan.rounds {
            // The second of two measurements finds warmer caches, or a warmer processor: the order changes too.
            if round % 2 == 0 {
                outcome.floor.push(floor()?);
                outcome.library.push(library()?);
            } else {
                outcome.library.push(library()?);
                outcome.floor.push(floor()?);
            }
        }
        Ok(outcome)
    }

    /// Library ÷ floor, the median of the rounds.
    pub fn ratio(&self) -> f64 {
        median(self.ratios())
    }

    /// The largest minus the smallest ratio of the rounds, relative to the median.
    pub fn spread(&self) -> f64 {
        let (least, most) =
            self.ratios().fold((f64::INFINITY, 0.0_f64), |(least, most), ratio| (least.min(ratio), most.max(ratio)));
        // Equal ratios can all be zero.
        if most == least { 0.0 } else { (most - least) / self.ratio() }
    }

    fn ratios(&self) -> impl Iterator<Item = f64> {
        self.library.iter().zip(&self.floor).map(|(library, floor)| library.value / floor.value)
    }

    /// `Some(true)` if the target is reached. `None` if there is no target.
    pub fn is_met(&self) -> Option<bool> {
        self.target.map(|target| match target {
            Target::Ratio(least) => self.ratio() >= least,
            Target::RatioAtMost(most) => self.ratio() <= most,
            Target::AtMost(most) => median(self.library.iter().map(|sample| sample.value)) <= most,
        })
    }
}

/// The value in the middle.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Finds the number of repetitions that fill a measurement, by trying.
pub fn calibrate(plan: &Plan, mut work: impl FnMut(u64) -> Result<()>) -> Result<u64> {
    let mut count = 1;
    loop {
        let start = Instant::now();
        work(count)?;
        let took = start.elapsed();
        if took >= plan.slice / 8 {
            let scaled = count as f64 * plan.slice.as_secs_f64() / took.as_secs_f64();
            return Ok((scaled as u64).max(1));
        }
        count *= 4;
    }
}
