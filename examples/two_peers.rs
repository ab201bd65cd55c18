//! Two nodes in one process hold a conversation over a loopback connection.
//!
//! Alice accepts the connection, and has a block and 2500 transactions. Bob dials her, asks for addresses, reads her
//! announcements, and downloads the block and one transaction.
//!
//! Run it with `cargo run --release --example two_peers`.

use kaspa_peer::peer::Inbox;
use kaspa_peer::wire::{
    Addr, Block, BlockHeader, GetAddr, GetData, Hash, Inv, Inventory, InventoryType, NetAddress, Network, NotFound,
    Services, TimedAddress, Transaction, TxFields, TxOutput,
};
use kaspa_peer::{Config, Listener, Peer};
use std::collections::HashMap;
use std::error::Error;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

const TRANSACTIONS: u64 = 2500;

/// How long Bob waits for each answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The block and the transactions that Alice serves.
struct Alice {
    transactions: HashMap<Hash, Transaction>,
    block: Block,
}

/// The callbacks of Alice's peers. An answer that cannot be queued is dropped: the remote has gone, or does not read.
impl Listener for Alice {
    fn on_get_addr(&self, peer: &Peer, _: GetAddr) {
        let nodes = (1..=3).map(|host| SocketAddr::from(([203, 0, 113, host], 16511)));
        let known = nodes.map(|node| TimedAddress::now(NetAddress::new(node, Services::NETWORK)));
        let _ = peer.push_addresses(&known.collect::<Vec<_>>(), None);
    }

    fn on_get_data(&self, peer: &Peer, request: GetData) {
        for item in request.items {
            let _ = match self.transactions.get(&item.hash) {
                Some(tx) if item.kind == InventoryType::TX => peer.queue_message(tx),
                _ if item == Inventory::block(self.block.hash()) => peer.queue_message(&self.block),
                _ => peer.queue_message(&NotFound::from(vec![item])),
            };
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let transaction = |lock_time| TxFields { lock_time, outputs: vec![TxOutput::default()], ..TxFields::default() };
    let transactions =
        (0..TRANSACTIONS).map(|number| Transaction::new(&transaction(number))).collect::<Result<Vec<_>, _>>()?;
    let announced: Vec<Inventory> = transactions.iter().map(|tx| Inventory::tx(tx.id())).collect();
    let block = Block::new(BlockHeader { time: 1_581_437_000, ..BlockHeader::default() }, &transactions)?;
    let block_item = Inventory::block(block.hash());
    let transactions = transactions.into_iter().map(|tx| (tx.id(), tx)).collect();

    // Alice answers in callbacks. Bob takes the messages that he waits for out of an inbox.
    let alice_node = Config::builder(Network::Simnet)
        .user_agent("alice", "1.0")
        .services(Services::NETWORK)
        .listener(Alice { transactions, block })
        .build()?;
    let inbox = Inbox::new();
    let bob_node = Config::builder(Network::Simnet).user_agent("bob", "1.0").listener(inbox.clone()).build()?;

    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let bob = Peer::outbound(TcpStream::connect(address)?, address, &bob_node)?;
    let (stream, from) = listener.accept()?;
    let alice = Peer::inbound(stream, from, &alice_node)?;
    bob.wait_for_handshake()?;
    alice.wait_for_handshake()?;
    let remote = bob.remote().ok_or("no version message")?;
    println!("handshake    bob met {} which offers {}", remote.user_agent, remote.services);
    println!("ping         {:?} there and back", bob.ping()?);

    bob.queue_message(&GetAddr::all())?;
    let known: Addr = inbox.wait_for(TIMEOUT)?;
    let known: Vec<String> = known.addresses.iter().map(|known| known.address.to_string()).collect();
    println!("addresses    {}", known.join(", "));

    // A block is announced at once. Transactions are collected and announced together, at most 1000 in a message.
    alice.queue_inventories(&announced)?;
    alice.queue_inventory(block_item)?;
    let mut items = Vec::new();
    while items.len() < announced.len() + 1 {
        let inv: Inv = inbox.wait_for(TIMEOUT)?;
        println!("announced    {} × {}", inv.items.len(), inv.items.first().ok_or("an empty inv")?.kind);
        items.extend(inv.items);
    }

    let wanted = items.into_iter().find(|item| item.kind == InventoryType::TX).ok_or("no transaction")?;
    bob.queue_message(&GetData::from(vec![wanted, block_item]))?;
    let tx: Transaction = inbox.wait_for(TIMEOUT)?;
    println!("transaction  {} with {} output", tx.id(), tx.outputs().len());
    let block: Block = inbox.wait_for(TIMEOUT)?;
    println!("block        {} with {} transactions", block.hash(), block.transactions().len());

    println!("\n{:>18} {:>9} {:>9} {:>9}", "sent", "bytes", "received", "bytes");
    for (name, peer) in [("alice", &alice), ("bob", &bob)] {
        let stats = peer.stats();
        let (sent, received) = (stats.sent.total(), stats.received.total());
        println!("{name:<8} {:>9} {:>9} {:>9} {:>9}", sent.messages, sent.bytes, received.messages, received.bytes);
    }

    bob.disconnect();
    println!("\nbob:   {}", bob.wait_for_disconnect()?);
    println!("alice: {}", alice.wait_for_disconnect()?);
    Ok(())
}
