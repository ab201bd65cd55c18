//! What the node knows, and what it does when it is told something.

use super::serve::{Order, Server};
use crate::dag::Dag;
use crate::generated_dag::{self, Chance};
use crate::options::Failure;
use crate::output::Output;
use hashlink::LinkedHashMap;
use kaspa_peer::wire::*;
use kaspa_peer::{DagView, DisconnectReason, Listener, Peer, QueueError};
use log::debug;
use parking_lot::{Mutex, RwLock};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// How many addresses are remembered.
const ADDRESS_BOOK: usize = 1000;

/// How much of one announcement is asked for.
const ASKED_AT_ONCE: usize = 50;

/// The node. One for all its peers.
pub struct Listen {
    dag: Arc<RwLock<Dag>>,
    here: SocketAddr,
    /// What it was told to know from the beginning. Others can add to it, and not replace it.
    knows: Vec<SocketAddr>,
    /// The last that was heard of is at the end.
    addresses: Mutex<LinkedHashMap<SocketAddr, TimedAddress>>,
    /// Those who have introduced themselves. They are taken out when they go, or the node would keep itself alive.
    peers: Mutex<HashMap<u64, (Peer, Server)>>,
    output: Output,
}

impl Listen {
    pub fn new(dag: Arc<RwLock<Dag>>, here: SocketAddr, knows: Vec<SocketAddr>, output: Output) -> Self {
        Self { dag, here, knows, addresses: Mutex::default(), peers: Mutex::default(), output }
    }

    pub fn grow(&self, parents: &[Hash], chance: &mut Chance) -> Result<Hash, Failure> {
        generated_dag::grow(&mut self.dag.write(), parents, chance)
    }

    /// Tells everybody of a new block.
    pub fn announce(&self, block: Hash) {
        let peers: Vec<Peer> = self.peers.lock().values().map(|(peer, _)| peer.clone()).collect();
        for peer in peers {
            // Who does not read misses it, or is gone.
            if let Err(error) = peer.queue_inventory(Inventory::block(block)) {
                debug!("{peer}: not told of {block}: {error}");
            }
        }
    }

    /// Has something done that takes longer than a callback may.
    fn order(&self, peer: &Peer, order: Order) {
        let mut peers = self.peers.lock();
        let Some((_, server)) = peers.get_mut(&peer.id()) else { return };
        if let Err(error) = server.order(order, peer, &self.dag) {
            drop(peers);
            eprintln!("kpeer listen: {peer}: {error}");
            peer.disconnect();
        }
    }

    /// Which of these it does not have.
    fn unknown(&self, items: &[Inventory]) -> Vec<Inventory> {
        let dag = self.dag.read();
        let wanted = |item: &&Inventory| match item.kind {
            InventoryType::BLOCK | InventoryType::SYNC_BLOCK => !dag.contains(&item.hash),
            kind => kind == InventoryType::TX,
        };
        items.iter().filter(wanted).take(ASKED_AT_ONCE).copied().collect()
    }
}

/// An answer that a callback gives must not wait for room: a remote that does not read does without.
fn note<T>(peer: &Peer, result: Result<T, QueueError>) {
    if let Err(error) = result {
        debug!("{peer}: not answered: {error}");
    }
}

impl Listener for Listen {
    fn on_message(&self, peer: &Peer, message: &Message) {
        self.output.message(peer, message);
    }

    fn on_version(&self, peer: &Peer, _: Version) {
        self.peers.lock().insert(peer.id(), (peer.clone(), Server::default()));
    }

    fn on_get_addr(&self, peer: &Peer, request: GetAddr) {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs().cast_signed());
        let mut known: Vec<TimedAddress> = self.addresses.lock().values().copied().collect();
        known.truncate(Addr::MAX.saturating_sub(self.knows.len() + 1));
        let surely = self.knows.iter().map(|address| NetAddress::new(*address, Services::NETWORK));
        let here = NetAddress::new(self.here, peer.config().services());
        known.extend(surely.chain([here]).map(|address| TimedAddress { time, address }));
        // Nobody likes an answer for all subnetworks, though one may ask for it.
        let subnetwork = match request.scope {
            AddressScope::Subnetwork(id) => Some(id),
            _ => None,
        };
        note(peer, peer.push_addresses(&known, subnetwork).map(drop));
    }

    fn on_addr(&self, _: &Peer, message: Addr) {
        let mut known = self.addresses.lock();
        for address in message.addresses {
            known.insert(address.address.socket_addr(), address);
            if known.len() > ADDRESS_BOOK {
                known.pop_front();
            }
        }
    }

    fn on_inv(&self, peer: &Peer, message: Inv) {
        let wanted = self.unknown(&message.items);
        if !wanted.is_empty() {
            note(peer, peer.queue_message(&GetData::from(wanted)));
        }
    }

    fn on_get_data(&self, peer: &Peer, message: GetData) {
        self.order(peer, Order::Data(message));
    }

    fn on_get_headers(&self, peer: &Peer, message: GetHeaders) {
        self.order(peer, Order::Headers(message));
    }

    fn on_get_block_invs(&self, peer: &Peer, message: GetBlockInvs) {
        self.order(peer, Order::BlockInvs(message));
    }

    fn on_get_locator(&self, peer: &Peer, message: GetLocator) {
        self.order(peer, Order::Locator(message));
    }

    fn on_write(&self, peer: &Peer, command: Command, bytes: usize, error: Option<&io::Error>) {
        if error.is_none() {
            self.output.sent(peer, command, bytes);
        }
    }

    fn on_disconnect(&self, peer: &Peer, reason: &DisconnectReason) {
        let gone = self.peers.lock().remove(&peer.id());
        drop(gone);
        self.output.disconnected(peer, reason);
    }
}

/// The DAG as each peer sees it.
pub struct View(pub Arc<RwLock<Dag>>);

impl DagView for View {
    fn selected_tip(&self) -> Hash {
        self.0.read().selected_tip()
    }

    fn is_known(&self, block: &Hash) -> bool {
        self.0.read().contains(block)
    }
}
