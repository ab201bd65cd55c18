//! `kpeer sync`: downloads a node's whole block DAG.
//!
//! `download` asks the node, `store` keeps the blocks.

mod download;
mod store;

use crate::client::{Client, OnlyTip, Responses};
use crate::dial::{self, DialOptions};
use crate::options::{Failure, NodeOptions};
use crate::output::{Detail, Output, Record};
use crate::{genesis, interrupt};
use clap::Args;
use download::Download;
use kaspa_peer::peer::{OversizeFrames, StallRule};
use kaspa_peer::wire::{Command, Hash, PayloadLimits, Services};
use kaspa_peer::{Peer, WaitError};
use std::path::PathBuf;
use std::time::Duration;
use store::{Limits, Store};

/// How long a node may take to answer `getlocator`. The library has stall rules for the other requests.
const LOCATOR: Duration = Duration::from_secs(30);

const HELP: &str = "\
Offers no services unless told otherwise. A bar on a terminal, or a line a
second, shows how far it is.

The objects of --json are those of `connect`, without the blocks, and
  {\"event\":\"resumed\",\"blocks\":120,\"cut\":17}
                            `cut` is the size of an unfinished block, in bytes
  {\"event\":\"progress\",\"blocks\":…,\"of\":…,\"bytes\":…,\"blocks_per_second\":…,
   \"bytes_per_second\":…}   each second, and at the end
  {\"event\":\"done\",\"blocks\":…,\"new\":…,\"bytes\":…,\"seconds\":…,\"tip\":…}
  {\"event\":\"failed\",\"reason\":…,\"blocks\":…,\"new\":…}
                            `blocks` and `new` if the download had begun

Exit status: 0 when the node's selected tip was reached; 1 when not, or when
its standard output is closed; 2 when it is called wrongly.
";

/// Downloads a kaspa node's whole block DAG
///
/// Sends the requests of a node that is new to the network: for locators, until the highest block that both have is found; for the inventory from there to the node's selected tip; for the blocks, 50 in a request and a few requests at a time; and then for a newer tip. Checks that each block is one that was requested, by its hash, and that its parents are there; not its work, its signatures or its rules.
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub struct Options {
    /// An address or a host name, with the network's port if none is given
    #[arg(value_name = "ADDR", value_parser = dial::address)]
    address: String,
    /// Write the blocks to FILE, or continue after the blocks that are in it. It contains `block` messages as they go over the wire, parents first, without the genesis block; `inspect` reads it and `listen --dag` serves it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The network's genesis block, where it is not that of kaspad v0.1.1 to v0.4.1 or, for a kaspad whose user agent is newer, v0.5.0
    #[arg(long, value_name = "HASH")]
    genesis: Option<Hash>,
    /// Stop when there are N blocks and more to come: a node can make up blocks without end, and each needs up to 120 bytes of memory, whatever it contains
    #[arg(long, value_name = "N", default_value_t = 10_000_000, allow_negative_numbers = true)]
    max_blocks: usize,
    /// Stop when FILE would become longer
    #[arg(long, value_name = "N", default_value_t = 100_000_000_000, allow_negative_numbers = true)]
    max_bytes: u64,
    #[command(flatten)]
    dial: DialOptions,
    #[command(flatten)]
    pub node: NodeOptions,
}

pub fn run(options: Options, output: &Output) -> Result<bool, Failure> {
    let network = options.node.network;
    let limits = Limits { blocks: options.max_blocks, bytes: options.max_bytes };
    let mut store = Store::open(options.out.as_deref(), network, limits).map_err(|error| format!("--out {error}"))?;
    if let Some(cut) = store.resumed() {
        let blocks = store.blocks();
        let rest = if cut > 0 { format!("; removed {cut} bytes of an unfinished block") } else { String::new() };
        output.say(
            format_args!("continuing after {blocks} blocks{rest}"),
            Record::new("resumed").field("blocks", blocks).field("cut", cut),
        );
    }

    let default_genesis = genesis::block(network)?.hash();
    let (client, received) = Client::new(&output.with(Detail::Little), &Responses::default());
    let mut rules = StallRule::defaults();
    rules.push(StallRule::new(Command::GetLocator, [Command::Locator], LOCATOR));
    let builder = options
        .node
        .builder("sync", Services::empty())?
        .dag(OnlyTip(default_genesis))
        .listener(client)
        .stall_rules(rules)
        .payload_limits(payload_limits())
        .oversize_frames(OversizeFrames::Skip);
    let config = options.dial.configure(builder).build()?;

    // After a signal the download ends as if the node had gone: complete blocks stay in the file.
    let interrupted = interrupt::channel()?;
    let (stream, address) = options.dial.dial_until(&interrupted, &options.address, network)?;
    let peer = Peer::outbound(stream, address, &config)?;
    interrupt::disconnect(&interrupted, &peer)?;
    output.connected(&peer);
    if let Err(WaitError::Closed(_)) = peer.wait_for_handshake() {
        peer.wait_for_disconnect()?;
        if interrupt::has_arrived(&interrupted) {
            return Err("interrupted".into());
        }
        // The client prints the reason.
        return Ok(false);
    }
    let remote = peer.remote().ok_or("no version message")?;
    let genesis = options.genesis.or_else(|| genesis::hash(network, &remote.user_agent)).unwrap_or(default_genesis);

    let mut download = Download::new(&peer, &received, &mut store, genesis, output);
    let result = download.run(remote.selected_tip);
    let (new, bytes, seconds) = (download.new_blocks(), download.bytes(), download.seconds());
    drop(download);
    let flushed = store.flush();
    let blocks = store.blocks();
    peer.disconnect();
    peer.wait_for_disconnect()?;
    match result.and_then(|tip| flushed.map(|()| tip)) {
        Ok(tip) => {
            output.say(
                format_args!(
                    "selected tip {tip}\ndone: {blocks} blocks, {new} of them new, {bytes} bytes in {seconds:.1} s"
                ),
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
            // The signal disconnects the peer, so the error says only that this side disconnected.
            let error = if interrupt::has_arrived(&interrupted) { "interrupted".into() } else { error };
            let again = match options.out {
                Some(_) if blocks > 0 => "; run it again to continue from there",
                _ => "",
            };
            output.warn("sync", format_args!("{error}; stopped with {blocks} blocks, {new} of them new{again}"));
            if output.is_json() {
                let record = Record::new("failed").text("reason", error);
                output.say("", record.field("blocks", blocks).field("new", new));
            }
            Ok(false)
        }
    }
}

/// The limits of the protocol for the answers that a download uses, and 64 KiB for all other messages.
fn payload_limits() -> PayloadLimits {
    let used = [Command::Block, Command::Inv, Command::Locator, Command::NotFound];
    let limits = PayloadLimits::protocol().all(64 << 10);
    used.into_iter().fold(limits, |limits, command| limits.command(command, command.payload_limit()))
}
