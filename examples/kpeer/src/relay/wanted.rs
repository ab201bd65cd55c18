//! One item that the relay wants: the peers that it can ask for the item, and the peers that wait for the item.

use kaspa_peer::wire::Inventory;
use std::time::{Duration, Instant};

/// How long a peer may take to send an item. Then the relay asks the next source.
const ITEM_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the relay accepts an item from a source that it has asked last. A slow connection can take longer than
/// [`ITEM_TIMEOUT`] for a large block.
const LATE_TIMEOUT: Duration = Duration::from_secs(60);

/// An item with this many sources loses those that have disconnected. The sources are not limited otherwise: the number
/// of connections is, and with a limit of its own, a few peers that announce first could keep all others from being
/// asked.
const MANY_SOURCES: usize = 128;

/// The standing of a peer: it follows from the items that the peer has sent, or not sent, when the relay asked for
/// them. The relay asks a source of higher standing first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It missed a deadline, or sent an unusable item, and has sent no item since.
    Failed,
    /// It has neither failed nor sent an item.
    New,
    /// It has sent an item, and has not failed since.
    Delivered,
}

/// An item that was announced, or that a peer asked for, and that has not arrived.
#[derive(Default)]
pub struct Wanted {
    /// The peer that is asked now, and until when it may answer.
    asked: Option<Asked>,
    /// The peers that may have the item.
    sources: Vec<Source>,
    /// When the relay forgets the item, if it asks no other source before.
    forget: Option<Instant>,
    /// The peers that asked for the item.
    pub waiting: Vec<Waiting>,
    /// `true` if a peer announced the item, even if that peer has disconnected since. The relay announces only such
    /// items.
    pub announced: bool,
}

struct Asked {
    peer: u64,
    deadline: Instant,
}

struct Source {
    peer: u64,
    /// `true` if the peer announced the item.
    announced: bool,
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
    /// Adds a peer that has announced the item.
    pub fn add_announcer(&mut self, peer: u64, standing: impl Fn(u64) -> Option<Standing>) {
        self.announced = true;
        self.add_source(peer, standing);
        self.sources.iter_mut().filter(|source| source.peer == peer).for_each(|source| source.announced = true);
    }

    /// Adds a peer that may have the item. `standing` returns `None` for a peer that has disconnected.
    pub fn add_source(&mut self, peer: u64, standing: impl Fn(u64) -> Option<Standing>) {
        if self.sources.iter().any(|source| source.peer == peer) {
            return;
        }
        if self.sources.len() >= MANY_SOURCES {
            self.sources.retain(|source| standing(source.peer).is_some());
        }
        self.sources.push(Source { peer, announced: false, asked: false });
    }

    /// Removes a peer from which the relay cannot get the item.
    pub fn remove_source(&mut self, peer: u64) {
        self.sources.retain(|source| source.peer != peer);
    }

    /// The source to ask next. Among the connected sources that the relay has not asked yet, it is one of the highest
    /// standing, chosen at random. So a peer gains nothing if it announces an item before the others do.
    pub fn next_source(&self, standing: impl Fn(u64) -> Option<Standing>) -> Option<u64> {
        let candidates = self.sources.iter().filter(|source| !source.asked);
        let connected = candidates.filter_map(|source| Some((standing(source.peer)?, source.peer)));
        connected.max_by_key(|(standing, _)| (*standing, rand::random::<u32>())).map(|(_, peer)| peer)
    }

    /// Notes that a source is asked for the item, in place of the one that was asked before.
    pub fn set_asked(&mut self, peer: u64, now: Instant) {
        self.sources.iter_mut().filter(|source| source.peer == peer).for_each(|source| source.asked = true);
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

    /// `true` if the relay has asked this peer for the item, and the peer has not answered that it lacks the item.
    pub fn was_asked(&self, peer: u64) -> bool {
        self.sources.iter().any(|source| source.peer == peer && source.asked)
    }

    /// `true` if the peer that is asked now has missed its deadline.
    pub fn is_late(&self, now: Instant) -> bool {
        self.asked.as_ref().is_some_and(|asked| asked.deadline <= now)
    }

    /// `true` if no peer is asked now, and it is too late for an answer of a source that was asked before.
    pub fn is_over(&self, now: Instant) -> bool {
        self.asked.is_none() && self.forget.is_none_or(|forget| forget <= now)
    }

    /// `true` if a source announced the item, or a peer waits for it. The limits of both kinds for each peer limit the
    /// number of all needed items.
    pub fn is_needed(&self) -> bool {
        !self.waiting.is_empty() || self.sources.iter().any(|source| source.announced)
    }

    /// The peers that may have the item.
    pub fn sources(&self) -> impl Iterator<Item = u64> {
        self.sources.iter().map(|source| source.peer)
    }

    /// `true` if a source is still connected.
    pub fn has_sources(&self, standing: impl Fn(u64) -> Option<Standing>) -> bool {
        self.sources.iter().any(|source| standing(source.peer).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_source_of_highest_standing_is_asked_first() {
        let standing = |peer| Some(if peer == 7 { Standing::Delivered } else { Standing::New });
        let mut wanted = Wanted::default();
        (0..100).for_each(|peer| wanted.add_source(peer, standing));
        assert_eq!(wanted.next_source(standing), Some(7));
        wanted.set_asked(7, Instant::now());
        let next: HashSet<_> = (0..100).map(|_| wanted.next_source(standing)).collect();
        assert!(next.len() > 10 && !next.contains(&None) && !next.contains(&Some(7)), "{next:?}");
    }

    #[test]
    fn sources_that_have_disconnected_do_not_accumulate() {
        let mut wanted = Wanted::default();
        for peer in 0..10_000 {
            wanted.add_source(peer, |other| (other % 1000 == 0).then_some(Standing::New));
        }
        assert!(wanted.sources.len() <= MANY_SOURCES, "{}", wanted.sources.len());
        assert!((0..10_000).step_by(1000).all(|peer| wanted.sources.iter().any(|source| source.peer == peer)));
    }
}
