//! `kpeer listen`: a small node that accepts peers and serves a block DAG.
//!
//! `node` has the callbacks, which give the quick answers. `serve` has a thread per peer that asks for more, so that the
//! peer goes on reading while a long answer is written.

mod node;
mod serve;

use crate::accept::Peers;
use crate::dag::Dag;
use crate::generated_dag::{self, Chance};
use crate::options::{self, Failure, NodeOptions};
use crate::output::{Output, Record};
use crate::{accept, dial, interrupt, wrong_usage};
use clap::Args;
use crossbeam_channel::{bounded, select};
use kaspa_peer::wire::Services;
use node::{Listen, View};
use parking_lot::RwLock;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

const HELP: &str = "\
Offers SFNodeNetwork|SFNodeBloom, 5, unless told otherwise.

The objects of --json are one of
  {\"event\":\"interrupted\"} at the end, after SIGINT or SIGTERM
  {\"event\":\"listening\",\"address\":\"127.0.0.1:16111\",\"network\":…,\"blocks\":…,\"tips\":…}
  {\"event\":\"connected\",\"peer\":1,\"address\":…,\"direction\":\"inbound\"}
  {\"event\":\"version\",\"peer\":1,\"user_agent\":…,\"selected_tip\":…,…}
  {\"event\":\"message\",\"peer\":1,\"command\":\"getaddr\",\"summary\":\"full nodes\"}
  {\"event\":\"sent\",\"peer\":1,\"command\":\"addr\",\"summary\":\"92 bytes\",\"bytes\":92}
  {\"event\":\"block\",\"hash\":…}              one was made
  {\"event\":\"disconnected\",\"peer\":1,\"reason\":…}
  {\"event\":\"failed\",\"reason\":…}           and the program ends

Exit status: 0 when all is well (with --once); 1 when it could not go on, or when
nobody reads the output any more; 2 when it was called wrongly.
";

/// Accepts peers and behaves as a small kaspa node
///
/// The node serves a block DAG: answers getaddr, getdata (blocks, recent transactions, notfound), getheaders, getblockinvs, getlocator and getseltip, asks for what others announce, and keeps none of it. Bloom filters are taken and not applied. It accepts 125 peers at a time.
///
/// The DAG is made up, the same one each time: 300 blocks with transactions and two tips, on top of the network's genesis block. Nobody worked for it, so a real node refuses it; serve real blocks with --dag.
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub struct Options {
    /// Where to listen: an address, with the network's port if none is given; port 0 takes any free port, which is printed first
    #[arg(value_name = "ADDR")]
    address: String,
    /// Serve the blocks that `sync --out FILE` wrote; a block's first parent is taken as its selected parent, and the last block as the tip
    #[arg(long, value_name = "FILE")]
    dag: Option<PathBuf>,
    /// Make and announce a new block every so often
    #[arg(
        long, value_name = "SECONDS", value_parser = options::seconds, allow_negative_numbers = true,
        conflicts_with = "dag"
    )]
    announce: Option<Duration>,
    /// Name this address, too, to peers that ask for addresses; can be given more than once
    #[arg(long, value_name = "ADDR")]
    knows: Vec<String>,
    /// End when the first peer has gone
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    pub node: NodeOptions,
}

pub fn run(options: Options, output: &Output) -> Result<bool, Failure> {
    let network = options.node.network;
    // The default port depends on the network, so the parser of arguments cannot check this.
    let knows = options.knows.iter().map(|known| {
        let address = dial::with_port(known, network).parse();
        address.unwrap_or_else(|_| wrong_usage("listen", format_args!("--knows {known}: not an address")))
    });
    let knows: Vec<SocketAddr> = knows.collect();
    let (dag, chance) = match &options.dag {
        Some(path) => (Dag::open(path, network)?, None),
        None => generated_dag::dag(network).map(|(dag, chance)| (dag, Some(chance)))?,
    };
    let (blocks, tips) = (dag.len(), dag.tips());
    let dag = Arc::new(RwLock::new(dag));

    let listener = TcpListener::bind(dial::with_port(&options.address, network))
        .map_err(|error| format!("{}: {error}", options.address))?;
    let address = listener.local_addr()?;
    let node = Arc::new(Listen::new(Arc::clone(&dag), dial::reachable(address), knows, output.clone()));
    let config = options
        .node
        .builder("listen", Services::NETWORK | Services::BLOOM)?
        .dag(View(Arc::clone(&dag)))
        .listener(Arc::clone(&node))
        .build()?;
    let interrupted = interrupt::channel()?;
    let list: Vec<String> = tips.iter().map(ToString::to_string).collect();
    output.say(
        format_args!("listening on {address} ({network}): {blocks} blocks, tips {}", list.join(", ")),
        Record::new("listening")
            .text("address", address)
            .text("network", network)
            .field("blocks", blocks)
            .field("tips", list.as_slice()),
    );
    if let (Some(interval), Some(chance)) = (options.announce, chance) {
        let (node, output) = (Arc::clone(&node), output.clone());
        thread::Builder::new()
            .name("announce".into())
            .spawn(move || announce(&node, &output, chance, tips, interval))?;
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

/// Makes a block now and then, and tells everybody.
fn announce(
    node: &Listen,
    output: &Output,
    mut chance: Chance,
    mut tips: Vec<kaspa_peer::wire::Hash>,
    interval: Duration,
) {
    loop {
        thread::sleep(interval);
        match node.grow(&tips, &mut chance) {
            Ok(hash) => {
                tips = vec![hash];
                output.say(format_args!("made block {hash}"), Record::new("block").text("hash", hash));
                node.announce(hash);
            }
            Err(error) => return eprintln!("kpeer listen: no more blocks: {error}"),
        }
    }
}
