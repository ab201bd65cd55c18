//! A panic in a callback ends that peer, and nothing else.

use crate::common::blocking::on_fee_filter;
use crate::common::local::{connected_peer_of, end_reason, is_callback_panic};
use crate::common::{BOTH, DEADLINE, builder, version};
use kaspa_peer::testing::{ScriptedRemote, connect_remote_over_tcp};
use kaspa_peer::wire::{Command, FeeFilter, FrameError, Hash, Inventory, Message, Ping, Pong};
use kaspa_peer::{DagView, Direction, DisconnectReason, Listener, Peer, QueueError, WaitError};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{sync::Arc, thread};

/// The callback that panics.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Callback {
    Message,
    FeeFilter,
    Read,
    Write,
    Disconnect,
}

/// The message whose callback panics.
const TRIGGER: FeeFilter = FeeFilter { min_fee: -666 };

/// Panics in one callback, and records the ends of its peers.
#[derive(Clone)]
struct Panics {
    callback: Callback,
    ends: Arc<Mutex<Vec<(u64, DisconnectReason)>>>,
}

impl Listener for Panics {
    fn on_message(&self, _: &Peer, message: &Message) {
        assert!(self.callback != Callback::Message || *message != TRIGGER.into());
    }

    fn on_fee_filter(&self, _: &Peer, message: FeeFilter) {
        assert!(self.callback != Callback::FeeFilter || message != TRIGGER);
    }

    fn on_read(&self, _: &Peer, _: usize, frame: Result<Command, &FrameError>) {
        assert!(self.callback != Callback::Read || frame != Ok(Command::FeeFilter));
    }

    fn on_write(&self, _: &Peer, command: Command, _: usize, _: Option<&std::io::Error>) {
        assert!(self.callback != Callback::Write || command != Command::FeeFilter);
    }

    fn on_disconnect(&self, peer: &Peer, reason: &DisconnectReason) {
        self.ends.lock().push((peer.id(), reason.clone()));
        assert!(self.callback != Callback::Disconnect);
    }
}

/// Checks that `cause` ends the peer with a reason that is `expected`, that this peer is still usable, and that another
/// peer of the node stays connected.
fn check_end(
    callback: Callback,
    expected: fn(&DisconnectReason) -> bool,
    cause: impl FnOnce(&mut ScriptedRemote, &Peer),
) {
    let ends = Arc::default();
    let node = builder().listener(Panics { callback, ends: Arc::clone(&ends) }).build().unwrap();
    let (peer, mut remote) = connected_peer_of(&node);
    let (other, mut other_remote) = connected_peer_of(&node);
    let waiting = {
        let peer = peer.clone();
        thread::spawn(move || peer.wait_for_disconnect())
    };
    cause(&mut remote, &peer);
    let reason = end_reason(&peer);
    assert!(expected(&reason), "{reason}");
    assert_eq!(waiting.join().unwrap().as_ref(), Ok(&reason));
    assert_eq!(*ends.lock(), vec![(peer.id(), reason.clone())]);
    remote.read_until_end().unwrap();

    let closed = QueueError::Closed(reason.clone());
    assert!(peer.stats().handshake_done);
    assert_eq!(peer.queue_message(&TRIGGER), Err(closed.clone()));
    assert_eq!(peer.queue_inventory(Inventory::tx(Hash::ZERO)), Err(closed));
    assert_eq!(peer.ping(), Err(WaitError::Closed(reason.clone())));
    peer.disconnect();
    assert_eq!(peer.disconnect_reason().as_ref(), Some(&reason));

    assert_eq!(other_remote.sync_with_ping().unwrap(), []);
    assert_eq!(other.disconnect_reason(), None);
    assert!(other.stats().handshake_done);
    other.disconnect();
    assert_eq!(end_reason(&other), DisconnectReason::Local);
}

#[test]
fn a_panic_in_the_callback_of_one_command_ends_the_peer() {
    check_end(Callback::FeeFilter, is_callback_panic, |remote, _| remote.send(&TRIGGER).unwrap());
}

#[test]
fn the_reason_carries_the_message_of_the_panic() {
    let listener = on_fee_filter(|_| panic!("bug {} in the program", 7));
    let (peer, mut remote) = connected_peer_of(&builder().listener(listener).build().unwrap());
    remote.send(&TRIGGER).unwrap();
    let message = "bug 7 in the program".to_owned();
    assert_eq!(end_reason(&peer), DisconnectReason::CallbackPanicked { message });
    assert_eq!(peer.disconnect_reason().unwrap().to_string(), "a callback panicked: bug 7 in the program");
}

#[test]
fn the_reason_shows_the_message_of_the_panic_sanitised() {
    let listener = on_fee_filter(|_| panic!("\u{1b}[2J"));
    let (peer, mut remote) = connected_peer_of(&builder().listener(listener).build().unwrap());
    remote.send(&TRIGGER).unwrap();
    assert_eq!(end_reason(&peer).to_string(), r"a callback panicked: \u{1b}[2J");
}

#[test]
fn a_panic_in_on_message_ends_the_peer() {
    check_end(Callback::Message, is_callback_panic, |remote, _| remote.send(&TRIGGER).unwrap());
}

#[test]
fn a_panic_in_on_read_ends_the_peer() {
    check_end(Callback::Read, is_callback_panic, |remote, _| remote.send(&TRIGGER).unwrap());
}

#[test]
fn a_panic_in_on_write_ends_the_peer() {
    check_end(Callback::Write, is_callback_panic, |_, peer| {
        let receipts: Vec<_> = (0..100).filter_map(|min_fee| peer.queue_message(&FeeFilter { min_fee }).ok()).collect();
        for receipt in receipts {
            match receipt.wait_timeout(DEADLINE) {
                Ok(()) => {}
                Err(WaitError::Closed(reason)) => assert!(is_callback_panic(&reason), "{reason}"),
                Err(error) => panic!("{error}"),
            }
        }
    });
}

#[test]
fn a_panic_in_on_disconnect_does_not_change_the_reason() {
    check_end(Callback::Disconnect, |reason| *reason == DisconnectReason::Local, |_, peer| peer.disconnect());
}

#[test]
fn a_panic_while_messages_are_queued_ends_the_peer() {
    check_end(Callback::FeeFilter, is_callback_panic, |remote, peer| {
        for nonce in 1..100 {
            remote.send(&Ping { nonce }).unwrap();
        }
        let receipt = peer.queue_message(&FeeFilter { min_fee: 1 }).unwrap();
        remote.send(&TRIGGER).unwrap();
        match receipt.wait_timeout(DEADLINE) {
            Ok(()) => {}
            Err(WaitError::Closed(reason)) => assert!(is_callback_panic(&reason), "{reason}"),
            Err(error) => panic!("{error}"),
        }
        while let Ok(message) = remote.next_message() {
            assert!(matches!(message, Message::Pong(Pong { .. }) | Message::FeeFilter(_)), "{message:?}");
        }
    });
}

#[test]
fn a_panic_in_the_dag_view_ends_the_peer() {
    /// Panics at the first call, and at no later one.
    #[derive(Clone, Default)]
    struct PanicsOnce(Arc<AtomicUsize>);

    impl DagView for PanicsOnce {
        fn selected_tip(&self) -> Hash {
            assert!(self.0.fetch_add(1, Ordering::SeqCst) > 0, "no tip");
            Hash::ZERO
        }
    }

    for direction in BOTH {
        let dag = PanicsOnce::default();
        let (peer, mut remote) =
            connect_remote_over_tcp(direction, &builder().dag(dag.clone()).build().unwrap()).unwrap();
        if direction == Direction::Inbound {
            remote.send(&version()).unwrap();
        }
        let reason = end_reason(&peer);
        assert!(is_callback_panic(&reason), "{reason}");
        assert_eq!(remote.read_until_end().unwrap(), []);
        assert!(!peer.stats().handshake_done);
        assert_eq!(dag.0.load(Ordering::SeqCst), 1, "{direction}: the view was called again");
    }
}
