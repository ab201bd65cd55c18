//! A listener that serves blocks and transactions.

use crate::wire::{Block, GetData, Hash, Inventory, InventoryType, NotFound, Transaction};
use crate::{Listener, Peer, QueueError};
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::{fmt, sync::Arc};

/// The number of requests that a store remembers.
const MAX_REQUESTS: usize = 100_000;

/// A listener that answers each `getdata` from blocks and transactions that a test has added, and with `notfound` for
/// the rest.
///
/// For tests of programs that download: announce a block, and wait until the node under test has asked for it. Clones
/// share the same contents, and any number of peers can use one store. To wait for other messages as well, put an inbox
/// [beside](crate::Inbox::beside) it.
///
/// A block is found under each of the types [`BLOCK`](InventoryType::BLOCK), [`SYNC_BLOCK`](InventoryType::SYNC_BLOCK)
/// and [`MISSING_ANCESTOR`](InventoryType::MISSING_ANCESTOR). A callback cannot wait for room in the outbound queue, so
/// the store disconnects a peer that asks for more at once than the [queue](crate::ConfigBuilder::queue_limit) holds, 8
/// MiB unless configured otherwise.
///
/// ```
/// use kaspa_peer::testing::{DataStore, connect_peers};
/// use kaspa_peer::wire::{Block, BlockHeader, Hash, Inventory, Network};
/// use kaspa_peer::{AskError, Config};
/// use std::time::Duration;
///
/// let store = DataStore::new();
/// let block = Block::new(BlockHeader::default(), [])?;
/// store.add_block(block.clone());
/// let serving = Config::builder(Network::Simnet).listener(store.clone()).build()?;
/// let asking = Config::builder(Network::Simnet).build()?;
/// let (peer, _serving) = connect_peers(&asking, &serving)?;
///
/// let timeout = Duration::from_secs(10);
/// assert_eq!(peer.fetch_block(block.hash(), timeout)?, block);
/// let missing = Inventory::block(Hash::ZERO);
/// assert_eq!(peer.fetch_block(Hash::ZERO, timeout), Err(AskError::NotFound { item: missing }));
/// assert_eq!(store.requests(), [Inventory::block(block.hash()), missing]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct DataStore {
    contents: Arc<Mutex<Contents>>,
}

#[derive(Default)]
struct Contents {
    blocks: HashMap<Hash, Arc<Block>>,
    transactions: HashMap<Hash, Arc<Transaction>>,
    requests: VecDeque<Inventory>,
}

enum Item {
    Block(Arc<Block>),
    Transaction(Arc<Transaction>),
}

impl DataStore {
    /// A store that has nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a block, which is then found by its hash.
    pub fn add_block(&self, block: Block) {
        self.contents.lock().blocks.insert(block.hash(), Arc::new(block));
    }

    /// Adds a transaction, which is then found by its id.
    pub fn add_transaction(&self, transaction: Transaction) {
        self.contents.lock().transactions.insert(transaction.id(), Arc::new(transaction));
    }

    /// The items that were asked for, whether or not the store had them, in order of arrival. Of very many, the last
    /// 100,000.
    #[must_use]
    pub fn requests(&self) -> Vec<Inventory> {
        self.contents.lock().requests.iter().copied().collect()
    }

    fn find(&self, item: &Inventory) -> Option<Item> {
        let mut contents = self.contents.lock();
        if contents.requests.len() == MAX_REQUESTS {
            contents.requests.pop_front();
        }
        contents.requests.push_back(*item);
        match item.kind {
            InventoryType::TX => contents.transactions.get(&item.hash).cloned().map(Item::Transaction),
            InventoryType::BLOCK | InventoryType::SYNC_BLOCK | InventoryType::MISSING_ANCESTOR => {
                contents.blocks.get(&item.hash).cloned().map(Item::Block)
            }
            _ => None,
        }
    }

    fn answer(&self, peer: &Peer, wanted: Vec<Inventory>) -> Result<(), QueueError> {
        let mut missing = Vec::new();
        for item in wanted {
            match self.find(&item) {
                Some(Item::Block(block)) => drop(peer.queue_message(&*block)?),
                Some(Item::Transaction(transaction)) => drop(peer.queue_message(&*transaction)?),
                None => missing.push(item),
            }
        }
        if !missing.is_empty() {
            peer.queue_message(&NotFound::from(missing))?;
        }
        Ok(())
    }
}

impl Listener for DataStore {
    fn on_get_data(&self, peer: &Peer, wanted: GetData) {
        if self.answer(peer, wanted.items).is_err() {
            peer.disconnect();
        }
    }
}

impl fmt::Debug for DataStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let contents = self.contents.lock();
        f.debug_struct("DataStore")
            .field("blocks", &contents.blocks.len())
            .field("transactions", &contents.transactions.len())
            .field("requests", &contents.requests.len())
            .finish()
    }
}
