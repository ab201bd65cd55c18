//! A listener that records every callback.

use super::DEADLINE;
use kaspa_peer::wire::{Command, Encode, FrameError, Message, Payload};
use kaspa_peer::{DisconnectReason, Listener, Peer};
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::time::Instant;

/// Records every callback of a peer. Clones share the record.
#[derive(Clone, Default)]
pub struct Recorder {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    record: Mutex<Record>,
    changed: Condvar,
}

/// The arguments of all callbacks so far.
#[derive(Default)]
pub struct Record {
    /// From `on_message`.
    pub messages: Vec<Message>,
    /// From `on_read`: the size, and the command or the error.
    pub read: Vec<(usize, Result<Command, FrameError>)>,
    /// From `on_write`: the command, the size, and whether the frame was written.
    pub written: Vec<(Command, usize, bool)>,
    /// From `on_disconnect`.
    pub disconnects: Vec<DisconnectReason>,
}

impl Recorder {
    /// Waits until `ready` returns something for the record.
    pub fn wait<T>(&self, what: &str, mut ready: impl FnMut(&Record) -> Option<T>) -> T {
        let deadline = Instant::now() + DEADLINE;
        let mut record = self.inner.record.lock();
        loop {
            if let Some(found) = ready(&record) {
                return found;
            }
            let timed_out = self.inner.changed.wait_until(&mut record, deadline).timed_out();
            assert!(!timed_out, "not within {DEADLINE:?}: {what}; the messages are {:?}", record.messages);
        }
    }

    /// Waits for a message of this type.
    pub fn wait_for<T: Payload>(&self) -> T {
        let find = |record: &Record| record.messages.iter().find_map(|message| T::try_from(message.clone()).ok());
        self.wait(T::COMMAND.name(), find)
    }

    /// Waits until `count` messages with this command were received.
    pub fn wait_for_count(&self, command: Command, count: usize) {
        self.wait(&format!("{count} {command}"), |record| {
            (record.messages.iter().filter(|message| message.command() == command).count() >= count).then_some(())
        });
    }

    /// The names of the commands received so far.
    pub fn commands(&self) -> Vec<String> {
        self.inner.record.lock().messages.iter().map(|message| message.command().to_string()).collect()
    }

    /// Looks at the record so far.
    pub fn look<T>(&self, look: impl FnOnce(&Record) -> T) -> T {
        look(&self.inner.record.lock())
    }

    fn add(&self, change: impl FnOnce(&mut Record)) {
        change(&mut self.inner.record.lock());
        self.inner.changed.notify_all();
    }
}

impl Listener for Recorder {
    fn on_message(&self, _: &Peer, message: &Message) {
        self.add(|record| record.messages.push(message.clone()));
    }

    fn on_read(&self, _: &Peer, bytes: usize, frame: Result<Command, &FrameError>) {
        self.add(|record| record.read.push((bytes, frame.map_err(Clone::clone))));
    }

    fn on_write(&self, _: &Peer, command: Command, bytes: usize, error: Option<&std::io::Error>) {
        self.add(|record| record.written.push((command, bytes, error.is_none())));
    }

    fn on_disconnect(&self, _: &Peer, reason: &DisconnectReason) {
        self.add(|record| record.disconnects.push(reason.clone()));
    }
}
