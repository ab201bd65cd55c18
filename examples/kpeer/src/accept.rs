//! Accepting those who dial, as many as there may be at a time.

use crate::options::Failure;
use crate::output::Output;
use kaspa_peer::{Config, Peer};
use parking_lot::Mutex;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// The original's limit. More are turned away.
const MAX_PEERS: usize = 125;

/// The peers that are connected. A handle that is dropped disconnects, so they are kept here.
pub type Peers = Arc<Mutex<Vec<Peer>>>;

/// Accepts peers as long as the process runs, or with `once` until the first of them has ended.
pub fn accept(
    program: &str,
    listener: &TcpListener,
    config: &Config,
    once: bool,
    peers: &Peers,
    output: &Output,
) -> Result<bool, Failure> {
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
        let count = {
            let mut peers = peers.lock();
            peers.retain(Peer::is_connected);
            peers.len()
        };
        if count >= MAX_PEERS {
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
            peers.lock().push(peer.clone());
            peer.wait_for_disconnect()?;
            return Ok(true);
        }
        peers.lock().push(peer);
    }
}

/// Disconnects all peers and waits for their ends, so that everything of them is printed and captured.
pub fn disconnect_all(peers: &Peers) {
    let peers = std::mem::take(&mut *peers.lock());
    peers.iter().for_each(Peer::disconnect);
    // This is no callback, so the wait cannot be refused.
    peers.iter().for_each(|peer| drop(peer.wait_for_disconnect()));
}
