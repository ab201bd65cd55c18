//! Announces inventory. Blocks are announced at once. Other items are announced in batches when the trickle timer
//! fires.

use super::outbound::Wait;
use super::shared::Shared;
use crate::peer::QueueError;
use crate::peer::logging::SENT;
use crate::peer::rules::inventory::{Announcements, TRICKLE_BATCH};
use crate::peer::sync::unlock_fair;
use crate::wire::{Inv, Inventory, InventoryType};
use log::debug;
use std::time::Instant;

/// How many announced items are stored before the lock is released and taken again.
const SLICE: usize = 128;

/// The next action of the writer for announcements.
pub(in crate::peer) enum Trickle {
    Send(Inv),
    Wait(Instant),
    Nothing,
}

/// The announcements of a connection. After the end of the connection only two counts remain, for the statistics.
pub(in crate::peer) enum Announcing {
    Open(Box<Announcements>),
    Closed { known: usize, waiting: usize },
}

impl Announcing {
    /// Replaces the announcements with their counts. Returns the old value, which the caller drops outside the lock.
    pub fn close(&mut self) -> Self {
        let (known, waiting) = self.len();
        std::mem::replace(self, Self::Closed { known, waiting })
    }

    /// How many items are known, and how many wait to be announced.
    pub fn len(&self) -> (usize, usize) {
        match self {
            Self::Open(open) => (open.known_len(), open.waiting_len()),
            Self::Closed { known, waiting } => (*known, *waiting),
        }
    }
}

impl Shared {
    /// Stores the items of a remote's `inv` as known. Releases the lock after each slice, so that a caller of
    /// `queue_inventory` waits for one slice at most, however much the remote announces.
    pub fn note_announced(&self, items: &[Inventory]) {
        // Only as many items are stored as the known inventory can hold. The last ones are the newest.
        let newest = items.len().saturating_sub(self.settings().known_inventory);
        for slice in items.get(newest..).unwrap_or_default().chunks(SLICE) {
            let mut announcements = self.announcements.lock();
            let Announcing::Open(open) = &mut *announcements else { return };
            open.announced(slice);
            unlock_fair(announcements);
        }
    }

    /// Stores an item as known to the remote.
    pub fn note_known(&self, item: Inventory) {
        if let Announcing::Open(open) = &mut *self.announcements.lock() {
            open.sent(item);
        }
    }

    /// Announces blocks at once and queues the rest for the trickle timer.
    pub fn queue_inventory(&self, items: &[Inventory]) -> Result<(), QueueError> {
        if let Some(reason) = self.ended() {
            return Err(QueueError::Closed(reason.clone()));
        }
        if !self.outbound.is_open() {
            // The original also drops inventory that is queued before the handshake.
            debug!(target: SENT, "{self}: inventory before the handshake is dropped");
            return Ok(());
        }
        let mut guard = self.announcements.lock();
        let Announcing::Open(announcements) = &mut *guard else {
            return Err(QueueError::Closed(self.end_reason()));
        };
        let is_block = |item: &Inventory| item.kind == InventoryType::BLOCK;
        let wake_up = if items.iter().any(is_block) {
            let rest: Vec<Inventory> = items.iter().copied().filter(|item| !is_block(item)).collect();
            let wake_up = self.queue_trickled(announcements, &rest)?;
            for block in items.iter().filter(|item| is_block(item)) {
                if !announcements.is_known(block) {
                    self.queue(&Inv::from(vec![*block]), Wait::No)?;
                    announcements.sent(*block);
                }
            }
            wake_up
        } else {
            self.queue_trickled(announcements, items)?
        };
        drop(guard);
        if wake_up {
            self.outbound.wake_writer();
        }
        Ok(())
    }

    /// Queues items for the trickle timer. Returns whether the writer must be woken to start the timer.
    fn queue_trickled(&self, announcements: &mut Announcements, items: &[Inventory]) -> Result<bool, QueueError> {
        let was_due = announcements.due().is_some();
        announcements
            .queue(items, Instant::now())
            .map_err(|queued| QueueError::InventoryFull { queued, limit: self.settings().inventory_queue })?;
        Ok(!was_due && announcements.due().is_some())
    }

    /// Returns the next `inv` of trickled items if it is due, and otherwise the time at which it will be due. The `inv`
    /// has at most [`TRICKLE_BATCH`] items.
    pub fn trickle(&self, now: Instant) -> Trickle {
        let mut guard = self.announcements.lock();
        let Announcing::Open(announcements) = &mut *guard else { return Trickle::Nothing };
        match announcements.due() {
            Some(due) if due <= now => {
                let batch = announcements.next_batch();
                debug_assert!(batch.len() <= TRICKLE_BATCH);
                if batch.is_empty() { Trickle::Nothing } else { Trickle::Send(Inv::from(batch)) }
            }
            Some(due) => Trickle::Wait(due),
            None => Trickle::Nothing,
        }
    }
}
