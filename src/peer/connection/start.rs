//! Starts the three threads of a peer, or none of them, and runs the last callback.

use super::lifecycle::THREADS;
use super::program::Program;
use super::shared::Shared;
use super::{pinger, reader, writer};
use crate::peer::address::{Direction, PeerAddress};
use crate::peer::capture::Entry;
use crate::peer::disconnect::DisconnectReason;
use crate::peer::error::StartError;
use crate::peer::locks::Mutex;
use crate::peer::logging::LIFE;
use crate::peer::panic::{catch_panic, drop_caught};
use crate::peer::settings::Settings;
use crate::peer::stream::{Halves, Stream};
use log::{info, warn};
use std::{io, sync::Arc, thread};

type Body = Box<dyn FnOnce(&Arc<Shared>, &Program) + Send>;

/// Holds the body of a thread until the thread takes it out. A body owns the reader or the writer of a stream, whose
/// destructor may panic. `thread::Builder::spawn` drops its closure if it fails. So the closure holds only a reference
/// to this slot, and `start` drops the body where it can catch the panic.
type BodySlot = Arc<Mutex<Option<Body>>>;

/// Starts the threads on a stream. `program` makes the parts of the program that each thread holds until it exits.
///
/// # Errors
///
/// [`StartError`] if the stream cannot be set up, or if a thread cannot be started. Then no callback has run, and none
/// of the threads is left.
pub(in crate::peer) fn start(
    stream: impl Stream,
    address: PeerAddress,
    direction: Direction,
    settings: &Arc<Settings>,
    program: impl FnOnce(&Arc<Shared>) -> Program,
) -> Result<Arc<Shared>, StartError> {
    let attempt = writer::attempt_timeout(settings.write_timeout());
    let local_addr = match catch_panic(|| stream.local_addr()) {
        Ok(address) => address,
        Err(message) => {
            drop_caught(stream);
            return Err(stream_panicked(&message));
        }
    };
    let halves = catch_panic(|| stream.split(attempt)).map_err(|message| stream_panicked(&message))?;
    let Halves { reader: source, writer: out, shutdown } = halves.map_err(StartError::Stream)?;
    let (mut shared, wake_ups) = Shared::new(Arc::clone(settings), direction, address, shutdown);
    shared.local_addr = local_addr;
    let shared = Arc::new(shared);
    let program = Arc::new(program(&shared));
    shared.dag.set(program.dag.clone());
    // The program's `DagView` runs here. A panic in it ends the connection, as a panic in a callback does.
    match catch_panic(|| shared.send_first_version(&program)) {
        Ok(Ok(())) => {}
        Ok(Err(reason)) => {
            shared.end(reason);
        }
        Err(message) => {
            shared.end(DisconnectReason::CallbackPanicked { message });
        }
    }
    let wake_pinger = wake_ups.pinger.clone();
    let slot = |body: Body| -> BodySlot { Arc::new(Mutex::new(Some(body))) };
    let bodies: [(&'static str, &str, BodySlot); THREADS] = [
        ("pinger", "ping", slot(Box::new(move |shared, _| pinger::run(shared, &wake_pinger)))),
        ("writer", "write", slot(Box::new(move |shared, program| writer::run(shared, program, out, &wake_ups)))),
        ("reader", "read", slot(Box::new(move |shared, program| reader::run(shared, program, source)))),
    ];
    for (started, (name, short, body)) in bodies.iter().enumerate() {
        let thread =
            thread::Builder::new().name(format!("kpeer-{}-{short}", shared.id)).stack_size(settings.stack_size());
        let of_thread = (Arc::clone(&shared), Arc::clone(&program), Arc::clone(body));
        if let Err(error) = spawn(thread, move || run(of_thread.0, of_thread.1, &of_thread.2)) {
            shared.lifecycle().cancel(THREADS - started);
            shared.end(DisconnectReason::Local);
            for (_, _, body) in bodies.iter().skip(started) {
                drop_body(body);
            }
            shared.dag.clear();
            Program::release(program);
            shared.lifecycle().wait_until_finished(None);
            return Err(StartError::Thread { thread: name, error });
        }
    }
    let _ = catch_panic(|| info!(target: LIFE, "{shared}: connected"));
    let _ = catch_panic(|| program.record(shared.id, Entry::Connected(&shared.to_string())));
    // Released before the threads begin, so that the last of them drops the parts.
    Program::release(program);
    shared.lifecycle().start();
    Ok(shared)
}

fn stream_panicked(message: &str) -> StartError {
    StartError::Stream(io::Error::other(format!("the stream panicked: {message}")))
}

/// The outermost function of each of the three threads.
fn run(shared: Arc<Shared>, program: Arc<Program>, body: &Mutex<Option<Body>>) {
    let kept = Arc::clone(shared.kept_by_receipts());
    let lifecycle = &kept.lifecycle;
    lifecycle.identity().adopt_thread();
    if lifecycle.wait_for_start() {
        let body = body.lock().take();
        // The body drops the reader or the writer of the stream, whose destructor may panic.
        if let Err(message) = catch_panic(|| body.map(|body| body(&shared, &program))) {
            shared.end(DisconnectReason::CallbackPanicked { message });
        }
    } else {
        drop_body(body);
    }
    if lifecycle.finish_callbacks() {
        last_callback(&shared, &program);
        shared.dag.clear();
    }
    // Everything is dropped before `thread_exits`, so that nothing of the program is left when `wait_until_finished`
    // returns.
    Program::release(program);
    drop_caught(shared);
    lifecycle.thread_exits();
}

/// Drops the body of a thread that will not run it.
fn drop_body(body: &Mutex<Option<Body>>) {
    let body = body.lock().take();
    drop_caught(body);
}

/// Calls `on_disconnect`. Runs on the last of the three threads, after all other callbacks.
fn last_callback(shared: &Shared, program: &Program) {
    // A thread of the program that ends the connection may not have come that far yet. The program must not find a
    // receipt without an outcome, or queue a message, after the last callback has begun.
    drop(shared.outbound().close());
    let reason = shared.end_reason();
    let _ = catch_panic(|| program.record(shared.id, Entry::Gone(&reason.to_string())));
    if let Err(message) = catch_panic(|| program.callbacks.on_disconnect(&reason)) {
        let _ = catch_panic(|| warn!(target: LIFE, "{shared}: on_disconnect panicked: {message}"));
    }
}

fn spawn(thread: thread::Builder, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    #[cfg(test)]
    tests::spawn_fails()?;
    thread.spawn(body).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{GetSelectedTip, Message, Network};
    use crate::{Config, HandshakeError, Listener, Peer, QueueError, WaitError};
    use crossbeam_channel::bounded;
    use std::cell::Cell;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::panic::panic_any;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    thread_local! {
        /// How many more threads can be started from this thread.
        static THREADS_LEFT: Cell<usize> = const { Cell::new(usize::MAX) };
    }

    /// Fails as the system does when a process has too many threads.
    pub(in crate::peer) fn spawn_fails() -> io::Result<()> {
        match THREADS_LEFT.get() {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            left => {
                THREADS_LEFT.set(left - 1);
                Ok(())
            }
        }
    }

    #[derive(Default)]
    struct Calls(AtomicUsize);

    impl Listener for Calls {
        fn on_message(&self, _: &Peer, _: &Message) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }

        fn on_disconnect(&self, _: &Peer, _: &DisconnectReason) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// A half of a stream that ends at once, and whose destructor takes a while and panics. So does the destructor of
    /// the value with which it panics. The counter, if any, is the number of halves that are dropped.
    #[derive(Default)]
    struct PanicsOnDrop(Option<Arc<AtomicUsize>>);

    impl Drop for PanicsOnDrop {
        fn drop(&mut self) {
            // A constructor that does not wait for this destructor returns meanwhile.
            thread::sleep(Duration::from_millis(50));
            if let Some(dropped) = self.0.take() {
                dropped.fetch_add(1, Ordering::SeqCst);
            }
            panic_any(PayloadPanics);
        }
    }

    struct PayloadPanics;

    impl Drop for PayloadPanics {
        fn drop(&mut self) {
            panic!("the payload of a panic is dropped");
        }
    }

    impl Read for PanicsOnDrop {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Ok(0)
        }
    }

    impl Write for PanicsOnDrop {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stream_whose_halves_panic_when_they_are_dropped_does_not_keep_the_peer() {
        let calls = Arc::new(Calls::default());
        let config = Config::builder(Network::Simnet).listener(calls.clone()).build().unwrap();
        let peer =
            Peer::outbound(Halves::new(PanicsOnDrop::default(), PanicsOnDrop::default(), || {}), "memory", &config)
                .unwrap();
        let reason = peer.wait_for_disconnect_timeout(Duration::from_secs(60)).unwrap();
        let expected = HandshakeError::RemoteClosed { inside_frame: false };
        assert_eq!(reason, DisconnectReason::Handshake(expected));
        assert_eq!(calls.0.load(Ordering::SeqCst), 1, "on_disconnect");
    }

    #[test]
    fn if_a_thread_cannot_be_started_both_halves_are_dropped_and_their_panics_do_not_hide_the_error_of_the_system() {
        for left in 0..THREADS {
            let dropped = Arc::new(AtomicUsize::new(0));
            let half = || PanicsOnDrop(Some(Arc::clone(&dropped)));
            let config = Config::builder(Network::Simnet).build().unwrap();
            THREADS_LEFT.set(left);
            let result = Peer::inbound(Halves::new(half(), half(), || {}), "memory", &config);
            THREADS_LEFT.set(usize::MAX);
            let Err(StartError::Thread { error, .. }) = result else { panic!("{result:?}") };
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{error}");
            assert_eq!(
                dropped.load(Ordering::SeqCst),
                2,
                "halves dropped when the constructor returns, {left} threads"
            );
        }
    }

    /// A reader that never waits.
    struct NeverWaits;

    impl Read for NeverWaits {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::WouldBlock.into())
        }
    }

    #[test]
    fn receipts_have_their_outcome_before_the_last_callback_while_another_thread_ends_the_connection() {
        let config = Config::builder(Network::Simnet).build().unwrap();
        let (go_on, waits) = bounded::<()>(0);
        let shutdown = move || {
            let _ = waits.recv();
        };
        let peer = Peer::inbound(Halves::new(NeverWaits, io::sink(), shutdown), "memory", &config).unwrap();
        let receipt = peer.queue_message(&GetSelectedTip).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| peer.disconnect());
            peer.wait_for_disconnect_timeout(Duration::from_secs(60)).unwrap();
            let outcome = receipt.try_wait();
            let again = peer.queue_message(&GetSelectedTip);
            drop(go_on);
            assert_eq!(outcome, Some(Err(WaitError::Closed(DisconnectReason::Local))));
            assert_eq!(again, Err(QueueError::Closed(DisconnectReason::Local)));
        });
    }

    #[test]
    fn if_one_thread_cannot_be_started_none_remains_no_callback_runs_and_nothing_is_sent() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        for direction in [Direction::Inbound, Direction::Outbound] {
            for (left, missing) in ["pinger", "writer", "reader"].into_iter().enumerate() {
                let ours = TcpStream::connect(server.local_addr().unwrap()).unwrap();
                let (mut theirs, address) = server.accept().unwrap();
                let calls = Arc::new(Calls::default());
                let config = Config::builder(Network::Simnet).listener(calls.clone()).build().unwrap();
                THREADS_LEFT.set(left);
                let result = match direction {
                    Direction::Inbound => Peer::inbound(ours, address, &config),
                    Direction::Outbound => Peer::outbound(ours, address, &config),
                };
                THREADS_LEFT.set(usize::MAX);
                assert!(matches!(result, Err(StartError::Thread { thread, .. }) if thread == missing), "{result:?}");
                drop(config);
                // A thread that still ran would hold the listener.
                assert_eq!(Arc::strong_count(&calls), 1, "{missing}, {direction}");
                assert_eq!(calls.0.load(Ordering::SeqCst), 0, "{missing}, {direction}");
                let mut received = Vec::new();
                theirs.read_to_end(&mut received).unwrap();
                assert!(received.is_empty(), "the remote received {received:?}");
            }
        }
    }
}
