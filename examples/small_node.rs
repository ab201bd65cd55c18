//! A small node that serves its blocks, limits its connections, bans remotes that misbehave, and stops in order.
//!
//! `cargo run --example small_node -- ADDR SECONDS` listens there for that time, or without SECONDS until you press
//! Enter. Without arguments, a remote in the same process downloads a block and then misbehaves, and the node stops.

use kaspa_peer::wire::*;
use kaspa_peer::{Config, DisconnectReason, Listener, Peer, ScoreLimit, peer::Inbox};
use std::collections::HashMap;
use std::error::Error;
use std::net::{IpAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{env, io, thread};

const MAX_PEERS: usize = 50;
const MAX_PEERS_PER_IP: usize = 5;
const BAN: Duration = Duration::from_secs(24 * 60 * 60);
const TIMEOUT: Duration = Duration::from_secs(10);

struct Node {
    blocks: HashMap<Hash, Block>,
    /// The end of each ban.
    banned: Mutex<HashMap<IpAddr, Instant>>,
}

impl Node {
    fn banned(&self) -> MutexGuard<'_, HashMap<IpAddr, Instant>> {
        let mut banned = self.banned.lock().unwrap_or_else(PoisonError::into_inner);
        banned.retain(|_, end| *end > Instant::now());
        banned
    }
}

impl Listener for Node {
    fn on_get_data(&self, peer: &Peer, request: GetData) {
        for item in request.items {
            // An answer that cannot be queued is dropped: the remote does not read.
            let _ = match self.blocks.get(&item.hash) {
                Some(block) => peer.queue_message(block),
                None => peer.queue_message(&NotFound::from(vec![item])),
            };
        }
    }

    fn on_tx(&self, peer: &Peer, _: Transaction) {
        // This node asks for no transactions. It bans first: a disconnected remote may dial again at once.
        if let Some(ip) = peer.address().ip() {
            self.banned().insert(ip, Instant::now() + BAN);
        }
        peer.misbehaved(100, "a transaction that was not asked for");
    }

    fn on_disconnect(&self, peer: &Peer, reason: &DisconnectReason) {
        println!("{peer}: {reason}");
    }
}

/// A remote that downloads a block, misbehaves, and is refused when it dials again.
fn visit(address: &str, block: Hash) -> Result<(), Box<dyn Error>> {
    let inbox = Inbox::new();
    let config = Config::builder(Network::Simnet).user_agent("visitor", "1.0").listener(inbox.clone()).build()?;
    let peer = Peer::connect(address, TIMEOUT, &config)?;
    peer.queue_message(&GetData::from(vec![Inventory::block(block)]))?;
    println!("visitor: received block {}", inbox.wait_for::<Block>(TIMEOUT)?.hash());
    peer.queue_message(&Transaction::new(&TxFields::default())?)?;
    println!("visitor: {}", peer.wait_for_disconnect()?);
    println!("visitor: {}", Peer::connect(address, TIMEOUT, &config).err().ok_or("a banned remote was accepted")?);
    Ok(())
}

/// Returns when the node should stop.
fn wait(arguments: &[String], local: &str, block: Hash) -> Result<(), Box<dyn Error>> {
    match arguments {
        [] => visit(local, block)?,
        [_] => drop(io::stdin().read_line(&mut String::new())?),
        [_, text, ..] => thread::sleep(Duration::from_secs(text.parse().map_err(|_| format!("not seconds: {text}"))?)),
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let block = Block::new(BlockHeader::default(), [])?;
    let hash = block.hash();
    let node = Arc::new(Node { blocks: HashMap::from([(hash, block)]), banned: Mutex::default() });
    let builder = Config::builder(Network::Simnet).user_agent("small-node", "1.0").services(Services::NETWORK);
    let config = builder.score_limit(ScoreLimit::default()).listener(Arc::clone(&node)).build()?;
    let address = arguments.first().map_or("127.0.0.1:0", String::as_str);
    let listener = TcpListener::bind(address).map_err(|error| format!("{address}: {error}"))?;
    // `accept` returns at once, so that the loop below can end.
    listener.set_nonblocking(true)?;
    let local = listener.local_addr()?.to_string();
    println!("listening on {local}, serving block {hash}");
    let waiting = thread::spawn(move || wait(&arguments, &local, hash).map_err(|error| error.to_string()));

    let mut peers: Vec<Peer> = Vec::new();
    while !waiting.is_finished() {
        let Ok((stream, from)) = listener.accept() else {
            // No connection waits, or the process has too many open files.
            thread::sleep(Duration::from_millis(50));
            continue;
        };
        peers.retain(Peer::is_connected);
        let from_same_ip = peers.iter().filter(|peer| peer.address().ip() == Some(from.ip())).count();
        if node.banned().contains_key(&from.ip()) || peers.len() >= MAX_PEERS || from_same_ip >= MAX_PEERS_PER_IP {
            println!("{from}: refused");
            continue;
        }
        // On some systems an accepted socket is non-blocking, too.
        stream.set_nonblocking(false)?;
        peers.extend(Peer::inbound(stream, from, &config).inspect_err(|error| println!("{from}: {error}")));
    }

    peers.iter().for_each(Peer::disconnect);
    peers.iter().try_for_each(|peer| peer.wait_for_disconnect().map(drop))?;
    waiting.join().map_err(|_| "the waiting thread panicked")??;
    println!("stopped");
    Ok(())
}
