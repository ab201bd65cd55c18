//! `kpeer relay`, with nodes that the test plays.

use crate::support;
use crate::support::running::{Played, Running, run};
use kaspa_peer::wire::*;
use std::net::{Shutdown, TcpListener};

const SIMNET: [&str; 3] = ["--network", "simnet", "--json"];

pub fn relay() -> (Running, String) {
    let relay = Running::start("relay", &SIMNET);
    let address = relay.event("listening", |_| true)["address"].as_str().unwrap().to_owned();
    (relay, address)
}

/// A node whose handshake with the relay is done.
pub fn connect(address: &str) -> Played {
    let mut node = Played::dial(address, Network::Simnet);
    node.send(&support::version());
    node.expect::<VerAck>();
    node.send(&VerAck);
    assert_eq!(before_pong(&mut node), []);
    node
}

/// The messages that the relay sends until it has read everything that it was sent.
pub fn before_pong(node: &mut Played) -> Vec<Message> {
    node.send(&Ping { nonce: 7 });
    let mut before = Vec::new();
    loop {
        match node.next().expect("disconnected") {
            Message::Pong(Pong { nonce: 7 }) => return before,
            message => before.push(message),
        }
    }
}

pub fn announce(node: &mut Played, items: &[Inventory]) {
    node.send(&Inv::from(items.to_vec()));
}

pub fn expect_request(node: &mut Played, item: Inventory) {
    assert_eq!(node.expect::<GetData>().items, [item]);
}

/// Announces an item, and sends it once it is requested.
fn send_announced(node: &mut Played, item: Inventory, message: &impl Encode) {
    announce(node, &[item]);
    expect_request(node, item);
    node.send(message);
}

fn expect_announcement(node: &mut Played, item: Inventory) {
    assert_eq!(node.expect::<Inv>().items, [item]);
}

/// A transaction, and the item that announces it.
pub fn tx(lock_time: u64) -> (Inventory, Transaction) {
    let tx = Transaction::new(&TxFields { version: 1, lock_time, ..TxFields::default() }).unwrap();
    (Inventory::tx(tx.id()), tx)
}

/// A block with a script of this length, and the item that announces it.
pub fn block(bytes: usize) -> (Inventory, Block) {
    let outputs = vec![TxOutput { value: 1, script: vec![0x51; bytes] }];
    let tx = Transaction::new(&TxFields { version: 1, outputs, ..TxFields::default() }).unwrap();
    let block = Block::new(BlockHeader::default(), [&tx]).unwrap();
    (Inventory::block(block.hash()), block)
}

#[test]
fn an_item_that_one_peer_announces_is_announced_to_the_others_once() {
    let (_relay, address) = relay();
    let (mut owner, mut others) = (connect(&address), [connect(&address), connect(&address)]);
    let ((tx_item, tx), (block_item, block)) = (tx(1), block(10));

    announce(&mut owner, &[tx_item]);
    expect_request(&mut owner, tx_item);
    owner.send(&tx);
    send_announced(&mut owner, block_item, &block);
    for other in &mut others {
        let mut announced = [other.expect::<Inv>().items, other.expect::<Inv>().items].concat();
        // A block is announced at once, a transaction with others.
        announced.sort_by_key(|item| *item != tx_item);
        assert_eq!(announced, [tx_item, block_item]);
        other.send(&GetData::from(vec![tx_item, block_item]));
        assert_eq!(other.expect::<Transaction>(), tx);
        assert_eq!(other.expect::<Block>(), block);
    }

    // Another node announces and sends them again. Only the third item is new.
    let mut again = connect(&address);
    let (last, last_tx) = self::tx(2);
    again.send(&tx);
    announce(&mut again, &[tx_item, block_item, last]);
    expect_request(&mut again, last);
    again.send(&last_tx);
    // No node gets a second announcement of the first two, and their sender none at all.
    for node in others.iter_mut().chain([&mut owner]) {
        expect_announcement(node, last);
    }
}

/// Two nodes announce the same item. The first is asked for it, and does not send it.
fn fetched_from_the_second(item: Inventory, message: impl Encode, refuse: impl FnOnce(&mut Played, Inventory)) {
    let (_relay, address) = relay();
    let (mut first, mut second, mut third) = (connect(&address), connect(&address), connect(&address));
    announce(&mut first, &[item]);
    expect_request(&mut first, item);
    announce(&mut second, &[item, item]);
    assert_eq!(before_pong(&mut second), []);
    // A notfound of a node that was not asked changes nothing.
    third.send(&NotFound::from(vec![item]));
    for node in [&mut third, &mut first] {
        assert_eq!(before_pong(node), []);
    }
    refuse(&mut first, item);
    expect_request(&mut second, item);
    second.send(&message);
    expect_announcement(&mut third, item);
    assert_eq!(before_pong(&mut second), []);
}

#[test]
fn an_item_that_the_first_announcer_lacks_is_fetched_from_the_second() {
    let ((tx_item, tx), (block_item, block)) = (tx(1), block(10));
    let not_found = |first: &mut Played, item| first.send(&NotFound::from(vec![item]));
    fetched_from_the_second(tx_item, tx, not_found);
    fetched_from_the_second(block_item, block, not_found);
}

#[test]
fn an_item_of_an_announcer_that_disconnects_is_fetched_from_the_second() {
    let (item, block) = block(10);
    fetched_from_the_second(item, block, |first, _| first.stream.shutdown(Shutdown::Both).unwrap());
}

#[test]
fn an_item_that_no_announcer_had_can_be_announced_again() {
    let (_relay, address) = relay();
    let (mut first, mut second) = (connect(&address), connect(&address));
    let (item, _) = tx(1);
    for node in [&mut first, &mut second] {
        announce(node, &[item]);
        expect_request(node, item);
        node.send(&NotFound::from(vec![item]));
        assert_eq!(before_pong(node), []);
    }
    announce(&mut first, &[item]);
    expect_request(&mut first, item);
}

#[test]
fn a_dialled_node_is_a_peer_like_the_others() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let dialled = listener.local_addr().unwrap().to_string();
    let relay = Running::start("relay", &[&SIMNET[..], &["--connect", &dialled]].concat());
    let mut node = Played::accept(&listener, &support::version(), Network::Simnet);
    let connected = relay.event("connected", |_| true);
    assert_eq!((&connected["address"], &connected["direction"]), (&dialled.into(), &"outbound".into()));
    // kaspad disconnects after half a minute without an answer.
    node.send(&GetSelectedTip);
    assert_eq!(node.expect::<SelectedTip>().hash, Hash::ZERO);

    let address = relay.event("listening", |_| true)["address"].as_str().unwrap().to_owned();
    let mut other = connect(&address);
    let ((first, tx), (second, block)) = (tx(1), block(10));
    announce(&mut node, &[first]);
    expect_request(&mut node, first);
    node.send(&tx);
    expect_announcement(&mut other, first);
    announce(&mut other, &[second]);
    expect_request(&mut other, second);
    other.send(&block);
    expect_announcement(&mut node, second);
}

#[test]
fn a_peer_that_does_not_read_is_disconnected_and_the_others_are_served() {
    let (relay, address) = relay();
    let (mut owner, mut slow, mut other) = (connect(&address), connect(&address), connect(&address));
    let (item, block) = block(1_000_000);
    announce(&mut owner, &[item]);
    expect_request(&mut owner, item);
    owner.send(&block);
    expect_announcement(&mut other, item);
    // More than the sockets and the outbound queue hold.
    slow.send(&GetData::from(vec![item; 100]));
    let address_of_slow = slow.stream.local_addr().unwrap().to_string();
    let id = relay.event("connected", |event| event["address"] == *address_of_slow)["peer"].clone();
    let gone = relay.event("disconnected", |event| event["peer"] == id);
    assert!(gone["reason"].as_str().unwrap().contains("20s"), "{gone}");

    other.send(&GetData::from(vec![item]));
    assert_eq!(other.expect::<Block>(), block);
    let (next, tx) = tx(1);
    announce(&mut other, &[next]);
    expect_request(&mut other, next);
    other.send(&tx);
    expect_announcement(&mut owner, next);
    #[cfg(unix)]
    {
        relay.interrupt();
        let ended = relay.end();
        let status = ended.events("status").pop().unwrap();
        assert_eq!((&status["relayed"], &status["dropped"]), (&2.into(), &1.into()));
    }
}

#[cfg(unix)]
#[test]
fn a_signal_ends_the_relay_with_a_goodbye_and_a_last_status() {
    for json in [true, false] {
        let relay = Running::start("relay", if json { &SIMNET } else { &SIMNET[..2] });
        let address = relay.line("the address", |line| {
            let port = line.split("127.0.0.1:").nth(1)?.trim_end_matches(['"', '}']);
            Some(format!("127.0.0.1:{port}"))
        });
        let (mut owner, mut other) = (connect(&address), connect(&address));
        let (item, tx) = tx(1);
        announce(&mut owner, &[item]);
        expect_request(&mut owner, item);
        owner.send(&tx);
        expect_announcement(&mut other, item);
        // A stored item is not relayed again.
        other.send(&tx);
        assert_eq!(before_pong(&mut other), []);
        relay.interrupt();
        let ended = relay.end();
        assert_eq!((owner.next(), other.next()), (None, None));
        assert_eq!((ended.status, ended.err.as_str()), (0, ""), "{ended:#?}");
        let (goodbye, last) = match json {
            true => (r#"{"event":"goodbye"}"#, r#"{"event":"status","peers":0,"relayed":1,"dropped":0}"#),
            false => ("saying goodbye", "0 peers, 1 relayed, 0 slow ones dropped"),
        };
        let (at, end) = (ended.out.iter().position(|line| line == goodbye).unwrap(), ended.out.len());
        assert_eq!(ended.out[end - 1], last);
        // Between the two lines are the ends of both peers, and nothing else.
        assert_eq!(end - at, 4, "{ended:#?}");
    }
}

#[test]
fn a_node_that_cannot_be_dialled_ends_the_relay() {
    let (_socket, nobody) = support::nobody();
    let ended = run("relay", &["--connect", &nobody]);
    assert_eq!((ended.status, ended.out.len()), (1, 0), "{ended:#?}");
    assert!(ended.err.starts_with(&format!("relay: {nobody}: ")), "{}", ended.err);
}

/// A block that `owner` announces and the relay stores.
fn relayed_block(owner: &mut Played, other: &mut Played) -> (Hash, Block) {
    let (item, block) = block(10);
    announce(owner, &[item]);
    expect_request(owner, item);
    owner.send(&block);
    expect_announcement(other, item);
    (item.hash, block)
}

#[test]
fn the_relay_offers_no_service_and_names_no_tip() {
    let (_relay, address) = relay();
    let mut node = Played::dial(&address, Network::Simnet);
    node.send(&support::version());
    let version = node.expect::<Version>();
    assert_eq!((version.services, version.selected_tip), (Services::empty(), Hash::ZERO));
}

#[test]
fn a_block_is_served_under_every_type_that_blocks_have() {
    let (_relay, address) = relay();
    let (mut owner, mut other) = (connect(&address), connect(&address));
    let (hash, block) = relayed_block(&mut owner, &mut other);
    for kind in [InventoryType::BLOCK, InventoryType::SYNC_BLOCK, InventoryType::MISSING_ANCESTOR] {
        other.send(&GetData::from(vec![Inventory { kind, hash }]));
        assert_eq!(other.expect::<Block>(), block, "{kind:?}");
    }
    // Announced as a sync block, it is nothing new.
    announce(&mut other, &[Inventory::sync_block(hash)]);
    assert_eq!(before_pong(&mut other), []);
}

/// Fetches an item that one peer requests and another has. `kind` is the type of the first request.
fn fetched_on_demand(
    kind: InventoryType,
    item: Inventory,
    message: &(impl Encode + Clone),
    is_message: fn(&Message) -> bool,
) {
    let (_relay, address) = relay();
    let (mut owner, mut asker) = (connect(&address), connect(&address));
    let wanted = Inventory { kind, hash: item.hash };
    asker.send(&GetData::from(vec![wanted]));
    expect_request(&mut owner, wanted);
    let mut third = connect(&address);
    // The same request to the owner serves another peer that asks meanwhile.
    third.send(&GetData::from(vec![item]));
    assert_eq!(before_pong(&mut third), []);
    owner.send(message);
    for node in [&mut asker, &mut third] {
        assert!(is_message(&node.next().unwrap()));
    }
    let mut fourth = connect(&address);
    for node in [&mut owner, &mut asker, &mut third, &mut fourth] {
        assert_eq!(before_pong(node), []);
    }
}

#[test]
fn an_item_that_the_relay_lacks_is_fetched_from_another_peer_and_not_announced() {
    let (item, block) = block(10);
    fetched_on_demand(InventoryType::SYNC_BLOCK, item, &block, |message| matches!(message, Message::Block(_)));
    let (item, tx) = tx(1);
    fetched_on_demand(InventoryType::TX, item, &tx, |message| matches!(message, Message::Tx(_)));
}

#[test]
fn an_item_that_no_peer_has_is_not_found() {
    for wanted in [Inventory::sync_block(Hash::ZERO), Inventory::tx(Hash::ZERO)] {
        let (_relay, address) = relay();
        let mut asker = connect(&address);
        asker.send(&GetData::from(vec![wanted]));
        assert_eq!(asker.expect::<NotFound>().items, [wanted]);
        let mut others = [connect(&address), connect(&address)];
        asker.send(&GetData::from(vec![wanted]));
        // Both are asked, in either order: the second after the first has answered.
        let [first, second] = &mut others;
        let (first, second) = match before_pong(first).as_slice() {
            [] => (second, first),
            _ => (first, second),
        };
        first.send(&NotFound::from(vec![wanted]));
        expect_request(second, wanted);
        second.send(&NotFound::from(vec![wanted]));
        assert_eq!(asker.expect::<NotFound>().items, [wanted]);
    }
}

#[test]
fn a_peer_that_withholds_a_requested_transaction_is_followed_by_another() {
    let (_relay, address) = relay();
    let (mut asker, mut others) = (connect(&address), [connect(&address), connect(&address)]);
    let (item, tx) = tx(1);
    asker.send(&GetData::from(vec![item]));
    let [first, second] = &mut others;
    let second = match before_pong(first).as_slice() {
        [] => first,
        _ => second,
    };
    // The first answers everything but this. After its deadline, the second is asked.
    expect_request(second, item);
    second.send(&tx);
    assert_eq!(asker.expect::<Transaction>(), tx);
}

#[test]
fn a_peer_that_requests_many_unknown_items_makes_the_relay_ask_for_a_hundred_at_a_time() {
    let (_relay, address) = relay();
    let (mut asker, mut other) = (connect(&address), connect(&address));
    let unknown: Vec<Inventory> = (0..150_u32).map(|number| Inventory::tx(Hash::of(&number.to_le_bytes()))).collect();
    asker.send(&GetData::from(unknown.clone()));
    assert_eq!(asker.expect::<NotFound>().items, unknown[100..]);
    let requests = before_pong(&mut other).into_iter().map(|message| GetData::try_from(message).unwrap().items.len());
    assert_eq!(requests.sum::<usize>(), 100);
}

#[test]
fn an_announcer_that_withholds_an_item_does_not_keep_it_from_the_others() {
    let (_relay, address) = relay();
    let (mut first, mut second, mut third) = (connect(&address), connect(&address), connect(&address));
    let (item, tx) = tx(1);
    announce(&mut first, &[item]);
    expect_request(&mut first, item);
    announce(&mut second, &[item]);
    // The first announcer answers everything but this. After a while, the second is asked.
    expect_request(&mut second, item);
    second.send(&tx);
    expect_announcement(&mut third, item);
    assert_eq!(before_pong(&mut first), []);
}

#[test]
fn a_peer_that_reads_may_ask_for_more_than_fits_into_its_queue() {
    let (_relay, address) = relay();
    let (mut owner, mut reader) = (connect(&address), connect(&address));
    let large = TxFields {
        version: 1,
        payload: Some(vec![7; 4 << 20]),
        subnetwork: SubnetworkId::from_bytes([9; 20]),
        ..TxFields::default()
    };
    let large = Transaction::new(&large).unwrap();
    let mut items: Vec<Inventory> = Vec::new();
    for number in 0..60 {
        let (item, tx) = tx(number);
        send_announced(&mut owner, item, &tx);
        items.push(item);
    }
    let item = Inventory::tx(large.id());
    send_announced(&mut owner, item, &large);
    items.insert(30, item);
    assert_eq!(before_pong(&mut owner), []);
    // More than the outbound queue holds.
    let request: Vec<Inventory> = (0..3).flat_map(|_| items.clone()).collect();
    reader.send(&GetData::from(request.clone()));
    for item in request {
        assert_eq!(reader.expect::<Transaction>().id(), item.hash);
    }
}
