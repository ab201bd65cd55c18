//! Tests of the real lifecycle, outbound queue, writer loop, receipts and questions in very many orders of their
//! threads:
//!
//! ```sh
//! RUSTFLAGS="--cfg shuttle" cargo test --lib interleavings
//! ```
//!
//! A test whose threads wait for something that never comes fails as a deadlock, or when it has taken too many steps.

use super::callbacks::Callbacks;
use super::lifecycle::THREADS;
use super::outbound::{MessageKind, Refused, Wait};
use super::program::Program;
use super::questions::Awaited;
use super::shared::{Shared, WakeUps};
use super::writer;
use crate::peer::rules::deadlines::Due;
use crate::peer::{AskError, CloseError, Config, Direction, DisconnectReason, Peer, QueueError, Receipt, WaitError};
use crate::wire::{
    Command, Frame, FrameError, HEADER_SIZE, Hash, Inventory, Message, Network, Ping, Reject, RejectCode, SelectedTip,
};
use shuttle::thread::{self, JoinHandle, yield_now};
use std::{
    io::{self, Write},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

mod questions_and_timers;

/// Runs a test in random orders and in as many unlikely ones: 2000 of each kind, or the number in the environment
/// variable `ORDERS`.
fn in_many_orders(test: impl Fn() + Send + Sync + 'static) {
    let orders = std::env::var("ORDERS").map_or(2000, |number| number.parse().unwrap());
    let test = Arc::new(test);
    let again = Arc::clone(&test);
    shuttle::check_random(move || test(), orders);
    shuttle::check_pct(move || again(), orders, 3);
}

/// A peer without threads, and how often its connection was shut down.
fn peer(queue_limit: usize) -> (Arc<Shared>, WakeUps, Arc<AtomicUsize>) {
    let config = Config::builder(Network::Simnet).queue_limit(queue_limit).trickle_interval(HOUR).build().unwrap();
    let shut_down = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&shut_down);
    let shutdown = Box::new(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    let address = "192.0.2.1:1".parse().unwrap();
    let (shared, wake_ups) = Shared::new(Arc::clone(config.settings()), Direction::Outbound, address, shutdown);
    (Arc::new(shared), wake_ups, shut_down)
}

const HOUR: Duration = Duration::from_secs(3600);

/// The bytes that the writer has written, and the nonce of the ping at which writing fails.
#[derive(Clone, Default)]
struct Socket {
    written: Arc<Mutex<Vec<u8>>>,
    fails_at: Option<u64>,
}

impl Write for Socket {
    /// Takes one frame at a time, so that batches are written in parts.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        yield_now();
        let frame = &bytes[..HEADER_SIZE + 8];
        if self.fails_at.is_some_and(|nonce| frame[HEADER_SIZE..] == nonce.to_le_bytes()) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.written.lock().unwrap().extend_from_slice(frame);
        yield_now();
        Ok(frame.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Socket {
    /// The nonces of the pings that were written.
    fn nonces(&self) -> Vec<u64> {
        let written = self.written.lock().unwrap();
        let nonce = |frame: &[u8]| u64::from_le_bytes(frame[HEADER_SIZE..].try_into().unwrap());
        written.chunks(HEADER_SIZE + 8).map(nonce).collect()
    }
}

struct NoCallbacks;

impl Callbacks for NoCallbacks {
    fn deliver(&self, _: Message) {}
    fn on_handshake(&self) {}
    fn on_read(&self, _: usize, _: Result<Command, &FrameError>) {}
    fn on_write(&self, _: Command, _: usize, _: Option<&io::Error>) {}
    fn on_disconnect(&self, _: &DisconnectReason) {}
}

/// The real writer.
fn start_writer(shared: &Arc<Shared>, wake_ups: WakeUps, socket: &Socket) -> JoinHandle<()> {
    let (shared, socket) = (Arc::clone(shared), socket.clone());
    let program = Program { callbacks: Box::new(NoCallbacks), dag: None, capture: None };
    thread::spawn(move || {
        writer::run_scheduled(&shared, &program, Box::new(socket), &wake_ups);
        // After a write fails, the pinger ends the connection a moment later.
        shared.end(DisconnectReason::Local);
    })
}

fn queue(shared: &Shared, nonce: u64, wait: Wait) -> Result<Receipt, QueueError> {
    let position = shared.queue(&Ping { nonce }, wait)?;
    Ok(Receipt::new(position, Arc::clone(shared.kept_by_receipts())))
}

#[test]
fn every_receipt_resolves_once_and_says_what_happened() {
    for fails_at in [None, Some(2)] {
        in_many_orders(move || {
            let (shared, wake_ups, _) = peer(1000);
            shared.outbound().release_held();
            let socket = Socket { fails_at, ..Socket::default() };
            let writer = start_writer(&shared, wake_ups, &socket);
            let senders = [[1, 2], [3, 4]].map(|nonces| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    let queued =
                        nonces.into_iter().filter_map(|nonce| Some((nonce, queue(&shared, nonce, Wait::No).ok()?)));
                    queued.collect::<Vec<_>>()
                })
            });
            let ender = {
                let shared = Arc::clone(&shared);
                thread::spawn(move || shared.end(DisconnectReason::Local))
            };
            let receipts: Vec<(u64, Receipt)> = senders.into_iter().flat_map(|it| it.join().unwrap()).collect();
            // Waiting ends in every order.
            let waited: Vec<_> = receipts.iter().map(|(_, receipt)| receipt.wait()).collect();
            ender.join().unwrap();
            writer.join().unwrap();
            let written = socket.nonces();
            for ((nonce, receipt), waited) in receipts.iter().zip(waited) {
                let expected = match written.contains(nonce) {
                    true => Ok(()),
                    false => Err(WaitError::Closed(DisconnectReason::Local)),
                };
                assert_eq!(waited, expected, "{nonce}");
                assert_eq!(receipt.try_wait(), Some(expected), "{nonce}, asked again");
            }
            assert_eq!(shared.outbound().size(), (0, 0));
        });
    }
}

#[test]
fn senders_that_wait_for_room_all_get_it() {
    in_many_orders(|| {
        let (shared, wake_ups, _) = peer(1);
        shared.outbound().release_held();
        let socket = Socket::default();
        let writer = start_writer(&shared, wake_ups, &socket);
        let senders = [[1, 2], [3, 4], [5, 6]].map(|nonces| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || nonces.map(|nonce| queue(&shared, nonce, Wait::AtMost(Duration::MAX)).unwrap()))
        });
        let receipts = senders.map(|sender| sender.join().unwrap()).into_iter().flatten();
        receipts.for_each(|receipt| assert_eq!(receipt.wait(), Ok(())));
        shared.end(DisconnectReason::Local);
        writer.join().unwrap();
        let mut written = socket.nonces();
        written.sort_unstable();
        assert_eq!(written, [1, 2, 3, 4, 5, 6]);
    });
}

#[test]
fn senders_that_wait_for_room_learn_of_the_end() {
    in_many_orders(|| {
        let (shared, _ends, _) = peer(1);
        shared.outbound().release_held();
        queue(&shared, 1, Wait::No).unwrap();
        let waits = [Wait::AtMost(Duration::MAX), Wait::AtMost(Duration::ZERO), Wait::AtMost(Duration::MAX)];
        let senders = waits.map(|wait| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || queue(&shared, 2, wait).map(drop))
        });
        shared.end(DisconnectReason::Local);
        let [first, bounded, second] = senders.map(|sender| sender.join().unwrap());
        let closed = Err(QueueError::Closed(DisconnectReason::Local));
        assert_eq!((&first, &second), (&closed, &closed));
        assert!(matches!(bounded, Err(QueueError::Closed(_) | QueueError::Timeout { .. })));
    });
}

#[test]
fn messages_queued_before_the_handshake_follow_the_verack() {
    in_many_orders(|| {
        let (shared, wake_ups, _) = peer(1000);
        let socket = Socket::default();
        let writer = start_writer(&shared, wake_ups, &socket);
        let sender = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || [1, 2].map(|nonce| queue(&shared, nonce, Wait::No).unwrap()))
        };
        // A ping stands for the verack, because the socket of these tests takes frames of one size.
        shared.queue_in(MessageKind::Handshake, &Ping { nonce: 0 }, Wait::No).unwrap();
        shared.outbound().release_held();
        let receipts = sender.join().unwrap();
        receipts.into_iter().for_each(|receipt| assert_eq!(receipt.wait(), Ok(())));
        shared.end(DisconnectReason::Local);
        writer.join().unwrap();
        assert_eq!(socket.nonces(), [0, 1, 2]);
    });
}

#[test]
fn closing_in_order_writes_everything_that_was_accepted() {
    in_many_orders(|| {
        let (shared, wake_ups, _) = peer(1000);
        shared.outbound().release_held();
        let socket = Socket::default();
        let writer = start_writer(&shared, wake_ups, &socket);
        let sender = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                let accepted = [1, 2, 3].into_iter().filter(|nonce| queue(&shared, *nonce, Wait::No).is_ok());
                accepted.collect::<Vec<_>>()
            })
        };
        let closed = Peer::uncounted(Arc::clone(&shared)).close(HOUR);
        let accepted = sender.join().unwrap();
        writer.join().unwrap();
        // The bounded wait of a scheduler may end at any time.
        if closed.is_ok() {
            assert_eq!(socket.nonces(), accepted);
        }
        assert_eq!(shared.ended(), Some(&DisconnectReason::Local));
    });
}

#[test]
fn closing_says_that_something_was_not_sent_only_if_something_was_not() {
    for ends_meanwhile in [false, true] {
        in_many_orders(move || {
            let (shared, wake_ups, _) = peer(1000);
            shared.outbound().release_held();
            let writer = start_writer(&shared, wake_ups, &Socket::default());
            let receipts = [1, 2].map(|nonce| queue(&shared, nonce, Wait::No).unwrap());
            let ender = ends_meanwhile.then(|| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || shared.end(DisconnectReason::Idle { limit: HOUR }))
            });
            let closed = Peer::uncounted(Arc::clone(&shared)).close(HOUR);
            match closed {
                Ok(()) => assert_eq!(receipts.map(|receipt| receipt.try_wait()), [Some(Ok(())), Some(Ok(()))]),
                Err(CloseError::NotSent { messages, .. }) => {
                    assert!((1..=2).contains(&messages), "{messages} messages")
                }
                Err(CloseError::Closed(reason)) => assert_eq!(Some(&reason), shared.ended()),
                Err(error) => panic!("{error}"),
            }
            writer.join().unwrap();
            let _ = ender.map(JoinHandle::join);
        });
    }
}

#[test]
fn waiting_for_room_for_announcements_ends_with_room_or_with_the_connection() {
    /// What another thread does meanwhile.
    #[derive(Clone, Copy)]
    enum Meanwhile {
        Written,
        LastFrame,
        End,
    }
    for meanwhile in [Meanwhile::Written, Meanwhile::LastFrame, Meanwhile::End] {
        in_many_orders(move || {
            // Two pings fill the queue.
            let (shared, wake_ups, _) = peer(64);
            shared.outbound().release_held();
            for nonce in [1, 2] {
                queue(&shared, nonce, Wait::No).unwrap();
            }
            assert!(!shared.outbound().has_room_for_announcements());
            let waiting = Arc::clone(&shared);
            let waiter = thread::spawn(move || waiting.outbound().wait_for_announcement_room(None));
            match meanwhile {
                Meanwhile::Written => {
                    let writer = start_writer(&shared, wake_ups, &Socket::default());
                    assert!(waiter.join().unwrap());
                    shared.end(DisconnectReason::Local);
                    writer.join().unwrap();
                }
                Meanwhile::LastFrame => {
                    let frame = Frame::encode(&Ping { nonce: 9 }, Network::Simnet).unwrap();
                    shared.outbound().push_last(Command::Ping, frame.as_bytes(), DisconnectReason::Local).unwrap();
                    assert!(!waiter.join().unwrap());
                }
                Meanwhile::End => {
                    shared.end(DisconnectReason::Local);
                    assert!(!waiter.join().unwrap());
                }
            }
        });
    }
}

#[test]
fn the_last_frame_is_written_before_the_connection_ends() {
    in_many_orders(|| {
        let (shared, wake_ups, shut_down) = peer(1000);
        shared.outbound().release_held();
        let socket = Socket::default();
        let writer = start_writer(&shared, wake_ups, &socket);
        let frame = Frame::encode(&Ping { nonce: 9 }, Network::Simnet).unwrap();
        let idle = DisconnectReason::Idle { limit: HOUR };
        let results = [0, 1].map(|_| {
            let (shared, frame, idle) = (Arc::clone(&shared), frame.clone(), idle.clone());
            thread::spawn(move || shared.outbound().push_last(Command::Ping, frame.as_bytes(), idle))
        });
        let results = results.map(|thread| thread.join().unwrap());
        writer.join().unwrap();
        assert!(results.contains(&Ok(())) && results.contains(&Err(Refused::Closed)), "{results:?}");
        assert_eq!((socket.nonces(), shared.ended()), (vec![9], Some(&idle)));
        assert_eq!(shut_down.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn a_sender_that_is_refused_while_the_connection_ends_has_the_final_reason() {
    in_many_orders(|| {
        let (shared, wake_ups, _) = peer(1000);
        shared.outbound().release_held();
        let writer = start_writer(&shared, wake_ups, &Socket::default());
        let senders = [1, 2].map(|nonce| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || queue(&shared, nonce, Wait::No))
        });
        let frame = Frame::encode(&Ping { nonce: 9 }, Network::Simnet).unwrap();
        shared.outbound().push_last(Command::Ping, frame.as_bytes(), DisconnectReason::Idle { limit: HOUR }).unwrap();
        yield_now();
        // The remote closes meanwhile.
        shared.end(DisconnectReason::RemoteClosed { inside_frame: false });
        let results = senders.map(|sender| sender.join().unwrap());
        writer.join().unwrap();
        let reason = shared.ended().unwrap();
        for result in results {
            match result {
                Ok(receipt) => assert!([Ok(()), Err(WaitError::Closed(reason.clone()))].contains(&receipt.wait())),
                Err(error) => assert_eq!(error, QueueError::Closed(reason.clone())),
            }
        }
    });
}

#[test]
fn a_last_message_that_is_refused_has_the_final_reason() {
    in_many_orders(|| {
        let (shared, _ends, _) = peer(1000);
        shared.outbound().release_held();
        let rejecter = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                shared.end_with(&Reject::new("tx", RejectCode::DUST, "too small"), DisconnectReason::Local)
            })
        };
        let ender = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.end(DisconnectReason::Idle { limit: HOUR }))
        };
        // The remote closes meanwhile.
        shared.end(DisconnectReason::RemoteClosed { inside_frame: false });
        let result = rejecter.join().unwrap();
        ender.join().unwrap();
        let reason = shared.ended().unwrap();
        match result {
            Ok(()) => assert_eq!(*reason, DisconnectReason::Local),
            Err(error) => assert_eq!(error, QueueError::Closed(reason.clone())),
        }
    });
}

#[test]
fn a_sender_that_is_refused_because_of_the_last_reject_sees_that_it_is_queued() {
    in_many_orders(|| {
        let (shared, _ends, _) = peer(1_000_000);
        shared.outbound().release_held();
        let rejecting = {
            let shared = Arc::clone(&shared);
            let reject = Reject::new("ping", RejectCode::INVALID, "");
            thread::spawn(move || shared.end_with(&reject, DisconnectReason::Local).unwrap())
        };
        while queue(&shared, 1, Wait::No).is_ok() {
            yield_now();
        }
        // Otherwise the reader, whose pong is refused, would end the connection before the reject is written.
        assert!(shared.outbound().last_is_queued());
        rejecting.join().unwrap();
    });
}

#[test]
fn all_threads_and_handles_have_the_first_reason() {
    in_many_orders(|| {
        let (shared, _ends, shut_down) = peer(1000);
        shared.outbound().release_held();
        let reasons = [DisconnectReason::Local, DisconnectReason::Idle { limit: HOUR }];
        let enders = reasons.map(|reason| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                shared.end(reason);
                shared.end_reason()
            })
        });
        let waiter = {
            let peer = Peer::uncounted(Arc::clone(&shared));
            thread::spawn(move || peer.wait_for_handshake())
        };
        let sender = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || queue(&shared, 1, Wait::No))
        };
        let seen = enders.map(|ender| ender.join().unwrap());
        let reason = shared.ended().unwrap();
        assert!(seen.iter().all(|seen| seen == reason));
        assert_eq!(waiter.join().unwrap(), Err(WaitError::Closed(reason.clone())));
        match sender.join().unwrap() {
            Err(QueueError::Closed(seen)) => assert_eq!(seen, *reason),
            Ok(receipt) => assert_eq!(receipt.try_wait(), Some(Err(WaitError::Closed(reason.clone())))),
            Err(error) => panic!("{error}"),
        }
        assert_eq!(shut_down.load(Ordering::Relaxed), 1, "once");
    });
}

#[test]
fn the_last_of_three_threads_calls_on_disconnect_and_then_the_peer_is_finished() {
    for starts in [true, false] {
        in_many_orders(move || {
            let (shared, _ends, _) = peer(1000);
            let calls = Arc::new(AtomicUsize::new(0));
            let count = if starts { THREADS } else { THREADS - 1 };
            let threads: Vec<_> = (0..count)
                .map(|_| {
                    let (shared, calls) = (Arc::clone(&shared), Arc::clone(&calls));
                    thread::spawn(move || {
                        let started = shared.lifecycle().wait_for_start();
                        if shared.lifecycle().finish_callbacks() {
                            calls.fetch_add(1, Ordering::Relaxed);
                        }
                        shared.lifecycle().thread_exits();
                        started
                    })
                })
                .collect();
            if starts {
                shared.lifecycle().start();
            } else {
                shared.lifecycle().cancel(1);
            }
            assert!(shared.lifecycle().wait_until_finished(None));
            assert_eq!(calls.load(Ordering::Relaxed), usize::from(starts));
            assert!(threads.into_iter().all(|thread| thread.join().unwrap() == starts));
        });
    }
}

#[test]
fn waiting_for_the_handshake_ends_with_it_or_with_the_connection() {
    for (is_done, ends) in [(true, false), (false, true), (true, true)] {
        in_many_orders(move || {
            let (shared, _ends, _) = peer(1000);
            let waiters = [(); 2].map(|()| {
                let peer = Peer::uncounted(Arc::clone(&shared));
                thread::spawn(move || peer.wait_for_handshake())
            });
            let ender = ends.then(|| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || shared.end(DisconnectReason::Local))
            });
            if is_done {
                shared.lifecycle().set_handshake_done();
            }
            for waiter in waiters {
                match waiter.join().unwrap() {
                    Ok(()) => assert!(is_done),
                    Err(WaitError::Closed(DisconnectReason::Local)) => assert!(ends),
                    Err(error) => panic!("{error}"),
                }
            }
            let _ = ender.map(JoinHandle::join);
        });
    }
}
