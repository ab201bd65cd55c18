//! Collects the messages of one connection, for programs that wait for messages instead of handling callbacks.

use super::connection::thread_identity::PeerIdentity;
use super::{DisconnectReason, Listener, Peer, WaitError, WaitedFor};
use crate::wire::{Command, Encode, FrameError, Message, Payload};
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::collections::{HashMap, VecDeque, vec_deque};
use std::iter::FusedIterator;
use std::time::{Duration, Instant};
use std::{fmt, io, sync::Arc};

/// The default limit of an inbox, in bytes of payload.
const DEFAULT_LIMIT: usize = 32 * 1024 * 1024;

/// What a message takes in memory in addition to its payload, so that many empty messages count too.
const MESSAGE_OVERHEAD: usize = 128;

/// The number of custom command names that are counted separately. The remote chooses these names.
const MAX_CUSTOM_COMMANDS: usize = 1000;

/// A listener that keeps the messages of one connection until the program asks for them.
///
/// Use it instead of a listener, or [beside](Self::beside) one. Clones share the same messages. Each connection needs an
/// inbox of its own: the waits end as soon as a connection of the inbox has ended.
///
/// An inbox holds at most 32 MiB, or the [limit](Self::with_limit) that the program sets. When a message does not fit, the inbox drops
/// the oldest messages and [counts](Self::dropped) them.
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

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// `None` for an inbox of its own, which then keeps each message without copying it.
    listener: Option<Box<dyn Listener>>,
}

struct State {
    /// Shared with the conditions of [`Inbox::wait_until`], which look at the messages while no lock is held.
    messages: VecDeque<Arc<Message>>,
    bytes: usize,
    limit: usize,
    /// How many messages have ever been added to `messages`.
    added: u64,
    /// How many messages were taken from `messages`, wherever they were. Those that were dropped do not count.
    taken: u64,
    dropped: u64,
    counts: HashMap<Command, usize>,
    custom_commands: usize,
    peer: Option<PeerIdentity>,
    ended: Option<DisconnectReason>,
}

fn size(message: &Message) -> usize {
    message.encoded_len().saturating_add(MESSAGE_OVERHEAD)
}

impl State {
    fn count(&mut self, command: Command) {
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

    fn push(&mut self, message: Message) {
        self.bytes = self.bytes.saturating_add(size(&message));
        self.messages.push_back(Arc::new(message));
        self.added += 1;
        self.drop_oldest();
    }

    /// Drops messages until the rest is within the limit.
    fn drop_oldest(&mut self) {
        while self.bytes > self.limit
            && let Some(oldest) = self.messages.pop_front()
        {
            self.bytes = self.bytes.saturating_sub(size(&oldest));
            self.dropped += 1;
        }
    }

    fn take(&mut self, command: Command) -> Option<Arc<Message>> {
        let index = self.messages.iter().position(|message| message.command() == command)?;
        let message = self.messages.remove(index)?;
        self.bytes = self.bytes.saturating_sub(size(&message));
        self.taken += 1;
        Some(message)
    }
}

/// What a condition looks at: the messages that the inbox held a moment ago.
#[derive(Default)]
struct Snapshot {
    messages: VecDeque<Arc<Message>>,
    added: u64,
    taken: u64,
}

impl Snapshot {
    /// Copies what has changed. Mostly that is only the new messages, because the lock of the inbox is held meanwhile.
    fn update(&mut self, state: &State) {
        let new = usize::try_from(state.added - self.added).unwrap_or(usize::MAX);
        // How many messages of the inbox are in the snapshot already.
        let known = if state.taken == self.taken { state.messages.len().saturating_sub(new) } else { 0 };
        let dropped = self.messages.len().saturating_sub(known);
        self.messages.drain(..dropped);
        self.messages.extend(state.messages.range(known..).cloned());
        (self.added, self.taken) = (state.added, state.taken);
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

impl Inbox {
    /// An empty inbox with the default limit of 32 MiB.
    #[must_use]
    pub fn new() -> Self {
        Self::build(None)
    }

    /// An inbox that passes everything on to `listener`. The inbox keeps a copy of each message.
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

    /// Sets the limit of the inbox and its clones to `bytes` of payloads, where each message counts 128 bytes more than its
    /// payload. Default: 32 MiB.
    #[must_use]
    pub fn with_limit(self, bytes: usize) -> Self {
        let mut state = self.shared.state.lock();
        state.limit = bytes;
        state.drop_oldest();
        drop(state);
        self
    }

    fn build(listener: Option<Box<dyn Listener>>) -> Self {
        let state = State {
            messages: VecDeque::new(),
            bytes: 0,
            limit: DEFAULT_LIMIT,
            added: 0,
            taken: 0,
            dropped: 0,
            counts: HashMap::new(),
            custom_commands: 0,
            peer: None,
            ended: None,
        };
        Self { shared: Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new(), listener }) }
    }

    /// Waits for the next message of a type that no wait has taken yet, in order of arrival, and takes it.
    ///
    /// # Errors
    ///
    /// [`WaitError::Timeout`] after `timeout`; [`WaitError::Closed`] once the connection has ended and the inbox holds no
    /// such message; [`WaitError::InCallback`] in a callback of the peer.
    pub fn wait_for<M: Payload>(&self, timeout: Duration) -> Result<M, WaitError> {
        let what = WaitedFor::Message(M::COMMAND);
        let deadline = Instant::now().checked_add(timeout);
        loop {
            let mut state = self.lock_to_wait()?;
            let message = loop {
                if let Some(message) = state.take(M::COMMAND) {
                    break message;
                }
                self.wait_for_change(&mut state, what, timeout, deadline)?;
            };
            drop(state);
            // Only a message of another type is an error, and this is none.
            if let Ok(message) = M::try_from(Arc::unwrap_or_clone(message)) {
                return Ok(message);
            }
        }
    }

    /// Waits until `condition` returns `Some` for the messages that the inbox holds, the oldest first. Takes none of them.
    ///
    /// The condition runs on the calling thread, at once and again after messages have arrived. No lock is held meanwhile, so
    /// it may take its time and may use the inbox. Until the call returns, messages that are taken from the inbox or dropped
    /// by it may stay in memory.
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
        let deadline = Instant::now().checked_add(timeout);
        let mut snapshot = Snapshot::default();
        let mut state = self.lock_to_wait()?;
        loop {
            snapshot.update(&state);
            drop(state);
            if let Some(found) = condition(InboxMessages(snapshot.messages.iter())) {
                return Ok(found);
            }
            state = self.shared.state.lock();
            while (state.added, state.taken) == (snapshot.added, snapshot.taken) {
                self.wait_for_change(&mut state, WaitedFor::Condition, timeout, deadline)?;
            }
        }
    }

    fn lock_to_wait(&self) -> Result<MutexGuard<'_, State>, WaitError> {
        let state = self.shared.state.lock();
        if let Some(peer) = state.peer {
            peer.check_not_current()?;
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

    /// A copy of the newest message of a type that the inbox holds.
    #[must_use]
    pub fn last<M: Payload>(&self) -> Option<M> {
        let state = self.shared.state.lock();
        let message = state.messages.iter().rev().find(|message| message.command() == M::COMMAND).map(Arc::clone)?;
        drop(state);
        M::try_from(Arc::unwrap_or_clone(message)).ok()
    }

    /// The number of messages of a type that have arrived, including those that were taken or dropped. Custom commands are
    /// counted for the first 1000 names.
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

    fn keep(&self, peer: &Peer, message: Message) {
        let mut state = self.shared.state.lock();
        state.peer = Some(peer.shared().lifecycle.identity());
        state.count(message.command());
        state.push(message);
        drop(state);
        self.shared.changed.notify_all();
    }
}

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
        if let Some(listener) = &self.shared.listener {
            listener.on_handshake(peer);
        }
    }

    fn on_read(&self, peer: &Peer, bytes: usize, frame: Result<Command, &FrameError>) {
        if let Some(listener) = &self.shared.listener {
            listener.on_read(peer, bytes, frame);
        }
    }

    fn on_write(&self, peer: &Peer, command: Command, bytes: usize, error: Option<&io::Error>) {
        if let Some(listener) = &self.shared.listener {
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
        if let Some(listener) = &self.shared.listener {
            listener.on_disconnect(peer, reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::wire::{FeeFilter, Network, Ping, Pong, VerAck};
    use std::net::{TcpListener, TcpStream};

    fn push(inbox: &Inbox, message: impl Into<Message>) {
        inbox.shared.state.lock().push(message.into());
    }

    #[test]
    fn waits_take_messages_of_their_type_in_order_of_arrival() {
        let inbox = Inbox::new();
        push(&inbox, Ping { nonce: 1 });
        push(&inbox, VerAck);
        push(&inbox, Ping { nonce: 2 });
        assert_eq!(inbox.last(), Some(Ping { nonce: 2 }));
        assert_eq!(inbox.wait_for(Duration::ZERO), Ok(Ping { nonce: 1 }));
        assert_eq!(inbox.wait_for(Duration::ZERO), Ok(Ping { nonce: 2 }));
        assert_eq!(
            inbox.wait_for::<Ping>(Duration::ZERO),
            Err(WaitError::Timeout { what: WaitedFor::Message(Command::Ping), waited: Duration::ZERO })
        );
        assert_eq!(inbox.wait_until(Duration::ZERO, |mut held| held.next().cloned()), Ok(VerAck.into()));
        assert_eq!(inbox.take_all(), [VerAck.into()]);
    }

    #[test]
    fn the_oldest_messages_are_dropped() {
        let inbox = Inbox::new().with_limit(2 * (8 + MESSAGE_OVERHEAD));
        for nonce in 0..5 {
            push(&inbox, Ping { nonce });
        }
        assert_eq!(inbox.dropped(), 3);
        let inbox = inbox.with_limit(8 + MESSAGE_OVERHEAD);
        assert_eq!(inbox.dropped(), 4);
        assert_eq!(inbox.take_all(), [Ping { nonce: 4 }.into()]);
    }

    #[test]
    fn an_inbox_beside_a_listener_can_have_a_limit() {
        let inbox = Inbox::beside(()).with_limit(0);
        push(&inbox, VerAck);
        assert_eq!((inbox.dropped(), inbox.take_all()), (1, Vec::new()));
    }

    #[test]
    fn a_condition_may_use_the_inbox_and_does_not_block_messages() {
        let inbox = Inbox::new();
        push(&inbox, Ping { nonce: 1 });
        let mut seen = Vec::new();
        let result = inbox.wait_until(Duration::MAX, |messages| {
            seen.push(messages.cloned().collect::<Vec<_>>());
            match seen.len() {
                // Both would wait for ever behind the lock of the inbox.
                1 => push(&inbox, Ping { nonce: 2 }),
                2 => drop(inbox.wait_for::<Ping>(Duration::ZERO).unwrap()),
                3 => push(&inbox, Ping { nonce: 3 }),
                _ => return Some("done"),
            }
            None
        });
        assert_eq!(result, Ok("done"));
        let pings = |nonces: &[u64]| nonces.iter().map(|nonce| Ping { nonce: *nonce }.into()).collect::<Vec<Message>>();
        assert_eq!(seen, [pings(&[1]), pings(&[1, 2]), pings(&[2]), pings(&[2, 3])]);
    }

    #[test]
    fn a_condition_sees_what_the_inbox_holds_after_it_dropped_messages() {
        let inbox = Inbox::new().with_limit(2 * (8 + MESSAGE_OVERHEAD));
        let mut seen = Vec::new();
        for first in [1, 2, 5] {
            push(&inbox, Ping { nonce: first });
        }
        let result = inbox.wait_until(Duration::MAX, |messages| {
            seen.push(messages.map(ToString::to_string).collect::<Vec<_>>());
            match seen.len() {
                1 => push(&inbox, Ping { nonce: 6 }),
                2 => (7..12).for_each(|nonce| push(&inbox, Ping { nonce })),
                _ => return Some(()),
            }
            None
        });
        assert_eq!(result, Ok(()));
        let pings = |nonces: [u64; 2]| nonces.map(|nonce| Message::from(Ping { nonce }).to_string());
        assert_eq!(seen, [pings([2, 5]), pings([5, 6]), pings([10, 11])]);
    }

    #[test]
    fn a_condition_that_is_not_met_ends_with_the_timeout_or_the_connection() {
        let inbox = Inbox::new();
        let never = |_: InboxMessages<'_>| None::<()>;
        let timeout = WaitError::Timeout { what: WaitedFor::Condition, waited: Duration::ZERO };
        assert_eq!(inbox.wait_until(Duration::ZERO, never), Err(timeout));
        inbox.shared.state.lock().ended = Some(DisconnectReason::Local);
        assert_eq!(inbox.wait_until(Duration::MAX, never), Err(WaitError::Closed(DisconnectReason::Local)));
    }

    #[test]
    fn the_end_of_the_connection_ends_waits_after_the_last_match() {
        let inbox = Inbox::new();
        push(&inbox, Pong { nonce: 1 });
        inbox.shared.state.lock().ended = Some(DisconnectReason::Local);
        assert_eq!(inbox.wait_for(Duration::MAX), Ok(Pong { nonce: 1 }));
        assert_eq!(inbox.wait_for::<Pong>(Duration::MAX), Err(WaitError::Closed(DisconnectReason::Local)));
    }

    /// Records the callbacks that an inbox passes on, and waits for its own peer in one of them.
    #[derive(Default)]
    struct Calls {
        inbox: std::sync::OnceLock<Inbox>,
        pings: Mutex<Vec<(Ping, Option<WaitError>)>>,
        handshakes: Mutex<usize>,
    }

    impl Listener for Arc<Calls> {
        fn on_handshake(&self, _: &Peer) {
            *self.handshakes.lock() += 1;
        }

        fn on_ping(&self, _: &Peer, ping: Ping) {
            let error = self.inbox.get().and_then(|inbox| inbox.wait_for::<Pong>(Duration::MAX).err());
            self.pings.lock().push((ping, error));
        }
    }

    #[test]
    fn an_inbox_beside_a_listener_passes_callbacks_on_and_ends_with_the_reason() {
        let calls = Arc::new(Calls::default());
        let inbox = Inbox::beside(Arc::clone(&calls));
        calls.inbox.set(inbox.clone()).unwrap();
        let config = Config::builder(Network::Simnet).listener(inbox.clone()).build().unwrap();
        let other = Config::builder(Network::Simnet).build().unwrap();
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        let remote = Peer::outbound(TcpStream::connect(address).unwrap(), address, &other).unwrap();
        let (stream, from) = server.accept().unwrap();
        let peer = Peer::inbound(stream, from, &config).unwrap();
        remote.wait_for_handshake().unwrap();
        remote.queue_message(&Ping { nonce: 7 }).unwrap();
        let limit = Duration::from_secs(20);
        assert_eq!(
            inbox.wait_until(limit, |mut held| held.find_map(|message| match message {
                Message::Ping(ping) if ping.nonce == 7 => Some(*ping),
                _ => None,
            })),
            Ok(Ping { nonce: 7 })
        );
        // The reader thread handles this pong only after the callback for the remote's ping has returned.
        peer.ping().unwrap();
        peer.disconnect();
        peer.wait_for_disconnect().unwrap();
        assert_eq!(inbox.wait_for::<FeeFilter>(Duration::MAX), Err(WaitError::Closed(DisconnectReason::Local)));
        assert_eq!(*calls.handshakes.lock(), 1);
        assert!(
            calls.pings.lock().contains(&(Ping { nonce: 7 }, Some(WaitError::InCallback))),
            "{:?}",
            calls.pings.lock()
        );
        let VerAck = inbox.wait_for(Duration::ZERO).unwrap();
    }
}
