//! The rows of an earlier run, which `--compare` reads from its `--json` output.

use super::Result;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// The figures of each kind.
pub struct Earlier(HashMap<String, Figures>);

struct Figures {
    library: f64,
    ratio: Option<f64>,
}

impl Earlier {
    /// Lines without a kind, as the last line of an interrupted run, are skipped.
    pub fn read(path: &Path) -> Result<Self> {
        let mut rows = HashMap::new();
        for (number, line) in (1..).zip(BufReader::new(File::open(path)?).lines()) {
            let line = line?;
            let row: serde_json::Value =
                serde_json::from_str(&line).map_err(|error| format!("line {number} is not a JSON object: {error}"))?;
            if let (Some(kind), Some(library)) = (row["kind"].as_str(), row["library"].as_f64()) {
                rows.insert(kind.to_owned(), Figures { library, ratio: row["ratio"].as_f64() });
            }
        }
        if rows.is_empty() { Err("no rows of `kpeer bench --json`".into()) } else { Ok(Self(rows)) }
    }

    /// The change since the earlier run, relative to it: of the ratio if both runs have one, otherwise of the library's figure.
    /// `None` if the earlier run does not have the kind, or if its figure was zero.
    pub fn change(&self, kind: &str, library: f64, ratio: Option<f64>) -> Option<f64> {
        let earlier = self.0.get(kind)?;
        let (now, then) = match (ratio, earlier.ratio) {
            (Some(now), Some(then)) => (now, then),
            _ => (library, earlier.library),
        };
        (then > 0.0).then(|| now / then - 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_compared_and_figures_where_there_is_no_ratio() {
        let figures = |library, ratio| Figures { library, ratio };
        let rows = [
            ("small", figures(100.0, Some(0.8))),
            ("idle.cpu", figures(2.0, None)),
            ("idle.wakeups", figures(0.0, None)),
        ];
        let earlier = Earlier(rows.into_iter().map(|(kind, figures)| (kind.to_owned(), figures)).collect());
        let percent = |change: Option<f64>| change.map(|change| (change * 100.0).round());
        assert_eq!(percent(earlier.change("small", 500.0, Some(0.88))), Some(10.0));
        assert_eq!(percent(earlier.change("idle.cpu", 1.0, Some(7.0))), Some(-50.0));
        assert_eq!(earlier.change("idle.wakeups", 1.0, None), None);
        assert_eq!(earlier.change("tx", 1.0, Some(1.0)), None);
    }
}
