//! Records the traffic of a peer in a file, and reads the file back.
//!
//! `cargo run --example capture -- ADDR FILE NETWORK` records ten seconds with a node; without NETWORK, on mainnet.
//! `kpeer inspect FILE` shows more of such a file. Without arguments, the node is in the same process, and the file is
//! a temporary one.

use kaspa_peer::peer::{Capture, CaptureReader, Captured};
use kaspa_peer::wire::{Encode, FeeFilter, GetAddr, Network};
use kaspa_peer::{Config, Peer};
use std::error::Error;
use std::fs::{self, File};
use std::io::BufReader;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;
use std::{env, process};

/// The capture stops before the file would have more bytes than this.
const LIMIT: u64 = 100_000_000;

/// Connects to a node and records what both sides send.
fn record(address: &str, capture: &Capture) -> Result<(), Box<dyn Error>> {
    let config = Config::builder(capture.network()).user_agent("capture", "1.0").capture(capture.clone()).build()?;
    let peer = Peer::connect(address, Duration::from_secs(10), &config).map_err(|error| error.to_string())?;
    peer.queue_message(&GetAddr::all())?;
    // An error means that the node is still connected.
    let _ = peer.wait_for_disconnect_timeout(Duration::from_secs(10));
    peer.disconnect();
    peer.wait_for_disconnect()?;
    Ok(())
}

/// Records a short conversation of two nodes in this process.
fn record_locally(capture: &Capture) -> Result<(), Box<dyn Error>> {
    let alice = Config::builder(capture.network()).user_agent("alice", "1.0").capture(capture.clone()).build()?;
    let bob = Config::builder(capture.network()).user_agent("bob", "1.0").build()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let to_bob = Peer::outbound(TcpStream::connect(address)?, address, &alice)?;
    let (stream, from) = listener.accept()?;
    let to_alice = Peer::inbound(stream, from, &bob)?;
    to_bob.wait_for_handshake()?;
    to_bob.queue_message(&FeeFilter { min_fee: 1000 })?;
    to_bob.ping()?;
    to_alice.ping()?;
    to_bob.disconnect();
    to_bob.wait_for_disconnect()?;
    Ok(())
}

/// Prints one line for each record.
fn show(file: &Path) -> Result<usize, Box<dyn Error>> {
    let reader = CaptureReader::new(BufReader::new(File::open(file)?))?;
    println!("a capture of {}", reader.network());
    let (mut records, mut start) = (0, None);
    for record in reader {
        let record = record?;
        let since = record.time.duration_since(*start.get_or_insert(record.time)).unwrap_or_default();
        let text = match &record.what {
            Captured::Connected(address) => format!("connected: {address}"),
            Captured::Gone(reason) => format!("disconnected: {reason}"),
            Captured::Refused(error) => format!("malformed frame: {error}"),
            Captured::Received(_) | Captured::Sent(_) => {
                let arrow = if matches!(record.what, Captured::Sent(_)) { "->" } else { "<-" };
                match record.message() {
                    Some(Ok(message)) => format!("{arrow} {:<8} {}", message.command(), message.summary()),
                    Some(Err(error)) => format!("{arrow} {error}"),
                    None => String::new(),
                }
            }
            _ => String::new(),
        };
        println!("{:8.3} s  peer {}  {}", since.as_secs_f64(), record.peer, text.trim_end());
        records += 1;
    }
    Ok(records)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let address = arguments.next();
    let temporary = env::temp_dir().join(format!("kaspa-peer-{}.kpcap", process::id()));
    let file = match (&address, arguments.next()) {
        (Some(_), Some(file)) => file.into(),
        (Some(_), None) => return Err("the name of the file is missing: capture ADDR FILE".into()),
        (None, _) => temporary,
    };
    let output = File::create(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let network = match arguments.next() {
        Some(name) => name.parse::<Network>().map_err(|error| error.to_string())?,
        None => Network::Mainnet,
    };
    let capture = Capture::new(output, network, LIMIT)?;
    match &address {
        Some(address) => record(address, &capture)?,
        None => record_locally(&capture)?,
    }
    // Returns the error if something could not be written. Dropping the capture would hide it.
    capture.flush()?;
    let records = show(&file)?;
    if address.is_none() {
        fs::remove_file(&file)?;
    }
    println!("read {records} records");
    Ok(())
}
