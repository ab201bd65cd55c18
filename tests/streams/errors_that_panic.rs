//! Errors of the program's streams whose text and whose destructor panic.

use crate::common::local::is_callback_panic;
use crate::common::{DEADLINE, builder};
use crossbeam_channel::{Receiver, bounded};
use kaspa_peer::peer::{Halves, IoOperation};
use kaspa_peer::wire::Command;
use kaspa_peer::{DisconnectReason, Listener, Peer};
use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::{fmt, sync::Arc};

/// An error whose destructor panics, and perhaps its `Display`.
#[derive(Debug)]
struct PanickingError {
    display: bool,
}

impl fmt::Display for PanickingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        assert!(!self.display, "displayed");
        f.write_str("failed")
    }
}

impl Error for PanickingError {}

impl Drop for PanickingError {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

fn fails<T>(display: bool) -> io::Result<T> {
    Err(io::Error::new(ErrorKind::BrokenPipe, PanickingError { display }))
}

/// A half of a stream that fails.
struct Fails {
    display: bool,
}

impl Read for Fails {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        fails(self.display)
    }
}

impl Write for Fails {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        fails(self.display)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Waits until the connection is shut down, then returns the end of the stream.
struct ReadsNothing(Receiver<()>);

impl Read for ReadsNothing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        let _ = self.0.recv();
        Ok(0)
    }
}

/// Panics when `on_write` gets an error, if `panics` is set.
struct Panics {
    panics: bool,
}

impl Listener for Panics {
    fn on_write(&self, _: &Peer, _: Command, _: usize, error: Option<&io::Error>) {
        assert!(!self.panics || error.is_none(), "on_write panicked");
    }
}

fn is_io(reason: &DisconnectReason, expected: IoOperation) -> bool {
    matches!(reason, DisconnectReason::Io { operation, kind: ErrorKind::BrokenPipe, message }
        if *operation == expected && message == "failed")
}

#[test]
fn an_error_of_the_reader_whose_text_and_destructor_panic_ends_the_peer() {
    for display in [false, true] {
        let config = builder().build().unwrap();
        let peer = Peer::inbound(Halves::new(Fails { display }, io::sink(), || {}), "memory", &config).unwrap();
        let reason = peer.wait_for_disconnect_timeout(DEADLINE).unwrap();
        if display {
            assert_eq!(reason, DisconnectReason::CallbackPanicked { message: "displayed".to_owned() });
        } else {
            assert!(is_io(&reason, IoOperation::Read), "{reason:?}");
        }
    }
}

#[test]
fn a_panic_in_on_write_and_one_in_the_destructor_of_its_error_end_the_peer() {
    for (panics, display) in [(false, false), (false, true), (true, false), (true, true)] {
        let config = builder().listener(Panics { panics }).build().unwrap();
        let (shut_down, open) = bounded(0);
        let sender = Arc::new(parking_lot::Mutex::new(Some(shut_down)));
        let halves = Halves::new(ReadsNothing(open), Fails { display }, move || drop(sender.lock().take()));
        let peer = Peer::outbound(halves, "memory", &config).unwrap();
        let reason = peer.wait_for_disconnect_timeout(DEADLINE).unwrap();
        if panics || display {
            assert!(is_callback_panic(&reason), "{reason:?}");
            let expected = if panics { "on_write panicked" } else { "displayed" };
            assert!(reason.to_string().ends_with(expected), "{reason}");
        } else {
            assert!(is_io(&reason, IoOperation::Write), "{reason:?}");
        }
    }
}
