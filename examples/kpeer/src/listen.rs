//! A small node that accepts peers and serves a block DAG; see `--help`.
//!
//! `node` holds the callbacks: what is quickly answered is answered there. `serve` has a thread for each peer that asks
//! for more, so that the peer goes on reading while a long answer is written.

#[path = "../shared/args.rs"]
mod args;
#[path = "../shared/dag.rs"]
mod dag;
#[path = "../shared/dag_file.rs"]
mod dag_file;
#[path = "../shared/dial.rs"]
mod dial;
#[path = "../shared/door.rs"]
mod door;
#[path = "../shared/genesis.rs"]
mod genesis;
mod node;
#[path = "../shared/output.rs"]
mod output;
mod serve;
#[path = "../shared/synthetic.rs"]
mod synthetic;

use args::{Failure, Node};
use dag::Dag;
use kaspa_peer::wire::Services;
use node::{Listen, View};
use output::{Output, Record};
use parking_lot::RwLock;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use synthetic::Chance;

const USAGE: &str = "\
Accepts peers and behaves as a small kaspa node.

Usage: listen ADDR [options]

ADDR is where to listen: an address, with the network's port unless one is given.
Port 0 takes any that is free; which one, is the first thing printed.

The node serves a block DAG: answers getaddr, getdata (blocks, recent transactions,
notfound), getheaders, getblockinvs, getlocator and getseltip, asks for what others
announce, and keeps none of it. Bloom filters are taken and not applied. Of those
who dial, 125 are taken at a time.

The DAG is made up, the same one each time: 300 blocks with transactions and two
tips, on top of the network's genesis block. Nobody worked for it, so a real node
refuses it; serve real blocks with --dag.

Options:
  --dag FILE          serve the blocks that `sync --out FILE` wrote, well enough
                      for another node to download them all; first parents are
                      taken as selected ones, and the last block as the tip
  --announce SECONDS  make and announce a new block every so often; not with --dag
  --knows ADDR        tell those who ask for addresses of this one, too; can be given
                      more than once
  --once              end when the first peer has gone
{NODE_OPTIONS}

Offers SFNodeNetwork|SFNodeBloom, 5, unless told otherwise.

The objects of --json are one of
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

struct Options {
    node: Node,
    address: String,
    dag: Option<PathBuf>,
    announce: Option<Duration>,
    knows: Vec<SocketAddr>,
    once: bool,
}

impl Options {
    /// `None` when help is wanted.
    fn from_args() -> Result<Option<Self>, lexopt::Error> {
        use lexopt::prelude::*;
        let (node, address, knows) = (Node::new(), String::new(), Vec::new());
        let mut options = Self { node, address, dag: None, announce: None, knows, once: false };
        let (mut address, mut knows) = (None, Vec::new());
        let mut arguments = lexopt::Parser::from_env();
        while let Some(argument) = arguments.next()? {
            match argument {
                Short('h') | Long("help") => return Ok(None),
                Long("dag") => options.dag = Some(arguments.value()?.into()),
                Long("announce") => options.announce = Some(arguments.value()?.parse_with(args::seconds)?),
                Long("knows") => knows.push(arguments.value()?.string()?),
                Long("once") => options.once = true,
                Long(other) => options.node.take(other.to_owned(), &mut arguments)?,
                Value(value) if address.is_none() => address = Some(value.string()?),
                other => return Err(other.unexpected()),
            }
        }
        if options.dag.is_some() && options.announce.is_some() {
            return Err("--announce makes up blocks, which do not belong into a real --dag".into());
        }
        options.address = address.ok_or("an address to listen on is missing")?;
        for known in knows {
            // Which port is meant depends on the network.
            let address = dial::with_port(&known, options.node.network).parse();
            options.knows.push(address.map_err(|_| format!("--knows {known:?}: not an address"))?);
        }
        Ok(Some(options))
    }
}

fn main() -> ExitCode {
    args::run("listen", USAGE, Options::from_args(), |options| options.node.json, listen)
}

fn listen(options: Options, output: &Output) -> Result<bool, Failure> {
    let network = options.node.network;
    let (dag, chance) = match &options.dag {
        Some(path) => (Dag::open(path, network)?, None),
        None => synthetic::dag(network).map(|(dag, chance)| (dag, Some(chance)))?,
    };
    let (blocks, tips) = (dag.len(), dag.tips());
    let dag = Arc::new(RwLock::new(dag));

    let door = TcpListener::bind(dial::with_port(&options.address, network))
        .map_err(|error| format!("{}: {error}", options.address))?;
    let address = door.local_addr()?;
    let node = Arc::new(Listen::new(Arc::clone(&dag), dial::reachable(address), options.knows, output.clone()));
    let config = options
        .node
        .builder("listen", Services::NETWORK | Services::BLOOM)?
        .dag(View(Arc::clone(&dag)))
        .shared_listener(Arc::clone(&node) as Arc<dyn kaspa_peer::Listener>)
        .build()?;
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
    door::accept("listen", &door, &config, options.once, output)
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
            Err(error) => return eprintln!("listen: no more blocks: {error}"),
        }
    }
}
