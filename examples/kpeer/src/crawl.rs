//! `kpeer crawl`: walks a network from seeds on, and asks each node for addresses of others, with a bounded pool of
//! blocking workers.

mod report;
mod visit;

use crate::dial::{self, DialOptions};
use crate::interrupt;
use crate::options::{self, Failure, NodeOptions};
use crate::output::{Output, Record};
use clap::Args;
use crossbeam_channel::{Receiver, select, unbounded};
use indicatif::{ProgressBar, ProgressStyle};
use kaspa_peer::Config;
use kaspa_peer::wire::Services;
use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, thread};
use visit::{Curious, Visit, visit};

const HELP: &str = "\
Offers nothing unless told otherwise. While it runs, a terminal shows how far it is.

The objects of --json are one of
  {\"event\":\"node\",\"address\":…,\"reached\":true,\"user_agent\":…,\"version\":1,\"services\":…,
   \"selected_tip\":…,\"time_offset\":0,\"rtt_us\":120,\"knows\":[…]}
                                 `rtt_us` is null when no pong came in time
  {\"event\":\"node\",\"address\":…,\"reached\":false,\"reason\":…}
  {\"event\":\"done\",\"nodes\":13,\"reached\":12}
  {\"event\":\"failed\",\"reason\":…}

Exit status: 0 when a node was reached; 1 when none was, it could not go on, or
nobody reads the output any more; 2 when it was called wrongly.
";

/// Walks a kaspa network, and prints what was found
///
/// Asks the nodes at ADDR for addresses of others, those for still others, and so on. A node that answers nobody it did not dial itself is reached, and knows of nobody.
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub struct Options {
    /// An address or a host name, with the network's port if none is given
    #[arg(value_name = "ADDR", required = true)]
    seeds: Vec<String>,
    /// How many nodes to visit at a time
    #[arg(long, value_name = "K", default_value = "16")]
    threads: usize,
    /// How many nodes to visit at all
    #[arg(long, value_name = "N", default_value = "1000")]
    max: usize,
    /// How long to wait for each answer
    #[arg(
        long, value_name = "SECONDS", value_parser = options::seconds, allow_negative_numbers = true, default_value = "5"
    )]
    timeout: Duration,
    /// Of what nodes name, dial only addresses of the public internet; strangers may well name addresses of this machine and its networks
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
    // No wait at all is refused by the system.
    let options =
        Options { threads: options.threads.max(1), timeout: options.timeout.max(Duration::from_millis(1)), ..options };
    let mut seeds = Vec::new();
    for seed in &options.seeds {
        let name = dial::with_port(seed, options.node.network);
        if options.dial.proxy.is_some() && name.parse::<SocketAddr>().is_err() {
            // Looking it up here would tell the name to more than the proxy.
            return Err(format!("{name}: with --proxy, the nodes to start from must be addresses").into());
        }
        seeds.extend(name.to_socket_addrs().map_err(|error| format!("{name}: {error}"))?);
    }
    let curious = Arc::new(Curious::default());
    let config = options
        .dial
        .configure(options.node.builder("crawl", Services::empty())?)
        .handshake_timeout(options.timeout)
        .listener(Arc::clone(&curious))
        .build()?;
    let visits = crawl(seeds, &options, &config, &curious, &interrupt::channel()?, output)?;
    if let Some(capture) = config.capture() {
        // Visits that a signal cut short still hold the capture.
        capture.flush()?;
    }
    let reached = visits.values().filter(|visit| visit.is_ok()).count();
    output.say(
        report::summary(&visits).trim_end(),
        Record::new("done").field("nodes", visits.len()).field("reached", reached),
    );
    if let Some(file) = &options.dot {
        fs::write(file, report::dot(&visits)).map_err(|error| format!("{file}: {error}"))?;
    }
    if reached > 0 { Ok(true) } else { Err("no node was reached".into()) }
}

/// Visits everything that can be reached, and tells programs of each node as it goes.
fn crawl(
    mut found: Vec<SocketAddr>,
    options: &Options,
    config: &Config,
    curious: &Arc<Curious>,
    interrupted: &Receiver<()>,
    output: &Output,
) -> Result<report::Visits, Failure> {
    let (work, tasks) = unbounded();
    let (tell, results) = unbounded::<(SocketAddr, Result<Visit, String>)>();
    for number in 0..options.threads {
        let (tasks, tell, timeout) = (tasks.clone(), tell.clone(), options.timeout);
        let (config, curious, dial) = (config.clone(), Arc::clone(curious), options.dial.clone());
        // A worker ends when there is no more work to come.
        thread::Builder::new().name(format!("crawl-{number}")).spawn(move || {
            for address in tasks {
                // Every visit is waited for, so one that goes wrong must be told, too.
                let result =
                    panic::catch_unwind(AssertUnwindSafe(|| visit(address, &dial, &config, &curious, timeout)));
                if tell.send((address, result.unwrap_or_else(|_| Err("the visit panicked".into())))).is_err() {
                    return;
                }
            }
        })?;
    }
    drop(tell);

    // Goes to standard error, and is hidden by itself where that is no terminal.
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos} of {len} nodes known, {elapsed} {msg}") {
        bar.set_style(style);
    }
    let mut known: HashSet<SocketAddr> = HashSet::new();
    let mut visits = report::Visits::new();
    loop {
        for address in found.drain(..) {
            if known.len() < options.max && known.insert(address) && work.send(address).is_err() {
                return Ok(visits);
            }
        }
        bar.set_length(known.len() as u64);
        if visits.len() == known.len() {
            break;
        }
        let (address, result) = select! {
            recv(results) -> result => match result {
                Ok(result) => result,
                Err(_) => break,
            },
            // The report has the nodes that were found before the signal.
            recv(interrupted) -> _ => break,
        };
        if options.node.json {
            bar.suspend(|| output.say("", report::record(&address, &result)));
        }
        if let Ok(visit) = &result {
            found.extend(visit.knows.iter().filter(|address| !options.public_only || is_public(address.ip())));
        }
        visits.insert(address, result);
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(visits)
}

/// Whether it is an address of one machine for everybody.
fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let is_local = ip.is_loopback() || ip.is_private() || ip.is_link_local();
            let is_nobody = ip.is_multicast() || ip.is_broadcast() || ip.is_documentation();
            // Nor of this network, nor one that a provider gives out behind its own.
            !is_local && !is_nobody && !matches!(ip.octets(), [0, ..] | [100, 64..=127, ..])
        }
        IpAddr::V6(ip) => {
            let is_local = ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local();
            !is_local && !ip.is_multicast() && !ip.is_unspecified()
        }
    }
}
