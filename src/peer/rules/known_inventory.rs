//! The inventory that the remote is known to have.
//!
//! A *note* records that the remote has an item. Notes are numbered, and an item is known if it is in one of the last
//! `capacity` notes. A note is stored at once, on the thread that makes it, so that no work is left for a thread that
//! asks for an item later. Storing must be cheap, because a remote may announce tens of thousands of items a second.
//! The set does not keep the item but a 64-bit fingerprint of it under a random key, so that a remote cannot choose
//! items that collide. Two tables map fingerprints to the number of their last note. New notes go to the current table.
//! When the current table has taken `capacity` notes, every note of the previous table is too old to count, and the two
//! tables are swapped. Nothing is ever removed or cleared: a slot counts as empty if its note is older than the notes
//! of its table.

use crate::wire::Inventory;
use foldhash::quality::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};

/// The items of the last `capacity` notes. Each item that the remote announces, that is announced to it, or that the
/// program adds makes a note. An item that is noted twice takes two of these notes.
pub(super) struct KnownInventory {
    capacity: usize,
    key: RandomState,
    /// The number of notes so far, and so the number of the last note.
    notes: u64,
    /// The value of `notes` when the tables were last swapped.
    turn: u64,
    /// The notes since the last swap of the tables.
    current: Table,
    /// The notes between the last two swaps.
    previous: Table,
}

impl KnownInventory {
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity,
            key: RandomState::default(),
            notes: 0,
            turn: 0,
            current: Table::default(),
            previous: Table::default(),
        }
    }

    #[inline]
    fn fingerprint(&self, item: &Inventory) -> u64 {
        let mut hasher = self.key.build_hasher();
        hasher.write_u32(item.kind.0);
        for part in item.hash.as_bytes().as_chunks::<8>().0 {
            hasher.write_u64(u64::from_le_bytes(*part));
        }
        hasher.finish()
    }

    /// Makes a note of each item. The last item is the newest.
    pub fn note(&mut self, items: &[Inventory]) {
        for item in items.get(items.len().saturating_sub(self.capacity)..).unwrap_or_default() {
            let fingerprint = self.fingerprint(item);
            self.put(fingerprint);
        }
    }

    /// Makes a note of an item. Returns whether the item was not known. With a capacity of 0 it always returns `true`.
    pub fn insert(&mut self, item: &Inventory) -> bool {
        if self.capacity == 0 {
            return true;
        }
        let fingerprint = self.fingerprint(item);
        let is_new = !self.has(fingerprint);
        self.put(fingerprint);
        is_new
    }

    pub fn contains(&self, item: &Inventory) -> bool {
        self.has(self.fingerprint(item))
    }

    /// How many items are known. The time that this takes grows with the capacity.
    pub fn len(&self) -> usize {
        let older = self.previous.slots.iter();
        let older = older
            .filter(|slot| self.is_remembered(slot.note) && self.current.find(slot.fingerprint, self.turn).is_none());
        self.current.used + older.count()
    }

    #[inline]
    fn has(&self, fingerprint: u64) -> bool {
        self.current.find(fingerprint, self.turn).is_some()
            || self.previous.find(fingerprint, self.previous_turn()).is_some_and(|note| self.is_remembered(note))
    }

    /// How many notes were made before those in `previous`.
    fn previous_turn(&self) -> u64 {
        self.turn.saturating_sub(self.capacity as u64)
    }

    fn is_remembered(&self, note: u64) -> bool {
        note != EMPTY && note.saturating_add(self.capacity as u64) > self.notes
    }

    #[inline]
    fn put(&mut self, fingerprint: u64) {
        if self.notes - self.turn >= self.capacity as u64 {
            std::mem::swap(&mut self.current, &mut self.previous);
            self.current.used = 0;
            self.turn = self.notes;
        }
        self.notes += 1;
        self.current.put(fingerprint, self.notes, self.turn, self.capacity);
    }
}

impl fmt::Debug for KnownInventory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KnownInventory").field("notes", &self.notes).finish_non_exhaustive()
    }
}

/// The note number of a slot that was never used. Notes are numbered from 1.
const EMPTY: u64 = 0;

/// The number of slots of a new table, unless its capacity needs fewer.
const SMALLEST: usize = 64;

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    fingerprint: u64,
    note: u64,
}

/// An open-addressing table with linear probing: the search for a fingerprint starts at its slot and ends at the first
/// empty one. At most two thirds of the slots are used.
///
/// A slot is empty if its note number is at most `turn`, the number of notes before the first note of the table.
#[derive(Default)]
struct Table {
    slots: Vec<Slot>,
    used: usize,
}

impl Table {
    /// The slot at which a search for a fingerprint starts.
    #[inline]
    fn start(&self, fingerprint: u64) -> usize {
        // The upper half of the product is a number below the length, as evenly spread as the fingerprints.
        ((u128::from(fingerprint) * self.slots.len() as u128) >> 64) as usize
    }

    /// The number of the last note of a fingerprint.
    #[inline]
    fn find(&self, fingerprint: u64, turn: u64) -> Option<u64> {
        let (before, from) = self.slots.split_at_checked(self.start(fingerprint))?;
        for slot in from.iter().chain(before) {
            if slot.note <= turn {
                return None;
            }
            if slot.fingerprint == fingerprint {
                return Some(slot.note);
            }
        }
        None
    }

    /// Stores the number of the last note of a fingerprint. The table never holds more than `capacity` fingerprints.
    #[inline]
    fn put(&mut self, fingerprint: u64, note: u64, turn: u64, capacity: usize) {
        if self.used * 3 >= self.slots.len() * 2 {
            self.grow(turn, capacity);
        }
        let start = self.start(fingerprint);
        let Some((before, from)) = self.slots.split_at_mut_checked(start) else { return };
        for slot in from.iter_mut().chain(before) {
            let is_free = slot.note <= turn;
            if is_free || slot.fingerprint == fingerprint {
                self.used += usize::from(is_free);
                *slot = Slot { fingerprint, note };
                return;
            }
        }
    }

    #[cold]
    fn grow(&mut self, turn: u64, capacity: usize) {
        let enough = capacity.saturating_mul(3) / 2 + 3;
        let doubled = (self.slots.len() * 2).max(SMALLEST).min(enough);
        let old = std::mem::replace(&mut self.slots, vec![Slot::default(); doubled]);
        self.used = 0;
        for slot in old.into_iter().filter(|slot| slot.note > turn) {
            self.put(slot.fingerprint, slot.note, turn, capacity);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::wire::Hash;
    use proptest::prelude::*;

    fn item(number: u32) -> Inventory {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&number.to_le_bytes());
        Inventory::tx(Hash::from_bytes(bytes))
    }

    pub fn items(numbers: impl IntoIterator<Item = u32>) -> Vec<Inventory> {
        numbers.into_iter().map(item).collect()
    }

    #[test]
    fn memory_stays_bounded_under_a_million_notes() {
        let mut known = KnownInventory::new(1000);
        for start in (0..1_000_000).step_by(777) {
            known.note(&items(start..start + 777));
            assert!(known.current.slots.len() + known.previous.slots.len() <= 2 * 1503);
        }
        assert_eq!(known.len(), 1000);
    }

    #[test]
    fn a_type_is_part_of_an_item() {
        let mut known = KnownInventory::new(10);
        known.note(&[item(1)]);
        assert!(known.contains(&item(1)));
        assert!(!known.contains(&Inventory::block(item(1).hash)));
    }

    proptest! {
        /// The known items are those of the last `capacity` notes, for single notes and batches of notes.
        #[test]
        fn the_items_of_the_last_notes_are_known(
            capacity in 1..12usize,
            batches in prop::collection::vec(prop::collection::vec(0..30u32, 0..9), 0..60),
        ) {
            let mut known = KnownInventory::new(capacity);
            let mut all = Vec::new();
            for batch in batches {
                if let [single] = batch[..] {
                    let recent: &[u32] = &all[all.len().saturating_sub(capacity)..];
                    prop_assert_eq!(known.insert(&item(single)), !recent.contains(&single));
                } else {
                    known.note(&items(batch.iter().copied()));
                }
                all.extend(batch);
                let recent = &all[all.len().saturating_sub(capacity)..];
                for number in 0..30 {
                    prop_assert_eq!(known.contains(&item(number)), recent.contains(&number));
                }
                let distinct: std::collections::HashSet<_> = recent.iter().collect();
                prop_assert_eq!(known.len(), distinct.len());
            }
        }
    }
}
