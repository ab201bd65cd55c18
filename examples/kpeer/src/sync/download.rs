//! Downloads all blocks of a node, with the requests that a new node of the network sends.

use super::store::Store;
use crate::client::{self, Received};
use crate::options::Failure;
use crate::output::{Output, Record};
use crate::progress::Progress;
use crossbeam_channel::Receiver;
use kaspa_peer::Peer;
use kaspa_peer::wire::*;
use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

/// By convention, nodes request at most this many sync blocks in one message.
const BATCH: usize = 50;

/// How many blocks may be requested and not have arrived. With several requests at a time, the node always has one to
/// answer.
const WINDOW: usize = 4 * BATCH;

/// How long an answer may take, and a block after the one before it. The library's stall rules require that each
/// request is answered, and this that all of its blocks arrive.
const TIMEOUT: Duration = Duration::from_secs(45);

/// Each locator at least halves the gap between the blocks that are known to be stored and not to be, so more requests
/// are not needed to find a block among 2^64.
const MAX_LOCATORS: usize = 64;

pub struct Download<'a> {
    peer: &'a Peer,
    received: &'a Receiver<Message>,
    store: &'a mut Store,
    genesis: Hash,
    /// Announced and not requested yet.
    wanted: VecDeque<Hash>,
    /// Requested and not received yet.
    requested: HashSet<Hash>,
    new_blocks: usize,
    bytes: u64,
    started: Instant,
    progress: Progress<'a>,
    /// The new blocks and the bytes at the time of the last progress line.
    shown: (usize, u64),
}

impl<'a> Download<'a> {
    pub fn new(
        peer: &'a Peer,
        received: &'a Receiver<Message>,
        store: &'a mut Store,
        genesis: Hash,
        output: &'a Output,
    ) -> Self {
        Self {
            peer,
            received,
            store,
            genesis,
            wanted: VecDeque::new(),
            requested: HashSet::new(),
            new_blocks: 0,
            bytes: 0,
            started: Instant::now(),
            progress: Progress::new(output, "blocks"),
            shown: (0, 0),
        }
    }

    pub fn new_blocks(&self) -> usize {
        self.new_blocks
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// Downloads until the node's selected tip is stored, and is still the selected tip then.
    pub fn run(&mut self, mut tip: Hash) -> Result<Hash, Failure> {
        self.store.set_root(self.genesis)?;
        if tip == Hash::ZERO {
            tip = self.selected_tip()?;
        }
        loop {
            while !self.store.contains(&tip) {
                let (start, low) = (self.new_blocks, self.common_block(tip)?);
                self.announced(low, tip)?;
                self.fetch()?;
                if self.new_blocks == start {
                    return Err("the node announces no new blocks, and has not sent its own selected tip".into());
                }
            }
            // The node's tip may have moved meanwhile.
            tip = self.selected_tip()?;
            if self.store.contains(&tip) {
                if self.new_blocks > 0 {
                    self.show_progress(true);
                }
                return Ok(tip);
            }
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

    /// Requests the hashes of the blocks above `low`, up to `high`.
    fn announced(&mut self, low: Hash, high: Hash) -> Result<(), Failure> {
        self.send(&GetBlockInvs { low, high })?;
        // Other inventories announce new items.
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

    /// Downloads the announced blocks.
    fn fetch(&mut self) -> Result<(), Failure> {
        let mut deadline = Instant::now() + TIMEOUT;
        loop {
            while self.requested.len() + BATCH <= WINDOW && !self.wanted.is_empty() {
                let batch: Vec<Hash> = self.wanted.drain(..BATCH.min(self.wanted.len())).collect();
                self.send(&batch.iter().copied().map(Inventory::sync_block).collect::<GetData>())?;
                self.requested.extend(batch);
            }
            if self.requested.is_empty() {
                return Ok(());
            }
            match self.next(deadline)? {
                None => {
                    let missing = self.requested.len();
                    return Err(format!(
                        "{missing} requested blocks are missing, and the node has sent none for {TIMEOUT:?}"
                    )
                    .into());
                }
                Some(Message::Block(block)) => {
                    self.store(&block)?;
                    deadline = Instant::now() + TIMEOUT;
                }
                Some(Message::NotFound(missing)) => {
                    if let Some(item) = missing.items.iter().find(|item| self.requested.contains(&item.hash)) {
                        return Err(format!("the node does not have block {}, which it announced", item.hash).into());
                    }
                }
                _ => {}
            }
            self.show_progress(false);
        }
    }

    fn store(&mut self, block: &Block) -> Result<(), Failure> {
        let hash = block.hash();
        if !self.requested.remove(&hash) {
            return Err(format!("the node sent a block that hashes to {hash}, which was not requested").into());
        }
        self.store.add(hash, block)?;
        self.new_blocks += 1;
        self.bytes += (HEADER_SIZE + block.as_bytes().len()) as u64;
        Ok(())
    }

    fn send<M: Encode>(&self, message: &M) -> Result<(), Failure> {
        let _ = self.peer.send_message(message, TIMEOUT)?;
        Ok(())
    }

    /// Waits for the answer to the last request.
    fn answer<T>(&mut self, what: &str, mut take: impl FnMut(Message) -> Option<T>) -> Result<T, Failure> {
        let deadline = Instant::now() + TIMEOUT;
        while let Some(message) = self.next(deadline)? {
            if let Some(answer) = take(message) {
                return Ok(answer);
            }
        }
        Err(format!("the node sent no {what} within {TIMEOUT:?}").into())
    }

    /// The next message; `None` after the deadline. An error if the node disconnects or rejects a request.
    fn next(&mut self, deadline: Instant) -> Result<Option<Message>, Failure> {
        if Instant::now() >= deadline {
            return Ok(None);
        }
        match client::next(self.peer, self.received, deadline) {
            Received::Message(Message::Reject(reject)) => {
                Err(format!("the node rejects {}, {}: {}", reject.command, reject.code, reject.reason).into())
            }
            Received::Message(message) => Ok(Some(message)),
            Received::Gone(reason) => Err(reason.into()),
            Received::Silence => Ok(None),
        }
    }

    /// Shows the progress, at most once a second unless `now` is set.
    fn show_progress(&mut self, now: bool) {
        let (stored, all) = (self.store.blocks(), self.store.blocks() + self.wanted.len() + self.requested.len());
        let (new_blocks, bytes, shown) = (self.new_blocks, self.bytes, &mut self.shown);
        let line = |since: Duration| {
            let seconds = since.as_secs_f64().max(0.001);
            let blocks_per_second = (new_blocks - shown.0) as f64 / seconds;
            let bytes_per_second = (bytes - shown.1) as f64 / seconds;
            *shown = (new_blocks, bytes);
            let text = format!(
                "{stored} of {all} blocks, {blocks_per_second:.0} blocks/s, {:.2} MB/s",
                bytes_per_second / 1e6
            );
            let record = Record::new("progress")
                .field("blocks", stored)
                .field("of", all)
                .field("bytes", bytes)
                .field("blocks_per_second", blocks_per_second.round())
                .field("bytes_per_second", bytes_per_second.round());
            (text, record)
        };
        if now {
            self.progress.show_now(stored, all, line);
        } else {
            self.progress.show(stored, all, line);
        }
    }
}
