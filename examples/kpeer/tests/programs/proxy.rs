//! `kpeer connect --proxy`, through a proxy that the test plays.

use crate::support;
use crate::support::proxy::proxy;
use crate::support::running::{Played, Running, run};
use kaspa_peer::wire::*;
use std::io;
use std::net::TcpListener;

#[test]
fn a_node_can_be_dialled_through_a_proxy() {
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
fn the_version_message_never_has_the_address_of_the_proxy() {
    // A node at the host of the proxy gets no address; a node at another host gets its own.
    for (dialled, sent) in [("127.0.0.1:16511", "0.0.0.0:0"), ("203.0.113.7:16511", "203.0.113.7:16511")] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (proxy, asked) = proxy(listener.local_addr().unwrap());
        let connect = Running::start("connect", &[dialled, "--proxy", &proxy, "--for", "0", "--network", "simnet"]);
        let mut node = Played::new(listener.accept().unwrap().0, Network::Simnet);
        assert_eq!(node.expect::<Version>().receiver.to_string(), sent);
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
fn a_node_is_not_dialled_directly_when_the_proxy_cannot_be_reached() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let ended = run("connect", &[&address, "--proxy", "127.0.0.1:1", "--network", "simnet"]);
    assert_eq!((ended.status, ended.out.len()), (1, 0), "{ended:#?}");
    assert!(ended.err.contains("through the proxy 127.0.0.1:1: "), "{}", ended.err);
    listener.set_nonblocking(true).unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn a_proxy_that_accepts_and_stays_silent_is_given_up_after_the_timeout() {
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = proxy.local_addr().unwrap().to_string();
    let node = "203.0.113.7:16511";
    let crawl = run("crawl", &[node, "--proxy", &address, "--timeout", "0.2", "--network", "simnet", "--json"]);
    let reason = format!("through the proxy {address}: no connection within 200ms");
    assert_eq!((crawl.status, &crawl.events("node")[0]["reason"]), (1, &reason.into()), "{crawl:#?}");
}
