//! Large messages that a subcommand does not use take no memory. Needs /proc.
#![cfg(target_os = "linux")]

use crate::support;
use crate::support::memory::{MIB, peak};
use crate::support::running::{Played, Running};
use kaspa_peer::wire::*;
use std::net::TcpListener;

const NETWORK: Network = Network::Simnet;

/// A transaction almost as large as a payload can be.
fn large_transaction() -> Transaction {
    Transaction::new(&TxFields {
        subnetwork: SubnetworkId::from_bytes([9; 20]),
        gas: 1,
        payload_hash: Some(Hash::ZERO),
        payload: Some(vec![1; 32_000_000]),
        ..TxFields::default()
    })
    .unwrap()
}

/// Sends a ping and waits for its pong, which shows that the program has read everything before. Returns the most memory
/// that the program has used so far.
fn peak_after_ping(program: &Running, node: &mut Played, nonce: u64) -> usize {
    node.send(&Ping { nonce });
    while node.expect::<Pong>().nonce != nonce {}
    peak(program.id())
}

/// How much more memory a program needs because a node sends it this message.
fn grown<M: Encode>(program: &Running, node: &mut Played, message: &M) -> usize {
    let before = peak_after_ping(program, node, 1);
    node.send(message);
    peak_after_ping(program, node, 2) - before
}

#[test]
fn large_messages_that_a_subcommand_does_not_use_take_no_memory() {
    let transaction = large_transaction();
    let block =
        Block::new(BlockHeader { parents: vec![Hash::ZERO], ..BlockHeader::default() }, [&transaction]).unwrap();
    for subcommand in ["crawl", "sync"] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let timeout: &[&str] = if subcommand == "crawl" { &["--timeout", "60"] } else { &[] };
        let program = Running::start(subcommand, &[&[&address, "--network", "simnet"], timeout].concat());
        let mut node = Played::accept(&listener, &support::version(), NETWORK);
        let grown = grown(&program, &mut node, &transaction);
        assert!(grown < 8 * MIB, "{subcommand}: {grown} bytes");
    }
    let (listen, address) = Running::listen(&["--network", "simnet"]);
    let mut peer = Played::dial(&address, NETWORK);
    peer.send(&support::version());
    peer.expect::<Version>();
    peer.send(&VerAck);
    let grown = grown(&listen, &mut peer, &block);
    assert!(grown < 8 * MIB, "listen: {grown} bytes");
}
