//! Watches a node and prints what it announces. When the connection ends, the monitor dials again, and waits longer
//! before each attempt.
//!
//! `cargo run --example monitor -- ADDR NETWORK` watches a node until Ctrl-C. ADDR is a host name or an IP address,
//! with or without a port, and NETWORK is a name such as testnet; without it, mainnet. Without arguments the monitor
//! watches a node in the same process, which disconnects three times.

use kaspa_peer::wire::{Hash, Inv, Inventory, Network};
use kaspa_peer::{Config, Listener, Peer};
use std::error::Error;
use std::net::TcpListener;
use std::time::{Duration, Instant};
use std::{env, thread};

/// How long dialling and the handshake may take together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// After a connection that lasted this long, the next pause is the shortest again. A node that accepts connections and
/// closes them at once is not dialled more often for that.
const STABLE: Duration = Duration::from_secs(60);

struct Monitor;

impl Listener for Monitor {
    fn on_inv(&self, peer: &Peer, inv: Inv) {
        for item in inv.items {
            println!("{peer}: announces {item}");
        }
    }
}

/// Watches the node for `connections` connections.
fn watch(address: &str, network: Network, connections: usize) -> Result<(), Box<dyn Error>> {
    let config = Config::builder(network).user_agent("monitor", "1.0").listener(Monitor).build()?;
    let mut pause = FIRST_PAUSE;
    let mut ended = 0;
    loop {
        match Peer::connect(address, CONNECT_TIMEOUT, &config) {
            Ok(peer) => {
                let connected = Instant::now();
                let user_agent = peer.remote().ok_or("no version message")?.user_agent;
                println!("{peer}: connected, user agent {user_agent}");
                println!("{peer}: {}", peer.wait_for_disconnect()?);
                ended += 1;
                if connected.elapsed() >= STABLE {
                    pause = FIRST_PAUSE;
                }
            }
            Err(error) => println!("{error}"),
        }
        if ended == connections {
            return Ok(());
        }
        println!("dialling again in {pause:?}");
        thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// A node that announces a block to each remote and then disconnects.
fn node(listener: &TcpListener) -> Result<(), Box<dyn Error>> {
    let config = Config::builder(Network::Simnet).user_agent("node", "1.0").build()?;
    for height in 1_u64.. {
        let (stream, from) = listener.accept()?;
        let peer = Peer::inbound(stream, from, &config)?;
        peer.wait_for_handshake()?;
        peer.queue_inventory(Inventory::block(Hash::of(&height.to_le_bytes())))?;
        // The pong comes after the monitor has read the announcement.
        peer.ping()?;
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    if let Some(address) = arguments.next() {
        let network = match arguments.next() {
            Some(name) => name.parse::<Network>().map_err(|error| error.to_string())?,
            None => Network::Mainnet,
        };
        return watch(&address, network, usize::MAX);
    }
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    thread::spawn(move || {
        if let Err(error) = node(&listener) {
            eprintln!("node: {error}");
        }
    });
    watch(&address, Network::Simnet, 3)?;
    println!("watched 3 connections");
    Ok(())
}
