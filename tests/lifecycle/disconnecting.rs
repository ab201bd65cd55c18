//! Ending a connection: from anywhere, at any time, more than once.

use crate::common::remote::{BOTH, frame, meet, meet_node, met};
use crate::common::{DEADLINE, acquainted, builder, version};
use kaspa_peer::wire::{Command, CustomMessage, FeeFilter, Frame, Message, Network, Ping, Version};
use kaspa_peer::{Config, Direction, DisconnectReason, EventKind, Listener, Peer, QueueError, WaitError, events};
use parking_lot::Mutex;
use std::{
    sync::{Arc, Barrier},
    thread,
    time::Duration,
};

const LOCAL: DisconnectReason = DisconnectReason::Local;

#[test]
fn before_during_and_after_the_handshake() {
    for direction in BOTH {
        let (mut remote, end) = meet(direction, builder());
        end.peer.disconnect();
        assert_eq!(end.peer.wait_for_handshake(), Err(WaitError::Closed(LOCAL)));
        assert_eq!(end.reason(), LOCAL);
        assert!(remote.rest().len() <= 1, "our version, or not even that");

        let (mut remote, end) = meet(direction, builder());
        remote.send(&version());
        end.told.wait_for::<Version>();
        end.peer.disconnect();
        assert_eq!(end.peer.wait_for_handshake(), Err(WaitError::Closed(LOCAL)));
        assert_eq!(end.reason(), LOCAL);
        remote.rest();

        let (mut remote, end) = met(direction, builder());
        end.peer.disconnect();
        assert_eq!(end.reason(), LOCAL);
        assert_eq!(remote.rest(), []);
        assert_eq!(end.peer.wait_for_handshake(), Ok(()), "it was done");
    }
}

#[test]
fn any_number_of_times() {
    let (_remote, end) = met(Direction::Inbound, builder());
    for _ in 0..3 {
        end.peer.disconnect();
        assert_eq!(end.peer.disconnect_reason(), Some(LOCAL));
        assert_eq!(end.reason(), LOCAL);
    }
    assert_eq!(end.peer.queue_message(&FeeFilter { min_fee: 1 }), Err(QueueError::Closed(LOCAL)));
    assert_eq!(end.peer.send_message(&FeeFilter { min_fee: 1 }, DEADLINE), Err(QueueError::Closed(LOCAL)));
    assert_eq!(end.peer.ping(), Err(WaitError::Closed(LOCAL)));
}

#[test]
fn from_several_threads_at_once() {
    for _ in 0..50 {
        let (_remote, end) = met(Direction::Outbound, builder());
        let start = Barrier::new(4);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    start.wait();
                    end.peer.disconnect();
                    assert_eq!(end.peer.wait_for_disconnect(), Ok(LOCAL));
                });
            }
        });
        assert_eq!(end.reason(), LOCAL);
    }
}

#[test]
fn both_ends_at_once() {
    for _ in 0..50 {
        let (outbound, inbound) = acquainted(builder(), builder());
        thread::scope(|scope| {
            scope.spawn(|| outbound.peer.disconnect());
            scope.spawn(|| inbound.peer.disconnect());
        });
        for end in [outbound, inbound] {
            let reason = end.reason();
            assert!(matches!(reason, LOCAL | DisconnectReason::RemoteClosed { inside_frame: false }), "{reason:?}");
        }
    }
}

/// Remembers the callbacks, disconnects at a ping, and tries to wait there.
#[derive(Clone, Default)]
struct Leaver(Arc<Mutex<Vec<String>>>);

impl Leaver {
    fn note(&self, what: impl Into<String>) {
        self.0.lock().push(what.into());
    }
}

impl Listener for Leaver {
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
        self.note("left");
    }

    fn on_disconnect(&self, peer: &Peer, reason: &DisconnectReason) {
        assert_eq!(peer.disconnect_reason().as_ref(), Some(reason));
        assert_eq!(peer.wait_for_disconnect(), Err(WaitError::InCallback));
        self.note(reason.to_string());
    }
}

#[test]
fn from_a_callback_which_is_the_last_but_one() {
    let leaver = Leaver::default();
    let (mut remote, peer) = meet_node(Direction::Inbound, &builder().listener(leaver.clone()).build().unwrap());
    remote.shake(Direction::Inbound, &version());
    let fee = frame(&FeeFilter { min_fee: 1 });
    // In one segment, so that the rest has arrived when the peer disconnects.
    remote.send_bytes(&[fee.clone(), frame(&Ping { nonce: 1 }), fee, frame(&Ping { nonce: 2 })].concat());
    assert_eq!(peer.wait_for_disconnect(), Ok(LOCAL));
    assert_eq!(*leaver.0.lock(), ["feefilter", "ping", "left", &LOCAL.to_string()]);
}

#[test]
fn when_the_last_handle_is_dropped() {
    for direction in BOTH {
        let (mut remote, end) = met(direction, builder());
        let clones = [end.peer.clone(), end.peer.clone()];
        drop(end.peer);
        assert_eq!(remote.before_pong(1), [], "a clone keeps it alive");
        drop(clones);
        assert_eq!(remote.rest(), []);
        end.told.wait("the end", |told| (told.disconnects == [LOCAL]).then_some(()));
    }
}

#[test]
fn a_handle_kept_from_a_callback_keeps_it_alive() {
    #[derive(Clone, Default)]
    struct Keeper(Arc<Mutex<Option<Peer>>>);

    impl Listener for Keeper {
        fn on_version(&self, peer: &Peer, _: Version) {
            *self.0.lock() = Some(peer.clone());
        }
    }

    let keeper = Keeper::default();
    let (mut remote, peer) = meet_node(Direction::Inbound, &builder().listener(keeper.clone()).build().unwrap());
    remote.shake(Direction::Inbound, &version());
    drop(peer);
    assert_eq!(remote.before_pong(1), []);
    let kept = keeper.0.lock().take();
    drop(kept);
    assert_eq!(remote.rest(), []);
}

#[test]
fn who_waits_returns_when_everything_is_over() {
    #[derive(Clone, Default)]
    struct Slow(Arc<Mutex<bool>>);

    impl Listener for Slow {
        fn on_disconnect(&self, _: &Peer, _: &DisconnectReason) {
            thread::sleep(Duration::from_millis(50));
            *self.0.lock() = true;
        }
    }

    let slow = Slow::default();
    let (_remote, peer) = meet_node(Direction::Inbound, &builder().listener(slow.clone()).build().unwrap());
    let short = Duration::from_millis(1);
    assert_eq!(peer.wait_for_disconnect_timeout(short), Err(WaitError::Timeout { waited: short }));
    thread::scope(|scope| {
        for n in 0..6 {
            let (peer, over) = (peer.clone(), &slow.0);
            scope.spawn(move || {
                let result =
                    if n % 2 == 0 { peer.wait_for_disconnect() } else { peer.wait_for_disconnect_timeout(DEADLINE) };
                assert_eq!(result, Ok(LOCAL));
                assert!(*over.lock(), "on_disconnect was still running");
            });
        }
        peer.disconnect();
    });
}

#[test]
fn a_callback_may_wait_for_another_peer() {
    struct WaitsFor(Peer);

    impl Listener for WaitsFor {
        fn on_ping(&self, peer: &Peer, _: Ping) {
            self.0.disconnect();
            assert_eq!(self.0.wait_for_disconnect(), Ok(LOCAL));
            peer.queue_message(&FeeFilter { min_fee: 77 }).unwrap();
        }
    }

    let (mut other, end) = met(Direction::Outbound, builder());
    let config = builder().listener(WaitsFor(end.peer.clone())).build().unwrap();
    let (mut remote, _peer) = meet_node(Direction::Inbound, &config);
    remote.shake(Direction::Inbound, &version());
    remote.send(&Ping { nonce: 1 });
    remote.expect::<kaspa_peer::wire::Pong>();
    assert_eq!(remote.expect::<FeeFilter>().min_fee, 77);
    assert_eq!(other.rest(), []);
    assert_eq!(end.reason(), LOCAL);
}

#[test]
fn while_the_remote_does_not_read() {
    let Ok(Command::Custom(command)) = "clog".parse() else { panic!("clog is known") };
    let clog = Frame::encode(&CustomMessage { command, payload: vec![0; 30_000_000] }, Network::Simnet).unwrap();
    for direction in BOTH {
        let (mut remote, end) = met(direction, builder().write_timeout(None));
        // Larger than the queue: taken as soon as nothing of the handshake waits any more.
        end.peer.send_frame(&clog, DEADLINE).unwrap();
        let sender = end.peer.clone();
        let sender = thread::spawn(move || sender.send_message(&FeeFilter { min_fee: 1 }, Duration::MAX));
        // The writer is at it, and will not get to the end of it.
        let mut first = [0; 1];
        std::io::Read::read_exact(&mut remote.stream, &mut first).unwrap();
        end.peer.disconnect();
        assert_eq!(end.reason(), LOCAL);
        assert_eq!(sender.join().unwrap(), Err(QueueError::Closed(LOCAL)));
    }
}

#[test]
fn everybody_is_told_the_same_reason() {
    let ends: [fn(&mut crate::common::remote::ByHand, &Peer); 3] =
        [|_, peer| peer.disconnect(), |remote, _| remote.hang_up(), |remote, _| remote.send(&version())];
    for end in ends {
        let (listener, events) = events(10);
        let config: Config = builder().listener(listener).build().unwrap();
        let (mut remote, peer) = meet_node(Direction::Inbound, &config);
        remote.shake(Direction::Inbound, &version());
        assert_eq!(remote.before_pong(1), []);
        let receipt = peer.clone();
        let waiting = thread::spawn(move || receipt.wait_for_disconnect());
        end(&mut remote, &peer);
        let reason = peer.wait_for_disconnect().unwrap();
        assert_eq!(waiting.join().unwrap(), Ok(reason.clone()));
        assert_eq!(peer.disconnect_reason(), Some(reason.clone()));
        assert_eq!(peer.queue_message(&Ping { nonce: 1 }), Err(QueueError::Closed(reason.clone())));
        let told: Vec<DisconnectReason> = events
            .try_iter()
            .filter_map(|event| match event.kind {
                EventKind::Disconnected(reason) => Some(reason),
                _ => None,
            })
            .collect();
        assert_eq!(told, vec![reason]);
    }
}
