//! A large payload that is arriving. Memory grows with the bytes that arrive, not with the length that a header
//! announces.

use std::{
    io::{self, Read},
    mem,
};

/// How many bytes are reserved at first. Each later reservation is as large as the number of bytes that have arrived.
const FIRST_PART: usize = 32 * 1024;

/// Collects one payload.
///
/// The payload is read in parts. Each part is as large as all parts before it together, so at most twice as much memory
/// is reserved as bytes have arrived. The parts are copied into one vector when the payload is complete. If the remote
/// has sent a payload as large before, there is only one part, and nothing is copied.
pub(super) struct LargePayload {
    length: usize,
    arrived: usize,
    full: Vec<Vec<u8>>,
    part: Vec<u8>,
}

impl LargePayload {
    /// A payload of `length` bytes that starts with the bytes `begin`, which have arrived. Memory for the whole payload
    /// is reserved now if it has at most `reserve_limit` bytes.
    pub fn new(length: usize, begin: &[u8], reserve_limit: usize) -> Self {
        let room = if length <= reserve_limit { length } else { length.min(begin.len() + FIRST_PART) };
        let mut part = Vec::with_capacity(room);
        part.extend_from_slice(begin);
        Self { length, arrived: begin.len(), full: Vec::new(), part }
    }

    /// The length that the header announces, in bytes.
    pub fn length(&self) -> usize {
        self.length
    }

    /// How many bytes have arrived.
    pub fn arrived(&self) -> usize {
        self.arrived
    }

    pub fn is_complete(&self) -> bool {
        self.arrived == self.length
    }

    /// Reads until the current part is full, or until the stream ends or fails. Keeps what arrived before a failure.
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

    /// The bytes that have arrived, in one vector.
    pub fn into_bytes(self) -> Vec<u8> {
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
    fn a_payload_is_put_together_and_at_most_twice_what_arrived_is_reserved() {
        let bytes: Vec<u8> = (0..1_000_003_u32).map(|number| number as u8).collect();
        let mut payload = LargePayload::new(bytes.len(), &bytes[..100], 0);
        let mut rest = &bytes[100..];
        while !payload.is_complete() {
            let reserved = payload.full.iter().map(Vec::capacity).sum::<usize>() + payload.part.capacity();
            assert!(reserved <= 2 * payload.arrived() + 32 * 1024, "{reserved} for {}", payload.arrived());
            assert_eq!((payload.length(), payload.arrived()), (bytes.len(), bytes.len() - rest.len()));
            assert!(payload.read_from(&mut rest).unwrap() > 0);
        }
        assert!(payload.full.len() > 3);
        assert_eq!(payload.read_from(&mut b"more".as_slice()).unwrap(), 0);
        assert_eq!(payload.into_bytes(), bytes);
    }

    #[test]
    fn a_payload_up_to_the_reserve_limit_is_reserved_at_once() {
        let payload = LargePayload::new(500_000, b"start", 500_000);
        assert_eq!((payload.part.capacity(), payload.full.len()), (500_000, 0));
        let payload = LargePayload::new(500_001, b"start", 500_000);
        assert!(payload.part.capacity() < 64 * 1024);
    }

    #[test]
    fn a_stream_that_ends_leaves_what_arrived() {
        let mut payload = LargePayload::new(10, b"abc", 0);
        assert_eq!(payload.read_from(&mut b"de".as_slice()).unwrap(), 2);
        assert_eq!((payload.arrived(), payload.is_complete()), (5, false));
        assert_eq!(payload.read_from(&mut io::empty()).unwrap(), 0);
        assert_eq!(payload.into_bytes(), b"abcde");
    }
}
