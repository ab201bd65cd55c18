//! A recorded session between two nodes of the original implementation: reading it in any pieces, writing it back, and
//! its consistency.

use kaspa_peer::wire::{
    Command, Encode, FrameDecoder, Hash, Inventory, InventoryType, Message, MessageReader, Network, SubnetworkId,
    read_message, write_message,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, HashSet};
use std::{fs, path::Path};

fn capture(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures").join(name)).unwrap()
}

fn from_node() -> Vec<u8> {
    capture("sync-from-node.bin")
}

fn to_node() -> Vec<u8> {
    capture("sync-to-node.bin")
}

fn read(bytes: &[u8]) -> Vec<Message> {
    MessageReader::new(bytes, Network::Simnet).collect::<Result<_, _>>().unwrap()
}

/// The messages of a stream that is fed in pieces of these sizes.
fn fed(bytes: &[u8], sizes: impl IntoIterator<Item = usize>) -> Vec<Message> {
    let mut decoder = FrameDecoder::new(Network::Simnet);
    let (mut messages, mut rest, mut sizes) = (Vec::new(), bytes, sizes.into_iter());
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(sizes.next().unwrap().min(rest.len()));
        decoder.feed(piece);
        while let Some(frame) = decoder.next_frame().unwrap() {
            messages.push(frame.decode().unwrap());
        }
        rest = behind;
    }
    decoder.finish().unwrap();
    assert!(!decoder.is_mid_frame());
    messages
}

fn counts(messages: &[Message]) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    for message in messages {
        let known = Command::ALL.iter().find(|command| **command == message.command()).unwrap();
        *counts.entry(known.name()).or_insert(0) += 1;
    }
    counts
}

#[test]
fn the_session_has_the_messages_of_a_sync() {
    let (from, to) = (read(&from_node()), read(&to_node()));
    let expected = [("version", 1), ("verack", 1), ("locator", 4), ("inv", 1), ("block", 299)];
    assert_eq!(counts(&from), BTreeMap::from(expected));
    let expected = [("version", 1), ("verack", 1), ("getlocator", 4), ("getblockinvs", 1), ("getdata", 6)];
    assert_eq!(counts(&to), BTreeMap::from(expected));
    for side in [&from, &to] {
        let Message::Version(version) = &side[0] else { panic!("{:?}", side[0]) };
        assert_eq!(version.user_agent.to_str(), Some("/kaspad:0.1.1/kaspad:0.1.1/"));
        assert_eq!(version.protocol_version, 1);
        assert_eq!(version.subnetwork, None);
        assert!(version.relay_transactions);
    }
}

#[test]
fn pieces_of_any_size_give_the_same_messages() {
    for bytes in [from_node(), to_node()] {
        let whole = read(&bytes);
        for size in [1, 2, 3, 7, 23, 24, 25, 101, 997, 4_093, 4_096, 65_537, usize::MAX] {
            assert_eq!(fed(&bytes, std::iter::repeat(size)), whole, "in pieces of {size}");
        }
        let mut source = bytes.as_slice();
        let one_by_one: Vec<Message> =
            whole.iter().map(|_| read_message(&mut source, Network::Simnet).unwrap()).collect();
        assert_eq!(one_by_one, whole);
        assert!(source.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pieces_of_random_sizes_give_the_same_messages(sizes in prop::collection::vec(1usize..3_000, 1..50)) {
        let bytes = to_node();
        prop_assert_eq!(fed(&bytes, sizes.iter().copied().cycle()), read(&bytes));
        let bytes = from_node();
        prop_assert_eq!(fed(&bytes, sizes.iter().copied().cycle()), read(&bytes));
    }
}

#[test]
fn messages_are_written_back_byte_for_byte() {
    for bytes in [from_node(), to_node()] {
        let (mut written, mut again) = (Vec::new(), Vec::new());
        for message in read(&bytes) {
            write_message(&mut written, &message, Network::Simnet).unwrap();
            match &message {
                Message::Block(block) => write_message(&mut again, &block.to_fields(), Network::Simnet).unwrap(),
                other => write_message(&mut again, other, Network::Simnet).unwrap(),
            }
        }
        assert!(written == bytes, "the written bytes differ from those that were read");
        assert!(again == bytes, "blocks built from their fields differ from those that were read");
    }
}

/// The hashes and the parents of the blocks that the node sent, in order.
fn blocks() -> Vec<(Hash, Vec<Hash>)> {
    let blocks = read(&from_node()).into_iter().filter_map(|message| match message {
        Message::Block(block) => Some((block.hash(), block.header().parents.clone())),
        _ => None,
    });
    blocks.collect()
}

fn items(messages: &[Message]) -> Vec<Inventory> {
    let items = messages.iter().filter_map(|message| match message {
        Message::Inv(inv) => Some(&inv.items),
        Message::GetData(getdata) => Some(&getdata.items),
        _ => None,
    });
    items.flatten().copied().collect()
}

#[test]
fn the_blocks_are_those_that_were_announced_and_requested() {
    let delivered: Vec<Hash> = blocks().into_iter().map(|(hash, _)| hash).collect();
    let announced = items(&read(&from_node()));
    let wanted = items(&read(&to_node()));
    assert_eq!(delivered.len(), 299);
    assert_eq!(delivered.iter().collect::<HashSet<_>>().len(), 299, "a block was sent twice");
    for items in [&announced, &wanted] {
        assert!(items.iter().all(|item| item.kind == InventoryType::SYNC_BLOCK));
    }
    assert_eq!(wanted.iter().map(|item| item.hash).collect::<Vec<_>>(), delivered);
    assert_eq!(announced, wanted);
    for message in read(&to_node()) {
        if let Message::GetData(getdata) = message {
            assert!(getdata.items.len() <= 50, "{} at a time", getdata.items.len());
        }
    }
}

#[test]
fn parents_come_before_their_children_and_only_genesis_is_missing() {
    let mut known = HashSet::new();
    let mut missing = HashSet::new();
    for (hash, parents) in blocks() {
        assert!(!parents.is_empty(), "{hash} has no parents");
        missing.extend(parents.iter().filter(|parent| !known.contains(*parent)).copied());
        known.insert(hash);
    }
    assert!(missing.is_disjoint(&known), "a parent follows its child");
    // Both nodes have the genesis block of simnet.
    let genesis = genesis();
    assert_eq!(missing, HashSet::from([genesis]));
    let low = read(&to_node()).into_iter().find_map(|message| match message {
        Message::GetBlockInvs(message) => Some(message.low),
        _ => None,
    });
    assert_eq!(low, Some(genesis), "the highest block known to both");
}

fn genesis() -> Hash {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/hashes.json");
    let vectors: serde_json::Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let rows = vectors["blocks"].as_array().unwrap();
    let row = rows.iter().find(|row| row["name"] == "genesis_simnet").unwrap();
    row["block_hash_display"].as_str().unwrap().parse().unwrap()
}

#[test]
fn the_download_ends_with_the_selected_tip_that_was_announced() {
    let messages = read(&from_node());
    let Message::Version(version) = &messages[0] else { panic!("no version") };
    let blocks = blocks();
    assert_eq!(blocks.last().map(|(hash, _)| *hash), Some(version.selected_tip));
    let requested: Vec<Hash> = read(&to_node())
        .into_iter()
        .filter_map(|message| match message {
            Message::GetLocator(message) => Some(message.high),
            _ => None,
        })
        .collect();
    assert_eq!(requested[0], version.selected_tip);
}

#[test]
fn each_block_begins_with_its_coinbase() {
    for message in read(&from_node()) {
        if let Message::Block(block) = message {
            let mut transactions = block.transactions();
            assert!(transactions.next().unwrap().is_coinbase());
            assert!(transactions.all(|tx| tx.subnetwork() == SubnetworkId::NATIVE));
        }
    }
}
