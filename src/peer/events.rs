//! Events instead of callbacks: for programs that prefer a loop.

use super::{DisconnectReason, Listener, Peer};
use crate::wire::Message;
use crossbeam_channel::{Receiver, Sender, bounded, select, unbounded};
use std::fmt;
use std::time::Duration;

/// Something that happened to a peer.
#[non_exhaustive]
pub struct Event {
    /// The peer it happened to: a handle as any other, which keeps the connection alive.
    pub peer: Peer,
    /// What happened.
    pub kind: EventKind,
    /// Dropping the event frees its slot.
    _slot: Option<Slot>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EventKind {
    /// A message arrived.
    Message(Message),
    /// The handshake is done. Comes after the message `verack`.
    Handshake,
    /// The peer is gone. The last event of a peer.
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

/// Turns callbacks into events. Made by [`events`]. Clones tell the same channel, and share its capacity.
#[derive(Clone)]
pub struct EventListener {
    events: Sender<Event>,
    /// Holds as many tokens as messages wait.
    slots: (Sender<()>, Receiver<()>),
}

impl fmt::Debug for EventListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventListener").field("waiting", &self.slots.1.len()).finish()
    }
}

/// How often a peer that waits for a slot looks whether the program has taken all events.
const RECHECK: Duration = Duration::from_millis(50);

/// The largest capacity of an event channel: each slot takes memory from the beginning.
const MOST_EVENTS: usize = 1 << 16;

/// A listener for any number of peers, and the channel on which it tells what happens to them.
///
/// At most `capacity` messages (at least 1, at most 65536) wait or are being handled, as long as their [`Event`]s exist; beyond that
/// the peers stop reading until the program catches up. It counts messages, not bytes: one of them can be a block of 32
/// MiB. `Disconnected` always finds room. When the receiver is dropped,
/// events are dropped too, and the peers go on.
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
                // The program may read no more; the end of the connection ends the wait.
                recv(peer.quitting()) -> _ => return,
                // No event waits, so the program itself keeps as many as there are slots. It can have one more at a time;
                // and if the receiver is gone, the event is dropped.
                default(RECHECK) => if self.events.is_empty() { break },
            }
        }
        // An error means that the receiver is dropped: the event goes with it.
        drop(self.events.send(Event { peer: peer.clone(), kind, _slot: slot }));
    }
}

impl Listener for EventListener {
    /// For a listener that passes on what it is told.
    fn on_message(&self, peer: &Peer, message: &Message) {
        self.deliver(peer, message.clone());
    }

    /// Takes the message itself, so that a block is not copied.
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
