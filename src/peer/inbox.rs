//! Collects the messages of one connection, for programs that wait for messages instead of handling callbacks.

use super::connection::thread_identity::PeerIdentity;
use super::{DisconnectReason, Listener, Peer, WaitError};
use crate::wire::{Command, Encode, FrameError, Message, Payload};
use parking_lot::{Condvar, Mutex};
use std::collections::{HashMap, VecDeque, vec_deque};
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
/// An inbox holds at most 32 MiB, or the [configured limit](Self::with_limit). When a message does not fit, the inbox drops
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
    limit: usize,
    /// `None` for an inbox of its own, which then keeps each message without copying it.
    listener: Option<Box<dyn Listener>>,
}

#[derive(Default)]
struct State {
    messages: VecDeque<Message>,
    bytes: usize,
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

    fn push(&mut self, message: Message, limit: usize) {
        self.bytes = self.bytes.saturating_add(size(&message));
        self.messages.push_back(message);
        while self.bytes > limit
            && let Some(oldest) = self.messages.pop_front()
        {
            self.bytes = self.bytes.saturating_sub(size(&oldest));
            self.dropped += 1;
        }
    }

    fn take<M: Payload>(&mut self) -> Option<M> {
        let index = self.messages.iter().position(|message| message.command() == M::COMMAND)?;
        let message = self.messages.remove(index)?;
        self.bytes = self.bytes.saturating_sub(size(&message));
        M::try_from(message).ok()
    }
}

impl Inbox {
    /// An empty inbox with the default limit of 32 MiB.
    #[must_use]
    pub fn new() -> Self {
        Self::build(DEFAULT_LIMIT, None)
    }

    /// An empty inbox that holds at most `bytes` of payloads, where each message counts 128 bytes more than its payload.
    #[must_use]
    pub fn with_limit(bytes: usize) -> Self {
        Self::build(bytes, None)
    }

    /// An inbox that passes everything on to `listener`. The inbox keeps a copy of each message.
    #[must_use]
    pub fn beside(listener: impl Listener) -> Self {
        Self::build(DEFAULT_LIMIT, Some(Box::new(listener)))
    }

    fn build(limit: usize, listener: Option<Box<dyn Listener>>) -> Self {
        Self { shared: Arc::new(Shared { state: Mutex::default(), changed: Condvar::new(), limit, listener }) }
    }

    /// Waits for the next message of a type that no wait has taken yet, in order of arrival, and takes it.
    ///
    /// # Errors
    ///
    /// [`WaitError::Timeout`] after `timeout`; [`WaitError::Closed`] once the connection has ended and the inbox holds no
    /// such message; [`WaitError::InCallback`] in a callback of the peer.
    pub fn wait_for<M: Payload>(&self, timeout: Duration) -> Result<M, WaitError> {
        self.wait(timeout, State::take)
    }

    /// Waits until `condition` returns `Some` for the messages that the inbox holds, the oldest first. Takes none of them.
    /// The inbox calls `condition` again after each message, with a lock held: it must not use the inbox itself.
    ///
    /// # Errors
    ///
    /// As [`wait_for`](Self::wait_for).
    pub fn wait_until<T>(
        &self,
        timeout: Duration,
        mut condition: impl FnMut(vec_deque::Iter<'_, Message>) -> Option<T>,
    ) -> Result<T, WaitError> {
        self.wait(timeout, |state| condition(state.messages.iter()))
    }

    fn wait<T>(&self, timeout: Duration, mut look: impl FnMut(&mut State) -> Option<T>) -> Result<T, WaitError> {
        let deadline = Instant::now().checked_add(timeout);
        let mut state = self.shared.state.lock();
        if let Some(peer) = state.peer {
            peer.check_not_current()?;
        }
        loop {
            if let Some(found) = look(&mut state) {
                return Ok(found);
            }
            if let Some(reason) = &state.ended {
                return Err(WaitError::Closed(reason.clone()));
            }
            match deadline {
                Some(deadline) if Instant::now() >= deadline => return Err(WaitError::Timeout { waited: timeout }),
                Some(deadline) => drop(self.shared.changed.wait_until(&mut state, deadline)),
                None => self.shared.changed.wait(&mut state),
            }
        }
    }

    /// A copy of the newest message of a type that the inbox holds.
    #[must_use]
    pub fn last<M: Payload>(&self) -> Option<M> {
        let state = self.shared.state.lock();
        let message = state.messages.iter().rev().find(|message| message.command() == M::COMMAND)?.clone();
        M::try_from(message).ok()
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
        std::mem::take(&mut state.messages).into()
    }

    fn keep(&self, peer: &Peer, message: Message) {
        let mut state = self.shared.state.lock();
        state.peer = Some(peer.shared().lifecycle.identity());
        state.count(message.command());
        state.push(message, self.shared.limit);
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
        inbox.shared.state.lock().push(message.into(), inbox.shared.limit);
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
        assert_eq!(inbox.wait_for::<Ping>(Duration::ZERO), Err(WaitError::Timeout { waited: Duration::ZERO }));
        assert_eq!(inbox.wait_until(Duration::ZERO, |mut held| held.next().cloned()), Ok(VerAck.into()));
        assert_eq!(inbox.take_all(), [VerAck.into()]);
    }

    #[test]
    fn the_oldest_messages_are_dropped() {
        let inbox = Inbox::with_limit(2 * (8 + MESSAGE_OVERHEAD));
        for nonce in 0..5 {
            push(&inbox, Ping { nonce });
        }
        assert_eq!(inbox.dropped(), 3);
        assert_eq!(inbox.take_all(), [Ping { nonce: 3 }.into(), Ping { nonce: 4 }.into()]);
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
