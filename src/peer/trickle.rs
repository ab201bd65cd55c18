//! Announcing: blocks go out at once, everything else when the trickle timer says.

use super::QueueError;
use super::logging::SENT;
use super::outbound::Wait;
use super::rules::inventory::{Announcements, TRICKLE_BATCH};
use super::shared::Shared;
use super::sync::unlock_fair;
use crate::wire::{Inv, Inventory, InventoryType};
use log::debug;
use std::time::Instant;

/// How many announced items are noted under one lock.
const SLICE: usize = 128;

/// What the trickle timer says.
pub(super) enum Trickle {
    Send(Inv),
    Wait(Instant),
    Nothing,
}

impl Shared {
    /// Notes what the remote announced, in slices, so that a caller who announces something never waits for all of them.
    pub fn note_announced(&self, items: &[Inventory]) {
        // Older items would be forgotten at once.
        let newest = items.len().saturating_sub(self.settings().known_inventory);
        for slice in items.get(newest..).unwrap_or_default().chunks(SLICE) {
            let mut announcements = self.announcements.lock();
            announcements.announced(slice);
            unlock_fair(announcements);
        }
    }

    /// Announces blocks at once and queues the rest for the trickle timer.
    pub fn queue_inventory(&self, items: &[Inventory]) -> Result<(), QueueError> {
        if let Some(reason) = self.ended() {
            return Err(QueueError::Closed(reason.clone()));
        }
        if !self.outbound.is_open() {
            // Nobody is there yet who could know it.
            debug!(target: SENT, "{self}: inventory before the handshake is dropped");
            return Ok(());
        }
        let mut announcements = self.announcements.lock();
        if announcements.is_closed() {
            return Err(QueueError::Closed(self.end_reason()));
        }
        let is_block = |item: &Inventory| item.kind == InventoryType::BLOCK;
        let ring = if items.iter().any(is_block) {
            let rest: Vec<Inventory> = items.iter().copied().filter(|item| !is_block(item)).collect();
            let ring = self.queue_trickled(&mut announcements, &rest)?;
            for block in items.iter().filter(|item| is_block(item)) {
                if !announcements.is_known(block) {
                    self.queue(&Inv::from(vec![*block]), Wait::No)?;
                    announcements.sent(*block);
                }
            }
            ring
        } else {
            self.queue_trickled(&mut announcements, items)?
        };
        drop(announcements);
        if ring {
            self.outbound.wake_writer();
        }
        Ok(())
    }

    fn queue_trickled(&self, announcements: &mut Announcements, items: &[Inventory]) -> Result<bool, QueueError> {
        let was_due = announcements.due().is_some();
        announcements
            .queue(items, Instant::now())
            .map_err(|queued| QueueError::InventoryFull { queued, limit: self.settings().inventory_queue })?;
        Ok(!was_due && announcements.due().is_some())
    }

    /// The next trickled `inv` if it is time, at most [`TRICKLE_BATCH`] items; otherwise until when to wait.
    pub fn trickle(&self, now: Instant) -> Trickle {
        let mut announcements = self.announcements.lock();
        match announcements.due() {
            // Nothing follows the last frame. The connection ends once that is written.
            Some(due) if due <= now && self.outbound.finishing().is_some() => Trickle::Nothing,
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

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;
    use crate::peer::{Config, Direction, DisconnectReason};
    use crate::wire::{Hash, Network, Reject, RejectCode};
    use std::time::Duration;

    #[test]
    fn announcements_never_follow_the_last_reject() {
        let config = Config::builder(Network::Simnet).build().unwrap();
        let address = "192.0.2.1:1".parse().unwrap();
        let (shared, _ends) = Shared::new(&config, Direction::Outbound, address, Box::new(|_| {}));
        shared.outbound.open();
        shared.queue_inventory(&[Inventory::tx(Hash::ZERO)]).unwrap();
        shared.end_with(&Reject::new("tx", RejectCode::INVALID, "no"), DisconnectReason::Local).unwrap();
        let later = Instant::now() + Duration::from_secs(1);
        assert!(matches!(shared.trickle(later), Trickle::Nothing));
    }
}
