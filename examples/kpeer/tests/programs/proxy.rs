//! `kpeer connect --proxy`, through a proxy that the test plays.

use crate::support;
use crate::support::proxy::proxy;
use crate::support::running::{Played, Running, run};
use kaspa_peer::wire::*;
use std::io;
use std::net::TcpListener;

#[test]
fn a_node_is_met_through_a_proxy() {
    let (listen, address) = Running::listen(&["--network", "simnet", "--once"]);
    let (proxy, asked) = proxy(address.parse().unwrap());
    let met = run("connect", &["node.example", "--proxy", &proxy, "--for", "1", "--network", "simnet", "--json"]);
    assert_eq!(met.status, 0, "{met:#?}");
    assert_eq!(met.events("connected")[0]["address"], "node.example:16511");
    assert!(met.events("version")[0]["user_agent"].as_str().unwrap().contains("/listen:"));
    assert_eq!(met.events("ping").len(), 1);
    assert_eq!(asked.join().unwrap(), "node.example:16511");
    assert_eq!(listen.end().status, 0);
}

#[test]
fn the_proxys_address_is_never_told() {
    // Dialled at the proxy's own host, it is not told; dialled at another, that is.
    for (dialled, told) in [("127.0.0.1:16511", "0.0.0.0:0"), ("203.0.113.7:16511", "203.0.113.7:16511")] {
        let door = TcpListener::bind("127.0.0.1:0").unwrap();
        let (proxy, asked) = proxy(door.local_addr().unwrap());
        let connect = Running::start("connect", &[dialled, "--proxy", &proxy, "--for", "0", "--network", "simnet"]);
        let mut node = Played::new(door.accept().unwrap().0, Network::Simnet);
        assert_eq!(node.expect::<Version>().receiver.to_string(), told);
        node.send(&support::version());
        node.send(&VerAck);
        let Ping { nonce } = node.expect();
        node.send(&Pong { nonce });
        let ended = connect.end();
        assert_eq!((ended.status, ended.err.as_str()), (0, ""), "{ended:#?}");
        assert!(ended.out.iter().any(|line| line.contains("/by-hand:1.0/ is a full node")), "{ended:#?}");
        assert_eq!(asked.join().unwrap(), dialled);
    }
}

#[test]
fn without_a_proxy_nobody_is_dialled() {
    let door = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = door.local_addr().unwrap().to_string();
    let ended = run("connect", &[&address, "--proxy", "127.0.0.1:1", "--network", "simnet"]);
    assert_eq!((ended.status, ended.out.len()), (1, 0), "{ended:#?}");
    assert!(ended.err.contains("through 127.0.0.1:1"), "{}", ended.err);
    door.set_nonblocking(true).unwrap();
    assert_eq!(door.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
}
