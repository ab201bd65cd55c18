//! Frames that make the original implementation panic or run out of memory. The library refuses them with an ordinary
//! error and without a large allocation.

use super::vector_files::{bytes, check_rows, load, network, rows, same, text};
use kaspa_peer::wire::{DecodeError, FrameDecoder, FrameError, Message, ReadError, read_message};
use serde_json::Value;

/// The length that each row claims for a transaction's payload.
const CLAIMED: [(&str, u64); 7] = [
    ("panic/tx_payload_len_274877906944", 1 << 38),
    ("panic/tx_payload_len_1099511627776", 1 << 40),
    ("panic/tx_payload_len_140737488355328", 1 << 47),
    ("panic/tx_payload_len_4611686018427387904", 1 << 62),
    ("panic/tx_payload_len_9223372036854775808", 1 << 63),
    ("panic/tx_payload_len_18446744073709551615", u64::MAX),
    ("panic/block_tx_payload_len_max", u64::MAX),
];

fn by_stream(row: &Value, frame: &[u8]) -> Result<Message, FrameError> {
    read_message(&mut &*frame, network(row)).map_err(|error| match error {
        ReadError::Frame(error) => error,
        other => panic!("{other}"),
    })
}

fn by_pieces(row: &Value, frame: &[u8]) -> Result<Message, FrameError> {
    let mut decoder = FrameDecoder::new(network(row));
    for byte in frame {
        assert!(decoder.next_frame()?.is_none());
        decoder.feed(&[*byte]);
    }
    decoder.next_frame()?.expect("a complete frame").decode()
}

#[test]
fn the_vectors_have_all_rows() {
    let vectors = load("panics.json");
    let names: Vec<&str> = rows(&vectors).iter().map(|row| text(row, "name")).collect();
    assert_eq!(names, CLAIMED.map(|(name, _)| name));
}

#[test]
fn huge_lengths_are_refused_without_a_large_allocation() {
    check_rows(rows(&load("panics.json")), |row| {
        let frame = bytes(&row["frame_hex"]);
        let (_, claimed) = CLAIMED.into_iter().find(|(name, _)| row["name"] == *name).unwrap();
        for read in [by_stream, by_pieces] {
            let mut result = None;
            let used = allocation_counter::measure(|| result = Some(read(row, &frame)));
            let bound = 2 * frame.len() as u64 + 64 * 1024;
            same("the memory is within its limit", used.bytes_max <= bound, true).map_err(|_| format!("{used:?}"))?;
            match result.unwrap() {
                Err(FrameError::Payload {
                    error: DecodeError::Truncated { field: "transaction payload", at, needed, left },
                    ..
                }) => {
                    same("needed", needed, claimed)?;
                    same("end", 24 + at + left, frame.len())?;
                }
                other => return Err(format!("{other:?}")),
            }
        }
        Ok(())
    });
}
