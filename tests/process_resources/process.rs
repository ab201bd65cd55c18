//! Counts of what the whole process has.

use crate::common::wait_until;
use parking_lot::{Mutex, MutexGuard};

/// Held by a test that counts what the whole process has, so that no other test of this binary runs meanwhile.
pub type Exclusive = MutexGuard<'static, ()>;

/// Waits until no other test runs, and until the peers of earlier tests have ended.
pub fn exclusive() -> Exclusive {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock();
    #[cfg(target_os = "linux")]
    no_threads_left();
    turn
}

/// The names of the threads that serve peers, sorted.
#[cfg(target_os = "linux")]
pub fn threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    // The name of a thread that ends at this moment can no longer be read.
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    let mut names: Vec<String> =
        names.map(|name| name.trim().to_owned()).filter(|name| name.starts_with("kpeer-")).collect();
    names.sort();
    names
}

/// Waits until no peer has a thread. The kernel lists a thread for a moment after it was joined.
#[cfg(target_os = "linux")]
pub fn no_threads_left() {
    wait_until("no threads of peers are left", || threads().is_empty());
}

/// The number of open descriptors.
#[cfg(target_os = "linux")]
pub fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// The number of memory maps. A thread that was not joined keeps two: its stack and a guard page.
#[cfg(target_os = "linux")]
pub fn memory_maps() -> usize {
    std::fs::read_to_string("/proc/self/maps").unwrap().lines().count()
}
