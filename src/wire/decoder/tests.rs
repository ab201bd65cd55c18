//! Tests of the decoder: what it reports while bytes arrive in pieces, and what it refuses.

use super::read_buffer::{FIRST_SIZE, LARGE_SIZE, QUIET_READS};
use super::*;
use crate::wire::{CustomMessage, Encode, Frame, Ping};
use std::io::Error;

const NETWORK: Network = Network::Simnet;

/// One frame of a stream: its size, and whether it is refused as soon as its header is there.
type Part = (usize, bool);

fn stream() -> (Vec<u8>, Vec<Part>) {
    let custom = |size: usize| CustomMessage::new("hello", vec![7; size]).unwrap();
    let mut bytes = Vec::new();
    let mut parts = Vec::new();
    let mut add = |message: &dyn Fn(Network) -> Frame, refused: bool| {
        let frame = message(if refused { Network::Mainnet } else { NETWORK });
        bytes.extend_from_slice(frame.as_bytes());
        parts.push((frame.as_bytes().len(), refused));
    };
    fn encode(message: impl Encode + 'static) -> impl Fn(Network) -> Frame {
        move |network| Frame::encode(&message, network).unwrap()
    }
    add(&encode(Ping { nonce: 1 }), false);
    add(&encode(custom(SMALL_PAYLOAD)), false);
    add(&encode(Ping { nonce: 2 }), true);
    add(&encode(custom(SMALL_PAYLOAD + 1)), false);
    add(&encode(custom(300_000)), true);
    add(&encode(custom(0)), false);
    add(&encode(custom(0)), true);
    add(&encode(custom(200_000)), false);
    add(&encode(Ping { nonce: 3 }), false);
    (bytes, parts)
}

/// The frame of the byte at `arrived`. Returns the offset of the frame, how many of its bytes come before that byte,
/// and its `Part`.
fn at(parts: &[Part], arrived: usize) -> (usize, usize, Part) {
    let mut start = 0;
    for &part in parts {
        if arrived < start + part.0 {
            return (start, arrived - start, part);
        }
        start += part.0;
    }
    (start, 0, (HEADER_SIZE, false))
}

#[test]
fn position_and_state_are_right_for_pieces_of_any_size() {
    let (bytes, parts) = stream();
    for piece in [1, 7, 1000, 30_011, bytes.len()] {
        let mut decoder = FrameDecoder::new(NETWORK);
        let (mut arrived, mut good, mut refused) = (0, 0, 0);
        while arrived < bytes.len() {
            arrived += decoder.read_from(&mut bytes[arrived..].take(piece as u64)).unwrap();
            loop {
                match decoder.next_frame() {
                    Ok(Some(frame)) => {
                        assert_eq!(frame.header(NETWORK), frame_at(&bytes, &parts, good + refused));
                        good += 1;
                    }
                    Ok(None) => break,
                    Err(FrameError::Network { .. }) => refused += 1,
                    Err(error) => panic!("{error}"),
                }
            }
            let (start, there, (size, is_refused)) = at(&parts, arrived);
            let skipping = is_refused && there >= HEADER_SIZE;
            let left = size - there;
            let context = format!("{arrived} bytes in pieces of {piece}");
            assert_eq!(decoder.position(), if skipping { arrived } else { start } as u64, "{context}");
            assert_eq!(decoder.is_mid_frame(), there > 0, "{context}");
            assert_eq!(decoder.frame_under_way(), (there > 0).then_some(start as u64), "{context}");
            let missing = if there < HEADER_SIZE { HEADER_SIZE - there } else { left };
            assert_eq!(decoder.missing_bytes(), missing, "{context}");
            assert_eq!(decoder.missing_bytes_to_skip(), if skipping { left } else { 0 }, "{context}");
            let ended = decoder.finish();
            match there {
                _ if there == 0 || skipping => assert_eq!(ended, Ok(()), "{context}"),
                0..HEADER_SIZE => {
                    let cut = FrameError::Truncated { part: "header", needed: HEADER_SIZE, found: there };
                    assert_eq!(ended, Err(cut), "{context}");
                }
                _ => {
                    let (needed, found) = (size - HEADER_SIZE, there - HEADER_SIZE);
                    assert_eq!(ended, Err(FrameError::Truncated { part: "payload", needed, found }), "{context}");
                }
            }
        }
        assert_eq!((good, refused), (6, 3));
    }
}

fn frame_at(bytes: &[u8], parts: &[Part], index: usize) -> [u8; HEADER_SIZE] {
    let start: usize = parts[..index].iter().map(|(size, _)| size).sum();
    *bytes[start..].first_chunk().unwrap()
}

/// Fails before every read, with two kinds of error in turn.
struct Bumpy<'a>(&'a [u8], u32);

impl Read for Bumpy<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.1 += 1;
        match self.1 % 3 {
            1 => Err(io::ErrorKind::Interrupted.into()),
            2 => Err(io::ErrorKind::WouldBlock.into()),
            _ => (&mut self.0).take(9_000).read(into),
        }
    }
}

#[test]
fn nothing_is_lost_when_a_read_fails_or_is_interrupted() {
    let (bytes, _) = stream();
    let mut source = Bumpy(&bytes, 0);
    let mut decoder = FrameDecoder::new(NETWORK);
    let (mut frames, mut failures, mut interruptions) = (0, 0, 0);
    while decoder.position() < bytes.len() as u64 {
        match decoder.read_from(&mut source).map_err(|error: Error| error.kind()) {
            Ok(count) => assert!(count > 0),
            Err(io::ErrorKind::WouldBlock) => failures += 1,
            Err(io::ErrorKind::Interrupted) => interruptions += 1,
            Err(kind) => panic!("{kind:?}"),
        }
        loop {
            match decoder.next_frame() {
                Ok(None) => break,
                Ok(Some(_)) | Err(FrameError::Network { .. }) => frames += 1,
                Err(error) => panic!("{error}"),
            }
        }
    }
    assert_eq!(frames, 9);
    assert!(failures > 30, "{failures}");
    assert!(interruptions > 10, "{interruptions}");
}

/// Returns its bytes. After that, every read is interrupted.
struct Interrupted<'a>(&'a [u8]);

impl Read for Interrupted<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() {
            return Err(Error::new(io::ErrorKind::Interrupted, "by a signal"));
        }
        (&mut self.0).take(100).read(into)
    }
}

#[test]
fn an_interruption_returns_to_the_caller_with_what_was_read_before_it() {
    let mut decoder = FrameDecoder::new(NETWORK);
    let error = decoder.read_from(&mut Interrupted(&[])).unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (io::ErrorKind::Interrupted, "by a signal"));

    // The interruption is inside a large payload.
    let large = Frame::encode(&CustomMessage::new("large", vec![3; 100_000]).unwrap(), NETWORK).unwrap();
    let (start, rest) = large.as_bytes().split_at(20_000);
    decoder.feed(start);
    assert!(decoder.next_frame().unwrap().is_none());
    assert_eq!(decoder.read_from(&mut Interrupted(&rest[..1000])).unwrap(), 1000);
    assert_eq!(decoder.read_from(&mut Interrupted(&[])).unwrap_err().kind(), io::ErrorKind::Interrupted);
    assert_eq!(decoder.arrived(), 21_000);
    decoder.feed(&rest[1000..]);
    assert_eq!(decoder.next_frame().unwrap().map(|frame| frame.size()), Some(large.as_bytes().len()));
}

#[test]
fn configured_limits_and_the_protocols_limit_are_different_errors() {
    let limits = PayloadLimits::protocol().command(Command::Locator, 32).custom(10);
    let mut decoder = FrameDecoder::new(NETWORK).with_limits(limits);
    let custom = |size| CustomMessage::new("hello", vec![7; size]).unwrap();
    decoder.feed(Frame::encode(&custom(10), NETWORK).unwrap().as_bytes());
    assert_eq!(decoder.next_frame().unwrap().map(|frame| frame.size()), Some(HEADER_SIZE + 10));

    let command = custom(0).command();
    decoder.feed(Frame::encode(&custom(300_000), NETWORK).unwrap().as_bytes());
    let error = decoder.next_frame().unwrap_err();
    assert_eq!(error, FrameError::OverLimit { command, length: 300_000, max: 10 });
    assert!(error.in_step());

    decoder.feed(&begin(NETWORK.magic(), &Command::Locator.to_field(), 20_000));
    decoder.feed(&[0; 20_000 - 5]);
    let error = decoder.next_frame().unwrap_err();
    assert_eq!(error, FrameError::TypeLimit { command: Command::Locator, length: 20_000, max: 9 + 500 * 32 });

    // Both payloads are skipped, and limits can change between frames.
    decoder.set_limits(PayloadLimits::protocol());
    decoder.feed(Frame::encode(&custom(11), NETWORK).unwrap().as_bytes());
    assert_eq!(decoder.next_frame().unwrap().map(|frame| frame.size()), Some(HEADER_SIZE + 11));
    assert!(!decoder.is_mid_frame());
}

/// The header of a frame, and a few bytes of payload.
fn begin(magic: u32, command: &[u8; 12], length: u32) -> Vec<u8> {
    [&magic.to_le_bytes()[..], command, &length.to_le_bytes(), &[0; 4], &[0; 5]].concat()
}

#[test]
fn the_next_frame_is_announced_by_its_header() {
    let (block, magic) = (Command::Block, NETWORK.magic());
    let with = |bytes: &[u8]| {
        let mut decoder = FrameDecoder::new(NETWORK);
        decoder.feed(bytes);
        decoder
    };
    let bytes = begin(magic, &block.to_field(), 100_000);
    for length in 0..HEADER_SIZE {
        assert_eq!(with(&bytes[..length]).announced(), None, "{length}");
    }
    let mut decoder = with(&bytes[..HEADER_SIZE]);
    assert_eq!(decoder.announced(), Some((block, 100_000)));
    // A large payload.
    assert!(decoder.next_frame().unwrap().is_none());
    assert_eq!(decoder.announced(), Some((block, 100_000)));
    decoder.feed(&[0; 99_999]);
    assert_eq!(decoder.announced(), Some((block, 100_000)));
    decoder.feed(&[0]);
    assert_eq!(decoder.announced(), Some((block, 100_000)), "complete and not taken");
    assert!(decoder.next_frame().is_err(), "a wrong checksum");
    assert_eq!(decoder.announced(), None);

    // A payload over the limit of the protocol, and a malformed command.
    assert_eq!(with(&begin(magic, &block.to_field(), u32::MAX)).announced(), Some((block, u32::MAX)));
    assert_eq!(with(&begin(magic, &Command::Ping.to_field(), 9)).announced(), Some((Command::Ping, 9)));
    assert_eq!(with(&begin(magic, b"\0ping\0\0\0\0\0\0\0", 8)).announced(), None);
    assert_eq!(with(&begin(Network::Mainnet.magic(), &block.to_field(), 8)).announced(), None);

    // While a refused payload is skipped, and after it.
    let mut decoder = with(&begin(magic, &Command::Ping.to_field(), 9));
    assert!(decoder.next_frame().is_err());
    assert_eq!(decoder.announced(), None);
    decoder.feed(&[0; 4]);
    decoder.feed(&begin(magic, &Command::Pong.to_field(), 8));
    assert_eq!(decoder.announced(), Some((Command::Pong, 8)));

    // Out of step.
    let mut decoder = with(&begin(magic, &block.to_field(), u32::MAX));
    assert!(decoder.next_frame().is_err());
    decoder.feed(&begin(magic, &Command::Pong.to_field(), 8));
    assert_eq!(decoder.announced(), None);
}

/// Reads `pings` pings in as few reads as possible.
fn read_pings(decoder: &mut FrameDecoder, pings: usize) {
    let frame = Frame::encode(&Ping { nonce: 1 }, NETWORK).unwrap();
    let bytes = frame.as_bytes().repeat(pings);
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        decoder.read_from(&mut rest).unwrap();
        while decoder.next_frame().unwrap().is_some() {}
    }
}

#[test]
fn the_buffer_grows_under_traffic_and_shrinks_after_it() {
    let mut decoder = FrameDecoder::new(NETWORK);
    read_pings(&mut decoder, 1);
    assert_eq!(decoder.buffer.capacity(), FIRST_SIZE);
    // A full buffer doubles, once for each read.
    read_pings(&mut decoder, FIRST_SIZE / 32 - 1);
    assert_eq!(decoder.buffer.capacity(), FIRST_SIZE);
    read_pings(&mut decoder, FIRST_SIZE / 32);
    assert_eq!(decoder.buffer.capacity(), 2 * FIRST_SIZE);
    read_pings(&mut decoder, 2 * LARGE_SIZE / 32);
    let large = decoder.buffer.capacity();
    assert!((LARGE_SIZE..LARGE_SIZE + 8192).contains(&large), "{large}");
    read_pings(&mut decoder, 4 * LARGE_SIZE / 32);
    assert_eq!(decoder.buffer.capacity(), large);
    // A busy read after a quiet one keeps it large.
    for _ in 0..2 * QUIET_READS {
        read_pings(&mut decoder, 1);
        read_pings(&mut decoder, FIRST_SIZE / 32);
    }
    assert_eq!(decoder.buffer.capacity(), large);
    for _ in 0..QUIET_READS {
        read_pings(&mut decoder, 1);
    }
    assert_eq!(decoder.buffer.capacity(), large);
    read_pings(&mut decoder, 1);
    assert_eq!(decoder.buffer.capacity(), FIRST_SIZE);
}

#[test]
fn part_of_a_frame_moves_to_the_front_before_the_buffer_grows() {
    let frame = Frame::encode(&CustomMessage::new("hello", vec![7; 1976]).unwrap(), NETWORK).unwrap();
    let bytes = frame.as_bytes().repeat(100);
    let mut decoder = FrameDecoder::new(NETWORK);
    let (mut rest, mut frames) = (bytes.as_slice(), 0);
    while !rest.is_empty() {
        // Every read ends in the middle of a frame, and none fills the buffer.
        let mut piece = rest.take(1100);
        decoder.read_from(&mut piece).unwrap();
        rest = piece.into_inner();
        while decoder.next_frame().unwrap().is_some() {
            frames += 1;
        }
        assert_eq!(decoder.buffer.capacity(), FIRST_SIZE);
    }
    assert_eq!(frames, 100);
}

/// Reads nothing, and claims to have read one byte more than fits the buffer.
struct Liar;

impl Read for Liar {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        Ok(into.len() + 1)
    }
}

#[test]
fn a_stream_that_claims_to_have_given_too_much_is_an_error() {
    let mut decoder = FrameDecoder::new(NETWORK);
    assert_eq!(decoder.read_from(&mut Liar).unwrap_err().kind(), io::ErrorKind::InvalidData);
    // The same inside a large payload.
    let large = Frame::encode(&CustomMessage::new("large", vec![0; 100_000]).unwrap(), NETWORK).unwrap();
    decoder.feed(&large.as_bytes()[..20_000]);
    assert!(decoder.next_frame().unwrap().is_none());
    assert_eq!(decoder.read_from(&mut Liar).unwrap_err().kind(), io::ErrorKind::InvalidData);
    // The bytes that arrived before are still there.
    decoder.feed(&large.as_bytes()[20_000..]);
    assert_eq!(decoder.next_frame().unwrap().map(|frame| frame.size()), Some(large.as_bytes().len()));
}

fn feed_and_take(bytes: &[u8]) -> Result<usize, FrameError> {
    let mut decoder = FrameDecoder::new(NETWORK);
    decoder.feed(bytes);
    decoder.next_frame().map(|frame| frame.map_or(0, |frame| frame.size()))
}

#[test]
fn a_stream_of_another_protocol_is_refused_as_soon_as_four_bytes_have_arrived() {
    for text in ["HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP", "SSH-2.0-OpenSSH_9.6\r\n", "220 mail.example ESMTP\r\n"] {
        let bytes = text.as_bytes();
        let expected = FrameError::NotKaspa { found: *bytes.first_chunk().unwrap() };
        for length in 0..4 {
            assert_eq!(feed_and_take(&bytes[..length]), Ok(0), "{length} bytes of {text:?}");
        }
        for length in 4..=bytes.len() {
            assert_eq!(feed_and_take(&bytes[..length]), Err(expected.clone()), "{length} bytes of {text:?}");
        }
        // Also byte by byte, and in every later call.
        let mut decoder = FrameDecoder::new(NETWORK);
        for (place, byte) in bytes.iter().enumerate() {
            decoder.feed(&[*byte]);
            let result = decoder.next_frame().map(|_| ());
            assert_eq!(result, if place < 3 { Ok(()) } else { Err(expected.clone()) });
        }
    }
}

#[test]
fn only_a_stream_that_starts_with_an_unknown_magic_number_is_not_kaspa() {
    // The magic number is that of a known network. The errors come in the order of the protocol: first the length, then
    // the magic number.
    let mainnet = Network::Mainnet.magic();
    let ping = Command::Ping.to_field();
    let network = FrameError::Network { found: mainnet, expected: NETWORK };
    assert_eq!(feed_and_take(&begin(mainnet, &ping, 5)), Err(network));
    assert!(matches!(feed_and_take(&begin(mainnet, &ping, u32::MAX)), Err(FrameError::Oversize { .. })));
    assert_eq!(feed_and_take(&mainnet.to_le_bytes()), Ok(0), "the header is not there yet");

    // The decoder's own private network is known.
    let mut decoder = FrameDecoder::new(Network::Custom(7));
    decoder.feed(Frame::encode(&Ping { nonce: 1 }, Network::Custom(7)).unwrap().as_bytes());
    assert!(decoder.next_frame().unwrap().is_some());

    // After a frame, and after a refused one.
    for first in [NETWORK, Network::Mainnet] {
        let mut decoder = FrameDecoder::new(NETWORK);
        decoder.feed(Frame::encode(&Ping { nonce: 1 }, first).unwrap().as_bytes());
        assert_eq!(decoder.next_frame().is_ok(), first == NETWORK);
        let magic = u32::from_le_bytes(*b"HTTP");
        decoder.feed(&begin(magic, &ping, 5)[..10]);
        assert!(decoder.next_frame().unwrap().is_none());
        decoder.feed(&begin(magic, &ping, 5)[10..]);
        let network = FrameError::Network { found: magic, expected: NETWORK };
        assert_eq!(decoder.next_frame().map(|_| ()), Err(network));
        decoder.feed(&begin(magic, &ping, u32::MAX));
        assert!(matches!(decoder.next_frame(), Err(FrameError::Oversize { .. })));
    }
}

#[test]
fn a_frame_keeps_its_number_when_it_is_refused() {
    let mut header = Frame::raw(Command::Ping, &[0; 8], Network::Simnet).unwrap().as_bytes()[..HEADER_SIZE].to_vec();
    header[16..20].copy_from_slice(&100_u32.to_le_bytes());
    let mut decoder = FrameDecoder::new(Network::Simnet);
    decoder.feed(&header[..10]);
    assert!(decoder.next_frame().unwrap().is_none());
    let number = decoder.frame_under_way();
    assert!(number.is_some());
    decoder.feed(&header[10..]);
    assert!(decoder.next_frame().is_err(), "a ping has 8 bytes");
    for _ in 0..99 {
        assert_eq!(decoder.frame_under_way(), number);
        decoder.feed(&[0]);
        assert!(decoder.next_frame().unwrap().is_none());
    }
    decoder.feed(&[0]);
    assert!(decoder.next_frame().unwrap().is_none());
    assert_eq!(decoder.frame_under_way(), None);
}

#[test]
fn debug_output_has_the_position_and_no_payload() {
    let mut decoder = FrameDecoder::new(Network::Simnet);
    decoder.feed(&begin(Network::Simnet.magic(), &Command::Ping.to_field(), 8));
    let expected = "FrameDecoder { network: Simnet, position: 0, arrived: 29, is_mid_frame: true, .. }";
    assert_eq!(format!("{decoder:?}"), expected);
}
