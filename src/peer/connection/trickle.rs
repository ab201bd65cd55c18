//! Announces inventory. Blocks are announced at once. Other items are announced in batches when the trickle timer
//! fires.

use super::outbound::{EncodedFrame, MessageKind, Wait};
use super::shared::Shared;
use crate::peer::error::QueueError;
use crate::peer::locks::unlock_fair;
use crate::peer::logging::SENT;
use crate::peer::rules::announcements::{Announcements, Announcing, TRICKLE_BATCH};
use crate::wire::{Command, Inv, Inventory, InventoryType, encode_frame};
use log::{debug, error};
use std::time::Instant;

/// How many announced items are stored before the lock is released and taken again.
const SLICE: usize = 128;

impl Shared {
    /// Stores the items of a remote's `inv` as known. Releases the lock after each slice, so that a caller of
    /// `queue_inventory` waits for one slice at most, however much the remote announces.
    pub fn note_announced(&self, items: &[Inventory]) {
        // Only as many items are stored as the known inventory can hold. The last ones are the newest.
        let newest = items.len().saturating_sub(self.settings().known_inventory());
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
        if !self.outbound().is_verack_queued() {
            // The original also drops inventory that is queued before the handshake.
            debug!(target: SENT, "{self}: inventory before the handshake is dropped");
            return Ok(());
        }
        let mut guard = self.announcements.lock();
        let Announcing::Open(announcements) = &mut *guard else {
            return Err(QueueError::Closed(self.end_reason()));
        };
        // Checked under the lock: `close` sends the announcements that it finds, and there must be no later ones.
        if !self.outbound().is_accepting() {
            return Err(QueueError::Closed(self.end_reason()));
        }
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
            self.outbound().wake_writer();
        }
        Ok(())
    }

    /// Queues items for the trickle timer. Returns whether the writer must be woken to start the timer.
    fn queue_trickled(&self, announcements: &mut Announcements, items: &[Inventory]) -> Result<bool, QueueError> {
        let was_due = announcements.due().is_some();
        announcements
            .queue(items, Instant::now())
            .map_err(|queued| QueueError::InventoryFull { queued, limit: self.settings().inventory_queue() })?;
        Ok(!was_due && announcements.due().is_some())
    }

    /// For the writer: moves the next batch of announcements to the outbound queue if it is due. Otherwise returns when
    /// it will be; `None` if there are none, or no room for them.
    pub fn trickle(&self, now: Instant) -> Option<Instant> {
        let mut guard = self.announcements.lock();
        let Announcing::Open(announcements) = &mut *guard else { return None };
        match announcements.due() {
            Some(due) if due > now => Some(due),
            // If there is no room, the writer has something to write, and looks again after that, or the connection
            // ends.
            Some(_) if self.outbound().has_room_for_announcements() => {
                self.queue_batch(announcements);
                None
            }
            _ => None,
        }
    }

    /// For an orderly end: moves all announcements to the outbound queue, as far as there is room by `deadline`.
    /// Returns how many are left.
    pub fn flush_announcements(&self, deadline: Option<Instant>) -> usize {
        loop {
            let mut guard = self.announcements.lock();
            let left = guard.len().1;
            let Announcing::Open(announcements) = &mut *guard else { return left };
            if left == 0 {
                return 0;
            }
            if self.outbound().has_room_for_announcements() {
                self.queue_batch(announcements);
                continue;
            }
            drop(guard);
            if !self.outbound().wait_for_announcement_room(deadline) {
                return left;
            }
        }
    }

    fn queue_batch(&self, announcements: &mut Announcements) {
        let batch = Inv::from(announcements.next_batch());
        debug_assert!(batch.items.len() <= TRICKLE_BATCH);
        if batch.items.is_empty() {
            return;
        }
        let mut frame = Vec::new();
        // Cannot fail: a batch has at most a thousand items, and an `inv` may have 50 000.
        if let Err(error) = encode_frame(&batch, self.settings().network(), &mut frame) {
            error!(target: SENT, "{self}: a batch of announcements cannot be sent: {error}");
            return;
        }
        // Refused only if the connection ends.
        let frame = EncodedFrame::Large(frame);
        if self.outbound().push(Command::Inv, frame, MessageKind::Announcement, Wait::No).is_err() {
            announcements.put_back(batch.items);
        }
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;
    use crate::peer::address::Direction;
    use crate::peer::config::Config;
    use crate::wire::{Hash, Network, Ping};
    use std::sync::Arc;
    use std::thread;
    use std::time::Duration;

    const INTERVAL: Duration = Duration::from_secs(10);

    /// A peer without threads, with one announcement and a queue that two pings fill.
    fn peer_with_a_full_queue() -> Shared {
        let config = Config::builder(Network::Simnet).queue_limit(64).trickle_interval(INTERVAL).build().unwrap();
        let address = "192.0.2.1:1".parse().unwrap();
        let settings = Arc::clone(config.settings());
        let (shared, _) = Shared::new(settings, Direction::Outbound, address, Box::new(|_| ()));
        shared.outbound().release_held();
        for nonce in [1, 2] {
            shared.queue(&Ping { nonce }, Wait::No).unwrap();
        }
        shared.queue_inventory(&[Inventory::tx(Hash::of(b"item"))]).unwrap();
        shared
    }

    fn waiting(shared: &Shared) -> usize {
        shared.announcements.lock().len().1
    }

    fn write_batch(shared: &Shared) -> Vec<Command> {
        let batch = shared.outbound().pop().unwrap();
        let commands = batch.frames().commands().collect();
        shared.outbound().written(batch);
        commands
    }

    #[test]
    fn announcements_that_are_due_wait_for_room_in_the_outbound_queue() {
        let before = Instant::now();
        let shared = peer_with_a_full_queue();
        let due = shared.trickle(before).unwrap();
        assert!(due >= before + INTERVAL);
        assert_eq!((shared.trickle(due), waiting(&shared)), (None, 1), "no room");
        write_batch(&shared);
        assert_eq!((shared.trickle(due), waiting(&shared)), (None, 0));
        assert_eq!(write_batch(&shared), [Command::Inv]);
    }

    #[test]
    fn an_orderly_end_waits_for_room_for_announcements() {
        let shared = peer_with_a_full_queue();
        assert_eq!(shared.flush_announcements(Some(Instant::now())), 1, "at its deadline");
        thread::scope(|scope| {
            let end = scope.spawn(|| shared.flush_announcements(None));
            write_batch(&shared);
            assert_eq!(end.join().unwrap(), 0);
        });
        assert_eq!((waiting(&shared), write_batch(&shared)), (0, vec![Command::Inv]));
    }
}
