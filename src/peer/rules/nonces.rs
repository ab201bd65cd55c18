//! The nonces of a node's `version` messages, by which it detects a connection to itself.

use rand::{Rng, rngs::StdRng};
use std::collections::VecDeque;

/// How many nonces are remembered, as in the original.
const REMEMBERED: usize = 50;

/// The last nonces that one node sent, and the node's random number generator.
pub(in crate::peer) struct Nonces {
    /// The node has one generator instead of one for each thread. Each peer starts new threads, and seeding a generator
    /// takes longer than building a `version`.
    rng: StdRng,
    sent: VecDeque<u64>,
}

impl Nonces {
    pub fn new() -> Self {
        Self { rng: rand::make_rng(), sent: VecDeque::with_capacity(REMEMBERED) }
    }

    /// Returns a new nonce for a `version`, and remembers it.
    pub fn fresh(&mut self) -> u64 {
        if self.sent.len() == REMEMBERED {
            self.sent.pop_front();
        }
        let nonce = self.rng.next_u64();
        self.sent.push_back(nonce);
        nonce
    }

    /// Returns a random nonce for a ping. It is not 0 and is not remembered.
    pub fn ping(&mut self) -> u64 {
        self.rng.next_u64().max(1)
    }

    /// The node's random number generator.
    pub fn rng(&mut self) -> &mut StdRng {
        &mut self.rng
    }

    /// `true` if a nonce is remembered.
    pub fn contains(&self, nonce: u64) -> bool {
        self.sent.contains(&nonce)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_fifty_nonces_are_remembered() {
        let mut nonces = Nonces::new();
        let sent: Vec<u64> = (0..120).map(|_| nonces.fresh()).collect();
        for (number, nonce) in sent.iter().enumerate() {
            assert_eq!(nonces.contains(*nonce), number >= 70, "{number}");
        }
    }

    #[test]
    fn each_node_has_its_own_nonces() {
        let [mut first, mut second] = [Nonces::new(), Nonces::new()];
        let nonce = first.fresh();
        assert!(!second.contains(nonce));
        assert_ne!(second.fresh(), nonce);
    }
}
