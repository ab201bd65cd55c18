//! The callback `on_write` runs on the writer thread. (For panics in it see `panics`.)

use crate::common::blocking::peer_with_blocked_writer;
use crate::common::frames::message_of_size;
use crate::common::local::end_reason;
use crate::common::{DEADLINE, builder};
use crossbeam_channel::{Receiver, Sender, unbounded};
use kaspa_peer::testing::{ScriptedRemote, connect_remote_over_tcp};
use kaspa_peer::wire::{Command, FeeFilter, Ping, SendHeaders};
use kaspa_peer::{ConfigBuilder, Direction, DisconnectReason, Listener, Peer, QueueError, WaitError};
use parking_lot::Mutex;
use std::io;
use std::sync::Arc;
use std::time::Duration;

const FEE: FeeFilter = FeeFilter { min_fee: 1 };

/// Calls a closure when a `feefilter` was written, and sends the reason of the end to a channel.
struct OnFee<F> {
    act: F,
    ends: Sender<DisconnectReason>,
}

impl<F: Fn(&Peer) + Send + Sync + 'static> Listener for OnFee<F> {
    fn on_write(&self, peer: &Peer, command: Command, _: usize, _: Option<&io::Error>) {
        if command == Command::FeeFilter {
            (self.act)(peer);
        }
    }

    fn on_disconnect(&self, _: &Peer, reason: &DisconnectReason) {
        self.ends.send(reason.clone()).unwrap();
    }
}

fn on_fee(act: impl Fn(&Peer) + Send + Sync + 'static) -> (Peer, ScriptedRemote, Receiver<DisconnectReason>) {
    on_fee_with(builder(), act)
}

fn on_fee_with(
    config: ConfigBuilder,
    act: impl Fn(&Peer) + Send + Sync + 'static,
) -> (Peer, ScriptedRemote, Receiver<DisconnectReason>) {
    let (sender, ends) = unbounded();
    let (peer, mut remote) =
        connect_remote_over_tcp(Direction::Inbound, &config.listener(OnFee { act, ends: sender }).build().unwrap())
            .unwrap();
    remote.shake_hands().unwrap();
    peer.wait_for_handshake().unwrap();
    (peer, remote, ends)
}

#[test]
fn on_write_can_disconnect() {
    let (peer, mut remote, ends) = on_fee(Peer::disconnect);
    let receipt = peer.queue_message(&FEE).unwrap();
    assert_eq!(receipt.wait_timeout(DEADLINE), Ok(()), "the message was written");
    assert_eq!(end_reason(&peer), DisconnectReason::Local);
    assert_eq!(remote.read_until_end().unwrap(), [FEE.into()]);
    assert_eq!(ends.try_iter().count(), 1);
}

#[test]
fn on_write_can_drop_the_last_handle() {
    let handle = Arc::new(Mutex::new(None::<Peer>));
    let held = Arc::clone(&handle);
    let (peer, mut remote, ends) = on_fee(move |_| drop(held.lock().take()));
    *handle.lock() = Some(peer);
    handle.lock().as_ref().unwrap().queue_message(&FEE).unwrap();
    assert_eq!(ends.recv_timeout(DEADLINE), Ok(DisconnectReason::Local));
    assert_eq!(remote.read_until_end().unwrap(), [FEE.into()]);
    assert!(handle.lock().is_none());
}

#[test]
fn waiting_for_the_same_peer_in_on_write_is_an_error() {
    let (sender, results) = unbounded();
    let (peer, mut remote, _ends) = on_fee(move |peer| {
        let receipt = peer.queue_message(&SendHeaders).unwrap();
        let waits = [
            peer.wait_for_handshake(),
            peer.ping().map(drop),
            peer.wait_for_disconnect().map(drop),
            peer.wait_for_disconnect_timeout(DEADLINE).map(drop),
            receipt.wait(),
            receipt.wait_timeout(DEADLINE),
        ];
        sender.send(waits).unwrap();
    });
    peer.queue_message(&FEE).unwrap();
    assert_eq!(results.recv_timeout(DEADLINE).unwrap(), [const { Err(WaitError::InCallback) }; 6]);
    assert_eq!((remote.next_message().unwrap(), remote.next_message().unwrap()), (FEE.into(), SendHeaders.into()));
    assert_eq!(peer.disconnect_reason(), None);
}

#[test]
fn on_write_can_queue_until_the_queue_is_full() {
    let (sender, results) = unbounded();
    let (peer, mut remote, _ends) = on_fee_with(builder().queue_limit(100_000), move |peer| {
        let filler = message_of_size(5000);
        let mut queued = 0;
        let refused = loop {
            // Waiting for space here would be a deadlock, so there is no wait.
            match peer.send_message(&filler, DEADLINE) {
                Ok(_) => queued += 1,
                Err(error) => break error,
            }
            assert!(peer.stats().queued_bytes <= 100_000);
        };
        sender.send((queued, refused)).unwrap();
    });
    peer.queue_message(&FEE).unwrap();
    let (queued, refused) = results.recv_timeout(DEADLINE).unwrap();
    assert_eq!(refused, QueueError::InCallback);
    assert!(queued > 10, "{queued}");
    assert_eq!(remote.next_message().unwrap(), FEE.into());
    (0..queued).for_each(|_| assert_eq!(remote.next_message().unwrap(), message_of_size(5000).into()));
    assert_eq!(peer.disconnect_reason(), None);
}

#[test]
fn a_slow_on_write_delays_neither_receiving_nor_disconnect() {
    let (peer, listener, mut remote) = peer_with_blocked_writer(builder());
    for nonce in 1..=100 {
        remote.send(&Ping { nonce }).unwrap();
    }
    listener.recorder.wait_for_count(Command::Ping, 100);
    let receipt = peer.queue_message(&FEE).unwrap();
    peer.disconnect();
    assert_eq!(receipt.wait_timeout(DEADLINE), Err(WaitError::Closed(DisconnectReason::Local)));
    assert_eq!(remote.read_until_end().unwrap(), [], "the connection closes at once");
    assert_eq!(peer.wait_for_disconnect_timeout(Duration::ZERO).ok(), None, "the writer thread still runs");
    listener.gate.open();
    assert_eq!(end_reason(&peer), DisconnectReason::Local);
}
