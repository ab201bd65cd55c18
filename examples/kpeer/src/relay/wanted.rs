//! One item that the relay wants: the peers that it can ask for the item, and the peers that wait for the item.

use kaspa_peer::wire::Inventory;
use std::time::{Duration, Instant};

/// How long a peer may take to send an item. Then the relay asks the next source.
const ITEM_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the relay accepts an item from a source that it has asked last. A slow connection can take longer than
/// [`ITEM_TIMEOUT`] for a large block.
const LATE_TIMEOUT: Duration = Duration::from_secs(60);

/// How many peers may be remembered as sources of one item.
const MAX_SOURCES: usize = 8;

/// An item that was announced, or that a peer asked for, and that has not arrived.
#[derive(Default)]
pub struct Wanted {
    /// The peer that is asked now, and until when it may answer.
    asked: Option<Asked>,
    /// The peers that may have the item, in the order in which they are asked.
    sources: Vec<Source>,
    /// When the relay forgets the item, if it asks no other source before.
    forget: Option<Instant>,
    /// The peers that asked for the item.
    pub waiting: Vec<Waiting>,
    /// `true` if a peer announced the item. The relay announces only such items.
    pub announced: bool,
}

struct Asked {
    peer: u64,
    deadline: Instant,
}

struct Source {
    peer: u64,
    /// The relay accepts the item only from sources that it has asked.
    asked: bool,
}

/// A peer that asked for an item that the relay lacks.
pub struct Waiting {
    pub peer: u64,
    /// The item as the peer asked for it.
    pub item: Inventory,
    pub until: Instant,
}

impl Wanted {
    /// Adds a peer that may have the item.
    pub fn add_source(&mut self, peer: u64) {
        if self.sources.iter().all(|source| source.peer != peer) && self.sources.len() < MAX_SOURCES {
            self.sources.push(Source { peer, asked: false });
        }
    }

    /// Removes a peer that does not have the item.
    pub fn remove_source(&mut self, peer: u64) {
        self.sources.retain(|source| source.peer != peer);
    }

    /// The next source that the relay has not asked yet.
    pub fn next_source(&self) -> Option<u64> {
        self.sources.iter().find(|source| !source.asked).map(|source| source.peer)
    }

    /// Notes that a peer is asked for the item, in place of the one that was asked before.
    pub fn set_asked(&mut self, peer: u64, now: Instant) {
        self.remove_source(peer);
        self.sources.push(Source { peer, asked: true });
        self.asked = Some(Asked { peer, deadline: now + ITEM_TIMEOUT });
        self.forget = Some(now + LATE_TIMEOUT);
    }

    /// Ends the time in which only the peer that is asked now may answer.
    pub fn end_asked(&mut self) {
        self.asked = None;
    }

    /// The peer that is asked now.
    pub fn asked(&self) -> Option<u64> {
        self.asked.as_ref().map(|asked| asked.peer)
    }

    /// Whether the relay has ever asked this peer for the item, and the peer has not denied that it has the item.
    pub fn was_asked(&self, peer: u64) -> bool {
        self.sources.iter().any(|source| source.peer == peer && source.asked)
    }

    /// Whether the peer that is asked now has missed its deadline.
    pub fn is_late(&self, now: Instant) -> bool {
        self.asked.as_ref().is_some_and(|asked| asked.deadline <= now)
    }

    /// Whether no peer is asked now, and the time is over in which a source that was asked can still send the item.
    pub fn is_over(&self, now: Instant) -> bool {
        self.asked.is_none() && self.forget.is_none_or(|forget| forget <= now)
    }

    /// Whether any source is left.
    pub fn has_sources(&self) -> bool {
        !self.sources.is_empty()
    }
}
