//! A capture of the connection in memory.

use super::connection::NETWORK;
use super::record::Record;
use crate::peer::fuzzing::Choices;
use crate::peer::{Capture, CaptureReader, Captured as Event};
use parking_lot::Mutex;
use std::io::{self, Write};
use std::sync::Arc;

/// The captured bytes.
#[derive(Debug)]
pub(super) struct Captured {
    bytes: Arc<Mutex<Vec<u8>>>,
    /// How many bytes the output accepts.
    room: usize,
}

impl Captured {
    pub fn new(choices: &mut Choices<'_>) -> Self {
        Self { bytes: Arc::default(), room: choices.of(&[usize::MAX, 12, 100]) }
    }

    /// A new capture. `None` if the system has no thread for it.
    pub fn capture(&self) -> Option<Capture> {
        Capture::new(Sink { bytes: Arc::clone(&self.bytes), room: self.room }, NETWORK, u64::MAX).ok()
    }

    /// The capture is dropped, so everything is written. The remote has received `messages`.
    pub fn check(&self, record: &Record, messages: usize) {
        let bytes = self.bytes.lock();
        if bytes.is_empty() {
            return;
        }
        let events: Result<Vec<Event>, io::Error> = CaptureReader::new(&bytes[..])
            .and_then(|reader| reader.map(|event| event.map(|event| event.what)).collect());
        let events = match events {
            Ok(events) => events,
            Err(error) => return record.check(self.room < usize::MAX, || format!("the capture is damaged: {error}")),
        };
        if self.room < usize::MAX {
            return;
        }
        let starts = matches!(events.first(), Some(Event::Connected(_)));
        let ends = matches!(events.last(), Some(Event::Gone(_)));
        record.check(starts && ends, || "the capture lacks the start or the end".into());
        let count = |is: fn(&Event) -> bool| events.iter().filter(|event| is(event)).count();
        let gone = count(|event| matches!(event, Event::Gone(_)));
        record.check(gone == 1, || format!("the connection ended {gone} times"));
        let sent = count(|event| matches!(event, Event::Sent(_)));
        // After a panic in `on_write` the frames of that write are not captured.
        let fits = if record.causes.lock().panics { sent <= messages } else { sent == messages };
        record.check(fits, || format!("{messages} messages were received and {sent} captured"));
    }
}

struct Sink {
    bytes: Arc<Mutex<Vec<u8>>>,
    room: usize,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut kept = self.bytes.lock();
        let count = bytes.len().min(self.room - kept.len());
        kept.extend_from_slice(&bytes[..count]);
        if count == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(count) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
