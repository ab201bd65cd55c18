//! What must hold in whatever order threads come to the queue's and the peer's locks, tried in very many of them:
//!
//! ```sh
//! RUSTFLAGS="--cfg shuttle" cargo test --lib interleavings
//! ```
//!
//! A test that waits for something that never comes fails as a deadlock, or when it has taken too many steps.

use super::outbound::{Lane, Outbound, Patience, Queued, Refused};
use super::receipt::{Ending, Receipt};
use super::rules::deadlines::Due;
use super::rules::handshake::Step;
use super::run::Run;
use super::shared::{Ends, Shared};
use super::trickle::Trickle;
use super::{Config, Direction, DisconnectReason, QueueError, WaitError};
use crate::wire::{Command, Frame, Hash, Inventory, Message, Network, Ping, SendHeaders, VerAck};
use crossbeam_channel::{Receiver, bounded};
use shuttle::thread::{self, JoinHandle, yield_now};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

const ORDERS: usize = 2_000;

/// In very many orders, some of them quite unlikely.
fn in_many_orders(test: impl Fn() + Send + Sync + 'static) {
    let test = Arc::new(test);
    let again = Arc::clone(&test);
    shuttle::check_random(move || test(), ORDERS);
    shuttle::check_pct(move || again(), ORDERS, 3);
}

// ---- the queue alone

/// The frames of these tests are single bytes; some are large and are runs of their own.
fn push(
    queue: &Outbound,
    name: u8,
    patience: Patience,
    receipt: Option<super::receipt::Unsent>,
) -> Result<(), Refused> {
    let bytes = [name];
    let frame = if name >= 100 { Queued::Large(vec![name]) } else { Queued::Small(&bytes) };
    queue.push(Command::Ping, frame, Lane::Ordinary, patience, receipt)
}

/// Writes until the queue is closed, or a frame of the name `fatal` is at hand; gives what was written.
fn writer(queue: Arc<Outbound>, bell: Receiver<()>, over: Arc<Ending>, fatal: Option<u8>) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut written = Vec::new();
        loop {
            let mut wrote = false;
            while over.get().is_none() {
                match if wrote { queue.pop() } else { queue.pop_or_idle().ok() } {
                    Some(run) => {
                        if !write(&queue, run, fatal, &mut written) {
                            end(&queue, &over, DisconnectReason::CallbackPanicked { message: String::new() });
                            return written;
                        }
                        wrote = true;
                    }
                    None if wrote => wrote = false,
                    None => break,
                }
            }
            // As `select!` over the bell and the end does, but that shuttle cannot look into it.
            while bell.try_recv().is_err() {
                if over.get().is_some() {
                    return written;
                }
                yield_now();
            }
        }
    })
}

/// Frame by frame, as a socket may take them; whether all of the run was written.
fn write(queue: &Outbound, mut run: Run, fatal: Option<u8>, written: &mut Vec<u8>) -> bool {
    let (bytes, _, receipts) = run.split();
    for (end, name) in (1..).zip(bytes) {
        if fatal == Some(*name) {
            queue.put_back(run);
            return false;
        }
        yield_now();
        written.push(*name);
        receipts.resolve(end);
    }
    queue.written(run);
    true
}

/// As the peer ends: only the first closes the queue.
fn end(queue: &Outbound, over: &Ending, reason: DisconnectReason) {
    if over.set(reason).is_ok() {
        drop(queue.close());
    }
}

fn receipt(over: &Arc<Ending>) -> (super::receipt::Unsent, Receipt) {
    Receipt::new(Arc::clone(over), super::current::PeerKey::new())
}

#[test]
fn every_receipt_resolves_once_and_tells_the_truth() {
    for fatal in [None, Some(2), Some(101)] {
        in_many_orders(move || {
            let (queue, bell) = Outbound::new(1000, 1000);
            let (queue, over) = (Arc::new(queue), Arc::new(Ending::new()));
            queue.open();
            let writer = writer(Arc::clone(&queue), bell, Arc::clone(&over), fatal);
            let senders: Vec<JoinHandle<Vec<(u8, Receipt)>>> = [[1, 2, 101], [3, 102, 4]]
                .into_iter()
                .map(|names| {
                    let (queue, over) = (Arc::clone(&queue), Arc::clone(&over));
                    thread::spawn(move || {
                        let queued = names.into_iter().filter_map(|name| {
                            let (unsent, receipt) = receipt(&over);
                            push(&queue, name, Patience::None, Some(unsent)).is_ok().then_some((name, receipt))
                        });
                        queued.collect()
                    })
                })
                .collect();
            let closer = {
                let (queue, over) = (Arc::clone(&queue), Arc::clone(&over));
                thread::spawn(move || end(&queue, &over, DisconnectReason::Local))
            };
            let receipts: Vec<(u8, Receipt)> = senders.into_iter().flat_map(|it| it.join().unwrap()).collect();
            closer.join().unwrap();
            let written = writer.join().unwrap();
            for (name, receipt) in receipts {
                let told = receipt.try_wait();
                match &told {
                    Some(Ok(())) => assert!(written.contains(&name), "{name} was not written"),
                    Some(Err(WaitError::Closed(reason))) => {
                        assert!(!written.contains(&name), "{name} was written");
                        assert_eq!(Some(reason), over.get());
                    }
                    other => panic!("{name}: {other:?}"),
                }
                assert_eq!(receipt.try_wait(), told, "{name} says something else when asked again");
            }
            assert_eq!(queue.size(), (0, 0));
        });
    }
}

#[test]
fn who_waits_for_room_gets_it() {
    in_many_orders(|| {
        let (queue, bell) = Outbound::new(1, 1);
        let (queue, over) = (Arc::new(queue), Arc::new(Ending::new()));
        queue.open();
        let writer = writer(Arc::clone(&queue), bell, Arc::clone(&over), None);
        let senders = [[1, 2], [3, 100], [4, 5]].map(|names| {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                for name in names {
                    assert_eq!(push(&queue, name, Patience::AtMost(Duration::MAX), None), Ok(()));
                }
            })
        });
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        // All of it is on its way: the end comes only when nothing is queued.
        while queue.size() != (0, 0) {
            yield_now();
        }
        over.set(DisconnectReason::Local).unwrap();
        let mut written = writer.join().unwrap();
        written.sort_unstable();
        assert_eq!(written, [1, 2, 3, 4, 5, 100]);
    });
}

#[test]
fn who_waits_for_room_hears_of_the_end() {
    in_many_orders(|| {
        let (queue, _bell) = Outbound::new(1, 1);
        let queue = Arc::new(queue);
        queue.open();
        assert_eq!(push(&queue, 1, Patience::None, None), Ok(()));
        let patient = [Patience::AtMost(Duration::MAX), Patience::AtMost(Duration::ZERO), Patience::None];
        let senders = patient.map(|patience| {
            let queue = Arc::clone(&queue);
            thread::spawn(move || push(&queue, 2, patience, None))
        });
        drop(queue.close());
        let [ever, bounded, not] = senders.map(|sender| sender.join().unwrap());
        assert_eq!(ever, Err(Refused::Closed));
        assert!(matches!(bounded, Err(Refused::Closed | Refused::Timeout)));
        assert!(matches!(not, Err(Refused::Closed | Refused::Full { .. })));
        assert_eq!(push(&queue, 3, Patience::None, None), Err(Refused::Closed));
        assert_eq!(queue.size(), (0, 0));
    });
}

#[test]
fn nothing_that_was_queued_early_is_forgotten() {
    in_many_orders(|| {
        let (queue, bell) = Outbound::new(1000, 1000);
        let (queue, over) = (Arc::new(queue), Arc::new(Ending::new()));
        let writer = writer(Arc::clone(&queue), bell, Arc::clone(&over), None);
        let sender = {
            let queue = Arc::clone(&queue);
            thread::spawn(move || [1, 100, 2].map(|name| assert_eq!(push(&queue, name, Patience::None, None), Ok(()))))
        };
        assert_eq!(queue.push(Command::Ping, Queued::Small(&[0]), Lane::Handshake, Patience::None, None), Ok(()));
        queue.open();
        sender.join().unwrap();
        while queue.size() != (0, 0) {
            yield_now();
        }
        over.set(DisconnectReason::Local).unwrap();
        assert_eq!(writer.join().unwrap(), [0, 1, 100, 2], "the verack comes first");
    });
}

// ---- the end of a peer

/// A peer without threads; how often its socket was shut down.
fn peer() -> (Arc<Shared>, Ends, Arc<AtomicUsize>) {
    let config = Config::builder(Network::Simnet).build().unwrap();
    let shut = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&shut);
    let shutdown = Box::new(move || {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    let (_alive, gone) = bounded(0);
    let (shared, ends) = Shared::new(&config, Direction::Outbound, "192.0.2.1:1".parse().unwrap(), shutdown, gone);
    (Arc::new(shared), ends, shut)
}

#[test]
fn the_first_reason_is_the_one_that_all_are_told() {
    let frame = Frame::encode(&SendHeaders, Network::Simnet).unwrap();
    in_many_orders(move || {
        let (shared, _ends, shut) = peer();
        shared.outbound.open();
        let reasons = [DisconnectReason::Local, DisconnectReason::CallbackPanicked { message: String::new() }];
        let enders = reasons.map(|reason| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                shared.end(reason);
                shared.end_reason()
            })
        });
        let waiter = {
            let peer = shared.own_handle();
            thread::spawn(move || peer.wait_for_handshake())
        };
        let sender = {
            let (shared, frame) = (Arc::clone(&shared), frame.clone());
            thread::spawn(move || {
                let (unsent, receipt) = shared.receipt();
                shared.queue_frame(&frame, Patience::None, Some(unsent)).map(|()| receipt)
            })
        };
        let told = enders.map(|ender| ender.join().unwrap());
        let reason = shared.ended().unwrap();
        assert!(told.iter().all(|told| told == reason));
        assert_eq!(waiter.join().unwrap(), Err(WaitError::Closed(reason.clone())));
        match sender.join().unwrap() {
            Err(QueueError::Closed(told)) => assert_eq!(told, *reason),
            Ok(receipt) => assert_eq!(receipt.try_wait(), Some(Err(WaitError::Closed(reason.clone())))),
            Err(error) => panic!("{error}"),
        }
        assert_eq!(shut.load(Ordering::Relaxed), 1, "once");
        assert!(shared.quitting.try_recv().is_err_and(|error| error.is_disconnected()));
    });
}

#[test]
fn who_waits_for_the_handshake_is_told_of_it_or_of_the_end() {
    let version = peer().0.version();
    in_many_orders(move || {
        let (shared, _ends, _) = peer();
        let waiters = [(); 2].map(|()| {
            let peer = shared.own_handle();
            thread::spawn(move || peer.wait_for_handshake())
        });
        let ender = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.end(DisconnectReason::Local))
        };
        // As the reader does.
        for message in [Message::from(version.clone()), VerAck.into()] {
            let step = shared.state.lock().handshake.step(&message, |_| false);
            if step == Step::Finished {
                shared.progress.notify_all();
            }
        }
        ender.join().unwrap();
        for waiter in waiters {
            let result = waiter.join().unwrap();
            assert!(matches!(result, Ok(()) | Err(WaitError::Closed(DisconnectReason::Local))), "{result:?}");
        }
    });
}

// ---- the bells of the pinger and of the trickle timer

#[test]
fn the_pinger_never_oversleeps_an_earlier_deadline() {
    in_many_orders(|| {
        let (shared, ends, _) = peer();
        let now = Instant::now();
        let soon = now + Duration::from_millis(1);
        let pinger = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.next_due(now))
        };
        shared.with_deadlines(|deadlines| deadlines.last_words(soon, DisconnectReason::Local));
        let Err(Some(wake_at)) = pinger.join().unwrap() else { panic!("nothing to wait for") };
        assert!(wake_at <= soon || ends.pinger.try_recv().is_ok(), "sleeps too long");
        assert_eq!(shared.next_due(soon), Ok(Due::End(DisconnectReason::Local)));
    });
}

#[test]
fn the_writer_never_oversleeps_announcements() {
    let item = |number| Inventory::tx(Hash::from_bytes([number; 32]));
    in_many_orders(move || {
        let (shared, ends, _) = peer();
        shared.outbound.open();
        let announcers = [1, 2].map(|number| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.queue_inventory(&[item(number)]))
        });
        // The writer looks twice, and then would sleep.
        let late = Instant::now() + Duration::from_secs(1);
        let mut announced = 0;
        let mut sleeps = None;
        for _ in 0..2 {
            match shared.trickle(late) {
                Trickle::Send(inv) => announced += inv.items.len(),
                Trickle::Wait(due) => sleeps = Some(due),
                Trickle::Nothing => sleeps = None,
            }
        }
        announcers.into_iter().for_each(|announcer| assert_eq!(announcer.join().unwrap(), Ok(())));
        let waiting = shared.announcements.lock().waiting_len();
        assert_eq!(announced + waiting, 2);
        assert!(waiting == 0 || sleeps.is_some() || ends.trickle.try_recv().is_ok(), "sleeps with {waiting} left");
    });
}

#[test]
fn a_ping_waits_for_its_own_pong() {
    in_many_orders(|| {
        let (shared, _ends, _) = peer();
        let (answer, rtt) = bounded(1);
        shared.state.lock().pings.wait(7, answer);
        let now = Instant::now();
        let reader = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                [Ping { nonce: 6 }, Ping { nonce: 7 }].map(|it| shared.state.lock().pings.answered(it.nonce, now))
            })
        };
        shared.state.lock().pings.sent(7, now, std::time::SystemTime::UNIX_EPOCH);
        reader.join().unwrap();
        shared.state.lock().pings.answered(7, now);
        assert_eq!(rtt.try_recv(), Ok(Duration::ZERO));
        assert!(rtt.try_recv().is_err());
    });
}
