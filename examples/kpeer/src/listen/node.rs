//! The state of the node, and its callbacks.

use super::address_book::AddressBook;
use super::serve::{Request, Requests};
use crate::dag::Dag;
use crate::generated_dag::{self, Random};
use crate::options::Failure;
use crate::output::Output;
use kaspa_peer::wire::*;
use kaspa_peer::{DagView, DisconnectReason, Listener, Peer, QueueError};
use log::debug;
use parking_lot::{Mutex, RwLock};
use std::collections::HashMap;
use std::io;
use std::sync::Arc;

/// The number of announced items that the node requests of one announcement.
const REQUESTED_AT_ONCE: usize = 50;

/// The node. All its peers share it.
pub struct Node {
    dag: Arc<RwLock<Dag>>,
    addresses: Arc<AddressBook>,
    /// The peers that have sent their `version`. They are removed when they disconnect: a peer that stayed here would
    /// keep the node alive, and the node the peer.
    peers: Mutex<HashMap<u64, (Peer, Requests)>>,
    output: Output,
}

impl Node {
    pub fn new(dag: Arc<RwLock<Dag>>, addresses: AddressBook, output: Output) -> Self {
        Self { dag, addresses: Arc::new(addresses), peers: Mutex::default(), output }
    }

    /// Adds a generated block to the DAG.
    pub fn grow(&self, parents: &[Hash], random: &mut Random) -> Result<Hash, Failure> {
        generated_dag::grow(&mut self.dag.write(), parents, random)
    }

    /// Announces a new block to all peers.
    pub fn announce(&self, block: Hash) {
        let peers: Vec<Peer> = self.peers.lock().values().map(|(peer, _)| peer.clone()).collect();
        for peer in peers {
            // A peer that does not read misses the announcement.
            if let Err(error) = peer.queue_inventory(Inventory::block(block)) {
                debug!("{peer}: {block} not announced: {error}");
            }
        }
    }

    /// Queues a request that takes longer to answer than a callback may take.
    fn request(&self, peer: &Peer, request: Request) {
        let mut peers = self.peers.lock();
        let Some((_, requests)) = peers.get_mut(&peer.id()) else { return };
        if let Err(error) = requests.push(request, peer, &self.dag, &self.addresses, &self.output) {
            drop(peers);
            self.output.warn("listen", format_args!("{peer}: {error}"));
            peer.disconnect();
        }
    }

    /// The announced items that the node lacks, or the first of them.
    fn unknown(&self, items: &[Inventory]) -> Vec<Inventory> {
        let dag = self.dag.read();
        let wanted = |item: &&Inventory| match item.kind {
            InventoryType::BLOCK | InventoryType::SYNC_BLOCK => !dag.contains(&item.hash),
            kind => kind == InventoryType::TX,
        };
        items.iter().filter(wanted).take(REQUESTED_AT_ONCE).copied().collect()
    }
}

/// Logs that an answer was not queued. A callback must not wait for room, so a remote that does not read gets no
/// answer.
fn note<T>(peer: &Peer, result: Result<T, QueueError>) {
    if let Err(error) = result {
        debug!("{peer}: not answered: {error}");
    }
}

impl Listener for Node {
    fn on_message(&self, peer: &Peer, message: &Message) {
        self.output.message(peer, message);
    }

    fn on_version(&self, peer: &Peer, _: Version) {
        self.peers.lock().insert(peer.id(), (peer.clone(), Requests::default()));
    }

    fn on_get_addr(&self, peer: &Peer, request: GetAddr) {
        self.request(peer, Request::Addresses(request));
    }

    fn on_addr(&self, _: &Peer, message: Addr) {
        self.addresses.add(message.addresses);
    }

    fn on_inv(&self, peer: &Peer, message: Inv) {
        let wanted = self.unknown(&message.items);
        if !wanted.is_empty() {
            note(peer, peer.queue_message(&GetData::from(wanted)));
        }
    }

    fn on_get_data(&self, peer: &Peer, message: GetData) {
        self.request(peer, Request::Data(message));
    }

    fn on_get_headers(&self, peer: &Peer, message: GetHeaders) {
        self.request(peer, Request::Headers(message));
    }

    fn on_get_block_invs(&self, peer: &Peer, message: GetBlockInvs) {
        self.request(peer, Request::BlockInvs(message));
    }

    fn on_get_locator(&self, peer: &Peer, message: GetLocator) {
        self.request(peer, Request::Locator(message));
    }

    fn on_write(&self, peer: &Peer, command: Command, bytes: usize, error: Option<&io::Error>) {
        if error.is_none() {
            self.output.sent(peer, command, bytes);
        }
    }

    fn on_disconnect(&self, peer: &Peer, reason: &DisconnectReason) {
        let removed = self.peers.lock().remove(&peer.id());
        // Ends the thread of its requests, without the lock.
        drop(removed);
        self.output.disconnected(peer, reason);
    }
}

/// The DAG as the peers need it.
pub struct View(pub Arc<RwLock<Dag>>);

impl DagView for View {
    fn selected_tip(&self) -> Hash {
        self.0.read().selected_tip()
    }

    fn is_known(&self, block: &Hash) -> bool {
        self.0.read().contains(block)
    }
}
