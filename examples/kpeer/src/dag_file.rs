//! Files of blocks, which `sync` writes and `listen --dag` serves.
//!
//! Such a file consists of `block` messages as they go over the wire, with header and checksum, one after the other,
//! parents before children. The genesis block is not in it: it is the only parent that the file does not contain.
//! `inspect` reads such files, too.
//!
//! A node can make `sync` write a file of any content, so reading one keeps a single block in memory. The caller
//! decides what it remembers of each block.

use crate::options::Failure;
use kaspa_peer::wire::{Block, BlockHeader, Frame, FrameDecoder, HEADER_SIZE, Hash, Message, Network};
use parking_lot::Mutex;
use std::fmt::Display;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// Reads the blocks of a file, one after the other, and checks them.
pub struct BlockReader<'a> {
    source: File,
    /// The path of the file, for error messages.
    path: &'a Path,
    network: Network,
    decoder: FrameDecoder,
    root: Option<Hash>,
    len: u64,
    cut: u64,
}

/// A block of a file.
pub struct StoredBlock {
    pub hash: Hash,
    /// At least one, and at most 255.
    pub parents: Vec<Hash>,
    /// The position of its frame.
    pub offset: u64,
    /// The length of its frame.
    pub len: usize,
}

impl<'a> BlockReader<'a> {
    pub fn open(path: &'a Path, network: Network) -> Result<Self, Failure> {
        let source = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self::new(source, path, network))
    }

    /// Reads a file that is open and at its start. `path` is for error messages.
    pub fn new(source: File, path: &'a Path, network: Network) -> Self {
        Self { source, path, network, decoder: FrameDecoder::new(network), root: None, len: 0, cut: 0 }
    }

    /// The hash of the genesis block: the parent of the first block. `None` before the first block.
    pub fn root(&self) -> Option<Hash> {
        self.root
    }

    /// The position after the last complete block that was read.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// The number of bytes of an unfinished block at the end. Known when the end was reached.
    pub fn cut(&self) -> u64 {
        self.cut
    }

    /// Returns the next block, or `None` at the end. `is_known` returns whether a block is among those that were
    /// returned before.
    ///
    /// # Errors
    /// The file is not a file of blocks, a block is there twice, or it comes before one of its parents.
    pub fn next_block(&mut self, is_known: impl Fn(&Hash) -> bool) -> Result<Option<StoredBlock>, Failure> {
        let frame = loop {
            match self.decoder.next_frame() {
                Ok(Some(frame)) => break frame,
                Ok(None) => {}
                Err(error) => return Err(self.bad(error)),
            }
            if self.decoder.read_from(&mut self.source)? == 0 {
                self.cut = self.source.metadata()?.len().saturating_sub(self.len);
                if !is_block_begun(&mut self.source, self.len, self.network)? {
                    return Err(self.bad("this is not the start of a block"));
                }
                return Ok(None);
            }
        };
        let command = frame.command();
        let Message::Block(block) = frame.decode().map_err(|error| self.bad(error))? else {
            return Err(self.bad(format_args!("{command} instead of a block")));
        };
        let hash = block.hash();
        let parents = block.header().parents.clone();
        let Some(first) = parents.first() else {
            return Err(self.bad("a block without parents: the genesis block does not belong here"));
        };
        let root = self.root.unwrap_or(*first);
        let is_known = |hash: &Hash| *hash == root || is_known(hash);
        if let Some(unknown) = parents.iter().find(|parent| !is_known(parent)) {
            return Err(self.bad(format_args!("block {hash} comes before its parent {unknown}")));
        }
        if is_known(&hash) {
            return Err(self.bad(format_args!("block {hash} is there twice")));
        }
        let (offset, end) = (self.len, self.decoder.position());
        self.root = Some(root);
        self.len = end;
        Ok(Some(StoredBlock { hash, parents, offset, len: usize::try_from(end - offset)? }))
    }

    fn bad(&self, what: impl Display) -> Failure {
        format!("{}: at byte {}: {what}", self.path.display(), self.len).into()
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
