//! Callbacks that take long, let go of their peer, or queue without end: the peer lives or ends as it should, and others
//! do not notice. (For those that panic, disconnect or wait see `callback_panic` and `disconnecting`.)

use crate::common::blocking::{Gate, OnMessage};
use crate::common::frames::{message_of_size, raw_frame};
use crate::common::local::{connected_peer, connected_peer_with, end_reason, new_peer_with};
use crate::common::remote::Remote;
use crate::common::{DEADLINE, builder, sockets, version, wait_until};
use kaspa_peer::peer::StallRule;
use kaspa_peer::wire::{Command, FeeFilter, GetSelectedTip, Message, Network, Ping, Pong, SelectedTip};
use kaspa_peer::{Direction, DisconnectReason, Listener, Peer, QueueError, WaitError};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(200);

fn on_fee(act: impl Fn(&Peer) + Send + Sync + 'static) -> impl Listener {
    OnMessage(move |peer: &Peer, message: &Message| {
        if matches!(message, Message::FeeFilter(_)) {
            act(peer);
        }
    })
}

const FEE: FeeFilter = FeeFilter { min_fee: 1 };

#[test]
fn one_that_takes_longer_than_every_deadline_harms_nobody() {
    let (other, mut other_remote) = connected_peer(builder());
    let gate = Gate::default();
    let held = gate.clone();
    let stall = StallRule { request: Command::GetSelectedTip, answers: vec![Command::SelectedTip], limit: SHORT };
    let config = builder().idle_timeout(SHORT).frame_timeout(SHORT).stall_rules([stall]).ping_interval(SHORT / 4);
    let (peer, mut remote) = new_peer_with(on_fee(move |_| held.pass()), Direction::Inbound, config);
    let ping = raw_frame(Network::Simnet, "ping", &[1; 8]);
    // The callback runs from the handshake on, and half a frame is there before it.
    let fee = raw_frame(Network::Simnet, "feefilter", &[1; 8]);
    remote.shake_hands_and_send(&version(), &[&fee, &ping[..20]].concat());
    gate.wait_for_arrival();
    peer.queue_message(&GetSelectedTip).unwrap();
    // The other half, and the answer, are behind it.
    remote.send_bytes(&ping[20..]);
    remote.send(&SelectedTip::default());
    // Several times the deadlines, in our own pings, which go on meanwhile.
    let (mut asked, mut pings) = (false, 0);
    while pings < 20 {
        match remote.read() {
            Message::Ping(_) => pings += u32::from(asked),
            Message::GetSelectedTip(_) => asked = true,
            other => panic!("{other:?}"),
        }
        assert_eq!(peer.disconnect_reason(), None);
    }
    assert!(peer.queue_message(&FEE).is_ok() && peer.stats().handshake_done);
    other_remote.send(&Ping { nonce: 5 });
    assert_eq!(other_remote.expect::<Pong>().nonce, 5);
    gate.open();
    let read = |command| peer.stats().received.of(command).messages == 1;
    wait_until("what came meanwhile is read", || read(Command::Ping) && read(Command::SelectedTip));
    assert!(matches!(peer.disconnect_reason(), None | Some(DisconnectReason::Idle { .. })));
    assert_eq!(other.peer.disconnect_reason(), None);
}

#[test]
fn one_that_takes_long_holds_up_neither_disconnect_nor_queueing() {
    let gate = Gate::default();
    let held = gate.clone();
    let (peer, mut remote) = connected_peer_with(on_fee(move |_| held.pass()), builder());
    remote.send(&FEE);
    gate.wait_for_arrival();
    let receipt = peer.queue_message(&FEE).unwrap();
    assert_eq!(receipt.wait_timeout(DEADLINE), Ok(()));
    peer.disconnect();
    // The remote is let go at once; who waits for the threads waits for the callback.
    assert_eq!(remote.read_until_closed(), [Message::from(FEE)]);
    assert_eq!(peer.wait_for_disconnect_timeout(SHORT), Err(WaitError::Timeout { waited: SHORT }));
    gate.open();
    assert_eq!(end_reason(&peer), DisconnectReason::Local);
}

/// Keeps the only handle, and drops it in a callback.
#[derive(Clone, Default)]
struct Holder {
    handle: Arc<Mutex<Option<Peer>>>,
    reasons: Arc<Mutex<Vec<DisconnectReason>>>,
}

impl Listener for Holder {
    fn on_fee_filter(&self, _: &Peer, _: FeeFilter) {
        let handle = self.handle.lock().take();
        drop(handle);
    }

    fn on_disconnect(&self, _: &Peer, reason: &DisconnectReason) {
        self.reasons.lock().push(reason.clone());
    }
}

#[test]
fn one_that_drops_the_last_handle_ends_its_peer() {
    let holder = Holder::default();
    let (peer, mut remote): (Peer, Remote) = new_peer_with(holder.clone(), Direction::Inbound, builder());
    *holder.handle.lock() = Some(peer);
    remote.shake_hands(&version());
    remote.send(&FEE);
    assert_eq!(remote.read_until_closed(), []);
    wait_until("the end", || !holder.reasons.lock().is_empty());
    assert_eq!(*holder.reasons.lock(), [DisconnectReason::Local]);
    assert!(holder.handle.lock().is_none());
}

#[test]
fn one_that_queues_without_end_is_told_that_it_is_enough() {
    let (told, full) = crossbeam_channel::unbounded();
    let listener = on_fee(move |peer| {
        let mut queued = 0_u64;
        let filler = message_of_size(5000);
        // Waiting for room would be refused too: see `queue_bound`.
        let error = loop {
            match peer.queue_message(&filler) {
                Ok(_) => queued += 1,
                Err(error) => break error,
            }
            assert!(peer.stats().queued_bytes <= 100_000);
        };
        told.send((queued, error)).unwrap();
    });
    let (peer, mut remote) = connected_peer_with(listener, builder().queue_limit(100_000));
    remote.send(&FEE);
    let (queued, error) = full.recv_timeout(DEADLINE).unwrap();
    assert!(matches!(error, QueueError::Full { limit: 100_000, .. }), "{queued}: {error:?}");
    // All that was taken arrives.
    (0..queued).for_each(|_| assert!(matches!(remote.read(), Message::Custom(_))));
    remote.send(&Ping { nonce: 1 });
    remote.expect::<Pong>();
    assert_eq!(peer.disconnect_reason(), None);
}

#[test]
fn one_that_starts_what_it_is_in_again_and_again_ends_with_its_peer() {
    // Each fee is answered with a fee: two such nodes keep each other busy for ever.
    let bounce = || on_fee(|peer| drop(peer.queue_message(&FEE)));
    let (out, inb) = (builder().listener(bounce()).build().unwrap(), builder().listener(bounce()).build().unwrap());
    let (dialled, accepted) = sockets();
    let one = Peer::outbound(dialled, "a:1", &out).unwrap();
    let two = Peer::inbound(accepted, "b:1", &inb).unwrap();
    one.queue_message(&FEE).unwrap();
    wait_until("some rounds", || one.stats().received.of(Command::FeeFilter).messages > 100);
    drop(one);
    // What is on its way to a socket that is closed already resets the connection.
    let reason = end_reason(&two);
    assert!(
        matches!(reason, DisconnectReason::RemoteClosed { inside_frame: false } | DisconnectReason::Io { .. }),
        "{reason}"
    );
}
