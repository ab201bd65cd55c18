//! The resources that the process uses: threads, descriptors and memory. Other systems than Linux report only the allocated bytes.

use crate::heap;
use std::fs;

/// A larger rest of allocated bytes is a leak. Below it are what a thread that is about to end still has, and the
/// buffers of the standard library.
const HEAP_SLACK: u64 = 256 << 10;

/// A larger rest of resident memory is a leak. The allocator keeps much of what is freed, in pieces and for each thread.
const MEMORY_SLACK: u64 = 64 << 20;

#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Gauges {
    pub threads: Option<u64>,
    pub files: Option<u64>,
    /// Allocated bytes.
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

    /// The resources of which there are more than `before`. Resident memory is compared with `amid`, when all peers were connected.
    pub fn compared_with(self, before: Self, amid: Self) -> Vec<String> {
        let gauges = [
            ("threads", before.threads, self.threads, 0),
            ("files", before.files, self.files, 0),
            ("allocated bytes", Some(before.heap), Some(self.heap), HEAP_SLACK),
            ("bytes of memory", before.memory.max(amid.memory), self.memory, MEMORY_SLACK),
        ];
        gauges
            .into_iter()
            .filter_map(|(name, before, after, slack)| Some((name, before?, after?, slack)))
            .filter(|(_, before, after, slack)| *after > before + slack)
            .map(|(name, before, after, _)| format!("{after} {name}, {before} before"))
            .collect()
    }
}
