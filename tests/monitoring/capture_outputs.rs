//! Captures whose output fails, panics, blocks, or uses the capture itself.

use crate::common::blocking::Gate;
use crate::common::local::connected_pair;
use crate::common::memory_file::{MemoryFile, records};
use crate::common::{DEADLINE, builder, wait_until};
use kaspa_peer::Peer;
use kaspa_peer::peer::{Capture, Captured};
use kaspa_peer::wire::{CustomMessage, FeeFilter, Network};
use parking_lot::Mutex;
use std::error::Error;
use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;

fn capture_to(out: impl Write + Send + 'static) -> Capture {
    Capture::new(out, Network::Simnet, u64::MAX).unwrap()
}

/// Calls a closure for every write.
struct OnWrite<F>(F);

impl<F: FnMut(&[u8]) -> io::Result<()> + Send> Write for OnWrite<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (self.0)(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Has room for the first bytes of a file, and for nothing else.
fn full_disk() -> impl Write + Send + 'static {
    let mut writes = 0;
    OnWrite(move |_: &[u8]| {
        writes += 1;
        if writes > 1 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    })
}

/// Starts and ends a peer, so that a capture has something to record.
fn record_a_peer(capture: &Capture) {
    let (out, inb) = connected_pair(builder().capture(capture.clone()), builder());
    out.peer.ping().unwrap();
    out.peer.disconnect();
    out.peer.wait_for_disconnect().unwrap();
    inb.peer.wait_for_disconnect().unwrap();
}

/// Sends so much that it does not fit into the buffer of a capture.
fn send_12_mib(peer: &Peer) {
    let message = CustomMessage::new("large", vec![0; 1 << 20]).unwrap();
    (0..12).for_each(|_| drop(peer.send_message(&message, DEADLINE).unwrap()));
    peer.ping_timeout(DEADLINE).unwrap();
}

#[test]
fn a_capture_whose_output_failed_continues_in_another() {
    let capture = capture_to(full_disk());
    record_a_peer(&capture);
    wait_until("the output has failed", || capture.is_stopped());
    for _ in 0..2 {
        assert_eq!(capture.flush().unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
    let good = MemoryFile::default();
    capture.continue_in(good.clone()).unwrap();
    assert!(!capture.is_stopped());
    record_a_peer(&capture);
    capture.flush().unwrap();
    assert_eq!(capture.written(), good.0.lock().len() as u64);
    assert!(matches!(records(&good).last(), Some(Captured::Gone(_))));
}

#[test]
fn an_output_that_cannot_be_begun_changes_nothing() {
    let file = MemoryFile::default();
    let capture = capture_to(file.clone());
    let bad = OnWrite(|_: &[u8]| Err(io::ErrorKind::PermissionDenied.into()));
    assert_eq!(capture.continue_in(bad).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    record_a_peer(&capture);
    assert!(matches!(records(&file).last(), Some(Captured::Gone(_))));
}

#[test]
fn an_output_that_panics_stops_the_capture_and_no_peer() {
    let mut writes = 0;
    let capture = capture_to(OnWrite(move |_: &[u8]| {
        writes += 1;
        assert!(writes == 1, "the disk is on fire");
        Ok(())
    }));
    let (out, _inb) = connected_pair(builder().capture(capture.clone()), builder());
    out.peer.ping().unwrap();
    wait_until("the output has panicked", || capture.is_stopped());
    assert!(capture.flush().unwrap_err().to_string().contains("the disk is on fire"));
    out.peer.ping().unwrap();
    assert_eq!(out.peer.disconnect_reason(), None);
}

#[test]
fn an_error_of_the_output_can_use_the_capture_and_panic() {
    /// An error that uses the capture when its text is asked for, and then panics.
    struct Rude(Arc<OnceLock<Capture>>);

    impl fmt::Debug for Rude {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Rude")
        }
    }

    impl fmt::Display for Rude {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("{} bytes are recorded", self.0.get().unwrap().written());
        }
    }

    impl Error for Rude {}

    let own = Arc::new(OnceLock::<Capture>::new());
    let capture = {
        let (own, mut writes) = (own.clone(), 0);
        capture_to(OnWrite(move |_: &[u8]| {
            writes += 1;
            if writes > 1 { Err(io::Error::new(io::ErrorKind::StorageFull, Rude(own.clone()))) } else { Ok(()) }
        }))
    };
    own.set(capture.clone()).unwrap();
    let (out, _inb) = connected_pair(builder().capture(capture.clone()), builder());
    out.peer.ping_timeout(DEADLINE).unwrap();
    let (flushed, result) = mpsc::channel();
    let flushing = capture.clone();
    thread::spawn(move || flushed.send(flushing.flush()));
    let error = result.recv_timeout(DEADLINE).unwrap().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert!(error.to_string().contains("bytes are recorded"), "{error}");
    assert!(capture.is_stopped());
    out.peer.ping_timeout(DEADLINE).unwrap();
    out.peer.disconnect();
    out.peer.wait_for_disconnect_timeout(DEADLINE).unwrap();
}

#[test]
fn an_output_can_use_its_own_capture() {
    type Seen = (u64, bool, io::ErrorKind);

    let own = Arc::new(OnceLock::<Capture>::new());
    let (seen, seen_by_output) = mpsc::channel::<Seen>();
    let (second, rotated) = (MemoryFile::default(), MemoryFile::default());
    let capture = {
        let (own, first, next) = (own.clone(), second.clone(), rotated.clone());
        capture_to(OnWrite(move |bytes: &[u8]| {
            first.clone().write_all(bytes)?;
            if let Some(capture) = own.get() {
                let error = capture.flush().unwrap_err().kind();
                let _ = seen.send((capture.written(), capture.is_stopped(), error));
                capture.continue_in(next.clone())?;
            }
            Ok(())
        }))
    };
    own.set(capture.clone()).unwrap();
    record_a_peer(&capture);
    let (written, is_stopped, error) = seen_by_output.recv_timeout(DEADLINE).unwrap();
    assert!(written > 12 && !is_stopped);
    assert_eq!(error, io::ErrorKind::Deadlock);
    record_a_peer(&capture);
    assert!(matches!(records(&second).first(), Some(Captured::Connected(_))));
    assert!(matches!(records(&rotated).last(), Some(Captured::Gone(_))));
}

#[test]
fn an_output_that_blocks_stops_no_peer_for_ever() {
    let (gate, file) = (Gate::default(), MemoryFile::default());
    let capture = {
        let (gate, mut file, mut writes) = (gate.clone(), file.clone(), 0);
        capture_to(OnWrite(move |bytes: &[u8]| {
            writes += 1;
            if writes > 1 {
                gate.pass();
            }
            file.write_all(bytes)
        }))
    };
    let (out, inb) = connected_pair(builder().capture(capture.clone()), builder());
    send_12_mib(&out.peer);
    assert!(capture.dropped() > 0, "{capture:?}");
    assert!(!capture.is_stopped());
    out.peer.disconnect();
    out.peer.wait_for_disconnect_timeout(DEADLINE).unwrap();
    inb.peer.wait_for_disconnect_timeout(DEADLINE).unwrap();

    gate.open();
    capture.flush().unwrap();
    assert_eq!(capture.written(), file.0.lock().len() as u64);
    let before = records(&file).len();
    record_a_peer(&capture);
    let records = records(&file);
    assert!(matches!(records[before], Captured::Connected(_)), "the capture goes on");
    assert!(matches!(records.last(), Some(Captured::Gone(_))));
}

#[test]
fn records_are_written_although_nothing_follows() {
    let file = MemoryFile::default();
    let capture = capture_to(file.clone());
    let (out, _inb) = connected_pair(builder().capture(capture.clone()), builder());
    out.peer.ping().unwrap();
    let written = || file.0.lock().len() as u64;
    wait_until("the capture's thread has written everything", || written() > 12 && written() == capture.written());
    assert_eq!(out.peer.disconnect_reason(), None);
}

#[test]
fn the_last_clone_writes_what_is_left() {
    /// A file, and whether it was dropped.
    struct Closed(MemoryFile, Arc<Mutex<bool>>);

    impl Write for Closed {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Drop for Closed {
        fn drop(&mut self) {
            *self.1.lock() = true;
        }
    }

    let (file, closed) = (MemoryFile::default(), Arc::default());
    let capture = capture_to(Closed(file.clone(), Arc::clone(&closed)));
    let clone = capture.clone();
    thread::spawn(move || record_a_peer(&clone)).join().unwrap();
    assert!(!*closed.lock());
    drop(capture);
    assert!(*closed.lock());
    assert!(matches!(records(&file).last(), Some(Captured::Gone(_))));
}

#[test]
fn flush_waits_for_what_was_recorded() {
    let file = MemoryFile::default();
    let capture = capture_to(file.clone());
    let (out, _inb) = connected_pair(builder().capture(capture.clone()), builder());
    for min_fee in 0..100 {
        out.peer.queue_message(&FeeFilter { min_fee }).unwrap();
        let recorded = capture.written();
        capture.flush().unwrap();
        assert!(file.0.lock().len() as u64 >= recorded);
    }
}
