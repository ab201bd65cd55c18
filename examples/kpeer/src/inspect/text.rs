//! Frames as text for people: one line each, and below it the most important fields.

use super::frames::{Found, network_name};
use kaspa_peer::wire::{AddressScope, BlockHeader, Encode, Inventory, Message, NetAddress, TxRef, Version};
use std::fmt::Display;
use std::io::{self, Write};

/// How many items of a list are shown.
const SHOWN: usize = 10;

/// How many bytes of a field are shown.
const SHOWN_BYTES: usize = 40;

/// Writes one frame.
pub fn write(out: &mut impl Write, found: &Found) -> io::Result<()> {
    let place = match found.line {
        Some(line) => format!("{line}:{}", found.offset),
        None => found.offset.to_string(),
    };
    match &found.content {
        Err(problem) => {
            let command = found.command.map_or("-".to_owned(), |command| command.to_string());
            writeln!(out, "{place:>9}  {:<8} {command:<12} {}: {problem}", "BAD", problem.kind())
        }
        Ok(message) => {
            let network = found.network.map(network_name).unwrap_or_default();
            let (command, size) = (message.command(), found.size);
            let Description { title, lines } = describe(message);
            let line = format!("{place:>9}  {network:<8} {command:<12} {size:>7} bytes  {title}");
            writeln!(out, "{}", line.trim_end())?;
            lines.iter().try_for_each(|line| writeln!(out, "{:13}{line}", ""))
        }
    }
}

/// The text for a message.
#[derive(Default)]
struct Description {
    /// The text next to the command.
    title: String,
    /// The lines below.
    lines: Vec<String>,
}

impl Description {
    fn title(title: impl Display) -> Self {
        Self { title: title.to_string(), lines: Vec::new() }
    }

    fn line(mut self, line: impl Display) -> Self {
        self.lines.push(line.to_string());
        self
    }

    /// Adds a line for each of the first items.
    fn list<I: ExactSizeIterator<Item: Display>>(mut self, mut items: I) -> Self {
        self.lines.extend(items.by_ref().take(SHOWN).map(|item| item.to_string()));
        if items.len() > 0 {
            self.lines.push(format!("… and {} more", items.len()));
        }
        self
    }
}

fn describe(message: &Message) -> Description {
    let description = match message {
        Message::Version(m) => describe_version(m),
        Message::GetAddr(m) => Description::title(scope(m.scope)),
        Message::Addr(m) => {
            let title = format!("{}, {}", count(m.addresses.len() as u64, "address"), scope(m.scope));
            let seen = m.addresses.iter().map(|seen| format!("{}, seen {}", node(&seen.address), seen.time));
            Description::title(title).list(seen)
        }
        Message::GetBlockInvs(m) => range(&m.low, &m.high),
        Message::GetHeaders(m) => range(&m.low, &m.high),
        Message::GetLocator(m) => range(&m.low, &m.high),
        Message::Locator(m) => Description::title(count(m.hashes.len() as u64, "hash")).list(m.hashes.iter()),
        Message::SelectedTip(m) => Description::title(m.hash),
        Message::Inv(m) => inventory(&m.items),
        Message::GetData(m) => inventory(&m.items),
        Message::NotFound(m) => inventory(&m.items),
        Message::Block(m) => {
            let transactions = m.transactions();
            describe_header(m.header())
                .line(count(transactions.len() as u64, "transaction"))
                .list(transactions.map(|tx| format!("  {}", tx.id())))
        }
        Message::Tx(m) => describe_tx(m.as_ref()),
        Message::Headers(m) => {
            let headers = m.headers.iter().map(|header| format!("{} time {}", header.hash(), header.time));
            Description::title(count(m.headers.len() as u64, "header")).list(headers)
        }
        Message::Ping(m) => Description::title(format_args!("nonce {:016x}", m.nonce)),
        Message::Pong(m) => Description::title(format_args!("nonce {:016x}", m.nonce)),
        Message::FilterLoad(m) => {
            let functions = count(m.hash_functions.into(), "hash function");
            Description::title(format_args!("{functions}, tweak {:08x}, update {}", m.tweak, m.update))
                .line(bytes(&m.filter))
        }
        Message::FilterAdd(m) => Description::title(bytes(&m.data)),
        Message::MerkleBlock(m) => {
            let hashes = count(m.hashes.len() as u64, "hash");
            describe_header(&m.header)
                .line(format_args!("{hashes} of {}", count(m.transactions.into(), "transaction")))
                .list(m.hashes.iter().map(|hash| format!("  {hash}")))
                .line(format_args!("flags {}", bytes(&m.flags)))
        }
        Message::Reject(m) => {
            let title = Description::title(format_args!("{}, {}: {}", m.command, m.code, m.reason));
            title.list(m.hash.iter())
        }
        Message::FeeFilter(m) => Description::title(format_args!("at least {}", m.min_fee)),
        Message::Custom(m) => Description::title("an unknown command").line(bytes(&m.payload)),
        _ => Description::default(),
    };
    match message.validate() {
        Ok(()) => description,
        Err(error) => description.line(format_args!("cannot be sent: {error}")),
    }
}

fn describe_version(m: &Version) -> Description {
    let kind = match m.subnetwork {
        None => "full node".to_owned(),
        Some(id) => format!("partial node of subnetwork {id}"),
    };
    let relay = if m.relay_transactions { "wants transactions" } else { "wants no transactions" };
    Description::title(&m.user_agent)
        .line(format_args!("protocol {}, {kind}, {}, {relay}", m.protocol_version, m.services))
        .line(format_args!("time {}, nonce {:016x}", m.time, m.nonce))
        .line(format_args!("from {}", node(&m.sender)))
        .line(format_args!("to {}", node(&m.receiver)))
        .line(format_args!("selected tip {}", m.selected_tip))
}

fn describe_header(header: &BlockHeader) -> Description {
    Description::title(header.hash())
        .line(format_args!(
            "version {}, time {}, bits {:08x}, nonce {:016x}",
            header.version, header.time, header.bits, header.nonce
        ))
        .line(count(header.parents.len() as u64, "parent"))
        .list(header.parents.iter().map(|parent| format!("  {parent}")))
}

fn describe_tx(tx: TxRef<'_>) -> Description {
    let mut description = Description::title(tx.id());
    if tx.hash() != tx.id() {
        description = description.line(format_args!("hash {}", tx.hash()));
    }
    description = description.line(format_args!("version {}, lock time {}", tx.version(), tx.lock_time()));
    if let (Some(hash), Some(payload)) = (tx.payload_hash(), tx.payload()) {
        description = description
            .line(format_args!("subnetwork {}, gas {}", tx.subnetwork(), tx.gas()))
            .line(format_args!("payload {}", bytes(payload)))
            .line(format_args!("payload hash {hash}"));
    }
    let (inputs, outputs) = (tx.inputs(), tx.outputs());
    description
        .line(count(inputs.len() as u64, "input"))
        .list(inputs.map(|input| format!("  {}, script {}", input.previous_output(), bytes(input.signature_script))))
        .line(count(outputs.len() as u64, "output"))
        .list(outputs.map(|output| format!("  {}, script {}", output.value, bytes(output.script))))
}

fn inventory(items: &[Inventory]) -> Description {
    Description::title(count(items.len() as u64, "item")).list(items.iter())
}

fn range(low: &impl Display, high: &impl Display) -> Description {
    Description::default().line(format_args!("low  {low}")).line(format_args!("high {high}"))
}

fn scope(scope: AddressScope) -> String {
    match scope {
        AddressScope::All => "all subnetworks".to_owned(),
        AddressScope::FullNodes => "full nodes".to_owned(),
        AddressScope::Subnetwork(id) => format!("subnetwork {id}"),
    }
}

fn node(address: &NetAddress) -> String {
    format!("{} {}", address.socket_addr(), address.services)
}

/// `1 hash`, `2 hashes`.
pub fn count(number: u64, noun: &str) -> String {
    let plural = match noun {
        _ if number == 1 => "",
        _ if noun.ends_with(['s', 'h']) => "es",
        _ => "s",
    };
    format!("{number} {noun}{plural}")
}

fn bytes(bytes: &[u8]) -> String {
    match bytes.get(..SHOWN_BYTES) {
        _ if bytes.is_empty() => "empty".to_owned(),
        Some(start) if start.len() < bytes.len() => format!("{}… ({} bytes)", hex::encode(start), bytes.len()),
        _ => hex::encode(bytes),
    }
}
