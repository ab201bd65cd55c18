//! What the remote is known to have, and what waits to be announced to it. Pure: given the time, it owns no timer.

use crate::wire::Inventory;
use hashlink::{DefaultHashBuilder, LinkedHashSet};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// The most items of one trickled `inv`.
pub(in crate::peer) const TRICKLE_BATCH: usize = 1000;

/// What is known and what waits.
#[derive(Debug)]
pub(in crate::peer) struct Announcements {
    known: Known,
    waiting: VecDeque<Inventory>,
    limit: usize,
    interval: Duration,
    due: Option<Instant>,
}

impl Announcements {
    pub fn new(known: usize, limit: usize, interval: Duration) -> Self {
        Self { known: Known::new(known), waiting: VecDeque::new(), limit, interval, due: None }
    }

    /// What the remote announced, it knows.
    pub fn announced(&mut self, items: &[Inventory]) {
        self.known.note(items);
    }

    pub fn is_known(&mut self, item: &Inventory) -> bool {
        self.known.contains(item)
    }

    pub fn sent(&mut self, item: Inventory) {
        self.known.insert(item);
    }

    /// Queues what is not known. Gives how many were queued, or how many wait already when they do not fit: then none
    /// is taken.
    pub fn queue(&mut self, items: &[Inventory], now: Instant) -> Result<usize, usize> {
        let before = self.waiting.len();
        for item in items {
            if self.known.contains(item) {
                continue;
            }
            if self.waiting.len() == self.limit {
                self.waiting.truncate(before);
                return Err(before);
            }
            self.waiting.push_back(*item);
        }
        if !self.waiting.is_empty() && self.due.is_none() {
            self.due = now.checked_add(self.interval);
        }
        Ok(self.waiting.len() - before)
    }

    /// When to send the next batch; `None` while nothing waits.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// The next batch of what still waits and has not become known meanwhile; what it gives is known from now on. Empty
    /// when nothing is left.
    pub fn next_batch(&mut self) -> Vec<Inventory> {
        let mut batch = Vec::with_capacity(self.waiting.len().min(TRICKLE_BATCH));
        while batch.len() < TRICKLE_BATCH
            && let Some(item) = self.waiting.pop_front()
        {
            if self.known.insert(item) {
                batch.push(item);
            }
        }
        if self.waiting.is_empty() {
            self.due = None;
            // A burst is over; its room is given back.
            self.waiting = VecDeque::new();
        }
        batch
    }

    pub fn known_len(&mut self) -> usize {
        self.known.len()
    }

    pub fn waiting_len(&self) -> usize {
        self.waiting.len()
    }
}

/// A set of the items that were noted last, by value.
///
/// What a remote announces is only appended to a log, and indexed when somebody asks: a flood of announcements that
/// nobody asks about costs a copy. The index hashes with a key, so that a remote cannot choose items that collide.
#[derive(Debug)]
struct Known {
    capacity: usize,
    index: LinkedHashSet<Inventory, DefaultHashBuilder>,
    /// Noted and not yet indexed, oldest first; at most twice the capacity, of which the last `capacity` count.
    log: Vec<Inventory>,
}

impl Known {
    fn new(capacity: usize) -> Self {
        Self { capacity, index: LinkedHashSet::with_hasher(DefaultHashBuilder::default()), log: Vec::new() }
    }

    fn note(&mut self, items: &[Inventory]) {
        let items = items.get(items.len().saturating_sub(self.capacity)..).unwrap_or_default();
        if self.log.len() + items.len() > self.capacity.saturating_mul(2) {
            let outdated = (self.log.len() + items.len()).saturating_sub(self.capacity).min(self.log.len());
            self.log.drain(..outdated);
        }
        self.log.extend_from_slice(items);
    }

    fn absorb(&mut self) {
        let log = std::mem::take(&mut self.log);
        for item in log.get(log.len().saturating_sub(self.capacity)..).unwrap_or_default() {
            self.index_item(*item);
        }
    }

    /// Makes `item` the newest; whether it is new.
    fn index_item(&mut self, item: Inventory) -> bool {
        let new = self.index.insert(item);
        if self.index.len() > self.capacity {
            self.index.pop_front();
        }
        new
    }

    fn contains(&mut self, item: &Inventory) -> bool {
        self.absorb();
        self.index.contains(item)
    }

    /// Notes `item`; whether it was not known. Always so when the set is off.
    fn insert(&mut self, item: Inventory) -> bool {
        if self.capacity == 0 {
            return true;
        }
        self.absorb();
        self.index_item(item)
    }

    fn len(&mut self) -> usize {
        self.absorb();
        self.index.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Hash;
    use proptest::prelude::*;

    const TICK: Duration = Duration::from_millis(100);

    fn item(number: u32) -> Inventory {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&number.to_le_bytes());
        Inventory::tx(Hash::from_bytes(bytes))
    }

    fn items(numbers: impl IntoIterator<Item = u32>) -> Vec<Inventory> {
        numbers.into_iter().map(item).collect()
    }

    fn announcements(known: usize, limit: usize) -> Announcements {
        Announcements::new(known, limit, TICK)
    }

    #[test]
    fn nothing_is_due_while_nothing_waits() {
        let now = Instant::now();
        let mut it = announcements(10, 10);
        assert_eq!(it.due(), None);
        it.announced(&items([1]));
        assert_eq!(it.queue(&items([1]), now), Ok(0), "the remote has it");
        assert_eq!(it.due(), None);
        assert_eq!(it.queue(&items([2]), now), Ok(1));
        assert_eq!(it.due(), Some(now + TICK));
        assert_eq!(it.queue(&items([3]), now + TICK / 2), Ok(1));
        assert_eq!(it.due(), Some(now + TICK), "later items wait no longer than the first");
        assert_eq!(it.next_batch(), items([2, 3]));
        assert_eq!(it.due(), None);
    }

    #[test]
    fn a_batch_has_at_most_a_thousand_items_in_order() {
        let mut it = announcements(1000, 10_000);
        assert_eq!(it.queue(&items(0..2500), Instant::now()), Ok(2500));
        assert_eq!(it.next_batch(), items(0..1000));
        assert!(it.due().is_some());
        assert_eq!(it.next_batch(), items(1000..2000));
        assert_eq!(it.next_batch(), items(2000..2500));
        assert_eq!(it.next_batch(), []);
        assert_eq!(it.due(), None);
    }

    #[test]
    fn what_became_known_meanwhile_is_skipped() {
        let mut it = announcements(10, 10);
        assert_eq!(it.queue(&items([1, 2, 3]), Instant::now()), Ok(3));
        it.announced(&items([2]));
        assert_eq!(it.next_batch(), items([1, 3]));
    }

    #[test]
    fn what_is_sent_becomes_known() {
        let now = Instant::now();
        let mut it = announcements(10, 10);
        assert_eq!(it.queue(&items([1, 1]), now), Ok(2));
        assert_eq!(it.next_batch(), items([1]), "once");
        assert_eq!(it.queue(&items([1]), now), Ok(0));
    }

    #[test]
    fn a_batch_that_does_not_fit_is_refused_whole() {
        let now = Instant::now();
        let mut it = announcements(10, 3);
        assert_eq!(it.queue(&items([1, 2]), now), Ok(2));
        assert_eq!(it.queue(&items([3, 4]), now), Err(2));
        assert_eq!(it.queue(&items([3]), now), Ok(1));
        assert_eq!(it.next_batch(), items([1, 2, 3]));
    }

    #[test]
    fn a_set_of_none_knows_nothing() {
        let now = Instant::now();
        let mut it = announcements(0, 10);
        it.announced(&items([1]));
        assert_eq!(it.queue(&items([1, 1]), now), Ok(2));
        assert_eq!(it.next_batch(), items([1, 1]));
        assert_eq!(it.known_len(), 0);
    }

    #[test]
    fn a_set_without_a_bound_knows_everything() {
        let mut it = announcements(usize::MAX, usize::MAX);
        it.announced(&items(0..3000));
        assert_eq!(it.queue(&items(2000..4000), Instant::now()), Ok(1000));
        assert_eq!(it.known_len(), 3000);
    }

    #[test]
    fn known_stays_bounded_under_a_million_announcements() {
        let mut it = announcements(1000, 10);
        for start in (0..1_000_000).step_by(777) {
            it.announced(&items(start..start + 777));
            assert!(it.known.log.len() <= 2000);
        }
        assert_eq!(it.known_len(), 1000);
    }

    proptest! {
        /// Against the plain idea of it: a list of distinct items, newest last, cut to the capacity.
        #[test]
        fn known_is_the_most_recently_noted(capacity in 1..12usize, actions in prop::collection::vec((any::<bool>(), 0..20u32), 0..200)) {
            let mut known = Known::new(capacity);
            let mut model: Vec<Inventory> = Vec::new();
            for (ask, number) in actions {
                let item = item(number);
                if ask {
                    prop_assert_eq!(known.contains(&item), model.contains(&item));
                } else {
                    // One at a time and asked about, so that the log never drops what the model keeps.
                    known.note(&[item]);
                    known.absorb();
                    model.retain(|other| *other != item);
                    model.push(item);
                    if model.len() > capacity {
                        model.remove(0);
                    }
                }
            }
        }

        /// However announcements are batched, the newest distinct ones of the last `capacity` are known and nothing
        /// else is.
        #[test]
        fn the_last_announced_are_known(capacity in 1..12usize, batches in prop::collection::vec(prop::collection::vec(0..30u32, 0..9), 0..30)) {
            let mut known = Known::new(capacity);
            batches.iter().for_each(|batch| known.note(&items(batch.iter().copied())));
            let all: Vec<u32> = batches.concat();
            let recent = &all[all.len().saturating_sub(capacity)..];
            for number in 0..30 {
                prop_assert_eq!(known.contains(&item(number)), recent.contains(&number));
            }
        }
    }
}
