//! `kpeer bench`: what this library costs on this machine, measured against the least that the same work can cost.
//!
//! `floor` is that least, in plain code. `kinds` measures, with the tools in `measure`. `report` prints, and `compare` reads an
//! earlier run.

mod child;
mod compare;
mod floor;
mod kinds;
mod measure;
// The same messages as in the benchmarks of the library.
#[path = "../../../tests/common/payloads.rs"]
mod payloads;
mod receiver;
mod report;

use crate::{interrupt, wrong_usage};
use clap::Args;
use crossbeam_channel::RecvTimeoutError;
use receiver::{Receiver, Serving};
use report::Report;
use std::error::Error;
use std::fmt::Arguments;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use std::{process, thread};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// How long after a signal its children may seem to fail before it arrives.
const CHILDREN_END: Duration = Duration::from_millis(500);

const HELP: &str = "\
Floor and library take turns, so that other load on the machine affects both.
The table has medians; its columns are explained below it. With --json there are
also the CPU seconds of all rounds and the allocations per message. Compare
ratios, not figures of different runs.

Kinds:
  small      8-byte messages, encoded one by one, and as ready-made frames
  tx         transactions of 250 bytes
  inv        announcements of 1000 transactions
  block      blocks of 1 MB with 4000 transactions, whose parts are all visited;
             sent from decoded blocks, from plain structs, and as frames
  known      a flood of announcements to a peer that remembers 1000 or 50 000
  rtt        sequential pings; floor: a blocking echo
  handshake  connect, handshake, disconnect, wait; floor: six threads; and the
             same with the remote in another process
  receipts   small messages with a receipt each, 1000 of them unresolved
  broadcast  one block of 1 MB to many peers; floor: the same bytes written to
             as many sockets
  trickle    100 000 and 500 000 queued announcements
  idle       connected peers that do nothing; floor: as many sockets, each with
             three threads that wait
  codec      bytes to message and back, without sockets; floor: the checksum
  all        everything (the default)

SIGINT and SIGTERM end the run; the last line tells how many rows there are.

Exit status: 0 if everything was measured, or up to a signal; 1 if something
failed; 2 if the call was wrong.
";

/// Measures the library against a floor: the same work in plain code
///
/// The floor computes checksums at both ends, but has no queues, channels, decoding and callbacks.
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub struct Options {
    /// What to measure, see below
    #[arg(long, value_name = "KIND", default_value = "all", value_parser = kind)]
    kind: String,
    /// How many rounds [default: 5]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    rounds: Option<usize>,
    /// About how long one measurement takes, in milliseconds [default: 500]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    millis: Option<u64>,
    /// How many peers for broadcast [default: 200] and idle [default: 1000]; several numbers give a row each, as 10,100,1000,4000
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = peers, allow_negative_numbers = true)]
    peers: Vec<usize>,
    /// Take a fraction of a second per kind: shows that it works, not how fast it is
    #[arg(long)]
    quick: bool,
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,
    /// Show the change since an earlier run, whose --json output is in FILE
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
    /// Run one end of small, tx, inv, block, rtt and receipts, `send` or `receive`, with the other end in another process or on another machine; CPU time and allocations are then those of the sending process
    #[arg(long, value_name = "ROLE", value_parser = role)]
    role: Option<Role>,
    /// The address of the receiving end
    #[arg(long, value_name = "ADDR")]
    addr: Option<SocketAddr>,
}

fn kind(text: &str) -> Result<String> {
    if kinds::exists(text) { Ok(text.to_owned()) } else { Err("no such kind; see --help".into()) }
}

fn peers(text: &str) -> Result<usize> {
    match text.parse()? {
        0 => Err("0 peers cannot be measured".into()),
        peers => Ok(peers),
    }
}

fn role(text: &str) -> Result<Role> {
    match text {
        "send" => Ok(Role::Send),
        "receive" => Ok(Role::Receive),
        own if child::ROLES.contains(&own) => Ok(Role::Child(own.to_owned())),
        _ => Err("no such role: `send` or `receive`".into()),
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
    /// The address of the receiving end, if it is not in this process.
    receiver: Option<SocketAddr>,
}

impl Plan {
    /// `true` if a kind of this name, or of this group, is asked for.
    fn wants(&self, group: &str, kind: &str) -> bool {
        [group, kind, "all"].contains(&self.kind.as_str())
    }

    fn receiver(&self) -> Result<Receiver> {
        self.receiver.map_or_else(|| Receiver::here(None), |address| Ok(Receiver::at(address)))
    }
}

/// Prints a line as `println!` does. If that is impossible, ends the process with 1 instead of a panic.
macro_rules! print_line {
    ($($part:tt)*) => {
        $crate::bench::print_text(format_args!($($part)*))
    };
}
pub(crate) use print_line;

pub(crate) fn print_text(text: Arguments<'_>) {
    let mut out = io::stdout().lock();
    if let Err(error) = writeln!(out, "{text}").and_then(|()| out.flush()) {
        // The reader of a pipe that is closed has seen enough.
        if error.kind() != io::ErrorKind::BrokenPipe {
            eprintln!("standard output: {error}");
        }
        process::exit(1);
    }
}

#[derive(Debug, Clone)]
enum Role {
    Send,
    Receive,
    /// A process that `bench` itself starts.
    Child(String),
}

pub fn run(options: Options) -> ExitCode {
    let Options { kind, rounds, millis, peers, quick, json, compare, role, addr } = options;
    if addr.is_none() && matches!(role, Some(Role::Send | Role::Receive)) {
        wrong_usage("bench", "--role needs --addr");
    }
    let slice = Duration::from_millis(millis.unwrap_or(if quick { 20 } else { 500 }));
    let rounds = rounds.unwrap_or(if quick { 1 } else { 5 }).max(1);
    let plan = Plan { kind, rounds, slice, quick, peers, receiver: addr };
    let result = match role {
        None | Some(Role::Send) => measure(&plan, json, compare.as_deref()),
        Some(Role::Receive) => receive(&plan),
        Some(Role::Child(role)) => child::run(&role, &plan),
    };
    if let Err(error) = result {
        eprintln!("kpeer bench: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn measure(plan: &Plan, json: bool, compare: Option<&Path>) -> Result<()> {
    let mut report = Report::new(json, compare.map(report::earlier).transpose()?);
    let interrupted = interrupt::channel()?;
    let (signal, last) = (interrupted.clone(), report.clone());
    thread::Builder::new().name("interrupt".into()).spawn(move || {
        // Nothing is ever sent: this returns when the signal arrives.
        let _ = signal.recv();
        last.interrupted();
    })?;
    let result = kinds::run(plan, &mut report);
    if result.is_err() && interrupted.recv_timeout(CHILDREN_END) == Err(RecvTimeoutError::Disconnected) {
        // The signal of a terminal ends the children too, which is not an error. The other thread ends the process.
        loop {
            thread::park();
        }
    }
    result?;
    report.finish();
    Ok(())
}

fn receive(plan: &Plan) -> Result<()> {
    let listener = TcpListener::bind(plan.receiver.ok_or("--role needs --addr")?)?;
    println!("receiving at {}", listener.local_addr()?);
    receiver::serve(&listener, &Serving::default());
    Ok(())
}
