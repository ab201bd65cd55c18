//! Prints events: lines for people, or with `--json` one object a line.

mod line_queue;

use kaspa_peer::wire::{Command, Encode, Message, Version};
use kaspa_peer::{DisconnectReason, Peer};
use line_queue::LineQueue;
use parking_lot::Mutex;
use serde::Serialize;
use std::collections::HashSet;
use std::fmt::Display;
use std::io::{self, Write};
use std::process;
use std::sync::Arc;
use std::time::Duration;

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
        // Strings, numbers and lists of them can always be serialised.
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

/// The messages that are printed.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum Detail {
    /// All messages.
    #[default]
    All,
    /// All messages with `--json`, none without.
    Records,
    /// All messages but blocks with `--json`, none without.
    Little,
}

/// How long the end of the process waits for somebody to read what is queued.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// Prints lines, or with `--json` one object a line. Cloning it is cheap, and lines of different threads do not mix.
#[derive(Clone, Default)]
pub struct Output {
    json: bool,
    detail: Detail,
    /// The peers whose connection was printed, and whose end was not.
    connected: Arc<Mutex<HashSet<u64>>>,
    /// Without queues, printing waits for the reader.
    queues: Option<Queues>,
}

#[derive(Clone)]
struct Queues {
    out: Arc<LineQueue>,
    err: Arc<LineQueue>,
}

impl Output {
    /// For a program that has an end, and whose every line matters: printing waits for the reader.
    pub fn new(json: bool) -> Self {
        Self { json, ..Self::default() }
    }

    /// For a node: it goes on when nobody reads its output. Lines that find no room are counted, and the count is
    /// printed later.
    pub fn of_node(json: bool) -> io::Result<Self> {
        let notice = move |lines| dropped(json, lines);
        let out = LineQueue::start(io::stdout(), notice, |error| stdout_failed(&error))?;
        // Without standard error, there is no place to report that.
        let err = LineQueue::start(io::stderr(), |lines| dropped(false, lines), drop)?;
        Ok(Self { queues: Some(Queues { out, err }), ..Self::new(json) })
    }

    pub fn with(&self, detail: Detail) -> Self {
        Self { detail, ..self.clone() }
    }

    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Prints the text, or with `--json` the record.
    pub fn say(&self, text: impl Display, record: Record) {
        let line = if self.json { record.finish() } else { text.to_string() };
        if let Some(queues) = &self.queues {
            return queues.out.push(line);
        }
        let mut out = io::stdout().lock();
        if let Err(error) = writeln!(out, "{line}").and_then(|()| out.flush()) {
            stdout_failed(&error);
        }
    }

    /// Prints a problem on standard error.
    pub fn warn(&self, program: &str, text: impl Display) {
        self.print_error(format!("kpeer {program}: {text}"));
    }

    /// Prints why the program ends.
    pub fn failed(&self, program: &str, reason: &str) {
        if self.json {
            self.say("", Record::new("failed").field("reason", reason));
        }
        self.print_error(format!("{program}: {reason}"));
    }

    fn print_error(&self, line: String) {
        match &self.queues {
            Some(queues) => queues.err.push(line),
            // Without standard error, there is no place to report that.
            None => drop(writeln!(io::stderr(), "{line}")),
        }
    }

    /// Waits until everything is printed, if it is read. Otherwise reports on standard error how much is not.
    pub fn flush(&self) {
        let Some(queues) = &self.queues else { return };
        let unprinted = queues.out.flush(FLUSH_TIMEOUT);
        if unprinted > 0 {
            queues.err.push(format!("the last {unprinted} lines were not printed, because they were not read"));
        }
        let _ = queues.err.flush(FLUSH_TIMEOUT);
    }

    /// Prints that a peer is connected, once: callbacks may have printed it already.
    pub fn connected(&self, peer: &Peer) {
        let mut connected = self.connected.lock();
        // After the end, the last callback prints this, or has printed it.
        if peer.disconnect_reason().is_none() {
            self.print_connected(peer, &mut connected);
        }
    }

    /// The same from a callback, after which the last one is still to come.
    fn connected_in_callback(&self, peer: &Peer) {
        self.print_connected(peer, &mut self.connected.lock());
    }

    fn print_connected(&self, peer: &Peer, connected: &mut HashSet<u64>) {
        if connected.insert(peer.id()) {
            self.say(
                format_args!("[{}] {} {}: connected", peer.id(), peer.direction(), peer.address()),
                Record::of(peer, "connected").text("address", peer.address()).text("direction", peer.direction()),
            );
        }
    }

    /// Prints the remote's `version`.
    pub fn version(&self, peer: &Peer, version: &Version) {
        self.connected_in_callback(peer);
        let offset = peer.remote().map_or(0, |remote| remote.time_offset);
        let kind = version.subnetwork.map_or("full node".into(), |id| format!("partial node of subnetwork {id}"));
        self.say(
            format_args!(
                "[{}] {} is a {kind}\n    protocol {}, services {}, {}\n    selected tip {}",
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

    /// Prints a message that arrived.
    pub fn message(&self, peer: &Peer, message: &Message) {
        if let Message::Version(version) = message {
            return self.version(peer, version);
        }
        self.connected_in_callback(peer);
        let (command, summary) = (message.command(), message.summary().to_string());
        if self.prints(command) {
            self.say(
                format_args!("[{}] <- {command:<12} {summary}", peer.id()).to_string().trim_end(),
                Record::of(peer, "message").text("command", command).field("summary", summary),
            );
        }
    }

    /// Prints that a message was written.
    pub fn sent(&self, peer: &Peer, command: Command, bytes: usize) {
        self.connected_in_callback(peer);
        if self.prints(command) {
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

    /// Prints the end of a connection.
    pub fn disconnected(&self, peer: &Peer, reason: &DisconnectReason) {
        {
            let mut connected = self.connected.lock();
            self.print_connected(peer, &mut connected);
            connected.remove(&peer.id());
        }
        self.say(
            format_args!("[{}] disconnected: {reason}", peer.id()),
            Record::of(peer, "disconnected").text("reason", reason),
        );
    }

    fn prints(&self, command: Command) -> bool {
        match self.detail {
            Detail::All => true,
            Detail::Records => self.json,
            Detail::Little => self.json && command != Command::Block,
        }
    }
}

/// The line that reports lines that were not printed.
fn dropped(json: bool, lines: u64) -> String {
    let text = format!("{lines} lines were not printed, because the lines before them were not read");
    let line = if json { Record::new("dropped").field("lines", lines).finish() } else { text };
    line + "\n"
}

/// Ends the process when its output cannot be written: nobody would learn whether it succeeded. A closed pipe needs no
/// message, because its reader closed it.
fn stdout_failed(error: &io::Error) {
    if error.kind() != io::ErrorKind::BrokenPipe {
        let _ = writeln!(io::stderr(), "standard output: {error}");
    }
    process::exit(1);
}

/// A clock's difference to this one, in words.
fn clock_offset(seconds: i64) -> String {
    match seconds {
        0 => "its clock agrees".to_owned(),
        ahead @ 1.. => format!("its clock is {ahead} s ahead"),
        behind => format!("its clock is {} s behind", behind.unsigned_abs()),
    }
}
