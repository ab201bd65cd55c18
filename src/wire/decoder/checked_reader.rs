//! Protects the decoder from streams that break the rules of [`Read`] or that are interrupted again and again.

use std::io::{self, ErrorKind, Read};

/// Wraps a stream for functions of the standard library such as [`Read::read_to_end`]. They panic if a stream claims to
/// have read more bytes than fit the buffer, and retry for ever if every read is interrupted.
pub(super) struct CheckedReader<'a, R: ?Sized> {
    source: &'a mut R,
    interruption: Option<io::Error>,
}

impl<'a, R: ?Sized> CheckedReader<'a, R> {
    pub fn new(source: &'a mut R) -> Self {
        Self { source, interruption: None }
    }

    /// Returns the result of a read of `count` bytes. If `count` is 0 because the stream was interrupted, this is the
    /// error of the interruption.
    #[inline]
    pub fn check(&mut self, count: usize) -> io::Result<usize> {
        match self.interruption.take() {
            Some(error) if count == 0 => Err(error),
            _ => Ok(count),
        }
    }
}

impl<R: Read + ?Sized> Read for CheckedReader<'_, R> {
    /// Returns `Ok(0)` if the stream is interrupted, so that `read_to_end` returns. [`check`](CheckedReader::check)
    /// then distinguishes an interruption from the end of the stream.
    #[inline]
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.source.read(into) {
            Ok(count) => check_count(count, into.len()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                self.interruption = Some(error);
                Ok(0)
            }
            Err(error) => Err(error),
        }
    }
}

/// Fails if a stream claims to have read `count` bytes into a buffer of only `room` bytes.
#[inline]
pub(super) fn check_count(count: usize, room: usize) -> io::Result<usize> {
    if count <= room {
        return Ok(count);
    }
    let message = "the stream claims to have given more bytes than it was asked for";
    Err(io::Error::new(ErrorKind::InvalidData, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns its bytes. After that, every read is interrupted.
    struct Interrupted<'a>(&'a [u8]);

    impl Read for Interrupted<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() { Err(ErrorKind::Interrupted.into()) } else { self.0.read(into) }
        }
    }

    #[test]
    fn an_interruption_ends_read_to_end_and_is_reported_only_if_nothing_was_read() {
        for (bytes, expected) in [(b"abc".as_slice(), Ok(3)), (b"", Err(ErrorKind::Interrupted))] {
            let mut source = Interrupted(bytes);
            let mut checked = CheckedReader::new(&mut source);
            let count = checked.read_to_end(&mut Vec::new()).unwrap();
            assert_eq!(checked.check(count).map_err(|error| error.kind()), expected);
        }
    }

    #[test]
    fn the_end_of_a_stream_is_no_interruption() {
        let mut source = io::empty();
        let mut checked = CheckedReader::new(&mut source);
        let count = checked.read(&mut [0; 8]).unwrap();
        assert_eq!(checked.check(count).unwrap(), 0);
    }
}
