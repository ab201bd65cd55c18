//! Peers over streams in memory.

use crate::common::frames::{frame_of_size, message_of_size};
use crate::common::local::{Local, end_reason, new_pair_over};
use crate::common::recorder::{Record, Recorder};
use crate::common::retry::retry_if_late;
use crate::common::{DEADLINE, builder, wait_until};
use kaspa_peer::peer::{Halves, IoOperation, Stream};
use kaspa_peer::testing::{MemoryStream, ScriptedRemote, memory_pair, memory_pair_with_capacity};
use kaspa_peer::wire::{Command, Encode, FeeFilter, GetAddr, Network, Reject, RejectCode};
use kaspa_peer::{ConfigBuilder, DisconnectReason, Peer, QueueError, StartError};
use parking_lot::Mutex;
use std::io::{self, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

/// Two peers of ours that are connected in memory, after their handshake.
fn connected_pair(dialler: ConfigBuilder, acceptor: ConfigBuilder) -> (Local, Local) {
    let (dialled, accepted) = memory_pair();
    let (outbound, inbound) = new_pair_over([dialled, accepted], ["memory"; 2], dialler, acceptor);
    outbound.peer.wait_for_handshake().unwrap();
    inbound.peer.wait_for_handshake().unwrap();
    (outbound, inbound)
}

#[test]
fn peers_can_converse() {
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
    let (dialled, _silent) = memory_pair_with_capacity(10_000);
    let peer = Peer::outbound(dialled, "memory", &builder().build().unwrap()).unwrap();
    // More than the stream holds, so that the writer thread waits as well as the reader thread.
    peer.queue_message(&message_of_size(100_000)).unwrap();
    peer.disconnect();
    assert_eq!(end_reason(&peer), DisconnectReason::Local);
}

#[test]
fn dropping_the_last_handle_disconnects() {
    let (outbound, inbound) = connected_pair(builder(), builder());
    drop(outbound.peer);
    assert_eq!(end_reason(&inbound.peer), DisconnectReason::RemoteClosed { inside_frame: false });
    outbound.recorder.wait("on_disconnect", |record| (record.disconnects == [DisconnectReason::Local]).then_some(()));
}

/// A stream whose writes fail once the test sets an error.
struct FailingWrites {
    stream: MemoryStream,
    error: Arc<Mutex<Option<io::ErrorKind>>>,
}

impl Write for FailingWrites {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match *self.error.lock() {
            Some(kind) => Err(kind.into()),
            None => self.stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

impl Stream for FailingWrites {
    fn split(self, timeout: Option<Duration>) -> io::Result<Halves> {
        self.stream.set_write_timeout(timeout)?;
        let (reader, shutdown) = (self.stream.clone(), self.stream.clone());
        Ok(Halves::new(reader, self, move || shutdown.shutdown(Shutdown::Both)))
    }
}

/// A peer after its handshake, its remote, and the error of its writes from now on.
fn connected_peer(builder: ConfigBuilder) -> (Peer, ScriptedRemote<MemoryStream>, Arc<Mutex<Option<io::ErrorKind>>>) {
    let (stream, remote) = memory_pair_with_capacity(10_000);
    let error = Arc::default();
    let stream = FailingWrites { stream, error: Arc::clone(&error) };
    let peer = Peer::inbound(stream, "memory", &builder.build().unwrap()).unwrap();
    let mut remote = ScriptedRemote::new(remote, Network::Simnet);
    remote.shake_hands().unwrap();
    peer.wait_for_handshake().unwrap();
    (peer, remote, error)
}

#[test]
fn the_stream_applies_the_write_timeout() {
    let limit = Duration::from_millis(100);
    let (peer, _unread, _) = connected_peer(builder().write_timeout(limit));
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
    let (peer, _remote, error) = connected_peer(builder());
    *error.lock() = Some(io::ErrorKind::StorageFull);
    let receipt = peer.queue_message(&GetAddr::all()).unwrap();
    let reason = end_reason(&peer);
    let DisconnectReason::Io { operation: IoOperation::Write, kind: io::ErrorKind::StorageFull, .. } = reason else {
        panic!("{reason:?}")
    };
    assert!(receipt.wait().is_err());
}

#[test]
fn messages_that_arrive_after_a_failed_write_are_delivered() {
    // The reader continues for half a second, which is not configurable. So the test has several attempts to be in
    // time.
    retry_if_late([Duration::from_millis(500); 10], |_, watch| {
        let recorder = Recorder::default();
        let (peer, mut remote, error) = connected_peer(builder().listener(recorder.clone()));
        // The remote has read our verack, but the callback that reports it may not have run.
        let verack = |record: &Record| record.written.iter().any(|(command, ..)| *command == Command::VerAck);
        wait_until("the verack is written", || recorder.look(verack));
        *error.lock() = Some(io::ErrorKind::BrokenPipe);
        watch.tick();
        peer.queue_message(&GetAddr::all()).unwrap();
        // The remote sends this after our write failed, and before it closes.
        let failed = Some(&(Command::GetAddr, 25, false));
        wait_until("the write failed", || recorder.look(|record| record.written.last() == failed));
        let reject = Reject::new("getaddr", RejectCode::INVALID, "go away");
        remote.send(&reject).unwrap();
        remote.close_writing().unwrap();
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
