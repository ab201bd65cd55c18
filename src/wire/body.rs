//! A large payload on its way: memory grows with what arrives, whatever length was claimed.

use std::{
    io::{self, Read},
    mem,
};

/// The first reservation; later ones are as large as what has arrived.
const FIRST_PART: usize = 32 * 1024;

/// Collects one payload.
///
/// It comes in parts, each as large as all before it, and is put together when it is whole: so there is never more than
/// twice of what arrived. Only a remote that has sent such a payload before gets a single part, which saves the copy.
pub(super) struct Body {
    length: usize,
    arrived: usize,
    full: Vec<Vec<u8>>,
    part: Vec<u8>,
}

impl Body {
    /// A payload of `length` bytes that starts with `begin`; up to `earned` bytes are reserved at once.
    pub fn new(length: usize, begin: &[u8], earned: usize) -> Self {
        let room = if length <= earned { length } else { length.min(begin.len() + FIRST_PART) };
        let mut part = Vec::with_capacity(room);
        part.extend_from_slice(begin);
        Self { length, arrived: begin.len(), full: Vec::new(), part }
    }

    /// How long the payload is said to be.
    pub fn length(&self) -> usize {
        self.length
    }

    /// How much of it is there.
    pub fn arrived(&self) -> usize {
        self.arrived
    }

    pub fn is_whole(&self) -> bool {
        self.arrived == self.length
    }

    /// Reads until the part is full or the stream ends or fails; what came stays.
    pub fn read_from<R: Read + ?Sized>(&mut self, source: &mut R) -> io::Result<usize> {
        let missing = self.length - self.arrived;
        if self.part.len() == self.part.capacity() {
            let next = Vec::with_capacity(missing.min(self.arrived.max(FIRST_PART)));
            self.full.push(mem::replace(&mut self.part, next));
        }
        let before = self.part.len();
        let room = (self.part.capacity() - before).min(missing);
        let result = source.take(room as u64).read_to_end(&mut self.part);
        let count = self.part.len() - before;
        self.arrived += count;
        result.map(|_| count)
    }

    /// The payload.
    pub fn into_payload(self) -> Vec<u8> {
        if self.full.is_empty() {
            return self.part;
        }
        let mut payload = Vec::with_capacity(self.arrived);
        for part in self.full.into_iter().chain([self.part]) {
            payload.extend_from_slice(&part);
        }
        payload
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_arrives_is_put_together_and_never_more_than_that_is_reserved() {
        let bytes: Vec<u8> = (0..1_000_003_u32).map(|number| number as u8).collect();
        let mut body = Body::new(bytes.len(), &bytes[..100], 0);
        let mut rest = &bytes[100..];
        while !body.is_whole() {
            let reserved = body.full.iter().map(Vec::capacity).sum::<usize>() + body.part.capacity();
            assert!(reserved <= 2 * body.arrived() + 32 * 1024, "{reserved} for {}", body.arrived());
            assert_eq!((body.length(), body.arrived()), (bytes.len(), bytes.len() - rest.len()));
            assert!(body.read_from(&mut rest).unwrap() > 0);
        }
        assert!(body.full.len() > 3);
        assert_eq!(body.read_from(&mut b"more".as_slice()).unwrap(), 0);
        assert_eq!(body.into_payload(), bytes);
    }

    #[test]
    fn what_was_earned_is_reserved_at_once() {
        let body = Body::new(500_000, b"start", 500_000);
        assert_eq!((body.part.capacity(), body.full.len()), (500_000, 0));
        let body = Body::new(500_001, b"start", 500_000);
        assert!(body.part.capacity() < 64 * 1024);
    }

    #[test]
    fn a_stream_that_ends_leaves_what_came() {
        let mut body = Body::new(10, b"abc", 0);
        assert_eq!(body.read_from(&mut b"de".as_slice()).unwrap(), 2);
        assert_eq!((body.arrived(), body.is_whole()), (5, false));
        assert_eq!(body.read_from(&mut io::empty()).unwrap(), 0);
        assert_eq!(body.into_payload(), b"abcde");
    }
}
