//! What `kpeer crawl` does with the addresses that hostile nodes name.

use crate::support;
use crate::support::kpeer;
use crate::support::running::{Played, Running};
use kaspa_peer::wire::*;
use serde_json::Value;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

/// The `node` objects of a crawl whose only seed sends these messages before it answers a ping.
fn crawl(messages: Vec<Addr>, arguments: &[&str]) -> Vec<Value> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let node = thread::spawn(move || {
        let mut node = Played::accept(&listener, &support::version(), Network::Simnet);
        let Ping { nonce } = node.expect();
        messages.iter().for_each(|message| node.send(message));
        node.send(&Pong { nonce });
        while node.next().is_some() {}
    });
    let output = kpeer("crawl")
        .args([&address, "--network", "simnet", "--timeout", "60", "--json"])
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    node.join().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    let objects = lines.lines().map(|line| serde_json::from_str(line).unwrap());
    objects.filter(|object: &Value| object["event"] == "node").collect()
}

fn addr(known: impl IntoIterator<Item = SocketAddr>) -> Addr {
    let known = known.into_iter().map(|address| NetAddress::new(address, Services::NETWORK));
    Addr { scope: AddressScope::FullNodes, addresses: known.map(|address| TimedAddress { time: 0, address }).collect() }
}

#[test]
fn at_most_a_thousand_addresses_of_a_node_are_used() {
    let message = |number: u8| addr((0..1000).map(|port| (Ipv4Addr::new(203, 0, 113, number), 1 + port).into()));
    let rows = crawl((0..20).map(message).collect(), &["--max", "1"]);
    assert_eq!((rows.len(), rows[0]["knows"].as_array().unwrap().len()), (1, 1000));
}

#[test]
fn with_public_only_no_address_of_this_machine_or_its_networks_is_dialled() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mapped = SocketAddr::new(Ipv4Addr::LOCALHOST.to_ipv6_mapped().into(), closed.port());
    let local =
        ["0.0.0.0:1", "10.0.0.1:1", "100.100.0.1:1", "169.254.169.254:80", "192.168.0.1:1", "255.255.255.255:1"];
    let local6 = ["[::]:1", "[::1]:1", "[fe80::1]:1", "[fd00::1]:1", "[64:ff9b::7f00:1]:1", "[2002:7f00:1::1]:1"];
    let named = || [closed, mapped].into_iter().chain(local.iter().chain(&local6).map(|known| known.parse().unwrap()));
    let rows = crawl(vec![addr(named())], &["--public-only"]);
    assert_eq!((rows.len(), rows[0]["knows"].as_array().unwrap().len()), (1, named().count()));
    let rows = crawl(vec![addr([closed])], &[]);
    assert_eq!((rows.len(), &rows[1]["reached"]), (2, &false.into()));
}

/// A node that the test plays, which names these addresses once `may_answer` receives something.
fn node(addresses: Vec<SocketAddr>, may_answer: Receiver<()>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // Ends with the connection.
    thread::spawn(move || {
        let mut node = Played::accept(&listener, &support::version(), Network::Simnet);
        let Ping { nonce } = node.expect();
        node.send(&Pong { nonce });
        node.expect::<GetAddr>();
        may_answer.recv().unwrap();
        node.send(&addr(addresses));
        while node.next().is_some() {}
    });
    address
}

#[test]
fn a_node_that_names_many_addresses_leaves_room_for_those_that_another_names_later() {
    // No node listens there, so these visits take no time.
    let closed = (1..=1000).map(|port| (Ipv4Addr::LOCALHOST, port).into()).collect();
    let (hostile_may, hostile_answers) = channel();
    let (honest_may, honest_answers) = channel();
    let (_socket, named_later) = support::nobody();
    let hostile = node(closed, hostile_answers);
    let honest = node(vec![named_later.parse().unwrap()], honest_answers);
    let arguments = [&hostile, &honest, "--max", "40", "--timeout", "60", "--network", "simnet", "--json"];
    let crawl = Running::start("crawl", &arguments);
    hostile_may.send(()).unwrap();
    // Its share is an eighth of all visits.
    crawl.event("node", |node| node["address"] == "127.0.0.1:5");
    honest_may.send(()).unwrap();
    let nodes = crawl.end().events("node");
    assert_eq!(nodes.len(), 40);
    assert!(nodes.iter().any(|node| node["address"] == named_later), "{nodes:#?}");
}
