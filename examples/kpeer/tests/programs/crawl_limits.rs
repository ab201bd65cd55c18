//! What `kpeer crawl` takes from strangers.

use crate::support;
use crate::support::kpeer;
use crate::support::running::Played;
use kaspa_peer::wire::*;
use serde_json::Value;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread;

/// What `crawl` tells of a network whose only node sends these before it answers a ping.
fn crawl(messages: Vec<Addr>, arguments: &[&str]) -> Vec<Value> {
    let door = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = door.local_addr().unwrap().to_string();
    let node = thread::spawn(move || {
        let mut node = Played::accept(&door, &support::version(), Network::Simnet);
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
fn a_node_is_believed_a_thousand_addresses() {
    let message = |number: u8| addr((0..1000).map(|port| (Ipv4Addr::new(203, 0, 113, number), 1 + port).into()));
    let rows = crawl((0..20).map(message).collect(), &["--max", "1"]);
    assert_eq!((rows.len(), rows[0]["knows"].as_array().unwrap().len()), (1, 1000));
}

#[test]
fn strangers_do_not_say_whom_to_dial_here() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mapped = SocketAddr::new(Ipv4Addr::LOCALHOST.to_ipv6_mapped().into(), nobody.port());
    let local =
        ["0.0.0.0:1", "10.0.0.1:1", "100.100.0.1:1", "169.254.169.254:80", "192.168.0.1:1", "255.255.255.255:1"];
    let local6 = ["[::]:1", "[::1]:1", "[fe80::1]:1", "[fd00::1]:1", "[ff02::1]:1"];
    let named = || [nobody, mapped].into_iter().chain(local.iter().chain(&local6).map(|known| known.parse().unwrap()));
    let rows = crawl(vec![addr(named())], &["--public-only"]);
    assert_eq!((rows.len(), rows[0]["knows"].as_array().unwrap().len()), (1, named().count()));
    let rows = crawl(vec![addr([nobody])], &[]);
    assert_eq!((rows.len(), &rows[1]["reached"]), (2, &false.into()));
}
