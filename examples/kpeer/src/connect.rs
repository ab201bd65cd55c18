//! Dials a node and shows who is there and what it says; see `--help`.

#[path = "../shared/args.rs"]
mod args;
#[path = "../shared/dial.rs"]
mod dial;
mod exercise;
#[path = "../shared/genesis.rs"]
mod genesis;
mod goods;
#[path = "../shared/guest.rs"]
mod guest;
#[path = "../shared/output.rs"]
mod output;

use args::{Failure, Node};
use exercise::Exercise;
use guest::{Goods, Guest, Only};
use kaspa_peer::wire::{AddressScope, GetAddr, Services};
use kaspa_peer::{Peer, WaitError};
use output::{Detail, Output, Record};
use std::process::ExitCode;
use std::time::Duration;

const USAGE: &str = "\
Dials a kaspa node, shows who is there, and follows what it says.

Usage: connect ADDR [options]

ADDR is an address or a host name, with the network's port unless one is given.
Asks for addresses and shows every message until interrupted, or until the node
goes away.

Options:
  --for SECONDS      end after that long
  --exercise         try the 23 ordinary messages instead, and end
  --wait SECONDS     how long an answer may take in the exercise, 10 unless given
  --without-headers  leave getheaders, headers and sendheaders out of the exercise:
                     kaspad from v0.1.2 on does not know them, and ends on them
{NODE_OPTIONS}

Offers nothing unless told otherwise, in the exercise SFNodeNetwork; names the
network's genesis block as its tip.

The exercise sends each type of message, well-formed, and prints a line for each
(three for getdata, which can bring a block, a tx or a notfound):
  ok       what it should bring came: a pong, addr, inv, block, tx, notfound,
           headers, locator or selectedtip. For the others nothing should come: the
           node takes it, and answers the ping that follows it
  --       excused: it brought nothing and did not have to, and the line says why
  FAILED   what it should bring did not come, or the node ended on it
Where a node need not do as is asked:
  - A node that does not offer SFNodeBloom must end on a bloom filter. filterload is
    then sent last of all and may bring the end; what cannot be sent after it is
    left out.
  - A kaspad daemon (not another program made of its parts) gives addresses only
    when it knows some, and never on simnet; gives only transactions that are in no
    block yet; answers no getheaders; ends on a tx, block or selectedtip that it did
    not ask for, so these are sent when it asks and else left out; and after v0.1
    may ban for a made-up block, so it gets none.
  - A node with nothing above its genesis block has no locator and no inv to give.
`tx` and `block` are announced in an inv and sent when the node asks for them; a
node that does not ask is sent them all the same. A reject of either is fine: they
are made up.

The objects of --json are one of
  {\"event\":\"connected\",\"peer\":1,\"address\":…,\"direction\":\"outbound\"}
  {\"event\":\"version\",\"peer\":1,\"user_agent\":…,\"selected_tip\":…,\"time_offset\":0,…}
  {\"event\":\"ping\",\"peer\":1,\"milliseconds\":0.12}
  {\"event\":\"message\",\"peer\":1,\"command\":\"addr\",\"summary\":…}
  {\"event\":\"sent\",\"peer\":1,\"command\":\"getaddr\",\"summary\":\"26 bytes\",\"bytes\":26}
  {\"event\":\"check\",\"peer\":1,\"command\":\"getaddr\",\"brings\":\"addr\",\"result\":\"ok\",\"note\":…}
  {\"event\":\"exercised\",\"peer\":1,\"ok\":25,\"excused\":0,\"failed\":0}
  {\"event\":\"disconnected\",\"peer\":1,\"reason\":…}
  {\"event\":\"failed\",\"reason\":…}

Exit status: 0 when all is well, and with --exercise when no line says FAILED; 1
when not, when the node went away, or when nobody reads the output any more; 2 when
it was called wrongly.
";

struct Options {
    node: Node,
    address: String,
    duration: Option<Duration>,
    exercise: bool,
    wait: Duration,
    headers: bool,
}

impl Options {
    /// `None` when help is wanted.
    fn from_args() -> Result<Option<Self>, lexopt::Error> {
        use lexopt::prelude::*;
        let (node, wait) = (Node::new(), Duration::from_secs(10));
        let mut options = Self { node, address: String::new(), duration: None, exercise: false, wait, headers: true };
        let mut address = None;
        let mut arguments = lexopt::Parser::from_env();
        while let Some(argument) = arguments.next()? {
            match argument {
                Short('h') | Long("help") => return Ok(None),
                Long("for") => options.duration = Some(arguments.value()?.parse_with(args::seconds)?),
                Long("exercise") => options.exercise = true,
                Long("wait") => options.wait = arguments.value()?.parse_with(args::seconds)?,
                Long("without-headers") => options.headers = false,
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
    args::run("connect", USAGE, Options::from_args(), |options| options.node.json, connect)
}

fn connect(options: Options, output: &Output) -> Result<bool, Failure> {
    let network = options.node.network;
    let tip = genesis::block(network)?.hash();
    let goods = Goods::default();
    let detail = if options.exercise { Detail::Records } else { Detail::All };
    let (guest, heard) = Guest::new(&output.with(detail), tip, &goods);
    // The guest shows what is said. Who follows that has no use for it, and what nobody hears would be in the pong's way.
    let heard = options.exercise.then_some(heard);
    let services = if options.exercise { Services::NETWORK } else { Services::empty() };
    let mut builder = options.node.builder("connect", services)?.dag(Only(tip)).listener(guest);
    if options.exercise {
        // What does not come is noticed by the exercise itself.
        builder = builder.stall_rules([]);
    }
    let config = builder.build()?;

    let (stream, address) = dial::dial(&options.address, network)?;
    let peer = Peer::outbound(stream, address, &config)?;
    output.connected(&peer);
    let Ok(()) = peer.wait_for_handshake() else { return Ok(gone(&peer)) };
    if let Some(heard) = heard {
        let passed = Exercise::new(&peer, &heard, &goods, output, &options)?.run()?;
        peer.disconnect();
        peer.wait_for_disconnect()?;
        return Ok(passed);
    }

    match peer.ping() {
        Ok(rtt) => show_ping(&peer, rtt, output),
        Err(WaitError::Closed(_)) => return Ok(gone(&peer)),
        Err(error) => eprintln!("connect: no pong: {error}"),
    }
    peer.queue_message(&GetAddr { scope: AddressScope::from(options.node.subnetwork) })?;
    match options.duration {
        None => Ok(gone(&peer)),
        Some(duration) if peer.wait_for_disconnect_timeout(duration).is_ok() => Ok(false),
        Some(_) => {
            peer.disconnect();
            peer.wait_for_disconnect()?;
            Ok(true)
        }
    }
}

/// The node went away, and the guest said so, once the threads are done.
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
