//! The nonces of a node's `version` messages, by which it notices that it dialled itself.

use rand::{Rng, rngs::StdRng};
use std::collections::VecDeque;

/// How many are remembered.
const REMEMBERED: usize = 50;

/// What one node sent.
pub(in crate::peer) struct Nonces {
    /// The node's, not the thread's: each peer has a new thread, on which the first random number takes longer than all
    /// else in a `version`.
    rng: StdRng,
    sent: VecDeque<u64>,
}

impl Nonces {
    pub fn new() -> Self {
        Self { rng: rand::make_rng(), sent: VecDeque::with_capacity(REMEMBERED) }
    }

    /// Another one, remembered.
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

    /// Whether it is one of those that were sent last.
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
