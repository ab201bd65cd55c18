//! Answers the requests whose answers can be long, on a thread for each peer that sends some.
//!
//! A callback runs on the peer's reader thread and must not wait for room in the outbound queue. So callbacks only
//! queue the requests. This thread answers one after the other, and looks up each item when there is room to send it,
//! so that a request for a thousand blocks needs the memory of a few. The queue is bounded by what its requests ask
//! for, and the work by a [`Budget`].

use super::address_book::AddressBook;
use super::budget::{Budget, Work};
use crate::dag::{Between, Dag};
use crate::options::Failure;
use crate::output::Output;
use crossbeam_channel::{Receiver, Sender, unbounded};
use kaspa_peer::wire::*;
use kaspa_peer::{Peer, QueueError};
use parking_lot::RwLock;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How many items may be requested and not answered yet: one request of the maximum length, and a few others.
const MAX_WAITING: usize = MAX_INVENTORY + MAX_INVENTORY / 10;

/// How long an answer may wait for room. The write timeout ends a remote that takes nothing before that.
const SEND_TIMEOUT: Duration = Duration::from_secs(90);

/// The work for an answer that is found with one lookup.
const LOOKUP: Work = Work { lookups: 1, looked_at: 0, bytes: 0 };

/// A request to be answered.
pub enum Request {
    Data(GetData),
    Headers(GetHeaders),
    BlockInvs(GetBlockInvs),
    Locator(GetLocator),
    Addresses(GetAddr),
}

impl Request {
    fn size(&self) -> usize {
        match self {
            // An empty request takes as much memory as a few items.
            Self::Data(request) => 4 + request.items.len(),
            // These take little memory, and much work.
            Self::Headers(_) => Headers::MAX,
            Self::BlockInvs(_) | Self::Locator(_) => 100,
            Self::Addresses(_) => Addr::MAX,
        }
    }
}

/// The requests of one peer. Dropping it ends the thread after the answer that it is sending.
#[derive(Default)]
pub struct Requests {
    sender: Option<Sender<Request>>,
    waiting: Arc<AtomicUsize>,
}

impl Requests {
    /// Queues a request and returns at once. An error means that too much is requested already, or that the thread
    /// cannot be started.
    pub fn push(
        &mut self,
        request: Request,
        peer: &Peer,
        dag: &Arc<RwLock<Dag>>,
        addresses: &Arc<AddressBook>,
        output: &Output,
    ) -> Result<(), Failure> {
        let size = request.size();
        if self.waiting.fetch_add(size, Ordering::Relaxed) + size > MAX_WAITING {
            return Err("requests more than it reads".into());
        }
        let sender = match &self.sender {
            Some(sender) => sender,
            None => self.sender.insert(self.start(peer, dag, addresses, output)?),
        };
        // Sending fails after the thread has ended, which it does only when the connection has.
        let _ = sender.send(request);
        Ok(())
    }

    fn start(
        &self,
        peer: &Peer,
        dag: &Arc<RwLock<Dag>>,
        addresses: &Arc<AddressBook>,
        output: &Output,
    ) -> Result<Sender<Request>, Failure> {
        let (sender, requests) = unbounded();
        let waiting = Arc::clone(&self.waiting);
        let (peer, dag, addresses, output) = (peer.clone(), Arc::clone(dag), Arc::clone(addresses), output.clone());
        thread::Builder::new().name(format!("serve-{}", peer.id())).spawn(move || {
            let budget = Budget::new(Instant::now());
            Server { peer: &peer, dag: &dag, addresses: &addresses, output: &output, budget }.run(&requests, &waiting);
        })?;
        Ok(sender)
    }
}

struct Server<'a> {
    peer: &'a Peer,
    dag: &'a RwLock<Dag>,
    addresses: &'a AddressBook,
    output: &'a Output,
    budget: Budget,
}

impl Server<'_> {
    fn run(&mut self, requests: &Receiver<Request>, waiting: &AtomicUsize) {
        for request in requests {
            let size = request.size();
            if let Err(error) = self.answer(request) {
                if self.peer.disconnect_reason().is_none() {
                    self.output.warn("listen", format_args!("{}: {error}", self.peer));
                }
                return self.peer.disconnect();
            }
            waiting.fetch_sub(size, Ordering::Relaxed);
        }
    }

    fn answer(&mut self, request: Request) -> Result<(), Failure> {
        match request {
            Request::Addresses(request) => self.addresses(request.scope),
            Request::Data(request) => self.data(request.items),
            Request::Headers(GetHeaders { low, high }) => {
                let found = self.dag.read().between(&low, &high, Headers::MAX);
                match found {
                    Some(found) => self.headers(&found),
                    None => self.reject(Command::GetHeaders),
                }
            }
            Request::BlockInvs(GetBlockInvs { low, high }) => {
                let found = self.dag.read().between(&low, &high, MAX_INVENTORY);
                match found {
                    Some(Between { blocks, looked_at }) => {
                        let inv: Inv = blocks.into_iter().map(Inventory::sync_block).collect();
                        self.send(Work { looked_at, ..LOOKUP }, &inv)
                    }
                    None => self.reject(Command::GetBlockInvs),
                }
            }
            Request::Locator(GetLocator { low, high }) => {
                let locator = self.dag.read().locator(&high, &low);
                match locator {
                    Some(hashes) => self.send(LOOKUP, &Locator { hashes }),
                    None => self.reject(Command::GetLocator),
                }
            }
        }
    }

    fn addresses(&mut self, scope: AddressScope) -> Result<(), Failure> {
        // kaspad refuses an answer for all subnetworks, though a node may ask for one.
        let scope = match scope {
            AddressScope::Subnetwork(id) => AddressScope::Subnetwork(id),
            _ => AddressScope::FullNodes,
        };
        let addresses = self.addresses.addresses(self.peer.settings().services());
        self.send(LOOKUP, &Addr { scope, addresses })
    }

    fn data(&mut self, items: Vec<Inventory>) -> Result<(), Failure> {
        let mut missing = Vec::new();
        for item in items {
            match item.kind {
                InventoryType::TX => {
                    let tx = self.dag.read().transaction(&item.hash)?;
                    if let Some(tx) = tx {
                        self.send(LOOKUP, &tx)?;
                        continue;
                    }
                }
                InventoryType::BLOCK | InventoryType::SYNC_BLOCK | InventoryType::MISSING_ANCESTOR => {
                    let frame = self.dag.read().block(&item.hash)?;
                    if let Some(frame) = frame {
                        let _ = self.peer.send_frame(&frame, SEND_TIMEOUT)?;
                        self.charge(Work { bytes: frame.as_bytes().len(), ..LOOKUP })?;
                        continue;
                    }
                }
                _ => {}
            }
            missing.push(item);
            self.charge(LOOKUP)?;
        }
        if missing.is_empty() { Ok(()) } else { self.send(Work::default(), &NotFound::from(missing)) }
    }

    fn headers(&mut self, found: &Between) -> Result<(), Failure> {
        let headers = found.blocks.iter().map(|block| self.dag.read().header(block)).collect::<Result<Vec<_>, _>>()?;
        let headers: Vec<BlockHeader> = headers.into_iter().flatten().collect();
        let work = Work { lookups: headers.len(), looked_at: found.looked_at, ..Work::default() };
        self.send(work, &Headers { headers })
    }

    fn reject(&mut self, command: Command) -> Result<(), Failure> {
        self.send(LOOKUP, &Reject::new(command.name(), RejectCode::INVALID, "the high hash is unknown"))
    }

    /// Sends an answer, and charges its size and the work for it.
    fn send<M: Encode>(&mut self, work: Work, message: &M) -> Result<(), Failure> {
        let _ = self.peer.send_message(message, SEND_TIMEOUT)?;
        self.charge(Work { bytes: message.encoded_len(), ..work })
    }

    /// Waits as long as the budget requires.
    fn charge(&mut self, work: Work) -> Result<(), Failure> {
        let wait = self.budget.charge(work, Instant::now());
        if !wait.is_zero()
            && let Ok(reason) = self.peer.wait_for_disconnect_timeout(wait)
        {
            return Err(QueueError::Closed(reason).into());
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use kaspa_peer::testing::connect_remote;
    use kaspa_peer::{Config, Direction};
    use std::net::SocketAddr;

    fn block(parent: Hash, nonce: u64) -> Block {
        Block::new(BlockHeader { parents: vec![parent], nonce, ..BlockHeader::default() }, []).unwrap()
    }

    #[test]
    fn requests_are_charged_for_the_blocks_that_their_answers_leave_out() {
        const CHAIN: u64 = 1000;
        let network = Network::Simnet;
        let genesis = crate::genesis::block(network).unwrap();
        let (low, side) = (genesis.hash(), block(genesis.hash(), u64::MAX));
        let high = side.hash();
        let mut dag = Dag::new(genesis, network);
        dag.push(side).unwrap();
        let mut tip = low;
        for nonce in 0..CHAIN {
            tip = dag.push(block(tip, nonce)).unwrap();
        }

        let (dag, output) = (RwLock::new(dag), Output::new(false));
        let config = Config::builder(network).build().unwrap();
        let (peer, _remote) = connect_remote(Direction::Inbound, &config).unwrap();
        let addresses = AddressBook::new(SocketAddr::from(([127, 0, 0, 1], 1)), Vec::new());
        for request in [Request::BlockInvs(GetBlockInvs { low, high }), Request::Headers(GetHeaders { low, high })] {
            let budget = Budget::new(Instant::now());
            let before = budget.left();
            let mut server = Server { peer: &peer, dag: &dag, addresses: &addresses, output: &output, budget };
            server.answer(request).unwrap();
            // The answer has one block, and the search looks at the whole chain.
            let cost = before - server.budget.left();
            assert!((36 * CHAIN..36 * CHAIN + 10_000).contains(&cost), "{cost}");
        }
    }
}
