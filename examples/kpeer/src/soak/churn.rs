//! Connections that come, chat and are cut off, all in the hands of one thread.

use kaspa_peer::wire::{CustomMessage, Frame, Hash, Inventory, Network, Ping, Transaction, TxFields, TxOutput};
use kaspa_peer::{Config, Peer, Receipt};
use std::error::Error;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// How long an end may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How much longer than it was told to a run goes on until everything has happened.
const AT_MOST_LONGER: Duration = Duration::from_secs(30);

/// The ways in which a connection ends.
#[derive(Clone, Copy)]
enum Cut {
    Disconnect,
    Shutdown,
    MidFrame,
    Drop,
}

/// What was done so far, and what waits now.
#[derive(Clone, Copy, Default)]
pub struct Tally {
    pub alive: usize,
    pub made: u64,
    pub messages: u64,
    /// In the order of [`Cut`].
    pub cuts: [u64; 4],
    pub written: u64,
    pub not_written: u64,
    pub queued: usize,
}

impl Tally {
    /// Whether every way to end was taken, and every way in which a receipt can resolve.
    fn is_complete(&self) -> bool {
        !self.cuts.contains(&0) && self.written > 0 && self.not_written > 0
    }
}

pub struct Churn {
    alice: Config,
    bob: Config,
    door: TcpListener,
    pairs: Vec<Option<Pair>>,
    tally: Tally,
    complaints: Vec<String>,
    tx: Transaction,
    large: Frame,
}

/// One connection, both ends of it.
struct Pair {
    dialled: Peer,
    accepted: Peer,
    socket: TcpStream,
    receipts: Vec<Receipt>,
}

impl Churn {
    pub fn new(alice: &Config, bob: &Config, peers: usize) -> Result<Self, Box<dyn Error>> {
        let output = TxOutput { value: 1, script: vec![7; 150] };
        Ok(Self {
            alice: alice.clone(),
            bob: bob.clone(),
            door: TcpListener::bind("127.0.0.1:0")?,
            pairs: (0..peers).map(|_| None).collect(),
            tally: Tally::default(),
            complaints: Vec::new(),
            tx: Transaction::new(&TxFields { outputs: vec![output], ..TxFields::default() })?,
            large: Frame::encode(&CustomMessage::new("large", vec![1; 1 << 20])?, Network::Simnet)?,
        })
    }

    pub fn tally(&self) -> Tally {
        let alive = self.pairs.iter().flatten();
        let queued = alive.clone().map(|pair| pair.dialled.stats().queued_bytes + pair.accepted.stats().queued_bytes);
        Tally { alive: alive.count(), queued: queued.sum(), ..self.tally }
    }

    /// What did not go as it should.
    pub fn complaints(&mut self) -> Vec<String> {
        std::mem::take(&mut self.complaints)
    }

    /// Does something with some connection, over and over; a little longer when not everything has happened by then.
    pub fn run(&mut self, time: Duration, interval: Duration, mut show: impl FnMut(&Self)) {
        let end = Instant::now() + time;
        let mut next = Instant::now().checked_add(interval);
        let goes_on = |tally: &Tally| match Instant::now() {
            now if now < end => true,
            now => !tally.is_complete() && now < end + AT_MOST_LONGER,
        };
        while !self.pairs.is_empty() && goes_on(&self.tally) {
            let slot = rand::random_range(0..self.pairs.len());
            self.visit(slot);
            if rand::random_range(0..8) == 0 {
                thread::sleep(Duration::from_millis(1));
            }
            if next.is_some_and(|next| next <= Instant::now()) {
                show(self);
                next = Instant::now().checked_add(interval);
            }
        }
    }

    /// Ends everything.
    pub fn end(&mut self) {
        for slot in 0..self.pairs.len() {
            if let Some(pair) = self.take(slot) {
                self.cut(pair, Cut::Disconnect);
            }
        }
    }

    fn take(&mut self, slot: usize) -> Option<Pair> {
        self.pairs.get_mut(slot)?.take()
    }

    fn visit(&mut self, slot: usize) {
        let cuts = [Cut::Disconnect, Cut::Shutdown, Cut::MidFrame, Cut::Drop];
        let pair = match self.take(slot) {
            None => match self.connect() {
                Ok(pair) => Some(pair),
                Err(error) => {
                    self.complaints.push(format!("cannot connect: {error}"));
                    thread::sleep(Duration::from_millis(100));
                    None
                }
            },
            Some(pair) => match cuts.get(rand::random_range(0..200)) {
                Some(cut) => {
                    self.cut(pair, *cut);
                    None
                }
                None => Some(self.chat(pair)),
            },
        };
        if let Some(place) = self.pairs.get_mut(slot) {
            *place = pair;
        }
    }

    fn connect(&mut self) -> Result<Pair, Box<dyn Error>> {
        let address = self.door.local_addr()?;
        let stream = TcpStream::connect(address)?;
        let socket = stream.try_clone()?;
        let (far, from) = self.door.accept()?;
        let dialled = Peer::outbound(stream, address, &self.alice)?;
        let accepted = Peer::inbound(far, from, &self.bob)?;
        self.tally.made += 1;
        Ok(Pair { dialled, accepted, socket, receipts: Vec::new() })
    }

    fn chat(&mut self, mut pair: Pair) -> Pair {
        let one = if rand::random() { &pair.dialled } else { &pair.accepted };
        let said = match rand::random_range(0..100) {
            0..30 => one.queue_message(&Ping { nonce: rand::random() }).map(drop),
            30..60 => one.queue_message(&self.tx).map(drop),
            60..75 => {
                let items: Vec<Inventory> = (0..50).map(|_| Inventory::tx(Hash::from_bytes(rand::random()))).collect();
                one.queue_inventories(&items)
            }
            75..90 => one.queue_message(&self.tx).map(|receipt| pair.receipts.push(receipt)),
            90..93 => one.queue_frame(&self.large).map(|receipt| pair.receipts.push(receipt)),
            93..96 => one.send_message(&self.tx, Duration::from_millis(1)).map(drop),
            _ => one.queue_frame(&self.large).map(drop),
        };
        // The queue of a peer may be full.
        self.tally.messages += u64::from(said.is_ok());
        if pair.receipts.len() > 100 {
            self.count(&mut pair.receipts);
        }
        pair
    }

    /// Those that are resolved.
    fn count(&mut self, receipts: &mut Vec<Receipt>) {
        receipts.retain(|receipt| match receipt.try_wait() {
            None => true,
            Some(Ok(())) => {
                self.tally.written += 1;
                false
            }
            Some(Err(_)) => {
                self.tally.not_written += 1;
                false
            }
        });
    }

    fn cut(&mut self, pair: Pair, cut: Cut) {
        let Pair { dialled, accepted, socket, mut receipts } = pair;
        if let Some(count) = self.tally.cuts.get_mut(cut as usize) {
            *count += 1;
        }
        let mut kept = Some(dialled);
        match cut {
            Cut::Disconnect => accepted.disconnect(),
            Cut::Shutdown => drop(socket.shutdown(Shutdown::Both)),
            Cut::MidFrame => {
                for peer in kept.iter().chain([&accepted]) {
                    receipts.extend(peer.queue_frame(&self.large));
                }
                // Long enough for the frame to be on its way, too short for it to arrive, most of the time.
                thread::sleep(Duration::from_micros(rand::random_range(0..400)));
                drop(socket.shutdown(Shutdown::Both));
            }
            Cut::Drop => kept = None,
        }
        for peer in kept.iter().chain([&accepted]) {
            if let Err(error) = peer.wait_for_disconnect_timeout(PATIENCE) {
                self.complaints.push(format!("{peer} did not end: {error}"));
            }
        }
        self.count(&mut receipts);
        // The threads of a peer that was dropped end by themselves.
        for receipt in receipts {
            match receipt.wait_timeout(PATIENCE) {
                Ok(()) => self.tally.written += 1,
                Err(kaspa_peer::WaitError::Closed(_)) => self.tally.not_written += 1,
                Err(error) => self.complaints.push(format!("a receipt was not resolved: {error}")),
            }
        }
    }
}
