//! Callbacks that take long, drop their peer's last handle, or queue without end. (For callbacks that panic, disconnect
//! or wait see `panics`, and `disconnecting` in the tests of the lifecycle.)

use crate::common::blocking::{FEE_FILTER, Gate, blocks_on_fee_filter, on_fee_filter};
use crate::common::frames::message_of_size;
use crate::common::local::{connected_peer, connected_peer_with, end_reason, shake_hands_and_send};
use crate::common::retry::{growing, retry_if_late};
use crate::common::{DEADLINE, builder, version, wait_until};
use kaspa_peer::peer::StallRule;
use kaspa_peer::testing::{TestFrame, connect_remote_over_tcp, tcp_pair};
use kaspa_peer::wire::{Command, FeeFilter, GetSelectedTip, Message, Network, Ping, Pong, SelectedTip};
use kaspa_peer::{Direction, DisconnectReason, Listener, Peer, QueueError, WaitError, WaitedFor};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(200);

#[test]
fn a_callback_longer_than_every_timeout_does_not_end_its_peer() {
    retry_if_late(growing(2 * SHORT), |limit, watch| {
        let (other, mut other_remote) = connected_peer(builder());
        let gate = Gate::default();
        let stall = StallRule::new(Command::GetSelectedTip, [Command::SelectedTip], limit);
        let config = builder().idle_timeout(limit).frame_timeout(limit).stall_rules([stall]).ping_interval(limit / 8);
        let (peer, mut remote) =
            connect_remote_over_tcp(Direction::Inbound, &config.listener(blocks_on_fee_filter(&gate)).build().unwrap())
                .unwrap();
        let ping = TestFrame::new("ping", &[1; 8], Network::Simnet).to_bytes();
        let fee = TestFrame::new("feefilter", &[1; 8], Network::Simnet).to_bytes();
        watch.tick();
        // The callback starts right after the handshake, when half a frame has already arrived.
        shake_hands_and_send(&mut remote, &version(), &[&fee, &ping[..20]].concat());
        gate.wait_for_arrival();
        peer.queue_message(&GetSelectedTip).unwrap();
        // The other half, and the answer, arrive during the callback.
        remote.send_bytes(&ping[20..]).unwrap();
        remote.send(&SelectedTip::default()).unwrap();
        // Longer than the timeouts, but not longer than the time in callbacks can move them.
        watch.sleep(limit + limit / 4);
        assert_eq!(peer.disconnect_reason(), None);
        assert!(peer.queue_message(&FEE_FILTER).is_ok() && peer.stats().handshake_done);
        gate.open();
        let read = |command| peer.stats().received.of(command).messages == 1;
        wait_until("the frames that arrived meanwhile are read", || {
            (read(Command::Ping) && read(Command::SelectedTip)) || peer.disconnect_reason().is_some()
        });
        assert!(read(Command::Ping) && read(Command::SelectedTip));
        let pings =
            remote.sync_with_ping().unwrap().iter().filter(|message| matches!(message, Message::Ping(_))).count();
        watch.rest();
        assert!(pings > 0, "our pings are sent during the callback");
        assert_eq!(other_remote.sync_with_ping().unwrap(), []);
        assert_eq!(other.peer.disconnect_reason(), None);
    });
}

#[test]
fn a_slow_callback_delays_neither_disconnect_nor_queueing() {
    let gate = Gate::default();
    let (peer, mut remote) = connected_peer_with(blocks_on_fee_filter(&gate), builder());
    remote.send(&FEE_FILTER).unwrap();
    gate.wait_for_arrival();
    let receipt = peer.queue_message(&FEE_FILTER).unwrap();
    assert_eq!(receipt.wait_timeout(DEADLINE), Ok(()));
    peer.disconnect();
    // The connection closes at once, and the wait for the threads includes the callback.
    assert_eq!(remote.read_until_end().unwrap(), [Message::from(FEE_FILTER)]);
    assert_eq!(
        peer.wait_for_disconnect_timeout(SHORT),
        Err(WaitError::Timeout { what: WaitedFor::Disconnect, waited: SHORT })
    );
    gate.open();
    assert_eq!(end_reason(&peer), DisconnectReason::Local);
}

/// Keeps the only handle, and drops it in a callback.
#[derive(Clone, Default)]
struct DropsLastHandle {
    handle: Arc<Mutex<Option<Peer>>>,
    reasons: Arc<Mutex<Vec<DisconnectReason>>>,
}

impl Listener for DropsLastHandle {
    fn on_fee_filter(&self, _: &Peer, _: FeeFilter) {
        let handle = self.handle.lock().take();
        drop(handle);
    }

    fn on_disconnect(&self, _: &Peer, reason: &DisconnectReason) {
        self.reasons.lock().push(reason.clone());
    }
}

#[test]
fn a_callback_that_drops_the_last_handle_ends_its_peer() {
    let listener = DropsLastHandle::default();
    let (peer, mut remote) =
        connect_remote_over_tcp(Direction::Inbound, &builder().listener(listener.clone()).build().unwrap()).unwrap();
    *listener.handle.lock() = Some(peer);
    remote.shake_hands().unwrap();
    remote.send(&FEE_FILTER).unwrap();
    assert_eq!(remote.read_until_end().unwrap(), []);
    wait_until("on_disconnect", || !listener.reasons.lock().is_empty());
    assert_eq!(*listener.reasons.lock(), [DisconnectReason::Local]);
    assert!(listener.handle.lock().is_none());
}

#[test]
fn a_callback_that_queues_without_end_gets_an_error() {
    let (sender, results) = crossbeam_channel::unbounded();
    let listener = on_fee_filter(move |peer| {
        let mut queued = 0_u64;
        let filler = message_of_size(5000);
        let error = loop {
            match peer.queue_message(&filler) {
                Ok(_) => queued += 1,
                Err(error) => break error,
            }
            assert!(peer.stats().queued_bytes <= 100_000);
        };
        sender.send((queued, error)).unwrap();
    });
    let (peer, mut remote) = connected_peer_with(listener, builder().queue_limit(100_000));
    remote.send(&FEE_FILTER).unwrap();
    let (queued, error) = results.recv_timeout(DEADLINE).unwrap();
    assert!(matches!(error, QueueError::Full { limit: 100_000, .. }), "{queued}: {error:?}");
    // All messages that were queued arrive.
    (0..queued).for_each(|_| assert!(matches!(remote.next_message().unwrap(), Message::Custom(_))));
    remote.send(&Ping { nonce: 1 }).unwrap();
    remote.expect::<Pong>().unwrap();
    assert_eq!(peer.disconnect_reason(), None);
}

#[test]
fn two_peers_whose_callbacks_answer_each_other_without_end_can_disconnect() {
    // Each answers a `feefilter` with a `feefilter`.
    let answers = || on_fee_filter(|peer| drop(peer.queue_message(&FEE_FILTER)));
    let [out, inb] = [builder().listener(answers()), builder().listener(answers())].map(|node| node.build().unwrap());
    let (dialled, accepted) = tcp_pair().unwrap();
    let one = Peer::outbound(dialled, "a:1", &out).unwrap();
    let two = Peer::inbound(accepted, "b:1", &inb).unwrap();
    one.queue_message(&FEE_FILTER).unwrap();
    wait_until("some rounds", || one.stats().received.of(Command::FeeFilter).messages > 100);
    drop(one);
    // A message on its way to a closed socket resets the connection.
    let reason = end_reason(&two);
    assert!(
        matches!(reason, DisconnectReason::RemoteClosed { inside_frame: false } | DisconnectReason::Io { .. }),
        "{reason}"
    );
}
