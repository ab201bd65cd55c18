//! Answers that can be long: a thread for each peer that asks for some.
//!
//! A callback runs on the thread that reads, and may not wait until the remote takes what it asked for. So it only
//! writes down the order; here the answers are sent one after the other, each as soon as there is room, and a request
//! for a thousand blocks needs the memory of a few. What bounds the orders is how much they ask for.

use crate::dag::Dag;
use crate::options::Failure;
use crossbeam_channel::{Receiver, Sender, unbounded};
use kaspa_peer::wire::*;
use kaspa_peer::{Peer, QueueError};
use parking_lot::RwLock;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// So many things may be asked for and not yet answered: the longest request, and a few others meanwhile.
const MAX_WAITING: usize = MAX_INVENTORY + MAX_INVENTORY / 10;

/// How long there may be no room for the next answer. The write timeout ends a remote that takes nothing before that,
/// though a write of which a part was taken may wait twice as long.
const PATIENCE: Duration = Duration::from_secs(90);

/// Something to be answered.
pub enum Order {
    Data(GetData),
    Headers(GetHeaders),
    BlockInvs(GetBlockInvs),
    Locator(GetLocator),
}

impl Order {
    fn size(&self) -> usize {
        match self {
            // An empty one is as large as a few items.
            Self::Data(request) => 4 + request.items.len(),
            // They are small to keep and make work.
            Self::Headers(_) => Headers::MAX,
            Self::BlockInvs(_) | Self::Locator(_) => 100,
        }
    }
}

/// Where orders of one peer are left. Dropping it ends the thread, after the answer it is at.
#[derive(Default)]
pub struct Server {
    orders: Option<Sender<Order>>,
    waiting: Arc<AtomicUsize>,
}

impl Server {
    /// Leaves an order. Never blocks; fails when too much is ordered already.
    pub fn order(&mut self, order: Order, peer: &Peer, dag: &Arc<RwLock<Dag>>) -> Result<(), Failure> {
        let size = order.size();
        if self.waiting.fetch_add(size, Ordering::Relaxed) + size > MAX_WAITING {
            return Err("asks for more than it takes".into());
        }
        let orders = match &self.orders {
            Some(orders) => orders,
            None => self.orders.insert(self.start(peer, dag)?),
        };
        // The thread ends before its time only with the connection.
        let _ = orders.send(order);
        Ok(())
    }

    fn start(&self, peer: &Peer, dag: &Arc<RwLock<Dag>>) -> Result<Sender<Order>, Failure> {
        let (sender, orders) = unbounded();
        let waiting = Arc::clone(&self.waiting);
        let (peer, dag) = (peer.clone(), Arc::clone(dag));
        thread::Builder::new()
            .name(format!("serve-{}", peer.id()))
            .spawn(move || Serve { peer: &peer, dag: &dag }.all(&orders, &waiting))?;
        Ok(sender)
    }
}

struct Serve<'a> {
    peer: &'a Peer,
    dag: &'a RwLock<Dag>,
}

impl Serve<'_> {
    fn all(&self, orders: &Receiver<Order>, waiting: &AtomicUsize) {
        for order in orders {
            let size = order.size();
            if let Err(error) = self.answer(order) {
                if self.peer.disconnect_reason().is_none() {
                    eprintln!("kpeer listen: {}: {error}", self.peer);
                }
                return self.peer.disconnect();
            }
            waiting.fetch_sub(size, Ordering::Relaxed);
        }
    }

    fn answer(&self, order: Order) -> Result<(), Failure> {
        match order {
            Order::Data(request) => self.data(request.items)?,
            Order::Headers(GetHeaders { low, high }) => match self.headers(&low, &high)? {
                Some(headers) => self.send(&Headers { headers })?,
                None => self.refuse(Command::GetHeaders)?,
            },
            Order::BlockInvs(GetBlockInvs { low, high }) => {
                let blocks = self.dag.read().between(&low, &high, MAX_INVENTORY);
                match blocks {
                    Some(blocks) => self.send(&blocks.into_iter().map(Inventory::sync_block).collect::<Inv>())?,
                    None => self.refuse(Command::GetBlockInvs)?,
                }
            }
            Order::Locator(GetLocator { low, high }) => {
                let locator = self.dag.read().locator(&high, &low);
                match locator {
                    Some(hashes) => self.send(&Locator { hashes })?,
                    None => self.refuse(Command::GetLocator)?,
                }
            }
        }
        Ok(())
    }

    fn data(&self, items: Vec<Inventory>) -> Result<(), Failure> {
        let mut missing = Vec::new();
        for item in items {
            // Looked up one at a time: what is not sent yet is not in memory, and nobody waits for the DAG meanwhile.
            let found: Option<Message> = match item.kind {
                InventoryType::TX => self.dag.read().transaction(&item.hash)?.map(Message::from),
                InventoryType::BLOCK | InventoryType::SYNC_BLOCK | InventoryType::MISSING_ANCESTOR => {
                    self.dag.read().block(&item.hash)?.map(Message::from)
                }
                _ => None,
            };
            match found {
                Some(message) => self.send(&message)?,
                None => missing.push(item),
            }
        }
        if !missing.is_empty() {
            self.send(&NotFound::from(missing))?;
        }
        Ok(())
    }

    fn headers(&self, low: &Hash, high: &Hash) -> Result<Option<Vec<BlockHeader>>, Failure> {
        let Some(blocks) = self.dag.read().between(low, high, Headers::MAX) else { return Ok(None) };
        let headers = blocks.iter().map(|block| self.dag.read().header(block)).collect::<Result<Vec<_>, _>>()?;
        Ok(Some(headers.into_iter().flatten().collect()))
    }

    fn refuse(&self, command: Command) -> Result<(), QueueError> {
        self.send(&Reject::new(command.name(), RejectCode::INVALID, "the high hash is unknown"))
    }

    fn send<M: Encode>(&self, message: &M) -> Result<(), QueueError> {
        self.peer.send_message(message, PATIENCE).map(drop)
    }
}
