//! The items that a relay has, wants and announces.

use super::answers::{Answer, Answers};
use super::store::{Key, Store};
use super::wanted::{Standing, Waiting, Wanted};
use crate::output::{Output, Record};
use kaspa_peer::wire::*;
use kaspa_peer::{DisconnectReason, Listener, Peer};
use log::debug;
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a peer waits for an item that it asked for and the relay lacks, before it gets `notfound`. Nodes disconnect
/// a relay that has not answered after 30 seconds.
const FETCH_TIMEOUT: Duration = Duration::from_secs(20);

/// How many items of one peer's announcements may be wanted at a time. The relay ignores further announcements of this
/// peer. The limit is for each peer, so that a peer that announces without end does not push out the announcements of
/// others. Announcements of items that the relay has asked another peer for count too.
const MAX_ANNOUNCED_BY_PEER: usize = 2000;

/// How many items that the relay lacks are fetched for one peer at a time. Further ones are not found.
const MAX_FETCHED_FOR_PEER: usize = 100;

/// By convention, nodes ask for at most this many blocks in one message.
const BATCH: usize = 50;

/// A peer after its `version`.
struct Member {
    peer: Peer,
    answers: Answers,
    /// The wanted items that this peer has announced. An item leaves the set when the peer answers `notfound`, and when
    /// the relay cannot queue a request to the peer.
    announced: HashSet<Key>,
    /// The wanted items that have this peer in their `waiting`.
    fetching: HashSet<Key>,
    standing: Standing,
}

/// The state that all peers of a relay share.
#[derive(Default)]
pub struct Hub {
    output: Output,
    members: HashMap<u64, Member>,
    wanted: HashMap<Key, Wanted>,
    store: Arc<Mutex<Store>>,
    relayed: u64,
    dropped: u64,
}

impl Hub {
    pub fn new(output: Output) -> Self {
        Self { output, ..Self::default() }
    }

    pub fn peers(&self) -> Vec<Peer> {
        self.members.values().map(|member| member.peer.clone()).collect()
    }

    pub fn show_status(&self) {
        let (peers, relayed, dropped) = (self.members.len(), self.relayed, self.dropped);
        let record = Record::new("status").field("peers", peers).field("relayed", relayed).field("dropped", dropped);
        self.output.say(format_args!("{peers} peers, {relayed} relayed, {dropped} slow ones dropped"), record);
    }

    /// Answers the peers that have waited too long, gives up the items that no peer needs or can still send, and asks the
    /// next source for every item whose source has missed its deadline or has disconnected.
    pub fn check_deadlines(&mut self, now: Instant) {
        let is_over = |waiting: &mut Waiting| waiting.until <= now;
        let waiting = self.wanted.values_mut().flat_map(|wanted| wanted.waiting.extract_if(.., is_over));
        for waiting in waiting.collect::<Vec<_>>() {
            self.end_fetch(&waiting, Answer::NotFound(vec![waiting.item]));
        }
        let is_gone = |id| !self.members.contains_key(&id);
        let late = |wanted: &Wanted| wanted.is_late(now) || wanted.is_over(now) || wanted.asked().is_some_and(is_gone);
        let changes = |wanted: &Wanted| !wanted.is_needed() || late(wanted);
        let changed: Vec<Key> = self.wanted.iter().filter(|(_, wanted)| changes(wanted)).map(|(key, _)| *key).collect();
        for key in changed {
            if let Some(wanted) = self.wanted.get(&key)
                && wanted.is_late(now)
                && let Some(id) = wanted.asked()
            {
                self.set_standing(id, Standing::Failed);
            }
            self.ask_next(key, now);
        }
    }

    fn add(&mut self, peer: &Peer, version: &Version) {
        self.output.version(peer, version);
        match Answers::start(peer, &self.store) {
            Ok(answers) => {
                let (announced, fetching) = (HashSet::new(), HashSet::new());
                let member = Member { peer: peer.clone(), answers, announced, fetching, standing: Standing::New };
                self.members.insert(peer.id(), member);
            }
            Err(error) => {
                self.output.warn("relay", format_args!("{peer}: {error}"));
                peer.disconnect();
            }
        }
    }

    /// Removes a peer, and the items that only this peer has announced or asked for. So peers that connect again and
    /// again do not leave wanted items behind. This method visits only the items in the two sets of the peer.
    fn remove(&mut self, peer: &Peer, reason: &DisconnectReason) {
        self.dropped += u64::from(matches!(reason, DisconnectReason::WriteStalled { .. }));
        self.output.disconnected(peer, reason);
        let Some(Member { announced, fetching, .. }) = self.members.remove(&peer.id()) else { return };
        for key in fetching {
            let Some(wanted) = self.wanted.get_mut(&key) else { continue };
            wanted.waiting.retain(|waiting| waiting.peer != peer.id());
            if !wanted.is_needed() {
                self.give_up(key);
            }
        }
        for key in announced {
            self.source_lacks(peer, key);
        }
    }

    /// Fetches what a peer announced and the relay lacks.
    fn announced(&mut self, peer: &Peer, items: &[Inventory]) {
        let now = Instant::now();
        let mut new = Vec::new();
        let mut ignored = 0;
        for item in items {
            let Some(key) = Key::of(item) else { continue };
            if self.store.lock().contains(&key) {
                continue;
            }
            let Some(member) = self.members.get_mut(&peer.id()) else { return };
            if member.announced.len() >= MAX_ANNOUNCED_BY_PEER && !member.announced.contains(&key) {
                ignored += 1;
                continue;
            }
            member.announced.insert(key);
            let wanted = self.wanted.entry(key).or_default();
            let standing = |id| standing(&self.members, id);
            wanted.add_announcer(peer.id(), standing);
            // An announcer that failed before does not make the others wait for its deadline.
            let has_failed = |id| standing(id) <= Some(Standing::Failed);
            if wanted.asked().is_none_or(|id| has_failed(id) && !has_failed(peer.id())) {
                wanted.set_asked(peer.id(), now);
                new.push(*item);
            }
        }
        if ignored > 0 {
            debug!("{peer}: ignored {ignored} announcements: {MAX_ANNOUNCED_BY_PEER} before them have not arrived");
        }
        for batch in new.chunks(BATCH) {
            if ask(peer, batch.to_vec()) {
                continue;
            }
            // The peer's queue is full, so the peer was not asked and has not failed.
            for key in batch.iter().filter_map(Key::of) {
                self.remove_source(key, peer.id());
                self.ask_next(key, now);
            }
        }
    }

    /// Fetches an item that a peer asked for and the relay lacks. Returns false if no other peer can be asked.
    fn fetch_for(&mut self, peer: &Peer, item: Inventory, key: Key) -> bool {
        let now = Instant::now();
        let Some(member) = self.members.get(&peer.id()) else { return false };
        if member.fetching.contains(&key) {
            return true;
        }
        if member.fetching.len() >= MAX_FETCHED_FOR_PEER {
            return false;
        }
        let others: Vec<u64> = self.members.keys().copied().filter(|id| *id != peer.id()).collect();
        if others.is_empty() {
            return false;
        }
        let wanted = self.wanted.entry(key).or_default();
        wanted.waiting.push(Waiting { peer: peer.id(), item, until: now + FETCH_TIMEOUT });
        others.into_iter().for_each(|id| wanted.add_source(id, |id| standing(&self.members, id)));
        let is_idle = wanted.asked().is_none();
        if let Some(member) = self.members.get_mut(&peer.id()) {
            member.fetching.insert(key);
        }
        if is_idle {
            self.ask_next(key, now);
        }
        true
    }

    /// Asks the next source for an item. Gives the item up if no source can send it.
    fn ask_next(&mut self, key: Key, now: Instant) {
        let Some(wanted) = self.wanted.get_mut(&key) else { return };
        wanted.end_asked();
        let item = wanted.waiting.first().map_or_else(|| key.announcement(), |waiting| waiting.item);
        while wanted.is_needed()
            && let Some(id) = wanted.next_source(|id| standing(&self.members, id))
        {
            if let Some(source) = self.members.get_mut(&id) {
                if ask(&source.peer, vec![item]) {
                    return wanted.set_asked(id, now);
                }
                source.announced.remove(&key);
            }
            wanted.remove_source(id);
        }
        // A source that was asked before can still send the item.
        if !wanted.is_needed() || !wanted.has_sources(|id| standing(&self.members, id)) || wanted.is_over(now) {
            self.give_up(key);
        }
    }

    fn give_up(&mut self, key: Key) {
        for waiting in self.forget(key).map(|wanted| wanted.waiting).unwrap_or_default() {
            self.end_fetch(&waiting, Answer::NotFound(vec![waiting.item]));
        }
    }

    /// Removes a wanted item, and removes it from the announcements of its sources. The caller must call
    /// [`end_fetch`](Self::end_fetch) for each peer that waits for the item.
    fn forget(&mut self, key: Key) -> Option<Wanted> {
        let wanted = self.wanted.remove(&key)?;
        for source in wanted.sources() {
            if let Some(member) = self.members.get_mut(&source) {
                member.announced.remove(&key);
            }
        }
        Some(wanted)
    }

    /// Removes a peer from which the relay cannot get an item from the sources of the item.
    fn remove_source(&mut self, key: Key, id: u64) {
        if let Some(wanted) = self.wanted.get_mut(&key) {
            wanted.remove_source(id);
        }
        if let Some(member) = self.members.get_mut(&id) {
            member.announced.remove(&key);
        }
    }

    /// Answers a peer that is no longer in the `waiting` of an item, and removes the item from its `fetching`.
    fn end_fetch(&mut self, waiting: &Waiting, answer: Answer) {
        if let (Some(member), Some(key)) = (self.members.get_mut(&waiting.peer), Key::of(&waiting.item)) {
            member.fetching.remove(&key);
            self.answer(waiting.peer, answer);
        }
    }

    /// Asks other peers for an item that the relay cannot get from this peer. Gives the item up if no peer needs it.
    fn source_lacks(&mut self, peer: &Peer, key: Key) {
        self.remove_source(key, peer.id());
        let is_affected = |wanted: &Wanted| !wanted.is_needed() || wanted.asked().is_none_or(|id| id == peer.id());
        if self.wanted.get(&key).is_some_and(is_affected) {
            self.ask_next(key, Instant::now());
        }
    }

    /// Keeps an item that arrived, sends it to the peers that asked for it, and announces it to the others.
    ///
    /// Accepts it only from a peer that was asked for it. The body of a block is not part of its hash, so any peer can
    /// make a wrong block with the hash of a right one.
    fn arrived<M: Encode>(&mut self, from: &Peer, key: Key, message: &M) {
        if self.wanted.get(&key).is_none_or(|wanted| !wanted.was_asked(from.id())) {
            return debug!("{from}: sent what it was not asked for: {key:?}");
        }
        // Some messages that decode do not encode. No peer accepts them.
        let frame = match Frame::encode(message, from.settings().network()) {
            Ok(frame) => frame,
            Err(error) => {
                debug!("{from}: not relayed: {error}");
                self.set_standing(from.id(), Standing::Failed);
                return self.source_lacks(from, key);
            }
        };
        let Some(Wanted { waiting, announced, .. }) = self.forget(key) else { return };
        self.set_standing(from.id(), Standing::Delivered);
        let is_new = self.store.lock().insert(key, frame);
        if is_new {
            self.relayed += 1;
            for member in self.members.values().filter(|_| announced) {
                let id = member.peer.id();
                if id != from.id() && waiting.iter().all(|waiting| waiting.peer != id) {
                    // A peer that reads too slowly for announcements does not get this one.
                    let _ = member.peer.queue_inventory(key.announcement());
                }
            }
        }
        for waiting in waiting {
            self.end_fetch(&waiting, Answer::Item(waiting.item));
        }
    }

    fn serve(&mut self, peer: &Peer, items: Vec<Inventory>) {
        let mut missing = Vec::new();
        for item in items {
            match Key::of(&item) {
                Some(key) if self.store.lock().contains(&key) => self.answer(peer.id(), Answer::Item(item)),
                Some(key) if self.fetch_for(peer, item, key) => {}
                _ => missing.push(item),
            }
        }
        if !missing.is_empty() {
            self.answer(peer.id(), Answer::NotFound(missing));
        }
    }

    fn set_standing(&mut self, id: u64, standing: Standing) {
        if let Some(member) = self.members.get_mut(&id) {
            member.standing = standing;
        }
    }

    fn answer(&mut self, id: u64, answer: Answer) {
        let Some(member) = self.members.get(&id) else { return };
        if !member.answers.push(answer) && member.peer.disconnect_reason().is_none() {
            self.output.warn("relay", format_args!("{}: requests more than can wait", member.peer));
            member.peer.disconnect();
        }
    }
}

/// Returns `None` if the peer has disconnected.
fn standing(members: &HashMap<u64, Member>, id: u64) -> Option<Standing> {
    members.get(&id).map(|member| member.standing)
}

/// Asks a peer for items. Returns false if the request cannot be queued.
fn ask(peer: &Peer, items: Vec<Inventory>) -> bool {
    let queued = peer.queue_message(&GetData::from(items));
    queued.inspect_err(|error| debug!("{peer}: not asked: {error}")).is_ok()
}

/// The listener of all peers. The hub keeps a handle of each peer until the peer has disconnected.
pub struct Shared(pub Mutex<Hub>);

impl Listener for Shared {
    fn deliver(&self, peer: &Peer, message: Message) {
        let mut hub = self.0.lock();
        match message {
            Message::Version(version) => hub.add(peer, &version),
            Message::GetSelectedTip(_) => hub.answer(peer.id(), Answer::SelectedTip),
            Message::Inv(inv) => hub.announced(peer, &inv.items),
            Message::NotFound(missing) => {
                missing.items.iter().filter_map(Key::of).for_each(|key| hub.source_lacks(peer, key));
            }
            Message::Tx(tx) => hub.arrived(peer, Key::Tx(tx.id()), &tx),
            Message::Block(block) => hub.arrived(peer, Key::Block(block.hash()), &block),
            Message::GetData(request) => hub.serve(peer, request.items),
            _ => {}
        }
    }

    fn on_disconnect(&self, peer: &Peer, reason: &DisconnectReason) {
        self.0.lock().remove(peer, reason);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;
