//! Methods that queue messages and announcements.

use crate::peer::connection::outbound::Wait;
use crate::peer::error::QueueError;
use crate::peer::handle::Peer;
use crate::peer::receipt::Receipt;
use crate::wire::{Encode, Frame, Inventory};
use std::{sync::Arc, time::Duration};

impl Peer {
    /// Queues a message to be sent. Never waits.
    ///
    /// The message is encoded at once and only borrowed, so the caller still has it after an error. A message that is
    /// queued before the handshake is sent after our `verack`. The [`Receipt`] says whether the message was written; a
    /// program that does not need the receipt can drop it.
    ///
    /// ```
    /// use kaspa_peer::QueueError;
    /// use kaspa_peer::wire::{FeeFilter, Ping};
    /// # use kaspa_peer::{Config, Peer, wire::Network};
    /// # let config = Config::builder(Network::Simnet).build()?;
    /// # let server = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// # let remote = std::net::TcpStream::connect(server.local_addr()?)?;
    /// # let (stream, from) = server.accept()?;
    /// # let peer = Peer::inbound(stream, from, &config)?;
    ///
    /// match peer.queue_message(&FeeFilter { min_fee: 1000 }) {
    ///     Ok(_receipt) => {}
    ///     Err(QueueError::Full { queued, .. }) => println!("{queued} bytes wait: try again later"),
    ///     Err(QueueError::Closed(reason)) => println!("disconnected: {reason}"),
    ///     Err(error) => println!("cannot be sent: {error}"),
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`QueueError::Full`] if the outbound queue has no room; [`QueueError::Closed`] if the connection has ended;
    /// [`QueueError::Encode`] if the protocol cannot carry the message. None of these errors affects the connection.
    pub fn queue_message<M: Encode + ?Sized>(&self, message: &M) -> Result<Receipt, QueueError> {
        self.shared().queue(message, Wait::No).map(|position| self.receipt(position))
    }

    /// Like [`queue_message`](Self::queue_message), but waits up to `timeout` for room in the outbound queue. Use this
    /// method to send many messages: the peer then sends them as fast as the remote reads.
    ///
    /// This method waits while the size of the queue is at or above the [high-water
    /// mark](crate::ConfigBuilder::high_water_mark), and while an earlier sender waits. Senders that wait are served in
    /// order. In a callback of this peer, this method does not wait. It queues the message if the [limit of the
    /// queue](crate::ConfigBuilder::queue_limit) allows it.
    ///
    /// # Errors
    ///
    /// As [`queue_message`](Self::queue_message), but [`QueueError::Timeout`] instead of `Full`;
    /// [`QueueError::InCallback`] if the queue is full in a callback of this peer.
    pub fn send_message<M: Encode + ?Sized>(&self, message: &M, timeout: Duration) -> Result<Receipt, QueueError> {
        self.wait_for_room(timeout, |wait| self.shared().queue(message, wait)).map(|position| self.receipt(position))
    }

    /// Queues a message that is already encoded. Never waits.
    ///
    /// Use this method to send the same message to many peers: the message is encoded and hashed once, and the peers
    /// share the bytes of a large frame.
    ///
    /// # Errors
    ///
    /// As [`queue_message`](Self::queue_message), and [`QueueError::Network`] if the frame was encoded for another
    /// network.
    pub fn queue_frame(&self, frame: &Frame) -> Result<Receipt, QueueError> {
        self.shared().queue_frame(frame, Wait::No).map(|position| self.receipt(position))
    }

    /// Like [`queue_frame`](Self::queue_frame), but waits for room as [`send_message`](Self::send_message) does.
    ///
    /// # Errors
    ///
    /// As [`send_message`](Self::send_message), and [`QueueError::Network`] if the frame was encoded for another
    /// network.
    pub fn send_frame(&self, frame: &Frame, timeout: Duration) -> Result<Receipt, QueueError> {
        self.wait_for_room(timeout, |wait| self.shared().queue_frame(frame, wait))
            .map(|position| self.receipt(position))
    }

    /// Calls `queue`, which queues one message and returns its position among all messages of the peer. In a callback
    /// of this peer, passes [`Wait::No`], so that `queue` does not wait for room.
    fn wait_for_room(
        &self,
        timeout: Duration,
        queue: impl FnOnce(Wait) -> Result<u64, QueueError>,
    ) -> Result<u64, QueueError> {
        if !self.shared().lifecycle().identity().is_current() {
            return queue(Wait::AtMost(timeout));
        }
        queue(Wait::No).map_err(|error| match error {
            QueueError::Full { .. } => QueueError::InCallback,
            error => error,
        })
    }

    /// Announces an inventory item with an `inv`, unless the remote is known to have it.
    ///
    /// A block is announced at once, in an `inv` of its own. Transactions, and blocks announced to a node that is
    /// synchronising ([`Inventory::sync_block`](crate::wire::Inventory::sync_block)), are collected and sent after the
    /// [trickle interval](crate::ConfigBuilder::trickle_interval), in messages of at most 1000 items. The remote is
    /// known to have the items that it announced to us, and the items that we announced to it.
    ///
    /// Until our `verack` is queued, this method drops the item and returns `Ok`. When the connection ends, the peer
    /// drops the items that still wait. After the end, [`Stats::inventory_queued`](crate::Stats::inventory_queued)
    /// still says how many there were.
    ///
    /// # Errors
    ///
    /// [`QueueError::InventoryFull`] if too many items wait; [`QueueError::Full`] if the outbound queue has no room for
    /// the announcement of a block; [`QueueError::Closed`] if the connection has ended.
    pub fn queue_inventory(&self, item: Inventory) -> Result<(), QueueError> {
        self.shared().queue_inventory(&[item])
    }

    /// Announces several inventory items, each as [`queue_inventory`](Self::queue_inventory) does.
    ///
    /// # Errors
    ///
    /// As [`queue_inventory`](Self::queue_inventory). After [`QueueError::InventoryFull`] no item of the list is
    /// queued. After [`QueueError::Full`], all items other than blocks are queued. The blocks before the one that did
    /// not fit are queued too. That block and the blocks after it are not queued.
    pub fn queue_inventories(&self, items: &[Inventory]) -> Result<(), QueueError> {
        self.shared().queue_inventory(items)
    }

    /// Adds an item to those that the remote is known to have. The library adds the items that the remote announces.
    /// Call this method if the program learns in another way that the remote has an item.
    pub fn add_known_inventory(&self, item: Inventory) {
        self.shared().note_known(item);
    }

    /// The receipt of the message at a position.
    fn receipt(&self, position: u64) -> Receipt {
        Receipt::new(position, Arc::clone(self.shared().kept_by_receipts()))
    }
}
