//! Reads frames without reading ahead, and continues with a part of a frame after a timeout.

use super::End;
use crate::wire::{Frame, FrameDecoder, FrameError, HEADER_SIZE, Message, Network};
use std::io::{self, ErrorKind, Read};

/// The largest number of bytes for which one read reserves memory.
const PIECE: usize = 64 * 1024;

/// Why there is no message.
pub(super) enum Error {
    Ended(End),
    Frame(FrameError),
    Io(io::Error),
}

/// The part of the next frame that has arrived.
#[derive(Debug)]
pub(super) struct FrameBuffer {
    network: Network,
    bytes: Vec<u8>,
    /// `true` if no frame was read before.
    at_start: bool,
    /// How many bytes of a refused payload have not arrived yet.
    to_skip: usize,
    /// The error that left the stream out of step.
    lost: Option<FrameError>,
}

impl FrameBuffer {
    pub fn new(network: Network) -> Self {
        Self { network, bytes: Vec::new(), at_start: true, to_skip: 0, lost: None }
    }

    /// How many bytes of the next frame have arrived.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Takes the bytes of the next frame that have arrived.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// Reads the next message, and no byte after it. After an error of the source the next call continues.
    pub fn read_message(&mut self, source: &mut impl Read) -> Result<Message, Error> {
        self.skip(source)?;
        loop {
            let missing = self.missing()?;
            if missing == 0 {
                self.at_start = false;
                let frame = Frame::from_bytes(self.take(), self.network);
                return frame.and_then(|frame| frame.decode()).map_err(Error::Frame);
            }
            self.read(source, missing)?;
        }
    }

    /// How many bytes of the frame have not arrived yet, at least. Checks the header as soon as it is there.
    fn missing(&mut self) -> Result<usize, Error> {
        if let Some(error) = &self.lost {
            return Err(Error::Frame(error.clone()));
        }
        let Some((header, payload)) = self.bytes.split_first_chunk::<HEADER_SIZE>() else {
            return match self.not_kaspa() {
                Some(error) => Err(self.refuse(0, error)),
                None => Ok(HEADER_SIZE - self.bytes.len()),
            };
        };
        let [.., a, b, c, d, _, _, _, _] = *header;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        if payload.is_empty()
            && let Some(error) = self.bad_header(header)
        {
            return Err(self.refuse(length, error));
        }
        Ok(length.saturating_sub(payload.len()))
    }

    /// The error of a stream that starts as no kaspa stream does.
    fn not_kaspa(&self) -> Option<FrameError> {
        if !self.at_start {
            return None;
        }
        let mut decoder = FrameDecoder::new(self.network);
        decoder.feed(&self.bytes);
        decoder.next_frame().err()
    }

    /// The error of a header, whatever its payload is.
    fn bad_header(&self, header: &[u8; HEADER_SIZE]) -> Option<FrameError> {
        if let Some(error) = self.not_kaspa() {
            // A payload that is missing is no error to a decoder, unless it has no bytes.
            return (!matches!(error, FrameError::Checksum { .. })).then_some(error);
        }
        match Frame::from_bytes(header.to_vec(), self.network) {
            Err(FrameError::Truncated { .. } | FrameError::Checksum { .. }) | Ok(_) => None,
            Err(error) => Some(error),
        }
    }

    fn refuse(&mut self, length: usize, error: FrameError) -> Error {
        self.at_start = false;
        self.bytes.clear();
        if error.in_step() {
            self.to_skip = length;
        } else {
            self.lost = Some(error.clone());
        }
        Error::Frame(error)
    }

    fn skip(&mut self, source: &mut impl Read) -> Result<(), Error> {
        while self.to_skip > 0 {
            self.read(source, self.to_skip)?;
            self.to_skip = self.to_skip.saturating_sub(self.bytes.len());
            self.bytes.clear();
        }
        Ok(())
    }

    /// Appends at least one byte and at most `missing`.
    fn read(&mut self, source: &mut impl Read, missing: usize) -> Result<(), Error> {
        let before = self.bytes.len();
        self.bytes.resize(before + missing.min(PIECE), 0);
        let result = source.read(self.bytes.get_mut(before..).unwrap_or_default());
        let count = result.as_ref().map_or(0, |count| *count);
        if count > missing.min(PIECE) {
            let problem = "`read` returned more bytes than it was given room for";
            self.bytes.truncate(before);
            return Err(Error::Io(io::Error::new(ErrorKind::InvalidData, problem)));
        }
        self.bytes.truncate(before + count);
        match result {
            Ok(0) if before == 0 && self.to_skip == 0 => Err(Error::Ended(End::Closed)),
            Ok(0) => Err(Error::Ended(End::InsideFrame { found: before })),
            Ok(_) => Ok(()),
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted) => {
                Err(Error::Ended(End::Reset))
            }
            Err(error) => Err(Error::Io(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestFrame;
    use crate::wire::{FeeFilter, Ping};
    use std::collections::VecDeque;

    const NETWORK: Network = Network::Simnet;

    /// Gives one piece at each read, an error for an empty piece, and then the end.
    struct Pieces(VecDeque<Vec<u8>>);

    impl Read for Pieces {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let Some(piece) = self.0.front_mut() else { return Ok(0) };
            if piece.is_empty() {
                self.0.pop_front();
                return Err(ErrorKind::WouldBlock.into());
            }
            let count = piece.len().min(into.len());
            into[..count].copy_from_slice(&piece[..count]);
            piece.drain(..count);
            if piece.is_empty() {
                self.0.pop_front();
            }
            Ok(count)
        }
    }

    fn ping(nonce: u64) -> TestFrame {
        TestFrame::of(&Ping { nonce }, NETWORK).unwrap()
    }

    fn read(buffer: &mut FrameBuffer, source: &mut Pieces) -> Result<Message, String> {
        buffer.read_message(source).map_err(|error| match error {
            Error::Ended(end) => end.to_string(),
            Error::Frame(error) => format!("frame: {error}"),
            Error::Io(error) => error.kind().to_string(),
        })
    }

    #[test]
    fn a_frame_continues_after_a_timeout_and_no_byte_is_read_ahead() {
        let bytes = [ping(1).to_bytes(), ping(2).to_bytes()].concat();
        let (first, rest) = bytes.split_at(20);
        let mut source = Pieces([first.to_vec(), Vec::new(), rest.to_vec()].into());
        let mut buffer = FrameBuffer::new(NETWORK);
        assert_eq!(read(&mut buffer, &mut source), Err("operation would block".to_owned()));
        assert_eq!(buffer.len(), 20);
        assert_eq!(read(&mut buffer, &mut source), Ok(Ping { nonce: 1 }.into()));
        assert_eq!(source.0, [ping(2).to_bytes()]);
    }

    #[test]
    fn reading_goes_on_after_an_error_in_step() {
        let bad = [
            ping(1).with_wrong_checksum(),
            ping(2).with_magic(Network::Mainnet.magic()),
            TestFrame::new("ping", &[0; 9], NETWORK),
            TestFrame::new("\u{7}", &[], NETWORK),
        ];
        for (number, frame) in bad.into_iter().enumerate() {
            let good = TestFrame::of(&FeeFilter { min_fee: 1 }, NETWORK).unwrap();
            let mut source = Pieces([[good.to_bytes(), frame.to_bytes(), good.to_bytes()].concat()].into());
            let mut buffer = FrameBuffer::new(NETWORK);
            read(&mut buffer, &mut source).unwrap();
            let error = read(&mut buffer, &mut source).unwrap_err();
            assert!(error.starts_with("frame: "), "{number}: {error}");
            assert_eq!(read(&mut buffer, &mut source), Ok(FeeFilter { min_fee: 1 }.into()), "{number}");
            assert_eq!(read(&mut buffer, &mut source), Err("the connection was closed".to_owned()), "{number}");
        }
    }

    #[test]
    fn a_stream_out_of_step_gives_its_error_again() {
        for bytes in [b"HTTP/1.1".to_vec(), ping(1).with_length(u32::MAX).to_bytes()] {
            let mut source = Pieces([bytes].into());
            let mut buffer = FrameBuffer::new(NETWORK);
            let error = read(&mut buffer, &mut source).unwrap_err();
            assert!(error.starts_with("frame: "), "{error}");
            assert_eq!(read(&mut buffer, &mut source), Err(error));
        }
    }

    #[test]
    fn a_read_that_returns_more_than_it_was_given_room_for_is_an_error() {
        struct Lies;

        impl Read for Lies {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Ok(usize::MAX)
            }
        }

        let mut buffer = FrameBuffer::new(NETWORK);
        let Err(Error::Io(error)) = buffer.read_message(&mut Lies) else { panic!("no error") };
        assert_eq!((error.kind(), buffer.len()), (ErrorKind::InvalidData, 0));
    }

    #[test]
    fn an_end_inside_a_frame_says_how_much_came() {
        let mut bytes = ping(1).to_bytes();
        bytes.truncate(30);
        let error = read(&mut FrameBuffer::new(NETWORK), &mut Pieces([bytes].into())).unwrap_err();
        assert_eq!(error, "the connection was closed after 30 bytes of a frame");
    }
}
