//! What this library costs on this machine, measured against the least that the same work can cost; see `--help`.
//!
//! `floor` is that least, in plain code. `kinds` has what is measured, `measure` how, `report` how it is shown.

mod child;
mod floor;
mod kinds;
mod measure;
mod payloads;
mod receiver;
mod report;

use receiver::{Counter, Receiver};
use report::Report;
use std::error::Error;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::time::Duration;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const USAGE: &str = "\
Measures the library against a floor: the same work in plain code, with
checksums on both ends, but without queues, channels, decoding and callbacks.

Usage: throughput [--kind KIND] [--rounds N] [--peers N,…] [--quick] [--json]
       throughput --role receive --addr ADDRESS
       throughput --role send --addr ADDRESS [--kind KIND] …

Floor and library take turns, so that whatever else the machine does hits both;
shown are medians, and the ratio library ÷ floor with its spread over the
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

Options:
  --rounds N    how many times, 5 unless given
  --millis N    about how long one measurement takes, 500 unless given
  --peers N,…   how many peers for broadcast (200) and idle (1000); several
                numbers give a line each
  --quick       a fraction of a second a kind: shows that it works, not how fast
  --json        one JSON object a line
  --role ROLE   runs one end of small, tx, inv, block, rtt and receipts, the
                other being another process or machine; CPU time and
                allocations are then those of the sending process
  --addr ADDR   where the receiving end is
  -h, --help    this

CPU seconds are those of all rounds; allocations are for each message.

Exit status: 0 when all was measured, 1 when something failed, 2 when the program
was called wrongly.
";

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

enum Role {
    Both,
    Send,
    Receive,
    /// What this program starts itself for some kinds.
    Child(String),
}

struct Options {
    plan: Plan,
    role: Role,
    json: bool,
}

impl Options {
    /// `None` when help is wanted.
    fn from_args() -> Result<Option<Self>> {
        use lexopt::prelude::*;
        let (mut kind, mut rounds, mut millis) = (String::from("all"), None, None);
        let (mut quick, mut json) = (false, false);
        let (mut peers, mut role, mut address) = (Vec::new(), Role::Both, None);
        let mut arguments = lexopt::Parser::from_env();
        while let Some(argument) = arguments.next()? {
            match argument {
                Short('h') | Long("help") => return Ok(None),
                Long("kind") => kind = arguments.value()?.string()?,
                Long("rounds") => rounds = Some(arguments.value()?.parse()?),
                Long("millis") => millis = Some(arguments.value()?.parse()?),
                Long("peers") => {
                    let list = arguments.value()?.string()?;
                    peers = list.split(',').map(str::parse).collect::<std::result::Result<_, _>>()?;
                }
                Long("quick") => quick = true,
                Long("json") => json = true,
                Long("role") => {
                    role = match arguments.value()?.string()?.as_str() {
                        "send" => Role::Send,
                        "receive" => Role::Receive,
                        own if child::ROLES.contains(&own) => Role::Child(own.to_owned()),
                        other => return Err(format!("there is no role {other}").into()),
                    }
                }
                Long("addr") => address = Some(arguments.value()?.parse()?),
                other => return Err(other.unexpected().into()),
            }
        }
        if address.is_none() && matches!(role, Role::Send | Role::Receive) {
            return Err("a role needs --addr".into());
        }
        if !kinds::exists(&kind) {
            return Err(format!("there is no kind {kind}").into());
        }
        let slice = Duration::from_millis(millis.unwrap_or(if quick { 20 } else { 500 }));
        let rounds = rounds.unwrap_or(if quick { 1 } else { 5 }).max(1);
        Ok(Some(Self { plan: Plan { kind, rounds, slice, quick, peers, receiver: address }, role, json }))
    }
}

fn main() -> ExitCode {
    let options = match Options::from_args() {
        Ok(Some(options)) => options,
        Ok(None) => {
            // Whoever closes the pipe has read enough.
            let _ = io::stdout().write_all(USAGE.as_bytes());
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("throughput: {error}\nTry `throughput --help`.");
            return ExitCode::from(2);
        }
    };
    if let Err(error) = run(options) {
        eprintln!("throughput: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn run(options: Options) -> Result<()> {
    let Options { plan, role, json } = options;
    match role {
        Role::Both | Role::Send => kinds::run(&plan, &mut Report::new(json)),
        Role::Receive => {
            let address = plan.receiver.ok_or("a role needs --addr")?;
            let listener = TcpListener::bind(address)?;
            println!("receiving at {}", listener.local_addr()?);
            receiver::serve(&listener, &Counter::default());
            Ok(())
        }
        Role::Child(role) => child::run(&role, &plan),
    }
}
