//! Files of blocks, which `sync` writes and `listen --dag` serves.
//!
//! Such a file consists of `block` messages as they go over the wire, with header and checksum, one after the other,
//! parents before children. The genesis block is not in it: it is the only parent that the file does not contain.
//! `inspect` reads such files, too.

use crate::options::Failure;
use kaspa_peer::wire::{Block, BlockHeader, Frame, FrameDecoder, HEADER_SIZE, Hash, Message, Network};
use parking_lot::Mutex;
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// The content of a file.
#[derive(Default)]
pub struct DagFile {
    /// The hash of the genesis block: the parent of the first block. `None` if there is no block.
    pub root: Option<Hash>,
    pub blocks: Vec<StoredBlock>,
    /// The position after the last complete block.
    pub len: u64,
    /// The number of bytes after that, of an unfinished block.
    pub cut: u64,
}

pub struct StoredBlock {
    pub hash: Hash,
    pub parents: Vec<Hash>,
    /// The position of its frame.
    pub offset: u64,
    /// The length of its frame.
    pub len: usize,
}

/// Reads and checks a file. Keeps one block at a time in memory.
pub fn read(path: &Path, network: Network) -> Result<DagFile, Failure> {
    let source = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    read_from(source, path, network)
}

/// Like [`read`], for a file that is open and at its start. `path` is for error messages.
pub fn read_from(mut source: File, path: &Path, network: Network) -> Result<DagFile, Failure> {
    let mut decoder = FrameDecoder::new(network);
    let mut file = DagFile::default();
    let mut known = HashSet::new();
    loop {
        let bad = |what: &dyn std::fmt::Display| format!("{}: at byte {}: {what}", path.display(), file.len);
        let frame = decoder.next_frame().map_err(|error| bad(&error))?;
        let Some(frame) = frame else {
            if decoder.read_from(&mut source)? > 0 {
                continue;
            }
            file.cut = source.metadata()?.len().saturating_sub(file.len);
            if !is_block_begun(&mut source, file.len, network)? {
                return Err(bad(&"this is not the start of a block").into());
            }
            return Ok(file);
        };
        let command = frame.command();
        let Message::Block(block) = frame.decode().map_err(|error| bad(&error))? else {
            return Err(bad(&format_args!("{command} instead of a block")).into());
        };
        let hash = block.hash();
        let parents = block.header().parents.clone();
        let Some(first) = parents.first() else {
            return Err(bad(&"a block without parents: the genesis block does not belong here").into());
        };
        let root = file.root.unwrap_or(*first);
        known.insert(root);
        if let Some(unknown) = parents.iter().find(|parent| !known.contains(*parent)) {
            return Err(bad(&format_args!("block {hash} comes before its parent {unknown}")).into());
        }
        if !known.insert(hash) {
            return Err(bad(&format_args!("block {hash} is there twice")).into());
        }
        let end = decoder.position();
        let len = usize::try_from(end - file.len)?;
        file.blocks.push(StoredBlock { hash, parents, offset: file.len, len });
        file.root = Some(root);
        file.len = end;
    }
}

/// Returns whether the bytes from `place` on can be the start of a block's frame. The decoder checks complete headers
/// only, and a short file of another kind must not be taken for an unfinished block.
fn is_block_begun(source: &mut File, place: u64, network: Network) -> io::Result<bool> {
    let expected = [network.magic().to_le_bytes().as_slice(), b"block\0\0\0\0\0\0\0"].concat();
    let mut start = Vec::new();
    source.seek(SeekFrom::Start(place))?;
    source.take(expected.len() as u64).read_to_end(&mut start)?;
    Ok(expected.starts_with(&start))
}

/// The blocks of a file, read when they are asked for.
pub struct BlockStore {
    file: Mutex<File>,
    network: Network,
    #[cfg(test)]
    bytes_read: std::sync::atomic::AtomicU64,
}

impl BlockStore {
    pub fn open(path: &Path, network: Network) -> Result<Self, Failure> {
        Ok(Self {
            file: Mutex::new(File::open(path)?),
            network,
            #[cfg(test)]
            bytes_read: std::sync::atomic::AtomicU64::new(0),
        })
    }

    pub fn block(&self, offset: u64, len: usize) -> Result<Option<Block>, Failure> {
        match self.frame(offset, len)?.decode()? {
            Message::Block(block) => Ok(Some(block)),
            _ => Err("the file changed while it was served".into()),
        }
    }

    /// The frame of a block, whose checksum is checked, and which is not decoded.
    pub fn frame(&self, offset: u64, len: usize) -> Result<Frame, Failure> {
        Ok(Frame::from_bytes(self.read(offset, len)?, self.network)?)
    }

    /// A part of the payload of the frame at `frame`.
    pub fn payload(&self, frame: u64, offset: usize, len: usize) -> io::Result<Vec<u8>> {
        self.read(frame + HEADER_SIZE as u64 + offset as u64, len)
    }

    /// The header of a block with this number of parents, whose frame is at `frame`.
    pub fn header(&self, frame: u64, parents: usize) -> Result<BlockHeader, Failure> {
        // All headers with this number of parents have the same length.
        let model = BlockHeader { parents: vec![Hash::ZERO; parents], ..BlockHeader::default() };
        Ok(BlockHeader::decode(&self.payload(frame, 0, model.encode()?.len())?)?)
    }

    fn read(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        let mut file = self.file.lock();
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(&mut bytes)?;
        #[cfg(test)]
        self.bytes_read.fetch_add(len as u64, std::sync::atomic::Ordering::Relaxed);
        Ok(bytes)
    }

    #[cfg(test)]
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.load(std::sync::atomic::Ordering::Relaxed)
    }
}
