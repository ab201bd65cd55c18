//! The table that a person reads, and the lines that a program reads.

use super::measure::{Outcome, Sample, Target, median};
use std::time::Duration;

pub struct Report {
    json: bool,
    begun: bool,
}

impl Report {
    pub fn new(json: bool) -> Self {
        Self { json, begun: false }
    }

    pub fn show(&mut self, outcome: &Outcome) {
        if self.json {
            println!("{}", json(outcome));
            return;
        }
        if !self.begun {
            self.begun = true;
            println!(
                "{:<20} {:>9} {:>9}  {:<15} {:>6} {:>7}  {:<14} {:>15}  {:>17}",
                "kind", "library", "floor", "", "ratio", "spread", "target", "CPU s", "allocations each"
            );
        }
        let row = Row::of(outcome);
        println!(
            "{:<20} {:>9} {:>9}  {:<15} {:>6} {:>7}  {:<14} {:>7.2} {:>7.2}  {:>8.2} {:>8.2}",
            outcome.kind,
            short(row.library),
            short(row.floor),
            outcome.unit,
            if row.floor > 0.0 { format!("{:.2}", outcome.ratio()) } else { String::from("–") },
            if row.floor > 0.0 { format!("{:.0} %", 100.0 * outcome.spread()) } else { String::from("–") },
            verdict(outcome),
            row.library_cpu.as_secs_f64(),
            row.floor_cpu.as_secs_f64(),
            row.library_allocations,
            row.floor_allocations,
        );
    }
}

/// Medians over the rounds, and the CPU time of all of them.
struct Row {
    library: f64,
    floor: f64,
    library_cpu: Duration,
    floor_cpu: Duration,
    library_allocations: f64,
    floor_allocations: f64,
}

impl Row {
    fn of(outcome: &Outcome) -> Self {
        let value = |samples: &[Sample]| median(samples.iter().map(|sample| sample.value));
        let cpu = |samples: &[Sample]| samples.iter().map(|sample| sample.cpu).sum();
        let allocations = |samples: &[Sample]| median(samples.iter().map(|sample| sample.allocations));
        Self {
            library: value(&outcome.library),
            floor: value(&outcome.floor),
            library_cpu: cpu(&outcome.library),
            floor_cpu: cpu(&outcome.floor),
            library_allocations: allocations(&outcome.library),
            floor_allocations: allocations(&outcome.floor),
        }
    }
}

fn json(outcome: &Outcome) -> serde_json::Value {
    let row = Row::of(outcome);
    serde_json::json!({
        "kind": outcome.kind,
        "unit": outcome.unit,
        "library": row.library,
        "floor": row.floor,
        "ratio": outcome.ratio(),
        "library_cpu_s": row.library_cpu.as_secs_f64(),
        "floor_cpu_s": row.floor_cpu.as_secs_f64(),
        "library_allocations": row.library_allocations,
        "floor_allocations": row.floor_allocations,
        "rounds": outcome.library.len(),
        "spread": outcome.spread(),
        "target_met": outcome.is_met(),
    })
}

fn verdict(outcome: &Outcome) -> String {
    let Some(target) = outcome.target else { return String::new() };
    let asked = match target {
        Target::Ratio(least) => format!("≥ {least:.2}"),
        Target::RatioAtMost(most) => format!("≤ {most:.2}"),
        Target::AtMost(most) => format!("library ≤ {}", short(most)),
    };
    if outcome.is_met() == Some(true) { asked } else { format!("{asked} !") }
}

/// Three digits that matter.
fn short(value: f64) -> String {
    match value {
        _ if value >= 999_500.0 => format!("{:.2} M", value / 1e6),
        _ if value >= 9_995.0 => format!("{:.1} k", value / 1e3),
        _ if value >= 99.95 => format!("{value:.0}"),
        _ if value >= 9.995 => format!("{value:.1}"),
        _ if value >= 0.1 || value == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}
