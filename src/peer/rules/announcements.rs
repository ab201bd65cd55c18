//! The inventory that the remote is known to have, and the inventory that waits to be announced to it.

use super::known_inventory::KnownInventory;
use crate::wire::Inventory;
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// The most items of one trickled `inv`.
pub(in crate::peer) const TRICKLE_BATCH: usize = 1000;

/// The known inventory and the trickle queue of one remote.
#[derive(Debug)]
pub(in crate::peer) struct Announcements {
    known: KnownInventory,
    waiting: VecDeque<Inventory>,
    limit: usize,
    interval: Duration,
    due: Option<Instant>,
}

impl Announcements {
    pub fn new(known: usize, limit: usize, interval: Duration) -> Self {
        Self { known: KnownInventory::new(known), waiting: VecDeque::new(), limit, interval, due: None }
    }

    /// Stores items that the remote announced as known.
    pub fn announced(&mut self, items: &[Inventory]) {
        self.known.note(items);
    }

    pub fn is_known(&self, item: &Inventory) -> bool {
        self.known.contains(item)
    }

    /// Stores an item that was announced to the remote as known.
    pub fn sent(&mut self, item: Inventory) {
        self.known.insert(&item);
    }

    /// Queues the items that are not known, and returns how many these are. If they do not all fit, it queues none of
    /// them and returns the current number of items in the queue as an error.
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

    /// The time at which to send the next batch. `None` while the queue is empty.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Takes the next batch from the queue, and stores its items as known. Leaves out items that have become known
    /// since they were queued.
    pub fn next_batch(&mut self) -> Vec<Inventory> {
        let mut batch = Vec::with_capacity(self.waiting.len().min(TRICKLE_BATCH));
        while batch.len() < TRICKLE_BATCH
            && let Some(item) = self.waiting.pop_front()
        {
            if self.known.insert(&item) {
                batch.push(item);
            }
        }
        if self.waiting.is_empty() {
            self.due = None;
            // Frees the memory of a large burst.
            self.waiting = VecDeque::new();
        }
        batch
    }

    /// Puts back a batch that could not be queued because the connection ends. The items count as waiting again, and
    /// are not announced any more.
    pub fn put_back(&mut self, batch: Vec<Inventory>) {
        self.waiting.extend(batch);
    }

    pub fn known_len(&self) -> usize {
        self.known.len()
    }

    pub fn waiting_len(&self) -> usize {
        self.waiting.len()
    }
}

/// The announcements of a connection. After the end of the connection only two counts remain, for the statistics.
pub(in crate::peer) enum Announcing {
    Open(Box<Announcements>),
    Closed { known: usize, waiting: usize },
}

impl Announcing {
    /// Replaces the announcements with their counts. Returns the old value, which the caller drops outside the lock.
    pub fn close(&mut self) -> Self {
        let (known, waiting) = self.len();
        std::mem::replace(self, Self::Closed { known, waiting })
    }

    /// How many items are known, and how many wait to be announced.
    pub fn len(&self) -> (usize, usize) {
        match self {
            Self::Open(open) => (open.known_len(), open.waiting_len()),
            Self::Closed { known, waiting } => (*known, *waiting),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::known_inventory::tests::items;
    use super::*;

    const TICK: Duration = Duration::from_millis(100);

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
    fn items_that_became_known_while_they_waited_are_left_out() {
        let mut it = announcements(10, 10);
        assert_eq!(it.queue(&items([1, 2, 3]), Instant::now()), Ok(3));
        it.announced(&items([2]));
        assert_eq!(it.next_batch(), items([1, 3]));
    }

    #[test]
    fn sent_items_become_known() {
        let now = Instant::now();
        let mut it = announcements(10, 10);
        assert_eq!(it.queue(&items([1, 1]), now), Ok(2));
        assert_eq!(it.next_batch(), items([1]), "once");
        assert_eq!(it.queue(&items([1]), now), Ok(0));
    }

    #[test]
    fn both_counts_stay_after_the_end_with_a_batch_that_was_put_back() {
        let mut it = announcements(10, 10);
        let [sent, waiting, other] = items([1, 2, 3])[..] else { unreachable!() };
        it.sent(sent);
        assert_eq!([sent, waiting].map(|item| it.is_known(&item)), [true, false]);
        assert_eq!(it.queue(&[sent, waiting, other], Instant::now()), Ok(2));
        let batch = it.next_batch();
        assert_eq!((batch.len(), it.waiting_len()), (2, 0));
        it.put_back(batch);
        let mut announcing = Announcing::Open(Box::new(it));
        assert_eq!(announcing.len(), (3, 2));
        drop(announcing.close());
        assert_eq!(announcing.len(), (3, 2));
    }

    #[test]
    fn items_that_do_not_all_fit_are_all_refused() {
        let now = Instant::now();
        let mut it = announcements(10, 3);
        assert_eq!(it.queue(&items([1, 2]), now), Ok(2));
        assert_eq!(it.queue(&items([3, 4]), now), Err(2));
        assert_eq!(it.queue(&items([3]), now), Ok(1));
        assert_eq!(it.next_batch(), items([1, 2, 3]));
    }

    #[test]
    fn with_capacity_0_no_item_is_known() {
        let now = Instant::now();
        let mut it = announcements(0, 10);
        it.announced(&items([1]));
        assert_eq!(it.queue(&items([1, 1]), now), Ok(2));
        assert_eq!(it.next_batch(), items([1, 1]));
        assert_eq!(it.known_len(), 0);
    }

    #[test]
    fn with_unlimited_capacity_every_item_is_known() {
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
            assert!(it.known.len() <= 1000);
        }
        assert_eq!(it.known_len(), 1000);
    }
}
