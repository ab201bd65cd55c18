//! `on_write` runs on the writer's thread: what it may do there, and what comes of it. (For panics see `callback_panic`.)

use crate::common::blocking::peer_with_blocked_writer;
use crate::common::frames::message_of_size;
use crate::common::local::{end_reason, new_peer_with};
use crate::common::remote::Remote;
use crate::common::{DEADLINE, builder, version};
use crossbeam_channel::{Receiver, Sender, unbounded};
use kaspa_peer::wire::{Command, FeeFilter, Ping, SendHeaders};
use kaspa_peer::{ConfigBuilder, Direction, DisconnectReason, Listener, Peer, QueueError, WaitError};
use parking_lot::Mutex;
use std::io;
use std::sync::Arc;
use std::time::Duration;

const FEE: FeeFilter = FeeFilter { min_fee: 1 };

/// Does something when a `feefilter` has been written, and tells of the end.
struct OnFee<F> {
    act: F,
    gone: Sender<DisconnectReason>,
}

impl<F: Fn(&Peer) + Send + Sync + 'static> Listener for OnFee<F> {
    fn on_write(&self, peer: &Peer, command: Command, _: usize, _: Option<&io::Error>) {
        if command == Command::FeeFilter {
            (self.act)(peer);
        }
    }

    fn on_disconnect(&self, _: &Peer, reason: &DisconnectReason) {
        self.gone.send(reason.clone()).unwrap();
    }
}

fn on_fee(act: impl Fn(&Peer) + Send + Sync + 'static) -> (Peer, Remote, Receiver<DisconnectReason>) {
    on_fee_with(builder(), act)
}

fn on_fee_with(
    config: ConfigBuilder,
    act: impl Fn(&Peer) + Send + Sync + 'static,
) -> (Peer, Remote, Receiver<DisconnectReason>) {
    let (gone, ends) = unbounded();
    let (peer, mut remote) = new_peer_with(OnFee { act, gone }, Direction::Inbound, config);
    remote.shake_hands(&version());
    peer.wait_for_handshake().unwrap();
    (peer, remote, ends)
}

#[test]
fn it_can_disconnect() {
    let (peer, mut remote, ends) = on_fee(Peer::disconnect);
    let receipt = peer.queue_message(&FEE).unwrap();
    assert_eq!(receipt.wait_timeout(DEADLINE), Ok(()), "it was written");
    assert_eq!(end_reason(&peer), DisconnectReason::Local);
    assert_eq!(remote.read_until_closed(), [FEE.into()]);
    assert_eq!(ends.try_iter().count(), 1);
}

#[test]
fn it_can_let_go_of_the_last_handle() {
    let handle = Arc::new(Mutex::new(None::<Peer>));
    let held = Arc::clone(&handle);
    let (peer, mut remote, ends) = on_fee(move |_| drop(held.lock().take()));
    *handle.lock() = Some(peer);
    handle.lock().as_ref().unwrap().queue_message(&FEE).unwrap();
    assert_eq!(ends.recv_timeout(DEADLINE), Ok(DisconnectReason::Local));
    assert_eq!(remote.read_until_closed(), [FEE.into()]);
    assert!(handle.lock().is_none());
}

#[test]
fn it_cannot_wait_for_its_own_peer() {
    let (told, refusals) = unbounded();
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
        told.send(waits).unwrap();
    });
    peer.queue_message(&FEE).unwrap();
    assert_eq!(refusals.recv_timeout(DEADLINE).unwrap(), [const { Err(WaitError::InCallback) }; 6]);
    assert_eq!((remote.read(), remote.read()), (FEE.into(), SendHeaders.into()));
    assert_eq!(peer.disconnect_reason(), None);
}

#[test]
fn it_can_queue_until_it_is_told_that_it_is_enough() {
    let (told, full) = unbounded();
    let (peer, mut remote, _ends) = on_fee_with(builder().queue_limit(100_000), move |peer| {
        let filler = message_of_size(5000);
        let mut queued = 0;
        let refused = loop {
            // Waiting for room here would be waiting for oneself.
            match peer.send_message(&filler, DEADLINE) {
                Ok(_) => queued += 1,
                Err(error) => break error,
            }
            assert!(peer.stats().queued_bytes <= 100_000);
        };
        told.send((queued, refused)).unwrap();
    });
    peer.queue_message(&FEE).unwrap();
    let (queued, refused) = full.recv_timeout(DEADLINE).unwrap();
    assert_eq!(refused, QueueError::InCallback);
    assert!(queued > 10, "{queued}");
    assert_eq!(remote.read(), FEE.into());
    (0..queued).for_each(|_| assert_eq!(remote.read(), message_of_size(5000).into()));
    assert_eq!(peer.disconnect_reason(), None);
}

#[test]
fn while_it_takes_long_messages_are_received_and_the_peer_can_end() {
    let (peer, listener, mut remote) = peer_with_blocked_writer(builder());
    for nonce in 1..=100 {
        remote.send(&Ping { nonce });
    }
    listener.recorder.wait_for_count(Command::Ping, 100);
    let receipt = peer.queue_message(&FEE).unwrap();
    peer.disconnect();
    assert_eq!(receipt.wait_timeout(DEADLINE), Err(WaitError::Closed(DisconnectReason::Local)));
    assert_eq!(remote.read_until_closed(), [], "the remote is let go at once");
    assert_eq!(peer.wait_for_disconnect_timeout(Duration::ZERO).ok(), None, "but its thread is not gone");
    listener.gate.open();
    assert_eq!(end_reason(&peer), DisconnectReason::Local);
}
