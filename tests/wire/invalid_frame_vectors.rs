//! Frames that the original implementation refuses. The library refuses them too, with an error that corresponds to the
//! original's text.

use super::vector_files::{bytes, check_rows, load, network, rows, same, text};
use kaspa_peer::wire::{
    Command, DecodeError, FrameDecoder, FrameError, HEADER_SIZE, MAX_INVENTORY, Message, MessageReader, Network, Ping,
    ReadError, read_message, write_message,
};
use serde_json::Value;
use std::collections::BTreeMap;

/// Rows with a custom command in a well-formed frame. The original refuses them, and the library decodes them.
const CUSTOM: [&str; 10] = [
    "command/unknown_word",
    "command/uppercase",
    "command/twelve_bytes",
    "command/bitcoin_getblocks",
    "command/bitcoin_mempool",
    "command/bitcoin_sendcmpct",
    "command/getlocator_long",
    "command/getselectedtip_cut",
    "command/prefix",
    "command/suffix",
];

/// The same without a payload.
const CUSTOM_EMPTY: &str = "command/unknown_empty_payload";

/// The same, but the stream ends before the payload. In the original, the command is the first error.
const CUSTOM_TRUNCATED: &str = "command/unknown_with_missing_payload";

/// The result that a row must give.
#[derive(Debug, Clone, PartialEq)]
enum Expected {
    /// Exactly this error.
    Frame(FrameError),
    Truncated,
    TooMany {
        found: u64,
        max: u64,
    },
    NonCanonical {
        value: u64,
        width: u8,
    },
    NotZero {
        found: u64,
    },
    /// A message with a custom command.
    Custom,
}

struct Row<'a> {
    row: &'a Value,
    frame: Vec<u8>,
}

impl<'a> Row<'a> {
    fn new(row: &'a Value) -> Self {
        Self { row, frame: bytes(&row["frame_hex"]) }
    }

    fn field<const N: usize>(&self, at: usize) -> [u8; N] {
        self.frame[at..at + N].try_into().unwrap()
    }

    fn claimed_length(&self) -> usize {
        u32::from_le_bytes(self.field(16)) as usize
    }

    /// `true` if the row is exactly one complete frame.
    fn is_complete(&self) -> bool {
        self.frame.len() >= HEADER_SIZE && self.frame.len() == HEADER_SIZE + self.claimed_length()
    }

    fn payload(&self) -> &[u8] {
        &self.frame[HEADER_SIZE..]
    }

    fn command(&self) -> Command {
        let field: [u8; 12] = self.field(4);
        std::str::from_utf8(&field).unwrap().trim_end_matches('\0').parse().unwrap()
    }

    /// The numbers in a text.
    fn numbers(text: &str) -> Vec<u64> {
        text.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty()).map(|n| n.parse().unwrap()).collect()
    }

    /// `true` if the magic number is that of no known network. kaspad skips such a frame, and this crate refuses the
    /// stream.
    fn is_not_kaspa(&self) -> bool {
        let magic = self.frame.first_chunk().map(|magic| Network::from_magic(u32::from_le_bytes(*magic)));
        matches!(magic, Some(Network::Custom(_)))
    }

    /// The library's result that corresponds to the error text of the original.
    fn expected(&self) -> Expected {
        if self.is_not_kaspa() {
            return Expected::Frame(FrameError::NotKaspa { found: self.field(0) });
        }
        let (name, error) = (text(self.row, "name"), text(self.row, "go_error"));
        let numbers = |after: &str| Self::numbers(error.split_once(after).unwrap().1);
        let bracketed = |after: &str| error.split_once(after).unwrap().1.split_once(']').unwrap().0;
        if CUSTOM.contains(&name) || name == CUSTOM_EMPTY {
            return Expected::Custom;
        }
        if name == CUSTOM_TRUNCATED {
            return self.truncated();
        }
        if error == "EOF" || error == "unexpected EOF" {
            return if self.is_complete() { Expected::Truncated } else { self.truncated() };
        }
        if error.contains("but max message payload is") {
            let numbers = numbers("indicates");
            let [length, max] = [0, 1].map(|i| u32::try_from(numbers[i]).unwrap());
            return Expected::Frame(FrameError::Oversize { length, max });
        }
        if error.contains("message from other network") {
            let found = u32::from_le_bytes(self.field(0));
            assert_eq!(bracketed("network [").to_lowercase(), Network::from_magic(found).to_string());
            return Expected::Frame(FrameError::Network { found, expected: network(self.row) });
        }
        if error.contains("invalid command") || error.contains("unhandled command") {
            return Expected::Frame(FrameError::Command { found: self.field(4) });
        }
        if error.contains("payload exceeds max length") {
            let command: Command = bracketed("of type [").parse().unwrap();
            let numbers = numbers("indicates");
            let [length, max] = [0, 1].map(|i| u32::try_from(numbers[i]).unwrap());
            return Expected::Frame(FrameError::TypeLimit { command, length, max });
        }
        if error.contains("payload checksum failed") {
            let sums = ["indicates ", "checksum is "].map(|after| error.split_once(after).unwrap().1.get(..8).unwrap());
            let [found, computed] = sums.map(|sum| hex::decode(sum).unwrap().try_into().unwrap());
            return Expected::Frame(FrameError::Checksum { command: self.command(), found, computed });
        }
        if error.contains("too many invvect") {
            return Expected::TooMany { found: numbers("[")[0], max: MAX_INVENTORY as u64 };
        }
        if error.contains("may not contain transactions") {
            return Expected::NotZero { found: numbers("[count")[0] };
        }
        if let Some((_, rest)) = error.split_once("non-canonical varint ") {
            let value = u64::from_str_radix(rest.split(' ').next().unwrap(), 16).unwrap();
            let width = match rest.split_once("discriminant ").unwrap().1.get(..2).unwrap() {
                "fd" => 3,
                "fe" => 5,
                _ => 9,
            };
            return Expected::NonCanonical { value, width };
        }
        let numbers = numbers(if error.contains("[len ") { "[len" } else { "[count" });
        Expected::TooMany { found: numbers[0], max: numbers[1] }
    }

    fn truncated(&self) -> Expected {
        let (part, needed, found) = match self.frame.len().checked_sub(HEADER_SIZE) {
            None => ("header", HEADER_SIZE, self.frame.len()),
            Some(found) => ("payload", self.claimed_length(), found),
        };
        Expected::Frame(FrameError::Truncated { part, needed, found })
    }

    fn check_error(&self, error: &FrameError, expected: &Expected) -> Result<(), String> {
        if let Expected::Frame(expected) = expected {
            return same("error", error, expected);
        }
        let FrameError::Payload { command, error } = error else {
            return Err(format!("found {error:?}, expected {expected:?}"));
        };
        same("command", *command, self.command())?;
        let found = match *error {
            DecodeError::Truncated { at, needed, left, .. } => {
                same("a truncated part reaches to the end of the payload", at + left, self.payload().len())?;
                same("a truncated part is short", needed > left as u64, true)?;
                // The text of the original is "EOF" if nothing is left, or if a smaller part of the field ends there.
                same("text", left == 0 && text(self.row, "error_kind") != "io_eof", false)?;
                Expected::Truncated
            }
            DecodeError::TooMany { at, found, max, .. } => {
                same("`at` is in the payload", at < self.payload().len(), true)?;
                Expected::TooMany { found, max }
            }
            DecodeError::NonCanonical { at, value, width, .. } => {
                let discriminant = self.payload().get(at).copied();
                same("`at` is where it is", discriminant, Some([0xfd, 0xfe, 0xff][usize::from(width / 4)]))?;
                Expected::NonCanonical { value, width }
            }
            DecodeError::NotZero { at, found, .. } => {
                same("`at` is in the payload", at < self.payload().len(), true)?;
                Expected::NotZero { found }
            }
            ref other => return Err(format!("found {other:?}, expected {expected:?}")),
        };
        same("error", &found, expected)
    }

    fn check(&self, result: Result<Message, FrameError>) -> Result<(), String> {
        match (result, self.expected()) {
            (Ok(Message::Custom(message)), Expected::Custom) => {
                same("command", Command::Custom(message.command), self.command())?;
                same("payload", message.payload.as_slice(), self.payload())
            }
            (Err(error), expected) => self.check_error(&error, &expected),
            (Ok(message), expected) => Err(format!("found {message:?}, expected {expected:?}")),
        }
    }
}

fn frame_error(error: ReadError) -> FrameError {
    match error {
        ReadError::Frame(error) => error,
        other => panic!("a slice does not fail: {other}"),
    }
}

#[test]
fn the_vectors_have_all_rows() {
    let vectors = load("invalid.json");
    let rows = rows(&vectors);
    assert_eq!(rows.len(), 734);
    let mut groups = BTreeMap::new();
    rows.iter().for_each(|row| *groups.entry(text(row, "group")).or_insert(0) += 1);
    let expected = [
        ("short_header", 24),
        ("wrong_network", 26),
        ("precedence", 4),
        ("command", 21),
        ("oversize", 3),
        ("type_limit", 42),
        ("checksum", 27),
        ("cut_stream", 63),
        ("truncated_payload", 372),
        ("count_limit", 66),
        ("headers_tx_count", 6),
        ("non_canonical", 58),
        ("block_tx", 3),
        ("version", 5),
        ("reject", 6),
        ("trailing_bytes", 7),
        ("oddity", 1),
    ];
    assert_eq!(groups, BTreeMap::from(expected));
    for name in CUSTOM.iter().chain([&CUSTOM_EMPTY, &CUSTOM_TRUNCATED]) {
        assert!(rows.iter().any(|row| row["name"] == *name), "{name} is not in the vectors");
    }
}

#[test]
fn message_reader_gives_the_error_of_each_row() {
    check_rows(rows(&load("invalid.json")), |row| {
        let row = Row::new(row);
        let mut reader = MessageReader::new(row.frame.as_slice(), network(row.row));
        if row.frame.is_empty() {
            // For `MessageReader`, a stream can end between frames. For `read_message` this is an error, see below.
            return same("message", reader.read_message().map_err(frame_error), Ok(None));
        }
        let first = reader.next().ok_or("no result")?;
        row.check(first.map_err(frame_error))?;
        same("results after the first", reader.count(), 0)
    });
}

#[test]
fn read_message_consumes_as_many_bytes_as_the_original() {
    check_rows(rows(&load("invalid.json")), |row| {
        let row = Row::new(row);
        let mut rest = row.frame.as_slice();
        row.check(read_message(&mut rest, network(row.row)).map_err(frame_error))?;
        if row.is_not_kaspa() {
            return same("consumed", row.frame.len() - rest.len(), HEADER_SIZE);
        }
        same("consumed", Some((row.frame.len() - rest.len()) as u64), row.row["consumed"].as_u64())
    });
}

/// All results of a decoder that is fed in pieces of this size.
fn in_pieces(bytes: &[u8], size: usize, network: Network) -> Vec<Result<Message, FrameError>> {
    let mut decoder = FrameDecoder::new(network);
    let mut results = Vec::new();
    for piece in bytes.chunks(size) {
        decoder.feed(piece);
        loop {
            match decoder.next_frame() {
                Ok(None) => break,
                Ok(Some(frame)) => results.push(frame.decode()),
                Err(error) => {
                    let lost = !error.in_step();
                    results.push(Err(error));
                    if lost {
                        return results;
                    }
                }
            }
        }
    }
    results.extend(decoder.finish().err().map(Err));
    results
}

#[test]
fn a_decoder_fed_in_pieces_gives_the_error_of_each_row() {
    for size in [1, 7, 4096] {
        check_rows(rows(&load("invalid.json")), |row| {
            let row = Row::new(row);
            let mut results = in_pieces(&row.frame, size, network(row.row));
            if row.frame.is_empty() {
                return same("results", results.len(), 0);
            }
            same("results", results.len(), 1)?;
            row.check(results.remove(0))
        });
    }
}

#[test]
fn the_frame_behind_a_complete_malformed_one_is_read() {
    let (mut followed, mut lost) = (0, 0);
    let ping = Message::from(Ping { nonce: 77 });
    for row in rows(&load("invalid.json")) {
        let row = Row::new(row);
        let name = &row.row["name"];
        let oversize = row.frame.len() >= HEADER_SIZE && row.claimed_length() > 32 << 20;
        let out_of_step = oversize || row.is_not_kaspa();
        if !row.is_complete() && !out_of_step {
            continue;
        }
        let mut stream = row.frame.clone();
        write_message(&mut stream, &ping, network(row.row)).unwrap();

        let mut results: Vec<_> =
            MessageReader::new(stream.as_slice(), network(row.row)).map(|item| item.map_err(frame_error)).collect();
        assert_eq!(in_pieces(&stream, 5, network(row.row)), results, "{name}");
        row.check(results.remove(0)).unwrap_or_else(|why| panic!("{name}: {why}"));
        if out_of_step {
            assert_eq!(results, [], "{name}: nothing follows");
            lost += 1;
            continue;
        }
        assert_eq!(results, [Ok(ping.clone())], "{name}");

        let mut rest = stream.as_slice();
        let first = read_message(&mut rest, network(row.row));
        assert!(first.is_ok() || first.map_err(frame_error).is_err_and(|error| error.in_step()), "{name}");
        assert_eq!(read_message(&mut rest, network(row.row)).map_err(frame_error), Ok(ping.clone()), "{name}");
        followed += 1;
    }
    assert_eq!((followed, lost), (606, 11));
}

#[test]
fn only_oversize_and_truncated_frames_leave_the_stream_out_of_step() {
    check_rows(rows(&load("invalid.json")), |row| {
        let row = Row::new(row);
        let Err(error) = read_message(&mut row.frame.as_slice(), network(row.row)).map_err(frame_error) else {
            return Ok(());
        };
        let out_of_step =
            matches!(error, FrameError::Oversize { .. } | FrameError::Truncated { .. } | FrameError::NotKaspa { .. });
        if row.is_not_kaspa() {
            return same("out of step", error.in_step(), false);
        }
        same("in_step", error.in_step(), !out_of_step)?;
        // A stream out of step ended early, or its frame was not read to the end.
        let whole = row.frame.len() >= HEADER_SIZE
            && row.claimed_length() == row.row["consumed"].as_u64().unwrap() as usize - 24;
        same("a whole frame that was consumed leaves the stream in step", whole && !error.in_step(), false)
    });
}

#[test]
fn a_decoder_out_of_step_repeats_its_error() {
    let vectors = load("invalid.json");
    for row in rows(&vectors).iter().filter(|row| row["group"] == "oversize") {
        let row = Row::new(row);
        let mut decoder = FrameDecoder::new(network(row.row));
        decoder.feed(&row.frame);
        let first = decoder.next_frame().unwrap_err();
        decoder.feed(&row.frame);
        assert_eq!(decoder.next_frame().unwrap_err(), first, "{}", row.row["name"]);
    }
}

#[test]
fn a_refused_frame_without_a_payload_is_complete_at_once() {
    let mut frame = Vec::new();
    write_message(&mut frame, &kaspa_peer::wire::VerAck, Network::Simnet).unwrap();
    let mut decoder = FrameDecoder::new(Network::Mainnet);
    decoder.feed(&frame);
    assert!(decoder.is_mid_frame());
    assert!(matches!(decoder.next_frame(), Err(FrameError::Network { .. })));
    assert!(!decoder.is_mid_frame());
}
