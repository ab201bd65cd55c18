//! Dials a node through a SOCKS5 proxy and shows who answers; see `--help`.
//!
//! The library dials nobody: whatever gives a connected stream will do, here the crate `socks`.

#[path = "../shared/args.rs"]
mod args;
#[path = "../shared/dial.rs"]
mod dial;
#[path = "../shared/genesis.rs"]
mod genesis;
#[path = "../shared/guest.rs"]
mod guest;
#[path = "../shared/output.rs"]
mod output;

use args::{Failure, Node};
use crossbeam_channel::{RecvTimeoutError, bounded};
use guest::{Goods, Guest, Only};
use kaspa_peer::wire::Services;
use kaspa_peer::{Peer, WaitError};
use output::{Output, Record};
use socks::Socks5Stream;
use std::net::TcpStream;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

const USAGE: &str = "\
Dials a kaspa node through a SOCKS5 proxy, shows who answers, and hangs up.

Usage: socks5 PROXY ADDR [options]

PROXY is where the proxy listens, host and port: 127.0.0.1:9050 for Tor. ADDR is
the node's address or host name, with the network's port unless one is given; a
name is looked up by the proxy. The node is never told the proxy's address.

Options:
  --timeout SECONDS  how long the proxy may take until it is connected to the node,
                     60 unless given
{NODE_OPTIONS}

Offers nothing unless told otherwise.

The objects of --json are those of `connect`.

Exit status: 0 when the node introduced itself and answered a ping; 1 when not, or
when nobody reads the output any more; 2 when the program was called wrongly.
";

struct Options {
    node: Node,
    proxy: String,
    address: String,
    timeout: Duration,
}

impl Options {
    /// `None` when help is wanted.
    fn from_args() -> Result<Option<Self>, lexopt::Error> {
        use lexopt::prelude::*;
        let mut node = Node::new();
        let (mut addresses, mut timeout) = (Vec::new(), Duration::from_secs(60));
        let mut arguments = lexopt::Parser::from_env();
        while let Some(argument) = arguments.next()? {
            match argument {
                Short('h') | Long("help") => return Ok(None),
                Long("timeout") => timeout = arguments.value()?.parse_with(args::seconds)?,
                Long(other) => node.take(other.to_owned(), &mut arguments)?,
                Value(value) if addresses.len() < 2 => addresses.push(value.string()?),
                other => return Err(other.unexpected()),
            }
        }
        match <[String; 2]>::try_from(addresses) {
            Ok([proxy, address]) => Ok(Some(Self { node, proxy, address, timeout })),
            Err(_) => Err("the address of a proxy and that of a node are needed".into()),
        }
    }
}

fn main() -> ExitCode {
    args::run("socks5", USAGE, Options::from_args(), |options| options.node.json, introduce)
}

fn introduce(options: Options, output: &Output) -> Result<bool, Failure> {
    let Options { node, proxy, address, timeout } = options;
    let tip = genesis::block(node.network)?.hash();
    let (guest, _) = Guest::new(output, tip, &Goods::default());
    let config = node
        .builder("socks5", Services::empty())?
        .dag(Only(tip))
        .listener(guest)
        // What the version message says of addresses leaves this one out.
        .proxy(proxy.as_str())
        .build()?;

    let address = dial::with_port(&address, node.network);
    let stream =
        dial(proxy.clone(), address.clone(), timeout).map_err(|error| format!("{address} through {proxy}: {error}"))?;
    // The peer is where the proxy was asked to connect to, not where the socket goes.
    let peer = Peer::outbound(stream, address, &config)?;
    output.connected(&peer);
    let pong = match peer.wait_for_handshake().and_then(|()| peer.ping()) {
        Ok(rtt) => {
            output.say(
                format_args!("[{}] answers a ping in {rtt:?}", peer.id()),
                Record::of(&peer, "ping").field("milliseconds", rtt.as_secs_f64() * 1000.0),
            );
            true
        }
        // The guest has said why.
        Err(WaitError::Closed(_)) => false,
        Err(error) => return Err(format!("no pong: {error}").into()),
    };
    peer.disconnect();
    peer.wait_for_disconnect()?;
    Ok(pong)
}

/// Dials through a proxy. The crate waits for it as long as it likes, so that is done on a thread of its own, which is
/// left behind when it takes too long.
fn dial(proxy: String, address: String, timeout: Duration) -> Result<TcpStream, Failure> {
    let (dialled, stream) = bounded(1);
    thread::Builder::new().name("dial".into()).spawn(move || {
        // Who has given up does not take it.
        let _ = dialled.send(Socks5Stream::connect(proxy.as_str(), address.as_str()));
    })?;
    match stream.recv_timeout(timeout) {
        Ok(stream) => Ok(stream?.into_inner()),
        Err(RecvTimeoutError::Timeout) => Err(format!("no connection within {timeout:?}").into()),
        Err(RecvTimeoutError::Disconnected) => Err("dialling panicked".into()),
    }
}
