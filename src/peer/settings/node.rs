//! The data that all peers of a node share: the user agent, the peer ids and the nonces.

use crate::peer::address::Direction;
use crate::peer::rules::nonces::Nonces;
use crate::wire::{UserAgent, UserAgentError};
use parking_lot::Mutex;
use rand::seq::SliceRandom;
use std::sync::atomic::{AtomicU64, Ordering};

/// The data that all peers of a node share, whatever their settings.
pub(in crate::peer) struct Node {
    pub parts: Vec<UserAgentPart>,
    pub user_agent: UserAgent,
    next_id: AtomicU64,
    nonces: Mutex<Nonces>,
}

/// One name and version of the user agent, with comments.
#[derive(Clone)]
pub(in crate::peer) struct UserAgentPart {
    pub name: String,
    pub version: String,
    pub comments: Vec<String>,
}

impl Node {
    pub fn new(parts: Vec<UserAgentPart>) -> Result<Self, UserAgentError> {
        let library = UserAgent::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))?;
        let add = |agent: UserAgent, part: &UserAgentPart| agent.then(&part.name, &part.version, &part.comments);
        let user_agent = parts.iter().try_fold(library, add)?;
        Ok(Self { parts, user_agent, next_id: AtomicU64::new(1), nonces: Mutex::new(Nonces::new()) })
    }

    /// The id of the next peer. Ids count up from 1 for each node.
    pub fn next_peer_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Returns a nonce for the `version` of a peer in this direction. Stores the nonce of a dialled peer, by which the
    /// node detects a connection to itself.
    pub fn version_nonce(&self, direction: Direction) -> u64 {
        match direction {
            Direction::Outbound => self.nonces.lock().for_dialled_peer(),
            Direction::Inbound => self.nonces.lock().random(),
        }
    }

    /// A nonce for a ping, not 0. Uses the random number generator of the node: the generator of the thread may no
    /// longer exist when the program pings in the destructor of a thread-local value.
    pub fn ping_nonce(&self) -> u64 {
        self.nonces.lock().random()
    }

    /// Puts items in random order.
    pub fn shuffle<T>(&self, items: &mut [T]) {
        items.shuffle(self.nonces.lock().rng());
    }

    /// `true` if this node sent the nonce in a `version` to a peer that it dialled.
    pub fn sent_nonce(&self, nonce: u64) -> bool {
        self.nonces.lock().contains(nonce)
    }
}
