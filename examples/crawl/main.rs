//! Walks a network: asks each node for others, from seeds on, with a bounded pool of blocking workers.

mod report;
mod visit;

use crossbeam_channel::unbounded;
use indicatif::{ProgressBar, ProgressStyle};
use kaspa_peer::wire::Network;
use std::collections::HashSet;
use std::error::Error;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Duration;
use std::{fs, panic, thread};
use visit::{Visit, visit};

const USAGE: &str = "\
Usage: crawl ADDR… [--network N] [--threads K] [--max N] [--timeout SECONDS] [--public-only] [--dot FILE] [--json]

Asks the nodes at ADDR for addresses of others, those for still others, and so on; then
says what was found. A node that answers nobody it did not dial itself is reached, and knows of nobody.
What a node names is dialled, and strangers may well name addresses of this machine and of the networks it is in.

  --network N   mainnet (the default), testnet, regtest, simnet, devnet, or a magic number like 0x374dcf1c
  --threads K   how many nodes to visit at a time; 16
  --max N       how many nodes to visit at all; 1000
  --timeout S   how long to wait for each answer; 5
  --public-only
                of what nodes name, dial only addresses of the public internet
  --dot FILE    write who knows whom, for Graphviz
  --json        one JSON object a line for each node instead of the summary

Exit status: 0 when a node was reached, 1 when not or when nobody reads the output any more, 2 when it was called wrongly.
";

struct Options {
    seeds: Vec<SocketAddr>,
    network: Network,
    threads: usize,
    max: usize,
    timeout: Duration,
    public_only: bool,
    dot: Option<String>,
    json: bool,
}

fn options() -> Result<Option<Options>, Box<dyn Error>> {
    use lexopt::prelude::*;
    let mut options = Options {
        seeds: Vec::new(),
        network: Network::Mainnet,
        threads: 16,
        max: 1000,
        timeout: Duration::from_secs(5),
        public_only: false,
        dot: None,
        json: false,
    };
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Value(seed) => options.seeds.extend(seed.string()?.to_socket_addrs()?),
            Long("network") => options.network = arguments.value()?.parse()?,
            Long("threads") => options.threads = arguments.value()?.parse::<usize>()?.max(1),
            Long("max") => options.max = arguments.value()?.parse()?,
            Long("timeout") => options.timeout = Duration::from_secs(arguments.value()?.parse::<u64>()?.max(1)),
            Long("public-only") => options.public_only = true,
            Long("dot") => options.dot = Some(arguments.value()?.string()?),
            Long("json") => options.json = true,
            Short('h') | Long("help") => return Ok(None),
            other => return Err(other.unexpected().into()),
        }
    }
    if options.seeds.is_empty() {
        Err("the address of a node to start from is missing".into())
    } else {
        Ok(Some(options))
    }
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(Some(options)) => options,
        Ok(None) => {
            // Whoever closes the pipe has read enough.
            let _ = io::stdout().write_all(USAGE.as_bytes());
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("crawl: {error}\nTry `crawl --help`.");
            return ExitCode::from(2);
        }
    };
    let Err(error) = report(&options) else { return ExitCode::SUCCESS };
    // Who closes a pipe knows why.
    if error.downcast_ref().is_none_or(|error: &io::Error| error.kind() != io::ErrorKind::BrokenPipe) {
        eprintln!("crawl: {error}");
    }
    ExitCode::FAILURE
}

fn report(options: &Options) -> Result<(), Box<dyn Error>> {
    let visits = crawl(options)?;
    if let Some(file) = &options.dot {
        fs::write(file, report::dot(&visits)).map_err(|error| format!("{file}: {error}"))?;
    }
    if !options.json {
        io::stdout().write_all(report::summary(&visits).as_bytes())?;
    }
    if visits.values().any(Result::is_ok) { Ok(()) } else { Err("no node was reached".into()) }
}

/// Visits everything that can be reached, and tells of each node as it goes if that is wanted.
fn crawl(options: &Options) -> io::Result<report::Visits> {
    let (work, tasks) = unbounded();
    let (tell, results) = unbounded::<(SocketAddr, Result<Visit, String>)>();
    for number in 0..options.threads {
        let (tasks, tell, network, timeout) = (tasks.clone(), tell.clone(), options.network, options.timeout);
        // A worker ends when there is no more work to come.
        thread::Builder::new().name(format!("crawl-{number}")).spawn(move || {
            for address in tasks {
                // Every visit is waited for, so one that goes wrong must be told, too.
                let result = panic::catch_unwind(|| visit(address, network, timeout));
                if tell.send((address, result.unwrap_or_else(|_| Err("the visit panicked".into())))).is_err() {
                    return;
                }
            }
        })?;
    }
    drop(tell);

    // Hidden by itself where there is no terminal.
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos} of {len} nodes known, {elapsed} {msg}") {
        bar.set_style(style);
    }
    let mut known: HashSet<SocketAddr> = HashSet::new();
    let mut visits = report::Visits::new();
    let mut found = options.seeds.clone();
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
        let Ok((address, result)) = results.recv() else { break };
        if options.json {
            let line = report::json_line(&address, &result);
            bar.suspend(|| writeln!(io::stdout(), "{line}"))?;
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
