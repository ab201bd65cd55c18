//! How fields of messages and errors are serialised, for `#[serde(with)]`.

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};
use std::fmt;

/// Displays bytes as two hex digits each.
pub(super) struct Hex<'a>(pub &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

pub(super) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let byte = |&[high, low]: &[u8; 2]| Some(digit(high)? << 4 | digit(low)?);
    if rest.is_empty() { pairs.iter().map(byte).collect() } else { None }
}

/// Takes bytes.
pub(super) struct Bytes;

impl<'de> Visitor<'de> for Bytes {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        Ok(bytes.to_vec())
    }

    fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
        Ok(bytes)
    }
}

/// Bytes: as hex digits in formats for people, as bytes in others.
pub(super) mod bytes {
    use super::*;

    pub fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() { to.collect_str(&Hex(bytes)) } else { to.serialize_bytes(bytes) }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        if !from.is_human_readable() {
            return from.deserialize_byte_buf(Bytes);
        }
        let text = String::deserialize(from)?;
        from_hex(&text).ok_or_else(|| de::Error::custom("expected two hex digits for each byte"))
    }
}

/// Optional bytes, like `bytes`.
pub(super) mod optional_bytes {
    use super::*;

    struct Part<B>(B);

    impl Serialize for Part<&[u8]> {
        fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            bytes::serialize(self.0, to)
        }
    }

    impl<'de> Deserialize<'de> for Part<Vec<u8>> {
        fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            bytes::deserialize(from).map(Self)
        }
    }

    pub fn serialize<S: Serializer>(bytes: &Option<Vec<u8>>, to: S) -> Result<S::Ok, S::Error> {
        bytes.as_deref().map(Part).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<u8>>, D::Error> {
        Ok(Option::<Part<Vec<u8>>>::deserialize(from)?.map(|part| part.0))
    }
}

/// Names of parts of messages, in errors. A name that this version of the crate does not know becomes "a part".
pub(super) mod part {
    use super::*;

    const PARTS: [&str; 62] = [
        "accepted id merkle root",
        "addresses",
        "bits",
        "block",
        "block time",
        "block version",
        "checksum",
        "command",
        "fields of a newer version",
        "filter",
        "filter element",
        "gas",
        "hash functions",
        "hash merkle root",
        "header",
        "headers",
        "high hash",
        "include all subnetworks",
        "inputs",
        "inventory",
        "ip address",
        "is full node",
        "last seen",
        "length",
        "locator hashes",
        "lock time",
        "low hash",
        "magic",
        "merkle flags",
        "merkle hashes",
        "minimum fee",
        "nonce",
        "output script",
        "outputs",
        "parent count",
        "parents",
        "payload",
        "payload hash",
        "port",
        "previous output",
        "protocol version",
        "reject code",
        "reject reason",
        "rejected command",
        "rejected hash",
        "relay transactions",
        "selected tip",
        "sequence",
        "services",
        "signature script",
        "subnetwork",
        "time",
        "transaction",
        "transaction count",
        "transaction payload",
        "transaction version",
        "transactions",
        "tweak",
        "update flag",
        "user agent",
        "utxo commitment",
        "value",
    ];

    pub fn serialize<S: Serializer>(part: &&'static str, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(part)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<&'static str, D::Error> {
        let name = String::deserialize(from)?;
        Ok(PARTS.into_iter().find(|part| *part == name).unwrap_or("a part"))
    }
}
