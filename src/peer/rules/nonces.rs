//! The nonces of the `version` messages of peers that a node dials, by which it detects a connection to itself.

use rand::rngs::{StdRng, SysRng};
use rand::{Rng, SeedableRng};
use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

/// How many nonces are remembered, as in the original.
const REMEMBERED: usize = 50;

/// The last nonces that one node sent to peers that it dialled, and the node's random number generator.
pub(in crate::peer) struct Nonces {
    /// The node has one generator instead of one for each thread. Each peer starts new threads, and seeding a generator
    /// takes longer than building a `version`.
    rng: StdRng,
    dialled: VecDeque<u64>,
}

impl Nonces {
    pub fn new() -> Self {
        // The seed comes from the operating system. The generator that `rand` keeps for each thread panics in the
        // destructor of a thread-local value.
        let rng = StdRng::try_from_rng(&mut SysRng).unwrap_or_else(|_| StdRng::seed_from_u64(seed_without_system()));
        Self { rng, dialled: VecDeque::with_capacity(REMEMBERED) }
    }

    /// Returns a random nonce for the `version` of a peer that the node dials, and remembers it.
    pub fn for_dialled_peer(&mut self) -> u64 {
        if self.dialled.len() == REMEMBERED {
            self.dialled.pop_front();
        }
        let nonce = self.rng.next_u64();
        self.dialled.push_back(nonce);
        nonce
    }

    /// Returns a random nonce for a ping, or for the `version` of an inbound peer. It is not 0 and is not remembered.
    ///
    /// The inbound end of a connection to itself has nothing to remember: it sends its `version` only if the remote's
    /// `version` has another nonce. If it did remember its nonces, fifty inbound connections would make the node forget
    /// those of the peers that it is dialling.
    pub fn random(&mut self) -> u64 {
        self.rng.next_u64().max(1)
    }

    /// The node's random number generator.
    pub fn rng(&mut self) -> &mut StdRng {
        &mut self.rng
    }

    /// `true` if a nonce is remembered.
    pub fn contains(&self, nonce: u64) -> bool {
        self.dialled.contains(&nonce)
    }
}

/// A seed for a system that cannot generate random numbers. It is different at each call and in each process, but can
/// be guessed.
fn seed_without_system() -> u64 {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let mut hasher = DefaultHasher::new();
    (SystemTime::now(), std::process::id(), CALLS.fetch_add(1, Ordering::Relaxed)).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_different_without_the_system_too() {
        let seeds: std::collections::HashSet<u64> = (0..1000).map(|_| seed_without_system()).collect();
        assert_eq!(seeds.len(), 1000);
    }

    #[test]
    fn the_last_fifty_nonces_are_remembered() {
        let mut nonces = Nonces::new();
        let sent: Vec<u64> = (0..120).map(|_| nonces.for_dialled_peer()).collect();
        for (number, nonce) in sent.iter().enumerate() {
            assert_eq!(nonces.contains(*nonce), number >= 70, "{number}");
        }
    }

    #[test]
    fn each_node_has_its_own_nonces() {
        let [mut first, mut second] = [Nonces::new(), Nonces::new()];
        let nonce = first.for_dialled_peer();
        assert!(!second.contains(nonce));
        assert_ne!(second.for_dialled_peer(), nonce);
    }
}
