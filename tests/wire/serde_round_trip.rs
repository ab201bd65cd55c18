//! With the feature `serde`, messages are read back as they were written, and reading refuses what decoding would
//! refuse.

use super::arbitrary;
use super::vector_files::{bytes, check_rows, load, network, rows, same};
use kaspa_peer::wire::*;
use proptest::prelude::*;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::fmt::Debug;

/// Writes a value as text (JSON) and as bytes (postcard), and reads it back from both.
fn round_trip<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) -> Result<(), String> {
    let text = serde_json::to_string(value).map_err(|error| error.to_string())?;
    let read: T = serde_json::from_str(&text).map_err(|error| format!("{error} in {text}"))?;
    same("from JSON", &read, value)?;
    let bytes = postcard::to_stdvec(value).map_err(|error| error.to_string())?;
    same("from bytes", &postcard::from_bytes::<T>(&bytes).map_err(|error| error.to_string())?, value)
}

#[test]
fn every_message_of_the_vectors_is_read_back() {
    check_rows(rows(&load("messages.json")), |row| {
        let message = read_message(&mut bytes(&row["frame_hex"]).as_slice(), network(row));
        round_trip(&message.map_err(|error| error.to_string())?)
    });
}

#[test]
fn every_frame_error_of_the_vectors_is_read_back() {
    check_rows(rows(&load("invalid.json")), |row| {
        match read_message(&mut bytes(&row["frame_hex"]).as_slice(), network(row)) {
            Err(ReadError::Frame(error)) => round_trip(&error),
            _ => Ok(()),
        }
    });
}

#[test]
fn text_formats_show_what_display_shows() {
    let hash: Hash = "0f2bd52ea69aac311a59428cd5d17e3833e62706f68a1c7c50bef0664459229b".parse().unwrap();
    let value = |message: Message| serde_json::to_value(message).unwrap();
    assert_eq!(value(SelectedTip { hash }.into()), json!({"selectedtip": {"hash": hash.to_string()}}));
    let scope = AddressScope::Subnetwork(SubnetworkId::COINBASE);
    assert_eq!(
        value(GetAddr { scope }.into()),
        json!({"getaddr": {"scope": {"Subnetwork": "0000000000000000000000000000000000000001"}}})
    );
    assert_eq!(value(FilterAdd { data: vec![0, 0xab] }.into()), json!({"filteradd": {"data": "00ab"}}));
    let reason = WireString::from_bytes(*b"\xff\x00");
    let reject = Reject { command: "tx".into(), code: RejectCode::DUST, reason, hash: Some(hash) };
    let reject = value(reject.into());
    assert_eq!(reject["reject"]["command"], "tx");
    assert_eq!(reject["reject"]["reason"], json!({"hex": "ff00"}));
    assert_eq!(serde_json::to_value([Network::Simnet, Network::Custom(7)]).unwrap(), json!(["simnet", "0x00000007"]));
    assert_eq!(serde_json::to_value(Services::NETWORK | Services::BLOOM).unwrap(), json!(5));
}

fn refused<T: DeserializeOwned + Debug>(value: Value) -> String {
    serde_json::from_value::<T>(value).unwrap_err().to_string()
}

#[test]
fn values_that_decoding_would_refuse_are_refused() {
    let tx = serde_json::to_value(TxFields { version: 1, ..TxFields::default() }).unwrap();
    let mut gas = tx.clone();
    gas["gas"] = 1.into();
    assert!(refused::<Transaction>(gas).contains("native"));
    let header =
        serde_json::to_value(BlockHeader { parents: vec![Hash::ZERO; 256], ..BlockHeader::default() }).unwrap();
    assert!(refused::<Block>(json!({"header": header, "transactions": [tx]})).contains("parents"));
    let script = "00".repeat(MAX_PAYLOAD as usize);
    let mut large = serde_json::to_value(TxFields::default()).unwrap();
    large["outputs"] = json!([{"value": 1, "script": script}]);
    assert!(refused::<Transaction>(large).contains("limit"));
    assert!(refused::<Hash>(json!("00")).contains("expected"));
    assert!(refused::<FilterAdd>(json!({"data": "0"})).contains("hex"));
    assert!(refused::<WireString>(json!({"hex": "zz"})).contains("hex"));
    assert!(refused::<CustomMessage>(json!({"command": "ping", "payload": ""})).contains("ping"));
    assert!(refused::<Command>(json!("a name that is too long")).contains("command"));
}

#[test]
fn a_field_name_of_a_newer_version_is_read_as_a_part() {
    let error = json!({"Truncated": {"field": "what is to come", "at": 1, "needed": 2, "left": 0}});
    let error: DecodeError = serde_json::from_value(error).unwrap();
    assert_eq!(error, DecodeError::Truncated { field: "a part", at: 1, needed: 2, left: 0 });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_message_is_read_back(message in arbitrary::any_message()) {
        prop_assert_eq!(round_trip(&message), Ok(()));
    }

    #[test]
    fn any_bytes_give_a_message_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(message) = postcard::from_bytes::<Message>(&bytes) {
            prop_assert!(message.encoded_len() < 10_000);
        }
    }
}
