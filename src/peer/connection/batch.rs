//! A batch: consecutive small frames, or one large frame, that are written together.

use super::frame_sizes::FrameList;
use crate::wire::Command;
use bytes::Bytes;

/// The size in bytes up to which small frames are added to a batch.
pub(in crate::peer) const BATCH_SIZE: usize = 80 * 1024;

/// A batch below this size in bytes is small: the writer gives senders a moment to add more, and does not keep its
/// buffer.
pub(in crate::peer) const SMALL_BATCH: usize = 4 * 1024;

/// How many bytes of a batch's buffer are zeroed ahead of the frames.
const ZEROED_AHEAD: usize = 2 * 1024;

/// Consecutive frames that are written together.
#[derive(Debug)]
pub(in crate::peer) struct Batch {
    bytes: BatchBytes,
    frames: FrameList,
    pub messages: usize,
    /// How many of the bytes belong to automatic answers.
    pub answer_bytes: usize,
    /// `true` if each message has a position, see `send_progress`. Messages of the handshake have none.
    pub has_positions: bool,
}

#[derive(Debug)]
enum BatchBytes {
    /// Small frames; more can be added.
    Small(Buffer),
    /// One large frame.
    Large(Vec<u8>),
    /// One large frame whose bytes belong to a `Frame` of the program, and may be queued by several peers.
    Shared(Bytes),
}

impl Batch {
    fn new(bytes: BatchBytes, frames: FrameList, has_positions: bool) -> Self {
        Self { bytes, frames, messages: 0, answer_bytes: 0, has_positions }
    }

    /// An empty batch for small frames.
    pub fn small(SpareBuffer { buffer, frames }: SpareBuffer, has_positions: bool) -> Self {
        Self::new(BatchBytes::Small(buffer), frames, has_positions)
    }

    pub fn large(command: Command, frame: Vec<u8>, has_positions: bool) -> Self {
        let frames = FrameList::of(command, frame.len());
        Self::new(BatchBytes::Large(frame), frames, has_positions)
    }

    pub fn shared(command: Command, frame: Bytes, has_positions: bool) -> Self {
        let frames = FrameList::of(command, frame.len());
        Self::new(BatchBytes::Shared(frame), frames, has_positions)
    }

    pub fn bytes(&self) -> &[u8] {
        match &self.bytes {
            BatchBytes::Small(buffer) => buffer.bytes(),
            BatchBytes::Large(bytes) => bytes,
            BatchBytes::Shared(bytes) => bytes,
        }
    }

    /// The frames that its bytes consist of.
    pub fn frames(&self) -> &FrameList {
        &self.frames
    }

    /// Adds a small frame. Returns `false` if the batch is full, holds a large frame, or has another `has_positions`.
    pub fn append(&mut self, command: Command, frame: &[u8], has_positions: bool) -> bool {
        let BatchBytes::Small(buffer) = &mut self.bytes else { return false };
        let appended = self.has_positions == has_positions && buffer.append(frame);
        if appended {
            self.frames.add(command, frame.len());
        }
        appended
    }

    /// Counts the frame that was added last, of which `answer_bytes` belong to an automatic answer.
    pub fn add_message(&mut self, answer_bytes: usize) {
        self.messages += 1;
        self.answer_bytes += answer_bytes;
    }

    /// The batch's buffers, emptied, for a later batch. `None` if the batch was small or held a large frame, because
    /// such buffers are not worth keeping.
    pub fn into_spare(self) -> Option<SpareBuffer> {
        let Self { bytes, mut frames, .. } = self;
        match bytes {
            BatchBytes::Small(mut buffer) if buffer.used >= SMALL_BATCH => {
                buffer.clear();
                frames.clear();
                Some(SpareBuffer { buffer, frames })
            }
            _ => None,
        }
    }
}

/// Buffers of a batch that was written, for a later one.
#[derive(Debug, Default)]
pub(in crate::peer) struct SpareBuffer {
    buffer: Buffer,
    frames: FrameList,
}

/// The bytes of small frames.
///
/// The writer thread may run on another core, which then has the buffer in its cache. Appending one frame at a time
/// would fetch one cache line at a time, under the queue's lock. Zeroing [`ZEROED_AHEAD`] bytes after the last frame
/// fetches many lines at once.
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
        if end > BATCH_SIZE && self.used > 0 {
            return false;
        }
        if end > self.room.len() {
            self.zero_ahead(end);
        }
        match self.room.get_mut(self.used..end) {
            Some(place) => place.copy_from_slice(frame),
            // This is the first frame, or a frame that is longer than the zeroed bytes.
            None => {
                self.room.truncate(self.used);
                self.room.extend_from_slice(frame);
            }
        }
        self.used = end;
        true
    }

    #[cold]
    fn zero_ahead(&mut self, end: usize) {
        let ready = (self.used + ZEROED_AHEAD).min(BATCH_SIZE);
        // Otherwise the vector would double its capacity past the batch size, and the allocator would request memory
        // from the system for each buffer.
        if end.max(ready) > self.room.capacity() && end > BATCH_SIZE / 8 {
            self.room.reserve_exact(BATCH_SIZE.max(end) - self.room.len());
        }
        if self.used > 0 && end <= ready {
            self.room.resize(ready, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Batch {
        Batch::small(SpareBuffer::default(), true)
    }

    #[test]
    fn frames_are_appended_until_the_batch_is_full() {
        let mut batch = small();
        let mut expected = Vec::new();
        for number in 0u8.. {
            let frame = vec![number; 1 + 7 * usize::from(number)];
            if !batch.append(Command::Ping, &frame, true) {
                assert!(expected.len() <= BATCH_SIZE && expected.len() + frame.len() > BATCH_SIZE);
                break;
            }
            batch.add_message(2);
            expected.extend_from_slice(&frame);
            assert_eq!(batch.bytes(), expected);
        }
        assert!(batch.messages > 100 && batch.answer_bytes == 2 * batch.messages);
    }

    #[test]
    fn messages_with_and_without_positions_do_not_share_a_batch() {
        let mut batch = small();
        assert!(batch.append(Command::Ping, b"frame", true));
        assert!(!batch.append(Command::VerAck, b"frame", false));
    }

    #[test]
    fn a_spare_buffer_is_empty_and_keeps_its_capacity() {
        let mut batch = small();
        assert!(batch.append(Command::Ping, &[1; BATCH_SIZE / 2], true));
        let SpareBuffer { mut buffer, .. } = batch.into_spare().unwrap();
        assert!(buffer.bytes().is_empty() && buffer.room.capacity() >= BATCH_SIZE / 2);
        assert!(buffer.append(&[2; 3]));
        assert_eq!(buffer.bytes(), [2; 3]);
    }

    #[test]
    fn small_buffers_and_large_frames_are_not_kept() {
        let mut batch = small();
        assert!(batch.append(Command::Ping, b"frame", true));
        assert!(batch.into_spare().is_none());
        assert!(Batch::large(Command::Ping, vec![0; BATCH_SIZE], true).into_spare().is_none());
        assert!(!Batch::shared(Command::Ping, Bytes::new(), true).append(Command::Ping, b"frame", true));
    }

    #[test]
    fn the_buffer_of_a_batch_that_grows_has_no_more_than_the_size_of_a_batch() {
        for size in [24, 32, 100, 274, 3000, 30_000] {
            let mut batch = small();
            while batch.append(Command::Ping, &vec![1; size], true) {}
            let BatchBytes::Small(buffer) = &batch.bytes else { panic!("a small batch") };
            assert!(buffer.room.capacity() <= BATCH_SIZE, "{} bytes in frames of {size}", buffer.room.capacity());
        }
    }

    #[test]
    fn the_first_small_frame_allocates_exactly_its_size() {
        let mut batch = small();
        assert!(batch.append(Command::Ping, &[1; 32], true));
        assert!(matches!(&batch.bytes, BatchBytes::Small(buffer) if buffer.room.capacity() == 32));
    }
}
