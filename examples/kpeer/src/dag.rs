//! A block DAG to serve: its graph and an index of recent transactions in memory, its blocks in memory or in a file.

mod graph;

use crate::dag_file::{BlockReader, BlockStore};
use crate::genesis;
use crate::options::Failure;
pub use graph::Between;
use graph::Graph;
use kaspa_peer::wire::{Block, BlockHeader, Frame, Hash, Network, Payload, Transaction};
use std::collections::HashMap;
use std::path::Path;

/// The transactions of this many of the last blocks of a file can be asked for by id.
const RECENT: usize = 1000;

/// Fewer blocks are indexed if they have more transactions than this. A block of 32 MiB can have half a million.
const MAX_TRANSACTIONS: usize = 1_000_000;

const CHANGED: &str = "the file changed while it was served";

pub struct Dag {
    network: Network,
    graph: Graph,
    /// The block of each index of the graph.
    blocks: Vec<Source>,
    transactions: HashMap<Hash, TxPlace>,
    store: Option<BlockStore>,
}

/// Where a block is.
enum Source {
    /// Only the hash is known: the genesis block of a file whose network is not a public one.
    Unknown,
    /// Boxed, so that the place of a block in a file takes little memory.
    Memory(Box<Block>),
    /// A frame in the file.
    File { offset: u64, len: usize },
}

/// Where a transaction is: in the encoding of which block. So looking one up reads no other part of the block.
struct TxPlace {
    block: usize,
    offset: usize,
    len: usize,
}

impl Dag {
    /// A DAG of nothing but a genesis block.
    pub fn new(genesis: Block, network: Network) -> Self {
        Self::above(genesis.hash(), Source::Memory(Box::new(genesis)), network)
    }

    fn above(genesis: Hash, source: Source, network: Network) -> Self {
        let graph = Graph::new(genesis);
        Self { network, graph, blocks: vec![source], transactions: HashMap::new(), store: None }
    }

    /// The DAG in a file, see [`dag_file`](crate::dag_file). The blocks stay there.
    pub fn open(path: &Path, network: Network) -> Result<Self, Failure> {
        let mut reader = BlockReader::open(path, network)?;
        let mut dag: Option<Self> = None;
        while let Some(block) = reader.next_block(|hash| dag.as_ref().is_some_and(|dag| dag.contains(hash)))? {
            let dag = match (&mut dag, reader.root()) {
                (Some(dag), _) => dag,
                (none, root) => none.insert(Self::above_root(root.unwrap_or_default(), network)),
            };
            let add = |error| format!("{}: at byte {}: {error}", path.display(), block.offset);
            dag.graph.append(block.hash, &block.parents).map_err(add)?;
            dag.blocks.push(Source::File { offset: block.offset, len: block.len });
        }
        if reader.cut() > 0 {
            return Err(format!("{}: the last block is cut short; `sync` can go on with it", path.display()).into());
        }
        let Some(mut dag) = dag else { return Err(format!("{}: no blocks", path.display()).into()) };
        dag.graph.rebuild_order();
        let store = BlockStore::open(path, network)?;
        dag.index_recent(&store, MAX_TRANSACTIONS)?;
        dag.store = Some(store);
        Ok(dag)
    }

    /// A DAG of nothing but a genesis block with this hash.
    fn above_root(root: Hash, network: Network) -> Self {
        match genesis::block(network) {
            Ok(block) if block.hash() == root => Self::new(block, network),
            _ => Self::above(root, Source::Unknown, network),
        }
    }

    /// Indexes at most `max` transactions of the last blocks of the file.
    fn index_recent(&mut self, store: &BlockStore, max: usize) -> Result<(), Failure> {
        for index in (0..self.blocks.len()).rev().take(RECENT) {
            let Some(Source::File { offset, len }) = self.blocks.get(index) else { return Ok(()) };
            let Some(block) = store.block(*offset, *len)? else { continue };
            if self.transactions.len() + block.transactions().len() > max {
                return Ok(());
            }
            self.index_transactions(&block, index);
        }
        Ok(())
    }

    /// Adds a block, whose parents must be there. It becomes the selected tip.
    pub fn push(&mut self, block: Block) -> Result<Hash, Failure> {
        let hash = block.hash();
        let index = self.graph.push(hash, &block.header().parents)?;
        self.index_transactions(&block, index);
        self.blocks.push(Source::Memory(Box::new(block)));
        Ok(hash)
    }

    fn index_transactions(&mut self, block: &Block, index: usize) {
        // The transactions are the last part of a block's encoding.
        let size: usize = block.transactions().map(|tx| tx.as_bytes().len()).sum();
        let mut offset = block.as_bytes().len().saturating_sub(size);
        for tx in block.transactions() {
            let len = tx.as_bytes().len();
            self.transactions.insert(tx.id(), TxPlace { block: index, offset, len });
            offset += len;
        }
    }

    /// The number of blocks, the genesis block included.
    pub fn len(&self) -> usize {
        self.graph.len()
    }

    pub fn contains(&self, hash: &Hash) -> bool {
        self.graph.find(hash).is_some()
    }

    pub fn selected_tip(&self) -> Hash {
        self.graph.selected_tip()
    }

    /// The blocks that have no children, the selected tip last.
    pub fn tips(&self) -> Vec<Hash> {
        self.graph.tips()
    }

    /// See [`Graph::locator`].
    pub fn locator(&self, high: &Hash, low: &Hash) -> Option<Vec<Hash>> {
        self.graph.locator(high, low)
    }

    /// See [`Graph::between`].
    pub fn between(&self, low: &Hash, high: &Hash, max: usize) -> Option<Between> {
        self.graph.between(low, high, max)
    }

    /// The frame of a block.
    pub fn block(&self, hash: &Hash) -> Result<Option<Frame>, Failure> {
        match (self.graph.find(hash).and_then(|index| self.blocks.get(index)), &self.store) {
            (Some(Source::Memory(block)), _) => Ok(Some(Frame::encode(block.as_ref(), self.network)?)),
            (Some(Source::File { offset, len }), Some(store)) => Ok(Some(store.frame(*offset, *len)?)),
            _ => Ok(None),
        }
    }

    pub fn transaction(&self, id: &Hash) -> Result<Option<Transaction>, Failure> {
        let Some(TxPlace { block, offset, len }) = self.transactions.get(id) else { return Ok(None) };
        let tx = match (self.blocks.get(*block), &self.store) {
            (Some(Source::Memory(block)), _) => {
                Transaction::decode(block.as_bytes().get(*offset..offset + len).unwrap_or_default())?
            }
            (Some(Source::File { offset: frame, .. }), Some(store)) => {
                Transaction::decode(&store.payload(*frame, *offset, *len)?)?
            }
            _ => return Ok(None),
        };
        if tx.id() == *id { Ok(Some(tx)) } else { Err(CHANGED.into()) }
    }

    /// The header of a block. Of a block in the file, nothing else is read.
    pub fn header(&self, hash: &Hash) -> Result<Option<BlockHeader>, Failure> {
        let Some(index) = self.graph.find(hash) else { return Ok(None) };
        match (self.blocks.get(index), &self.store) {
            (Some(Source::Memory(block)), _) => Ok(Some(block.header().clone())),
            (Some(Source::File { offset, .. }), Some(store)) => {
                let header = store.header(*offset, self.graph.parent_count(index))?;
                if header.hash() == *hash { Ok(Some(header)) } else { Err(CHANGED.into()) }
            }
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::generated_dag;

    #[test]
    fn each_transaction_is_found_in_memory_and_in_a_file() {
        let network = Network::Simnet;
        let (made, _) = generated_dag::dag(network).unwrap();
        let path = std::env::temp_dir().join(format!("kpeer-transactions-{}", std::process::id()));
        let mut blocks = Vec::new();
        for hash in made.between(&Hash::ZERO, &made.selected_tip(), usize::MAX).unwrap().blocks {
            blocks.push(made.block(&hash).unwrap().unwrap());
        }
        std::fs::write(&path, blocks.iter().flat_map(|frame| frame.as_bytes().to_vec()).collect::<Vec<u8>>()).unwrap();
        let stored = Dag::open(&path, network).unwrap();
        let ids: Vec<Hash> = made.transactions.keys().copied().collect();
        assert!(ids.len() > 300);
        for id in ids {
            let tx = made.transaction(&id).unwrap().unwrap();
            assert_eq!(tx.id(), id);
            // The genesis block is not in the file.
            if stored.transactions.contains_key(&id) {
                assert_eq!(stored.transaction(&id).unwrap(), Some(tx));
            }
        }
        let read = |dag: &Dag| dag.store.as_ref().map(BlockStore::bytes_read).unwrap();
        let id = *stored.transactions.iter().max_by_key(|(_, place)| place.block).unwrap().0;
        let (before, len) = (read(&stored), stored.transactions.get(&id).unwrap().len as u64);
        stored.transaction(&id).unwrap();
        assert_eq!(read(&stored) - before, len, "more was read than the transaction");

        let mut few = Dag::open(&path, network).unwrap();
        few.transactions.clear();
        few.index_recent(&BlockStore::open(&path, network).unwrap(), 10).unwrap();
        let oldest = few.transactions.values().map(|place| place.block).min().unwrap();
        assert!((7..=10).contains(&few.transactions.len()), "{}", few.transactions.len());
        let newest = stored.transactions.iter().filter(|(_, place)| place.block >= oldest);
        assert!(newest.map(|(id, _)| id).all(|id| few.transactions.contains_key(id)));
        std::fs::remove_file(&path).unwrap();
    }
}
