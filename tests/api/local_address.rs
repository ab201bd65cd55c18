//! The address of this side of a connection.

use kaspa_peer::peer::{Halves, Stream};
use kaspa_peer::testing::{memory_pair, tcp_pair};
use kaspa_peer::wire::Network;
use kaspa_peer::{Config, Peer};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

fn config() -> Config {
    Config::builder(Network::Simnet).build().unwrap()
}

#[test]
fn a_tcp_connection_has_one_in_both_directions_also_after_the_end() {
    let (dialled, accepted) = tcp_pair().unwrap();
    let addresses = (dialled.local_addr().unwrap(), accepted.local_addr().unwrap());
    // The address of the remote says nothing about this side.
    let outbound = Peer::outbound(dialled, "node.example:16111", &config()).unwrap();
    let inbound = Peer::inbound(accepted, "192.0.2.1:1", &config()).unwrap();
    assert_eq!((outbound.local_addr(), inbound.local_addr()), (Some(addresses.0), Some(addresses.1)));
    outbound.disconnect();
    outbound.wait_for_disconnect().unwrap();
    assert_eq!(outbound.local_addr(), Some(addresses.0));
}

/// A stream that has no default for its address, for example because it is inside another connection.
struct Tunnel<S>(S, SocketAddr);

impl<S: Stream> Stream for Tunnel<S> {
    fn split(self, write_timeout: Option<Duration>) -> io::Result<Halves> {
        self.0.split(write_timeout)
    }

    fn local_addr(&self) -> Option<SocketAddr> {
        Some(self.1)
    }
}

#[test]
fn other_streams_have_one_if_they_say_so() {
    let (one, other) = memory_pair();
    let address = "192.0.2.7:16111".parse().unwrap();
    let silent = Peer::inbound(one, "memory", &config()).unwrap();
    let telling = Peer::outbound(Tunnel(other, address), "memory", &config()).unwrap();
    assert_eq!((silent.local_addr(), telling.local_addr()), (None, Some(address)));
}
