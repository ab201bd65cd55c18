//! What the process has of the system, as Linux tells it; elsewhere nothing is known.

use std::fs;
use std::time::Duration;

/// More memory than this above the beginning is taken for a leak. Allocators keep some for every thread that was, and on a
/// machine with many cores a short rehearsal leaves more to come.
pub fn memory_slack(time: Duration) -> u64 {
    if time < Duration::from_secs(60) { 64 << 20 } else { 32 << 20 }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Gauges {
    pub threads: Option<u64>,
    pub files: Option<u64>,
    /// Resident memory, in bytes.
    pub memory: Option<u64>,
}

impl Gauges {
    pub fn now() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        Self {
            threads: number("Threads:"),
            files: fs::read_dir("/proc/self/fd").ok().map(|files| files.count() as u64),
            memory: number("VmRSS:").map(|kib| kib << 10),
        }
    }

    pub fn same_threads_and_files(self, other: Self) -> bool {
        (self.threads, self.files) == (other.threads, other.files)
    }

    /// What there is more of than before, and in memory by more than the slack.
    pub fn compared_with(self, before: Self, memory_slack: u64) -> Vec<String> {
        let gauges = [
            ("threads", before.threads, self.threads, 0),
            ("files", before.files, self.files, 0),
            ("bytes of memory", before.memory, self.memory, memory_slack),
        ];
        gauges
            .into_iter()
            .filter_map(|(name, before, after, slack)| Some((name, before?, after?, slack)))
            .filter(|(_, before, after, slack)| *after > before + slack)
            .map(|(name, before, after, _)| format!("{after} {name}, and {before} before"))
            .collect()
    }
}
