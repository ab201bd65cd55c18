//! Accepts connections, up to a maximum number at a time.

use crate::options::Failure;
use crate::output::Output;
use kaspa_peer::{Config, Peer};
use parking_lot::Mutex;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// kaspad's limit. Further connections are closed.
const MAX_PEERS: usize = 125;

/// The peers that are connected. Dropping the last handle of a peer disconnects it, so they are kept here.
pub type Peers = Arc<Mutex<Vec<Peer>>>;

/// Accepts peers as long as the process runs, or with `once` until the first of them has disconnected.
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
                output.warn(program, format_args!("a connection was not accepted: {error}"));
                // The process may have too many open files until a peer disconnects.
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
            output.warn(program, format_args!("{from}: refused, {MAX_PEERS} peers are connected already"));
            continue;
        }
        let peer = match Peer::inbound(stream, from, config) {
            Ok(peer) => peer,
            Err(error) => {
                output.warn(program, format_args!("{from}: {error}"));
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

/// Disconnects all peers and waits for their ends, so that all of it is printed and captured.
pub fn disconnect_all(peers: &Peers) {
    let peers = std::mem::take(&mut *peers.lock());
    peers.iter().for_each(Peer::disconnect);
    // Waiting fails only in callbacks.
    peers.iter().for_each(|peer| drop(peer.wait_for_disconnect()));
}
