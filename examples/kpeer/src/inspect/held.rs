//! How much memory each connection of a pcap file holds, so that the one that holds the most is found at once.

use std::collections::BTreeSet;

/// The sizes of connections that hold memory, in bytes. `K` identifies a connection.
pub struct Held<K> {
    by_size: BTreeSet<(usize, K)>,
    total: usize,
}

impl<K: Copy + Ord> Held<K> {
    pub fn new() -> Self {
        Self { by_size: BTreeSet::new(), total: 0 }
    }

    /// The size of all connections together.
    pub fn total(&self) -> usize {
        self.total
    }

    /// Records that a connection held `before` bytes until now, and holds `after` bytes from now on.
    pub fn change(&mut self, key: K, before: usize, after: usize) {
        if before == after {
            return;
        }
        if self.by_size.remove(&(before, key)) {
            self.total -= before;
        }
        if after > 0 && self.by_size.insert((after, key)) {
            self.total += after;
        }
    }

    /// The connection that holds the most bytes, and how many.
    pub fn largest(&self) -> Option<(usize, K)> {
        self.by_size.last().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_is_the_one_that_holds_the_most_now() {
        let mut held = Held::new();
        assert_eq!((held.total(), held.largest()), (0, None));
        held.change('a', 0, 5);
        held.change('b', 0, 7);
        held.change('c', 0, 7);
        assert_eq!((held.total(), held.largest()), (19, Some((7, 'c'))));
        held.change('c', 7, 1);
        held.change('b', 7, 0);
        held.change('a', 5, 5);
        assert_eq!((held.total(), held.largest()), (6, Some((5, 'a'))));
        held.change('a', 5, 0);
        held.change('c', 1, 0);
        assert_eq!((held.total(), held.largest()), (0, None));
    }
}
