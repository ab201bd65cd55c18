//! Senders that wait for room in the queue, served in order of arrival.

use crate::peer::locks::{Condvar, MutexGuard};
use std::{collections::VecDeque, sync::Arc, time::Instant};

/// The waiting senders, the one that has waited longest first. Each sleeps on a condition variable of its own, so that
/// a wake-up reaches only the sender whose turn it is.
#[derive(Debug, Default)]
pub(super) struct WaitingSenders(VecDeque<Arc<Condvar>>);

impl WaitingSenders {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[cfg(all(test, not(shuttle)))]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Wakes the sender whose turn it is. That sender wakes the next one when it has queued its message or has given
    /// up.
    pub fn wake_first(&self) {
        if let Some(first) = self.0.front() {
            first.notify_all();
        }
    }

    /// Removes a sender.
    fn remove(&mut self, sender: &Arc<Condvar>) {
        match self.0.front() {
            Some(first) if Arc::ptr_eq(first, sender) => drop(self.0.pop_front()),
            _ => self.0.retain(|waiting| !Arc::ptr_eq(waiting, sender)),
        }
        if self.0.is_empty() {
            // Frees the memory, which the handles of an ended peer would keep.
            self.0 = VecDeque::new();
        }
    }
}

/// Waits until it is this sender's turn and `ready` is true. When it returns, the caller holds the lock, and the sender
/// is no longer among the waiting senders. `senders` returns the waiting senders of the queue.
///
/// Returns `false` if `deadline` passes first. If `ready` is true at that time, it is another sender's turn, and this
/// function wakes that sender.
pub(super) fn wait<Q>(
    queue: &mut MutexGuard<'_, Q>,
    senders: impl Fn(&mut Q) -> &mut WaitingSenders,
    deadline: Option<Instant>,
    ready: impl Fn(&Q) -> bool,
) -> bool {
    let own = Arc::new(Condvar::new());
    senders(queue).0.push_back(Arc::clone(&own));
    let mut timed_out = false;
    loop {
        let first = senders(queue).0.front().is_some_and(|first| Arc::ptr_eq(first, &own));
        if first && ready(queue) {
            senders(queue).remove(&own);
            return true;
        }
        // This check comes after the one above, so that a sender still takes room that became free at the last moment.
        if timed_out {
            senders(queue).remove(&own);
            if ready(queue) {
                senders(queue).wake_first();
            }
            return false;
        }
        match deadline {
            Some(deadline) => timed_out = own.wait_until(queue, deadline).timed_out(),
            None => own.wait(queue),
        }
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests;
