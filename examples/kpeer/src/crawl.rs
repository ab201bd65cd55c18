//! `kpeer crawl`: visits the nodes of a network, beginning with the given ones, and asks each for the addresses of
//! others.

mod frontier;
mod public;
mod report;
mod visit;

use crate::dial::{self, DialOptions};
use crate::interrupt;
use crate::options::{self, Failure, NodeOptions};
use crate::output::{Output, Record};
use crate::progress::Progress;
use clap::Args;
use crossbeam_channel::{Receiver, Sender, bounded, select, unbounded};
use frontier::{Frontier, Source};
use kaspa_peer::Config;
use kaspa_peer::peer::OversizeFrames;
use kaspa_peer::wire::{PayloadLimits, Services};
use public::is_public;
use report::Visits;
use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use visit::{AddressListener, Visit, visit};

/// Larger payloads are skipped: of all that a node sends, a crawl needs only small messages, of which `addr` is the largest,
/// with 30 KB.
const MAX_PAYLOAD: u32 = 64 << 10;

const HELP: &str = "\
Offers no services unless told otherwise. The nodes that name addresses take
turns, so that one that names many does not keep others from being visited. A
bar on a terminal, or a line a second, shows how far it is.

The objects of --json are one of
  {\"event\":\"node\",\"address\":…,\"reached\":true,\"user_agent\":…,\"version\":1,
   \"services\":…,\"selected_tip\":…,\"time_offset\":0,\"rtt_us\":120,\"knows\":[…]}
                                 `rtt_us` is null when no pong came in time
  {\"event\":\"node\",\"address\":…,\"reached\":false,\"reason\":…}
  {\"event\":\"done\",\"nodes\":13,\"reached\":12}
  {\"event\":\"failed\",\"reason\":…}

Exit status: 0 when a node was reached; 1 when none was, when it cannot go on,
or when its standard output is closed; 2 when it is called wrongly.
";

/// Visits the nodes of a kaspa network, and prints what they are
///
/// Asks the nodes at ADDR for addresses of others, those for still others, and so on. A node that names no addresses counts as reached.
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub struct Options {
    /// An address or a host name, with the network's port if none is given
    #[arg(value_name = "ADDR", required = true, value_parser = dial::address)]
    seeds: Vec<String>,
    /// How many nodes to visit at a time
    #[arg(
        long, value_name = "K", default_value = "16", allow_negative_numbers = true,
        value_parser = clap::value_parser!(u16).range(1..)
    )]
    threads: u16,
    /// How many nodes to visit at all
    #[arg(long, value_name = "N", default_value = "1000", allow_negative_numbers = true)]
    max: usize,
    /// How long to wait for each answer
    #[arg(
        long, value_name = "SECONDS", value_parser = options::seconds_from::<10>, allow_negative_numbers = true,
        default_value = "5"
    )]
    timeout: Duration,
    /// Of the addresses that nodes name, dial only those of the public internet; a node may name addresses of this machine and its networks
    #[arg(long)]
    public_only: bool,
    /// Write a graph of which node knows which, for Graphviz; nodes that were not reached are gray
    #[arg(long, value_name = "FILE")]
    dot: Option<String>,
    #[command(flatten)]
    dial: DialOptions,
    #[command(flatten)]
    pub node: NodeOptions,
}

pub fn run(options: Options, output: &Output) -> Result<bool, Failure> {
    let mut seeds = Vec::new();
    for seed in &options.seeds {
        let name = dial::with_port(seed, options.node.network)?;
        if options.dial.proxy.is_some() && name.parse::<SocketAddr>().is_err() {
            // Resolving it here would reveal the name to others than the proxy.
            return Err(format!("{name}: with --proxy, the nodes to start from must be IP addresses").into());
        }
        seeds.extend(dial::resolve(&name)?);
    }
    let create =
        |path: &String| File::create(path).map_err(|error| format!("--dot {path}: cannot be created: {error}"));
    let dot = options.dot.as_ref().map(create).transpose()?;
    let listener = Arc::new(AddressListener::default());
    let config = options
        .dial
        .configure(options.node.builder("crawl", Services::empty())?)
        .handshake_timeout(options.timeout)
        .payload_limits(PayloadLimits::protocol().all(MAX_PAYLOAD))
        .oversize_frames(OversizeFrames::Skip)
        .listener(Arc::clone(&listener))
        .build()?;
    let visits = crawl(seeds, &options, &config, &listener, &interrupt::channel()?, output)?;
    if let Some(capture) = config.capture() {
        // Visits that a signal cut short still hold the capture.
        capture.flush()?;
    }
    let reached = visits.values().filter(|visit| visit.is_ok()).count();
    output.say(
        report::summary(&visits).trim_end(),
        Record::new("done").field("nodes", visits.len()).field("reached", reached),
    );
    if let Some(mut dot) = dot {
        dot.write_all(report::dot(&visits).as_bytes()).map_err(|error| format!("--dot: {error}"))?;
    }
    if reached > 0 { Ok(true) } else { Err("no node was reached".into()) }
}

type VisitResult = (SocketAddr, Result<Visit, String>);

/// Visits everything that can be reached. With `--json`, prints each node at once.
fn crawl(
    seeds: Vec<SocketAddr>,
    options: &Options,
    config: &Config,
    listener: &Arc<AddressListener>,
    interrupted: &Receiver<()>,
    output: &Output,
) -> Result<Visits, Failure> {
    let threads = usize::from(options.threads);
    let (work, tasks) = bounded(threads);
    let (sender, results) = unbounded();
    for number in 0..threads {
        start_worker(number, &tasks, &sender, options, config, listener)?;
    }
    drop(sender);

    let mut progress = Progress::new(output, "nodes visited");
    let mut frontier = Frontier::new(options.max);
    frontier.add(Source::User, seeds);
    let (mut visits, mut running) = (Visits::new(), 0);
    loop {
        while running < threads
            && let Some(address) = frontier.next(running == 0)
        {
            // The channel has room for one task of each worker.
            work.send(address)?;
            running += 1;
        }
        if running == 0 {
            break;
        }
        let (address, result) = select! {
            recv(results) -> result => result?,
            // The report has the nodes that were visited before the signal.
            recv(interrupted) -> _ => break,
        };
        running -= 1;
        if output.is_json() {
            output.say("", report::record(&address, &result));
        }
        if let Ok(visit) = &result {
            let public = |address: &&SocketAddr| !options.public_only || is_public(address.ip());
            frontier.add(Source::node(address), visit.knows.iter().filter(public).copied());
        }
        visits.insert(address, result);
        if !output.is_json() {
            let (done, total) = (visits.len(), frontier.total());
            progress.show(done, total, |_| (format!("{done} of {total} nodes visited"), Record::new("progress")));
        }
    }
    Ok(visits)
}

/// Starts a thread that visits nodes until there are no more tasks.
fn start_worker(
    number: usize,
    tasks: &Receiver<SocketAddr>,
    results: &Sender<VisitResult>,
    options: &Options,
    config: &Config,
    listener: &Arc<AddressListener>,
) -> Result<(), Failure> {
    let (tasks, results, timeout) = (tasks.clone(), results.clone(), options.timeout);
    let (config, listener, dial) = (config.clone(), Arc::clone(listener), options.dial.clone());
    thread::Builder::new().name(format!("crawl-{number}")).spawn(move || {
        for address in tasks {
            // The crawl waits for each visit, so a visit that panics must have a result, too.
            let result = panic::catch_unwind(AssertUnwindSafe(|| visit(address, &dial, &config, &listener, timeout)));
            let result = result.unwrap_or_else(|_| Err("the visit panicked".into()));
            if results.send((address, result)).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}
