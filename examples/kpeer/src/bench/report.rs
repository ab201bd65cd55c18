//! Prints the rows: a table of 80 columns for people, one JSON object per line for programs.

use super::compare::Earlier;
use super::measure::{Outcome, Sample, Target, median};
use super::{Result, print_line};
use parking_lot::Mutex;
use std::process;
use std::sync::Arc;
use std::time::Duration;

const LEGEND: &str = "
library  the figure of the library, the median of the rounds, with its unit
floor    the same figure of plain code without the library
ratio    library ÷ floor: for rates higher is better, for times lower
spread   largest minus smallest ratio of the rounds, in percent of the ratio
target   for the ratio, or with `lib` for the library; `!` marks a miss";

const LEGEND_CHANGE: &str = "change   of the ratio since the earlier run; where there is none, of the figure";

/// Prints rows as they are measured. Clones print to the same output.
#[derive(Clone)]
pub struct Report {
    json: bool,
    earlier: Option<Arc<Earlier>>,
    rows: Arc<Mutex<usize>>,
}

impl Report {
    pub fn new(json: bool, earlier: Option<Earlier>) -> Self {
        Self { json, earlier: earlier.map(Arc::new), rows: Arc::default() }
    }

    pub fn show(&self, outcome: &Outcome) {
        let row = Row::of(outcome);
        // Held while the row is printed, so that the last line of an interrupted run stands behind it.
        let mut rows = self.rows.lock();
        if self.json {
            print_line!("{}", self.json(outcome, &row));
        } else {
            if *rows == 0 {
                print_line!("{}", self.line("kind", ["library", "floor"], "", ["ratio", "spread"], "target", "change"));
            }
            print_line!("{}", self.text(outcome, &row));
        }
        *rows += 1;
    }

    /// Prints what follows the rows.
    pub fn finish(&self) {
        let rows = self.rows.lock();
        if !self.json && *rows > 0 {
            print_line!("{LEGEND}");
            if self.earlier.is_some() {
                print_line!("{LEGEND_CHANGE}");
            }
        }
    }

    /// Ends the process after SIGINT or SIGTERM. Children end when their standard input does.
    pub fn interrupted(&self) -> ! {
        self.finish();
        // Never unlocked: no row is printed after the last line.
        let rows = self.rows.lock();
        if self.json {
            print_line!("{}", serde_json::json!({"interrupted": true, "rows": *rows}));
        } else {
            let plural = if *rows == 1 { "" } else { "s" };
            print_line!("\ninterrupted after {} row{plural}; the unfinished measurement is not shown", *rows);
        }
        process::exit(0);
    }

    fn line(&self, kind: &str, figures: [&str; 2], unit: &str, ratio: [&str; 2], target: &str, change: &str) -> String {
        let ([library, floor], [ratio, spread]) = (figures, ratio);
        let line = format!("{kind:<17} {library:>7} {floor:>7} {unit:<13} {ratio:>5} {spread:>6} {target:<11}");
        let line = if self.earlier.is_some() { format!("{line} {change:>7}") } else { line };
        line.trim_end().to_owned()
    }

    fn text(&self, outcome: &Outcome, row: &Row) -> String {
        let ratio = row.ratio.map_or("–".to_owned(), short);
        let spread = row.ratio.map_or("–".to_owned(), |_| format!("{:.0} %", 100.0 * outcome.spread()));
        let change = match (&self.earlier, self.change(outcome, row)) {
            (Some(_), Some(change)) if change < 9.995 => format!("{:+.1} %", 100.0 * change),
            (Some(_), Some(_)) => "> 999 %".to_owned(),
            (Some(_), None) => "new".to_owned(),
            (None, _) => String::new(),
        };
        let figures = [&*short(row.library), &*short(row.floor)];
        self.line(&outcome.kind, figures, outcome.unit, [&ratio, &spread], &target(outcome), &change)
    }

    fn json(&self, outcome: &Outcome, row: &Row) -> serde_json::Value {
        let mut object = serde_json::json!({
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
        });
        if self.earlier.is_some()
            && let Some(fields) = object.as_object_mut()
        {
            fields.insert("change".to_owned(), self.change(outcome, row).into());
        }
        object
    }

    fn change(&self, outcome: &Outcome, row: &Row) -> Option<f64> {
        self.earlier.as_ref()?.change(&outcome.kind, row.library, row.ratio)
    }
}

/// Medians over the rounds, and the CPU time of all of them.
struct Row {
    library: f64,
    floor: f64,
    /// `None` if the floor is zero.
    ratio: Option<f64>,
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
        let floor = value(&outcome.floor);
        Self {
            library: value(&outcome.library),
            floor,
            ratio: (floor > 0.0).then(|| outcome.ratio()),
            library_cpu: cpu(&outcome.library),
            floor_cpu: cpu(&outcome.floor),
            library_allocations: allocations(&outcome.library),
            floor_allocations: allocations(&outcome.floor),
        }
    }
}

fn target(outcome: &Outcome) -> String {
    let Some(target) = outcome.target else { return String::new() };
    let asked = match target {
        Target::Ratio(least) => format!("≥ {least:.2}"),
        Target::RatioAtMost(most) => format!("≤ {most:.2}"),
        Target::AtMost(most) => format!("≤ {most} lib"),
    };
    if outcome.is_met() == Some(true) { asked } else { format!("{asked}!") }
}

/// Three significant digits.
fn short(value: f64) -> String {
    match value {
        _ if value >= 999_500.0 => format!("{:.2} M", value / 1e6),
        _ if value >= 9_995.0 => format!("{:.1} k", value / 1e3),
        _ if value >= 99.95 => format!("{value:.0}"),
        _ if value >= 9.995 => format!("{value:.1}"),
        _ if value >= 0.1 || value == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// Reads the rows of an earlier run.
pub fn earlier(path: &std::path::Path) -> Result<Earlier> {
    Earlier::read(path).map_err(|error| format!("--compare {}: {error}", path.display()).into())
}
