//! Events instead of callbacks: for programs that prefer a loop.

use super::{DisconnectReason, Listener, Peer};
use crate::wire::Message;
use crossbeam_channel::{Receiver, Sender, bounded, select, unbounded};
use std::fmt;

/// Something that happened to a peer.
#[non_exhaustive]
pub struct Event {
    /// The peer it happened to. It does not keep the connection alive: who forgets all its own handles disconnects,
    /// even while events are waiting. A clone of it does.
    pub peer: Peer,
    /// What happened.
    pub kind: EventKind,
    /// Gives its place back when the event is dropped.
    _place: Option<Place>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EventKind {
    /// A message arrived. (A `verack` is the end of a handshake.)
    Message(Message),
    /// The peer is gone. The last event of a peer.
    Disconnected(DisconnectReason),
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").field("peer", &self.peer).field("kind", &self.kind).finish()
    }
}

struct Place(Receiver<()>);

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.0.try_recv();
    }
}

/// Turns callbacks into events. Made by [`events`]. Clones tell the same channel, and share its capacity.
#[derive(Clone)]
pub struct EventListener {
    events: Sender<Event>,
    /// Holds as many tokens as messages wait.
    places: (Sender<()>, Receiver<()>),
}

impl fmt::Debug for EventListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventListener").field("waiting", &self.places.1.len()).finish()
    }
}

/// The largest capacity of an event channel: each place takes memory from the beginning.
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
    (EventListener { events, places: bounded(capacity.clamp(1, MOST_EVENTS)) }, receiver)
}

impl Listener for EventListener {
    /// For a listener that passes on what it is told.
    fn on_message(&self, peer: &Peer, message: &Message) {
        self.deliver(peer, message.clone());
    }

    /// Takes the message itself, so that a block is not copied.
    fn deliver(&self, peer: &Peer, message: Message) {
        let (take, free) = &self.places;
        select! {
            send(take, ()) -> _ => {}
            // The program may read no more; the end of the connection ends the wait.
            recv(peer.quitting()) -> _ => return,
        }
        let kind = EventKind::Message(message);
        let _place = Some(Place(free.clone()));
        // Without a receiver nobody wants to know.
        drop(self.events.send(Event { peer: peer.own_handle(), kind, _place }));
    }

    fn on_disconnect(&self, peer: &Peer, reason: &DisconnectReason) {
        let kind = EventKind::Disconnected(reason.clone());
        drop(self.events.send(Event { peer: peer.own_handle(), kind, _place: None }));
    }
}
