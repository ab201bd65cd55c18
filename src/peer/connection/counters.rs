//! The counters of messages and bytes, one set for each direction. They take no lock. A lock would double the time that
//! the reader spends on a small message.

use crate::peer::stats::{COMMANDS, Count, Traffic};
use crate::wire::Command;
use std::{
    sync::atomic::{AtomicU64, Ordering, fence},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Counters that one thread changes and every thread can read. A thread that reads gets all counters as they were at
/// one moment.
///
/// `changes` is odd while a counter is being changed. A reading thread compares it before and after, and reads again if
/// it was odd or has changed.
#[derive(Debug)]
pub(in crate::peer) struct Counters {
    changes: AtomicU64,
    counts: [Pair; COMMANDS],
    malformed: Pair,
    /// The time at which something was counted last, in nanoseconds since 1970. 0 if nothing was.
    last: AtomicU64,
}

#[derive(Debug, Default)]
struct Pair {
    messages: AtomicU64,
    bytes: AtomicU64,
}

impl Pair {
    fn add(&self, count: Count) {
        for (sum, count) in [(&self.messages, count.messages), (&self.bytes, count.bytes)] {
            sum.store(sum.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
        }
    }

    fn get(&self) -> Count {
        Count { messages: self.messages.load(Ordering::Relaxed), bytes: self.bytes.load(Ordering::Relaxed) }
    }
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            changes: AtomicU64::new(0),
            counts: std::array::from_fn(|_| Pair::default()),
            malformed: Pair::default(),
            last: AtomicU64::new(0),
        }
    }
}

impl Counters {
    /// Counts a message. Only one thread may call this method, `add_all`, `add_malformed` and `add_skipped`.
    #[inline]
    pub fn add(&self, command: Command, bytes: usize, at: Stamp) {
        self.add_all([(command, Count::one(bytes))], at);
    }

    /// Counts several messages in one change.
    #[inline]
    pub fn add_all(&self, counts: impl IntoIterator<Item = (Command, Count)>, at: Stamp) {
        self.change(|| {
            for (command, count) in counts {
                if let Some(sum) = self.counts.get(command.index()) {
                    sum.add(count);
                }
            }
            self.last.store(at.0, Ordering::Relaxed);
        });
    }

    /// Counts a malformed frame.
    pub fn add_malformed(&self, bytes: usize, at: Stamp) {
        self.change(|| {
            self.malformed.add(Count::one(bytes));
            self.last.store(at.0, Ordering::Relaxed);
        });
    }

    /// Counts more bytes of a malformed frame that is counted already.
    pub fn add_skipped(&self, bytes: usize) {
        self.change(|| self.malformed.add(Count { messages: 0, bytes: bytes as u64 }));
    }

    #[inline]
    fn change(&self, change: impl FnOnce()) {
        let before = self.changes.load(Ordering::Relaxed);
        self.changes.store(before.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        change();
        self.changes.store(before.wrapping_add(2), Ordering::Release);
    }

    /// All counters as they are at one moment, and the time of the last count.
    pub fn get(&self) -> (Traffic, Option<SystemTime>) {
        loop {
            let before = self.changes.load(Ordering::Acquire);
            let mut traffic = Traffic::default();
            for (command, count) in Command::ALL.into_iter().zip(&self.counts) {
                traffic.add(command, count.get());
            }
            if let Some(unknown) = self.counts.last() {
                traffic.add_custom(unknown.get());
            }
            traffic.malformed = self.malformed.get();
            let last = self.last.load(Ordering::Relaxed);
            fence(Ordering::Acquire);
            if before.is_multiple_of(2) && self.changes.load(Ordering::Relaxed) == before {
                return (traffic, Stamp(last).time());
            }
            thread::yield_now();
        }
    }
}

/// A time in nanoseconds since 1970, which fits an atomic counter. 0 is no time.
#[derive(Debug, Clone, Copy)]
pub(in crate::peer) struct Stamp(u64);

impl Stamp {
    /// A time before 1970 or after 2554 becomes the nearest time in that range.
    pub fn of(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX).max(1))
    }

    fn time(self) -> Option<SystemTime> {
        if self.0 == 0 { None } else { UNIX_EPOCH.checked_add(Duration::from_nanos(self.0)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn several_messages_are_counted_in_one_change() {
        let counters = Counters::default();
        let now = SystemTime::now();
        let count = Count { messages: 3, bytes: 96 };
        counters
            .add_all([(Command::Ping, count), (Command::Pong, Count::one(32)), (Command::Ping, count)], Stamp::of(now));
        let (traffic, last) = counters.get();
        assert_eq!(traffic.of(Command::Ping), Count { messages: 6, bytes: 192 });
        assert_eq!((traffic.of(Command::Pong), last), (Count::one(32), Some(now)));
    }

    #[test]
    fn the_counters_have_what_was_added() {
        let counters = Counters::default();
        assert_eq!(counters.get(), (Traffic::default(), None));
        let now = SystemTime::now();
        let unknown = "hello".parse().unwrap();
        counters.add(Command::Ping, 32, Stamp::of(now));
        counters.add(unknown, 30, Stamp::of(now));
        counters.add_malformed(24, Stamp::of(now));
        counters.add_skipped(8);
        let (traffic, last) = counters.get();
        assert_eq!(traffic.of(Command::Ping), Count { messages: 1, bytes: 32 });
        assert_eq!(traffic.of(unknown), Count { messages: 1, bytes: 30 });
        assert_eq!(traffic.malformed(), Count { messages: 1, bytes: 32 });
        assert_eq!(traffic.total(), Count { messages: 2, bytes: 94 });
        assert_eq!(last, Some(now));
    }

    #[test]
    fn a_time_out_of_range_becomes_the_nearest_one() {
        assert_eq!(Stamp::of(UNIX_EPOCH - Duration::from_secs(1)).time(), Some(UNIX_EPOCH + Duration::from_nanos(1)));
        let far = UNIX_EPOCH + Duration::from_secs(1 << 40);
        assert_eq!(Stamp::of(far).time(), Some(UNIX_EPOCH + Duration::from_nanos(u64::MAX)));
    }

    #[test]
    fn all_counters_are_read_as_they_were_at_one_moment() {
        let counters = Counters::default();
        let done = AtomicBool::new(false);
        let now = Stamp::of(SystemTime::now());
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..200_000 {
                    counters.add(Command::Ping, 32, now);
                    counters.add(Command::Pong, 32, now);
                }
                done.store(true, Ordering::Release);
            });
            while !done.load(Ordering::Acquire) {
                let (traffic, _) = counters.get();
                let (ping, pong) = (traffic.of(Command::Ping), traffic.of(Command::Pong));
                assert_eq!((ping.bytes, pong.bytes), (32 * ping.messages, 32 * pong.messages));
                assert!(ping.messages - pong.messages <= 1, "{} pings, {} pongs", ping.messages, pong.messages);
            }
        });
        assert_eq!(counters.get().0.total(), Count { messages: 400_000, bytes: 400_000 * 32 });
    }
}
