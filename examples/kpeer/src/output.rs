//! What the programs say: lines for people, or with `--json` an object a line.

use kaspa_peer::wire::{Command, Encode, Message, Version};
use kaspa_peer::{DisconnectReason, Peer};
use parking_lot::Mutex;
use serde::Serialize;
use std::collections::HashSet;
use std::fmt::Display;
use std::io::{self, Write};
use std::process;
use std::sync::Arc;

/// One event as JSON, with its fields in the order in which they were added.
pub struct Record(String);

impl Record {
    pub fn new(event: &str) -> Self {
        Self(String::from("{")).field("event", event)
    }

    /// An event of one peer.
    pub fn of(peer: &Peer, event: &str) -> Self {
        Self::new(event).field("peer", peer.id())
    }

    pub fn field(mut self, name: &str, value: impl Serialize) -> Self {
        // Strings, numbers and lists of them always can be written.
        let value = serde_json::to_string(&value).unwrap_or_else(|_| "null".into());
        let separator = if self.0.len() > 1 { "," } else { "" };
        self.0.push_str(&format!("{separator}\"{name}\":{value}"));
        self
    }

    pub fn text(self, name: &str, value: impl Display) -> Self {
        self.field(name, value.to_string())
    }

    fn finish(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

/// How much is said of messages.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
#[allow(dead_code)] // No program needs all of them.
pub enum Detail {
    /// Every message.
    #[default]
    All,
    /// Every message to programs, none to people.
    Records,
    /// Every message but blocks to programs, none to people.
    Little,
}

/// Where everything is said. Cloning it is cheap, and a line is never torn.
#[derive(Clone, Default)]
pub struct Output {
    json: bool,
    detail: Detail,
    /// The peers that were introduced and are still there.
    met: Arc<Mutex<HashSet<u64>>>,
}

impl Output {
    pub fn new(json: bool) -> Self {
        Self { json, ..Self::default() }
    }

    #[allow(dead_code)] // Some say it all.
    pub fn with(&self, detail: Detail) -> Self {
        Self { detail, ..self.clone() }
    }

    /// Says it one way or the other.
    pub fn say(&self, text: impl Display, record: Record) {
        let line = if self.json { record.finish() } else { text.to_string() };
        let mut out = io::stdout().lock();
        if let Err(error) = writeln!(out, "{line}").and_then(|()| out.flush()) {
            // Nobody hears how it ends, so it is not claimed that it ended well. Who closes a pipe knows why.
            if error.kind() != io::ErrorKind::BrokenPipe {
                eprintln!("standard output: {error}");
            }
            process::exit(1);
        }
    }

    /// The program cannot go on.
    pub fn failed(&self, program: &str, reason: &str) {
        if self.json {
            self.say("", Record::new("failed").field("reason", reason));
        }
        eprintln!("{program}: {reason}");
    }

    /// A connection is there. Says so once, whoever notices first: the program or a callback.
    pub fn connected(&self, peer: &Peer) {
        let mut met = self.met.lock();
        // When it has ended, its last callback says it, or has said it already.
        if peer.disconnect_reason().is_none() {
            self.introduce(peer, &mut met);
        }
    }

    /// The same in a callback, of which the last is still to come.
    fn called_back(&self, peer: &Peer) {
        self.introduce(peer, &mut self.met.lock());
    }

    fn introduce(&self, peer: &Peer, met: &mut HashSet<u64>) {
        if met.insert(peer.id()) {
            self.say(
                format_args!("[{}] {} {}: connected", peer.id(), peer.direction(), peer.address()),
                Record::of(peer, "connected").text("address", peer.address()).text("direction", peer.direction()),
            );
        }
    }

    /// The remote introduced itself.
    pub fn version(&self, peer: &Peer, version: &Version) {
        self.called_back(peer);
        let offset = peer.remote().map_or(0, |remote| remote.time_offset);
        let kind = version.subnetwork.map_or("full node".into(), |id| format!("partial node of subnetwork {id}"));
        self.say(
            format_args!(
                "[{}] {} is a {kind}, protocol {}, services {}; {}; selected tip {}",
                peer.id(),
                version.user_agent,
                version.protocol_version,
                version.services,
                clock_offset(offset),
                version.selected_tip,
            ),
            Record::of(peer, "version")
                .text("user_agent", &version.user_agent)
                .field("protocol_version", version.protocol_version)
                .text("services", version.services.bits())
                .text("service_names", version.services)
                .field("subnetwork", version.subnetwork.map(|id| id.to_string()))
                .text("selected_tip", version.selected_tip)
                .field("time_offset", offset)
                .field("relay_transactions", version.relay_transactions),
        );
    }

    /// A message arrived.
    #[allow(dead_code)] // Some say only who is there.
    pub fn message(&self, peer: &Peer, message: &Message) {
        if let Message::Version(version) = message {
            return self.version(peer, version);
        }
        self.called_back(peer);
        let (command, summary) = (message.command(), message.summary().to_string());
        if self.tells(command) {
            self.say(
                format_args!("[{}] <- {command:<12} {summary}", peer.id()).to_string().trim_end(),
                Record::of(peer, "message").text("command", command).field("summary", summary),
            );
        }
    }

    /// A message was written to the socket.
    #[allow(dead_code)] // Some say only who is there.
    pub fn sent(&self, peer: &Peer, command: Command, bytes: usize) {
        self.called_back(peer);
        if self.tells(command) {
            let summary = format!("{bytes} bytes");
            self.say(
                format_args!("[{}] -> {command:<12} {summary}", peer.id()),
                Record::of(peer, "sent")
                    .text("command", command)
                    .field("summary", summary.as_str())
                    .field("bytes", bytes),
            );
        }
    }

    /// The connection ended.
    pub fn disconnected(&self, peer: &Peer, reason: &DisconnectReason) {
        {
            let mut met = self.met.lock();
            self.introduce(peer, &mut met);
            met.remove(&peer.id());
        }
        self.say(
            format_args!("[{}] disconnected: {reason}", peer.id()),
            Record::of(peer, "disconnected").text("reason", reason),
        );
    }

    fn tells(&self, command: Command) -> bool {
        match self.detail {
            Detail::All => true,
            Detail::Records => self.json,
            Detail::Little => self.json && command != Command::Block,
        }
    }
}

/// A clock's difference to this one, in words.
fn clock_offset(seconds: i64) -> String {
    match seconds {
        0 => "its clock agrees".to_owned(),
        ahead @ 1.. => format!("its clock is {ahead} s ahead"),
        behind => format!("its clock is {} s behind", behind.unsigned_abs()),
    }
}
