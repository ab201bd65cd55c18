//! `kpeer relay`, among nodes that the test plays.

use crate::support;
use crate::support::running::{Played, Running, run};
use kaspa_peer::wire::*;
use std::net::{Shutdown, TcpListener};

const SIMNET: [&str; 3] = ["--network", "simnet", "--json"];

fn relay() -> (Running, String) {
    let relay = Running::start("relay", &SIMNET);
    let address = relay.event("listening", |_| true)["address"].as_str().unwrap().to_owned();
    (relay, address)
}

/// A node that has dialled, and is known to the hub.
fn meet(address: &str) -> Played {
    let mut node = Played::dial(address, Network::Simnet);
    node.send(&support::version());
    node.expect::<VerAck>();
    node.send(&VerAck);
    assert_eq!(before_pong(&mut node), []);
    node
}

/// What the hub says before it has taken all that it was told.
fn before_pong(node: &mut Played) -> Vec<Message> {
    node.send(&Ping { nonce: 7 });
    let mut before = Vec::new();
    loop {
        match node.next().expect("hung up") {
            Message::Pong(Pong { nonce: 7 }) => return before,
            message => before.push(message),
        }
    }
}

fn announce(node: &mut Played, items: &[Inventory]) {
    node.send(&Inv::from(items.to_vec()));
}

fn is_asked_for(node: &mut Played, item: Inventory) {
    assert_eq!(node.expect::<GetData>().items, [item]);
}

fn is_told_of(node: &mut Played, item: Inventory) {
    assert_eq!(node.expect::<Inv>().items, [item]);
}

/// A transaction, and what it is announced as.
fn tx(lock_time: u64) -> (Inventory, Transaction) {
    let tx = Transaction::new(&TxFields { version: 1, lock_time, ..TxFields::default() }).unwrap();
    (Inventory::tx(tx.id()), tx)
}

/// A block with a script of so many bytes, and what it is announced as.
fn block(bytes: usize) -> (Inventory, Block) {
    let outputs = vec![TxOutput { value: 1, script: vec![0x51; bytes] }];
    let tx = Transaction::new(&TxFields { version: 1, outputs, ..TxFields::default() }).unwrap();
    let block = Block::new(BlockHeader::default(), [&tx]).unwrap();
    (Inventory::block(block.hash()), block)
}

#[test]
fn what_one_announces_reaches_the_others_once() {
    let (_relay, address) = relay();
    let (mut owner, mut others) = (meet(&address), [meet(&address), meet(&address)]);
    let ((tx_item, tx), (block_item, block)) = (tx(1), block(10));
    let missing = Inventory::tx(Hash::ZERO);

    announce(&mut owner, &[tx_item]);
    is_asked_for(&mut owner, tx_item);
    owner.send(&tx);
    // The hub does not know that its sender has it, otherwise than from having got it there.
    owner.send(&block);
    for other in &mut others {
        let mut told = [other.expect::<Inv>().items, other.expect::<Inv>().items].concat();
        // A block is announced at once, a transaction with others.
        told.sort_by_key(|item| *item != tx_item);
        assert_eq!(told, [tx_item, block_item]);
        other.send(&GetData::from(vec![tx_item, missing, block_item]));
        assert_eq!(other.expect::<Transaction>(), tx);
        assert_eq!(other.expect::<Block>(), block);
        assert_eq!(other.expect::<NotFound>().items, [missing]);
    }

    // Announced and sent again by another, they are nothing new: of the three, only the last is asked for.
    let mut again = meet(&address);
    let (last, last_tx) = self::tx(2);
    again.send(&tx);
    announce(&mut again, &[tx_item, block_item, last]);
    is_asked_for(&mut again, last);
    again.send(&last_tx);
    // Nobody was told of the first two a second time, and who sent them never.
    for node in others.iter_mut().chain([&mut owner]) {
        is_told_of(node, last);
    }
}

/// Two nodes announce the same, of which one is asked, and does not send it.
fn fetched_from_the_second(item: Inventory, message: impl Encode, refuse: impl FnOnce(&mut Played, Inventory)) {
    let (_relay, address) = relay();
    let (mut first, mut second, mut third) = (meet(&address), meet(&address), meet(&address));
    announce(&mut first, &[item]);
    is_asked_for(&mut first, item);
    announce(&mut second, &[item, item]);
    assert_eq!(before_pong(&mut second), []);
    // What one says that was not asked changes nothing for the one that was.
    third.send(&NotFound::from(vec![item]));
    for node in [&mut third, &mut first] {
        assert_eq!(before_pong(node), []);
    }
    refuse(&mut first, item);
    is_asked_for(&mut second, item);
    second.send(&message);
    is_told_of(&mut third, item);
    assert_eq!(before_pong(&mut second), []);
}

#[test]
fn what_the_first_announcer_does_not_have_is_fetched_from_the_second() {
    let ((tx_item, tx), (block_item, block)) = (tx(1), block(10));
    let not_found = |first: &mut Played, item| first.send(&NotFound::from(vec![item]));
    fetched_from_the_second(tx_item, tx, not_found);
    fetched_from_the_second(block_item, block, not_found);
}

#[test]
fn what_the_first_announcer_takes_away_with_it_is_fetched_from_the_second() {
    let (item, block) = block(10);
    fetched_from_the_second(item, block, |first, _| first.stream.shutdown(Shutdown::Both).unwrap());
}

#[test]
fn what_nobody_had_can_be_announced_again() {
    let (_relay, address) = relay();
    let (mut first, mut second) = (meet(&address), meet(&address));
    let (item, _) = tx(1);
    for node in [&mut first, &mut second] {
        announce(node, &[item]);
        is_asked_for(node, item);
        node.send(&NotFound::from(vec![item]));
        assert_eq!(before_pong(node), []);
    }
    announce(&mut first, &[item]);
    is_asked_for(&mut first, item);
}

#[test]
fn a_node_that_is_dialled_is_a_peer_like_others() {
    let door = TcpListener::bind("127.0.0.1:0").unwrap();
    let dialled = door.local_addr().unwrap().to_string();
    let relay = Running::start("relay", &[&SIMNET[..], &["--connect", &dialled]].concat());
    let mut node = Played::accept(&door, &support::version(), Network::Simnet);
    let connected = relay.event("connected", |_| true);
    assert_eq!((&connected["address"], &connected["direction"]), (&dialled.into(), &"outbound".into()));
    // A real node leaves after half a minute if that is not answered.
    node.send(&GetSelectedTip);
    assert_eq!(node.expect::<SelectedTip>().hash, Hash::ZERO);

    let address = relay.event("listening", |_| true)["address"].as_str().unwrap().to_owned();
    let mut guest = meet(&address);
    let ((first, tx), (second, block)) = (tx(1), block(10));
    announce(&mut node, &[first]);
    is_asked_for(&mut node, first);
    node.send(&tx);
    is_told_of(&mut guest, first);
    announce(&mut guest, &[second]);
    is_asked_for(&mut guest, second);
    guest.send(&block);
    is_told_of(&mut node, second);
}

#[test]
fn a_peer_that_does_not_read_is_dropped_and_the_others_are_served() {
    let (relay, address) = relay();
    let (mut owner, mut slow, mut other) = (meet(&address), meet(&address), meet(&address));
    let (item, block) = block(1_000_000);
    announce(&mut owner, &[item]);
    is_asked_for(&mut owner, item);
    owner.send(&block);
    is_told_of(&mut other, item);
    // More than sockets hold, and more than may wait.
    slow.send(&GetData::from(vec![item; 100]));
    let place = slow.stream.local_addr().unwrap().to_string();
    let id = relay.event("connected", |event| event["address"] == *place)["peer"].clone();
    let gone = relay.event("disconnected", |event| event["peer"] == id);
    assert!(gone["reason"].as_str().unwrap().contains("20s"), "{gone}");

    other.send(&GetData::from(vec![item]));
    assert_eq!(other.expect::<Block>(), block);
    let (next, tx) = tx(1);
    announce(&mut other, &[next]);
    is_asked_for(&mut other, next);
    other.send(&tx);
    is_told_of(&mut owner, next);
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
fn interrupted_it_says_goodbye_and_what_it_has_done() {
    for json in [true, false] {
        let relay = Running::start("relay", if json { &SIMNET } else { &SIMNET[..2] });
        let address = relay.line("the address", |line| {
            let port = line.split("127.0.0.1:").nth(1)?.trim_end_matches(['"', '}']);
            Some(format!("127.0.0.1:{port}"))
        });
        let (mut owner, mut other) = (meet(&address), meet(&address));
        let (item, tx) = tx(1);
        announce(&mut owner, &[item]);
        is_asked_for(&mut owner, item);
        owner.send(&tx);
        is_told_of(&mut other, item);
        // What is there already is not relayed.
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
        // Between the two, both are let go.
        assert_eq!(end - at, 4, "{ended:#?}");
    }
}

#[test]
fn a_node_that_cannot_be_dialled_ends_it() {
    let (_place, nobody) = support::nobody();
    let ended = run("relay", &["--connect", &nobody]);
    assert_eq!((ended.status, ended.out.len()), (1, 0), "{ended:#?}");
    assert!(ended.err.starts_with(&format!("relay: {nobody}: ")), "{}", ended.err);
}

/// A block that is announced by `owner` and passed on to the hub's store.
fn relayed_block(owner: &mut Played, other: &mut Played) -> (Hash, Block) {
    let (item, block) = block(10);
    announce(owner, &[item]);
    is_asked_for(owner, item);
    owner.send(&block);
    is_told_of(other, item);
    (item.hash, block)
}

#[test]
fn the_hub_offers_no_service_and_no_tip() {
    let (_relay, address) = relay();
    let mut node = Played::dial(&address, Network::Simnet);
    node.send(&support::version());
    let version = node.expect::<Version>();
    assert_eq!((version.services, version.selected_tip), (Services::empty(), Hash::ZERO));
}

#[test]
fn a_block_is_served_under_every_type_that_blocks_have() {
    let (_relay, address) = relay();
    let (mut owner, mut other) = (meet(&address), meet(&address));
    let (hash, block) = relayed_block(&mut owner, &mut other);
    for kind in [InventoryType::BLOCK, InventoryType::SYNC_BLOCK, InventoryType::MISSING_ANCESTOR] {
        other.send(&GetData::from(vec![Inventory { kind, hash }]));
        assert_eq!(other.expect::<Block>(), block, "{kind:?}");
    }
    // Announced as a sync block, it is nothing new.
    announce(&mut other, &[Inventory::sync_block(hash)]);
    assert_eq!(before_pong(&mut other), []);
}

#[test]
fn a_block_that_the_hub_lacks_is_fetched_from_another_peer_and_announced_to_nobody() {
    let (_relay, address) = relay();
    let (mut owner, mut asker) = (meet(&address), meet(&address));
    let (item, block) = block(10);
    let wanted = Inventory::sync_block(item.hash);
    asker.send(&GetData::from(vec![wanted]));
    is_asked_for(&mut owner, wanted);
    let mut third = meet(&address);
    // While it is on its way, another peer that asks is served by the same request.
    third.send(&GetData::from(vec![item]));
    assert_eq!(before_pong(&mut third), []);
    owner.send(&block);
    for node in [&mut asker, &mut third] {
        assert_eq!(node.expect::<Block>(), block);
    }
    let mut fourth = meet(&address);
    for node in [&mut owner, &mut asker, &mut third, &mut fourth] {
        assert_eq!(before_pong(node), []);
    }
}

#[test]
fn a_block_that_no_peer_has_is_not_found() {
    let (_relay, address) = relay();
    let mut asker = meet(&address);
    let wanted = Inventory::sync_block(Hash::ZERO);
    asker.send(&GetData::from(vec![wanted]));
    assert_eq!(asker.expect::<NotFound>().items, [wanted]);
    let mut others = [meet(&address), meet(&address)];
    asker.send(&GetData::from(vec![wanted]));
    // Both are asked, in either order: the second after the first has answered.
    let [first, second] = &mut others;
    let (first, second) = match before_pong(first).as_slice() {
        [] => (second, first),
        _ => (first, second),
    };
    first.send(&NotFound::from(vec![wanted]));
    is_asked_for(second, wanted);
    second.send(&NotFound::from(vec![wanted]));
    assert_eq!(asker.expect::<NotFound>().items, [wanted]);
}

#[test]
fn an_announcer_that_withholds_an_item_does_not_keep_it_from_the_others() {
    let (_relay, address) = relay();
    let (mut first, mut second, mut third) = (meet(&address), meet(&address), meet(&address));
    let (item, tx) = tx(1);
    announce(&mut first, &[item]);
    is_asked_for(&mut first, item);
    announce(&mut second, &[item]);
    // The hub waits for the first announcer for a while, which answers everything else.
    is_asked_for(&mut second, item);
    second.send(&tx);
    is_told_of(&mut third, item);
    assert_eq!(before_pong(&mut first), []);
}

#[test]
fn a_peer_that_reads_may_ask_for_more_than_fits_into_its_queue() {
    let (_relay, address) = relay();
    let (mut owner, mut reader) = (meet(&address), meet(&address));
    let large = TxFields {
        version: 1,
        payload: Some(vec![7; 9 << 20]),
        subnetwork: SubnetworkId::from_bytes([9; 20]),
        ..TxFields::default()
    };
    let large = Transaction::new(&large).unwrap();
    let mut items: Vec<Inventory> = Vec::new();
    for number in 0..60 {
        let (item, tx) = tx(number);
        owner.send(&tx);
        items.push(item);
    }
    owner.send(&large);
    items.insert(30, Inventory::tx(large.id()));
    assert_eq!(before_pong(&mut owner), []);
    // More than one queue holds, whatever its limit is.
    let request: Vec<Inventory> = (0..3).flat_map(|_| items.clone()).collect();
    reader.send(&GetData::from(request.clone()));
    for item in request {
        assert_eq!(reader.expect::<Transaction>().id(), item.hash);
    }
}
