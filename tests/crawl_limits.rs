//! What `examples/crawl` takes from strangers.
// What the lints leave to tests is allowed for their helpers, too.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod common;
mod programs;

use kaspa_peer::wire::*;
use programs::running::Played;
use serde_json::Value;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Command as Program;
use std::thread;

/// What `crawl` tells of a network whose only node sends these before it answers a ping.
fn crawl(messages: Vec<Addr>, arguments: &[&str]) -> Vec<Value> {
    let door = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = door.local_addr().unwrap().to_string();
    let node = thread::spawn(move || {
        let mut node = Played::accept(&door, &common::version(), Network::Simnet);
        let Ping { nonce } = node.expect();
        messages.iter().for_each(|message| node.send(message));
        node.send(&Pong { nonce });
        while node.next().is_some() {}
    });
    let output = Program::new(programs::example("crawl"))
        .args([&address, "--network", "simnet", "--timeout", "60", "--json"])
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    node.join().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn addr(known: impl IntoIterator<Item = SocketAddr>) -> Addr {
    let known = known.into_iter().map(|address| NetAddress::new(address, Services::NETWORK));
    Addr { scope: AddressScope::FullNodes, addresses: known.map(|address| TimedAddress { time: 0, address }).collect() }
}

#[test]
fn a_node_is_believed_a_thousand_addresses() {
    let message = |number: u8| addr((0..1000).map(|port| (Ipv4Addr::new(203, 0, 113, number), 1 + port).into()));
    let rows = crawl((0..20).map(message).collect(), &["--max", "1"]);
    assert_eq!((rows.len(), rows[0]["knows"].as_array().unwrap().len()), (1, 1000));
}
