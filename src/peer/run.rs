//! What is written at once: consecutive small frames, or one large one.

use super::contents::Contents;
use super::receipt::Unsent;
use crate::wire::Command;
use bytes::Bytes;

/// A run takes frames up to this size.
pub(super) const RUN_SIZE: usize = 80 * 1024;

/// Below this a run is small: worth a moment's wait for more, and its buffer not worth keeping.
pub(super) const SMALL_RUN: usize = 4 * 1024;

/// How much of a run's room is made ready at once.
const STRETCH: usize = 2 * 1024;

/// Consecutive frames.
#[derive(Debug)]
pub(super) struct Run {
    bytes: RunBytes,
    contents: Contents,
    pub messages: usize,
    /// How many of the bytes are of automatic answers.
    pub answers: usize,
    receipts: Receipts,
}

#[derive(Debug)]
enum RunBytes {
    /// Takes more.
    Frames(Buffer),
    /// One large frame.
    Large(Vec<u8>),
    /// One that other peers may send too.
    Shared(Bytes),
}

/// Who wants to know that a frame is written, and after how many bytes of the run it is.
#[derive(Debug, Default)]
pub(super) struct Receipts(Vec<(usize, Unsent)>);

impl Receipts {
    /// Tells those whose frames end within the first `written` bytes, in order.
    pub fn resolve(&mut self, written: usize) {
        let resolved = self.0.partition_point(|(end, _)| *end <= written);
        self.0.drain(..resolved).for_each(|(_, unsent)| unsent.written());
    }
}

impl Run {
    fn new(bytes: RunBytes, contents: Contents) -> Self {
        Self { bytes, contents, messages: 0, answers: 0, receipts: Receipts::default() }
    }

    /// A run without frames that takes some.
    pub fn open(Spare { buffer, contents }: Spare) -> Self {
        Self::new(RunBytes::Frames(buffer), contents)
    }

    pub fn large(command: Command, frame: Vec<u8>) -> Self {
        let contents = Contents::of(command, frame.len());
        Self::new(RunBytes::Large(frame), contents)
    }

    pub fn shared(command: Command, frame: Bytes) -> Self {
        let contents = Contents::of(command, frame.len());
        Self::new(RunBytes::Shared(frame), contents)
    }

    pub fn bytes(&self) -> &[u8] {
        match &self.bytes {
            RunBytes::Frames(buffer) => buffer.bytes(),
            RunBytes::Large(bytes) => bytes,
            RunBytes::Shared(bytes) => bytes,
        }
    }

    /// Its bytes, the frames that they are, and who wants to know of them.
    pub fn split(&mut self) -> (&[u8], &Contents, &mut Receipts) {
        let Self { bytes, contents, receipts, .. } = self;
        let bytes = match bytes {
            RunBytes::Frames(buffer) => buffer.bytes(),
            RunBytes::Large(bytes) => bytes,
            RunBytes::Shared(bytes) => bytes,
        };
        (bytes, contents, receipts)
    }

    /// Adds a small frame, if there is room.
    pub fn append(&mut self, command: Command, frame: &[u8]) -> bool {
        let RunBytes::Frames(buffer) = &mut self.bytes else { return false };
        let appended = buffer.append(frame);
        if appended {
            self.contents.add(command, frame.len());
        }
        appended
    }

    /// Counts the frame that was added last.
    pub fn count(&mut self, answers: usize, receipt: Option<Unsent>) {
        self.messages += 1;
        self.answers += answers;
        if let Some(unsent) = receipt {
            self.receipts.0.push((self.bytes().len(), unsent));
        }
    }

    /// The buffers, empty again; `None` of some not worth keeping, or that have hardly been used. Receipts that are left
    /// are told that nothing was written.
    pub fn into_spare(self) -> Option<Spare> {
        let Self { bytes, mut contents, .. } = self;
        match bytes {
            RunBytes::Frames(mut buffer) if buffer.used >= SMALL_RUN => {
                buffer.clear();
                contents.clear();
                Some(Spare { buffer, contents })
            }
            _ => None,
        }
    }
}

/// What the next run can be made of.
#[derive(Debug, Default)]
pub(super) struct Spare {
    buffer: Buffer,
    contents: Contents,
}

/// Where small frames are collected.
///
/// The writer may run on another core, which then has the buffer in its cache; and the lock under which frames are
/// added cannot be let go before every byte is back. One line of it at a time, that is most of the cost of a small
/// message. So the room is made ready in stretches, whose lines come all at once.
#[derive(Debug, Default)]
struct Buffer {
    room: Vec<u8>,
    used: usize,
}

impl Buffer {
    fn bytes(&self) -> &[u8] {
        self.room.get(..self.used).unwrap_or_default()
    }

    fn clear(&mut self) {
        self.room.clear();
        self.used = 0;
    }

    fn append(&mut self, frame: &[u8]) -> bool {
        let end = self.used + frame.len();
        if end > RUN_SIZE && self.used > 0 {
            return false;
        }
        if end > self.room.len() {
            self.make_ready(end);
        }
        match self.room.get_mut(self.used..end) {
            Some(place) => place.copy_from_slice(frame),
            // As long as a stretch itself, or the first.
            None => {
                self.room.truncate(self.used);
                self.room.extend_from_slice(frame);
            }
        }
        self.used = end;
        true
    }

    #[cold]
    fn make_ready(&mut self, end: usize) {
        // Doubling would overshoot, into sizes for which an allocator asks the system each time.
        if end > self.room.capacity() && end > RUN_SIZE / 8 {
            self.room.reserve_exact(RUN_SIZE.max(end) - self.room.len());
        }
        let ready = (self.used + STRETCH).min(RUN_SIZE);
        if self.used > 0 && end <= ready {
            self.room.resize(ready, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_follow_one_another_until_the_run_is_full() {
        let mut run = Run::open(Spare::default());
        let mut expected = Vec::new();
        for number in 0u8.. {
            let frame = vec![number; 1 + 7 * usize::from(number)];
            if !run.append(Command::Ping, &frame) {
                assert!(expected.len() <= RUN_SIZE && expected.len() + frame.len() > RUN_SIZE);
                break;
            }
            run.count(2, None);
            expected.extend_from_slice(&frame);
            assert_eq!(run.bytes(), expected);
        }
        assert!(run.messages > 100 && run.answers == 2 * run.messages);
        assert_eq!(run.split().0, expected);
    }

    #[test]
    fn a_kept_buffer_is_empty_and_has_its_room() {
        let mut run = Run::open(Spare::default());
        assert!(run.append(Command::Ping, &[1; RUN_SIZE / 2]));
        let Spare { mut buffer, .. } = run.into_spare().unwrap();
        assert!(buffer.bytes().is_empty() && buffer.room.capacity() >= RUN_SIZE / 2);
        assert!(buffer.append(&[2; 3]));
        assert_eq!(buffer.bytes(), [2; 3]);
    }

    #[test]
    fn a_small_buffer_and_a_large_frame_are_not_kept() {
        let mut run = Run::open(Spare::default());
        assert!(run.append(Command::Ping, b"frame"));
        assert!(run.into_spare().is_none());
        assert!(Run::large(Command::Ping, vec![0; RUN_SIZE]).into_spare().is_none());
        assert!(!Run::shared(Command::Ping, Bytes::new()).append(Command::Ping, b"frame"));
    }

    #[test]
    fn the_first_small_frame_takes_no_more_room_than_it_needs() {
        let mut run = Run::open(Spare::default());
        assert!(run.append(Command::Ping, &[1; 32]));
        assert!(matches!(&run.bytes, RunBytes::Frames(buffer) if buffer.room.capacity() == 32));
    }
}
