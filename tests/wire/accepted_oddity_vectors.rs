//! Odd frames that the original implementation accepts. The library accepts them too, except for those that it refuses
//! on purpose.

use super::vector_files::{bytes, check_rows, load, network, rows, same, text, to_json};
use kaspa_peer::wire::{
    DecodeError, Encode, EncodeError, FrameError, HEADER_SIZE, Message, MessageReader, Ping, Pong, ReadError, TxRef,
    read_message,
};
use serde_json::Value;

/// Rows with bytes behind the last field, and the number of these bytes. The library refuses them in all messages but
/// `version`.
const TRAILING: [(&str, usize); 14] = [
    ("odd/trailing_getaddr", 3),
    ("odd/trailing_addr", 3),
    ("odd/trailing_inv", 3),
    ("odd/trailing_getdata", 3),
    ("odd/trailing_notfound", 3),
    ("odd/trailing_block", 3),
    ("odd/trailing_tx", 3),
    ("odd/trailing_headers", 3),
    ("odd/trailing_filteradd", 3),
    ("odd/trailing_filterload", 3),
    ("odd/trailing_merkleblock", 3),
    ("odd/trailing_reject", 3),
    ("odd/trailing_locator", 3),
    ("odd/reject_hash_on_other_command_is_trailing", 32),
];

/// Rows with a transaction payload shorter than its length, and the numbers of bytes that are claimed and that are
/// left. The original fills the payload up with zeros. The library refuses it.
const CUT: [(&str, u64, usize); 8] = [
    ("trunc/tx_208_of_223_boundary", 15, 0),
    ("trunc/tx_209_of_223_mid", 15, 1),
    ("trunc/tx_coinbase_122_of_131_boundary", 9, 0),
    ("trunc/tx_coinbase_123_of_131_mid", 9, 1),
    ("odd/tx_payload_cut_to_nothing", 5, 0),
    ("odd/tx_payload_cut_half", 10, 4),
    ("odd/tx_payload_declared_100k", 100_000, 0),
    ("odd/block_last_tx_payload_cut", 6, 1),
];

/// Rows whose messages can be decoded, but not encoded.
const NOT_ENCODED: [&str; 2] = ["odd/tx_coinbase_with_gas", "odd/tx_registry_with_gas"];

fn read(row: &Value) -> Result<Message, FrameError> {
    let frame = bytes(&row["frame_hex"]);
    let mut source = frame.as_slice();
    let message = read_message(&mut source, network(row)).map_err(|error| match error {
        ReadError::Frame(error) => error,
        other => panic!("{other}"),
    });
    assert_eq!(row["consumed"], frame.len() - source.len(), "{}", row["name"]);
    message
}

/// The error of a row that the library refuses on purpose.
fn refused(row: &Value) -> Option<DecodeError> {
    let name = text(row, "name");
    let length = bytes(&row["frame_hex"]).len() - HEADER_SIZE;
    let trailing = TRAILING.iter().find(|(refused, _)| *refused == name);
    let cut = CUT.iter().find(|(refused, ..)| *refused == name);
    trailing.map(|&(_, left)| DecodeError::Trailing { at: length - left, left }).or(cut.map(|&(_, needed, left)| {
        DecodeError::Truncated { field: "transaction payload", at: length - left, needed, left }
    }))
}

#[test]
fn the_vectors_have_all_rows() {
    let vectors = load("accepted_oddities.json");
    let rows = rows(&vectors);
    assert_eq!(rows.len(), 79);
    assert_eq!(rows.iter().filter(|row| refused(row).is_some()).count(), TRAILING.len() + CUT.len());
    let filled: Vec<&str> =
        rows.iter().filter(|row| row["zero_filled_payload"] == true).map(|row| text(row, "name")).collect();
    let mut cut = CUT.map(|(name, ..)| name);
    assert!(filled.len() == cut.len() && filled.iter().all(|name| cut.contains(name)), "{filled:?}");
    cut.sort_unstable();
    assert!(cut.windows(2).all(|pair| pair[0] != pair[1]));
    let with_error: Vec<&str> =
        rows.iter().filter(|row| row["reencode"] == "error").map(|row| text(row, "name")).collect();
    assert_eq!(with_error, NOT_ENCODED);
}

#[test]
fn accepted_rows_have_the_fields_of_the_original() {
    check_rows(rows(&load("accepted_oddities.json")), |row| {
        if refused(row).is_some() {
            return Ok(());
        }
        let message = read(row).map_err(|error| error.to_string())?;
        same("command", message.command().name(), text(row, "command"))?;
        same("fields", to_json(&message), row["fields"].clone())
    });
}

#[test]
fn accepted_rows_are_encoded_as_by_the_original() {
    check_rows(rows(&load("accepted_oddities.json")), |row| {
        if refused(row).is_some() {
            return Ok(());
        }
        let message = read(row).map_err(|error| error.to_string())?;
        let consumed = row["consumed"].as_u64().unwrap() as usize;
        let received = bytes(&row["frame_hex"])[HEADER_SIZE..consumed].to_vec();
        let expected = match text(row, "reencode") {
            "identical" => Ok(received),
            "different" => {
                let expected = bytes(&row["reencoded_payload_hex"]);
                same("the row says different", expected != received, true)?;
                Ok(expected)
            }
            "error" => {
                let Message::Tx(tx) = &message else { return Err(format!("{message:?}")) };
                same("gas", tx.gas() > 0 && tx.subnetwork().is_built_in(), true)?;
                Err(EncodeError::BuiltInGas { gas: tx.gas() })
            }
            other => return Err(format!("unknown: {other}")),
        };
        if let Ok(payload) = &expected {
            same("encoded_len", message.encoded_len(), payload.len())?;
        }
        same("encode", message.encode(), expected)
    });
}

#[test]
fn rows_with_trailing_or_missing_bytes_are_refused() {
    check_rows(rows(&load("accepted_oddities.json")), |row| {
        let Some(error) = refused(row) else { return Ok(()) };
        let command = text(row, "command").parse().unwrap();
        same("result", read(row), Err(FrameError::Payload { command, error }))
    });
}

#[test]
fn rows_with_trailing_bytes_are_accepted_without_them() {
    check_rows(rows(&load("accepted_oddities.json")), |row| {
        let Some(DecodeError::Trailing { left, .. }) = refused(row) else { return Ok(()) };
        let payload = bytes(&row["frame_hex"])[HEADER_SIZE..].to_vec();
        let command = text(row, "command").parse().unwrap();
        let message = Message::decode(command, &payload[..payload.len() - left]).map_err(|error| error.to_string())?;
        same("fields", to_json(&message), row["fields"].clone())?;
        same("encode", message.encode(), Ok(bytes(&row["reencoded_payload_hex"])))
    });
}

#[test]
fn a_block_with_gas_in_a_built_in_subnetwork_is_decoded_but_not_encoded() {
    let vectors = load("accepted_oddities.json");
    let find = |name| rows(&vectors).iter().find(|row| row["name"] == name).unwrap();
    let Ok(Message::Tx(tx)) = read(find(NOT_ENCODED[0])) else { panic!("not a transaction") };
    let Ok(Message::Block(empty)) = read(find("odd/block_no_transactions")) else { panic!("not a block") };
    let (_, header) = empty.as_bytes().split_last().unwrap();
    let payload = [header, &[1], tx.as_bytes()].concat();
    let block = Message::decode(kaspa_peer::wire::Command::Block, &payload).unwrap();
    let Message::Block(received) = &block else { panic!("not a block") };
    assert_eq!(received.transactions().map(TxRef::gas).collect::<Vec<_>>(), [tx.gas()]);
    assert_eq!(block.encode(), Err(EncodeError::BuiltInGas { gas: tx.gas() }));
}

#[test]
fn reading_one_frame_leaves_the_next_in_the_stream() {
    let vectors = load("accepted_oddities.json");
    let row = rows(&vectors).iter().find(|row| row["name"] == "odd/two_frames_reader_takes_first").unwrap();
    let frames = bytes(&row["frame_hex"]);
    let mut source = frames.as_slice();
    let first = read_message(&mut source, network(row)).unwrap();
    assert_eq!(source.len(), 32);
    let second = read_message(&mut source, network(row)).unwrap();
    assert!(matches!((&first, &second), (Message::Ping(Ping { .. }), Message::Pong(Pong { .. }))));
    let both: Vec<_> = MessageReader::new(frames.as_slice(), network(row)).map(Result::unwrap).collect();
    assert_eq!(both, [first, second]);
}
