//! The buffer into which a decoder reads: it grows while reads fill it, and shrinks when they no longer do.

/// The size at the start, which is enough for the handshake and for quiet peers.
pub(super) const FIRST_SIZE: usize = 4 * 1024;

/// The largest size to which the buffer grows when reads fill it. Only `feed` with more bytes makes it larger.
pub(super) const LARGE_SIZE: usize = 256 * 1024;

/// A large buffer shrinks after more than this many reads in a row that left it almost empty. The number is small,
/// because a remote may send next to nothing for hours after a burst.
pub(super) const QUIET_READS: u32 = 4;

/// Bytes that have arrived and are not yet taken, with free space after them.
#[derive(Default)]
pub(super) struct ReadBuffer {
    /// Zeroed memory: `origin..start` is taken, `start..end` has arrived, the rest is free.
    memory: Vec<u8>,
    /// The offset at which the buffered bytes start after they were moved to the front, see `aligned`.
    origin: usize,
    start: usize,
    end: usize,
    quiet_reads: u32,
}

impl ReadBuffer {
    /// The bytes that have arrived and are not yet taken.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        self.memory.get(self.start..self.end).unwrap_or_default()
    }

    /// How many bytes have arrived and are not yet taken.
    #[inline]
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// The size of the memory.
    #[cfg(test)]
    pub fn capacity(&self) -> usize {
        self.memory.len()
    }

    /// Takes the first `count` bytes, or all if there are fewer.
    #[inline]
    pub fn take(&mut self, count: usize) -> &[u8] {
        let start = self.start;
        self.start = self.end.min(start.saturating_add(count));
        self.memory.get(start..self.start).unwrap_or_default()
    }

    /// The free space at the end, to read into. Empty unless [`make_room`](Self::make_room) was called before.
    #[inline]
    pub fn free(&mut self) -> &mut [u8] {
        self.memory.get_mut(self.end..).unwrap_or_default()
    }

    /// Records that `count` bytes were read into the free space, which had `room` bytes. Grows or shrinks the memory if
    /// necessary.
    #[inline]
    pub fn filled(&mut self, count: usize, room: usize) {
        self.end += count;
        let large = self.memory.len() >= LARGE_SIZE;
        if count == room && !large {
            self.reallocate((2 * self.memory.len()).min(LARGE_SIZE));
        } else if large && count < FIRST_SIZE {
            self.quiet_reads += 1;
            if self.quiet_reads > QUIET_READS && self.len() < FIRST_SIZE / 2 {
                self.reallocate(FIRST_SIZE);
                self.quiet_reads = 0;
            }
        } else {
            self.quiet_reads = 0;
        }
    }

    /// Moves the bytes to the front, and makes sure that at least `room` bytes are free after them.
    #[inline]
    pub fn make_room(&mut self, room: usize) {
        if self.is_empty() {
            (self.start, self.end) = (self.origin, self.origin);
        } else if self.start > self.origin {
            self.memory.copy_within(self.start..self.end, self.origin);
            (self.start, self.end) = (self.origin, self.origin + self.len());
        }
        if self.memory.len() - self.end < room {
            self.reallocate((self.len() + self.len().max(room)).max(FIRST_SIZE));
        }
    }

    fn reallocate(&mut self, size: usize) {
        let (mut memory, origin) = aligned(size);
        let kept = self.bytes();
        let end = origin + kept.len();
        if let Some(place) = memory.get_mut(origin..end) {
            place.copy_from_slice(kept);
        }
        (self.memory, self.origin, self.start, self.end) = (memory, origin, origin, end);
    }
}

/// Zeroed memory with room for `size` bytes from the returned offset on. In large memory the offset is 128 bytes after
/// the start of a page. The allocator places large blocks 16 bytes after the start of a page, and on some processors a
/// read from a socket into that address is several times slower.
fn aligned(size: usize) -> (Vec<u8>, usize) {
    const PAGE: usize = 4096;
    const PLACE: usize = 128;
    if size < LARGE_SIZE {
        return (vec![0; size], 0);
    }
    let memory = vec![0; size + PAGE];
    let origin = (PAGE + PLACE - memory.as_ptr().addr() % PAGE) % PAGE;
    (memory, origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `count` bytes. The buffer must have room for them.
    fn read(buffer: &mut ReadBuffer, count: usize) {
        buffer.make_room(1);
        let room = buffer.free().len();
        buffer.free()[..count].fill(7);
        buffer.filled(count, room);
    }

    #[test]
    fn the_buffer_doubles_while_reads_fill_it_and_shrinks_after_quiet_reads() {
        let mut buffer = ReadBuffer::default();
        let mut size = FIRST_SIZE;
        while size < LARGE_SIZE {
            read(&mut buffer, 1);
            assert_eq!(buffer.take(1), [7]);
            assert_eq!(buffer.capacity(), size);
            read(&mut buffer, size);
            size *= 2;
            assert!((size..size + 2 * 4096).contains(&buffer.capacity()), "{}", buffer.capacity());
            assert_eq!(buffer.take(size).len(), size / 2);
        }
        for _ in 0..QUIET_READS {
            read(&mut buffer, FIRST_SIZE - 1);
            buffer.take(FIRST_SIZE);
        }
        // A busy read in between starts the count again.
        read(&mut buffer, FIRST_SIZE);
        buffer.take(FIRST_SIZE);
        for _ in 0..QUIET_READS {
            assert!(buffer.capacity() >= LARGE_SIZE);
            read(&mut buffer, 1);
        }
        read(&mut buffer, 1);
        assert_eq!(buffer.capacity(), FIRST_SIZE);
        assert_eq!(buffer.bytes(), [7; QUIET_READS as usize + 1], "what has arrived is kept");
    }

    #[test]
    fn large_memory_starts_128_bytes_into_a_page() {
        let (memory, origin) = aligned(LARGE_SIZE);
        assert_eq!((memory.as_ptr().addr() + origin) % 4096, 128);
        assert!(memory.len() - origin >= LARGE_SIZE);
    }

    #[test]
    fn bytes_are_moved_to_the_front_before_the_memory_grows() {
        let mut buffer = ReadBuffer::default();
        read(&mut buffer, FIRST_SIZE - 10);
        assert_eq!(buffer.take(FIRST_SIZE - 30).len(), FIRST_SIZE - 30);
        buffer.make_room(FIRST_SIZE - 20);
        assert_eq!((buffer.capacity(), buffer.free().len()), (FIRST_SIZE, FIRST_SIZE - 20));
        assert_eq!(buffer.bytes(), [7; 20]);
        buffer.make_room(FIRST_SIZE);
        assert!(buffer.free().len() >= FIRST_SIZE);
        assert_eq!(buffer.bytes(), [7; 20]);
    }
}
