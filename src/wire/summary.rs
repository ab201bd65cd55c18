//! One-line summaries of messages, for logs.

use super::address::AddressScope;
use super::block_header::BlockHeader;
use super::encode::Encode;
use super::hash::Hash;
use super::inventory::Inventory;
use super::message::Message;
use super::version::Version;
use super::wire_string::padded;
use std::fmt::{self, Display, Formatter};

/// How many items of a list are shown.
const SHOWN: usize = 3;

/// A one-line summary of a message, made by [`Message::summary`].
#[derive(Debug, Clone, Copy)]
pub struct Summary<'a>(&'a Message);

impl Message {
    /// A one-line summary of the payload, safe to print. Shows the length of a list and its first three items, and the
    /// hash of a block. Empty for messages with an empty payload.
    ///
    /// `Display` of the message itself writes the command and the summary.
    ///
    /// ```
    /// use kaspa_peer::wire::{Message, Ping, VerAck};
    ///
    /// let ping = Message::from(Ping { nonce: 0xbeef });
    /// assert_eq!(ping.summary().to_string(), "nonce 000000000000beef");
    /// assert_eq!(ping.to_string(), "ping nonce 000000000000beef");
    /// assert_eq!(Message::from(VerAck).to_string(), "verack");
    /// ```
    #[must_use]
    pub fn summary(&self) -> Summary<'_> {
        Summary(self)
    }
}

impl Summary<'_> {
    /// `true` if the summary is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(
            self.0,
            Message::VerAck(_) | Message::FilterClear(_) | Message::SendHeaders(_) | Message::GetSelectedTip(_)
        )
    }
}

impl Display for Message {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let summary = self.summary();
        let gap = if summary.is_empty() { "" } else { " " };
        padded(f, |f| write!(f, "{}{gap}{summary}", self.command()))
    }
}

impl Display for Summary<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        padded(f, |f| self.write(f))
    }
}

impl Summary<'_> {
    fn write(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Message::Version(m) => version(m, f),
            Message::VerAck(_) | Message::FilterClear(_) | Message::SendHeaders(_) | Message::GetSelectedTip(_) => {
                Ok(())
            }
            Message::GetAddr(m) => scope(m.scope, f),
            Message::Addr(m) => {
                scope(m.scope, f)?;
                f.write_str(", ")?;
                list(m.addresses.iter().map(|known| known.address), "address", f)
            }
            Message::GetBlockInvs(m) => range(&m.low, &m.high, f),
            Message::GetHeaders(m) => range(&m.low, &m.high, f),
            Message::GetLocator(m) => range(&m.low, &m.high, f),
            Message::Inv(m) => items(&m.items, f),
            Message::GetData(m) => items(&m.items, f),
            Message::NotFound(m) => items(&m.items, f),
            Message::Block(m) => {
                header(m.header(), f)?;
                write!(f, ", {}", Counted(m.transactions().len(), "transaction"))
            }
            Message::Tx(m) => {
                let (inputs, outputs) = (Counted(m.inputs().len(), "input"), Counted(m.outputs().len(), "output"));
                write!(f, "{}, {inputs}, {outputs}", m.id())
            }
            Message::Headers(m) => list(m.headers.iter().map(BlockHeader::hash), "header", f),
            Message::Ping(m) => write!(f, "nonce {:016x}", m.nonce),
            Message::Pong(m) => write!(f, "nonce {:016x}", m.nonce),
            Message::FilterLoad(m) => {
                let functions = Counted(m.hash_functions as usize, "hash function");
                write!(f, "{}, {functions}", Counted(m.filter.len(), "byte"))
            }
            Message::FilterAdd(m) => Counted(m.data.len(), "byte").fmt(f),
            Message::MerkleBlock(m) => {
                header(&m.header, f)?;
                write!(
                    f,
                    ", {} of {}",
                    Counted(m.hashes.len(), "hash"),
                    Counted(m.transactions as usize, "transaction")
                )
            }
            Message::Reject(m) => {
                write!(f, "{}, {}: {}", m.command, m.code, m.reason)?;
                m.hash.map_or(Ok(()), |hash| write!(f, " ({hash})"))
            }
            Message::FeeFilter(m) => write!(f, "at least {}", m.min_fee),
            Message::Locator(m) => list(m.hashes.iter(), "hash", f),
            Message::SelectedTip(m) => m.hash.fmt(f),
            Message::Custom(m) => write!(f, "{}, an unknown command", Counted(m.payload.len(), "byte")),
        }
    }
}

fn version(m: &Version, f: &mut Formatter<'_>) -> fmt::Result {
    write!(f, "{}, protocol {}, services {}", m.user_agent, m.protocol_version, m.services)?;
    m.subnetwork.map_or(Ok(()), |id| write!(f, ", subnetwork {id}"))?;
    write!(f, ", selected tip {}", m.selected_tip)
}

fn header(header: &BlockHeader, f: &mut Formatter<'_>) -> fmt::Result {
    write!(f, "{}, {}", header.hash(), Counted(header.parents.len(), "parent"))
}

fn items(items: &[Inventory], f: &mut Formatter<'_>) -> fmt::Result {
    list(items.iter(), "item", f)
}

fn range(low: &Hash, high: &Hash, f: &mut Formatter<'_>) -> fmt::Result {
    write!(f, "from {low} to {high}")
}

fn scope(scope: AddressScope, f: &mut Formatter<'_>) -> fmt::Result {
    match scope {
        AddressScope::All => f.write_str("all subnetworks"),
        AddressScope::FullNodes => f.write_str("full nodes"),
        AddressScope::Subnetwork(id) => write!(f, "subnetwork {id}"),
    }
}

/// Writes the length of a list, and its first items.
fn list<I: ExactSizeIterator<Item: Display>>(mut items: I, noun: &str, f: &mut Formatter<'_>) -> fmt::Result {
    Counted(items.len(), noun).fmt(f)?;
    for (place, item) in items.by_ref().take(SHOWN).enumerate() {
        write!(f, "{} {item}", if place == 0 { ":" } else { "," })?;
    }
    f.write_str(if items.len() > 0 { ", …" } else { "" })
}

/// A number and a noun: `1 hash`, `2 hashes`.
struct Counted<'a>(usize, &'a str);

impl Display for Counted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(number, noun) = self;
        let plural = match noun {
            _ if *number == 1 => "",
            _ if noun.ends_with(['s', 'h']) => "es",
            _ => "s",
        };
        write!(f, "{number} {noun}{plural}")
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Addr, CustomMessage, FilterClear, GetSelectedTip, Inv, SendHeaders, VerAck};
    use super::*;

    #[test]
    fn the_first_three_items_of_a_list_are_shown() {
        let inv = |count: u8| {
            Message::from(Inv::from((0..count).map(|n| Inventory::tx(Hash::from_bytes([n; 32]))).collect::<Vec<_>>()))
        };
        assert_eq!(inv(0).to_string(), "inv 0 items");
        let hash = |n: u8| format!("{n:02}").repeat(32);
        assert_eq!(inv(1).to_string(), format!("inv 1 item: MSG_TX {}", hash(0)));
        let three = format!("3 items: MSG_TX {}, MSG_TX {}, MSG_TX {}", hash(0), hash(1), hash(2));
        assert_eq!(inv(3).summary().to_string(), three);
        assert_eq!(inv(4).summary().to_string(), three.replacen('3', "4", 1) + ", …");
    }

    #[test]
    fn nouns_take_the_plural() {
        assert_eq!(
            Message::from(Addr { scope: AddressScope::All, addresses: Vec::new() }).to_string(),
            "addr all subnetworks, 0 addresses"
        );
        let custom = CustomMessage::new("hello", vec![1]).unwrap();
        assert_eq!(Message::from(custom).to_string(), "hello 1 byte, an unknown command");
    }

    #[test]
    fn the_summary_of_an_empty_payload_is_empty() {
        for message in [VerAck.into(), FilterClear.into(), SendHeaders.into(), Message::from(GetSelectedTip)] {
            assert!(message.summary().is_empty() && message.summary().to_string().is_empty());
            assert_eq!(message.to_string(), message.command().name());
        }
    }
}
