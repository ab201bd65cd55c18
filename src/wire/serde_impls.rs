//! `serde`, where what is derived would not do: bytes as hex for people, and nothing made that decoding would refuse.
//!
//! In formats for people (JSON) hashes and ids are text as `Display` shows them, other bytes hex in their order, text
//! from the wire is text where it is UTF-8, and commands and networks go by their names. In others all are bytes or
//! numbers, but for commands.

use super::codec::Codec;
use super::{
    Block, BlockFields, Command, CustomCommand, DecodeError, EncodeError, Hash, MAX_PAYLOAD, Network, Services,
    SubnetworkId, Transaction, TxFields, UserAgent, WireString,
};
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::{fmt, str::FromStr};

/// Hex digits, two a byte.
pub(crate) struct Hex<'a>(pub &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let byte = |&[high, low]: &[u8; 2]| Some(digit(high)? << 4 | digit(low)?);
    if rest.is_empty() { pairs.iter().map(byte).collect() } else { None }
}

/// Bytes, or the text in which people write them.
struct Bytes;

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

/// For `#[serde(with)]`: bytes, as hex for people.
pub(crate) mod bytes {
    use super::*;

    pub fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() { to.collect_str(&Hex(bytes)) } else { to.serialize_bytes(bytes) }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        if !from.is_human_readable() {
            return from.deserialize_byte_buf(Bytes);
        }
        let text = String::deserialize(from)?;
        from_hex(&text).ok_or_else(|| de::Error::custom("expected hex digits, two a byte"))
    }
}

/// The same where there may be none.
pub(crate) mod optional_bytes {
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

/// As it is displayed.
fn parsed<'de, T: FromStr<Err: fmt::Display>, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    String::deserialize(from)?.parse().map_err(de::Error::custom)
}

macro_rules! ids {
    ($($type:ident)*) => {
        $(
            impl Serialize for $type {
                fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                    if to.is_human_readable() { to.collect_str(self) } else { to.serialize_bytes(self.as_bytes()) }
                }
            }

            impl<'de> Deserialize<'de> for $type {
                fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                    if from.is_human_readable() {
                        return parsed(from);
                    }
                    let bytes = from.deserialize_byte_buf(Bytes)?;
                    let bytes = bytes.as_slice().try_into().map_err(|_| de::Error::invalid_length(bytes.len(), &Bytes))?;
                    Ok(Self::from_bytes(bytes))
                }
            }
        )*
    };
}

ids!(Hash SubnetworkId);

impl Serialize for Services {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.bits().serialize(to)
    }
}

impl<'de> Deserialize<'de> for Services {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        u64::deserialize(from).map(Self::from_bits_retain)
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() { to.collect_str(self) } else { self.magic().serialize(to) }
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        if from.is_human_readable() { parsed(from) } else { u32::deserialize(from).map(Self::from_magic) }
    }
}

impl Serialize for Command {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Command {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        parsed(from)
    }
}

impl Serialize for CustomCommand {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for CustomCommand {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        parsed(from)
    }
}

/// Text where it is text, and otherwise `{"hex": "…"}`.
struct Text;

impl<'de> Visitor<'de> for Text {
    type Value = WireString;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text, or its bytes as `hex`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<WireString, E> {
        Ok(text.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<WireString, A::Error> {
        match map.next_entry::<String, String>()? {
            Some((key, digits)) if key == "hex" => from_hex(&digits).map(WireString::from_bytes),
            _ => None,
        }
        .ok_or_else(|| de::Error::custom("expected `hex`, two digits a byte"))
    }
}

impl Serialize for WireString {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if !to.is_human_readable() {
            return to.serialize_bytes(self.as_bytes());
        }
        match self.to_str() {
            Some(text) => to.serialize_str(text),
            None => {
                let mut map = to.serialize_map(Some(1))?;
                map.serialize_entry("hex", &Hex(self.as_bytes()).to_string())?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for WireString {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        if from.is_human_readable() {
            from.deserialize_any(Text)
        } else {
            from.deserialize_byte_buf(Bytes).map(Self::from_bytes)
        }
    }
}

impl Serialize for UserAgent {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        WireString::from_bytes(self.as_bytes()).serialize(to)
    }
}

impl<'de> Deserialize<'de> for UserAgent {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        WireString::deserialize(from).map(|text| Self::from_bytes(text.as_bytes()))
    }
}

/// Whether the parts can come over the wire. That gas may not be sent in a built-in subnetwork does not keep it from
/// being received.
fn receivable(check: Result<(), EncodeError>) -> Result<(), EncodeError> {
    match check {
        Err(EncodeError::BuiltInGas { .. }) => Ok(()),
        check => check,
    }
}

/// Transactions and blocks are written as their parts, and made of them as if they had come over the wire.
fn made_of<F: Codec, T, E: de::Error>(
    fields: &F,
    check: Result<(), EncodeError>,
    decode: impl FnOnce(Vec<u8>) -> Result<T, DecodeError>,
) -> Result<T, E> {
    check.map_err(E::custom)?;
    let length = fields.size();
    if length > MAX_PAYLOAD as usize {
        return Err(E::custom(format_args!("{length} bytes, at most {MAX_PAYLOAD} can be sent")));
    }
    let mut bytes = Vec::with_capacity(length);
    fields.write(&mut bytes);
    decode(bytes).map_err(E::custom)
}

impl Serialize for Transaction {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.as_ref().to_fields().serialize(to)
    }
}

impl<'de> Deserialize<'de> for Transaction {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let fields = TxFields::deserialize(from)?;
        made_of(&fields, receivable(fields.check()), Self::from_vec)
    }
}

impl Serialize for Block {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.to_fields().serialize(to)
    }
}

impl<'de> Deserialize<'de> for Block {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let fields = BlockFields::deserialize(from)?;
        let transactions = || fields.transactions.iter().try_for_each(|tx| receivable(tx.check()));
        made_of(&fields, fields.header.check().and_then(|()| transactions()), Self::from_vec)
    }
}

/// For `#[serde(with)]`: the names of parts of messages, in errors. One that another version of this crate knows and
/// this one does not becomes "a part".
pub(crate) mod part {
    use super::*;
    use crate::wire::error::Part;

    const PARTS: [Part; 62] = [
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

    pub fn serialize<S: Serializer>(part: &Part, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(part)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Part, D::Error> {
        let name = String::deserialize(from)?;
        Ok(PARTS.into_iter().find(|part| *part == name).unwrap_or("a part"))
    }
}
