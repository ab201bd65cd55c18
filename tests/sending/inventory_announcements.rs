//! Announcements of inventory: blocks are sent at once, everything else in batches, and nothing that the remote already
//! knows.

use crate::common::blocking::peer_with_blocked_writer;
use crate::common::local::{Local, connected_pair, connected_peer, new_peer};
use crate::common::recorder::Record;
use crate::common::{builder, wait_until};
use kaspa_peer::testing::ScriptedRemote;
use kaspa_peer::wire::{Command, FeeFilter, Hash, Inv, Inventory, Message};
use kaspa_peer::{Direction, DisconnectReason, Peer, QueueError};
use std::time::Duration;

const NEVER: Duration = Duration::from_secs(3600);
const AT_ONCE: Duration = Duration::from_millis(1);

fn hash(number: u32) -> Hash {
    Hash::of(&number.to_le_bytes())
}

fn block(number: u32) -> Inventory {
    Inventory::block(hash(number))
}

fn tx(number: u32) -> Inventory {
    Inventory::tx(hash(number))
}

fn sync_block(number: u32) -> Inventory {
    Inventory::sync_block(hash(number))
}

/// The items of each `inv` that the remote receives before a marker that is queued now.
fn announced_before_marker(peer: &Peer, remote: &mut ScriptedRemote) -> Vec<Vec<Inventory>> {
    peer.queue_message(&FeeFilter { min_fee: 4711 }).unwrap();
    let mut invs = Vec::new();
    loop {
        match remote.next_message().unwrap() {
            Message::Inv(inv) => invs.push(inv.items),
            Message::FeeFilter(FeeFilter { min_fee: 4711 }) => return invs,
            other => panic!("{other:?}"),
        }
    }
}

/// Announces items from the remote, and waits until the peer has read the announcement.
fn remote_announces(local: &Local, remote: &mut ScriptedRemote, items: &[Inventory]) {
    let invs = |record: &Record| record.messages.iter().filter(|message| matches!(message, Message::Inv(_))).count();
    let before = local.recorder.look(invs);
    remote.send(&Inv::from(items.to_vec())).unwrap();
    local.recorder.wait("the remote's inv", |record| (invs(record) > before).then_some(()));
}

#[test]
fn a_block_is_announced_at_once_in_an_inv_of_its_own_and_other_items_wait() {
    let (local, mut remote) = connected_peer(builder().trickle_interval(NEVER));
    local.peer.queue_inventories(&[tx(1), block(2), sync_block(3), block(4), block(2)]).unwrap();
    local.peer.queue_inventory(block(5)).unwrap();
    let announced = announced_before_marker(&local.peer, &mut remote);
    assert_eq!(announced, [[block(2)], [block(4)], [block(5)]]);
    assert_eq!(local.peer.stats().inventory_queued, 2, "the transaction and the sync block");
}

#[test]
fn items_queued_within_one_interval_are_sent_together_without_duplicates() {
    let (peer, listener, mut remote) = peer_with_blocked_writer(builder().trickle_interval(AT_ONCE));
    for number in 0..100 {
        peer.queue_inventory(tx(number)).unwrap();
        peer.queue_inventory(sync_block(number)).unwrap();
        peer.queue_inventories(&[tx(number), tx(number / 2)]).unwrap();
    }
    listener.gate.open();
    let expected: Vec<Inventory> = (0..100).flat_map(|number| [tx(number), sync_block(number)]).collect();
    assert_eq!(remote.expect::<Inv>().unwrap().items, expected);
    assert_eq!(announced_before_marker(&peer, &mut remote), [[]; 0], "once");
}

#[test]
fn batches_have_at_most_a_thousand_items() {
    let (peer, listener, mut remote) = peer_with_blocked_writer(builder().trickle_interval(AT_ONCE));
    let items: Vec<Inventory> = (0..2500).map(tx).collect();
    peer.queue_inventories(&items).unwrap();
    listener.gate.open();
    for batch in items.chunks(1000) {
        assert_eq!(remote.expect::<Inv>().unwrap().items, batch);
    }
}

#[test]
fn items_that_the_remote_announced_are_not_announced_to_it() {
    let (local, mut remote) = connected_peer(builder().trickle_interval(AT_ONCE));
    remote_announces(&local, &mut remote, &[block(1), tx(2), sync_block(3)]);
    local.peer.queue_inventories(&[tx(2), sync_block(3), tx(4)]).unwrap();
    assert_eq!(remote.expect::<Inv>().unwrap().items, [tx(4)]);
    local.peer.queue_inventories(&[block(1), block(2)]).unwrap();
    assert_eq!(
        announced_before_marker(&local.peer, &mut remote),
        [[block(2)]],
        "the same hash as a tx is another item"
    );
}

#[test]
fn items_that_the_program_adds_to_the_known_inventory_are_not_announced() {
    let (local, mut remote) = connected_peer(builder().trickle_interval(AT_ONCE));
    [block(1), tx(2)].into_iter().for_each(|item| local.peer.add_known_inventory(item));
    local.peer.queue_inventories(&[block(1), block(3)]).unwrap();
    assert_eq!(announced_before_marker(&local.peer, &mut remote), [[block(3)]]);
    local.peer.queue_inventories(&[tx(2), tx(4)]).unwrap();
    assert_eq!(remote.expect::<Inv>().unwrap().items, [tx(4)]);
}

#[test]
fn items_are_not_announced_twice() {
    let (local, mut remote) = connected_peer(builder().trickle_interval(AT_ONCE));
    for number in [1, 2, 1, 2, 3] {
        local.peer.queue_inventory(block(number)).unwrap();
    }
    assert_eq!(announced_before_marker(&local.peer, &mut remote), [[block(1)], [block(2)], [block(3)]]);
    local.peer.queue_inventory(tx(1)).unwrap();
    assert_eq!(remote.expect::<Inv>().unwrap().items, [tx(1)]);
    local.peer.queue_inventories(&[tx(1), tx(2)]).unwrap();
    assert_eq!(remote.expect::<Inv>().unwrap().items, [tx(2)]);
}

#[test]
fn items_that_become_known_while_they_wait_are_skipped() {
    let (peer, listener, mut remote) = peer_with_blocked_writer(builder().trickle_interval(AT_ONCE));
    peer.queue_inventories(&[tx(1), tx(2), tx(3)]).unwrap();
    remote.send(&Inv::from(vec![tx(2)])).unwrap();
    listener.recorder.wait_for::<Inv>();
    listener.gate.open();
    assert_eq!(remote.expect::<Inv>().unwrap().items, [tx(1), tx(3)]);
}

#[test]
fn a_batch_of_only_known_items_is_not_sent() {
    let (peer, listener, mut remote) = peer_with_blocked_writer(builder().trickle_interval(AT_ONCE));
    peer.queue_inventories(&[tx(1), tx(2)]).unwrap();
    remote.send(&Inv::from(vec![tx(2), tx(1)])).unwrap();
    listener.recorder.wait_for::<Inv>();
    listener.gate.open();
    wait_until("the batch is taken", || peer.stats().inventory_queued == 0);
    peer.queue_inventory(tx(3)).unwrap();
    assert_eq!(remote.expect::<Inv>().unwrap().items, [tx(3)]);
}

#[test]
fn with_a_known_inventory_of_zero_every_item_is_announced() {
    let (peer, listener, mut remote) = peer_with_blocked_writer(builder().trickle_interval(AT_ONCE).known_inventory(0));
    remote.send(&Inv::from(vec![tx(1), block(1)])).unwrap();
    listener.recorder.wait_for::<Inv>();
    peer.queue_inventories(&[tx(1), tx(1)]).unwrap();
    listener.gate.open();
    assert_eq!(remote.expect::<Inv>().unwrap().items, [tx(1), tx(1)]);
    peer.queue_inventories(&[block(1), block(1)]).unwrap();
    assert_eq!(announced_before_marker(&peer, &mut remote), [[block(1)], [block(1)]]);
    assert_eq!(peer.stats().inventory_known, 0);
}

#[test]
fn the_least_recently_announced_is_forgotten_first() {
    let (local, mut remote) = connected_peer(builder().known_inventory(3));
    let announce = |numbers: &[u32]| {
        let items: Vec<Inventory> = numbers.iter().copied().map(block).collect();
        local.peer.queue_inventories(&items).unwrap();
    };
    announce(&[1, 2, 3, 4, 4, 2, 3]);
    assert_eq!(announced_before_marker(&local.peer, &mut remote), [[block(1)], [block(2)], [block(3)], [block(4)]]);
    assert_eq!(local.peer.stats().inventory_known, 3);
    announce(&[1]);
    assert_eq!(announced_before_marker(&local.peer, &mut remote), [[block(1)]], "1 was forgotten when 4 was announced");
    // 3, 4 and 1 are known. Now 3 becomes the newest, and 4 is forgotten next.
    remote_announces(&local, &mut remote, &[block(3)]);
    announce(&[5, 3, 1, 4]);
    assert_eq!(announced_before_marker(&local.peer, &mut remote), [[block(5)], [block(4)]]);
}

#[test]
fn before_the_handshake_announcements_are_dropped() {
    for direction in [Direction::Inbound, Direction::Outbound] {
        let (local, mut remote) = new_peer(direction, builder().trickle_interval(AT_ONCE));
        local.peer.queue_inventories(&[block(1), tx(1)]).unwrap();
        assert_eq!(local.peer.stats().inventory_queued, 0);
        remote.shake_hands().unwrap();
        local.peer.wait_for_handshake().unwrap();
        assert_eq!(announced_before_marker(&local.peer, &mut remote), [[]; 0]);
        local.peer.queue_inventory(tx(1)).unwrap();
        assert_eq!(remote.expect::<Inv>().unwrap().items, [tx(1)], "the dropped item is not known");
    }
}

#[test]
fn after_the_end_announcements_are_refused() {
    let (local, _remote) = connected_peer(builder());
    local.peer.disconnect();
    let closed = Err(QueueError::Closed(DisconnectReason::Local));
    assert_eq!(local.peer.queue_inventory(tx(1)), closed);
    assert_eq!(local.peer.queue_inventory(block(1)), closed);
    assert_eq!(local.peer.queue_inventories(&[]), closed);
}

#[test]
fn a_list_that_does_not_fit_is_refused_as_a_whole() {
    let (local, mut remote) = connected_peer(builder().trickle_interval(NEVER).inventory_queue(10));
    let items = |numbers: std::ops::Range<u32>| numbers.map(tx).collect::<Vec<_>>();
    local.peer.queue_inventories(&items(0..8)).unwrap();
    let full = Err(QueueError::InventoryFull { queued: 8, limit: 10 });
    assert_eq!(local.peer.queue_inventories(&items(8..11)), full);
    let with_block = [items(8..11), vec![block(1)]].concat();
    assert_eq!(local.peer.queue_inventories(&with_block), full);
    assert_eq!(local.peer.stats().inventory_queued, 8);
    assert_eq!(announced_before_marker(&local.peer, &mut remote), [[]; 0], "not the block either");
    local.peer.queue_inventories(&items(8..10)).unwrap();
    assert_eq!(local.peer.queue_inventory(tx(10)), Err(QueueError::InventoryFull { queued: 10, limit: 10 }));
    local.peer.queue_inventory(block(1)).unwrap();
    assert_eq!(announced_before_marker(&local.peer, &mut remote), [[block(1)]], "blocks do not wait in that queue");
}

#[test]
fn a_hundred_thousand_items_arrive_completely_and_in_order() {
    let (outbound, inbound) = connected_pair(builder().known_inventory(0), builder());
    let items: Vec<Inventory> = (0..100_000).map(tx).collect();
    for part in items.chunks(7777) {
        outbound.peer.queue_inventories(part).unwrap();
    }
    inbound.recorder.wait_for_count(Command::Inv, 100);
    wait_until("everything is announced", || outbound.peer.stats().inventory_queued == 0);
    outbound.peer.queue_message(&FeeFilter { min_fee: 0 }).unwrap();
    inbound.recorder.wait_for::<FeeFilter>();
    let announced: Vec<Inventory> = inbound.recorder.look(|record| {
        let invs = record.messages.iter().filter_map(|message| Inv::try_from(message.clone()).ok());
        invs.inspect(|inv| assert!(inv.items.len() <= 1000)).flat_map(|inv| inv.items).collect()
    });
    assert_eq!(announced.len(), items.len());
    assert!(announced == items);
}

#[test]
fn many_announcements_do_not_delay_messages() {
    let (peer, listener, mut remote) = peer_with_blocked_writer(builder().trickle_interval(AT_ONCE));
    let items: Vec<Inventory> = (0..100_000).map(tx).collect();
    peer.queue_inventories(&items).unwrap();
    peer.queue_message(&FeeFilter { min_fee: 1 }).unwrap();
    // The trickle interval has passed before the writer continues.
    std::thread::sleep(10 * AT_ONCE);
    listener.gate.open();
    let mut before = 0;
    while let Message::Inv(inv) = remote.next_message().unwrap() {
        before += inv.items.len();
    }
    assert!(before < 10_000, "{before} items were announced before the message");
    while before < items.len() {
        before += remote.expect::<Inv>().unwrap().items.len();
    }
}
