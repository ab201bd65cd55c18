//! Messages that the original implementation encoded. Decoding them gives the same fields, and encoding the same bytes.

use super::vector_files::{bytes, check_rows, from_json, load, network, rows, same, text, to_json};
use kaspa_peer::wire::{
    Block, Command, Encode, Frame, FrameDecoder, HEADER_SIZE, Message, PROTOCOL_VERSION, Transaction, read_message,
    write_message,
};
use serde_json::Value;
use std::collections::BTreeSet;

fn command(row: &Value) -> Command {
    text(row, "command").parse().unwrap()
}

fn decoded(row: &Value) -> Result<Message, String> {
    let frame = bytes(&row["frame_hex"]);
    let mut source = frame.as_slice();
    let message = read_message(&mut source, network(row)).map_err(|error| format!("does not decode: {error}"))?;
    same("bytes behind the frame", source.len(), 0)?;
    Ok(message)
}

#[test]
fn the_vectors_have_every_command_on_every_network() {
    let vectors = load("messages.json");
    let rows = rows(&vectors);
    assert_eq!(rows.len(), 301);
    let commands: BTreeSet<&str> = rows.iter().map(|row| text(row, "command")).collect();
    assert_eq!(commands, Command::ALL.iter().map(Command::name).collect());
    assert_eq!(commands.len(), 25);
    let networks: BTreeSet<&str> = rows.iter().map(|row| text(row, "net")).collect();
    assert_eq!(networks, BTreeSet::from(["mainnet", "testnet", "regtest", "simnet", "devnet"]));
    let pairs: BTreeSet<_> = rows.iter().map(|row| (text(row, "command"), text(row, "net"))).collect();
    assert_eq!(pairs.len(), 25 * 5, "each command on each network");
    assert!(rows.iter().all(|row| row["pver"] == PROTOCOL_VERSION));
}

#[test]
fn decoding_gives_the_fields_of_the_original() {
    check_rows(rows(&load("messages.json")), |row| {
        let message = decoded(row)?;
        same("command", message.command(), command(row))?;
        same("fields", to_json(&message), row["fields"].clone())
    });
}

#[test]
fn decoded_messages_are_encoded_to_the_same_bytes() {
    check_rows(rows(&load("messages.json")), |row| {
        let message = decoded(row)?;
        let payload = bytes(&row["payload_hex"]);
        same("encoded_len", message.encoded_len(), payload.len())?;
        same("encode", message.encode(), Ok(payload))?;
        let mut written = Vec::new();
        write_message(&mut written, &message, network(row)).map_err(|error| error.to_string())?;
        same("frame", written, bytes(&row["frame_hex"]))
    });
}

#[test]
fn messages_built_from_the_fields_are_encoded_to_the_same_bytes() {
    check_rows(rows(&load("messages.json")), |row| {
        let message = from_json(command(row), &row["fields"]);
        let payload = bytes(&row["payload_hex"]);
        same("command", message.command(), command(row))?;
        same("encoded_len", message.encoded_len(), payload.len())?;
        same("encode", message.encode(), Ok(payload))?;
        let frame = Frame::encode(&*message, network(row)).map_err(|error| error.to_string())?;
        same("frame's network", frame.network(), network(row))?;
        same("frame's command", frame.command(), command(row))?;
        same("frame", frame.as_bytes(), &bytes(&row["frame_hex"]))
    });
}

#[test]
fn a_raw_frame_has_the_command_and_the_payload() {
    check_rows(rows(&load("messages.json")), |row| {
        let mut decoder = FrameDecoder::new(network(row));
        decoder.feed(&bytes(&row["frame_hex"]));
        let frame = decoder.next_frame().map_err(|error| error.to_string())?.ok_or("no frame")?;
        let payload = bytes(&row["payload_hex"]);
        same("command", frame.command(), command(row))?;
        same("size", frame.size(), HEADER_SIZE + payload.len())?;
        same("payload", frame.payload(), &payload)?;
        let whole = frame.decode().map_err(|error| error.to_string())?;
        same("decode_vec", Message::decode_vec(command(row), payload), Ok(whole))?;
        same("is_mid_frame", decoder.is_mid_frame(), false)?;
        same("finish", decoder.finish(), Ok(()))
    });
}

#[test]
fn blocks_and_transactions_built_from_the_fields_equal_the_decoded_ones() {
    let (mut blocks, mut transactions) = (0, 0);
    for row in rows(&load("messages.json")) {
        match decoded(row).unwrap() {
            Message::Block(block) => {
                let fields = super::vector_files::block_from(&row["fields"]);
                assert_eq!(Block::try_from(&fields).as_ref(), Ok(&block), "{}", row["name"]);
                assert_eq!(block.to_fields(), fields, "{}", row["name"]);
                assert_eq!(block.hash(), fields.header.hash(), "{}", row["name"]);
                let parts: Vec<Transaction> = block.transactions().map(|tx| tx.to_transaction()).collect();
                assert_eq!(Block::new(block.header().clone(), &parts), Ok(block), "{}", row["name"]);
                blocks += 1;
            }
            Message::Tx(tx) => {
                let fields = super::vector_files::tx_from(&row["fields"]);
                assert_eq!(Transaction::new(&fields).as_ref(), Ok(&tx), "{}", row["name"]);
                assert_eq!(tx.to_fields(), fields, "{}", row["name"]);
                transactions += 1;
            }
            _ => {}
        }
    }
    assert!(blocks >= 5 && transactions >= 5, "{blocks} blocks, {transactions} transactions");
}
