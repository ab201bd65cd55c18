//! `kpeer connect`: dials a node, and prints its version and its messages.

mod exercise;
mod samples;

use crate::client::{Client, OnlyTip, Responses};
use crate::dial::{self, DialOptions};
use crate::options::{self, Failure, NodeOptions};
use crate::output::{Detail, Output, Record};
use crate::{genesis, interrupt};
use clap::Args;
use exercise::Exercise;
use kaspa_peer::wire::{AddressScope, GetAddr, Services};
use kaspa_peer::{Peer, WaitError};
use std::time::Duration;

const HELP: &str = "\
Offers no services unless told otherwise, and names the network's genesis block
as its tip.

The exercise sends each type of message, well-formed, and prints a line for each
(three for getdata, which can bring a block, a tx or a notfound):
  ok       the expected answer came: a pong, addr, inv, block, tx, notfound,
           headers, locator or selectedtip. Other types have no answer: the node
           must stay, and answer the ping that follows
  --       excused: no answer came and none had to, and the line says why
  FAILED   no answer came, or the node disconnected
Where a node need not do what it is asked for:
  - A node that does not offer SFNodeBloom must disconnect at a bloom filter. So
    filterload is sent last, and what cannot be sent after it is left out.
  - A kaspad daemon (not another program made of its parts) gives addresses only
    when it knows some, and never on simnet; gives only transactions that are in
    no block yet; answers no getheaders; rejects filteradd after filterload, or
    disconnects at it; disconnects at a tx, block or selectedtip that it did not
    request, so these are sent only on request; and after v0.1 may ban a remote
    for a made-up block, so it gets none.
  - A node with nothing above its genesis block has no locator and no inv.
`tx` and `block` are announced in an inv and sent when the node requests them.
Other nodes than kaspad get them also without a request. A node may reject both,
because they are made up.

The objects of --json are one of
  {\"event\":\"connected\",\"peer\":1,\"address\":…,\"direction\":\"outbound\"}
  {\"event\":\"version\",\"peer\":1,\"user_agent\":…,\"selected_tip\":…,
   \"time_offset\":0,…}
  {\"event\":\"ping\",\"peer\":1,\"milliseconds\":0.12}
  {\"event\":\"message\",\"peer\":1,\"command\":\"addr\",\"summary\":…}
  {\"event\":\"sent\",\"peer\":1,\"command\":\"getaddr\",\"summary\":\"26 bytes\",
   \"bytes\":26}
  {\"event\":\"check\",\"peer\":1,\"command\":\"getaddr\",\"brings\":\"addr\",
   \"result\":\"ok\",\"note\":…}
  {\"event\":\"exercised\",\"peer\":1,\"ok\":25,\"excused\":0,\"failed\":0}
  {\"event\":\"disconnected\",\"peer\":1,\"reason\":…}
  {\"event\":\"failed\",\"reason\":…}

Exit status: 0 after SIGINT or SIGTERM, after the time of --for, or when no line
of the exercise says FAILED; 1 otherwise, or when its standard output is closed;
2 when it is called wrongly.
";

/// Dials a kaspa node, shows its version, and prints each message
///
/// Asks for addresses and prints every message until interrupted or until the node disconnects.
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub struct Options {
    /// An address or a host name, with the network's port if none is given
    #[arg(value_name = "ADDR", value_parser = dial::address)]
    address: String,
    /// Disconnect after this time
    #[arg(long = "for", value_name = "SECONDS", value_parser = options::seconds, allow_negative_numbers = true)]
    duration: Option<Duration>,
    /// Try the 23 ordinary messages instead, and end
    #[arg(long)]
    exercise: bool,
    /// How long an answer may take in the exercise
    #[arg(
        long, value_name = "SECONDS", value_parser = options::seconds, allow_negative_numbers = true,
        default_value = "10"
    )]
    wait: Duration,
    /// Leave getheaders, headers and sendheaders out of the exercise: kaspad from v0.1.2 on does not know them, and disconnects
    #[arg(long)]
    without_headers: bool,
    #[command(flatten)]
    dial: DialOptions,
    #[command(flatten)]
    pub node: NodeOptions,
}

pub fn run(options: Options, output: &Output) -> Result<bool, Failure> {
    let network = options.node.network;
    let tip = genesis::block(network)?.hash();
    let responses = Responses::default();
    let detail = if options.exercise { Detail::Records } else { Detail::All };
    let (client, received) = Client::new(&output.with(detail), &responses);
    // The client prints each message. Without an exercise, no thread reads the channel, and it would be full before
    // the pong.
    let received = options.exercise.then_some(received);
    let mut builder = options.node.builder("connect", Services::empty())?.dag(OnlyTip(tip)).listener(client);
    if options.exercise {
        // The exercise notices itself which answers do not come.
        builder = builder.stall_rules([]);
    }
    let config = options.dial.configure(builder).build()?;

    let interrupted = interrupt::channel()?;
    let (stream, address) = options.dial.dial_until(&interrupted, &options.address, network)?;
    let peer = Peer::outbound(stream, address, &config)?;
    interrupt::disconnect(&interrupted, &peer)?;
    output.connected(&peer);
    let Ok(()) = peer.wait_for_handshake() else { return Ok(gone(&peer)) };
    if let Some(received) = received {
        let passed = Exercise::new(&peer, &received, &responses, output, &options)?.run()?;
        peer.disconnect();
        peer.wait_for_disconnect()?;
        return Ok(passed);
    }

    match peer.ping() {
        Ok(rtt) => show_ping(&peer, rtt, output),
        Err(WaitError::Closed(_)) => return Ok(gone(&peer)),
        Err(error) => output.warn("connect", format_args!("no pong: {error}")),
    }
    let _ = peer.queue_message(&GetAddr { scope: AddressScope::from(options.node.subnetwork) })?;
    match options.duration {
        // Without a duration a signal is the normal end.
        None => Ok(gone(&peer) || interrupt::has_arrived(&interrupted)),
        Some(duration) if peer.wait_for_disconnect_timeout(duration).is_ok() => {
            Ok(interrupt::has_arrived(&interrupted))
        }
        Some(_) => {
            peer.disconnect();
            peer.wait_for_disconnect()?;
            Ok(true)
        }
    }
}

/// Waits for the end of the connection, whose reason the client prints.
fn gone(peer: &Peer) -> bool {
    let _ = peer.wait_for_disconnect();
    false
}

fn show_ping(peer: &Peer, rtt: Duration, output: &Output) {
    output.say(
        format_args!("[{}] answers a ping in {rtt:?}", peer.id()),
        Record::of(peer, "ping").field("milliseconds", rtt.as_secs_f64() * 1000.0),
    );
}
