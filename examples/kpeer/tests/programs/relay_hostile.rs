//! `kpeer relay`, with peers that keep items from the others.

use crate::relay::{announce, before_pong, block, connect, expect_request, relay, tx};
use crate::support::running::Played;
use kaspa_peer::wire::*;
use std::io::Write;

/// The fields of a transaction that decodes in one subnetwork and does not encode in another, see [`refused`].
fn with_gas(lock_time: u64) -> Transaction {
    let subnetwork = SubnetworkId::from_bytes([9; 20]);
    let (payload_hash, payload) = (Some(Hash::ZERO), Some(Vec::new()));
    Transaction::new(&TxFields { lock_time, subnetwork, gas: 1, payload_hash, payload, ..TxFields::default() }).unwrap()
}

/// A frame that decodes, and whose message does not encode: a coinbase transaction with gas.
fn refused(command: Command, mut payload: Vec<u8>) -> Frame {
    let at = payload.windows(20).position(|bytes| bytes == [9; 20]).unwrap();
    payload[at..at + 20].copy_from_slice(SubnetworkId::COINBASE.as_bytes());
    Frame::raw(command, &payload, Network::Simnet).unwrap()
}

fn refused_tx(lock_time: u64) -> (Inventory, Frame) {
    let frame = refused(Command::Tx, with_gas(lock_time).into_bytes());
    let tx = Transaction::try_from(frame.decode().unwrap()).unwrap();
    assert!(Frame::encode(&tx, Network::Simnet).is_err());
    (Inventory::tx(tx.id()), frame)
}

/// A block that does not encode, with the hash of [`block`].
fn refused_block() -> Frame {
    let block = Block::new(BlockHeader::default(), [&with_gas(0)]).unwrap();
    refused(Command::Block, block.into_bytes())
}

fn send_frame(node: &mut Played, frame: &Frame) {
    node.stream.write_all(frame.as_bytes()).unwrap();
}

#[test]
fn a_peer_whose_items_arrive_unusable_gets_notfound_each_time() {
    let (_relay, address) = relay();
    let (mut asker, mut other) = (connect(&address), connect(&address));
    // More than the relay fetches for one peer at a time.
    for number in 0..120 {
        let (item, frame) = refused_tx(number);
        asker.send(&GetData::from(vec![item]));
        expect_request(&mut other, item);
        send_frame(&mut other, &frame);
        assert_eq!(asker.expect::<NotFound>().items, [item]);
    }
    let (item, tx) = tx(1);
    asker.send(&GetData::from(vec![item]));
    expect_request(&mut other, item);
    other.send(&tx);
    assert_eq!(asker.expect::<Transaction>(), tx);
}

#[test]
fn an_item_that_arrives_unusable_is_fetched_from_the_next_source() {
    let (_relay, address) = relay();
    let (mut first, mut second, mut asker) = (connect(&address), connect(&address), connect(&address));
    let (item, block) = block(10);
    announce(&mut first, &[item]);
    expect_request(&mut first, item);
    announce(&mut second, &[item]);
    assert_eq!(before_pong(&mut second), []);
    asker.send(&GetData::from(vec![item]));
    assert_eq!(before_pong(&mut asker), []);
    send_frame(&mut first, &refused_block());
    expect_request(&mut second, item);
    second.send(&block);
    assert_eq!(asker.expect::<Block>(), block);
}

#[test]
fn an_item_from_a_peer_that_was_not_asked_is_ignored() {
    let (_relay, address) = relay();
    let (mut asker, mut owner) = (connect(&address), connect(&address));
    let (item, block) = block(10);
    // All these blocks have the same hash.
    let (_, other_block) = self::block(11);
    asker.send(&GetData::from(vec![item]));
    expect_request(&mut owner, item);
    let mut attacker = connect(&address);
    for announced in [false, true] {
        if announced {
            announce(&mut attacker, &[item]);
        }
        send_frame(&mut attacker, &refused_block());
        attacker.send(&other_block);
        assert_eq!(before_pong(&mut attacker), []);
    }
    owner.send(&block);
    assert_eq!(asker.expect::<Block>(), block);
}

/// A transaction of this length.
fn large_tx(length: usize) -> Transaction {
    let make = |bytes| {
        let outputs = vec![TxOutput { value: 1, script: vec![0x51; bytes] }];
        Transaction::new(&TxFields { version: 1, outputs, ..TxFields::default() }).unwrap()
    };
    let rest = make(length / 2).encoded_len() - length / 2;
    make(length - rest)
}

/// A block of this length.
fn large_block(length: usize) -> Block {
    let rest = block(length / 2).1.encoded_len() - length / 2;
    block(length - rest).1
}

/// Whether the relay disconnects a node that sends this.
fn is_refused(address: &str, message: &impl Encode) -> bool {
    let mut node = connect(address);
    node.send(message);
    node.send(&Ping { nonce: 8 });
    loop {
        match node.next() {
            Some(Message::Pong(_)) => return false,
            Some(_) => {}
            None => return true,
        }
    }
}

#[test]
fn the_relay_takes_transactions_of_five_mebibytes_and_blocks_of_ten() {
    const MIB: usize = 1 << 20;
    let (_relay, address) = relay();
    let (tx, block) = (large_tx(5 * MIB), large_block(10 * MIB));
    assert_eq!((tx.encoded_len(), block.encoded_len()), (5 * MIB, 10 * MIB));
    let (mut owner, mut other) = (connect(&address), connect(&address));
    for item in [Inventory::tx(tx.id()), Inventory::block(block.hash())] {
        announce(&mut owner, &[item]);
        expect_request(&mut owner, item);
    }
    owner.send(&tx);
    owner.send(&block);
    assert_eq!(before_pong(&mut owner), []);
    other.send(&GetData::from(vec![Inventory::tx(tx.id()), Inventory::block(block.hash())]));
    assert_eq!((other.expect::<Transaction>(), other.expect::<Block>()), (tx, block));

    assert!(is_refused(&address, &large_tx(5 * MIB + 1)));
    assert!(is_refused(&address, &large_block(10 * MIB + 1)));
}
