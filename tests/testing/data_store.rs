//! The listener that serves blocks and transactions.

use kaspa_peer::testing::{DataStore, End, connect_remote};
use kaspa_peer::wire::{
    Block, BlockHeader, GetData, Hash, Inventory, InventoryType, Message, Network, NotFound, Transaction, TxFields,
    TxOutput,
};
use kaspa_peer::{Config, Direction, Inbox};
use std::time::Duration;

fn transaction(script: usize) -> Transaction {
    let outputs = vec![TxOutput { value: 1, script: vec![7; script] }];
    Transaction::new(&TxFields { version: 1, outputs, ..TxFields::default() }).unwrap()
}

#[test]
fn requests_are_answered_in_order_and_what_is_missing_last() {
    let store = DataStore::new();
    let block = Block::new(BlockHeader::default(), &[transaction(1)]).unwrap();
    store.add_block(block.clone());
    store.add_transaction(transaction(2));
    let inbox = Inbox::beside(store.clone());
    let config = Config::builder(Network::Simnet).listener(inbox.clone()).build().unwrap();
    let (_peer, mut remote) = connect_remote(Direction::Inbound, &config).unwrap();
    remote.shake_hands().unwrap();
    let unknown = Inventory::block(Hash::of(b"unknown"));
    // A transaction is not found under the type of a block, and no block is filtered.
    let wrong = Inventory::block(transaction(2).id());
    let filtered = Inventory::new(InventoryType::FILTERED_BLOCK, block.hash());
    let items = vec![
        unknown,
        Inventory::tx(transaction(2).id()),
        wrong,
        Inventory::block(block.hash()),
        Inventory::sync_block(block.hash()),
        filtered,
    ];
    let request = GetData::from(items.clone());
    remote.send(&request).unwrap();
    assert_eq!(remote.expect::<Transaction>().unwrap(), transaction(2));
    assert_eq!(remote.expect::<Block>().unwrap(), block);
    assert_eq!(remote.expect::<Block>().unwrap(), block);
    assert_eq!(remote.expect::<NotFound>().unwrap().items, [unknown, wrong, filtered]);
    assert_eq!(remote.sync_with_ping().unwrap(), []);
    assert_eq!(store.requests(), items);
    assert_eq!(inbox.wait_for::<GetData>(Duration::from_secs(20)).unwrap(), request);
}

#[test]
fn a_peer_that_asks_for_more_than_its_queue_holds_is_disconnected() {
    let store = DataStore::new();
    let large = transaction(10_000);
    store.add_transaction(large.clone());
    let config = Config::builder(Network::Simnet)
        .queue_limit(100_000)
        .high_water_mark(100_000)
        .listener(store.clone())
        .build()
        .unwrap();
    let (peer, mut remote) = connect_remote(Direction::Inbound, &config).unwrap();
    remote.shake_hands().unwrap();
    remote.send(&GetData::from(vec![Inventory::tx(large.id()); 1000])).unwrap();
    peer.wait_for_disconnect_timeout(Duration::from_secs(20)).unwrap();
    let received = remote.read_until_end().unwrap();
    assert!(received.len() < 1000 && received.iter().all(|message| *message == Message::from(large.clone())));
    assert!(matches!(remote.expect_end().unwrap(), End::Closed | End::InsideFrame { .. }));
    assert!(store.requests().len() < 1000);
}
