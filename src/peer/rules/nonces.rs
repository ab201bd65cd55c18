//! The nonces of a node's `version` messages, by which it detects a connection to itself.

use rand::{Rng, rngs::StdRng};
use std::collections::VecDeque;

/// How many nonces are remembered, as in the original.
const REMEMBERED: usize = 50;

/// The nonces that one node sent last, and its generator of random numbers.
pub(in crate::peer) struct Nonces {
    /// One for the node instead of one for each thread: seeding a generator takes longer than making a `version`, and each peer
    /// has new threads.
    rng: StdRng,
    sent: VecDeque<u64>,
}

impl Nonces {
    pub fn new() -> Self {
        Self { rng: rand::make_rng(), sent: VecDeque::with_capacity(REMEMBERED) }
    }

    /// A new nonce, which is remembered.
    pub fn fresh(&mut self) -> u64 {
        if self.sent.len() == REMEMBERED {
            self.sent.pop_front();
        }
        let nonce = self.rng.next_u64();
        self.sent.push_back(nonce);
        nonce
    }

    /// A random number that is not 0 and not remembered, for a ping.
    pub fn ping(&mut self) -> u64 {
        self.rng.next_u64().max(1)
    }

    /// The node's generator of random numbers.
    pub fn rng(&mut self) -> &mut StdRng {
        &mut self.rng
    }

    /// Whether a nonce is remembered.
    pub fn contains(&self, nonce: u64) -> bool {
        self.sent.contains(&nonce)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_fifty_are_remembered() {
        let mut nonces = Nonces::new();
        let sent: Vec<u64> = (0..120).map(|_| nonces.fresh()).collect();
        for (number, nonce) in sent.iter().enumerate() {
            assert_eq!(nonces.contains(*nonce), number >= 70, "{number}");
        }
    }

    #[test]
    fn nodes_have_their_own() {
        let [mut first, mut second] = [Nonces::new(), Nonces::new()];
        let nonce = first.fresh();
        assert!(!second.contains(nonce));
        assert_ne!(second.fresh(), nonce);
    }
}
