//! What the process has allocated, and what it has of the system, as Linux tells it; elsewhere that is not known.

use crate::heap;
use std::fs;

/// More allocated than this above the beginning is taken for a leak: a thread that is about to end may still have a little.
const HEAP_SLACK: u64 = 1 << 20;

/// More memory of the system than this above what it was when everything had begun to happen is taken for one, too. Of what
/// is given back to it, an allocator keeps much, in pieces and for every thread that was.
const MEMORY_SLACK: u64 = 64 << 20;

#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Gauges {
    pub threads: Option<u64>,
    pub files: Option<u64>,
    /// What is allocated, in bytes.
    pub heap: u64,
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
            heap: heap::allocated_bytes(),
            memory: number("VmRSS:").map(|kib| kib << 10),
        }
    }

    pub fn same_threads_and_files(self, other: Self) -> bool {
        (self.threads, self.files) == (other.threads, other.files)
    }

    /// What there is more of than before, or than in the midst of it where that is all that can be asked.
    pub fn compared_with(self, before: Self, amidst: Self) -> Vec<String> {
        let gauges = [
            ("threads", before.threads, self.threads, 0),
            ("files", before.files, self.files, 0),
            ("allocated bytes", Some(before.heap), Some(self.heap), HEAP_SLACK),
            ("bytes of memory", before.memory.max(amidst.memory), self.memory, MEMORY_SLACK),
        ];
        gauges
            .into_iter()
            .filter_map(|(name, before, after, slack)| Some((name, before?, after?, slack)))
            .filter(|(_, before, after, slack)| *after > before + slack)
            .map(|(name, before, after, _)| format!("{after} {name}, and {before} before"))
            .collect()
    }
}
