//! Two nodes in one process hold a conversation over a loopback port.
//!
//! Run it with `cargo run --release --example two_peers`. Alice waits for connections and has a block; Bob dials her.

use kaspa_peer::wire::{
    Addr, Block, BlockHeader, GetAddr, GetData, Hash, Inv, Inventory, InventoryType, NetAddress, Network, NotFound,
    Services, TimedAddress, Transaction, TxFields, TxOutput,
};
use kaspa_peer::{Config, EventKind, Listener, Peer, events, wire::Message};
use std::error::Error;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const TRANSACTIONS: u64 = 2500;

/// What Alice does when she is asked. Callbacks run on the thread of the peer that asks.
struct Alice {
    transactions: Vec<Transaction>,
    block: Block,
}

impl Listener for Alice {
    fn on_get_addr(&self, peer: &Peer, _: GetAddr) {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let known: Vec<TimedAddress> = (1..=3)
            .map(|n| NetAddress::new(SocketAddr::from(([203, 0, 113, n], 16511)), Services::NETWORK))
            .map(|address| TimedAddress { time: time.cast_signed(), address })
            .collect();
        report("alice", peer.push_addresses(&known, None));
    }

    fn on_get_data(&self, peer: &Peer, wanted: GetData) {
        for item in wanted.items {
            let tx = self.transactions.iter().find(|tx| item == Inventory::tx(tx.id()));
            report(
                "alice",
                match tx {
                    Some(tx) => peer.queue_message(tx),
                    None if item == Inventory::block(self.block.hash()) => peer.queue_message(&self.block),
                    None => peer.queue_message(&NotFound::from(vec![item])),
                },
            );
        }
    }
}

/// Nothing here can fail unless the other side is gone or does not read.
fn report<T, E: Error>(who: &str, result: Result<T, E>) {
    if let Err(error) = result {
        eprintln!("{who}: {error}");
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let transactions: Vec<Transaction> = (0..TRANSACTIONS)
        .map(|n| TxFields { version: 1, lock_time: n, outputs: vec![TxOutput::default()], ..TxFields::default() })
        .map(|fields| Transaction::new(&fields))
        .collect::<Result<_, _>>()?;
    let block = Block::new(BlockHeader { time: 1_581_437_000, ..BlockHeader::default() }, &transactions)?;
    let announced: Vec<Inventory> = transactions.iter().map(|tx| Inventory::tx(tx.id())).collect();
    let block_hash = block.hash();

    let alice_node = Config::builder(Network::Simnet)
        .user_agent_with_comments("alice", "1.0", ["has a block"])
        .services(Services::NETWORK)
        .listener(Alice { transactions, block })
        .build()?;
    // Bob prefers a loop to callbacks.
    let (listener, bobs_events) = events(100);
    let bob_node = Config::builder(Network::Simnet)
        .user_agent_with_comments("bob", "1.0", ["curious"])
        .listener(listener)
        .build()?;

    let door = TcpListener::bind("127.0.0.1:0")?;
    let address = door.local_addr()?;
    let bob = Peer::outbound(TcpStream::connect(address)?, address, &bob_node)?;
    let (stream, from) = door.accept()?;
    let alice = Peer::inbound(stream, from, &alice_node)?;

    bob.wait_for_handshake()?;
    alice.wait_for_handshake()?;
    let remote = bob.remote().ok_or("a handshake without a version")?;
    println!("handshake    bob met {} offering {}", remote.user_agent, remote.services);
    println!("ping         {:?} there and back", bob.ping()?);

    bob.queue_message(&GetAddr::all())?;
    alice.queue_inventories(&announced)?;
    alice.queue_inventory(Inventory::block(block_hash))?;

    let mut seen = 0;
    let (mut asked_tx, mut got) = (Hash::ZERO, (false, false));
    while got != (true, true) || seen < TRANSACTIONS {
        let event = bobs_events.recv_timeout(Duration::from_secs(10))?;
        match event.kind {
            EventKind::Message(Message::Addr(Addr { addresses, .. })) => {
                let list: Vec<String> = addresses.iter().map(|known| known.address.to_string()).collect();
                println!("addresses    {}", list.join(", "));
            }
            EventKind::Message(Message::Inv(Inv { items })) => {
                println!(
                    "announced    {} × {}",
                    items.len(),
                    items.first().map_or("nothing".into(), |i| i.kind.to_string())
                );
                let blocks = items.iter().filter(|item| item.kind == InventoryType::BLOCK);
                let mut wanted: Vec<Inventory> = blocks.copied().collect();
                if let (0, Some(first)) = (seen, items.iter().find(|item| item.kind == InventoryType::TX)) {
                    asked_tx = first.hash;
                    wanted.push(*first);
                }
                seen += items.iter().filter(|item| item.kind == InventoryType::TX).count() as u64;
                if !wanted.is_empty() {
                    bob.queue_message(&GetData::from(wanted))?;
                }
            }
            EventKind::Message(Message::Tx(tx)) => {
                got.0 = tx.id() == asked_tx;
                println!("transaction  {} with {} output", tx.id(), tx.outputs().len());
            }
            EventKind::Message(Message::Block(block)) => {
                got.1 = block.hash() == block_hash;
                println!("block        {} with {} transactions", block.hash(), block.transactions().len());
            }
            EventKind::Disconnected(reason) => return Err(format!("too early: {reason}").into()),
            _ => {}
        }
    }

    println!("\n             {:>9} {:>9} {:>9} {:>9}  {:>10}", "sent", "bytes", "received", "bytes", "ping");
    for (name, peer) in [("alice", &alice), ("bob", &bob)] {
        let stats = peer.stats();
        let (sent, received) = (stats.sent.total(), stats.received.total());
        print!("{name:<12} {:>9} {:>9} {:>9} {:>9}", sent.messages, sent.bytes, received.messages, received.bytes);
        println!("  {:>10}", stats.min_rtt.map_or("–".to_owned(), |rtt| format!("{rtt:.1?}")));
    }

    bob.disconnect();
    println!("\ngoodbye      bob: {}", bob.wait_for_disconnect()?);
    println!("             alice: {}", alice.wait_for_disconnect()?);
    Ok(())
}
