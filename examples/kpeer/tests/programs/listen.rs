//! `kpeer listen`: what it prints, remembers and refuses.

use crate::support;
use crate::support::running::{DEADLINE, Played, Running, run};
use crate::support::scratch::Scratch;
use kaspa_peer::wire::*;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

const VISITORS: u64 = 100;

#[test]
fn a_remote_that_disconnects_at_once_is_printed_as_connected_and_then_as_disconnected() {
    let (listen, address) = Running::listen(&["--network", "simnet"]);
    for _ in 0..VISITORS {
        drop(TcpStream::connect(&address).unwrap());
    }
    // When this one is printed, only the ends of those before it can follow.
    let _last = TcpStream::connect(&address).unwrap();
    listen.event("connected", |event| event["peer"] == VISITORS + 1);
    for visitor in 1..=VISITORS {
        listen.event("disconnected", |event| event["peer"] == visitor);
    }
    let mut printed: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    let mut lines = 0;
    listen.line("all lines", |line| {
        let event: Value = serde_json::from_str(line).unwrap();
        let (peer, event) = (event["peer"].as_u64()?, event["event"].as_str()?.to_owned());
        printed.entry(peer).or_default().push(event);
        lines += 1;
        (lines > 2 * VISITORS).then_some(())
    });
    let last = printed.remove(&(VISITORS + 1)).unwrap();
    assert_eq!(last, ["connected"]);
    assert!(printed.values().all(|events| *events == ["connected", "disconnected"]), "{printed:#?}");
}

#[test]
fn an_address_that_is_sent_twice_is_remembered_once_with_the_newer_time() {
    let (_listen, address) = Running::listen(&["--network", "simnet"]);
    let mut peer = Played::dial(&address, Network::Simnet);
    peer.send(&support::version());
    peer.expect::<Version>();
    peer.send(&VerAck);
    let scope = AddressScope::FullNodes;
    let known = |host: u8, time| TimedAddress {
        time,
        address: NetAddress::new(([203, 0, 113, host], 16511).into(), Services::NETWORK),
    };
    peer.send(&Addr { scope, addresses: vec![known(1, 1_600_000_000), known(2, 1_600_000_000)] });
    peer.send(&Addr { scope, addresses: vec![known(1, 1_600_000_001)] });
    peer.send(&GetAddr { scope });
    let mut known_now = peer.expect::<Addr>().addresses;
    known_now.retain(|known| known.address.socket_addr().to_string() != address);
    known_now.sort_by_key(|known| known.time);
    assert_eq!(known_now, [known(2, 1_600_000_000), known(1, 1_600_000_001)]);
}

#[test]
fn a_remote_that_requests_more_than_can_wait_is_disconnected() {
    let (listen, address) = Running::listen(&["--network", "simnet"]);
    let mut greedy = Played::dial(&address, Network::Simnet);
    greedy.send(&support::version());
    let Version { selected_tip: tip, .. } = greedy.expect();
    greedy.send(&VerAck);
    // The answers have some hundred megabytes, of which the remote reads nothing, so the requests wait.
    greedy.send(&GetData::from(vec![Inventory::block(tip); MAX_INVENTORY]));
    for _ in 0..10 {
        greedy.send(&GetHeaders { low: Hash::ZERO, high: tip });
    }
    // After the disconnect, writing fails.
    let deadline = Instant::now() + DEADLINE;
    while write_message(&mut greedy.stream, &Ping { nonce: 1 }, Network::Simnet).is_ok() {
        assert!(Instant::now() < deadline, "still connected");
        thread::sleep(Duration::from_millis(1));
    }
    let gone = listen.event("disconnected", |_| true);
    assert_eq!(gone["reason"], "disconnected by this side");
}

#[test]
fn answers_with_addresses_are_limited_as_other_answers_are() {
    let (listen, address) = Running::listen(&["--network", "simnet"]);
    let mut greedy = Played::dial(&address, Network::Simnet);
    greedy.send(&support::version());
    greedy.expect::<Version>();
    greedy.send(&VerAck);
    let scope = AddressScope::FullNodes;
    let known = (1..=1000).map(|port| NetAddress::new(([203, 0, 113, 1], port).into(), Services::NETWORK));
    greedy.send(&Addr { scope, addresses: known.map(TimedAddress::now).collect() });
    // The answers have 60 megabytes, of which the remote reads nothing, so the requests wait.
    let requests = Frame::encode(&GetAddr { scope }, Network::Simnet).unwrap().as_bytes().repeat(2000);
    // Fails if the node disconnects meanwhile.
    let _ = greedy.stream.write_all(&requests);
    let gone = listen.event("disconnected", |_| true);
    assert_eq!(gone["reason"], "disconnected by this side");
}

#[test]
fn recent_transactions_are_served_from_the_file() {
    let (listen, address) = Running::listen(&["--network", "simnet"]);
    let file = Scratch::new("transactions-dag");
    assert_eq!(run("sync", &[&address, "--network", "simnet", "--out", file.path()]).status, 0);
    drop(listen);
    let mut messages = MessageReader::new(file.content().leak() as &[u8], Network::Simnet);
    let mut transactions = Vec::new();
    while let Some(message) = messages.read_message().unwrap() {
        let block = Block::try_from(message).unwrap();
        transactions.extend(block.transactions().map(TxRef::to_transaction));
    }
    assert!(transactions.len() > 300);

    let (_listen, address) = Running::listen(&["--network", "simnet", "--dag", file.path()]);
    let mut peer = Played::dial(&address, Network::Simnet);
    peer.send(&support::version());
    peer.expect::<VerAck>();
    peer.send(&VerAck);
    let unknown = Inventory::tx(Hash::ZERO);
    let known = transactions.iter().map(|tx| Inventory::tx(tx.id()));
    peer.send(&known.chain([unknown]).collect::<GetData>());
    for tx in transactions {
        assert_eq!(peer.expect::<Transaction>(), tx);
    }
    assert_eq!(peer.expect::<NotFound>().items, [unknown]);
}
