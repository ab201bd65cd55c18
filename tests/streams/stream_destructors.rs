//! Streams of the program whose parts panic when they are dropped.

use crate::common::local::is_callback_panic;
use crate::common::recorder::Recorder;
use crate::common::{DEADLINE, builder};
use kaspa_peer::peer::Halves;
use kaspa_peer::testing::{MemoryStream, ScriptedRemote, memory_pair};
use kaspa_peer::wire::{FeeFilter, Network};
use kaspa_peer::{DisconnectReason, Peer, WaitError};
use std::io::{self, Read, Write};
use std::net::Shutdown;

/// Panics when it is dropped.
struct PanicsOnDrop;

impl Drop for PanicsOnDrop {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

/// Half of a stream, and something that is dropped with it.
struct Half<T>(MemoryStream, Option<T>);

impl<T> Read for Half<T> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

impl<T> Write for Half<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// A peer after its handshake with such halves, its listener, and its remote.
fn connected(
    in_reader: Option<PanicsOnDrop>,
    in_writer: Option<PanicsOnDrop>,
    shutdown: impl FnOnce(MemoryStream) -> Box<dyn Fn() + Send + Sync>,
) -> (Peer, Recorder, ScriptedRemote<MemoryStream>) {
    let (ours, theirs) = memory_pair();
    let recorder = Recorder::default();
    let halves = Halves::new(Half(ours.clone(), in_reader), Half(ours.clone(), in_writer), shutdown(ours));
    let config = builder().listener(recorder.clone()).build().unwrap();
    let peer = Peer::inbound(halves, "memory", &config).unwrap();
    let mut remote = ScriptedRemote::new(theirs, Network::Simnet);
    remote.shake_hands().unwrap();
    peer.wait_for_handshake().unwrap();
    (peer, recorder, remote)
}

fn shuts_down(stream: MemoryStream) -> Box<dyn Fn() + Send + Sync> {
    Box::new(move || stream.shutdown(Shutdown::Both))
}

#[test]
fn halves_that_panic_when_they_are_dropped_do_not_prevent_the_end() {
    for (in_reader, in_writer) in [(true, false), (false, true), (true, true)] {
        let panics = |panics: bool| panics.then(|| PanicsOnDrop);
        let (peer, recorder, _remote) = connected(panics(in_reader), panics(in_writer), shuts_down);
        peer.disconnect();
        assert_eq!(peer.wait_for_disconnect_timeout(DEADLINE), Ok(DisconnectReason::Local));
        assert_eq!(recorder.look(|record| record.disconnects.clone()), [DisconnectReason::Local]);
    }
}

#[test]
fn a_writer_that_panics_when_it_is_dropped_after_an_error_does_not_prevent_the_end() {
    let (peer, recorder, remote) = connected(None, Some(PanicsOnDrop), shuts_down);
    let remote = remote.into_stream();
    remote.shutdown(Shutdown::Read);
    let receipt = peer.queue_message(&FeeFilter { min_fee: 1 }).unwrap();
    let reason = peer.wait_for_disconnect_timeout(DEADLINE).unwrap();
    assert!(is_callback_panic(&reason), "{reason}");
    assert_eq!(receipt.wait_timeout(DEADLINE), Err(WaitError::Closed(reason.clone())));
    assert_eq!(recorder.look(|record| record.disconnects.clone()), [reason]);
}

#[test]
fn a_shutdown_closure_that_panics_when_it_is_called_and_when_it_is_dropped_does_not_prevent_the_end() {
    let (peer, recorder, _remote) = connected(None, None, |stream| {
        let owned = PanicsOnDrop;
        Box::new(move || {
            let _ = &owned;
            stream.shutdown(Shutdown::Both);
            panic!("called");
        })
    });
    peer.disconnect();
    assert_eq!(peer.wait_for_disconnect_timeout(DEADLINE), Ok(DisconnectReason::Local));
    assert_eq!(recorder.look(|record| record.disconnects.clone()), [DisconnectReason::Local]);
}
