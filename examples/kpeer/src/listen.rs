//! `kpeer listen`: a small node that accepts peers and serves a block DAG.
//!
//! `node` has the callbacks, which give the short answers. `serve` has a thread for each peer that requests more, so
//! that the peer goes on reading while a long answer is sent. `budget` limits the work of these threads.

mod address_book;
mod budget;
mod node;
mod serve;

use crate::accept::{self, Peers};
use crate::dag::Dag;
use crate::generated_dag::{self, Random};
use crate::options::{self, Failure, NodeOptions};
use crate::output::{Output, Record};
use crate::{dial, interrupt, wrong_usage};
use address_book::AddressBook;
use clap::Args;
use crossbeam_channel::{bounded, select};
use kaspa_peer::peer::OversizeFrames;
use kaspa_peer::wire::{Command, Hash, PayloadLimits, Services};
use node::{Node, View};
use parking_lot::RwLock;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

const HELP: &str = "\
Offers the services SFNodeNetwork and SFNodeBloom (5) unless told otherwise.

The objects of --json are one of
  {\"event\":\"listening\",\"address\":\"127.0.0.1:16111\",\"network\":…,\"blocks\":…,
   \"tips\":…}
  {\"event\":\"connected\",\"peer\":1,\"address\":…,\"direction\":\"inbound\"}
  {\"event\":\"version\",\"peer\":1,\"user_agent\":…,\"selected_tip\":…,…}
  {\"event\":\"message\",\"peer\":1,\"command\":\"getaddr\",\"summary\":\"full nodes\"}
  {\"event\":\"sent\",\"peer\":1,\"command\":\"addr\",\"summary\":\"92 bytes\",\"bytes\":92}
  {\"event\":\"block\",\"hash\":…}       a block was made
  {\"event\":\"disconnected\",\"peer\":1,\"reason\":…}
  {\"event\":\"dropped\",\"lines\":9}    lines were not printed, because those before
                                   them were not read
  {\"event\":\"interrupted\"}          the last, after SIGINT or SIGTERM
  {\"event\":\"failed\",\"reason\":…}    the last, when it cannot go on

Exit status: 0 after SIGINT or SIGTERM, and with --once after the first peer; 1
when it cannot go on, or when its standard output is closed; 2 when it is called
wrongly.
";

/// Accepts peers and behaves as a small kaspa node
///
/// The node serves a block DAG: answers getaddr, getdata (blocks, recent transactions, notfound), getheaders, getblockinvs, getlocator and getseltip, requests what others announce, and keeps none of it. It skips blocks and other messages of more than 1 MiB, except getdata. It accepts bloom filters and does not apply them. It accepts 125 peers at a time, and sends each at most 64 MiB of answers per second.
///
/// The DAG is generated, the same one each time: 300 blocks with transactions and two tips, on top of the network's genesis block. No work was done for the blocks, so a real node refuses them; serve real blocks with --dag.
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub struct Options {
    /// Where to listen: an address, with the network's port if none is given; port 0 takes any free port, which is printed first
    #[arg(value_name = "ADDR", value_parser = dial::address)]
    address: String,
    /// Serve the blocks that `sync --out FILE` wrote; a block's first parent is taken as its selected parent, and the last block as the tip. Each block needs up to 250 bytes of memory and each of its parents 4; more than 100 million parents are refused
    #[arg(long, value_name = "FILE")]
    dag: Option<PathBuf>,
    /// Make and announce a new block each time this many seconds have passed, at least 0.1; all blocks stay in memory
    #[arg(
        long, value_name = "SECONDS", value_parser = options::seconds_from::<100>, allow_negative_numbers = true,
        conflicts_with = "dag"
    )]
    announce: Option<Duration>,
    /// Also name this address to peers that ask for addresses; can be given more than once
    #[arg(long, value_name = "ADDR", value_parser = dial::address)]
    knows: Vec<String>,
    /// End when the first peer has disconnected
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    pub node: NodeOptions,
}

pub fn run(options: Options, output: &Output) -> Result<bool, Failure> {
    let network = options.node.network;
    // The default port depends on the network, so the parser of arguments cannot add it.
    let known = options.knows.iter().map(|text| {
        let address = dial::with_port(text, network).ok().and_then(|address| address.parse().ok());
        address.unwrap_or_else(|| wrong_usage("listen", format_args!("--knows {text}: not an IP address")))
    });
    let known: Vec<SocketAddr> = known.collect();
    let (dag, random) = match &options.dag {
        Some(path) => (Dag::open(path, network).map_err(|error| format!("--dag {error}"))?, None),
        None => generated_dag::dag(network).map(|(dag, random)| (dag, Some(random)))?,
    };
    let (blocks, tips) = (dag.len(), dag.tips());
    let dag = Arc::new(RwLock::new(dag));

    let listener = dial::listen(&options.address, network)?;
    let address = listener.local_addr()?;
    let addresses = AddressBook::new(dial::reachable(address), known);
    let node = Arc::new(Node::new(Arc::clone(&dag), addresses, output.clone()));
    let config = options
        .node
        .builder("listen", Services::NETWORK | Services::BLOOM)?
        .dag(View(Arc::clone(&dag)))
        .listener(Arc::clone(&node))
        .payload_limits(payload_limits())
        .oversize_frames(OversizeFrames::Skip)
        .build()?;
    let interrupted = interrupt::channel()?;
    let list: Vec<String> = tips.iter().map(ToString::to_string).collect();
    output.say(
        format_args!("listening on {address} ({network}): {blocks} blocks\n  tips {}", list.join("\n       ")),
        Record::new("listening")
            .text("address", address)
            .text("network", network)
            .field("blocks", blocks)
            .field("tips", list.as_slice()),
    );
    if let (Some(interval), Some(random)) = (options.announce, random) {
        let (node, output) = (Arc::clone(&node), output.clone());
        thread::Builder::new()
            .name("announce".into())
            .spawn(move || announce(&node, &output, random, tips, interval))?;
    }
    let (finished, finish) = bounded(1);
    let peers = Peers::default();
    {
        let (peers, output) = (Arc::clone(&peers), output.clone());
        // Ends with the process: `accept` cannot be woken.
        thread::Builder::new().name("accept".into()).spawn(move || {
            let result = accept::accept("listen", &listener, &config, options.once, &peers, &output);
            // Nobody receives it after a signal.
            let _ = finished.try_send(result);
        })?;
    }
    select! {
        recv(finish) -> result => result.unwrap_or_else(|_| Err("accepting peers panicked".into())),
        recv(interrupted) -> _ => {
            accept::disconnect_all(&peers);
            output.say("interrupted", Record::new("interrupted"));
            Ok(true)
        }
    }
}

/// The node keeps nothing that its peers send, and many may be connected. Their requests of blocks may have any length.
fn payload_limits() -> PayloadLimits {
    PayloadLimits::protocol().all(1 << 20).command(Command::GetData, Command::GetData.payload_limit())
}

/// Makes a block at each interval, and announces it to all peers.
fn announce(node: &Node, output: &Output, mut random: Random, mut tips: Vec<Hash>, interval: Duration) {
    loop {
        thread::sleep(interval);
        match node.grow(&tips, &mut random) {
            Ok(hash) => {
                tips = vec![hash];
                output.say(format_args!("made block {hash}"), Record::new("block").text("hash", hash));
                node.announce(hash);
            }
            Err(error) => return output.warn("listen", format_args!("no more blocks: {error}")),
        }
    }
}
