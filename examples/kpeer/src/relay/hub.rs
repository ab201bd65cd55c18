//! The items that a relay has, wants and announces.

use super::answers::{Answer, Answers};
use super::store::{Key, Store};
use super::wanted::{Standing, Waiting, Wanted};
use crate::output::{Output, Record};
use hashlink::LinkedHashMap;
use kaspa_peer::wire::*;
use kaspa_peer::{DisconnectReason, Listener, Peer};
use log::debug;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a peer waits for an item that it asked for and the relay lacks, before it gets `notfound`. Nodes disconnect
/// a relay that has not answered after 30 seconds.
const FETCH_TIMEOUT: Duration = Duration::from_secs(20);

/// How many items may be wanted at a time. The oldest are given up.
const MAX_WANTED: usize = 20_000;

/// How many items that the relay lacks are fetched for one peer at a time. Further ones are not found.
const MAX_FETCHED_FOR_PEER: usize = 100;

/// By convention, nodes ask for at most this many blocks in one message.
const BATCH: usize = 50;

/// A peer after its `version`.
struct Member {
    peer: Peer,
    answers: Answers,
    /// How many wanted items have this peer in their `waiting`.
    fetching: usize,
    standing: Standing,
}

/// The state that all peers of a relay share.
#[derive(Default)]
pub struct Hub {
    output: Output,
    members: HashMap<u64, Member>,
    wanted: LinkedHashMap<Key, Wanted>,
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

    /// Answers the peers that have waited too long, and asks the next source for every item whose source has missed its
    /// deadline or has disconnected.
    pub fn check_deadlines(&mut self, now: Instant) {
        let is_over = |waiting: &mut Waiting| waiting.until <= now || !self.members.contains_key(&waiting.peer);
        let waiting = self.wanted.values_mut().flat_map(|wanted| wanted.waiting.extract_if(.., is_over));
        for Waiting { peer, item, .. } in waiting.collect::<Vec<_>>() {
            self.end_fetch(peer, Answer::NotFound(vec![item]));
        }
        let is_gone = |id| !self.members.contains_key(&id);
        let late = |wanted: &Wanted| wanted.is_late(now) || wanted.is_over(now) || wanted.asked().is_some_and(is_gone);
        let late: Vec<Key> = self.wanted.iter().filter(|(_, wanted)| late(wanted)).map(|(key, _)| *key).collect();
        for key in late {
            if let Some(id) = self.wanted.get(&key).and_then(Wanted::asked) {
                self.set_standing(id, Standing::Failed);
            }
            self.ask_next(key, now);
        }
    }

    fn add(&mut self, peer: &Peer, version: &Version) {
        self.output.version(peer, version);
        match Answers::start(peer, &self.store) {
            Ok(answers) => {
                self.members
                    .insert(peer.id(), Member { peer: peer.clone(), answers, fetching: 0, standing: Standing::New });
            }
            Err(error) => {
                self.output.warn("relay", format_args!("{peer}: {error}"));
                peer.disconnect();
            }
        }
    }

    /// Leaves the peer in the wanted items, where [`check_deadlines`](Self::check_deadlines) finds it. Otherwise, every
    /// connection that ends would need a search through all of them.
    fn remove(&mut self, peer: &Peer, reason: &DisconnectReason) {
        self.members.remove(&peer.id());
        self.dropped += u64::from(matches!(reason, DisconnectReason::WriteStalled { .. }));
        self.output.disconnected(peer, reason);
    }

    /// Fetches what a peer announced and the relay lacks.
    fn announced(&mut self, peer: &Peer, items: &[Inventory]) {
        let now = Instant::now();
        let mut new = Vec::new();
        for item in items {
            let Some(key) = Key::of(item) else { continue };
            if self.store.lock().contains(&key) {
                continue;
            }
            let wanted = self.wanted.entry(key).or_insert_with(Wanted::default);
            wanted.announced = true;
            let standing = |id| standing(&self.members, id);
            // An announcer that failed before does not make the others wait for its deadline.
            let has_failed = |id| standing(id) <= Some(Standing::Failed);
            if wanted.asked().is_none_or(|id| has_failed(id) && !has_failed(peer.id())) {
                wanted.set_asked(peer.id(), now);
                new.push(*item);
            } else {
                wanted.add_source(peer.id(), standing);
            }
        }
        for batch in new.chunks(BATCH) {
            if ask(peer, batch.to_vec()) {
                continue;
            }
            // The peer's queue is full, so the peer was not asked and has not failed.
            for key in batch.iter().filter_map(Key::of) {
                if let Some(wanted) = self.wanted.get_mut(&key) {
                    wanted.remove_source(peer.id());
                }
                self.ask_next(key, now);
            }
        }
        self.forget_oldest();
    }

    /// Fetches an item that a peer asked for and the relay lacks. Returns false if no other peer can be asked.
    fn fetch_for(&mut self, peer: &Peer, item: Inventory, key: Key) -> bool {
        let now = Instant::now();
        if self.members.get(&peer.id()).is_none_or(|member| member.fetching >= MAX_FETCHED_FOR_PEER) {
            return false;
        }
        let others: Vec<u64> = self.members.keys().copied().filter(|id| *id != peer.id()).collect();
        if others.is_empty() {
            return false;
        }
        let wanted = self.wanted.entry(key).or_insert_with(Wanted::default);
        if wanted.waiting.iter().any(|waiting| waiting.peer == peer.id()) {
            return true;
        }
        wanted.waiting.push(Waiting { peer: peer.id(), item, until: now + FETCH_TIMEOUT });
        others.into_iter().for_each(|id| wanted.add_source(id, |id| standing(&self.members, id)));
        let is_idle = wanted.asked().is_none();
        if let Some(member) = self.members.get_mut(&peer.id()) {
            member.fetching += 1;
        }
        if is_idle {
            self.ask_next(key, now);
            self.forget_oldest();
        }
        true
    }

    /// Asks the next source for an item. Gives the item up if no source can send it.
    fn ask_next(&mut self, key: Key, now: Instant) {
        let Some(wanted) = self.wanted.get_mut(&key) else { return };
        wanted.end_asked();
        let item = wanted.waiting.first().map_or_else(|| key.announcement(), |waiting| waiting.item);
        let is_needed = wanted.announced || !wanted.waiting.is_empty();
        while is_needed && let Some(id) = wanted.next_source(|id| standing(&self.members, id)) {
            if let Some(source) = self.members.get(&id)
                && ask(&source.peer, vec![item])
            {
                return wanted.set_asked(id, now);
            }
            wanted.remove_source(id);
        }
        // A source that was asked before can still send the item.
        if (!is_needed || !wanted.has_sources() || wanted.is_over(now))
            && let Some(wanted) = self.wanted.remove(&key)
        {
            self.give_up(wanted);
        }
    }

    fn forget_oldest(&mut self) {
        while self.wanted.len() > MAX_WANTED
            && let Some((_, oldest)) = self.wanted.pop_front()
        {
            self.give_up(oldest);
        }
    }

    fn give_up(&mut self, wanted: Wanted) {
        for Waiting { peer, item, .. } in wanted.waiting {
            self.end_fetch(peer, Answer::NotFound(vec![item]));
        }
    }

    fn end_fetch(&mut self, id: u64, answer: Answer) {
        if let Some(member) = self.members.get_mut(&id) {
            member.fetching = member.fetching.saturating_sub(1);
            self.answer(id, answer);
        }
    }

    /// Asks other peers for an item that this peer does not have.
    fn source_lacks(&mut self, peer: &Peer, key: Key) {
        let Some(wanted) = self.wanted.get_mut(&key) else { return };
        wanted.remove_source(peer.id());
        if wanted.asked().is_none_or(|id| id == peer.id()) {
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
        let Some(Wanted { waiting, announced, .. }) = self.wanted.remove(&key) else { return };
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
        for Waiting { peer, item, .. } in waiting {
            self.end_fetch(peer, Answer::Item(item));
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
mod tests {
    use super::*;
    use crate::output::Detail;
    use kaspa_peer::testing::{MemoryStream, ScriptedRemote, connect_remote};
    use kaspa_peer::{Config, Direction};

    type Remote = ScriptedRemote<MemoryStream>;

    /// A hub and peers that are connected to it.
    fn connect(peers: usize) -> (Arc<Shared>, Vec<(Peer, Remote)>) {
        let hub = Hub::new(Output::new(false).with(Detail::Little));
        let hub = Arc::new(Shared(Mutex::new(hub)));
        let config = Config::builder(Network::Simnet).listener(Arc::clone(&hub)).build().unwrap();
        let connected = (0..peers).map(|_| {
            let (peer, mut remote) = connect_remote(Direction::Inbound, &config).unwrap();
            remote.shake_hands().unwrap();
            peer.wait_for_handshake().unwrap();
            (peer, remote)
        });
        let connected = connected.collect();
        (hub, connected)
    }

    fn announce(remote: &mut Remote, item: Inventory) -> Vec<Message> {
        remote.send(&Inv { items: vec![item] }).unwrap();
        remote.sync_with_ping().unwrap()
    }

    fn tx(lock_time: u64) -> (Inventory, Transaction) {
        let tx = Transaction::new(&TxFields { lock_time, ..TxFields::default() }).unwrap();
        (Inventory::tx(tx.id()), tx)
    }

    #[test]
    fn peers_that_announce_first_and_send_nothing_do_not_keep_an_item_from_the_others() {
        let (hub, mut connected) = connect(21);
        let (item, tx) = tx(1);
        for (_, silent) in &mut connected[..20] {
            announce(silent, item);
        }
        let (_, owner) = connected.last_mut().unwrap();
        assert_eq!(announce(owner, item), []);
        let start = Instant::now();
        for round in 1..=20 {
            hub.0.lock().check_deadlines(start + Duration::from_secs(11 * round));
        }
        assert_eq!(owner.expect::<GetData>().unwrap().items, [item]);
        owner.send(&tx).unwrap();
        owner.sync_with_ping().unwrap();
        assert_eq!(hub.0.lock().relayed, 1);
    }

    #[test]
    fn a_peer_that_missed_a_deadline_is_asked_last_until_it_sends_an_item() {
        let (hub, mut connected) = connect(2);
        let [(_, failed), (_, other)] = &mut connected[..] else { unreachable!() };
        let (withheld, withheld_tx) = tx(0);
        let request = |item| [Message::from(GetData::from(vec![item]))];
        assert_eq!(announce(failed, withheld), request(withheld));
        hub.0.lock().check_deadlines(Instant::now() + Duration::from_secs(11));
        let (item, _) = tx(1);
        assert_eq!(announce(failed, item), request(item));
        assert_eq!(announce(other, item), request(item));
        // The relay accepts the first item late.
        failed.send(&withheld_tx).unwrap();
        failed.sync_with_ping().unwrap();
        assert_eq!(hub.0.lock().relayed, 1);
        let (next, _) = tx(2);
        assert_eq!(announce(failed, next), request(next));
        assert!(!announce(other, next).iter().any(|message| matches!(message, Message::GetData(_))));
    }

    #[test]
    fn the_end_of_a_connection_leaves_the_wanted_items_to_the_next_check() {
        let (hub, connected) = connect(2);
        let [(announcer, _), (other, _)] = &connected[..] else { unreachable!() };
        let items = [1, 2, 3].map(|number| tx(number).0);
        let mut hub = hub.0.lock();
        hub.announced(announcer, &items);
        hub.announced(other, &items);
        hub.remove(other, &DisconnectReason::Local);
        // The source is still there, so nothing was searched.
        let next = |wanted: &Wanted| wanted.next_source(|_| Some(Standing::New));
        assert!(hub.wanted.values().all(|wanted| next(wanted) == Some(other.id())));
        hub.check_deadlines(Instant::now() + Duration::from_secs(11));
        assert!(hub.wanted.values().all(|wanted| next(wanted).is_none()));
    }

    #[test]
    fn the_next_source_is_asked_after_the_first_has_disconnected() {
        let (hub, mut connected) = connect(2);
        let (item, _) = tx(1);
        let (first, mut remote) = connected.remove(0);
        announce(&mut remote, item);
        let (_, second) = &mut connected[0];
        assert_eq!(announce(second, item), []);
        first.disconnect();
        first.wait_for_disconnect().unwrap();
        hub.0.lock().check_deadlines(Instant::now());
        assert_eq!(second.expect::<GetData>().unwrap().items, [item]);
    }

    #[test]
    fn a_peer_is_answered_in_time_though_others_are_silent() {
        let (hub, mut connected) = connect(5);
        let missing = Inventory::tx(Hash::of(b"missing"));
        let (_, asker) = connected.first_mut().unwrap();
        asker.send(&GetData::from(vec![missing])).unwrap();
        assert_eq!(asker.sync_with_ping().unwrap(), []);
        let asked = Instant::now();
        for seconds in [11, 22] {
            hub.0.lock().check_deadlines(asked + Duration::from_secs(seconds));
        }
        assert_eq!(asker.expect::<NotFound>().unwrap().items, [missing]);
        // Nobody waits for it any more, so no other peer is asked.
        let wanted = |hub: &Hub| hub.wanted.values().filter(|wanted| wanted.asked().is_some()).count();
        let later = asked + Duration::from_secs(60);
        hub.0.lock().check_deadlines(later);
        assert_eq!(wanted(&hub.0.lock()), 0);
    }
}
