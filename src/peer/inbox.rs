//! Collects the messages of one connection, for programs that wait for messages instead of handling callbacks.

mod state;

use super::connection::thread_identity::PeerIdentity;
use super::disconnect::DisconnectReason;
use super::error::{WaitError, WaitedFor};
use super::handle::Peer;
use super::listener::Listener;
use crate::wire::{Command, Encode, FrameError, Message, Payload};
use parking_lot::{Condvar, Mutex, MutexGuard};
use state::{Snapshot, State};
use std::collections::{VecDeque, vec_deque};
use std::iter::FusedIterator;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::{Duration, Instant};
use std::{fmt, io, sync::Arc};

/// The default limit of an inbox, in bytes of payload.
const DEFAULT_LIMIT: usize = 32 * 1024 * 1024;

/// A listener that keeps the messages of one connection until the program asks for them.
///
/// Use an inbox instead of another listener, or [beside](Self::beside) one. Clones share the same messages. Each
/// connection needs an inbox of its own: when a connection of an inbox ends, the calls that wait for its messages
/// return.
///
/// An inbox holds at most 32 MiB, or the [limit](Self::with_limit) that the program sets. When a message does not fit,
/// the inbox drops the oldest messages and [counts](Self::dropped) them.
///
/// ```
/// use kaspa_peer::peer::Inbox;
/// use kaspa_peer::{Config, Peer, wire::{FeeFilter, Network}};
/// use std::net::{TcpListener, TcpStream};
/// use std::time::Duration;
///
/// # let other = Config::builder(Network::Simnet).build()?;
/// # let server = TcpListener::bind("127.0.0.1:0")?;
/// # let remote = Peer::outbound(TcpStream::connect(server.local_addr()?)?, server.local_addr()?, &other)?;
/// let inbox = Inbox::new();
/// let config = Config::builder(Network::Simnet).listener(inbox.clone()).build()?;
/// let (stream, address) = server.accept()?;
/// let peer = Peer::inbound(stream, address, &config)?;
/// # remote.queue_message(&FeeFilter { min_fee: 7 })?;
/// let filter: FeeFilter = inbox.wait_for(Duration::from_secs(10))?;
/// assert_eq!(filter.min_fee, 7);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Inbox {
    shared: Arc<Shared>,
}

/// A panic in the program's code cannot leave an inbox in an inconsistent state, because the inbox holds no lock while
/// it runs code of the program.
impl UnwindSafe for Inbox {}
impl RefUnwindSafe for Inbox {}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// The listener of [`Inbox::beside`]. If it is `None`, the inbox keeps each message without copying it.
    listener: Option<Box<dyn Listener>>,
}

impl Inbox {
    /// An empty inbox with the default limit of 32 MiB.
    #[must_use]
    pub fn new() -> Self {
        Self::build(None)
    }

    /// An inbox that passes each callback on to `listener`. The inbox keeps a copy of each message.
    ///
    /// ```
    /// use kaspa_peer::testing::connect_peers;
    /// use kaspa_peer::wire::{Network, Ping};
    /// use kaspa_peer::{Config, Inbox, Listener, Peer};
    /// use std::time::Duration;
    ///
    /// struct Printer;
    ///
    /// impl Listener for Printer {
    ///     fn on_ping(&self, peer: &Peer, ping: Ping) {
    ///         println!("{peer}: {ping:?}");
    ///     }
    /// }
    ///
    /// let inbox = Inbox::beside(Printer).with_limit(1024 * 1024);
    /// let config = Config::builder(Network::Simnet).listener(inbox.clone()).build()?;
    /// # let other = Config::builder(Network::Simnet).build()?;
    /// # let (remote, peer) = connect_peers(&other, &config)?;
    /// # remote.queue_message(&Ping { nonce: 7 })?;
    /// let ping: Ping = inbox.wait_for(Duration::from_secs(10))?;
    /// # assert_eq!(ping.nonce, 7);
    /// # drop(peer);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn beside(listener: impl Listener) -> Self {
        Self::build(Some(Box::new(listener)))
    }

    /// Sets the limit of the inbox and its clones, in bytes. Each message takes the size of its payload plus 128 bytes.
    /// Default: 32 MiB.
    #[must_use]
    pub fn with_limit(self, bytes: usize) -> Self {
        let mut state = self.shared.state.lock();
        state.limit = bytes;
        state.drop_oldest();
        // Makes `wait_until` and `wait_for_match` call their conditions again.
        state.taken += 1;
        drop(state);
        self
    }

    fn build(listener: Option<Box<dyn Listener>>) -> Self {
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(State::new(DEFAULT_LIMIT)),
                changed: Condvar::new(),
                listener,
            }),
        }
    }

    /// Takes the oldest message of a type from the inbox. If there is none, waits until one arrives.
    ///
    /// # Errors
    ///
    /// [`WaitError::Timeout`] after `timeout`; [`WaitError::Closed`] once the connection has ended and the inbox holds
    /// no such message; [`WaitError::InCallback`] in a callback of the peer. Before the first message has arrived, the
    /// inbox may not know its peer, so a wait in a callback of any peer returns `InCallback`.
    pub fn wait_for<M: Payload>(&self, timeout: Duration) -> Result<M, WaitError> {
        let message = self.wait_for_command(M::COMMAND, timeout)?;
        // Only a message of another type is an error, and this is none.
        M::try_from(Arc::unwrap_or_clone(message))
            .map_err(|_| WaitError::Timeout { what: WaitedFor::Message(M::COMMAND), waited: timeout })
    }

    /// Waits for the next message with this command, and takes it.
    pub(super) fn wait_for_command(&self, command: Command, timeout: Duration) -> Result<Arc<Message>, WaitError> {
        let deadline = Instant::now().checked_add(timeout);
        let mut state = self.lock_to_wait()?;
        let mut seen = 0;
        loop {
            if let Some(message) = state.take_new(command, &mut seen) {
                return Ok(message);
            }
            self.wait_for_change(&mut state, WaitedFor::Message(command), timeout, deadline)?;
        }
    }

    /// Waits for a message for which `condition` returns `true`, and takes it from the inbox. If there are several such
    /// messages, takes the oldest.
    ///
    /// This method calls `condition` at the same times as [`wait_until`](Self::wait_until) does.
    ///
    /// ```
    /// use kaspa_peer::testing::connect_peers;
    /// use kaspa_peer::wire::{Hash, Inv, Inventory, Message, Network};
    /// use kaspa_peer::{Config, Inbox};
    /// use std::time::Duration;
    ///
    /// let inbox = Inbox::new();
    /// let config = Config::builder(Network::Simnet).listener(inbox.clone()).build()?;
    /// # let other = Config::builder(Network::Simnet).build()?;
    /// # let (remote, peer) = connect_peers(&other, &config)?;
    /// let block = Inventory::block(Hash::of(b"a block"));
    /// # remote.queue_message(&Inv { items: vec![Inventory::tx(Hash::ZERO)] })?;
    /// # remote.queue_message(&Inv { items: vec![block] })?;
    /// let announced = inbox.wait_for_match(
    ///     Duration::from_secs(10),
    ///     |message| matches!(message, Message::Inv(inv) if inv.items.contains(&block)),
    /// )?;
    /// # assert_eq!(announced, Inv { items: vec![block] }.into());
    /// # drop(peer);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`wait_for`](Self::wait_for).
    pub fn wait_for_match(
        &self,
        timeout: Duration,
        mut condition: impl FnMut(&Message) -> bool,
    ) -> Result<Message, WaitError> {
        self.look(timeout, |messages| {
            let found = messages.iter().find(|message| condition(message))?;
            // Another call may have taken the message meanwhile. The inbox has then changed, so the condition is called
            // again.
            self.shared.state.lock().take_this(found)
        })
        .map(Arc::unwrap_or_clone)
    }

    /// Waits until `condition` returns `Some`, and returns the value. `condition` gets the messages in the inbox, the
    /// oldest first. The messages stay in the inbox.
    ///
    /// This method calls `condition` on the calling thread: once at the start, and again after the messages in the
    /// inbox have changed. It holds no lock during these calls, so `condition` may be slow and may use the inbox.
    /// Messages that leave the inbox during the wait may stay in memory until this method returns.
    ///
    /// ```
    /// use kaspa_peer::testing::connect_peers;
    /// use kaspa_peer::wire::{Message, Network, Ping};
    /// use kaspa_peer::{Config, Inbox};
    /// use std::time::Duration;
    ///
    /// let inbox = Inbox::new();
    /// let config = Config::builder(Network::Simnet).listener(inbox.clone()).build()?;
    /// # let other = Config::builder(Network::Simnet).build()?;
    /// # let (remote, peer) = connect_peers(&other, &config)?;
    /// # remote.queue_message(&Ping { nonce: 7 })?;
    /// # remote.queue_message(&Ping { nonce: 8 })?;
    /// let pings = inbox.wait_until(Duration::from_secs(10), |messages| {
    ///     let pings = messages.filter(|message| matches!(message, Message::Ping(_))).count();
    ///     (pings >= 2).then_some(pings)
    /// })?;
    /// # assert_eq!(pings, 2);
    /// # drop(peer);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`wait_for`](Self::wait_for).
    pub fn wait_until<T>(
        &self,
        timeout: Duration,
        mut condition: impl FnMut(InboxMessages<'_>) -> Option<T>,
    ) -> Result<T, WaitError> {
        self.look(timeout, |messages| condition(InboxMessages(messages.iter())))
    }

    /// Calls `condition` for the messages of the inbox, at once and after each change, until it returns `Some`.
    fn look<T>(
        &self,
        timeout: Duration,
        mut condition: impl FnMut(&VecDeque<Arc<Message>>) -> Option<T>,
    ) -> Result<T, WaitError> {
        let deadline = Instant::now().checked_add(timeout);
        let mut snapshot = Snapshot::default();
        let mut state = self.lock_to_wait()?;
        loop {
            // After the deadline the inbox looks once more, and not again. A remote that keeps sending messages could
            // otherwise prolong the wait for ever.
            let is_last = deadline.is_some_and(|deadline| Instant::now() >= deadline);
            snapshot.update(&state);
            drop(state);
            if let Some(found) = condition(&snapshot.messages) {
                return Ok(found);
            }
            state = self.shared.state.lock();
            let unchanged = |state: &State| (state.added, state.taken) == (snapshot.added, snapshot.taken);
            while unchanged(&state) || (is_last && state.ended.is_none()) {
                self.wait_for_change(&mut state, WaitedFor::Condition, timeout, deadline)?;
            }
        }
    }

    fn lock_to_wait(&self) -> Result<MutexGuard<'_, State>, WaitError> {
        let state = self.shared.state.lock();
        match state.peer {
            Some(peer) => peer.check_not_current()?,
            // A listener of the program that contains this inbox may wait before it has passed on a message. The inbox
            // does not know its peer then, so it refuses to wait on the threads of all peers.
            None if state.ended.is_none() => PeerIdentity::check_none_is_current()?,
            None => {}
        }
        Ok(state)
    }

    /// Waits for a message or the end of the connection, if it has not ended.
    fn wait_for_change(
        &self,
        state: &mut MutexGuard<'_, State>,
        what: WaitedFor,
        timeout: Duration,
        deadline: Option<Instant>,
    ) -> Result<(), WaitError> {
        if let Some(reason) = &state.ended {
            return Err(WaitError::Closed(reason.clone()));
        }
        match deadline {
            Some(deadline) if Instant::now() >= deadline => return Err(WaitError::Timeout { what, waited: timeout }),
            Some(deadline) => drop(self.shared.changed.wait_until(state, deadline)),
            None => self.shared.changed.wait(state),
        }
        Ok(())
    }

    /// Returns a copy of the newest message of a type in the inbox. The message stays in the inbox.
    #[must_use]
    pub fn last<M: Payload>(&self) -> Option<M> {
        let state = self.shared.state.lock();
        let message = state.messages.iter().rev().find(|message| message.command() == M::COMMAND).map(Arc::clone)?;
        drop(state);
        M::try_from(Arc::unwrap_or_clone(message)).ok()
    }

    /// The number of messages of a type that have arrived, including those that were taken or dropped. Of custom
    /// commands, only the first 1000 different names are counted.
    #[must_use]
    pub fn count(&self, command: Command) -> usize {
        self.shared.state.lock().counts.get(&command).copied().unwrap_or(0)
    }

    /// The number of messages that were dropped because the inbox was full.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.shared.state.lock().dropped
    }

    /// Takes all messages, the oldest first.
    #[must_use]
    pub fn take_all(&self) -> Vec<Message> {
        let mut state = self.shared.state.lock();
        state.bytes = 0;
        state.taken += state.messages.len() as u64;
        let messages = std::mem::take(&mut state.messages);
        drop(state);
        messages.into_iter().map(Arc::unwrap_or_clone).collect()
    }

    /// The listener of the program, for a callback of `peer`. From then on, a wait in a callback of this peer is
    /// refused.
    fn listener_for(&self, peer: &Peer) -> Option<&dyn Listener> {
        let listener = self.shared.listener.as_deref()?;
        self.shared.state.lock().peer = Some(peer.shared().lifecycle().identity());
        Some(listener)
    }

    fn keep(&self, peer: &Peer, message: Message) {
        let mut state = self.shared.state.lock();
        state.peer = Some(peer.shared().lifecycle().identity());
        state.count(message.command());
        state.push(message);
        drop(state);
        self.shared.changed.notify_all();
    }
}

/// The messages that an inbox holds, the oldest first, see [`Inbox::wait_until`].
#[derive(Debug, Clone)]
pub struct InboxMessages<'a>(vec_deque::Iter<'a, Arc<Message>>);

impl<'a> Iterator for InboxMessages<'a> {
    type Item = &'a Message;

    fn next(&mut self) -> Option<&'a Message> {
        self.0.next().map(|message| &**message)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl DoubleEndedIterator for InboxMessages<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.0.next_back().map(|message| &**message)
    }
}

impl ExactSizeIterator for InboxMessages<'_> {}

impl FusedIterator for InboxMessages<'_> {}

impl Default for Inbox {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.state.lock();
        f.debug_struct("Inbox")
            .field("messages", &state.messages.len())
            .field("bytes", &state.bytes)
            .field("dropped", &state.dropped)
            .field("ended", &state.ended)
            .finish_non_exhaustive()
    }
}

impl Listener for Inbox {
    fn on_message(&self, peer: &Peer, message: &Message) {
        self.deliver(peer, message.clone());
    }

    fn on_handshake(&self, peer: &Peer) {
        if let Some(listener) = self.listener_for(peer) {
            listener.on_handshake(peer);
        }
    }

    fn on_read(&self, peer: &Peer, bytes: usize, frame: Result<Command, &FrameError>) {
        if let Some(listener) = self.listener_for(peer) {
            listener.on_read(peer, bytes, frame);
        }
    }

    fn on_write(&self, peer: &Peer, command: Command, bytes: usize, error: Option<&io::Error>) {
        if let Some(listener) = self.listener_for(peer) {
            listener.on_write(peer, command, bytes, error);
        }
    }

    fn deliver(&self, peer: &Peer, message: Message) {
        match &self.shared.listener {
            Some(listener) => {
                self.keep(peer, message.clone());
                listener.deliver(peer, message);
            }
            None => self.keep(peer, message),
        }
    }

    fn on_disconnect(&self, peer: &Peer, reason: &DisconnectReason) {
        self.shared.state.lock().ended = Some(reason.clone());
        self.shared.changed.notify_all();
        if let Some(listener) = self.listener_for(peer) {
            listener.on_disconnect(peer, reason);
        }
    }
}

#[cfg(test)]
mod tests;
