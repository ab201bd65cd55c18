//! Implementations of `serde`'s traits that cannot be derived.
//!
//! | value | in formats for people, such as JSON | in binary formats |
//! |---|---|---|
//! | hashes, subnetwork ids | as they display | bytes |
//! | other bytes | hex digits, in order | bytes |
//! | text from the wire | text, or `{"hex": "…"}` if it is not UTF-8 | bytes |
//! | networks | by name | magic number |
//! | commands | by name | by name |
//! | transactions, blocks | their parts | their parts |
//!
//! Deserialising refuses every value that could not have come over the wire.

use super::block::{Block, BlockFields};
use super::codec::Codec;
use super::command::{Command, CustomCommand};
use super::error::{DecodeError, EncodeError};
use super::hash::Hash;
use super::message_table::MAX_PAYLOAD;
use super::network::Network;
use super::serde_with::{Bytes, Hex, from_hex};
use super::services::Services;
use super::subnetwork::SubnetworkId;
use super::transaction::Transaction;
use super::transaction_fields::TxFields;
use super::user_agent::UserAgent;
use super::wire_string::WireString;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::{fmt, str::FromStr};

/// Deserialises text as `FromStr` parses it.
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

/// Takes text, or `{"hex": "…"}`.
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

/// Accepts parts that can be received. Gas in a built-in subnetwork can be received, although it cannot be sent.
fn receivable(check: Result<(), EncodeError>) -> Result<(), EncodeError> {
    match check {
        Err(EncodeError::BuiltInGas { .. }) => Ok(()),
        check => check,
    }
}

/// Builds a transaction or a block from its parts, by encoding them and decoding the bytes.
fn built_from<F: Codec, T, E: de::Error>(
    fields: &F,
    check: Result<(), EncodeError>,
    decode: impl FnOnce(Vec<u8>) -> Result<T, DecodeError>,
) -> Result<T, E> {
    check.map_err(E::custom)?;
    let length = fields.size();
    if length > MAX_PAYLOAD as usize {
        return Err(E::custom(format_args!("{length} bytes are over the protocol's limit of {MAX_PAYLOAD}")));
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
        built_from(&fields, receivable(fields.check()), Self::from_vec)
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
        built_from(&fields, fields.header.check().and_then(|()| transactions()), Self::from_vec)
    }
}
