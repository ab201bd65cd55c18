//! Events: a channel that receives the messages of any number of peers, for programs that prefer a loop to callbacks.

use super::disconnect::DisconnectReason;
use super::handle::Peer;
use super::listener::Listener;
use crate::wire::Message;
use crossbeam_channel::{Receiver, Sender, bounded, select, unbounded};
use std::fmt;
use std::time::Duration;

/// Something that happened to a peer. Received from the channel of [`events`].
#[non_exhaustive]
pub struct Event {
    /// The peer. This handle keeps the connection open, as any other handle does.
    pub peer: Peer,
    /// The event itself.
    pub kind: EventKind,
    /// Dropping the event frees its slot.
    _slot: Option<Slot>,
}

/// The kind of an event, with its data.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EventKind {
    /// A message arrived.
    Message(Message),
    /// The handshake is done. This event follows the event of the remote's `verack`.
    Handshake,
    /// The connection has ended. This is the last event of a peer.
    Disconnected(DisconnectReason),
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").field("peer", &self.peer).field("kind", &self.kind).finish()
    }
}

struct Slot(Receiver<()>);

impl Drop for Slot {
    fn drop(&mut self) {
        let _ = self.0.try_recv();
    }
}

/// A listener that sends each message as an event to a channel. Returned by [`events`]. Clones send to the same channel
/// and share its capacity.
#[derive(Clone)]
pub struct EventListener {
    events: Sender<Event>,
    /// Contains one value for each event that holds a slot.
    slots: (Sender<()>, Receiver<()>),
}

impl fmt::Debug for EventListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventListener").field("waiting", &self.slots.1.len()).finish()
    }
}

/// How often a peer that waits for a slot checks whether the program has received all events.
const RECHECK: Duration = Duration::from_millis(50);

/// The largest capacity of an event channel. Each slot takes memory from the start.
const MOST_EVENTS: usize = 1 << 16;

/// Creates a listener for any number of peers, and a channel that receives the events of these peers.
///
/// `capacity` limits how many events exist at a time: the events in the channel, and the events that the program has
/// received and not dropped. A capacity below 1 is raised to 1, and a capacity above 65536 is lowered to 65536. While
/// the limit is reached, a peer that has another event waits and reads nothing. There are two exceptions.
/// `Disconnected` events need no capacity. If the channel is empty because the program keeps all events, each peer
/// still sends one event every 50 ms, because the program may need it to go on. The number of events is then not
/// limited: a program that passes events on to slow threads must limit them itself, and drop those that it does not
/// need.
///
/// The capacity is a number of events, not of bytes, and one message can have 32 MiB. If that is too much, lower the
/// [payload limits](super::ConfigBuilder::payload_limits). If the program drops the receiver, the peers go on, and drop
/// their events.
///
/// ```
/// use kaspa_peer::{Config, EventKind, events, wire::Network};
///
/// let (listener, events) = events(100);
/// let config = Config::builder(Network::Simnet).listener(listener).build()?;
/// // … connect some peers with `config`, then:
/// # drop(config);
/// for event in events {
///     match event.kind {
///         EventKind::Message(message) => println!("{}: {message:?}", event.peer),
///         EventKind::Disconnected(reason) => println!("{}: {reason}", event.peer),
///         _ => {}
///     }
/// }
/// # Ok::<(), kaspa_peer::ConfigError>(())
/// ```
#[must_use]
pub fn events(capacity: usize) -> (EventListener, Receiver<Event>) {
    let (events, receiver) = unbounded();
    (EventListener { events, slots: bounded(capacity.clamp(1, MOST_EVENTS)) }, receiver)
}

impl EventListener {
    /// Sends an event once there is a slot for it.
    fn send(&self, peer: &Peer, kind: EventKind) {
        let (take, free) = &self.slots;
        let mut slot = None;
        loop {
            select! {
                send(take, ()) -> _ => {
                    slot = Some(Slot(free.clone()));
                    break;
                }
                // The program may have stopped receiving. The wait then ends with the connection.
                recv(peer.quit_channel()) -> _ => return,
                // The channel is empty, so the program keeps the events of all slots. The peer sends one more event all
                // the same, because the program may need it to go on. If the receiver is dropped, the event is dropped.
                default(RECHECK) => if self.events.is_empty() { break },
            }
        }
        // Fails if the receiver is dropped. The event is then dropped too.
        drop(self.events.send(Event { peer: peer.clone(), kind, _slot: slot }));
    }
}

impl Listener for EventListener {
    /// Sends a copy of the message, for a listener that passes its callbacks on to this one.
    fn on_message(&self, peer: &Peer, message: &Message) {
        self.deliver(peer, message.clone());
    }

    /// Sends the message itself, so that a block is not copied.
    fn deliver(&self, peer: &Peer, message: Message) {
        self.send(peer, EventKind::Message(message));
    }

    fn on_handshake(&self, peer: &Peer) {
        self.send(peer, EventKind::Handshake);
    }

    fn on_disconnect(&self, peer: &Peer, reason: &DisconnectReason) {
        let kind = EventKind::Disconnected(reason.clone());
        drop(self.events.send(Event { peer: peer.clone(), kind, _slot: None }));
    }
}
