//! The hub passes on what one peer announces to all others, once.
#![allow(missing_docs)]

mod common;
mod programs;

use common::{Recorder, builder};
use kaspa_peer::wire::{Command, Encode, GetData, Hash, Inv, Inventory, Transaction, TxFields};
use kaspa_peer::{Listener, Peer};
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command as Program, Stdio};

/// The program, and its output, which it needs to be able to write.
struct Running {
    child: Child,
    _output: BufReader<ChildStdout>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Has one transaction.
struct Owner(Transaction);

impl Listener for Owner {
    fn on_get_data(&self, peer: &Peer, wanted: GetData) {
        assert_eq!(wanted.items, [Inventory::tx(self.0.id())]);
        peer.queue_message(&self.0).unwrap();
    }
}

fn relay() -> (Running, String) {
    let mut child = Program::new(programs::example("relay")).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on ").unwrap().to_owned();
    (Running { child, _output: output }, address)
}

fn dial(address: &str, listener: impl Listener) -> Peer {
    let config = builder().listener(listener).build().unwrap();
    let peer = Peer::outbound(TcpStream::connect(address).unwrap(), address, &config).unwrap();
    peer.wait_for_handshake().unwrap();
    peer.ping().unwrap();
    peer
}

#[test]
fn what_one_announces_reaches_the_others_once() {
    let (_running, address) = relay();
    let tx = Transaction::new(&TxFields { version: 1, lock_time: 7, ..TxFields::default() }).unwrap();
    let item = Inventory::tx(tx.id());
    let told: Vec<Recorder> = (0..3).map(|_| Recorder::default()).collect();
    let others: Vec<Peer> = told.iter().map(|told| dial(&address, told.clone())).collect();
    let owner = dial(&address, Owner(tx.clone()));

    owner.queue_inventory(item).unwrap();
    for (peer, told) in others.iter().zip(&told) {
        assert_eq!(told.wait_for::<Inv>().items, [item]);
        peer.queue_message(&GetData::from(vec![item, Inventory::tx(Hash::ZERO)])).unwrap();
        assert_eq!(told.wait_for::<Transaction>(), tx);
        told.wait_for_count(Command::NotFound, 1);
    }
    // Announced again by another, it is nothing new to anybody.
    let again = dial(&address, ());
    again.queue_inventory(item).unwrap();
    again.ping().unwrap();
    for peer in &others {
        peer.ping().unwrap();
    }
    for told in &told {
        let count = told.told(|told| told.messages.iter().filter(|m| m.command() == Command::Inv).count());
        assert_eq!(count, 1);
    }
}
