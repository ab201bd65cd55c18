//! `kpeer listen`, with peers that do not stay.

use crate::support;
use crate::support::running::{DEADLINE, Played, Running};
use kaspa_peer::wire::*;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

const VISITORS: u64 = 100;

#[test]
fn who_leaves_at_once_is_introduced_once_and_before_that() {
    let (listen, address) = Running::listen(&["--network", "simnet"]);
    for _ in 0..VISITORS {
        drop(TcpStream::connect(&address).unwrap());
    }
    // When this one is introduced, the program has nothing more to say of those before it, except that they left.
    let _last = TcpStream::connect(&address).unwrap();
    listen.event("connected", |event| event["peer"] == VISITORS + 1);
    for visitor in 1..=VISITORS {
        listen.event("disconnected", |event| event["peer"] == visitor);
    }
    let mut said: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    let mut lines = 0;
    listen.line("all that was said", |line| {
        let event: Value = serde_json::from_str(line).unwrap();
        let (peer, event) = (event["peer"].as_u64()?, event["event"].as_str()?.to_owned());
        said.entry(peer).or_default().push(event);
        lines += 1;
        (lines > 2 * VISITORS).then_some(())
    });
    let last = said.remove(&(VISITORS + 1)).unwrap();
    assert_eq!(last, ["connected"]);
    assert!(said.values().all(|events| *events == ["connected", "disconnected"]), "{said:#?}");
}

#[test]
fn an_address_is_known_once_as_it_was_told_last() {
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
    let mut told = peer.expect::<Addr>().addresses;
    told.retain(|told| told.address.socket_addr().to_string() != address);
    told.sort_by_key(|told| told.time);
    assert_eq!(told, [known(2, 1_600_000_000), known(1, 1_600_000_001)]);
}

#[test]
fn who_orders_without_end_is_turned_out() {
    let (listen, address) = Running::listen(&["--network", "simnet"]);
    let mut greedy = Played::dial(&address, Network::Simnet);
    greedy.send(&support::version());
    let Version { selected_tip: tip, .. } = greedy.expect();
    greedy.send(&VerAck);
    // Some hundred megabytes, of which nothing is read, so that the rest has to wait.
    greedy.send(&GetData::from(vec![Inventory::block(tip); MAX_INVENTORY]));
    for _ in 0..10 {
        greedy.send(&GetHeaders { low: Hash::ZERO, high: tip });
    }
    // Who is turned out is noticed when there is nobody left to write to.
    let deadline = Instant::now() + DEADLINE;
    while write_message(&mut greedy.stream, &Ping { nonce: 1 }, Network::Simnet).is_ok() {
        assert!(Instant::now() < deadline, "still there");
        thread::sleep(Duration::from_millis(1));
    }
    let gone = listen.event("disconnected", |_| true);
    assert_eq!(gone["reason"], "disconnected by this side");
}
