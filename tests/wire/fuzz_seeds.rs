//! Writes the seeds of the fuzz targets from the vectors. Not run by default:
//!
//! ```sh
//! cargo test --test wire fuzz_seeds -- --ignored
//! ```

use super::vector_files::{bytes, load, rows, text};
use kaspa_peer::wire::{Command, HEADER_SIZE, Network};
use serde_json::Value;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The most bytes of a seed. A fuzzer makes short inputs longer by itself.
const LONGEST: usize = 400;

/// The most seeds for each command.
const MOST: usize = 3;

fn directory(target: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds").join(target);
    fs::create_dir_all(&path).unwrap();
    path
}

fn file_name(row: &Value) -> String {
    text(row, "name").replace(|character: char| !character.is_ascii_alphanumeric(), "-")
}

/// A seed for `decode`: the command's index in `Command::ALL`, and the payload.
fn decode_seed(command: Command, payload: &[u8]) -> Vec<u8> {
    let index = Command::ALL.iter().position(|other| *other == command).unwrap_or(Command::ALL.len());
    [&[u8::try_from(index).unwrap()], payload].concat()
}

/// A seed for `chunked_stream`: the frame on simnet as one part, in pieces of 7 and 30 bytes.
fn stream_seed(frame: &[u8]) -> Vec<u8> {
    let length = u16::try_from(frame.len()).unwrap().to_le_bytes();
    let (_, behind) = frame.split_at(4.min(frame.len()));
    [&[2, 6, 0, 29, 0, 0], length.as_slice(), &Network::Simnet.magic().to_le_bytes(), behind].concat()
}

#[test]
#[ignore = "writes tests/fuzz/seeds"]
fn seeds_are_made_from_the_vectors() {
    let (decode, stream) = (directory("decode"), directory("chunked_stream"));
    let mut made: HashMap<String, usize> = HashMap::new();
    for file in ["messages.json", "accepted_oddities.json", "invalid.json"] {
        for row in rows(&load(file)) {
            let Some(frame) = row.get("frame_hex").map(bytes) else { continue };
            let command = row.get("command").and_then(Value::as_str).unwrap_or("none").to_owned();
            let count = made.entry(format!("{file} {command}")).or_default();
            if frame.len() > LONGEST || frame.len() < HEADER_SIZE || *count == MOST {
                continue;
            }
            *count += 1;
            fs::write(stream.join(file_name(row)), stream_seed(&frame)).unwrap();
            if let Ok(command) = command.parse() {
                fs::write(decode.join(file_name(row)), decode_seed(command, &frame[HEADER_SIZE..])).unwrap();
            }
        }
    }
}
