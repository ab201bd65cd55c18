//! Hashes, ids, sizes and variable-length integers as the original implementation computed them.

use super::vector_files::{bytes, check_rows, header, header_from, load, rows, same, text, tx, tx_from};
use kaspa_peer::wire::{
    Block, BlockHeader, Command, DecodeError, Encode, Hash, Headers, Message, Payload, Transaction, TxRef,
};
use serde_json::Value;

fn hash(row: &Value, key: &str) -> Hash {
    Hash::from_bytes(bytes(&row[key]).try_into().unwrap())
}

/// Checks a hash, its text, and that the text can be parsed.
fn check_hash(row: &Value, key: &str, found: Hash) -> Result<(), String> {
    let shown = text(row, &format!("{key}_display")).to_owned();
    same(key, found, hash(row, key))?;
    same(key, found.to_string(), shown.clone())?;
    same(key, format!("{found:?}"), shown.clone())?;
    same(key, shown.parse(), Ok(found))?;
    same(key, shown.to_uppercase().parse(), Ok(found))
}

#[test]
fn the_vectors_have_all_rows() {
    let vectors = load("hashes.json");
    let counts = ["blocks", "txs", "sha256d"].map(|group| rows(&vectors[group]).len());
    assert_eq!(counts, [22, 54, 14]);
    let varints = load("varint.json");
    let counts = ["canonical", "non_canonical", "truncated"].map(|group| rows(&varints[group]).len());
    assert_eq!(counts, [31, 20, 15]);
}

#[test]
fn block_headers_have_the_fields_and_hashes_of_the_original() {
    check_rows(rows(&load("hashes.json")["blocks"]), |row| {
        let mut payload = bytes(&row["header_hex"]);
        let size = payload.len();
        same("serialize_size", row["serialize_size"].as_u64(), Some(size as u64))?;
        payload.push(0);
        let block = Block::decode(&payload).map_err(|error| error.to_string())?;
        same("fields", header(block.header()), row["fields"].clone())?;
        check_hash(row, "block_hash", block.hash())?;

        let built: BlockHeader = header_from(&row["fields"]);
        same("header", &built, block.header())?;
        check_hash(row, "block_hash", built.hash())?;
        let block = Block::new(built.clone(), []).map_err(|error| error.to_string())?;
        same("block", block.as_bytes(), &payload)?;
        same("encoded_len", block.encoded_len(), size + 1)?;
        let headers = Headers { headers: vec![built] };
        let expected = [&[1][..], &payload].concat();
        same("headers", headers.encode(), Ok(expected.clone()))?;
        same("headers", Headers::decode(&expected), Ok(headers))
    });
}

#[test]
fn the_vectors_have_the_genesis_blocks_of_all_networks() {
    let vectors = load("hashes.json");
    let genesis: Vec<_> = rows(&vectors["blocks"])
        .iter()
        .filter_map(|row| text(row, "name").strip_prefix("genesis_"))
        .map(|network| network.split('_').next().unwrap().parse::<kaspa_peer::wire::Network>().unwrap())
        .collect();
    assert_eq!(genesis, kaspa_peer::wire::Network::PUBLIC);
}

fn check_tx(row: &Value, found: TxRef<'_>) -> Result<(), String> {
    same("fields", tx(found), row["fields"].clone())?;
    same("is_coinbase", found.is_coinbase(), row["is_coinbase"].as_bool().unwrap())?;
    let base = found.as_bytes().as_ptr().addr();
    let places: Vec<usize> = found.outputs().map(|output| output.script.as_ptr().addr() - base).collect();
    let expected: Vec<usize> =
        rows(&row["script_pub_key_locs"]).iter().map(|at| at.as_u64().unwrap() as usize).collect();
    same("script_pub_key_locs", places, expected)?;
    check_hash(row, "tx_hash", found.hash())?;
    check_hash(row, "tx_id", found.id())
}

#[test]
fn transactions_have_the_fields_hashes_and_ids_of_the_original() {
    check_rows(rows(&load("hashes.json")["txs"]), |row| {
        let raw = bytes(&row["tx_hex"]);
        same("serialize_size", row["serialize_size"].as_u64(), Some(raw.len() as u64))?;
        let decoded = Transaction::decode(&raw).map_err(|error| error.to_string())?;
        same("bytes", decoded.as_bytes(), &raw)?;
        check_tx(row, decoded.as_ref())?;

        let fields = tx_from(&row["fields"]);
        same("encoded_len", fields.encoded_len(), raw.len())?;
        same("encode", fields.encode(), Ok(raw))?;
        let built = Transaction::new(&fields).map_err(|error| error.to_string())?;
        same("transaction", &built, &decoded)?;
        check_tx(row, built.as_ref())
    });
}

#[test]
fn transactions_within_a_block_have_the_same_hashes_and_ids() {
    let vectors = load("hashes.json");
    let rows = rows(&vectors["txs"]);
    let all: Vec<Transaction> = rows.iter().map(|row| Transaction::decode(&bytes(&row["tx_hex"])).unwrap()).collect();
    let block = Block::new(BlockHeader::default(), &all).unwrap();
    let block = Block::decode(block.as_bytes()).unwrap();
    assert_eq!(block.transactions().len(), 54);
    for (row, tx) in rows.iter().zip(&block) {
        check_tx(row, tx).unwrap_or_else(|why| panic!("{}: {why}", row["name"]));
    }
}

#[test]
fn ids_omit_signatures_and_hashes_omit_payloads() {
    for row in rows(&load("hashes.json")["txs"]) {
        let mut fields = tx_from(&row["fields"]);
        let coinbase = row["is_coinbase"].as_bool().unwrap();
        let before = Transaction::new(&fields).unwrap();
        fields.inputs.iter_mut().for_each(|input| input.signature_script = vec![1, 2, 3]);
        let signed = Transaction::new(&fields).unwrap();
        assert_eq!(before.id() == signed.id(), !coinbase || before == signed, "{}", row["name"]);
        assert_eq!(before.hash() == signed.hash(), before == signed, "{}", row["name"]);
        if let Some(payload) = &mut fields.payload {
            // The payload hash in the transaction does not change.
            payload.push(9);
            let other = Transaction::new(&fields).unwrap();
            assert_eq!(other.hash(), signed.hash(), "{}", row["name"]);
            assert_eq!(other.id() == signed.id(), !coinbase, "{}", row["name"]);
        }
    }
}

#[test]
fn hashes_are_double_sha256() {
    check_rows(rows(&load("hashes.json")["sha256d"]), |row| {
        let found = Hash::of(&bytes(&row["data_hex"]));
        same("sha256d", found, hash(row, "sha256d"))?;
        same("display", found.to_string(), text(row, "display").to_owned())
    });
}

/// Decodes a `headers` payload with one header, whose transaction count is this varint. Every count but zero is an
/// error that contains the count.
fn with_transaction_count(varint: &[u8]) -> Result<Message, DecodeError> {
    let header = Block::new(BlockHeader::default(), []).unwrap();
    let (_, header) = header.as_bytes().split_last().unwrap();
    Message::decode(Command::Headers, &[&[1], header, varint].concat())
}

const COUNT_AT: usize = 1 + 121;

#[test]
fn canonical_varints_are_decoded() {
    check_rows(rows(&load("varint.json")["canonical"]), |row| {
        let value: u64 = text(row, "value").parse().unwrap();
        let found = with_transaction_count(&bytes(&row["hex"]));
        let expected = match value {
            0 => return same("message", found.is_ok(), true),
            found => DecodeError::NotZero { field: "transaction count", at: COUNT_AT, found },
        };
        same("error", found, Err(expected))
    });
}

#[test]
fn non_canonical_varints_are_refused() {
    check_rows(rows(&load("varint.json")["non_canonical"]), |row| {
        let raw = bytes(&row["hex"]);
        let rest = text(row, "go_error").strip_prefix("ReadVarInt: non-canonical varint ").unwrap();
        let value = u64::from_str_radix(rest.split(' ').next().unwrap(), 16).unwrap();
        let width = u8::try_from(raw.len()).unwrap();
        let expected = DecodeError::NonCanonical { field: "transaction count", at: COUNT_AT, value, width };
        same("consumed", row["consumed"].as_u64(), Some(width.into()))?;
        same("error", with_transaction_count(&raw), Err(expected))
    });
}

#[test]
fn truncated_varints_are_refused() {
    check_rows(rows(&load("varint.json")["truncated"]), |row| {
        let raw = bytes(&row["hex"]);
        match with_transaction_count(&raw) {
            Err(DecodeError::Truncated { field: "transaction count", at, needed, left }) => {
                same("end", at + left, COUNT_AT + raw.len())?;
                same("is short", needed > left as u64, true)?;
                same("nothing left", left == 0, text(row, "error_kind") == "io_eof")
            }
            other => Err(format!("{other:?}")),
        }
    });
}
