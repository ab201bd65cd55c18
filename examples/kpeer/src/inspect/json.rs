//! Frames as JSON. It is written while it is made, because the text of a block can be many times as large as the block.

use super::capture::{Shown, What};
use super::connections::Summary;
use super::frames::{Found, network_name};
use kaspa_peer::wire::{
    AddressScope, BlockHeader, Encode, Frame, InputRef, Inventory, Message, NetAddress, OutputRef, TimedAddress, TxRef,
};
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::fmt::Display;
use std::io::{self, Write};
use std::time::UNIX_EPOCH;

/// Writes one frame as one line.
pub fn write(out: &mut impl Write, found: &Found) -> io::Result<()> {
    serde_json::to_writer(&mut *out, &Json(found))?;
    writeln!(out)
}

/// Writes one record of a capture as one line.
pub fn write_record(out: &mut impl Write, record: &Shown) -> io::Result<()> {
    serde_json::to_writer(&mut *out, &Json(record))?;
    writeln!(out)
}

/// Writes what else was seen in a pcap file as one line.
pub fn write_summary(out: &mut impl Write, summary: &Summary) -> io::Result<()> {
    serde_json::to_writer(&mut *out, &Json(summary))?;
    writeln!(out)
}

/// A value that is written as an object.
trait Object {
    fn entries<M: SerializeMap>(&self, to: &mut M) -> Result<(), M::Error>;
}

macro_rules! entries {
    ($to:ident, { $($name:literal: $value:expr,)* }) => {
        { $($to.serialize_entry($name, &$value)?;)* }
    };
}

struct Json<T>(T);

impl<T: Object> Serialize for Json<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        self.0.entries(&mut map)?;
        map.end()
    }
}

/// A value that is written as it is displayed.
struct Text<T>(T);

impl<T: Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0)
    }
}

struct Hex<'a>(&'a [u8]);

impl Serialize for Hex<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&hex::encode(self.0))
    }
}

/// A list, as a function that makes its iterator.
struct List<F>(F);

impl<F: Fn() -> I, I: Iterator<Item: Serialize>> Serialize for List<F> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0())
    }
}

impl Object for &Shown {
    fn entries<M: SerializeMap>(&self, to: &mut M) -> Result<(), M::Error> {
        let (what, text) = match &self.what {
            What::Received(_) => ("received", None),
            What::Sent(_) => ("sent", None),
            What::Connected(text) => ("connected", Some(text)),
            What::Gone(text) => ("gone", Some(text)),
            What::Refused(text) => ("refused", Some(text)),
            What::Missing(text) => ("missing", Some(text)),
            What::Unknown => ("unknown", None),
        };
        let time = self.time.duration_since(UNIX_EPOCH).unwrap_or_default();
        entries!(to, { "captured_at": Text(time.as_micros()), "peer": self.peer, "what": what, });
        if let Some(text) = text {
            entries!(to, { "text": Text(text), });
        }
        match &self.found {
            Some(found) => found.entries(to),
            None => Ok(()),
        }
    }
}

impl Object for &Summary {
    fn entries<M: SerializeMap>(&self, to: &mut M) -> Result<(), M::Error> {
        entries!(to, {
            "what": "summary",
            "connections": self.connections,
            "other_connections": self.others,
            "ignored_connections": self.ignored,
            "missing_bytes": self.oddities.missing,
            "segments_out_of_order": self.oddities.early,
            "segments_sent_again": self.oddities.again,
            "cut_packets": self.skipped.cut,
            "ip_fragments": self.skipped.fragments,
            "other_packets": self.skipped.other,
        });
        Ok(())
    }
}

impl Object for &Found {
    fn entries<M: SerializeMap>(&self, to: &mut M) -> Result<(), M::Error> {
        entries!(to, { "ok": self.content.is_ok(), });
        if let Err(problem) = &self.content {
            entries!(to, { "kind": problem.kind(), "error": Text(problem), });
        }
        if let Some(command) = self.command {
            entries!(to, { "command": Text(command), });
        }
        if let Some(length) = self.payload_len {
            entries!(to, { "payload_len": length, });
        }
        if let (Ok(message), Some(network)) = (&self.content, self.network) {
            match Frame::encode(message, network) {
                Ok(frame) => entries!(to, { "reencoded": Hex(frame.as_bytes()), }),
                Err(error) => entries!(to, { "reencoded": (), "encode_error": Text(error), }),
            }
            if !message.command().is_known() {
                entries!(to, { "unknown": true, });
            }
        }
        if let Some(network) = self.network {
            entries!(to, { "network": network_name(network), });
        }
        if let Some(line) = self.line {
            entries!(to, { "line": line, });
        }
        entries!(to, { "offset": self.offset, });
        match &self.content {
            Ok(message) => message.entries(to),
            Err(_) => Ok(()),
        }
    }
}

impl Object for Message {
    fn entries<M: SerializeMap>(&self, to: &mut M) -> Result<(), M::Error> {
        match self {
            Self::Version(m) => entries!(to, {
                "protocol_version": m.protocol_version,
                "services": Text(m.services.bits()),
                "time": m.time,
                "subnetwork": m.subnetwork.map(Text),
                "receiver": Json(&m.receiver),
                "sender": Json(&m.sender),
                "nonce": Text(m.nonce),
                "user_agent": Text(&m.user_agent),
                "user_agent_hex": Hex(m.user_agent.as_bytes()),
                "selected_tip": Text(m.selected_tip),
                "relay_transactions": m.relay_transactions,
            }),
            Self::GetAddr(m) => m.scope.entries(to)?,
            Self::Addr(m) => {
                m.scope.entries(to)?;
                entries!(to, { "addresses": List(|| m.addresses.iter().map(Json)), });
            }
            Self::GetBlockInvs(m) => entries!(to, { "low": Text(m.low), "high": Text(m.high), }),
            Self::GetHeaders(m) => entries!(to, { "low": Text(m.low), "high": Text(m.high), }),
            Self::GetLocator(m) => entries!(to, { "high": Text(m.high), "low": Text(m.low), }),
            Self::Locator(m) => entries!(to, { "hashes": List(|| m.hashes.iter().map(Text)), }),
            Self::SelectedTip(m) => entries!(to, { "hash": Text(m.hash), }),
            Self::Inv(m) => entries!(to, { "items": List(|| m.items.iter().map(Json)), }),
            Self::GetData(m) => entries!(to, { "items": List(|| m.items.iter().map(Json)), }),
            Self::NotFound(m) => entries!(to, { "items": List(|| m.items.iter().map(Json)), }),
            Self::Block(m) => entries!(to, {
                "hash": Text(m.hash()),
                "header": Json(m.header()),
                "transactions": List(|| m.transactions().map(Json)),
            }),
            Self::Tx(m) => m.as_ref().entries(to)?,
            Self::Headers(m) => entries!(to, { "headers": List(|| m.headers.iter().map(Json)), }),
            Self::Ping(m) => entries!(to, { "nonce": Text(m.nonce), }),
            Self::Pong(m) => entries!(to, { "nonce": Text(m.nonce), }),
            Self::FilterLoad(m) => entries!(to, {
                "filter": Hex(&m.filter),
                "hash_functions": m.hash_functions,
                "tweak": m.tweak,
                "update": m.update,
            }),
            Self::FilterAdd(m) => entries!(to, { "data": Hex(&m.data), }),
            Self::MerkleBlock(m) => entries!(to, {
                "header": Json(&m.header),
                "transaction_count": m.transactions,
                "hashes": List(|| m.hashes.iter().map(Text)),
                "flags": Hex(&m.flags),
            }),
            Self::Reject(m) => entries!(to, {
                "rejected_command": Text(&m.command),
                "rejected_command_hex": Hex(m.command.as_bytes()),
                "code": m.code.0,
                "code_name": Text(m.code),
                "reason": Text(&m.reason),
                "reason_hex": Hex(m.reason.as_bytes()),
                "hash": m.hash.map(Text),
            }),
            Self::FeeFilter(m) => entries!(to, { "min_fee": m.min_fee, }),
            Self::Custom(m) => entries!(to, { "payload": Hex(&m.payload), }),
            // `verack`, `filterclear`, `sendheaders` and `getseltip` have no fields.
            _ => {}
        }
        Ok(())
    }
}

impl Object for AddressScope {
    fn entries<M: SerializeMap>(&self, to: &mut M) -> Result<(), M::Error> {
        match self {
            Self::All => entries!(to, { "scope": "all", }),
            Self::FullNodes => entries!(to, { "scope": "full_nodes", }),
            Self::Subnetwork(id) => entries!(to, { "scope": "subnetwork", "subnetwork": Text(id), }),
        }
        Ok(())
    }
}

impl Object for &NetAddress {
    fn entries<M: SerializeMap>(&self, to: &mut M) -> Result<(), M::Error> {
        entries!(to, {
            "services": Text(self.services.bits()),
            "ip": Text(self.socket_addr().ip()),
            "port": self.port,
        });
        Ok(())
    }
}

impl Object for &TimedAddress {
    fn entries<M: SerializeMap>(&self, to: &mut M) -> Result<(), M::Error> {
        entries!(to, { "time": self.time, });
        (&self.address).entries(to)
    }
}

impl Object for &Inventory {
    fn entries<M: SerializeMap>(&self, to: &mut M) -> Result<(), M::Error> {
        entries!(to, { "type": self.kind.0, "type_name": Text(self.kind), "hash": Text(self.hash), });
        Ok(())
    }
}

impl Object for &BlockHeader {
    fn entries<M: SerializeMap>(&self, to: &mut M) -> Result<(), M::Error> {
        entries!(to, {
            "hash": Text(self.hash()),
            "version": self.version,
            "parents": List(|| self.parents.iter().map(Text)),
            "hash_merkle_root": Text(self.hash_merkle_root),
            "accepted_id_merkle_root": Text(self.accepted_id_merkle_root),
            "utxo_commitment": Text(self.utxo_commitment),
            "time": self.time,
            "bits": self.bits,
            "nonce": Text(self.nonce),
        });
        Ok(())
    }
}

impl Object for TxRef<'_> {
    fn entries<M: SerializeMap>(&self, to: &mut M) -> Result<(), M::Error> {
        entries!(to, {
            "id": Text(self.id()),
            "hash": Text(self.hash()),
            "version": self.version(),
            "inputs": List(|| self.inputs().map(Json)),
            "outputs": List(|| self.outputs().map(Json)),
            "lock_time": Text(self.lock_time()),
            "subnetwork": Text(self.subnetwork()),
            "gas": Text(self.gas()),
            "payload_hash": self.payload_hash().map(Text),
            "payload": self.payload().map(Hex),
        });
        Ok(())
    }
}

impl Object for InputRef<'_> {
    fn entries<M: SerializeMap>(&self, to: &mut M) -> Result<(), M::Error> {
        let previous = self.previous_output();
        entries!(to, {
            "previous_id": Text(previous.id),
            "previous_index": previous.index,
            "signature_script": Hex(self.signature_script),
            "sequence": Text(self.sequence),
        });
        Ok(())
    }
}

impl Object for OutputRef<'_> {
    fn entries<M: SerializeMap>(&self, to: &mut M) -> Result<(), M::Error> {
        entries!(to, { "value": Text(self.value), "script": Hex(self.script), });
        Ok(())
    }
}
