//! `kpeer relay`: a hub that fetches once what one peer announces, and announces it to all the others.

mod answers;
mod hub;
mod store;
mod wanted;

use crate::accept::{self, Peers};
use crate::dial::{self, DialOptions};
use crate::interrupt;
use crate::options::{Failure, NodeOptions};
use crate::output::{Output, Record};
use answers::SLOW;
use clap::Args;
use crossbeam_channel::RecvTimeoutError;
use hub::{Hub, Shared};
use kaspa_peer::Peer;
use kaspa_peer::wire::{Command, PayloadLimits, Services};
use parking_lot::Mutex;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

const HELP: &str = "\
The relay offers no services and names no tip unless told otherwise, because it
has no DAG to serve. It checks nothing, keeps 64 MiB of transactions and blocks
(at most 20 000), and accepts 125 peers at a time. When a peer requests an item
that the relay lacks, the relay asks its other peers. It takes items only from
peers that it has asked. It ignores further announcements of a peer while 2000
items that the peer announced have not arrived. It disconnects a peer that sends
a block of more than 10 MiB or a transaction (or any other message) of more than
5 MiB: kaspad allows 10 000 000 and 5 000 000 bytes. SIGINT (Ctrl-C) or SIGTERM
ends the relay.

The objects of --json are connected, version, disconnected and failed as of
`listen`, and
  {\"event\":\"listening\",\"address\":…}
  {\"event\":\"status\",\"peers\":3,\"relayed\":7,\"dropped\":0}
                                 every 10 seconds, and the last; `dropped`
                                 counts peers that read too slowly
  {\"event\":\"goodbye\"}            before it disconnects its peers
  {\"event\":\"dropped\",\"lines\":9}  lines were not printed, because those before
                                 them were not read

Exit status: 0 after a signal; 1 when it cannot go on, or when its standard
output is closed; 2 when it is called wrongly.
";

/// Fetches once what one peer announces, announces it to all the others, and serves it
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub struct Options {
    /// Where to listen
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0", value_parser = dial::address)]
    listen: String,
    /// Dial this node; can be given more than once
    #[arg(long, value_name = "ADDR", value_parser = dial::address)]
    connect: Vec<String>,
    #[command(flatten)]
    dial: DialOptions,
    #[command(flatten)]
    pub node: NodeOptions,
}

/// How often the deadlines of items are checked.
const DEADLINE_CHECKS: Duration = Duration::from_millis(500);

/// kaspad allows a mass of 10 000 000 for the transactions of a block, and each byte has a mass of at least 1. The
/// header has at most 9 kB.
const MAX_BLOCK: u32 = 10 << 20;

/// kaspad allows half the mass of a block for a transaction. No other message that a relay handles is longer.
const MAX_TX: u32 = 5 << 20;

/// The default of the library.
const MAX_CUSTOM: u32 = 1 << 20;

const STATUS_INTERVAL: Duration = Duration::from_secs(10);

pub fn run(Options { listen, connect, dial, node }: Options, output: &Output) -> Result<bool, Failure> {
    let hub = Arc::new(Shared(Mutex::new(Hub::new(output.clone()))));
    let limits = PayloadLimits::protocol().at_most(MAX_TX).command(Command::Block, MAX_BLOCK).custom(MAX_CUSTOM);
    let builder =
        node.builder("relay", Services::empty())?.write_timeout(SLOW).listener(hub.clone()).payload_limits(limits);
    // Requests and announcements fit beside a block of the largest size.
    let builder = builder.queue_limit(2 * MAX_BLOCK as usize);
    let config = dial.configure(builder).build()?;
    let interrupted = interrupt::channel()?;
    let mut dialled = Vec::new();
    for address in connect {
        let (stream, address) = dial.dial_until(&interrupted, &address, node.network)?;
        dialled.push(Peer::outbound(stream, address, &config)?);
    }
    let listener = dial::listen(&listen, node.network)?;
    let address = listener.local_addr()?;
    output.say(format_args!("listening on {address}"), Record::new("listening").text("address", address));
    let accepting = output.clone();
    // Ends with the process: `accept` cannot be woken.
    thread::spawn(move || accept::accept("relay", &listener, &config, false, &Peers::default(), &accepting));

    let mut status_due = Instant::now() + STATUS_INTERVAL;
    while interrupted.recv_timeout(DEADLINE_CHECKS) == Err(RecvTimeoutError::Timeout) {
        let now = Instant::now();
        let mut hub = hub.0.lock();
        hub.check_deadlines(now);
        if now >= status_due {
            status_due = now + STATUS_INTERVAL;
            hub.show_status();
        }
    }
    let peers = hub.0.lock().peers();
    output.say("saying goodbye", Record::new("goodbye"));
    peers.iter().for_each(Peer::disconnect);
    peers.iter().try_for_each(|peer| peer.wait_for_disconnect().map(drop))?;
    hub.0.lock().show_status();
    Ok(true)
}
