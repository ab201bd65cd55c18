//! Peers over two pipes in memory, which are a stream of the program.

use crate::common::frames::{frame_of_size, message_of_size};
use crate::common::local::{Local, end_reason, new_pair_over};
use crate::common::recorder::{Record, Recorder};
use crate::common::retry::retry_if_late;
use crate::common::{DEADLINE, builder, version, wait_until};
use kaspa_peer::peer::{Halves, IoOperation, Stream};
use kaspa_peer::wire::{Command, Encode, FeeFilter, GetAddr, Network, Reject, RejectCode, VerAck, write_message};
use kaspa_peer::{ConfigBuilder, DisconnectReason, Peer, QueueError, StartError};
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::Duration;

/// The bytes between a writer and a reader.
#[derive(Default)]
struct Pipe {
    state: Mutex<PipeState>,
    changed: Condvar,
}

#[derive(Default)]
struct PipeState {
    bytes: VecDeque<u8>,
    closed: bool,
    /// The error of every write from now on.
    broken: Option<io::ErrorKind>,
}

/// How many bytes a pipe holds.
const CAPACITY: usize = 10_000;

impl Pipe {
    fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_all();
    }
}

struct Out {
    pipe: Arc<Pipe>,
    timeout: Option<Duration>,
}

struct In(Arc<Pipe>);

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.pipe.state.lock();
        let blocked = |state: &mut PipeState| state.bytes.len() >= CAPACITY && !state.closed && state.broken.is_none();
        match self.timeout {
            Some(timeout) => {
                if self.pipe.changed.wait_while_for(&mut state, blocked, timeout).timed_out() {
                    return Err(io::ErrorKind::TimedOut.into());
                }
            }
            None => self.pipe.changed.wait_while(&mut state, blocked),
        }
        if state.closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if let Some(kind) = state.broken {
            return Err(kind.into());
        }
        let count = bytes.len().min(CAPACITY - state.bytes.len());
        state.bytes.extend(&bytes[..count]);
        self.pipe.changed.notify_all();
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for In {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut state = self.0.state.lock();
        self.0.changed.wait_while(&mut state, |state| state.bytes.is_empty() && !state.closed);
        let count = bytes.len().min(state.bytes.len());
        for (place, byte) in bytes.iter_mut().zip(state.bytes.drain(..count)) {
            *place = byte;
        }
        self.0.changed.notify_all();
        Ok(count)
    }
}

/// One end of two pipes.
struct Duplex {
    incoming: Arc<Pipe>,
    outgoing: Arc<Pipe>,
}

impl Duplex {
    fn pair() -> (Self, Self) {
        let (a, b) = (Arc::new(Pipe::default()), Arc::new(Pipe::default()));
        (Self { incoming: Arc::clone(&a), outgoing: Arc::clone(&b) }, Self { incoming: b, outgoing: a })
    }
}

impl Stream for Duplex {
    fn split(self, timeout: Option<Duration>) -> io::Result<Halves> {
        let Self { incoming, outgoing } = self;
        let (reader, writer) = (In(Arc::clone(&incoming)), Out { pipe: Arc::clone(&outgoing), timeout });
        Ok(Halves::new(reader, writer, move || {
            incoming.close();
            outgoing.close();
        }))
    }
}

/// Two peers of ours that are connected by pipes, after their handshake.
fn connected_pair(dialler: ConfigBuilder, acceptor: ConfigBuilder) -> (Local, Local) {
    let (dialled, accepted) = Duplex::pair();
    let (outbound, inbound) = new_pair_over([dialled, accepted], ["memory"; 2], dialler, acceptor);
    outbound.peer.wait_for_handshake().unwrap();
    inbound.peer.wait_for_handshake().unwrap();
    (outbound, inbound)
}

#[test]
fn peers_can_converse_over_pipes() {
    let (outbound, inbound) = connected_pair(builder(), builder());
    for min_fee in 0..1000 {
        outbound.peer.queue_message(&FeeFilter { min_fee }).unwrap();
        inbound.peer.queue_message(&FeeFilter { min_fee }).unwrap();
    }
    inbound.recorder.wait_for_count(Command::FeeFilter, 1000);
    outbound.recorder.wait_for_count(Command::FeeFilter, 1000);
    assert!(inbound.peer.ping().unwrap() < DEADLINE);
    let frame = frame_of_size(1_000_000, Network::Simnet);
    outbound.peer.queue_frame(&frame).unwrap().wait_timeout(DEADLINE).unwrap();
    inbound.recorder.wait("1 MB", |record| {
        record.messages.iter().any(|message| message.encoded_len() == 1_000_000 - 24).then_some(())
    });
    outbound.peer.disconnect();
    assert_eq!(end_reason(&outbound.peer), DisconnectReason::Local);
    assert_eq!(end_reason(&inbound.peer), DisconnectReason::RemoteClosed { inside_frame: false });
}

#[test]
fn disconnect_wakes_threads_that_wait_in_the_stream() {
    let (dialled, _silent) = Duplex::pair();
    let peer = Peer::outbound(dialled, "memory", &builder().build().unwrap()).unwrap();
    // More than the pipe holds, so that the writer thread waits as well as the reader thread.
    peer.queue_message(&message_of_size(100_000)).unwrap();
    peer.disconnect();
    assert_eq!(end_reason(&peer), DisconnectReason::Local);
}

#[test]
fn dropping_the_last_handle_disconnects_over_pipes() {
    let (outbound, inbound) = connected_pair(builder(), builder());
    drop(outbound.peer);
    assert_eq!(end_reason(&inbound.peer), DisconnectReason::RemoteClosed { inside_frame: false });
    outbound.recorder.wait("on_disconnect", |record| (record.disconnects == [DisconnectReason::Local]).then_some(()));
}

/// A peer after its handshake, whose remote does not read.
fn peer_with_unread_stream(builder: ConfigBuilder) -> (Peer, Duplex) {
    let (accepted, remote) = Duplex::pair();
    let peer = Peer::inbound(accepted, "memory", &builder.build().unwrap()).unwrap();
    let mut out = Out { pipe: Arc::clone(&remote.outgoing), timeout: None };
    write_message(&mut out, &version(), Network::Simnet).unwrap();
    write_message(&mut out, &VerAck, Network::Simnet).unwrap();
    peer.wait_for_handshake().unwrap();
    (peer, remote)
}

#[test]
fn the_stream_applies_the_write_timeout() {
    let limit = Duration::from_millis(100);
    let (peer, _remote) = peer_with_unread_stream(builder().write_timeout(limit));
    let error = loop {
        if let Err(error) = peer.send_message(&message_of_size(5000), DEADLINE) {
            break error;
        }
    };
    let reason = DisconnectReason::WriteStalled { limit };
    assert_eq!(error, QueueError::Closed(reason.clone()));
    assert_eq!(end_reason(&peer), reason);
}

#[test]
fn the_error_of_a_failed_write_is_the_reason() {
    let (peer, remote) = peer_with_unread_stream(builder());
    remote.incoming.state.lock().broken = Some(io::ErrorKind::StorageFull);
    let receipt = peer.queue_message(&GetAddr::all()).unwrap();
    let reason = end_reason(&peer);
    let DisconnectReason::Io { operation: IoOperation::Write, kind: io::ErrorKind::StorageFull, .. } = reason else {
        panic!("{reason:?}")
    };
    assert!(receipt.wait().is_err());
}

#[test]
fn messages_that_arrive_after_a_failed_write_are_delivered() {
    // The reader continues for half a second, which is not configurable. So the test has several attempts to be in time.
    retry_if_late([Duration::from_millis(500); 10], |_, watch| {
        let recorder = Recorder::default();
        let (peer, remote) = peer_with_unread_stream(builder().listener(recorder.clone()));
        // When the handshake is done, our verack may not be written yet.
        let verack = |record: &Record| record.written.iter().any(|(command, ..)| *command == Command::VerAck);
        wait_until("the verack is written", || recorder.look(verack));
        remote.incoming.state.lock().broken = Some(io::ErrorKind::BrokenPipe);
        watch.tick();
        peer.queue_message(&GetAddr::all()).unwrap();
        let mut out = Out { pipe: Arc::clone(&remote.outgoing), timeout: None };
        // The remote sends this after our write failed, and before it closes.
        let failed = Some(&(Command::GetAddr, 25, false));
        wait_until("the write failed", || recorder.look(|record| record.written.last() == failed));
        let reject = Reject::new("getaddr", RejectCode::INVALID, "go away");
        write_message(&mut out, &reject, Network::Simnet).unwrap();
        remote.outgoing.close();
        let reason = end_reason(&peer);
        watch.rest();
        assert_eq!(reason, DisconnectReason::RemoteClosed { inside_frame: false });
        assert_eq!(recorder.wait_for::<Reject>(), reject);
    });
}

/// A stream that cannot be split.
struct Unsplittable;

impl Stream for Unsplittable {
    fn split(self, _: Option<Duration>) -> io::Result<Halves> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[test]
fn a_peer_on_a_stream_that_cannot_be_split_is_not_started() {
    let recorder = Recorder::default();
    let config = builder().listener(recorder.clone()).build().unwrap();
    let error = Peer::outbound(Unsplittable, "memory", &config).unwrap_err();
    assert!(matches!(error, StartError::Stream(error) if error.kind() == io::ErrorKind::Unsupported));
    recorder.look(|record| assert!(record.messages.is_empty() && record.disconnects.is_empty()));
}
