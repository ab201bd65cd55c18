//! The messages of an inbox, and a copy of the list of them that needs no lock.

use crate::peer::connection::thread_identity::PeerIdentity;
use crate::peer::disconnect::DisconnectReason;
use crate::wire::{Command, Encode, Message};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// The memory that a message takes in addition to its payload, so that many empty messages count too.
pub(super) const MESSAGE_OVERHEAD: usize = 128;

/// The number of custom command names that are counted separately. The remote chooses these names.
const MAX_CUSTOM_COMMANDS: usize = 1000;

/// The messages of an inbox, and the state of its connection.
pub(super) struct State {
    /// Shared with the conditions of [`Inbox::wait_until`], which look at the messages while no lock is held.
    pub messages: VecDeque<Arc<Message>>,
    pub bytes: usize,
    pub limit: usize,
    /// How many messages have ever been added to `messages`.
    pub added: u64,
    /// How many messages were taken from `messages`, wherever they were. Those that were dropped do not count.
    pub taken: u64,
    pub dropped: u64,
    pub counts: HashMap<Command, usize>,
    pub custom_commands: usize,
    pub peer: Option<PeerIdentity>,
    pub ended: Option<DisconnectReason>,
}

fn size(message: &Message) -> usize {
    message.encoded_len().saturating_add(MESSAGE_OVERHEAD)
}

impl State {
    pub fn new(limit: usize) -> Self {
        Self {
            messages: VecDeque::new(),
            bytes: 0,
            limit,
            added: 0,
            taken: 0,
            dropped: 0,
            counts: HashMap::new(),
            custom_commands: 0,
            peer: None,
            ended: None,
        }
    }

    pub fn count(&mut self, command: Command) {
        if let Some(count) = self.counts.get_mut(&command) {
            *count += 1;
            return;
        }
        if !command.is_known() {
            if self.custom_commands == MAX_CUSTOM_COMMANDS {
                return;
            }
            self.custom_commands += 1;
        }
        self.counts.insert(command, 1);
    }

    pub fn push(&mut self, message: Message) {
        self.bytes = self.bytes.saturating_add(size(&message));
        self.messages.push_back(Arc::new(message));
        self.added += 1;
        self.drop_oldest();
    }

    /// Drops messages until the rest is within the limit.
    pub fn drop_oldest(&mut self) {
        while self.bytes > self.limit
            && let Some(oldest) = self.messages.pop_front()
        {
            self.bytes = self.bytes.saturating_sub(size(&oldest));
            self.dropped += 1;
        }
    }

    /// Takes the oldest message of a type among those that a wait has not looked at. `seen` is how many messages had
    /// been added when it looked last, at first 0.
    ///
    /// A remote can send thousands of small messages while the inbox holds hundreds of thousands, so a wait must not
    /// look at all of them each time.
    pub fn take_new(&mut self, command: Command, seen: &mut u64) -> Option<Arc<Message>> {
        let from = self.messages.len().saturating_sub(self.added_since(*seen));
        *seen = self.added;
        let index = self.messages.range(from..).position(|message| message.command() == command)?;
        self.take_at(from + index)
    }

    fn added_since(&self, added: u64) -> usize {
        usize::try_from(self.added - added).unwrap_or(usize::MAX)
    }

    /// Takes this message, if it is still there.
    pub fn take_this(&mut self, wanted: &Arc<Message>) -> Option<Arc<Message>> {
        let index = self.messages.iter().position(|message| Arc::ptr_eq(message, wanted))?;
        self.take_at(index)
    }

    fn take_at(&mut self, index: usize) -> Option<Arc<Message>> {
        let message = self.messages.remove(index)?;
        self.bytes = self.bytes.saturating_sub(size(&message));
        self.taken += 1;
        Some(message)
    }
}

/// The messages that a condition looks at: those that the inbox held a moment ago.
#[derive(Default)]
pub(super) struct Snapshot {
    pub messages: VecDeque<Arc<Message>>,
    pub added: u64,
    pub taken: u64,
}

impl Snapshot {
    /// Copies what has changed. Mostly that is only the new messages, because the lock of the inbox is held meanwhile.
    pub fn update(&mut self, state: &State) {
        let new = state.added_since(self.added);
        // How many messages of the inbox are in the snapshot already.
        let known = if state.taken == self.taken { state.messages.len().saturating_sub(new) } else { 0 };
        let dropped = self.messages.len().saturating_sub(known);
        self.messages.drain(..dropped);
        self.messages.extend(state.messages.range(known..).cloned());
        (self.added, self.taken) = (state.added, state.taken);
    }
}
