//! Streams that a program made itself, and that fail in every way they can.

use crate::common::frames::message_of_size;
use crate::common::local::end_reason;
use crate::common::recorder::Recorder;
use crate::common::remote::Remote;
use crate::common::{DEADLINE, builder, sockets, version, wait_until};
use crossbeam_channel::{Receiver, Sender, bounded};
use kaspa_peer::peer::{Halves, IoOperation, Stream};
use kaspa_peer::wire::{Command, FeeFilter, Frame, Network, VerAck};
use kaspa_peer::{Config, DisconnectReason, Listener, Peer, StartError, WaitError};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

fn config(listener: impl Listener) -> Config {
    builder().listener(listener).build().unwrap()
}

/// A connection that cannot be split.
struct Whole(TcpStream);

impl Stream for Whole {
    fn split(self, _: Option<Duration>) -> io::Result<Halves> {
        drop(self.0);
        Err(io::Error::other("in one piece"))
    }
}

#[test]
fn one_that_cannot_be_split_is_closed_and_nobody_is_told() {
    for dial in [true, false] {
        let (ours, theirs) = sockets();
        let (told, address) = (Recorder::default(), ours.peer_addr().unwrap());
        let config = config(told.clone());
        let start = if dial {
            Peer::outbound(Whole(ours), address, &config)
        } else {
            Peer::inbound(Whole(ours), address, &config)
        };
        assert!(matches!(start, Err(StartError::Stream(error)) if error.to_string() == "in one piece"));
        assert_eq!(Remote::new(theirs, Network::Simnet).read_until_closed(), []);
        recorder.look(|record| {
            assert!(record.messages.is_empty() && record.written.is_empty() && record.disconnects.is_empty())
        });
    }
}

#[test]
fn a_shutdown_that_panics_does_not_keep_the_peer_from_ending() {
    let (ours, theirs) = sockets();
    let (reader, writer, socket) = (ours.try_clone().unwrap(), ours.try_clone().unwrap(), ours);
    let address = socket.peer_addr().unwrap();
    let calls = Arc::new(AtomicUsize::new(0));
    let called = Arc::clone(&calls);
    let halves = Halves::new(reader, writer, move || {
        socket.shutdown(Shutdown::Both).unwrap();
        called.fetch_add(1, Ordering::SeqCst);
        panic!("shutdown");
    });
    let peer = Peer::inbound(halves, address, &config(())).unwrap();
    let mut remote = Remote::new(theirs, Network::Simnet);
    let receipt = peer.queue_message(&FeeFilter { min_fee: 1 }).unwrap();
    peer.disconnect();
    assert_eq!(receipt.wait_timeout(DEADLINE), Err(WaitError::Closed(DisconnectReason::Local)));
    assert_eq!(end_reason(&peer), DisconnectReason::Local);
    assert_eq!(remote.read_until_closed(), []);
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

/// Gives some bytes, then what it is told to, then waits for the end.
struct Script {
    bytes: io::Cursor<Vec<u8>>,
    then: fn() -> io::Result<usize>,
    asked: Arc<AtomicUsize>,
    end: Receiver<()>,
}

impl Read for Script {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        match self.bytes.read(into)? {
            0 if self.end.try_recv() == Err(crossbeam_channel::TryRecvError::Disconnected) => Ok(0),
            0 => (self.then)(),
            count => Ok(count),
        }
    }
}

/// What a remote says until the handshake is done.
fn introduction() -> Vec<u8> {
    let frame = |message: &dyn kaspa_peer::wire::Encode| Frame::encode(message, Network::Simnet).unwrap();
    [frame(&version()).as_bytes(), frame(&VerAck).as_bytes()].concat()
}

/// A peer that reads a script and writes to `out`.
fn scripted(
    listener: impl Listener,
    then: fn() -> io::Result<usize>,
    out: impl Write + Send + 'static,
) -> (Peer, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let (alive, end): (Sender<()>, _) = bounded(0);
    let reader = Script { bytes: io::Cursor::new(introduction()), then, asked: Arc::clone(&asked), end };
    let alive = parking_lot::Mutex::new(Some(alive));
    let halves = Halves::new(reader, out, move || drop(alive.lock().take()));
    (Peer::inbound(halves, "nowhere:1", &config(listener)).unwrap(), asked)
}

/// Waits as a blocking socket with a timeout does.
fn quiet() -> io::Result<usize> {
    std::thread::sleep(Duration::from_millis(5));
    Err(ErrorKind::TimedOut.into())
}

#[test]
fn a_reader_that_does_not_block_does_not_burn_a_processor() {
    let (peer, asked) = scripted((), || Err(ErrorKind::WouldBlock.into()), io::sink());
    peer.wait_for_handshake().unwrap();
    let (before, start) = (asked.load(Ordering::SeqCst), Instant::now());
    std::thread::sleep(Duration::from_millis(300));
    let (reads, passed) = (asked.load(Ordering::SeqCst) - before, start.elapsed());
    assert!(reads as u128 <= passed.as_millis() + 20, "{reads} reads in {passed:?}");
    peer.disconnect();
    assert_eq!(end_reason(&peer), DisconnectReason::Local);
}

#[test]
fn a_reader_that_panics_ends_its_peer() {
    let (peer, _) = scripted((), || panic!("read"), io::sink());
    assert_eq!(end_reason(&peer), DisconnectReason::CallbackPanicked);
}

#[test]
fn a_reader_that_fails_is_the_reason() {
    let (peer, _) = scripted((), || Err(io::Error::new(ErrorKind::BrokenPipe, "no more")), io::sink());
    let (operation, kind, message) = (IoOperation::Read, ErrorKind::BrokenPipe, "no more".into());
    assert_eq!(end_reason(&peer), DisconnectReason::Io { operation, kind, message });
}

/// Takes two messages, then does what it is told.
struct Out {
    taken: usize,
    then: fn(&[u8]) -> io::Result<usize>,
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.taken += bytes.len();
        if self.taken <= introduction().len() + 100 { Ok(bytes.len()) } else { (self.then)(bytes) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How a peer ends when its writer does this, and what a receipt says of it.
fn written(listener: impl Listener, then: fn(&[u8]) -> io::Result<usize>) -> (DisconnectReason, WaitError) {
    let (peer, _) = scripted(listener, quiet, Out { taken: 0, then });
    peer.wait_for_handshake().unwrap();
    let large = message_of_size(100_000);
    let receipt = peer.queue_message(&large).unwrap();
    let why = loop {
        // As early as anybody can know.
        if let Some(result) = receipt.try_wait() {
            break result.unwrap_err();
        }
    };
    (end_reason(&peer), why)
}

fn io_error(kind: ErrorKind, message: &str) -> DisconnectReason {
    DisconnectReason::Io { operation: IoOperation::Write, kind, message: message.into() }
}

#[test]
fn a_writer_that_fails_is_the_reason_and_receipts_say_so() {
    let reason = io_error(ErrorKind::Other, "no more");
    assert_eq!(written((), |_| Err(io::Error::other("no more"))), (reason.clone(), WaitError::Closed(reason)));
    let (reason, why) = written((), |_| Ok(0));
    assert!(matches!(reason, DisconnectReason::Io { kind: ErrorKind::WriteZero, .. }), "{reason}");
    assert_eq!(why, WaitError::Closed(reason));
    let reason = DisconnectReason::CallbackPanicked;
    assert_eq!(written((), |_| panic!("write")), (reason.clone(), WaitError::Closed(reason)));
}

/// Panics when it hears that something was not written.
struct Touchy;

impl Listener for Touchy {
    fn on_write(&self, _: &Peer, _: Command, _: usize, error: Option<&io::Error>) {
        assert!(error.is_none());
    }
}

#[test]
fn a_callback_that_panics_at_the_news_is_the_reason_for_receipts_too() {
    for _ in 0..20 {
        let reason = DisconnectReason::CallbackPanicked;
        let ended = written(Touchy, |_| Err(io::Error::other("no more")));
        assert_eq!(ended, (reason.clone(), WaitError::Closed(reason)));
    }
}

#[test]
fn one_that_claims_to_have_written_more_than_it_was_given_is_not_believed() {
    let (reason, why) = written((), |_| Ok(usize::MAX));
    let lie = matches!(&reason, DisconnectReason::Io { operation: IoOperation::Write, kind, .. } if *kind == ErrorKind::InvalidData);
    assert!(lie, "{reason}");
    assert_eq!(why, WaitError::Closed(reason));
}

#[test]
fn what_a_writer_keeps_back_is_flushed_before_anybody_is_told_that_it_was_sent() {
    let (ours, theirs) = sockets();
    let (reader, socket, address) = (ours.try_clone().unwrap(), ours.try_clone().unwrap(), ours.peer_addr().unwrap());
    let out = io::BufWriter::with_capacity(1 << 20, ours);
    let halves = Halves::new(reader, out, move || drop(socket.shutdown(Shutdown::Both)));
    let peer = Peer::inbound(halves, address, &config(())).unwrap();
    let mut remote = Remote::new(theirs, Network::Simnet);
    remote.shake_hands(&version());
    let fee = FeeFilter { min_fee: 1 };
    assert_eq!(peer.queue_message(&fee).unwrap().wait_timeout(DEADLINE), Ok(()));
    assert_eq!(remote.read(), fee.into());
}

#[test]
fn one_that_claims_to_have_read_more_than_there_is_room_for_ends_its_peer() {
    let (peer, _) = scripted((), || Ok(usize::MAX), io::sink());
    let reason = end_reason(&peer);
    let invalid = |kind| kind == ErrorKind::InvalidData;
    assert!(
        matches!(reason, DisconnectReason::Io { operation: IoOperation::Read, kind, .. } if invalid(kind)),
        "{reason}"
    );
}

/// Takes what it is given, handshakes aside, only when it is asked so often, as a socket that looks for much room may do.
struct Reluctant {
    asked: u32,
    often: u32,
}

impl Write for Reluctant {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.asked += 1;
        let handshake = bytes.get(4..6) == Some(b"ve");
        if !handshake && self.asked < self.often {
            return Err(if self.asked.is_multiple_of(2) { ErrorKind::WouldBlock } else { ErrorKind::TimedOut }.into());
        }
        self.asked = 0;
        Ok(bytes.len().min(50_000))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn reluctant(often: u32, limit: Duration) -> Peer {
    let reader = Script {
        bytes: io::Cursor::new(introduction()),
        then: quiet,
        asked: Arc::default(),
        end: crossbeam_channel::never(),
    };
    let halves = Halves::new(reader, Reluctant { asked: 0, often }, || {});
    let config = builder().write_timeout(limit).build().unwrap();
    let peer = Peer::inbound(halves, "nowhere:1", &config).unwrap();
    peer.wait_for_handshake().unwrap();
    peer
}

#[test]
fn a_writer_that_takes_something_when_asked_again_is_not_stalled() {
    let peer = reluctant(20, DEADLINE);
    for _ in 0..3 {
        let receipt = peer.queue_message(&message_of_size(100_000)).unwrap();
        assert_eq!(receipt.wait_timeout(DEADLINE), Ok(()));
    }
    assert_eq!(peer.disconnect_reason(), None);
    peer.disconnect();
}

#[test]
fn one_that_never_does_is_after_the_whole_timeout() {
    let limit = Duration::from_millis(100);
    let start = Instant::now();
    let peer = reluctant(u32::MAX, limit);
    // Too large to be written together with our verack.
    peer.queue_message(&message_of_size(100_000)).unwrap();
    wait_until("the end", || peer.disconnect_reason().is_some());
    assert_eq!(peer.disconnect_reason(), Some(DisconnectReason::WriteStalled { limit }));
    assert!(start.elapsed() >= limit);
}
