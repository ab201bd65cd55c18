//! Connections that are made, used and ended at random, all by one thread.

use super::counts::{Counts, End, Tally};
use super::link::Speed;
use super::node::{self, OFFENCE};
use super::pair::{Ending, Pair};
use super::workers::{Question, Workers};
use kaspa_peer::peer::Direction;
use kaspa_peer::wire::{CustomMessage, Frame, GetLocator, Hash, Inventory, Network, Ping, Transaction};
use kaspa_peer::{Config, Peer, QueueError, Receipt};
use std::error::Error;
use std::net::{Shutdown, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// How much longer a run takes at most until everything has happened once.
const AT_MOST_LONGER: Duration = Duration::from_secs(45);

/// Each visit of a connection ends it in one of the ways of [`End`] with a probability of one in this many.
const VISITS_PER_END: usize = 200;

/// A flood has at most this many messages. The queue is mostly full before.
const FLOOD: usize = 20_000;

/// How many connections may be ending at the same time.
const MAX_ENDING: usize = 64;

/// How often the connections that are ending are looked at.
const POLL: Duration = Duration::from_millis(5);

const LONGEST_SLOW: Duration = Duration::from_secs(2);

pub struct Churn {
    alice: Config,
    bob: Config,
    listener: TcpListener,
    pairs: Vec<Option<Pair>>,
    ending: Vec<Ending>,
    next_poll: Instant,
    workers: Workers,
    counts: Arc<Counts>,
    tally: Tally,
    transaction: Transaction,
    large: Frame,
    offence: Frame,
    /// Why the last lost connection ended.
    last_lost: Option<String>,
}

impl Churn {
    pub fn new(alice: &Config, bob: &Config, peers: usize, counts: &Arc<Counts>) -> Result<Self, Box<dyn Error>> {
        Ok(Self {
            alice: alice.clone(),
            bob: bob.clone(),
            listener: TcpListener::bind("127.0.0.1:0")?,
            pairs: (0..peers).map(|_| None).collect(),
            ending: Vec::new(),
            next_poll: Instant::now(),
            workers: Workers::start(counts)?,
            counts: Arc::clone(counts),
            tally: Tally::default(),
            transaction: node::transaction()?,
            large: Frame::encode(&CustomMessage::new("large", vec![1; 1 << 20])?, Network::Simnet)?,
            offence: Frame::encode(&CustomMessage::new(OFFENCE, Vec::new())?, Network::Simnet)?,
            last_lost: None,
        })
    }

    pub fn tally(&self) -> Tally {
        let alive = self.pairs.iter().flatten();
        let queued = alive.clone().map(|pair| pair.dialled.stats().queued_bytes + pair.accepted.stats().queued_bytes);
        Tally { alive: alive.count(), queued: queued.sum(), ..self.tally }.with(&self.counts)
    }

    /// Why the last connection ended that nothing had ended.
    pub fn last_lost(&self) -> Option<&str> {
        self.last_lost.as_deref()
    }

    /// Does something with some connection, over and over, until `stop` or until the time is over. With `complete` it goes on
    /// for a while until everything has happened.
    pub fn run(
        &mut self,
        time: Duration,
        complete: bool,
        stop: &dyn Fn() -> bool,
        interval: Duration,
        mut show: impl FnMut(&Self),
    ) {
        let end = Instant::now() + time;
        let mut next = Instant::now().checked_add(interval);
        let goes_on = |churn: &Self| match Instant::now() {
            _ if stop() => false,
            now if now < end => true,
            now => complete && now < end + AT_MOST_LONGER && !churn.tally.with(&churn.counts).is_complete(),
        };
        while !self.pairs.is_empty() && goes_on(self) {
            self.visit(rand::random_range(0..self.pairs.len()));
            self.poll_ending();
            if rand::random_range(0..8) == 0 {
                thread::sleep(Duration::from_millis(1));
            }
            if next.is_some_and(|next| next <= Instant::now()) {
                show(self);
                next = Instant::now().checked_add(interval);
            }
        }
    }

    /// Ends all connections, and waits until they have ended and every question and receipt is resolved.
    pub fn end(mut self) -> Tally {
        for slot in 0..self.pairs.len() {
            if let Some(pair) = self.take(slot) {
                self.start_ending(pair, End::Disconnect);
            }
        }
        while !self.ending.is_empty() {
            thread::sleep(POLL);
            self.poll_ending();
        }
        let Self { workers, tally, counts, .. } = self;
        if let Err(error) = workers.stop() {
            counts.complain(error);
        }
        let tally = tally.with(&counts);
        tally.unresolved().into_iter().for_each(|complaint| counts.complain(complaint));
        tally
    }

    fn take(&mut self, slot: usize) -> Option<Pair> {
        self.pairs.get_mut(slot)?.take()
    }

    fn visit(&mut self, slot: usize) {
        let pair = match self.take(slot) {
            None => self.connect(),
            Some(pair) if !pair.is_connected() => {
                self.lost(pair);
                None
            }
            Some(pair) => match End::ALL.get(rand::random_range(0..VISITS_PER_END)) {
                Some(end) if self.ending.len() < MAX_ENDING => {
                    self.start_ending(pair, *end);
                    None
                }
                _ => Some(self.chat(pair)),
            },
        };
        if let Some(place) = self.pairs.get_mut(slot) {
            *place = pair;
        }
    }

    fn connect(&mut self) -> Option<Pair> {
        match Pair::connect(&self.listener, &self.alice, &self.bob) {
            Ok(pair) => {
                self.tally.made += 1;
                Some(pair)
            }
            Err(error) => {
                self.counts.complain(format!("cannot connect: {error}"));
                thread::sleep(Duration::from_millis(100));
                None
            }
        }
    }

    fn lost(&mut self, pair: Pair) {
        if pair.dialled.is_handshake_done() && pair.accepted.is_handshake_done() {
            self.tally.lost += 1;
        } else {
            self.tally.lost_handshakes += 1;
        }
        let reasons = [pair.dialled.disconnect_reason(), pair.accepted.disconnect_reason()];
        let mut reasons: Vec<String> = reasons.iter().flatten().map(ToString::to_string).collect();
        reasons.dedup();
        self.last_lost = Some(reasons.join(" / "));
        pair.accepted.disconnect();
        self.ending.push(Ending::new(pair, None));
    }

    fn chat(&mut self, mut pair: Pair) -> Pair {
        if pair.slow_until.is_some_and(|until| until <= Instant::now()) {
            pair.set_slow(None);
        }
        let one = if rand::random() { pair.dialled.clone() } else { pair.accepted.clone() };
        let receipt = match rand::random_range(0..100) {
            0..20 => one.queue_message(&Ping { nonce: rand::random() }).map(|_| None),
            20..40 => one.queue_message(&self.transaction).map(|_| None),
            40..55 => {
                let items: Vec<Inventory> = (0..50).map(|_| Inventory::tx(Hash::from_bytes(rand::random()))).collect();
                one.queue_inventories(&items).map(|()| None)
            }
            55..70 => one.queue_message(&self.transaction).map(Some),
            70..74 => one.queue_frame(&self.large).map(Some),
            74..77 => one.send_message(&self.transaction, Duration::from_millis(1)).map(Some),
            77 => self.flood(&one).map(Some),
            78 => {
                pair.set_slow(Some(Instant::now() + LONGEST_SLOW.mul_f64(rand::random())));
                return pair;
            }
            kind => {
                let question = match kind % 3 {
                    0 => Question::Tip,
                    1 => Question::Transaction(self.transaction.id()),
                    _ => Question::MissingBlock,
                };
                self.workers.ask(&one, question);
                return pair;
            }
        };
        // An error is mostly a full queue, which is a part of the soak.
        if let Ok(receipt) = receipt {
            self.tally.messages += 1;
            receipt.into_iter().for_each(|receipt| pair.receipts.add(receipt, one.direction(), &mut self.tally));
        }
        if pair.receipts.len() > 100 {
            pair.receipts.count_resolved(&mut self.tally, &self.counts);
        }
        pair
    }

    /// Queues messages until the queue is full. Returns the receipt of the first.
    fn flood(&self, peer: &Peer) -> Result<Receipt, QueueError> {
        let first = peer.queue_message(&self.transaction)?;
        let _ = (0..FLOOD).try_for_each(|_| peer.queue_message(&self.transaction).map(drop));
        Ok(first)
    }

    fn start_ending(&mut self, mut pair: Pair, end: End) {
        if let Some(count) = End::ALL.iter().position(|one| *one == end).and_then(|at| self.tally.ends.get_mut(at)) {
            *count += 1;
        }
        match end {
            End::Disconnect => pair.accepted.disconnect(),
            End::Close => {
                if !self.workers.close(&pair.accepted, pair.receipts.of(Direction::Inbound)) {
                    pair.accepted.disconnect();
                }
            }
            End::Shutdown => drop(pair.socket.shutdown(Shutdown::Both)),
            End::MidFrame => {
                for peer in [&pair.dialled, &pair.accepted] {
                    if let Ok(receipt) = peer.queue_frame(&self.large) {
                        pair.receipts.add(receipt, peer.direction(), &mut self.tally);
                    }
                }
                // Long enough for a part of the frame to leave, mostly too short for all of it.
                thread::sleep(Duration::from_micros(rand::random_range(0..400)));
                drop(pair.socket.shutdown(Shutdown::Both));
            }
            End::Reject => queue_or_disconnect(&pair.dialled, |peer| peer.queue_frame(&self.offence)),
            End::Stall => {
                let [_, accepted] = &pair.controls;
                accepted.set_speed(Speed::Stopped);
                while let Ok(receipt) = pair.dialled.queue_frame(&self.large) {
                    pair.receipts.add(receipt, Direction::Outbound, &mut self.tally);
                }
            }
            End::Silence => {
                queue_or_disconnect(&pair.dialled, |peer| peer.queue_message(&GetLocator::default()));
                self.workers.ask(&pair.dialled, Question::Locator);
            }
            End::Drop | End::Reset => {}
        }
        self.ending.push(Ending::new(pair, Some(end)));
    }

    fn poll_ending(&mut self) {
        if Instant::now() < self.next_poll {
            return;
        }
        self.next_poll = Instant::now() + POLL;
        let (over, ending) = self.ending.drain(..).partition(|ending: &Ending| ending.is_over(&self.counts));
        self.ending = ending;
        let over: Vec<Ending> = over;
        for Ending { dialled, accepted, receipts, .. } in over {
            // Dropping the handles ends what has not ended by itself.
            drop((dialled, accepted));
            receipts.count_all(&mut self.tally, &self.counts);
        }
    }
}

/// Queues what makes the connection end. If the queue is full, disconnects at once.
fn queue_or_disconnect(peer: &Peer, queue: impl FnOnce(&Peer) -> Result<Receipt, QueueError>) {
    if queue(peer).is_err() {
        peer.disconnect();
    }
}
