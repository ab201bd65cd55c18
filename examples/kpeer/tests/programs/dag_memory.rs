//! The memory that `kpeer sync --out` and `kpeer listen --dag` need for a file whose content a hostile node chose. Needs
//! /proc.
#![cfg(target_os = "linux")]

use crate::support::memory::{MIB, peak};
use crate::support::running::Running;
use crate::support::scratch::Scratch;
use kaspa_peer::wire::*;
use std::net::TcpListener;

/// The most parents that a block can have.
const PARENTS: usize = 255;

/// A file of blocks each of which has as many of the blocks before it as parents as it can have.
fn blocks_with_many_parents(blocks: u64) -> Vec<u8> {
    let (mut file, mut hashes) = (Vec::new(), vec![Hash::of(b"genesis")]);
    for nonce in 0..blocks {
        let parents = hashes.iter().rev().take(PARENTS).copied().collect();
        let block = Block::new(BlockHeader { nonce, parents, ..BlockHeader::default() }, []).unwrap();
        hashes.push(block.hash());
        file.extend(Frame::encode(&block, Network::Simnet).unwrap().as_bytes());
    }
    file
}

/// A file of blocks each of which has the block before it as its parent.
fn chain(blocks: u64) -> Vec<u8> {
    let (mut file, mut parent) = (Vec::new(), Hash::of(b"genesis"));
    for nonce in 0..blocks {
        let block = Block::new(BlockHeader { nonce, parents: vec![parent], ..BlockHeader::default() }, []).unwrap();
        parent = block.hash();
        file.extend(Frame::encode(&block, Network::Simnet).unwrap().as_bytes());
    }
    file
}

/// How many bytes more `sync` and `listen` need for the first file than for the second.
fn growth(name: &str, many: &[u8], few: &[u8]) -> [(&'static str, usize); 2] {
    let [many, few] = [("many", many), ("few", few)].map(|(size, file)| Scratch::with(&format!("{size}-{name}"), file));
    let node = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = node.local_addr().unwrap().to_string();
    let sync = |file: &Scratch| {
        let sync = Running::start("sync", &[&address, "--network", "simnet", "--json", "--out", file.path()]);
        // It dials when it has read the file.
        let _connection = node.accept().unwrap();
        peak(sync.id())
    };
    let listen = |file: &Scratch| peak(Running::listen(&["--network", "simnet", "--dag", file.path()]).0.id());
    [("sync", sync(&many).saturating_sub(sync(&few))), ("listen", listen(&many).saturating_sub(listen(&few)))]
}

#[test]
fn the_parents_of_blocks_in_a_file_take_little_memory() {
    let content = blocks_with_many_parents(2000);
    assert!(content.len() > 15_000_000, "{} bytes", content.len());
    for (name, grown) in growth("parents", &content, &blocks_with_many_parents(1)) {
        assert!(grown < 8 * MIB, "{name} needs {grown} bytes for a file of {} bytes", content.len());
    }
}

#[test]
fn a_block_in_a_file_needs_no_more_memory_than_the_help_says() {
    // A hash table of 2^15 entries is full at 28 672 blocks. With a few more, it has just doubled its size.
    const BLOCKS: usize = 29_000;
    let grown = growth("blocks", &chain(BLOCKS as u64), &chain(1));
    for ((name, grown), documented) in grown.into_iter().zip([120, 250]) {
        assert!(grown < BLOCKS * documented + MIB, "{name} needs {} bytes for each block", grown / BLOCKS);
    }
}
