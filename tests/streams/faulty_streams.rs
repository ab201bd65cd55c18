//! Streams of the program that fail in every way they can.

use crate::common::frames::message_of_size;
use crate::common::local::{end_reason, is_callback_panic};
use crate::common::recorder::Recorder;
use crate::common::{BOTH, DEADLINE, builder, version, wait_until};
use crossbeam_channel::{Receiver, Sender, bounded, never};
use kaspa_peer::peer::{Halves, IoOperation, Stream};
use kaspa_peer::testing::{ScriptedRemote, tcp_pair};
use kaspa_peer::wire::{Command, FeeFilter, Frame, Network, VerAck};
use kaspa_peer::{Config, Direction, DisconnectReason, Listener, Peer, StartError, WaitError};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

fn config(listener: impl Listener) -> Config {
    builder().listener(listener).build().unwrap()
}

/// A connection that cannot be split.
struct Unsplittable(TcpStream);

impl Stream for Unsplittable {
    fn split(self, _: Option<Duration>) -> io::Result<Halves> {
        drop(self.0);
        Err(io::Error::other("in one piece"))
    }
}

#[test]
fn a_stream_that_cannot_be_split_is_closed_without_a_callback() {
    for dial in [true, false] {
        let (ours, theirs) = tcp_pair().unwrap();
        let (recorder, address) = (Recorder::default(), ours.peer_addr().unwrap());
        let config = config(recorder.clone());
        let start = if dial {
            Peer::outbound(Unsplittable(ours), address, &config)
        } else {
            Peer::inbound(Unsplittable(ours), address, &config)
        };
        assert!(matches!(start, Err(StartError::Stream(error)) if error.to_string() == "in one piece"));
        assert_eq!(ScriptedRemote::new(theirs, Network::Simnet).read_until_end().unwrap(), []);
        recorder.look(|record| {
            assert!(record.messages.is_empty() && record.written.is_empty() && record.disconnects.is_empty())
        });
    }
}

/// The methods of a stream that panic, including its destructor.
#[derive(Clone, Copy, PartialEq)]
enum Panics {
    LocalAddr,
    Split,
    Drop,
}

/// A stream that panics in one of its methods.
struct PanickingStream(Panics);

impl Stream for PanickingStream {
    fn split(self, _: Option<Duration>) -> io::Result<Halves> {
        let panics = self.0;
        std::mem::forget(self);
        assert!(panics != Panics::Split, "not split");
        Ok(Halves::new(io::empty(), io::sink(), || {}))
    }

    fn local_addr(&self) -> Option<SocketAddr> {
        assert!(self.0 != Panics::LocalAddr, "no address");
        None
    }
}

impl Drop for PanickingStream {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

#[test]
fn a_panic_of_a_stream_becomes_the_error_of_the_constructor() {
    let config = config(());
    for (panics, address, expected) in [
        (Panics::LocalAddr, "memory", "the connection could not be set up: the stream panicked: no address"),
        (Panics::Split, "memory", "the connection could not be set up: the stream panicked: not split"),
        (Panics::Drop, "127.0.0.1:99999", "127.0.0.1:99999"),
    ] {
        for direction in BOTH {
            let stream = PanickingStream(panics);
            let result = match direction {
                Direction::Inbound => Peer::inbound(stream, address, &config),
                Direction::Outbound => Peer::outbound(stream, address, &config),
            };
            let error = result.unwrap_err();
            assert_eq!(matches!(error, StartError::Address(_)), panics == Panics::Drop, "{error:?}");
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}

#[test]
fn a_panic_in_the_shutdown_closure_does_not_prevent_the_end() {
    let (ours, theirs) = tcp_pair().unwrap();
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
    let mut remote = ScriptedRemote::new(theirs, Network::Simnet);
    let receipt = peer.queue_message(&FeeFilter { min_fee: 1 }).unwrap();
    peer.disconnect();
    assert_eq!(receipt.wait_timeout(DEADLINE), Err(WaitError::Closed(DisconnectReason::Local)));
    assert_eq!(end_reason(&peer), DisconnectReason::Local);
    assert_eq!(remote.read_until_end().unwrap(), []);
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

/// A read half that gives some bytes, then the results of `then`, and the end of the stream when the connection has
/// ended.
struct Script {
    bytes: io::Cursor<Vec<u8>>,
    then: fn() -> io::Result<usize>,
    reads: Arc<AtomicUsize>,
    end: Receiver<()>,
}

impl Read for Script {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        match self.bytes.read(into)? {
            0 if self.end.try_recv() == Err(crossbeam_channel::TryRecvError::Disconnected) => Ok(0),
            0 => (self.then)(),
            count => Ok(count),
        }
    }
}

/// The bytes that a remote sends for the handshake.
fn handshake() -> Vec<u8> {
    let frame = |message: &dyn kaspa_peer::wire::Encode| Frame::encode(message, Network::Simnet).unwrap();
    [frame(&version()).as_bytes(), frame(&VerAck).as_bytes()].concat()
}

/// A peer that reads a script and writes to `out`, and the number of its reads.
fn scripted(
    listener: impl Listener,
    then: fn() -> io::Result<usize>,
    out: impl Write + Send + 'static,
) -> (Peer, Arc<AtomicUsize>) {
    let reads = Arc::new(AtomicUsize::new(0));
    let (alive, end): (Sender<()>, _) = bounded(0);
    let reader = Script { bytes: io::Cursor::new(handshake()), then, reads: Arc::clone(&reads), end };
    let alive = parking_lot::Mutex::new(Some(alive));
    let halves = Halves::new(reader, out, move || drop(alive.lock().take()));
    (Peer::inbound(halves, "nowhere:1", &config(listener)).unwrap(), reads)
}

/// A read that times out, as that of a blocking socket with a timeout.
fn times_out() -> io::Result<usize> {
    std::thread::sleep(Duration::from_millis(5));
    Err(ErrorKind::TimedOut.into())
}

#[test]
fn a_stream_that_does_not_block_is_read_at_most_about_once_a_millisecond() {
    let (peer, reads) = scripted((), || Err(ErrorKind::WouldBlock.into()), io::sink());
    peer.wait_for_handshake().unwrap();
    let (before, start) = (reads.load(Ordering::SeqCst), Instant::now());
    wait_until("200 reads", || reads.load(Ordering::SeqCst) >= before + 200);
    assert!(start.elapsed() >= Duration::from_millis(180), "200 reads in {:?}", start.elapsed());
    peer.disconnect();
    assert_eq!(end_reason(&peer), DisconnectReason::Local);
}

#[test]
fn a_stream_that_is_always_interrupted_ends_with_the_connection() {
    fn interrupted() -> io::Result<usize> {
        Err(ErrorKind::Interrupted.into())
    }

    let (peer, _) = scripted((), interrupted, Out { accepted: 0, then: |_| interrupted() });
    peer.wait_for_handshake().unwrap();
    peer.disconnect();
    assert_eq!(end_reason(&peer), DisconnectReason::Local);
    // Its shutdown does not wake the reader.
    let config = config(());
    let reader = Script { bytes: io::Cursor::default(), then: interrupted, reads: Arc::default(), end: never() };
    let peer = Peer::inbound(Halves::new(reader, io::sink(), || {}), "nowhere:1", &config).unwrap();
    peer.disconnect();
    assert_eq!(end_reason(&peer), DisconnectReason::Local);
}

#[test]
fn a_shutdown_that_does_not_wake_the_reader_is_enough_if_reads_time_out() {
    let (ours, theirs) = tcp_pair().unwrap();
    ours.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let (reader, writer) = (ours.try_clone().unwrap(), ours.try_clone().unwrap());
    let halves = Halves::new(reader, writer, move || drop(ours.shutdown(Shutdown::Write)));
    let peer = Peer::inbound(halves, "like-windows:1", &config(())).unwrap();
    let mut remote = ScriptedRemote::new(theirs, Network::Simnet);
    remote.shake_hands().unwrap();
    peer.wait_for_handshake().unwrap();
    peer.disconnect();
    // The remote is still there and silent.
    assert_eq!(end_reason(&peer), DisconnectReason::Local);
    assert_eq!(remote.read_until_end().unwrap(), []);
}

/// The error of a connection whose remote has not confirmed anything for too long.
#[cfg(target_os = "linux")]
fn connection_timed_out() -> io::Result<usize> {
    Err(io::Error::from_raw_os_error(110))
}

#[cfg(target_os = "linux")]
#[test]
fn a_connection_that_the_system_gave_up_is_no_timeout_of_the_stream() {
    let is_timed_out = |peer: &Peer, expected| {
        let reason = end_reason(peer);
        let right = matches!(
            &reason,
            DisconnectReason::Io { operation, kind: ErrorKind::TimedOut, .. } if *operation == expected
        );
        assert!(right, "{reason}");
    };
    let (peer, _) = scripted((), connection_timed_out, io::sink());
    is_timed_out(&peer, IoOperation::Read);
    let accepted = handshake().len() * 4;
    let (peer, _) = scripted((), times_out, Out { accepted, then: |_| connection_timed_out() });
    peer.wait_for_handshake().unwrap();
    peer.queue_message(&message_of_size(100_000)).unwrap();
    is_timed_out(&peer, IoOperation::Write);
}

#[test]
fn a_panic_in_read_ends_the_peer() {
    let (peer, _) = scripted((), || panic!("read"), io::sink());
    let reason = end_reason(&peer);
    assert!(is_callback_panic(&reason), "{reason}");
}

#[test]
fn the_error_of_a_failed_read_is_the_reason() {
    let (peer, _) = scripted((), || Err(io::Error::new(ErrorKind::BrokenPipe, "no more")), io::sink());
    let (operation, kind, message) = (IoOperation::Read, ErrorKind::BrokenPipe, "no more".into());
    assert_eq!(end_reason(&peer), DisconnectReason::Io { operation, kind, message });
}

/// A write half that accepts the handshake, and then gives the results of `then`.
struct Out {
    accepted: usize,
    then: fn(&[u8]) -> io::Result<usize>,
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.accepted += bytes.len();
        if self.accepted <= handshake().len() + 100 { Ok(bytes.len()) } else { (self.then)(bytes) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The reason of a peer whose writes give the results of `then`, and the error of a receipt.
fn end_of_write(listener: impl Listener, then: fn(&[u8]) -> io::Result<usize>) -> (DisconnectReason, WaitError) {
    let (peer, _) = scripted(listener, times_out, Out { accepted: 0, then });
    peer.wait_for_handshake().unwrap();
    let large = message_of_size(100_000);
    let receipt = peer.queue_message(&large).unwrap();
    let why = loop {
        // As early as possible.
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
fn the_error_of_a_failed_write_is_the_reason_and_that_of_receipts() {
    let reason = io_error(ErrorKind::Other, "no more");
    assert_eq!(end_of_write((), |_| Err(io::Error::other("no more"))), (reason.clone(), WaitError::Closed(reason)));
    let (reason, why) = end_of_write((), |_| Ok(0));
    assert!(matches!(reason, DisconnectReason::Io { kind: ErrorKind::WriteZero, .. }), "{reason}");
    assert_eq!(why, WaitError::Closed(reason));
    let (reason, why) = end_of_write((), |_| panic!("write"));
    assert!(is_callback_panic(&reason), "{reason}");
    assert_eq!(why, WaitError::Closed(reason));
}

/// Panics in `on_write` for a frame that was not written.
struct PanicsOnWriteError;

impl Listener for PanicsOnWriteError {
    fn on_write(&self, _: &Peer, _: Command, _: usize, error: Option<&io::Error>) {
        assert!(error.is_none());
    }
}

#[test]
fn a_panic_in_on_write_for_a_failed_write_is_the_reason_of_receipts_too() {
    for _ in 0..20 {
        let (reason, why) = end_of_write(PanicsOnWriteError, |_| Err(io::Error::other("no more")));
        assert!(is_callback_panic(&reason), "{reason}");
        assert_eq!(why, WaitError::Closed(reason));
    }
}

#[test]
fn a_write_that_returns_more_than_it_was_given_is_an_error() {
    let (reason, why) = end_of_write((), |_| Ok(usize::MAX));
    let invalid = matches!(&reason, DisconnectReason::Io { operation: IoOperation::Write, kind, .. } if *kind == ErrorKind::InvalidData);
    assert!(invalid, "{reason}");
    assert_eq!(why, WaitError::Closed(reason));
}

#[test]
fn a_buffering_writer_is_flushed_before_the_receipt_resolves() {
    let (ours, theirs) = tcp_pair().unwrap();
    let (reader, socket, address) = (ours.try_clone().unwrap(), ours.try_clone().unwrap(), ours.peer_addr().unwrap());
    let out = io::BufWriter::with_capacity(1 << 20, ours);
    let halves = Halves::new(reader, out, move || drop(socket.shutdown(Shutdown::Both)));
    let peer = Peer::inbound(halves, address, &config(())).unwrap();
    let mut remote = ScriptedRemote::new(theirs, Network::Simnet);
    remote.shake_hands().unwrap();
    let fee = FeeFilter { min_fee: 1 };
    assert_eq!(peer.queue_message(&fee).unwrap().wait_timeout(DEADLINE), Ok(()));
    assert_eq!(remote.next_message().unwrap(), fee.into());
}

#[test]
fn a_read_that_returns_more_than_the_buffer_holds_is_an_error() {
    let (peer, _) = scripted((), || Ok(usize::MAX), io::sink());
    let reason = end_reason(&peer);
    let invalid = |kind| kind == ErrorKind::InvalidData;
    assert!(
        matches!(reason, DisconnectReason::Io { operation: IoOperation::Read, kind, .. } if invalid(kind)),
        "{reason}"
    );
}

/// A write half that accepts bytes, other than those of the handshake, only at every `nth` call. A socket can do so
/// that waits for much space in its buffer.
struct Reluctant {
    calls: u32,
    nth: u32,
}

impl Write for Reluctant {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.calls += 1;
        let handshake = bytes.get(4..6) == Some(b"ve");
        if !handshake && self.calls < self.nth {
            return Err(if self.calls.is_multiple_of(2) { ErrorKind::WouldBlock } else { ErrorKind::TimedOut }.into());
        }
        self.calls = 0;
        Ok(bytes.len().min(50_000))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn reluctant(nth: u32, limit: Duration) -> Peer {
    let reader = Script { bytes: io::Cursor::new(handshake()), then: times_out, reads: Arc::default(), end: never() };
    let halves = Halves::new(reader, Reluctant { calls: 0, nth }, || {});
    let config = builder().write_timeout(limit).build().unwrap();
    let peer = Peer::inbound(halves, "nowhere:1", &config).unwrap();
    peer.wait_for_handshake().unwrap();
    peer
}

#[test]
fn a_write_that_succeeds_when_it_is_repeated_is_not_a_stall() {
    let peer = reluctant(20, DEADLINE);
    for _ in 0..3 {
        let receipt = peer.queue_message(&message_of_size(100_000)).unwrap();
        assert_eq!(receipt.wait_timeout(DEADLINE), Ok(()));
    }
    assert_eq!(peer.disconnect_reason(), None);
    peer.disconnect();
}

#[test]
fn a_write_that_never_succeeds_is_a_stall_after_the_whole_timeout() {
    let limit = Duration::from_millis(100);
    let start = Instant::now();
    let peer = reluctant(u32::MAX, limit);
    // Too large to be written together with our verack.
    peer.queue_message(&message_of_size(100_000)).unwrap();
    wait_until("the peer ends", || peer.disconnect_reason().is_some());
    assert_eq!(peer.disconnect_reason(), Some(DisconnectReason::WriteStalled { limit }));
    assert!(start.elapsed() >= limit);
}
