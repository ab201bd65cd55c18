//! The resources that peers take from the process: threads, descriptors, memory maps and memory.
//!
//! These tests count what the whole process has, so they have a binary of their own and run one after the other.

#[path = "../common/mod.rs"]
mod common;

#[cfg(target_os = "linux")]
mod connections_cut_at_every_byte;
#[cfg(target_os = "linux")]
mod descriptors_of_ended_peers;
mod memory_after_a_flood;
#[cfg(target_os = "linux")]
mod memory_maps_of_ended_peers;
mod memory_of_claimed_payloads;
mod memory_of_ended_peers;
mod process;
#[cfg(target_os = "linux")]
mod threads;

use peak_alloc::PeakAlloc;

/// Counts the bytes that the whole process has allocated, and their peak. A reallocation counts as both blocks at once.
#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;
