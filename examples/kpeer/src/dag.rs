//! A block DAG to serve from: who is whose parent in memory, the blocks in memory or in a file.

use crate::dag_file::{self, BlockStore};
use crate::genesis;
use crate::options::Failure;
use kaspa_peer::wire::{Block, BlockHeader, Hash, Network, Transaction};
use std::collections::HashMap;
use std::path::Path;

/// The transactions of so many of the last blocks can be asked for by id.
const RECENT: usize = 1000;

/// Blocks in an order in which parents come before children. The first is the genesis block, the last the selected tip,
/// and a block's first parent is taken as its selected one.
pub struct Dag {
    entries: Vec<Entry>,
    places: HashMap<Hash, usize>,
    transactions: HashMap<Hash, usize>,
    store: Option<BlockStore>,
}

struct Entry {
    hash: Hash,
    parents: Vec<usize>,
    /// How many blocks are below it on its chain of first parents.
    height: u64,
    body: Body,
}

enum Body {
    /// Nobody has it: the genesis block of a file whose network is not one of the public ones.
    Nowhere,
    Memory(Block),
    /// Where in the file its frame begins, and how long it is.
    File(u64, usize),
}

impl Dag {
    /// A DAG of nothing but a genesis block.
    pub fn new(genesis: Block) -> Self {
        let hash = genesis.hash();
        let mut dag = Self::above(hash);
        if let Some(entry) = dag.entries.first_mut() {
            entry.body = Body::Memory(genesis);
        }
        dag
    }

    fn above(genesis: Hash) -> Self {
        let entry = Entry { hash: genesis, parents: Vec::new(), height: 0, body: Body::Nowhere };
        Self { entries: vec![entry], places: HashMap::from([(genesis, 0)]), transactions: HashMap::new(), store: None }
    }

    /// The DAG in a file, see [`dag_file`]. The blocks stay there.
    pub fn open(path: &Path, network: Network) -> Result<Self, Failure> {
        let file = dag_file::read(path, network)?;
        if file.cut > 0 {
            return Err(format!("{}: the last block is cut short; `sync` can go on with it", path.display()).into());
        }
        let Some(root) = file.root else { return Err(format!("{}: no blocks", path.display()).into()) };
        let mut dag = match genesis::block(network) {
            Ok(block) if block.hash() == root => Self::new(block),
            _ => Self::above(root),
        };
        let recent = file.blocks.len().saturating_sub(RECENT);
        let store = BlockStore::open(path, network)?;
        for (number, block) in file.blocks.into_iter().enumerate() {
            let place = dag.insert(block.hash, &block.parents, Body::File(block.offset, block.len))?;
            if number >= recent
                && let Some(block) = store.block(block.offset, block.len)?
            {
                dag.note_transactions(&block, place);
            }
        }
        dag.store = Some(store);
        Ok(dag)
    }

    /// Adds a block, whose parents must be there. It is the selected tip now.
    pub fn push(&mut self, block: Block) -> Result<Hash, Failure> {
        let hash = block.hash();
        let place = self.insert(hash, &block.header().parents, Body::Nowhere)?;
        self.note_transactions(&block, place);
        if let Some(entry) = self.entries.get_mut(place) {
            entry.body = Body::Memory(block);
        }
        Ok(hash)
    }

    fn insert(&mut self, hash: Hash, parents: &[Hash], body: Body) -> Result<usize, Failure> {
        let place = |parent: &Hash| self.places.get(parent).copied().ok_or("a parent is unknown");
        let parents = parents.iter().map(place).collect::<Result<Vec<usize>, _>>()?;
        let height = parents.first().and_then(|parent| self.entries.get(*parent)).map_or(0, |parent| parent.height + 1);
        let place = self.entries.len();
        self.entries.push(Entry { hash, parents, height, body });
        self.places.insert(hash, place);
        Ok(place)
    }

    fn note_transactions(&mut self, block: &Block, place: usize) {
        self.transactions.extend(block.transactions().map(|tx| (tx.id(), place)));
    }

    /// How many blocks there are, the genesis block included.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn contains(&self, hash: &Hash) -> bool {
        self.places.contains_key(hash)
    }

    pub fn selected_tip(&self) -> Hash {
        self.entries.last().map_or(Hash::ZERO, |entry| entry.hash)
    }

    /// The blocks that are nobody's parents, the selected tip last.
    pub fn tips(&self) -> Vec<Hash> {
        let mut is_parent = vec![false; self.entries.len()];
        for parent in self.entries.iter().flat_map(|entry| &entry.parents) {
            mark(&mut is_parent, *parent);
        }
        self.entries.iter().zip(is_parent).filter(|(_, is_parent)| !is_parent).map(|(entry, _)| entry.hash).collect()
    }

    pub fn block(&self, hash: &Hash) -> Result<Option<Block>, Failure> {
        self.places.get(hash).map_or(Ok(None), |place| self.block_at(*place))
    }

    fn block_at(&self, place: usize) -> Result<Option<Block>, Failure> {
        match (self.entries.get(place).map(|entry| &entry.body), &self.store) {
            (Some(Body::Memory(block)), _) => Ok(Some(block.clone())),
            (Some(Body::File(offset, len)), Some(store)) => store.block(*offset, *len),
            _ => Ok(None),
        }
    }

    pub fn transaction(&self, id: &Hash) -> Result<Option<Transaction>, Failure> {
        let Some(place) = self.transactions.get(id) else { return Ok(None) };
        let block = self.block_at(*place)?;
        Ok(block.and_then(|block| block.transactions().find(|tx| tx.id() == *id).map(|tx| tx.to_transaction())))
    }

    /// A locator as kaspad makes it: blocks of the chain of first parents, from the parent of `high` down, with gaps that
    /// double. It stops where the next one would be below `low`, or below the genesis block if `low` is unknown or not on
    /// that chain. `None` if `high` is unknown.
    pub fn locator(&self, high: &Hash, low: &Hash) -> Option<Vec<Hash>> {
        let chain = self.chain_below(*self.places.get(high)?);
        let low = self.places.get(low).and_then(|low| chain.iter().position(|place| place == low));
        let end = low.unwrap_or(chain.len().saturating_sub(1));
        let (mut locator, mut at, mut step) = (Vec::new(), 0, 1);
        while let Some(place) = chain.get(at).filter(|_| at <= end) {
            locator.extend(self.entries.get(*place).map(|entry| entry.hash));
            at += step;
            step *= 2;
        }
        Some(locator)
    }

    fn chain_below(&self, place: usize) -> Vec<usize> {
        let parent = |place: &usize| self.entries.get(*place)?.parents.first().copied();
        std::iter::successors(parent(&place), parent).collect()
    }

    /// The blocks in the past of `high`, and `high`, without `low` and its past: at most `max`, parents first. `low` is
    /// the genesis block when it is unknown; above the selected tip there are no others, so that side tips come with it.
    pub fn between(&self, low: &Hash, high: &Hash, max: usize) -> Option<Vec<Hash>> {
        let high = *self.places.get(high)?;
        let known = self.with_past(self.places.get(low).copied().unwrap_or(0));
        let wanted = if high + 1 == self.entries.len() { vec![true; high + 1] } else { self.with_past(high) };
        let wanted = self.entries.iter().zip(wanted).enumerate().filter(|(_, (_, wanted))| *wanted);
        let new = wanted.filter(|(place, _)| !known.get(*place).is_some_and(|known| *known));
        Some(new.map(|(_, (entry, _))| entry.hash).take(max).collect())
    }

    /// Which blocks are this or below it.
    fn with_past(&self, place: usize) -> Vec<bool> {
        let mut past = vec![false; place + 1];
        mark(&mut past, place);
        for (place, entry) in self.entries.iter().enumerate().take(place + 1).rev() {
            if past.get(place) == Some(&true) {
                entry.parents.iter().for_each(|parent| mark(&mut past, *parent));
            }
        }
        past
    }

    /// Of a block in the file, no more is read than its header.
    pub fn header(&self, hash: &Hash) -> Result<Option<BlockHeader>, Failure> {
        let Some(entry) = self.places.get(hash).and_then(|place| self.entries.get(*place)) else { return Ok(None) };
        match (&entry.body, &self.store) {
            (Body::Memory(block), _) => Ok(Some(block.header().clone())),
            (Body::File(offset, _), Some(store)) => {
                let header = store.header(*offset, entry.parents.len())?;
                if header.hash() == *hash {
                    Ok(Some(header))
                } else {
                    Err("the file changed while it was served".into())
                }
            }
            _ => Ok(None),
        }
    }
}

fn mark(places: &mut [bool], place: usize) {
    if let Some(mark) = places.get_mut(place) {
        *mark = true;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use serde_json::Value;

    /// A chain of so many blocks above a genesis block, and its hashes by height.
    fn chain(height: u64) -> (Dag, Vec<Hash>) {
        let genesis = Block::new(BlockHeader::default(), []).unwrap();
        let mut hashes = vec![genesis.hash()];
        let mut dag = Dag::new(genesis);
        for nonce in 1..=height {
            let header = BlockHeader { parents: vec![*hashes.last().unwrap()], nonce, ..BlockHeader::default() };
            hashes.push(dag.push(Block::new(header, []).unwrap()).unwrap());
        }
        (dag, hashes)
    }

    #[test]
    fn locators_are_those_of_kaspad() {
        let vectors: Value = serde_json::from_str(include_str!("../tests/data/locators.json")).unwrap();
        let locators = vectors["locators"].as_array().unwrap();
        assert!(locators.len() > 30);
        for vector in locators {
            let (dag, hashes) = chain(vector["height"].as_u64().unwrap());
            let heights = vector["locator_heights"].as_array().unwrap().iter();
            let expected: Vec<Hash> =
                heights.map(|height| hashes[usize::try_from(height.as_u64().unwrap()).unwrap()]).collect();
            assert_eq!(dag.locator(&dag.selected_tip(), &hashes[0]), Some(expected), "{vector}");
        }
    }

    #[test]
    fn a_locator_does_not_go_below_its_low_block() {
        let (dag, hashes) = chain(20);
        let locator = |low: usize| dag.locator(&hashes[20], &hashes[low]).unwrap();
        assert_eq!(locator(12), [hashes[19], hashes[18], hashes[16], hashes[12]]);
        assert_eq!(locator(13), [hashes[19], hashes[18], hashes[16]]);
        assert_eq!(locator(19), [hashes[19]]);
    }
}
