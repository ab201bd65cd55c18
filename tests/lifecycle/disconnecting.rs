//! Ending a connection: from any thread or callback, at any time, and more than once.

use crate::common::blocking::Gate;
use crate::common::local::{connected_pair, connected_peer_in, new_peer};
use crate::common::{BOTH, DEADLINE, builder, version};
use kaspa_peer::testing::{ScriptedRemote, TestFrame, connect_remote_over_tcp};
use kaspa_peer::wire::{Command, CustomMessage, FeeFilter, Frame, Message, Network, Ping, Version};
use kaspa_peer::{
    Config, Direction, DisconnectReason, EventKind, Listener, Peer, QueueError, WaitError, WaitedFor, events,
};
use parking_lot::Mutex;
use std::{
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

const LOCAL: DisconnectReason = DisconnectReason::Local;

#[test]
fn disconnect_works_before_during_and_after_the_handshake() {
    for direction in BOTH {
        let (local, mut remote) = new_peer(direction, builder());
        local.peer.disconnect();
        assert_eq!(local.peer.wait_for_handshake(), Err(WaitError::Closed(LOCAL)));
        assert_eq!(local.end_reason(), LOCAL);
        assert!(remote.read_until_end().unwrap().len() <= 1, "at most our version");

        let (local, mut remote) = new_peer(direction, builder());
        remote.send(&version()).unwrap();
        local.recorder.wait_for::<Version>();
        local.peer.disconnect();
        assert_eq!(local.peer.wait_for_handshake(), Err(WaitError::Closed(LOCAL)));
        assert_eq!(local.end_reason(), LOCAL);
        remote.read_until_end().unwrap();

        let (local, mut remote) = connected_peer_in(direction, builder());
        local.peer.disconnect();
        assert_eq!(local.end_reason(), LOCAL);
        assert_eq!(remote.read_until_end().unwrap(), []);
        assert_eq!(local.peer.wait_for_handshake(), Ok(()), "the handshake was done before");
    }
}

#[test]
fn disconnect_can_be_called_any_number_of_times() {
    let (local, _remote) = connected_peer_in(Direction::Inbound, builder());
    for _ in 0..3 {
        local.peer.disconnect();
        assert_eq!(local.peer.disconnect_reason(), Some(LOCAL));
        assert_eq!(local.end_reason(), LOCAL);
    }
    assert_eq!(local.peer.queue_message(&FeeFilter { min_fee: 1 }), Err(QueueError::Closed(LOCAL)));
    assert_eq!(local.peer.send_message(&FeeFilter { min_fee: 1 }, DEADLINE), Err(QueueError::Closed(LOCAL)));
    assert_eq!(local.peer.ping(), Err(WaitError::Closed(LOCAL)));
}

#[test]
fn several_threads_can_disconnect_at_once() {
    for _ in 0..50 {
        let (local, _remote) = connected_peer_in(Direction::Outbound, builder());
        let start = Barrier::new(4);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    start.wait();
                    local.peer.disconnect();
                    assert_eq!(local.peer.wait_for_disconnect(), Ok(LOCAL));
                });
            }
        });
        assert_eq!(local.end_reason(), LOCAL);
    }
}

#[test]
fn both_ends_can_disconnect_at_once() {
    for _ in 0..50 {
        let (outbound, inbound) = connected_pair(builder(), builder());
        thread::scope(|scope| {
            scope.spawn(|| outbound.peer.disconnect());
            scope.spawn(|| inbound.peer.disconnect());
        });
        for local in [outbound, inbound] {
            let reason = local.end_reason();
            assert!(matches!(reason, LOCAL | DisconnectReason::RemoteClosed { inside_frame: false }), "{reason:?}");
        }
    }
}

/// Notes the callbacks, disconnects when a ping arrives, and tries to wait in that callback.
#[derive(Clone, Default)]
struct DisconnectsOnPing(Arc<Mutex<Vec<String>>>);

impl DisconnectsOnPing {
    fn note(&self, what: impl Into<String>) {
        self.0.lock().push(what.into());
    }
}

impl Listener for DisconnectsOnPing {
    fn on_message(&self, _: &Peer, message: &Message) {
        if let Message::FeeFilter(_) | Message::Ping(_) = message {
            self.note(kaspa_peer::wire::Encode::command(message).to_string());
        }
    }

    fn on_ping(&self, peer: &Peer, _: Ping) {
        peer.disconnect();
        assert_eq!(peer.disconnect_reason(), Some(LOCAL));
        for refused in [peer.wait_for_disconnect(), peer.wait_for_disconnect_timeout(DEADLINE)] {
            assert_eq!(refused, Err(WaitError::InCallback));
        }
        assert_eq!(peer.wait_for_handshake(), Err(WaitError::InCallback));
        assert_eq!(peer.ping(), Err(WaitError::InCallback));
        self.note("disconnected");
    }

    fn on_disconnect(&self, peer: &Peer, reason: &DisconnectReason) {
        assert_eq!(peer.disconnect_reason().as_ref(), Some(reason));
        assert_eq!(peer.wait_for_disconnect(), Err(WaitError::InCallback));
        self.note(reason.to_string());
    }
}

#[test]
fn after_disconnect_in_a_callback_only_on_disconnect_follows() {
    let listener = DisconnectsOnPing::default();
    let (peer, mut remote) =
        connect_remote_over_tcp(Direction::Inbound, &builder().listener(listener.clone()).build().unwrap()).unwrap();
    remote.shake_hands().unwrap();
    let fee = TestFrame::of(&FeeFilter { min_fee: 1 }, Network::Simnet).unwrap().to_bytes();
    // In one write, so that the rest has arrived when the peer disconnects.
    remote
        .send_bytes(
            &[
                fee.clone(),
                TestFrame::of(&Ping { nonce: 1 }, Network::Simnet).unwrap().to_bytes(),
                fee,
                TestFrame::of(&Ping { nonce: 2 }, Network::Simnet).unwrap().to_bytes(),
            ]
            .concat(),
        )
        .unwrap();
    assert_eq!(peer.wait_for_disconnect(), Ok(LOCAL));
    assert_eq!(*listener.0.lock(), ["feefilter", "ping", "disconnected", &LOCAL.to_string()]);
}

#[test]
fn dropping_the_last_handle_disconnects() {
    for direction in BOTH {
        let (local, mut remote) = connected_peer_in(direction, builder());
        let clones = [local.peer.clone(), local.peer.clone()];
        drop(local.peer);
        assert_eq!(remote.sync_with_ping().unwrap(), [], "a clone keeps the peer connected");
        drop(clones);
        assert_eq!(remote.read_until_end().unwrap(), []);
        local.recorder.wait("on_disconnect", |record| (record.disconnects == [LOCAL]).then_some(()));
    }
}

#[test]
fn a_handle_cloned_in_a_callback_keeps_the_peer_connected() {
    #[derive(Clone, Default)]
    struct KeepsHandle(Arc<Mutex<Option<Peer>>>);

    impl Listener for KeepsHandle {
        fn on_version(&self, peer: &Peer, _: Version) {
            *self.0.lock() = Some(peer.clone());
        }
    }

    let keeper = KeepsHandle::default();
    let (peer, mut remote) =
        connect_remote_over_tcp(Direction::Inbound, &builder().listener(keeper.clone()).build().unwrap()).unwrap();
    remote.shake_hands().unwrap();
    drop(peer);
    assert_eq!(remote.sync_with_ping().unwrap(), []);
    let kept = keeper.0.lock().take();
    drop(kept);
    assert_eq!(remote.read_until_end().unwrap(), []);
}

#[test]
fn waiting_for_the_end_includes_on_disconnect() {
    #[derive(Clone, Default)]
    struct BlocksOnDisconnect {
        gate: Gate,
        returned: Arc<AtomicBool>,
    }

    impl Listener for BlocksOnDisconnect {
        fn on_disconnect(&self, _: &Peer, _: &DisconnectReason) {
            self.gate.pass();
            self.returned.store(true, Ordering::SeqCst);
        }
    }

    let listener = BlocksOnDisconnect::default();
    let (peer, _remote) =
        connect_remote_over_tcp(Direction::Inbound, &builder().listener(listener.clone()).build().unwrap()).unwrap();
    let short = Duration::from_millis(50);
    assert_eq!(
        peer.wait_for_disconnect_timeout(short),
        Err(WaitError::Timeout { what: WaitedFor::Disconnect, waited: short }),
        "still connected"
    );
    thread::scope(|scope| {
        for n in 0..6 {
            let (peer, returned) = (peer.clone(), &listener.returned);
            scope.spawn(move || {
                let result =
                    if n % 2 == 0 { peer.wait_for_disconnect() } else { peer.wait_for_disconnect_timeout(DEADLINE) };
                assert_eq!(result, Ok(LOCAL));
                assert!(returned.load(Ordering::SeqCst), "on_disconnect was still running");
            });
        }
        peer.disconnect();
        listener.gate.wait_for_arrival();
        assert_eq!(
            peer.wait_for_disconnect_timeout(short),
            Err(WaitError::Timeout { what: WaitedFor::Disconnect, waited: short })
        );
        listener.gate.open();
    });
}

#[test]
fn a_callback_can_wait_for_the_end_of_another_peer() {
    struct WaitsFor(Peer);

    impl Listener for WaitsFor {
        fn on_ping(&self, peer: &Peer, _: Ping) {
            self.0.disconnect();
            assert_eq!(self.0.wait_for_disconnect(), Ok(LOCAL));
            peer.queue_message(&FeeFilter { min_fee: 77 }).unwrap();
        }
    }

    let (local, mut other) = connected_peer_in(Direction::Outbound, builder());
    let config = builder().listener(WaitsFor(local.peer.clone())).build().unwrap();
    let (_peer, mut remote) = connect_remote_over_tcp(Direction::Inbound, &config).unwrap();
    remote.shake_hands().unwrap();
    remote.send(&Ping { nonce: 1 }).unwrap();
    remote.expect::<kaspa_peer::wire::Pong>().unwrap();
    assert_eq!(remote.expect::<FeeFilter>().unwrap().min_fee, 77);
    assert_eq!(other.read_until_end().unwrap(), []);
    assert_eq!(local.end_reason(), LOCAL);
}

#[test]
fn disconnect_works_while_the_writer_is_blocked() {
    let Ok(Command::Custom(command)) = "clog".parse() else { panic!("clog is known") };
    let clog = Frame::encode(&CustomMessage { command, payload: vec![0; 30_000_000] }, Network::Simnet).unwrap();
    for direction in BOTH {
        let (local, mut remote) = connected_peer_in(direction, builder().write_timeout(None));
        // The message is larger than the queue, so it is accepted when no message of the handshake waits any more.
        local.peer.send_frame(&clog, DEADLINE).unwrap();
        let sender = local.peer.clone();
        let sender = thread::spawn(move || sender.send_message(&FeeFilter { min_fee: 1 }, Duration::MAX));
        // The writer has begun to write it, and cannot complete it.
        let mut first = [0; 1];
        std::io::Read::read_exact(remote.stream(), &mut first).unwrap();
        local.peer.disconnect();
        assert_eq!(local.end_reason(), LOCAL);
        assert_eq!(sender.join().unwrap(), Err(QueueError::Closed(LOCAL)));
    }
}

#[test]
fn every_call_gets_the_same_reason() {
    let ends: [fn(&mut ScriptedRemote, &Peer); 3] = [
        |_, peer| peer.disconnect(),
        |remote, _| remote.close_writing().unwrap(),
        |remote, _| remote.send(&version()).unwrap(),
    ];
    for end in ends {
        let (listener, events) = events(10);
        let config: Config = builder().listener(listener).build().unwrap();
        let (peer, mut remote) = connect_remote_over_tcp(Direction::Inbound, &config).unwrap();
        remote.shake_hands().unwrap();
        assert_eq!(remote.sync_with_ping().unwrap(), []);
        let handle = peer.clone();
        let waiting = thread::spawn(move || handle.wait_for_disconnect());
        end(&mut remote, &peer);
        let reason = peer.wait_for_disconnect().unwrap();
        assert_eq!(waiting.join().unwrap(), Ok(reason.clone()));
        assert_eq!(peer.disconnect_reason(), Some(reason.clone()));
        assert_eq!(peer.queue_message(&Ping { nonce: 1 }), Err(QueueError::Closed(reason.clone())));
        let reasons: Vec<DisconnectReason> = events
            .try_iter()
            .filter_map(|event| match event.kind {
                EventKind::Disconnected(reason) => Some(reason),
                _ => None,
            })
            .collect();
        assert_eq!(reasons, vec![reason]);
    }
}
