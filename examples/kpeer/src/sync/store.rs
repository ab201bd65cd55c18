//! Stores the downloaded blocks: their hashes in memory, and the blocks in a file if there is one.

use crate::dag_file::BlockReader;
use crate::options::Failure;
use fs4::TryLockError;
use kaspa_peer::wire::{Block, Frame, Hash, Network};
use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::Path;

/// The limits of a download. A node can make up blocks without end.
#[derive(Clone, Copy)]
pub struct Limits {
    pub blocks: usize,
    /// The size of the file.
    pub bytes: u64,
}

/// The stored blocks. The parents of each block are stored, too, or are the genesis block.
pub struct Store {
    network: Network,
    limits: Limits,
    known: HashSet<Hash>,
    root: Option<Hash>,
    file: Option<BufWriter<File>>,
    /// The size of the file when everything is written, in bytes.
    len: u64,
    /// The size of the unfinished block that was in the file; `None` if the file was empty.
    resumed: Option<u64>,
}

impl Store {
    /// Reads the file. Removes an unfinished block from its end.
    pub fn open(path: Option<&Path>, network: Network, limits: Limits) -> Result<Self, Failure> {
        let mut store = Self { network, limits, known: HashSet::new(), root: None, file: None, len: 0, resumed: None };
        let Some(path) = path else { return Ok(store) };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        // The system releases the lock when the file is closed, however the process ends.
        fs4::FileExt::try_lock(&file).map_err(|error| match error {
            TryLockError::WouldBlock => format!("{}: another process writes this file", path.display()),
            TryLockError::Error(error) => format!("{}: {error}", path.display()),
        })?;
        if file.metadata()?.len() > 0 {
            // Windows refuses other handles of a locked file.
            let mut stored = BlockReader::new(file.try_clone()?, path, network);
            while let Some(block) = stored.next_block(|hash| store.known.contains(hash))? {
                store.known.insert(block.hash);
            }
            store.root = stored.root();
            store.resumed = Some(stored.cut());
            store.len = stored.len();
            file.set_len(store.len)?;
            file.seek(SeekFrom::Start(store.len))?;
        }
        store.file = Some(BufWriter::new(file));
        Ok(store)
    }

    pub fn resumed(&self) -> Option<u64> {
        self.resumed
    }

    pub fn blocks(&self) -> usize {
        self.known.len()
    }

    /// Sets the genesis block. An error if the file has blocks above another one.
    pub fn set_root(&mut self, genesis: Hash) -> Result<(), Failure> {
        let root = *self.root.get_or_insert(genesis);
        if root == genesis {
            return Ok(());
        }
        Err(format!("the file is of a DAG above {root}, the node's is above {genesis}").into())
    }

    pub fn contains(&self, hash: &Hash) -> bool {
        self.known.contains(hash) || self.root == Some(*hash)
    }

    /// Stores a block with the hash `hash`.
    pub fn add(&mut self, hash: Hash, block: &Block) -> Result<(), Failure> {
        if block.header().parents.is_empty() {
            // The file could neither be continued nor served: the parent of its first block is the genesis block.
            return Err(format!("the node sent block {hash}, which has no parents and is not the genesis block").into());
        }
        if let Some(parent) = block.header().parents.iter().find(|parent| !self.contains(parent)) {
            return Err(format!("the node sent block {hash} before its parent {parent}").into());
        }
        let Limits { blocks, bytes } = self.limits;
        if self.known.len() >= blocks {
            return Err(format!("there are more than the {blocks} blocks of --max-blocks").into());
        }
        if let Some(file) = &mut self.file {
            let frame = Frame::encode(block, self.network)?;
            self.len += frame.as_bytes().len() as u64;
            if self.len > bytes {
                return Err(format!("the blocks need more than the {bytes} bytes of --max-bytes").into());
            }
            file.write_all(frame.as_bytes()).map_err(|error| format!("writing the file: {error}"))?;
        }
        self.known.insert(hash);
        Ok(())
    }

    pub fn flush(&mut self) -> Result<(), Failure> {
        match &mut self.file {
            Some(file) => Ok(file.flush().map_err(|error| format!("writing the file: {error}"))?),
            None => Ok(()),
        }
    }
}
