//! The memory of a process. Needs /proc.

use std::fs;

pub const MIB: usize = 1 << 20;

/// The most memory that a process has used so far, in bytes.
pub fn peak(process: u32) -> usize {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1024
}
