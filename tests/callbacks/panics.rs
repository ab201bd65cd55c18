//! A panic in a callback ends that peer, and nothing else.

use crate::common::local::new_peer_of;
use crate::common::remote::Remote;
use crate::common::{DEADLINE, builder, version};
use kaspa_peer::wire::{Command, FeeFilter, FrameError, Hash, Inventory, Message, Ping, Pong};
use kaspa_peer::{DagView, Direction, DisconnectReason, Listener, Peer, QueueError, WaitError};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{panic, sync::Arc, sync::Once, thread};

/// Where to panic.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    Message,
    Hook,
    Read,
    Write,
    Disconnect,
}

/// The fee that brings the panic about.
const TRIGGER: i64 = -666;

#[derive(Clone)]
struct Fragile {
    place: Place,
    ends: Arc<Mutex<Vec<(u64, DisconnectReason)>>>,
}

impl Listener for Fragile {
    fn on_message(&self, _: &Peer, message: &Message) {
        assert!(self.place != Place::Message || *message != trigger().into());
    }

    fn on_fee_filter(&self, _: &Peer, message: FeeFilter) {
        assert!(self.place != Place::Hook || message != trigger());
    }

    fn on_read(&self, _: &Peer, _: usize, frame: Result<Command, &FrameError>) {
        assert!(self.place != Place::Read || frame != Ok(Command::FeeFilter));
    }

    fn on_write(&self, _: &Peer, command: Command, _: usize, _: Option<&std::io::Error>) {
        assert!(self.place != Place::Write || command != Command::FeeFilter);
    }

    fn on_disconnect(&self, peer: &Peer, reason: &DisconnectReason) {
        self.ends.lock().push((peer.id(), reason.clone()));
        assert!(self.place != Place::Disconnect);
    }
}

fn trigger() -> FeeFilter {
    FeeFilter { min_fee: TRIGGER }
}

/// The panics of peers' threads are expected here, and not shown.
fn quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let loud = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !thread::current().name().is_some_and(|name| name.starts_with("kpeer-")) {
                loud(info);
            }
        }));
    });
}

fn met(node: &kaspa_peer::Config) -> (Remote, Peer) {
    let (peer, mut remote) = new_peer_of(node, Direction::Inbound);
    remote.shake_hands(&version());
    peer.wait_for_handshake().unwrap();
    (remote, peer)
}

/// The peer that panics must be gone for that reason, everything about it still usable, and another peer of the node alive.
fn ends_with(place: Place, reason: &DisconnectReason, bring_about: impl FnOnce(&mut Remote, &Peer)) {
    quiet();
    let ends = Arc::default();
    let node = builder().listener(Fragile { place, ends: Arc::clone(&ends) }).build().unwrap();
    let (mut remote, peer) = met(&node);
    let (mut other_remote, other) = met(&node);
    let waiting = {
        let peer = peer.clone();
        thread::spawn(move || peer.wait_for_disconnect())
    };
    bring_about(&mut remote, &peer);
    assert_eq!(peer.wait_for_disconnect_timeout(DEADLINE).as_ref(), Ok(reason));
    assert_eq!(waiting.join().unwrap().as_ref(), Ok(reason));
    assert_eq!(*ends.lock(), vec![(peer.id(), reason.clone())]);
    remote.read_until_closed();

    let closed = QueueError::Closed(reason.clone());
    assert!(peer.stats().handshake_done);
    assert_eq!(peer.queue_message(&trigger()), Err(closed.clone()));
    assert_eq!(peer.queue_inventory(Inventory::tx(Hash::ZERO)), Err(closed));
    assert_eq!(peer.ping(), Err(WaitError::Closed(reason.clone())));
    peer.disconnect();
    assert_eq!(peer.disconnect_reason().as_ref(), Some(reason));

    assert_eq!(other_remote.messages_before_pong(1), []);
    assert_eq!(other.disconnect_reason(), None);
    assert!(other.stats().handshake_done);
    other.disconnect();
    assert_eq!(other.wait_for_disconnect_timeout(DEADLINE), Ok(DisconnectReason::Local));
}

const PANICKED: DisconnectReason = DisconnectReason::CallbackPanicked;

#[test]
fn in_the_hook_of_a_message() {
    ends_with(Place::Hook, &PANICKED, |remote, _| remote.send(&trigger()));
}

#[test]
fn in_the_hook_of_all_messages() {
    ends_with(Place::Message, &PANICKED, |remote, _| remote.send(&trigger()));
}

#[test]
fn in_on_read() {
    ends_with(Place::Read, &PANICKED, |remote, _| remote.send(&trigger()));
}

#[test]
fn in_on_write() {
    ends_with(Place::Write, &PANICKED, |_, peer| {
        let receipts: Vec<_> = (0..100).filter_map(|min_fee| peer.queue_message(&FeeFilter { min_fee }).ok()).collect();
        for receipt in receipts {
            let result = receipt.wait_timeout(DEADLINE);
            assert!(result == Ok(()) || result == Err(WaitError::Closed(PANICKED)), "{result:?}");
        }
    });
}

#[test]
fn in_on_disconnect() {
    ends_with(Place::Disconnect, &DisconnectReason::Local, |_, peer| peer.disconnect());
}

#[test]
fn with_messages_waiting() {
    ends_with(Place::Hook, &PANICKED, |remote, peer| {
        for nonce in 1..100 {
            remote.send(&Ping { nonce });
        }
        let receipt = peer.queue_message(&FeeFilter { min_fee: 1 }).unwrap();
        remote.send(&trigger());
        assert!(receipt.wait_timeout(DEADLINE).is_ok_and(|()| true) || peer.disconnect_reason() == Some(PANICKED));
        while let Some(message) = remote.next() {
            assert!(matches!(message, Message::Pong(Pong { .. }) | Message::FeeFilter(_)), "{message:?}");
        }
    });
}

#[test]
fn in_the_dag_view() {
    /// Panics when it is asked first, and never again.
    #[derive(Clone, Default)]
    struct Fragile(Arc<AtomicUsize>);

    impl DagView for Fragile {
        fn selected_tip(&self) -> Hash {
            assert!(self.0.fetch_add(1, Ordering::SeqCst) > 0, "no tip");
            Hash::ZERO
        }
    }

    quiet();
    for direction in [Direction::Inbound, Direction::Outbound] {
        let dag = Fragile::default();
        let (peer, mut remote) = new_peer_of(&builder().dag(dag.clone()).build().unwrap(), direction);
        if direction == Direction::Inbound {
            remote.send(&version());
        }
        assert_eq!(peer.wait_for_disconnect_timeout(DEADLINE), Ok(PANICKED));
        assert_eq!(remote.read_until_closed(), []);
        assert!(!peer.stats().handshake_done);
        assert_eq!(dag.0.load(Ordering::SeqCst), 1, "{direction}: asked again");
    }
}
