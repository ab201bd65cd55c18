//! Announcements: what is queued, when it is due, and what the remote is known to have.

use super::Session;
use crate::peer::rules::announcements::TRICKLE_BATCH;
use crate::wire::Inventory;

impl Session {
    pub fn queue_inventory(&mut self, items: &[Inventory]) {
        let account = &mut self.account;
        let limit = account.config.inventory_queue();
        let before = account.waiting.len();
        assert_eq!(self.announcements.waiting_len(), before);
        match self.announcements.queue(items, self.now) {
            Ok(count) => {
                let after = self.announcements.waiting_len();
                assert!(after == before + count && after <= limit);
                match &account.known {
                    Some(known) => account.waiting.extend(items.iter().filter(|item| !known.contains(*item))),
                    // Only their number is certain.
                    None => account.waiting.extend(items.iter().take(count)),
                }
                assert_eq!(account.waiting.len(), after);
            }
            Err(waiting) => {
                assert_eq!((waiting, self.announcements.waiting_len()), (before, before));
                assert!(before + items.len() > limit);
            }
        }
        self.check_announcements();
    }

    pub fn trickle(&mut self) {
        if self.announcements.due().is_none_or(|due| due > self.now) {
            return;
        }
        let batch = self.announcements.next_batch();
        let left = self.announcements.waiting_len();
        assert!(batch.len() <= TRICKLE_BATCH);
        let account = &mut self.account;
        let taken = account.waiting.len() - left;
        assert!(taken >= batch.len() && (left == 0 || batch.len() == TRICKLE_BATCH));
        let notes = taken;
        let taken = account.waiting.drain(..taken);
        match &mut account.known {
            Some(known) => assert_eq!(batch, taken.filter(|item| known.insert(*item)).collect::<Vec<_>>()),
            None => drop(taken),
        }
        // Items that were known already are noted again, and with a small capacity the notes behind the last item push
        // it out.
        if account.config.known_inventory() >= notes
            && let Some(last) = batch.last()
        {
            assert!(self.announcements.is_known(last));
        }
        self.check_announcements();
    }

    fn check_announcements(&mut self) {
        let due = self.announcements.due();
        assert_eq!(due.is_some(), self.announcements.waiting_len() > 0);
        let settings = self.account.config.settings();
        assert!(due.is_none_or(|due| due <= self.now + settings.trickle_interval()));
        assert!(self.announcements.known_len() <= settings.known_inventory());
        if let Some(known) = &self.account.known {
            assert_eq!(self.announcements.known_len(), known.len());
        }
    }
}
