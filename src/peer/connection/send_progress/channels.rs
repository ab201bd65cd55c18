//! The channels that tell a program when a message is written, see `Receipt::receiver`.
//!
//! A sender cannot find out whether its receiver still exists without sending a value. A program that waits for one
//! message in a `select!` in a loop makes a receiver in each turn and drops it, so a channel for each call could fill
//! the memory before the message is written. Only the first calls for a message make a channel of their own. Later
//! calls share channels: each such channel serves thousands of calls, and gets one value for each of them.

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use std::collections::BTreeMap;

/// How many calls for one message make a channel of their own.
const OWN_CHANNELS: usize = 16;

/// How many calls one shared channel serves. At most so many values are in a channel whose message is written.
const CALLS_OF_SHARED: usize = 4096;

/// The channels of the messages whose outcome is not known yet.
#[derive(Debug, Default)]
pub(super) struct Channels(BTreeMap<u64, Vec<Channel>>);

#[derive(Debug)]
pub(super) struct Channel {
    sender: Sender<()>,
    /// The receiver that further calls get a clone of. `None` for a channel that serves one call.
    shared: Option<Receiver<()>>,
    /// How many calls got a receiver of this channel.
    calls: usize,
}

impl Channels {
    /// Returns a receiver for the message at `position`.
    pub fn receiver(&mut self, position: u64) -> Receiver<()> {
        let channels = self.0.entry(position).or_insert_with(|| Vec::with_capacity(1));
        if let Some(last) = channels.last_mut()
            && let Some(shared) = &last.shared
            && last.calls < CALLS_OF_SHARED
        {
            last.calls += 1;
            return shared.clone();
        }
        let is_own = channels.len() < OWN_CHANNELS;
        let (sender, receiver) = if is_own { bounded(1) } else { unbounded() };
        let shared = (!is_own).then(|| receiver.clone());
        channels.push(Channel { sender, shared, calls: 1 });
        receiver
    }

    /// The lowest position that has a channel.
    pub fn lowest(&self) -> Option<u64> {
        self.0.keys().next().copied()
    }

    /// Removes the channels of the messages up to position `written`, and sends one value for each call.
    pub fn send_written(&mut self, written: u64) {
        while let Some(entry) = self.0.first_entry()
            && *entry.key() <= written
        {
            entry.remove().into_iter().for_each(Channel::send_written);
        }
    }
}

impl Channel {
    fn send_written(self) {
        // Without it, sending fails at once if the program has dropped its receivers.
        drop(self.shared);
        for _ in 0..self.calls {
            // A channel with a capacity has room for one value, and serves one call.
            if self.sender.try_send(()).is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::TryRecvError;

    fn count(channels: &Channels) -> usize {
        channels.0.values().map(Vec::len).sum()
    }

    #[test]
    fn receivers_that_the_program_drops_take_next_to_no_memory() {
        let mut channels = Channels::default();
        for _ in 0..100_000 {
            drop(channels.receiver(1));
        }
        assert!(count(&channels) < 50, "{} channels", count(&channels));
    }

    #[test]
    fn each_of_many_receivers_gets_one_value() {
        let mut channels = Channels::default();
        let receivers: Vec<_> = (0..10_000).map(|_| channels.receiver(7)).collect();
        channels.send_written(6);
        assert!(receivers.iter().all(|receiver| receiver.try_recv() == Err(TryRecvError::Empty)));
        channels.send_written(7);
        assert!(receivers.iter().all(|receiver| receiver.try_recv() == Ok(())));
        assert!(receivers.iter().all(|receiver| receiver.try_recv() == Err(TryRecvError::Disconnected)));
        assert_eq!(channels.lowest(), None);
    }

    #[test]
    fn many_receivers_of_a_message_that_is_not_written_are_disconnected() {
        let mut channels = Channels::default();
        let receivers: Vec<_> = (0..10_000).map(|_| channels.receiver(7)).collect();
        drop(channels);
        assert!(receivers.iter().all(|receiver| receiver.try_recv() == Err(TryRecvError::Disconnected)));
    }

    #[test]
    fn a_call_for_another_message_does_not_share_a_channel() {
        let mut channels = Channels::default();
        let receivers: Vec<_> = (1..=50).map(|position| channels.receiver(position)).collect();
        channels.send_written(20);
        let results: Vec<_> = receivers.iter().map(Receiver::try_recv).collect();
        assert!(results[..20].iter().all(|result| *result == Ok(())));
        assert!(results[20..].iter().all(|result| *result == Err(TryRecvError::Empty)));
        assert_eq!(channels.lowest(), Some(21));
    }

    #[test]
    fn each_of_the_first_calls_for_a_message_makes_a_channel_of_its_own() {
        let mut channels = Channels::default();
        let receivers: Vec<_> = (0..OWN_CHANNELS).map(|_| channels.receiver(1)).collect();
        channels.send_written(1);
        for receiver in &receivers {
            assert_eq!((receiver.capacity(), receiver.try_recv()), (Some(1), Ok(())));
            assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected), "no other receiver's value");
        }
    }
}
