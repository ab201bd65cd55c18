//! The addresses that peers are started with.

use crate::common::local::{end_reason, start_peer};
use crate::common::{BOTH, builder};
use kaspa_peer::testing::tcp_pair;
use kaspa_peer::wire::{Network, Ping, Pong};
use kaspa_peer::{Config, Direction, DisconnectReason, Peer, PeerAddress, StartError};
use std::net::IpAddr;

#[test]
fn a_text_that_is_not_an_address_starts_no_peer() {
    let config = builder().build().unwrap();
    for address in ["127.0.0.1:70000", "", ":16111", "node.example:"] {
        for direction in BOTH {
            let (ours, _theirs) = tcp_pair().unwrap();
            let result = match direction {
                Direction::Inbound => Peer::inbound(ours, address, &config),
                Direction::Outbound => Peer::outbound(ours, address, &config),
            };
            let error = result.unwrap_err();
            assert!(matches!(error, StartError::Address(_)) && error.to_string().contains(address), "{error}");
        }
    }
}

#[test]
fn a_peer_can_be_started_with_any_form_of_an_address() {
    let config = builder().build().unwrap();
    let address: PeerAddress = "203.0.113.7:16111".parse().unwrap();
    let (ip, port) = (IpAddr::from([203, 0, 113, 7]), 16111);
    let socket = || tcp_pair().unwrap().0;
    let peers = [
        Peer::inbound(socket(), "203.0.113.7:16111", &config),
        Peer::inbound(socket(), "203.0.113.7:16111".to_owned(), &config),
        Peer::inbound(socket(), "203.0.113.7:16111".to_owned(), &config),
        Peer::inbound(socket(), ("203.0.113.7", port), &config),
        Peer::inbound(socket(), (ip.to_string(), port), &config),
        Peer::inbound(socket(), (ip, port), &config),
        Peer::inbound(socket(), std::net::SocketAddr::new(ip, port), &config),
        Peer::inbound(socket(), &address, &config),
        Peer::inbound(socket(), address.clone(), &config),
    ];
    for peer in peers {
        assert_eq!(*peer.unwrap().address(), address);
    }
}

/// Sends a frame with a wrong checksum, and returns whether the peer tolerates it.
fn is_tolerated(address: &str) -> bool {
    let config = Config::builder(Network::Regtest).build().unwrap();
    let (peer, mut remote) = start_peer(address, Direction::Inbound, &config);
    remote.shake_hands().unwrap();
    peer.wait_for_handshake().unwrap();
    remote.send_with_wrong_checksum(&Ping { nonce: 1 }).unwrap();
    if remote.send(&Ping { nonce: 2 }).is_ok() && remote.next_message().ok() == Some(Pong { nonce: 2 }.into()) {
        assert_eq!(peer.disconnect_reason(), None);
        return true;
    }
    assert!(matches!(end_reason(&peer), DisconnectReason::Malformed(_)));
    false
}

#[test]
fn on_regtest_every_name_of_this_machine_is_local() {
    for address in ["127.0.0.1:16211", "localhost:16211", "LOCALHOST", "[::1]:16211", "[::1]", "::1"] {
        assert!(is_tolerated(address), "{address}");
    }
    for address in ["203.0.113.7:16211", "localhost.example:16211", "[2001:db8::1]"] {
        assert!(!is_tolerated(address), "{address}");
    }
}
