//! Announcements: blocks at once, the rest in batches, and nothing that the remote has.

use crate::common::by_hand::{ByHand, by_hand, held_up, strangers};
use crate::common::{acquainted, builder, version};
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

/// What the remote is told until a marker that is queued now: the items of each `inv`.
fn announced_until_now(peer: &Peer, remote: &mut ByHand) -> Vec<Vec<Inventory>> {
    peer.queue_message(&FeeFilter { min_fee: 4711 }).unwrap();
    let mut invs = Vec::new();
    loop {
        match remote.read() {
            Message::Inv(inv) => invs.push(inv.items),
            Message::FeeFilter(FeeFilter { min_fee: 4711 }) => return invs,
            other => panic!("{other:?}"),
        }
    }
}

/// Announces as the remote, and waits until that has arrived.
fn remote_announces(end: &crate::common::End, remote: &mut ByHand, items: &[Inventory]) {
    let invs = |told: &crate::common::Told| told.messages.iter().filter(|told| matches!(told, Message::Inv(_))).count();
    let before = end.told.told(invs);
    remote.send(&Inv::from(items.to_vec()));
    end.told.wait("the remote's inv", |told| (invs(told) > before).then_some(()));
}

#[test]
fn blocks_go_out_at_once_in_an_inv_of_their_own_and_the_rest_waits() {
    let (end, mut remote) = by_hand(builder().trickle_interval(NEVER));
    end.peer.queue_inventories(&[tx(1), block(2), sync_block(3), block(4), block(2)]).unwrap();
    end.peer.queue_inventory(block(5)).unwrap();
    let announced = announced_until_now(&end.peer, &mut remote);
    assert_eq!(announced, [[block(2)], [block(4)], [block(5)]]);
    assert_eq!(end.peer.stats().inventory_queued, 2, "the transaction and the sync block");
}

#[test]
fn what_is_queued_between_two_ticks_goes_out_together_without_duplicates() {
    let (peer, listener, mut remote) = held_up(builder().trickle_interval(AT_ONCE));
    for number in 0..100 {
        peer.queue_inventory(tx(number)).unwrap();
        peer.queue_inventory(sync_block(number)).unwrap();
        peer.queue_inventories(&[tx(number), tx(number / 2)]).unwrap();
    }
    listener.gate.open();
    let expected: Vec<Inventory> = (0..100).flat_map(|number| [tx(number), sync_block(number)]).collect();
    assert_eq!(remote.read_as::<Inv>().items, expected);
    assert_eq!(announced_until_now(&peer, &mut remote), [[]; 0], "once");
}

#[test]
fn batches_have_at_most_a_thousand_items() {
    let (peer, listener, mut remote) = held_up(builder().trickle_interval(AT_ONCE));
    let items: Vec<Inventory> = (0..2500).map(tx).collect();
    peer.queue_inventories(&items).unwrap();
    listener.gate.open();
    for batch in items.chunks(1000) {
        assert_eq!(remote.read_as::<Inv>().items, batch);
    }
}

#[test]
fn what_the_remote_announced_is_not_announced_to_it() {
    let (end, mut remote) = by_hand(builder().trickle_interval(AT_ONCE));
    remote_announces(&end, &mut remote, &[block(1), tx(2), sync_block(3)]);
    end.peer.queue_inventories(&[tx(2), sync_block(3), tx(4)]).unwrap();
    assert_eq!(remote.read_as::<Inv>().items, [tx(4)]);
    end.peer.queue_inventories(&[block(1), block(2)]).unwrap();
    assert_eq!(announced_until_now(&end.peer, &mut remote), [[block(2)]], "the same hash as a tx is another item");
}

#[test]
fn what_was_announced_is_not_announced_again() {
    let (end, mut remote) = by_hand(builder().trickle_interval(AT_ONCE));
    for number in [1, 2, 1, 2, 3] {
        end.peer.queue_inventory(block(number)).unwrap();
    }
    assert_eq!(announced_until_now(&end.peer, &mut remote), [[block(1)], [block(2)], [block(3)]]);
    end.peer.queue_inventory(tx(1)).unwrap();
    assert_eq!(remote.read_as::<Inv>().items, [tx(1)]);
    end.peer.queue_inventories(&[tx(1), tx(2)]).unwrap();
    assert_eq!(remote.read_as::<Inv>().items, [tx(2)]);
}

#[test]
fn what_became_known_while_it_waited_is_skipped() {
    let (peer, listener, mut remote) = held_up(builder().trickle_interval(AT_ONCE));
    peer.queue_inventories(&[tx(1), tx(2), tx(3)]).unwrap();
    remote.send(&Inv::from(vec![tx(2)]));
    listener.told.wait_for::<Inv>();
    listener.gate.open();
    assert_eq!(remote.read_as::<Inv>().items, [tx(1), tx(3)]);
}

#[test]
fn a_whole_batch_that_became_known_is_not_sent_at_all() {
    let (peer, listener, mut remote) = held_up(builder().trickle_interval(AT_ONCE));
    peer.queue_inventories(&[tx(1), tx(2)]).unwrap();
    remote.send(&Inv::from(vec![tx(2), tx(1)]));
    listener.told.wait_for::<Inv>();
    listener.gate.open();
    crate::common::wait_until("the queue is looked at", || peer.stats().inventory_queued == 0);
    peer.queue_inventory(tx(3)).unwrap();
    assert_eq!(remote.read_as::<Inv>().items, [tx(3)]);
}

#[test]
fn with_a_known_set_of_none_everything_is_announced() {
    let (peer, listener, mut remote) = held_up(builder().trickle_interval(AT_ONCE).known_inventory(0));
    remote.send(&Inv::from(vec![tx(1), block(1)]));
    listener.told.wait_for::<Inv>();
    peer.queue_inventories(&[tx(1), tx(1)]).unwrap();
    listener.gate.open();
    assert_eq!(remote.read_as::<Inv>().items, [tx(1), tx(1)]);
    peer.queue_inventories(&[block(1), block(1)]).unwrap();
    assert_eq!(announced_until_now(&peer, &mut remote), [[block(1)], [block(1)]]);
    assert_eq!(peer.stats().inventory_known, 0);
}

#[test]
fn the_least_recently_announced_is_forgotten_first() {
    let (end, mut remote) = by_hand(builder().known_inventory(3));
    let announce = |numbers: &[u32]| {
        let items: Vec<Inventory> = numbers.iter().copied().map(block).collect();
        end.peer.queue_inventories(&items).unwrap();
    };
    announce(&[1, 2, 3, 4, 4, 2, 3]);
    assert_eq!(announced_until_now(&end.peer, &mut remote), [[block(1)], [block(2)], [block(3)], [block(4)]]);
    assert_eq!(end.peer.stats().inventory_known, 3);
    announce(&[1]);
    assert_eq!(announced_until_now(&end.peer, &mut remote), [[block(1)]], "was forgotten for 4");
    // 3, 4 and 1 are known; now 3 is the newest, and 4 is forgotten next.
    remote_announces(&end, &mut remote, &[block(3)]);
    announce(&[5, 3, 1, 4]);
    assert_eq!(announced_until_now(&end.peer, &mut remote), [[block(5)], [block(4)]]);
}

#[test]
fn before_the_handshake_announcements_are_dropped() {
    for direction in [Direction::Inbound, Direction::Outbound] {
        let (end, mut remote) = strangers(builder().trickle_interval(AT_ONCE), direction, None);
        end.peer.queue_inventories(&[block(1), tx(1)]).unwrap();
        assert_eq!(end.peer.stats().inventory_queued, 0);
        remote.shake_hands(&version());
        end.peer.wait_for_handshake().unwrap();
        assert_eq!(announced_until_now(&end.peer, &mut remote), [[]; 0]);
        end.peer.queue_inventory(tx(1)).unwrap();
        assert_eq!(remote.read_as::<Inv>().items, [tx(1)], "what was dropped is not known");
    }
}

#[test]
fn after_the_end_announcements_are_refused() {
    let (end, _remote) = by_hand(builder());
    end.peer.disconnect();
    let closed = Err(QueueError::Closed(DisconnectReason::Local));
    assert_eq!(end.peer.queue_inventory(tx(1)), closed);
    assert_eq!(end.peer.queue_inventory(block(1)), closed);
    assert_eq!(end.peer.queue_inventories(&[]), closed);
}

#[test]
fn of_a_list_that_does_not_fit_nothing_is_taken() {
    let (end, mut remote) = by_hand(builder().trickle_interval(NEVER).inventory_queue(10));
    let items = |numbers: std::ops::Range<u32>| numbers.map(tx).collect::<Vec<_>>();
    end.peer.queue_inventories(&items(0..8)).unwrap();
    let full = Err(QueueError::InventoryFull { queued: 8, limit: 10 });
    assert_eq!(end.peer.queue_inventories(&items(8..11)), full);
    let with_block = [items(8..11), vec![block(1)]].concat();
    assert_eq!(end.peer.queue_inventories(&with_block), full);
    assert_eq!(end.peer.stats().inventory_queued, 8);
    assert_eq!(announced_until_now(&end.peer, &mut remote), [[]; 0], "not the block either");
    end.peer.queue_inventories(&items(8..10)).unwrap();
    assert_eq!(end.peer.queue_inventory(tx(10)), Err(QueueError::InventoryFull { queued: 10, limit: 10 }));
    end.peer.queue_inventory(block(1)).unwrap();
    assert_eq!(announced_until_now(&end.peer, &mut remote), [[block(1)]], "blocks need no room there");
}

#[test]
fn a_hundred_thousand_items_arrive_completely_and_in_order() {
    let (outbound, inbound) = acquainted(builder().known_inventory(0), builder());
    let items: Vec<Inventory> = (0..100_000).map(tx).collect();
    for part in items.chunks(7777) {
        outbound.peer.queue_inventories(part).unwrap();
    }
    inbound.told.wait_for_count(Command::Inv, 100);
    crate::common::wait_until("everything is announced", || outbound.peer.stats().inventory_queued == 0);
    outbound.peer.queue_message(&FeeFilter { min_fee: 0 }).unwrap();
    inbound.told.wait_for::<FeeFilter>();
    let announced: Vec<Inventory> = inbound.told.told(|told| {
        let invs = told.messages.iter().filter_map(|message| Inv::try_from(message.clone()).ok());
        invs.inspect(|inv| assert!(inv.items.len() <= 1000)).flat_map(|inv| inv.items).collect()
    });
    assert_eq!(announced.len(), items.len());
    assert!(announced == items);
}

#[test]
fn a_flood_of_announcements_does_not_hold_up_messages() {
    let (peer, listener, mut remote) = held_up(builder().trickle_interval(AT_ONCE));
    let items: Vec<Inventory> = (0..100_000).map(tx).collect();
    peer.queue_inventories(&items).unwrap();
    peer.queue_message(&FeeFilter { min_fee: 1 }).unwrap();
    // The tick is due before the writer looks.
    std::thread::sleep(10 * AT_ONCE);
    listener.gate.open();
    let mut before = 0;
    while let Message::Inv(inv) = remote.read() {
        before += inv.items.len();
    }
    assert!(before < 10_000, "{before} items came first");
    while before < items.len() {
        before += remote.read_as::<Inv>().items.len();
    }
}
