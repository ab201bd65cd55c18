//! `kpeer bench`: what this library costs on this machine, measured against the least that the same work can cost.
//!
//! `floor` is that least, in plain code. `kinds` has what is measured, `measure` how, `report` how it is printed.

mod child;
mod floor;
mod kinds;
mod measure;
// The messages that the library itself measures.
#[path = "../../../tests/common/payloads.rs"]
mod payloads;
mod receiver;
mod report;

use crate::wrong_usage;
use clap::Args;
use receiver::{Counter, Receiver};
use report::Report;
use std::error::Error;
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::time::Duration;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const HELP: &str = "\
Floor and library take turns, so that whatever else the machine does hits both;
printed are medians, and the ratio library ÷ floor with its spread over the
rounds. Compare ratios, not figures of different runs.

Kinds:
  small      8-byte messages, lent one by one, and as ready-made frames
  tx         transactions of 250 bytes
  inv        announcements of 1000 transactions
  block      blocks of 1 MB with 4000 transactions, all parts visited; sent from
             decoded blocks, from plain structs, and as frames
  rtt        sequential pings; floor: a blocking echo
  handshake  connect, shake hands, disconnect, wait; floor: six threads
  receipts   small messages with a receipt each, 1000 in flight
  broadcast  one block of 1 MB to many peers; floor: the same bytes written to
             as many sockets
  trickle    100 000 announcements
  idle       connected peers that do nothing; floor: as many sockets, each with
             three threads that wait
  codec      bytes to message and back, without sockets; floor: the checksum
  all        everything (the default)

CPU seconds are those of all rounds; allocations are for each message.

Exit status: 0 when all was measured, 1 when something failed, 2 when the
program was called wrongly.
";

/// Measures the library against a floor: the same work in plain code
///
/// The floor computes checksums on both ends, but has no queues, channels, decoding and callbacks.
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub struct Options {
    /// What to measure, see below
    #[arg(long, value_name = "KIND", default_value = "all", value_parser = kind)]
    kind: String,
    /// How many times [default: 5]
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// About how long one measurement takes [default: 500]
    #[arg(long, value_name = "N")]
    millis: Option<u64>,
    /// How many peers for broadcast (200) and idle (1000); several numbers give a line each
    #[arg(long, value_name = "N,…", value_delimiter = ',')]
    peers: Vec<usize>,
    /// A fraction of a second a kind: shows that it works, not how fast
    #[arg(long)]
    quick: bool,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
    /// Run one end of small, tx, inv, block, rtt and receipts, `send` or `receive`, the other being another process or machine; CPU time and allocations are then those of the sending process
    #[arg(long, value_name = "ROLE", value_parser = role)]
    role: Option<Role>,
    /// Where the receiving end is
    #[arg(long, value_name = "ADDR")]
    addr: Option<SocketAddr>,
}

fn kind(text: &str) -> Result<String> {
    if kinds::exists(text) { Ok(text.to_owned()) } else { Err("there is no such kind".into()) }
}

fn role(text: &str) -> Result<Role> {
    match text {
        "send" => Ok(Role::Send),
        "receive" => Ok(Role::Receive),
        own if child::ROLES.contains(&own) => Ok(Role::Child(own.to_owned())),
        _ => Err("there is no such role".into()),
    }
}

/// How to measure.
struct Plan {
    kind: String,
    rounds: usize,
    /// About how long one measurement takes.
    slice: Duration,
    quick: bool,
    peers: Vec<usize>,
    /// Where the receiving end is, if not in this process.
    receiver: Option<SocketAddr>,
}

impl Plan {
    /// Whether a kind of this name, or of this group, is asked for.
    fn wants(&self, group: &str, kind: &str) -> bool {
        [group, kind, "all"].contains(&self.kind.as_str())
    }

    fn receiver(&self) -> Result<Receiver> {
        self.receiver.map_or_else(Receiver::here, |address| Ok(Receiver::at(address)))
    }
}

#[derive(Debug, Clone)]
enum Role {
    Send,
    Receive,
    /// What this program starts itself for some kinds.
    Child(String),
}

pub fn run(options: Options) -> ExitCode {
    let Options { kind, rounds, millis, peers, quick, json, role, addr } = options;
    if addr.is_none() && matches!(role, Some(Role::Send | Role::Receive)) {
        wrong_usage("bench", "a role needs --addr");
    }
    let slice = Duration::from_millis(millis.unwrap_or(if quick { 20 } else { 500 }));
    let rounds = rounds.unwrap_or(if quick { 1 } else { 5 }).max(1);
    let plan = Plan { kind, rounds, slice, quick, peers, receiver: addr };
    if let Err(error) = measure(&plan, role, json) {
        eprintln!("kpeer bench: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn measure(plan: &Plan, role: Option<Role>, json: bool) -> Result<()> {
    match role {
        None | Some(Role::Send) => kinds::run(plan, &mut Report::new(json)),
        Some(Role::Receive) => {
            let address = plan.receiver.ok_or("a role needs --addr")?;
            let listener = TcpListener::bind(address)?;
            println!("receiving at {}", listener.local_addr()?);
            receiver::serve(&listener, &Counter::default());
            Ok(())
        }
        Some(Role::Child(role)) => child::run(&role, plan),
    }
}
