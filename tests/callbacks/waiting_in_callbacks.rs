//! A callback that waits for its own peer gets an error, in every callback, also before the first message has arrived.

use crate::common::blocking::{FEE_FILTER, on_fee_filter};
use crate::common::local::{connected_peer_with, end_reason};
use crate::common::{DEADLINE, builder};
use crossbeam_channel::bounded;
use kaspa_peer::testing::connect_remote;
use kaspa_peer::wire::{Command, FeeFilter, FrameError, Message, RejectCode, SendHeaders};
use kaspa_peer::{Direction, DisconnectReason, Inbox, Listener, Peer, WaitError};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Longer than a peer that waits for itself takes to fail the test, and long enough to be no accident.
const WAIT: Duration = Duration::from_secs(2);

/// Waits for a message in each callback, and keeps the first result of each.
#[derive(Clone, Default)]
struct Waits {
    inbox: Arc<OnceLock<Inbox>>,
    results: Arc<Mutex<BTreeMap<&'static str, Result<FeeFilter, WaitError>>>>,
}

impl Waits {
    fn wait(&self, callback: &'static str) {
        let inbox = self.inbox.get().unwrap();
        if !self.results.lock().contains_key(callback) {
            let result = inbox.wait_for::<FeeFilter>(WAIT);
            self.results.lock().insert(callback, result);
        }
    }
}

impl Listener for Waits {
    fn on_message(&self, _: &Peer, _: &Message) {
        self.wait("on_message");
    }

    fn on_handshake(&self, _: &Peer) {
        self.wait("on_handshake");
    }

    fn on_read(&self, _: &Peer, _: usize, _: Result<Command, &FrameError>) {
        self.wait("on_read");
    }

    fn on_write(&self, _: &Peer, _: Command, _: usize, _: Option<&io::Error>) {
        self.wait("on_write");
    }

    fn on_disconnect(&self, _: &Peer, _: &DisconnectReason) {
        self.wait("on_disconnect");
    }
}

#[test]
fn an_inbox_refuses_to_wait_in_every_callback_of_its_peer() {
    for (direction, handshake) in [(Direction::Outbound, true), (Direction::Inbound, true), (Direction::Inbound, false)]
    {
        let listener = Waits::default();
        let inbox = Inbox::beside(listener.clone());
        assert!(listener.inbox.set(inbox.clone()).is_ok());
        let config = builder().listener(inbox).build().unwrap();
        let (peer, mut remote) = connect_remote(direction, &config).unwrap();
        if handshake {
            remote.shake_hands().unwrap();
            peer.wait_for_handshake().unwrap();
        }
        peer.disconnect();
        end_reason(&peer);
        let results = listener.results.lock().clone();
        assert!(results.contains_key("on_disconnect") && (!handshake || results.len() == 5), "{results:?}");
        assert!(results.values().all(|result| *result == Err(WaitError::InCallback)), "{direction}: {results:?}");
    }
}

#[test]
fn a_listener_that_contains_an_inbox_cannot_wait_before_it_passes_on_a_message() {
    let listener = Waits::default();
    assert!(listener.inbox.set(Inbox::new()).is_ok());
    let (peer, mut remote) =
        connect_remote(Direction::Inbound, &builder().listener(listener.clone()).build().unwrap()).unwrap();
    remote.shake_hands().unwrap();
    peer.wait_for_handshake().unwrap();
    peer.disconnect();
    end_reason(&peer);
    let results = listener.results.lock().clone();
    assert!(results.len() == 5 && results.values().all(|result| *result == Err(WaitError::InCallback)), "{results:?}");
}

#[test]
fn a_callback_can_use_the_inbox_of_another_peer() {
    let inbox = Inbox::new();
    let (_other, mut sender) = connected_peer_with(inbox.clone(), builder());
    // After this message, the inbox knows its peer.
    sender.send(&SendHeaders).unwrap();
    inbox.wait_for::<SendHeaders>(DEADLINE).unwrap();
    let (result, results) = bounded(1);
    let listener = on_fee_filter(move |_| result.send(inbox.wait_for::<FeeFilter>(DEADLINE)).unwrap());
    let (_peer, mut remote) = connected_peer_with(listener, builder());
    remote.send(&FEE_FILTER).unwrap();
    sender.send(&FEE_FILTER).unwrap();
    assert_eq!(results.recv_timeout(DEADLINE).unwrap(), Ok(FEE_FILTER));
}

#[test]
fn a_call_that_would_queue_and_wait_queues_nothing_in_a_callback() {
    let (sender, results) = bounded(2);
    let listener = on_fee_filter(move |peer| {
        let pinged = peer.send_and_ping(&SendHeaders, DEADLINE).map(drop);
        let rejected = peer.push_reject_and_wait("inv", RejectCode::INVALID, "no", None, DEADLINE);
        [pinged, rejected].into_iter().for_each(|result| sender.send(result).unwrap());
    });
    let (_peer, mut remote) = connected_peer_with(listener, builder());
    remote.send(&FEE_FILTER).unwrap();
    assert_eq!(results.iter().take(2).collect::<Vec<_>>(), [(); 2].map(|()| Err(WaitError::InCallback)));
    assert_eq!(remote.sync_with_ping().unwrap(), []);
}
