//! The number of a peer's messages that are written, and the threads that wait until a message is written.
//!
//! Messages are written in the order in which they were queued, so the outcome of a message follows from its position.
//! The message is written when the count of written messages reaches its position. It will never be written if the
//! connection has ended and the final count is below its position. The count only grows and does not change after the
//! end, so every receipt has one outcome.

mod channels;

use crate::peer::locks::{Condvar, Mutex, MutexGuard};
use channels::Channels;
use crossbeam_channel::{Receiver, bounded};
use std::{
    mem,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

/// The outcome of one message, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::peer) enum Outcome {
    Waiting,
    Written,
    NotWritten,
}

/// The count of written messages, kept by the writer thread.
#[derive(Debug, Default)]
pub(in crate::peer) struct SendProgress {
    /// A copy of `State::written` that is read without the lock.
    written: AtomicU64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    written: u64,
    /// The writer is in a call of the stream's `write`.
    writing: bool,
    /// The connection has ended.
    closed: bool,
    /// The lowest position that a thread waits for; 0 if none does. The writer wakes nobody before it is reached.
    wake_at: u64,
    channels: Channels,
}

impl State {
    fn outcome(&self, position: u64) -> Outcome {
        match (self.written >= position, self.is_final()) {
            (true, _) => Outcome::Written,
            (false, true) => Outcome::NotWritten,
            (false, false) => Outcome::Waiting,
        }
    }

    /// `true` if the count can no longer change. If the connection ends during a write, that write may still succeed,
    /// so the count is final only when it returns.
    fn is_final(&self) -> bool {
        self.closed && !self.writing
    }

    fn wake_at(&mut self, position: u64) {
        if self.wake_at == 0 || position < self.wake_at {
            self.wake_at = position;
        }
    }
}

impl SendProgress {
    /// Called by the writer before each write. Returns `false` if the connection has ended. The writer must not write
    /// then: the count is final, so the message would be reported as not written.
    #[must_use]
    pub fn begin_write(&self) -> bool {
        let mut state = self.state.lock();
        state.writing = !state.closed;
        state.writing
    }

    /// Called by the writer after each write. `messages` is the number of messages that this write completed, and 0 if
    /// the write failed.
    pub fn end_write(&self, messages: u64) {
        let mut state = self.state.lock();
        if !state.is_final() {
            state.written += messages;
            self.written.store(state.written, Ordering::Release);
        }
        state.writing = false;
        self.resolve(state);
    }

    /// Called when the connection ends. The count is final now, or when the current write returns.
    pub fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        self.resolve(state);
    }

    /// Wakes the threads and the channels whose outcome is known.
    fn resolve(&self, mut state: MutexGuard<'_, State>) {
        let is_final = state.is_final();
        if state.wake_at == 0 || (state.written < state.wake_at && !is_final) {
            return;
        }
        let written = state.written;
        state.channels.send_written(written);
        let lost = if is_final { mem::take(&mut state.channels) } else { Channels::default() };
        state.wake_at = state.channels.lowest().unwrap_or(0);
        drop(state);
        // Dropping the senders disconnects the channels, outside the lock.
        drop(lost);
        // Threads that wait for a later message register their position again.
        self.changed.notify_all();
    }

    pub fn outcome(&self, position: u64) -> Outcome {
        if self.written.load(Ordering::Acquire) >= position {
            return Outcome::Written;
        }
        self.state.lock().outcome(position)
    }

    /// Waits until the outcome of the message at `position` is known. Returns `Waiting` if `deadline` passes first.
    pub fn wait(&self, position: u64, deadline: Option<Instant>) -> Outcome {
        let mut timed_out = false;
        let mut state = self.state.lock();
        loop {
            match state.outcome(position) {
                Outcome::Waiting if !timed_out => {}
                outcome => return outcome,
            }
            state.wake_at(position);
            match deadline {
                Some(deadline) => timed_out = self.changed.wait_until(&mut state, deadline).timed_out(),
                None => self.changed.wait(&mut state),
            }
        }
    }

    /// A channel that receives `()` when the message at `position` is written. If the message will never be written,
    /// the channel is disconnected.
    pub fn channel(&self, position: u64) -> Receiver<()> {
        let mut state = self.state.lock();
        let outcome = state.outcome(position);
        if outcome == Outcome::Waiting {
            state.wake_at(position);
            return state.channels.receiver(position);
        }
        drop(state);
        let (sender, receiver) = bounded(1);
        if outcome == Outcome::Written {
            // The channel has room for one value, so this cannot fail.
            let _ = sender.try_send(());
        }
        receiver
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;
    use crossbeam_channel::TryRecvError;
    use std::thread;
    use std::time::Duration;

    #[test]
    fn a_message_is_written_once_the_count_reaches_its_position() {
        let progress = SendProgress::default();
        progress.end_write(2);
        assert_eq!([1, 2, 3].map(|at| progress.outcome(at)), [Outcome::Written, Outcome::Written, Outcome::Waiting]);
        progress.close();
        assert_eq!([2, 3].map(|at| progress.outcome(at)), [Outcome::Written, Outcome::NotWritten]);
    }

    #[test]
    fn a_final_count_does_not_grow() {
        let progress = SendProgress::default();
        progress.close();
        progress.end_write(5);
        assert_eq!(progress.outcome(1), Outcome::NotWritten);
    }

    #[test]
    fn a_channel_receives_one_value_or_is_disconnected() {
        let progress = SendProgress::default();
        // In this order, each position is lower than those that are already waited for.
        let [third, second, first] = [3, 2, 1].map(|at| progress.channel(at));
        progress.end_write(1);
        assert_eq!((first.try_recv(), second.try_recv()), (Ok(()), Err(TryRecvError::Empty)));
        assert_eq!(first.try_recv(), Err(TryRecvError::Disconnected));
        progress.end_write(1);
        assert_eq!(second.try_recv(), Ok(()));
        progress.close();
        assert_eq!(third.try_recv(), Err(TryRecvError::Disconnected));
        assert_eq!(progress.channel(2).try_recv(), Ok(()));
        assert_eq!(progress.channel(3).try_recv(), Err(TryRecvError::Disconnected));
    }

    #[test]
    fn threads_that_wait_for_different_messages_all_wake() {
        let progress = SendProgress::default();
        thread::scope(|scope| {
            let waiters = [3, 1, 2, 4].map(|at| {
                scope.spawn({
                    let progress = &progress;
                    move || progress.wait(at, None)
                })
            });
            (0..3).for_each(|_| progress.end_write(1));
            progress.close();
            let outcomes = waiters.map(|waiter| waiter.join().unwrap());
            assert_eq!(outcomes, [Outcome::Written, Outcome::Written, Outcome::Written, Outcome::NotWritten]);
        });
    }

    #[test]
    fn a_write_that_is_under_way_when_the_connection_ends_still_counts() {
        let progress = SendProgress::default();
        assert!(progress.begin_write());
        progress.close();
        assert_eq!(progress.outcome(1), Outcome::Waiting);
        progress.end_write(1);
        assert_eq!([1, 2].map(|at| progress.outcome(at)), [Outcome::Written, Outcome::NotWritten]);
        assert!(!progress.begin_write(), "nothing is written after the end");
    }

    #[test]
    fn one_write_may_complete_more_messages_than_are_waited_for() {
        let progress = SendProgress::default();
        let first = progress.channel(1);
        progress.end_write(2);
        assert_eq!(first.try_recv(), Ok(()));
    }

    #[test]
    fn a_thread_waits_until_the_outcome_is_known() {
        let progress = SendProgress::default();
        thread::scope(|scope| {
            let waiter = scope.spawn(|| progress.wait(1, None));
            while progress.state.lock().wake_at != 1 {
                thread::yield_now();
            }
            progress.end_write(1);
            assert_eq!(waiter.join().unwrap(), Outcome::Written);
        });
    }

    #[test]
    fn a_wait_ends_at_its_deadline() {
        let deadline = Instant::now() + Duration::from_millis(10);
        assert_eq!(SendProgress::default().wait(1, Some(deadline)), Outcome::Waiting);
        assert!(Instant::now() >= deadline);
    }
}
