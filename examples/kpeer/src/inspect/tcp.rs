//! One direction of a TCP connection, put together from its segments.

use std::collections::BTreeMap;

/// How many bytes may wait for a segment before them. Then that is taken for missing.
pub const MAX_WAITING: usize = 4 << 20;

/// The memory that a waiting segment takes besides its bytes, so that many small ones are bounded too.
const SEGMENT_OVERHEAD: usize = 100;

/// The next part of a stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    Bytes(Vec<u8>),
    /// The number of consecutive bytes that were not recorded.
    Gap(u64),
}

/// How often something was seen that a stream does not show.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Oddities {
    /// Segments of which all bytes had been seen before.
    pub again: u64,
    /// Segments that came before one that precedes them.
    pub early: u64,
    /// Bytes that were not recorded.
    pub missing: u64,
}

/// The bytes of one direction.
#[derive(Default)]
pub struct Direction {
    /// The position of the next byte; positions count from 2³², so that they never are negative.
    next: Option<u64>,
    /// Bytes after a gap, by their position.
    waiting: BTreeMap<u64, Vec<u8>>,
    waiting_bytes: usize,
    /// The position of the end, if a FIN was seen.
    end: Option<u64>,
    pub oddities: Oddities,
}

/// The positions of a stream begin here.
const ORIGIN: u64 = 1 << 32;

impl Direction {
    /// `true` if any segment was seen.
    pub fn has_begun(&self) -> bool {
        self.next.is_some()
    }

    /// `true` if the stream begins after a SYN with this number, and no byte was seen yet.
    pub fn begins_after(&self, sequence: u32) -> bool {
        self.next == Some(ORIGIN + u64::from(sequence) + 1)
    }

    /// How much memory it holds.
    pub fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// `true` if everything up to the FIN was seen.
    pub fn has_ended(&self) -> bool {
        self.end.is_some_and(|end| self.next.is_some_and(|next| next >= end))
    }

    /// The position of a sequence number: the one that is closest to the next byte.
    fn position(&mut self, sequence: u32) -> u64 {
        let next = *self.next.get_or_insert(ORIGIN + u64::from(sequence));
        let ahead = sequence.wrapping_sub(next as u32).cast_signed();
        next.saturating_add_signed(i64::from(ahead))
    }

    /// Takes a SYN: the stream begins after it.
    pub fn begin(&mut self, sequence: u32) {
        self.next.get_or_insert(ORIGIN + u64::from(sequence) + 1);
    }

    /// Takes a segment, and returns what can be read now.
    pub fn add(&mut self, sequence: u32, payload: Vec<u8>, fin: bool) -> Vec<Piece> {
        let start = self.position(sequence);
        let end = start + payload.len() as u64;
        if fin {
            self.end.get_or_insert(end);
        }
        let next = self.next.unwrap_or(start);
        if payload.is_empty() {
            return Vec::new();
        }
        if end <= next {
            self.oddities.again += 1;
            return Vec::new();
        }
        let mut pieces = Vec::new();
        if start > next {
            self.oddities.early += 1;
            self.keep(start, payload);
            while self.waiting_bytes > MAX_WAITING {
                pieces.extend(self.skip_gap());
            }
            return pieces;
        }
        self.deliver(start, payload, &mut pieces);
        self.deliver_waiting(&mut pieces);
        pieces
    }

    fn keep(&mut self, start: u64, payload: Vec<u8>) {
        let length = payload.len();
        match self.waiting.get(&start) {
            Some(known) if known.len() >= length => self.oddities.again += 1,
            _ => {
                self.waiting_bytes += length + SEGMENT_OVERHEAD;
                if let Some(shorter) = self.waiting.insert(start, payload) {
                    self.waiting_bytes -= shorter.len() + SEGMENT_OVERHEAD;
                }
            }
        }
    }

    /// Appends the bytes that are new. `start` is not after the next byte.
    fn deliver(&mut self, start: u64, mut payload: Vec<u8>, pieces: &mut Vec<Piece>) {
        let next = self.next.unwrap_or(start);
        let end = start + payload.len() as u64;
        if end <= next {
            return;
        }
        let known = usize::try_from(next - start).unwrap_or(usize::MAX).min(payload.len());
        payload.drain(..known);
        self.next = Some(end);
        pieces.push(Piece::Bytes(payload));
    }

    fn deliver_waiting(&mut self, pieces: &mut Vec<Piece>) {
        while let Some(entry) = self.waiting.first_entry()
            && Some(*entry.key()) <= self.next
        {
            let (start, payload) = entry.remove_entry();
            self.waiting_bytes -= payload.len() + SEGMENT_OVERHEAD;
            self.deliver(start, payload, pieces);
        }
    }

    /// Gives up the bytes before those that wait.
    fn skip_gap(&mut self) -> Vec<Piece> {
        let mut pieces = Vec::new();
        if let Some((start, _)) = self.waiting.first_key_value() {
            let missing = start - self.next.unwrap_or(*start);
            self.oddities.missing += missing;
            pieces.push(Piece::Gap(missing));
            self.next = Some(*start);
            self.deliver_waiting(&mut pieces);
        }
        pieces
    }

    /// The receiver has acknowledged everything before `sequence`: of that, what was not recorded by now never will be.
    pub fn acknowledge(&mut self, sequence: u32) -> Vec<Piece> {
        let mut pieces = Vec::new();
        if self.next.is_some() {
            let acknowledged = self.position(sequence);
            while self.waiting.first_key_value().is_some_and(|(start, _)| *start < acknowledged) {
                pieces.extend(self.skip_gap());
            }
        }
        pieces
    }

    /// No more segments come: returns everything that waits.
    pub fn finish(&mut self) -> Vec<Piece> {
        let mut pieces = Vec::new();
        while !self.waiting.is_empty() {
            pieces.extend(self.skip_gap());
        }
        pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Piece {
        Piece::Bytes(text.as_bytes().to_vec())
    }

    fn add(direction: &mut Direction, sequence: u32, text: &str) -> Vec<Piece> {
        direction.add(sequence, text.as_bytes().to_vec(), false)
    }

    #[test]
    fn segments_are_put_in_order_and_seen_once() {
        let mut direction = Direction::default();
        direction.begin(u32::MAX - 1);
        assert_eq!(add(&mut direction, u32::MAX, "ab"), [bytes("ab")]);
        assert_eq!(add(&mut direction, 4, "fg"), []);
        assert_eq!(add(&mut direction, 4, "f"), []);
        assert_eq!(add(&mut direction, u32::MAX, "a"), []);
        assert_eq!(add(&mut direction, 0, "bcde"), [bytes("cde"), bytes("fg")]);
        assert_eq!(direction.oddities, Oddities { again: 2, early: 2, missing: 0 });
    }

    #[test]
    fn a_gap_ends_when_its_bytes_are_acknowledged() {
        let mut direction = Direction::default();
        assert_eq!(add(&mut direction, 10, "a"), [bytes("a")]);
        assert_eq!(add(&mut direction, 14, "e"), []);
        assert_eq!(direction.acknowledge(14), []);
        assert_eq!(direction.acknowledge(15), [Piece::Gap(3), bytes("e")]);
        assert_eq!(add(&mut direction, 20, "k"), []);
        assert_eq!(direction.finish(), [Piece::Gap(5), bytes("k")]);
        assert_eq!(direction.oddities.missing, 8);
    }

    #[test]
    fn what_waits_for_a_gap_is_bounded() {
        let mut direction = Direction::default();
        add(&mut direction, 0, "a");
        let segment = "b".repeat(64 * 1024);
        let mut gaps = 0;
        for number in 0..200 {
            let pieces = add(&mut direction, 100 + number * 70_000, &segment);
            gaps += pieces.iter().filter(|piece| matches!(piece, Piece::Gap(..))).count();
            assert!(direction.waiting_bytes() <= MAX_WAITING);
        }
        assert!(gaps > 100, "{gaps}");
    }

    #[test]
    fn a_stream_ends_when_all_before_its_fin_was_seen() {
        let mut direction = Direction::default();
        direction.begin(0);
        direction.add(2, b"b".to_vec(), true);
        assert!(!direction.has_ended());
        add(&mut direction, 1, "a");
        assert!(direction.has_ended());
    }
}
