//! A stream in any pieces gives the same results as the stream as a whole, by every way of reading it.
//!
//! The input is the number of pieces (a `u8`), their sizes (a `u16` each), and then the stream in parts (see
//! [`stream`]).
#![no_main]

use kaspa_peer::peer::fuzzing::Choices;
use kaspa_peer::wire::{FrameDecoder, FrameError, HEADER_SIZE, Message, MessageReader, ReadError, read_message};
use kaspa_peer_fuzz::{NETWORK, stream};
use libfuzzer_sys::fuzz_target;
use std::io::{self, Read};

type Results = Vec<Result<Message, FrameError>>;

fuzz_target!(|input: &[u8]| {
    let mut choices = Choices::new(input);
    let sizes: Vec<usize> = (0..choices.byte() % 32).map(|_| usize::from(choices.short()) + 1).collect();
    let stream = stream(&mut choices);
    let whole = drive(&mut Fed::new(&stream, &[]));
    assert_eq!(whole, drive(&mut Fed::new(&stream, &sizes)), "fed in pieces");
    assert_eq!(whole, drive(&mut Reading::new(&stream, &sizes)), "read in pieces");
    assert_eq!(whole, by_reader(Pieces { rest: &stream, sizes: &sizes, next: 0, reads: 0 }), "by a MessageReader");
    check_one_by_one(&whole, &one_by_one(&stream));
});

/// A decoder and the source of its bytes.
trait Source {
    fn decoder(&mut self) -> &mut FrameDecoder;
    fn more(&mut self) -> bool;
}

fn drive(source: &mut impl Source) -> Results {
    let mut results = Vec::new();
    let mut position = 0;
    loop {
        loop {
            let decoder = source.decoder();
            let result = decoder.next_frame().map(|frame| frame.map(|frame| (frame.size() as u64, frame.decode())));
            assert!(decoder.position() >= position);
            let taken = decoder.position() - position;
            position = decoder.position();
            match result {
                Ok(None) => break,
                Ok(Some((size, result))) => {
                    assert!(taken >= size);
                    results.push(result);
                }
                Err(error) => {
                    let lost = !error.in_step();
                    // A stream of another protocol is refused before its first header is complete.
                    assert!(taken >= HEADER_SIZE as u64 || matches!(error, FrameError::NotKaspa { .. }));
                    results.push(Err(error));
                    if lost {
                        return results;
                    }
                }
            }
        }
        if !source.more() {
            let decoder = source.decoder();
            let end = decoder.finish().err();
            assert!(end.is_none() || decoder.is_mid_frame());
            results.extend(end.map(Err));
            return results;
        }
    }
}

struct Fed<'a> {
    decoder: FrameDecoder,
    pieces: Pieces<'a>,
}

impl<'a> Fed<'a> {
    fn new(stream: &'a [u8], sizes: &'a [usize]) -> Self {
        Self { decoder: FrameDecoder::new(NETWORK), pieces: Pieces { rest: stream, sizes, next: 0, reads: 0 } }
    }
}

impl Source for Fed<'_> {
    fn decoder(&mut self) -> &mut FrameDecoder {
        &mut self.decoder
    }

    fn more(&mut self) -> bool {
        let piece = self.pieces.piece(usize::MAX);
        self.decoder.feed(piece);
        !piece.is_empty()
    }
}

struct Reading<'a> {
    decoder: FrameDecoder,
    pieces: Pieces<'a>,
}

impl<'a> Reading<'a> {
    fn new(stream: &'a [u8], sizes: &'a [usize]) -> Self {
        Self { decoder: FrameDecoder::new(NETWORK), pieces: Pieces { rest: stream, sizes, next: 0, reads: 1 } }
    }
}

impl Source for Reading<'_> {
    fn decoder(&mut self) -> &mut FrameDecoder {
        &mut self.decoder
    }

    fn more(&mut self) -> bool {
        loop {
            let left = self.pieces.rest.len();
            match self.decoder.read_from(&mut self.pieces) {
                Ok(count) => {
                    assert_eq!(left - self.pieces.rest.len(), count);
                    return count > 0;
                }
                // Neither a timeout nor an interruption loses bytes.
                Err(error) => assert!(matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)),
            }
        }
    }
}

/// Gives a stream in pieces of these sizes, which repeat, with an occasional error in between.
struct Pieces<'a> {
    rest: &'a [u8],
    sizes: &'a [usize],
    next: usize,
    /// Counts the reads, to give an error at some of them. Zero for no errors.
    reads: usize,
}

impl<'a> Pieces<'a> {
    fn piece(&mut self, max: usize) -> &'a [u8] {
        let size = self.sizes.get(self.next % self.sizes.len().max(1)).copied().unwrap_or(usize::MAX);
        self.next += 1;
        let (piece, rest) = self.rest.split_at(size.min(max).min(self.rest.len()));
        self.rest = rest;
        piece
    }
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.reads > 0 {
            self.reads += 1;
            match self.reads % 7 {
                3 => return Err(io::ErrorKind::Interrupted.into()),
                5 => return Err(io::ErrorKind::TimedOut.into()),
                _ => {}
            }
        }
        let piece = self.piece(buffer.len());
        buffer[..piece.len()].copy_from_slice(piece);
        Ok(piece.len())
    }
}

fn frame_error(error: ReadError) -> FrameError {
    match error {
        ReadError::Frame(error) => error,
        other => panic!("{other}"),
    }
}

fn by_reader(source: impl Read) -> Results {
    MessageReader::new(source, NETWORK).map(|result| result.map_err(frame_error)).collect()
}

/// Each call of `read_message` reads as if the stream started there, and gives up at the magic number of no known
/// network.
fn check_one_by_one(whole: &Results, results: &Results) {
    let Some((Err(FrameError::NotKaspa { .. }), before)) = results.split_last() else {
        return assert_eq!(whole, results, "with read_message");
    };
    assert_eq!(whole[..before.len()], *before, "with read_message");
    let refused = &whole[before.len()];
    let is_other = matches!(
        refused,
        Err(FrameError::NotKaspa { .. }
            | FrameError::Network { .. }
            | FrameError::Oversize { .. }
            | FrameError::Truncated { .. })
    );
    assert!(is_other, "NotKaspa with read_message, otherwise {refused:?}");
}

/// The results of one call of `read_message` for each message, up to an error that leaves the stream out of step.
fn one_by_one(stream: &[u8]) -> Results {
    let (mut rest, mut results) = (stream, Vec::new());
    while !rest.is_empty() {
        let result = read_message(&mut rest, NETWORK).map_err(frame_error);
        let lost = result.as_ref().is_err_and(|error| !error.in_step());
        results.push(result);
        if lost {
            break;
        }
    }
    results
}
