//! Downloads a node's whole block DAG; see `--help`.
//!
//! `download` speaks with the node, `store` keeps what came.

#[path = "../shared/args.rs"]
mod args;
#[path = "../shared/dag_file.rs"]
mod dag_file;
#[path = "../shared/dial.rs"]
mod dial;
mod download;
#[path = "../shared/genesis.rs"]
mod genesis;
#[path = "../shared/guest.rs"]
mod guest;
#[path = "../shared/output.rs"]
mod output;
mod store;

use args::{Failure, Node};
use download::Download;
use guest::{Goods, Guest, Only};
use kaspa_peer::peer::StallRule;
use kaspa_peer::wire::{Command, Hash, Services};
use kaspa_peer::{Peer, WaitError};
use output::{Detail, Output, Record};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use store::{Limits, Store};

/// How long a node may take to find a locator. The library's rules watch the other requests.
const LOCATOR: Duration = Duration::from_secs(30);

const USAGE: &str = "\
Downloads a kaspa node's whole block DAG.

Usage: sync ADDR [options]

ADDR is an address or a host name, with the network's port unless one is given.
Asks as nodes do that are new to the network: for locators, until the highest block
that both have is found; for the inventory from there to the node's selected tip;
for the blocks, 50 in a request and a few requests at a time; and then whether there
is a newer tip. Checks that each block is one that was asked for, by its hash, and
that its parents are there; not its work, its signatures or its rules.

Options:
  --out FILE      write the blocks to FILE; when there is some of it already, go on
                  from there. The file is the `block` messages as they go over the
                  wire, parents first, without the genesis block; `inspect` reads
                  it and `listen --dag` serves it
  --genesis HASH  the network's genesis block, where it is not that of kaspad
                  v0.1.1 to v0.4.1 or, for a kaspad that says it is newer, v0.5.0
  --max-blocks N  stop when there are N blocks and more to come: a node can make up
                  blocks without end, and each needs some 50 bytes of memory; 10
                  million unless given
  --max-bytes N   stop when FILE would grow longer; 100 GB unless given
{NODE_OPTIONS}

Offers nothing unless told otherwise.

The objects of --json are those of `connect`, without the blocks, and
  {\"event\":\"resumed\",\"blocks\":120,\"cut\":17}    bytes of an unfinished block
  {\"event\":\"progress\",\"blocks\":…,\"of\":…,\"bytes\":…,\"blocks_per_second\":…,
   \"bytes_per_second\":…}                      each second
  {\"event\":\"done\",\"blocks\":…,\"new\":…,\"bytes\":…,\"seconds\":…,\"tip\":…}
  {\"event\":\"failed\",\"reason\":…,\"blocks\":…,\"new\":…}
                                    `blocks` and `new` once it had begun

Exit status: 0 when the node's selected tip was reached; 1 when not, or when nobody
reads the output any more; 2 when it was called wrongly.
";

struct Options {
    node: Node,
    address: String,
    out: Option<PathBuf>,
    genesis: Option<Hash>,
    limits: Limits,
}

impl Options {
    /// `None` when help is wanted.
    fn from_args() -> Result<Option<Self>, lexopt::Error> {
        use lexopt::prelude::*;
        let limits = Limits { blocks: 10_000_000, bytes: 100_000_000_000 };
        let mut options = Self { node: Node::new(), address: String::new(), out: None, genesis: None, limits };
        let mut address = None;
        let mut arguments = lexopt::Parser::from_env();
        while let Some(argument) = arguments.next()? {
            match argument {
                Short('h') | Long("help") => return Ok(None),
                Long("out") => options.out = Some(arguments.value()?.into()),
                Long("genesis") => options.genesis = Some(arguments.value()?.parse()?),
                Long("max-blocks") => options.limits.blocks = arguments.value()?.parse()?,
                Long("max-bytes") => options.limits.bytes = arguments.value()?.parse()?,
                Long(other) => options.node.take(other.to_owned(), &mut arguments)?,
                Value(value) if address.is_none() => address = Some(value.string()?),
                other => return Err(other.unexpected()),
            }
        }
        options.address = address.ok_or("the address of a node is missing")?;
        Ok(Some(options))
    }
}

fn main() -> ExitCode {
    args::run("sync", USAGE, Options::from_args(), |options| options.node.json, sync)
}

fn sync(options: Options, output: &Output) -> Result<bool, Failure> {
    let network = options.node.network;
    let mut store = Store::open(options.out.as_deref(), network, options.limits)?;
    if let Some(cut) = store.resumed() {
        let blocks = store.blocks();
        let rest = if cut > 0 { format!(", and {cut} bytes of one that is cut off") } else { String::new() };
        output.say(
            format_args!("going on after {blocks} blocks{rest}"),
            Record::new("resumed").field("blocks", blocks).field("cut", cut),
        );
    }

    let told = genesis::block(network)?.hash();
    let (guest, heard) = Guest::new(&output.with(Detail::Little), told, &Goods::default());
    let mut rules = StallRule::defaults();
    rules.push(StallRule { request: Command::GetLocator, answers: vec![Command::Locator], limit: LOCATOR });
    let config =
        options.node.builder("sync", Services::empty())?.dag(Only(told)).listener(guest).stall_rules(rules).build()?;

    let (stream, address) = dial::dial(&options.address, network)?;
    let peer = Peer::outbound(stream, address, &config)?;
    output.connected(&peer);
    if let Err(WaitError::Closed(_)) = peer.wait_for_handshake() {
        // The guest has said why.
        peer.wait_for_disconnect()?;
        return Ok(false);
    }
    let remote = peer.remote().ok_or("a handshake without a version")?;
    let genesis = options.genesis.or_else(|| genesis::hash(network, &remote.user_agent)).unwrap_or(told);

    let mut download = Download::new(&peer, &heard, &mut store, genesis, output);
    let result = download.run(remote.selected_tip);
    let (new, bytes, seconds) = (download.new_blocks(), download.bytes(), download.seconds());
    let flushed = store.flush();
    let blocks = store.blocks();
    peer.disconnect();
    peer.wait_for_disconnect()?;
    match result.and_then(|tip| flushed.map(|()| tip)) {
        Ok(tip) => {
            output.say(
                format_args!("done: {blocks} blocks, {new} of them new, {bytes} bytes in {seconds:.1} s, up to {tip}"),
                Record::new("done")
                    .field("blocks", blocks)
                    .field("new", new)
                    .field("bytes", bytes)
                    .field("seconds", seconds)
                    .text("tip", tip),
            );
            Ok(true)
        }
        Err(error) => {
            let again = match options.out {
                Some(_) if blocks > 0 => "; run it again to go on from there",
                _ => "",
            };
            eprintln!("sync: {error}; stopped with {blocks} blocks, {new} of them new{again}");
            if options.node.json {
                let record = Record::new("failed").text("reason", error);
                output.say("", record.field("blocks", blocks).field("new", new));
            }
            Ok(false)
        }
    }
}
