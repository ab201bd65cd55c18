//! The transactions and blocks that a relay keeps.

use hashlink::LinkedHashMap;
use kaspa_peer::wire::{Frame, Hash, Inventory, InventoryType};

/// The store removes its oldest items when they need more bytes than this.
const MAX_BYTES: usize = 64 << 20;

/// The store removes its oldest items when there are more than this.
const MAX_ITEMS: usize = 20_000;

/// Identifies an item. A block is the same block under every inventory type that nodes use for blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    Tx(Hash),
    Block(Hash),
}

impl Key {
    /// Returns `None` for inventory types other than transactions and blocks.
    pub fn of(item: &Inventory) -> Option<Self> {
        match item.kind {
            InventoryType::TX => Some(Self::Tx(item.hash)),
            InventoryType::BLOCK | InventoryType::SYNC_BLOCK | InventoryType::MISSING_ANCESTOR => {
                Some(Self::Block(item.hash))
            }
            _ => None,
        }
    }

    /// The inventory that announces a new item.
    pub fn announcement(self) -> Inventory {
        match self {
            Self::Tx(id) => Inventory::tx(id),
            Self::Block(hash) => Inventory::block(hash),
        }
    }
}

/// Frames of transactions and blocks, each encoded once for all peers.
#[derive(Default)]
pub struct Store {
    frames: LinkedHashMap<Key, Frame>,
    bytes: usize,
}

impl Store {
    pub fn contains(&self, key: &Key) -> bool {
        self.frames.contains_key(key)
    }

    pub fn get(&self, key: &Key) -> Option<Frame> {
        self.frames.get(key).cloned()
    }

    /// Adds an item. Returns false if the store has it already.
    pub fn insert(&mut self, key: Key, frame: Frame) -> bool {
        if self.contains(&key) {
            return false;
        }
        self.bytes += frame.as_bytes().len();
        self.frames.insert(key, frame);
        while (self.bytes > MAX_BYTES || self.frames.len() > MAX_ITEMS)
            && let Some((_, oldest)) = self.frames.pop_front()
        {
            self.bytes -= oldest.as_bytes().len();
        }
        true
    }
}
