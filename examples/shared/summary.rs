//! A message in a few words.

use kaspa_peer::wire::{AddressScope, BlockHeader, Hash, Inventory, Message};
use std::fmt::Display;

/// Of a list, so many are shown.
const SHOWN: usize = 3;

/// What is in a message. Empty where its name says it all.
pub fn summary(message: &Message) -> String {
    match message {
        Message::Version(m) => m.user_agent.to_string(),
        Message::GetAddr(m) => scope(m.scope),
        Message::Addr(m) => {
            format!("{}, {}", scope(m.scope), list(m.addresses.iter().map(|known| known.address), "address"))
        }
        Message::GetBlockInvs(m) => range(&m.low, &m.high),
        Message::GetHeaders(m) => range(&m.low, &m.high),
        Message::GetLocator(m) => range(&m.low, &m.high),
        Message::Inv(m) => items(&m.items),
        Message::GetData(m) => items(&m.items),
        Message::NotFound(m) => items(&m.items),
        Message::Block(m) => {
            format!("{}, {}", header(m.header()), count(m.transactions().len(), "transaction"))
        }
        Message::Tx(m) => {
            let (inputs, outputs) = (m.inputs().len(), m.outputs().len());
            format!("{}, {}, {}", m.id(), count(inputs, "input"), count(outputs, "output"))
        }
        Message::Headers(m) => list(m.headers.iter().map(BlockHeader::hash), "header"),
        Message::Ping(m) => format!("nonce {:016x}", m.nonce),
        Message::Pong(m) => format!("nonce {:016x}", m.nonce),
        Message::FilterLoad(m) => {
            format!("{}, {}", count(m.filter.len(), "byte"), count(m.hash_functions as usize, "hash function"))
        }
        Message::FilterAdd(m) => count(m.data.len(), "byte"),
        Message::MerkleBlock(m) => header(&m.header),
        Message::Reject(m) => {
            let hash = m.hash.map(|hash| format!(" ({hash})")).unwrap_or_default();
            format!("{}, {}: {}{hash}", m.command, m.code, m.reason)
        }
        Message::FeeFilter(m) => format!("at least {}", m.min_fee),
        Message::Locator(m) => list(m.hashes.iter(), "hash"),
        Message::SelectedTip(m) => m.hash.to_string(),
        Message::Unknown(m) => format!("{}, an unknown command", count(m.payload.len(), "byte")),
        _ => String::new(),
    }
}

fn header(header: &BlockHeader) -> String {
    format!("{}, {}", header.hash(), count(header.parents.len(), "parent"))
}

fn items(items: &[Inventory]) -> String {
    list(items.iter(), "item")
}

fn range(low: &Hash, high: &Hash) -> String {
    format!("from {low} to {high}")
}

fn scope(scope: AddressScope) -> String {
    match scope {
        AddressScope::All => "all subnetworks".to_owned(),
        AddressScope::FullNodes => "full nodes".to_owned(),
        AddressScope::Subnetwork(id) => format!("subnetwork {id}"),
    }
}

/// How many, and the first few.
fn list<I: ExactSizeIterator<Item: Display>>(mut items: I, noun: &str) -> String {
    let mut text = count(items.len(), noun);
    for (place, item) in items.by_ref().take(SHOWN).enumerate() {
        let separator = if place == 0 { ": " } else { ", " };
        text.push_str(&format!("{separator}{item}"));
    }
    if items.len() > 0 {
        text.push_str(", …");
    }
    text
}

/// `1 hash`, `2 hashes`.
pub fn count(number: usize, noun: &str) -> String {
    let plural = match noun {
        _ if number == 1 => "",
        _ if noun.ends_with(['s', 'h']) => "es",
        _ => "s",
    };
    format!("{number} {noun}{plural}")
}

/// A clock's difference to this one, in words.
#[allow(dead_code)] // Not everybody looks at clocks.
pub fn clock_offset(seconds: i64) -> String {
    match seconds {
        0 => "its clock agrees".to_owned(),
        ahead @ 1.. => format!("its clock is {ahead} s ahead"),
        behind => format!("its clock is {} s behind", behind.unsigned_abs()),
    }
}
