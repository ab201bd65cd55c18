//! Accepting those who dial, as many as there may be at a time.

use crate::options::Failure;
use crate::output::Output;
use kaspa_peer::{Config, Peer};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

/// The original's limit. More are turned away.
const MAX_PEERS: usize = 125;

/// Accepts peers as long as the process runs, or with `once` until the first of them has gone.
pub fn accept(
    program: &str,
    listener: &TcpListener,
    config: &Config,
    once: bool,
    output: &Output,
) -> Result<bool, Failure> {
    // A handle that is dropped disconnects, so they are kept as long as the connections last.
    let mut peers: Vec<Peer> = Vec::new();
    loop {
        let (stream, from) = match listener.accept() {
            Ok(accepted) => accepted,
            Err(error) => {
                eprintln!("kpeer {program}: accepting: {error}");
                // Out of descriptors, perhaps: somebody must go first.
                thread::sleep(Duration::from_millis(100));
                continue;
            }
        };
        peers.retain(|peer| peer.disconnect_reason().is_none());
        if peers.len() >= MAX_PEERS {
            eprintln!("kpeer {program}: {from}: turned away, there are {MAX_PEERS} peers already");
            continue;
        }
        let peer = match Peer::inbound(stream, from, config) {
            Ok(peer) => peer,
            Err(error) => {
                eprintln!("kpeer {program}: {from}: {error}");
                continue;
            }
        };
        output.connected(&peer);
        if once {
            peer.wait_for_disconnect()?;
            return Ok(true);
        }
        peers.push(peer);
    }
}
