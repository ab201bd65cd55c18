//! A hub: what one peer announces is fetched once, and announced to all the others.

use crossbeam_channel::{after, bounded, never, select, tick};
use hashlink::{LinkedHashMap, LinkedHashSet};
use kaspa_peer::wire::{
    Block, Encode, Frame, GetData, Inv, Inventory, InventoryType, Network, NotFound, Services, Transaction,
};
use kaspa_peer::{Config, DisconnectReason, Listener, Peer, QueueError};
use lexopt::prelude::*;
use parking_lot::Mutex;
use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::{collections::HashMap, error::Error, sync::Arc, thread, time::Duration};

const USAGE: &str = "Usage: relay [--network N] [--listen ADDR] [--connect ADDR]… [--for SECONDS]\n";

/// How many bytes of transactions and blocks are kept for those who ask.
const STORE_BYTES: usize = 64 << 20;

/// How many things are remembered as seen.
const SEEN: usize = 100_000;

/// One listener for all peers.
#[derive(Default)]
struct Hub {
    /// The listener keeps its peers, which is a cycle; it is broken when a peer goes.
    peers: Mutex<HashMap<u64, Peer>>,
    /// What was announced to us or came, oldest forgotten first.
    seen: Mutex<LinkedHashSet<Inventory>>,
    store: Mutex<Store>,
    relayed: AtomicU64,
    dropped: AtomicU64,
}

/// Frames by what they carry, encoded once and sent to whoever asks; oldest forgotten first.
#[derive(Default)]
struct Store {
    frames: LinkedHashMap<Inventory, Frame>,
    bytes: usize,
}

impl Store {
    fn insert(&mut self, item: Inventory, frame: Frame) {
        self.bytes += frame.as_bytes().len();
        self.bytes -= self.frames.insert(item, frame).map_or(0, |same| same.as_bytes().len());
        while self.bytes > STORE_BYTES
            && let Some((_, oldest)) = self.frames.pop_front()
        {
            self.bytes -= oldest.as_bytes().len();
        }
    }
}

impl Hub {
    fn is_new(&self, item: Inventory) -> bool {
        let mut seen = self.seen.lock();
        let is_new = seen.insert(item);
        while seen.len() > SEEN && seen.pop_front().is_some() {}
        is_new
    }

    /// Keeps what arrived, and tells everybody but who sent it.
    fn relay<M: Encode>(&self, from: &Peer, item: Inventory, message: &M) {
        // Encoded once, however many will ask for it.
        let Ok(frame) = Frame::encode(message, from.config().network()) else { return };
        self.is_new(item);
        self.store.lock().insert(item, frame);
        self.relayed.fetch_add(1, Relaxed);
        let others: Vec<Peer> = self.peers.lock().values().filter(|peer| peer.id() != from.id()).cloned().collect();
        for peer in others {
            let result = peer.queue_inventory(item);
            self.judge(&peer, result);
        }
    }

    /// The policy for slow peers: who has so much waiting that nothing more fits has to go.
    fn judge(&self, peer: &Peer, result: Result<(), QueueError>) {
        if let Err(QueueError::Full { .. } | QueueError::InventoryFull { .. }) = result {
            self.dropped.fetch_add(1, Relaxed);
            peer.disconnect();
        }
    }

    fn status(&self) -> String {
        let (relayed, dropped) = (self.relayed.load(Relaxed), self.dropped.load(Relaxed));
        format!("{} peers, {relayed} relayed, {dropped} slow ones dropped", self.peers.lock().len())
    }

    fn add(&self, peer: Peer) {
        println!("{peer}: connected");
        self.peers.lock().insert(peer.id(), peer.clone());
        // It may have gone before it was there to be removed.
        if peer.disconnect_reason().is_some() {
            self.peers.lock().remove(&peer.id());
        }
    }
}

impl Listener for Hub {
    fn on_inv(&self, peer: &Peer, inv: Inv) {
        let wanted: Vec<Inventory> = inv.items.into_iter().filter(|item| self.is_new(*item)).collect();
        for batch in wanted.chunks(50) {
            self.judge(peer, peer.queue_message(&GetData::from(batch.to_vec())));
        }
    }

    fn on_tx(&self, peer: &Peer, tx: Transaction) {
        self.relay(peer, Inventory::tx(tx.id()), &tx);
    }

    fn on_block(&self, peer: &Peer, block: Block) {
        self.relay(peer, Inventory::block(block.hash()), &block);
    }

    fn on_get_data(&self, peer: &Peer, wanted: GetData) {
        let mut missing = Vec::new();
        for item in wanted.items {
            let kind = if item.kind == InventoryType::SYNC_BLOCK { InventoryType::BLOCK } else { item.kind };
            match self.store.lock().frames.get(&Inventory::new(kind, item.hash)) {
                Some(frame) => self.judge(peer, peer.queue_frame(frame)),
                None => missing.push(item),
            }
        }
        if !missing.is_empty() {
            self.judge(peer, peer.queue_message(&NotFound::from(missing)));
        }
    }

    fn on_disconnect(&self, peer: &Peer, reason: &DisconnectReason) {
        println!("{peer}: gone: {reason}");
        self.peers.lock().remove(&peer.id());
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let (mut network, mut listen, mut connect, mut until) = (Network::Simnet, "127.0.0.1:0".to_owned(), vec![], None);
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Short('h') | Long("help") => return io::stdout().write_all(USAGE.as_bytes()).map_err(Into::into),
            Long("network") => network = arguments.value()?.parse()?,
            Long("listen") => listen = arguments.value()?.string()?,
            Long("connect") => connect.push(arguments.value()?.string()?),
            Long("for") => until = Some(Duration::from_secs(arguments.value()?.parse()?)),
            other => return Err(other.unexpected().into()),
        }
    }
    let hub = Arc::new(Hub::default());
    let config = Config::builder(network)
        .user_agent("relay", env!("CARGO_PKG_VERSION"), ["example"])
        .services(Services::NETWORK)
        .shared_listener(hub.clone())
        .build()?;

    for address in &connect {
        hub.add(Peer::outbound(TcpStream::connect(address)?, address, &config)?);
    }
    let door = TcpListener::bind(&listen)?;
    println!("listening on {}", door.local_addr()?);
    let guests = Arc::clone(&hub);
    thread::spawn(move || {
        // The thread ends with the process; the program owns the door, not the library.
        loop {
            match door.accept().map(|(stream, from)| Peer::inbound(stream, from, &config)) {
                Ok(Ok(peer)) => guests.add(peer),
                // Too many open files, say: no use in trying again at once.
                refused => {
                    eprintln!("not accepted: {refused:?}");
                    thread::sleep(Duration::from_secs(1));
                }
            }
        }
    });

    let (stop, stopped) = bounded(1);
    ctrlc::set_handler(move || _ = stop.try_send(()))?;
    let end = until.map_or_else(never, after);
    let status = tick(Duration::from_secs(1));
    let mut last = String::new();
    loop {
        select! {
            recv(status) -> _ => {
                let line = hub.status();
                if line != last {
                    println!("{line}");
                    last = line;
                }
            }
            recv(stopped) -> _ => break,
            recv(end) -> _ => break,
        }
    }

    let peers: Vec<Peer> = hub.peers.lock().drain().map(|(_, peer)| peer).collect();
    println!("saying goodbye to {} peers", peers.len());
    peers.iter().for_each(Peer::disconnect);
    Ok(peers.iter().try_for_each(|peer| peer.wait_for_disconnect().map(drop))?)
}
