//! How to get everything that a node has, in the order in which its like ask for it.

use super::store::Store;
use crate::client::{self, Received};
use crate::options::Failure;
use crate::output::{Output, Record};
use crossbeam_channel::Receiver;
use kaspa_peer::Peer;
use kaspa_peer::wire::*;
use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

/// By convention no more sync blocks are asked for in one message.
const BATCH: usize = 50;

/// So many blocks may be asked for and not have come: while one batch is on its way, the node has the next ones to do.
const WINDOW: usize = 4 * BATCH;

/// How long an answer may take, and a block after the one before it. The library watches that something is answered;
/// this, that everything is.
const PATIENCE: Duration = Duration::from_secs(45);

/// How often progress is told.
const PROGRESS: Duration = Duration::from_secs(1);

/// Each locator at least halves the gap between the blocks that are known to be stored and not to be, so more requests are
/// not needed to find a block among 2^64.
const MAX_LOCATORS: usize = 64;

pub struct Download<'a> {
    peer: &'a Peer,
    heard: &'a Receiver<Message>,
    store: &'a mut Store,
    genesis: Hash,
    output: &'a Output,
    /// Announced and not yet asked for.
    wanted: VecDeque<Hash>,
    /// Asked for and not yet there.
    coming: HashSet<Hash>,
    new_blocks: usize,
    bytes: u64,
    began: Instant,
    /// When progress was told last, and what was there.
    told: (Instant, usize, u64),
}

impl<'a> Download<'a> {
    pub fn new(
        peer: &'a Peer,
        heard: &'a Receiver<Message>,
        store: &'a mut Store,
        genesis: Hash,
        output: &'a Output,
    ) -> Self {
        let now = Instant::now();
        Self {
            peer,
            heard,
            store,
            genesis,
            output,
            wanted: VecDeque::new(),
            coming: HashSet::new(),
            new_blocks: 0,
            bytes: 0,
            began: now,
            told: (now, 0, 0),
        }
    }

    pub fn new_blocks(&self) -> usize {
        self.new_blocks
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn seconds(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// Downloads until the node's selected tip is there, and there is no newer one.
    pub fn run(&mut self, mut tip: Hash) -> Result<Hash, Failure> {
        self.store.set_root(self.genesis)?;
        if tip == Hash::ZERO {
            tip = self.selected_tip()?;
        }
        loop {
            let before = self.new_blocks;
            while !self.store.contains(&tip) {
                let (start, low) = (self.new_blocks, self.common_block(tip)?);
                self.announced(low, tip)?;
                self.fetch()?;
                if self.new_blocks == start {
                    return Err("the node has nothing new to offer, and not its own selected tip".into());
                }
            }
            if self.new_blocks > before {
                self.show_progress();
            }
            let now = self.selected_tip()?;
            if self.store.contains(&now) {
                return Ok(now);
            }
            tip = now;
        }
    }

    fn selected_tip(&mut self) -> Result<Hash, Failure> {
        self.send(&GetSelectedTip)?;
        self.answer("selected tip", |message| match message {
            Message::SelectedTip(tip) => Some(tip.hash),
            _ => None,
        })
    }

    /// Finds the highest block on the node's selected chain that is stored here, too.
    ///
    /// `low` is always a block that the node knows: kaspad v0.1.1 dies of an unknown one.
    fn common_block(&mut self, tip: Hash) -> Result<Hash, Failure> {
        let (mut high, mut low) = (tip, self.genesis);
        for _ in 0..MAX_LOCATORS {
            self.send(&GetLocator { high, low })?;
            let locator = self.answer("locator", |message| match message {
                Message::Locator(locator) => Some(locator.hashes),
                _ => None,
            })?;
            match locator.iter().position(|hash| self.store.contains(hash)) {
                Some(place) => {
                    low = locator.get(place).copied().unwrap_or(low);
                    match place.checked_sub(1).and_then(|above| locator.get(above)) {
                        Some(above) => high = *above,
                        None => return Ok(low),
                    }
                }
                // A locator need not reach down to `low`, so the search goes on below its last block.
                None => match locator.last() {
                    Some(last) if *last != high => high = *last,
                    _ => {
                        return Err(format!(
                            "no block in common: the node's chain goes down to {high}, and the genesis block should be \
                             {} (see --genesis)",
                            self.genesis
                        )
                        .into());
                    }
                },
            }
        }
        Err("the node's locators lead nowhere".into())
    }

    /// Asks which blocks there are between two.
    fn announced(&mut self, low: Hash, high: Hash) -> Result<(), Failure> {
        self.send(&GetBlockInvs { low, high })?;
        // Other inventories announce what is new.
        let is_sync = |item: &Inventory| item.kind == InventoryType::SYNC_BLOCK;
        let items = self.answer("inventory", |message| match message {
            Message::Inv(inv) => (inv.items.is_empty() || inv.items.iter().any(is_sync)).then_some(inv.items),
            _ => None,
        })?;
        let mut seen = HashSet::new();
        let new = |hash: &Hash| !self.store.contains(hash) && seen.insert(*hash);
        self.wanted = items.into_iter().filter(is_sync).map(|item| item.hash).filter(new).collect();
        Ok(())
    }

    /// Downloads what was announced.
    fn fetch(&mut self) -> Result<(), Failure> {
        let mut deadline = Instant::now() + PATIENCE;
        loop {
            while self.coming.len() + BATCH <= WINDOW && !self.wanted.is_empty() {
                let batch: Vec<Hash> = self.wanted.drain(..BATCH.min(self.wanted.len())).collect();
                self.send(&batch.iter().copied().map(Inventory::sync_block).collect::<GetData>())?;
                self.coming.extend(batch);
            }
            if self.coming.is_empty() {
                return Ok(());
            }
            match self.next(deadline)? {
                None => {
                    let (owed, last) = (self.coming.len(), PATIENCE);
                    return Err(format!("the node owes {owed} blocks and has sent none for {last:?}").into());
                }
                Some(Message::Block(block)) => {
                    self.take(&block)?;
                    deadline = Instant::now() + PATIENCE;
                }
                Some(Message::NotFound(missing)) => {
                    if let Some(item) = missing.items.iter().find(|item| self.coming.contains(&item.hash)) {
                        return Err(format!("the node does not have block {}, which it announced", item.hash).into());
                    }
                }
                _ => {}
            }
            if self.told.0.elapsed() >= PROGRESS {
                self.show_progress();
            }
        }
    }

    fn take(&mut self, block: &Block) -> Result<(), Failure> {
        let hash = block.hash();
        if !self.coming.remove(&hash) {
            return Err(format!("the node sent a block that hashes to {hash}, which it was not asked for").into());
        }
        self.store.add(hash, block)?;
        self.new_blocks += 1;
        self.bytes += (HEADER_SIZE + block.as_bytes().len()) as u64;
        Ok(())
    }

    fn send<M: Encode>(&self, message: &M) -> Result<(), Failure> {
        let _ = self.peer.send_message(message, PATIENCE)?;
        Ok(())
    }

    /// Waits for the answer to what was just asked.
    fn answer<T>(&mut self, what: &str, mut take: impl FnMut(Message) -> Option<T>) -> Result<T, Failure> {
        let deadline = Instant::now() + PATIENCE;
        while let Some(message) = self.next(deadline)? {
            if let Some(answer) = take(message) {
                return Ok(answer);
            }
        }
        Err(format!("the node sent no {what} within {PATIENCE:?}").into())
    }

    /// The next message, `None` after the deadline; an error when the node goes away or refuses something.
    fn next(&mut self, deadline: Instant) -> Result<Option<Message>, Failure> {
        if Instant::now() >= deadline {
            return Ok(None);
        }
        match client::next(self.peer, self.heard, deadline) {
            Received::Message(Message::Reject(reject)) => {
                Err(format!("the node rejects {}, {}: {}", reject.command, reject.code, reject.reason).into())
            }
            Received::Message(message) => Ok(Some(message)),
            Received::Gone(reason) => Err(reason.into()),
            Received::Silence => Ok(None),
        }
    }

    fn show_progress(&mut self) {
        let (when, blocks, bytes) = self.told;
        let seconds = when.elapsed().as_secs_f64().max(0.001);
        let (blocks, bytes) = ((self.new_blocks - blocks) as f64 / seconds, (self.bytes - bytes) as f64 / seconds);
        let (there, all) = (self.store.blocks(), self.store.blocks() + self.wanted.len() + self.coming.len());
        self.output.say(
            format_args!("{there} of {all} blocks, {blocks:.0} blocks/s, {:.2} MB/s", bytes / 1e6),
            Record::new("progress")
                .field("blocks", there)
                .field("of", all)
                .field("bytes", self.bytes)
                .field("blocks_per_second", blocks.round())
                .field("bytes_per_second", bytes.round()),
        );
        self.told = (Instant::now(), self.new_blocks, self.bytes);
    }
}
