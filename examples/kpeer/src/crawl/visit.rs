//! Visits one node: dials it, asks for its version and for addresses, and disconnects.

use crate::dial::DialOptions;
use crossbeam_channel::{Receiver, Sender, bounded};
use kaspa_peer::wire::{Addr, AddressScope, GetAddr, GetSelectedTip, SelectedTip};
use kaspa_peer::{Config, DisconnectReason, Listener, Peer, peer::Remote};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

/// The answers of a node.
#[derive(Debug)]
pub struct Visit {
    /// The content of its `version`.
    pub remote: Remote,
    /// The round-trip time of a ping; `None` if no pong came in time.
    pub rtt: Option<Duration>,
    /// The addresses that it named, at most a thousand.
    pub knows: Vec<SocketAddr>,
}

/// The number of `addr` messages that are read. A node may send its own address first, in a message of its own.
const MESSAGES: usize = 8;

type Addresses = (Sender<Vec<SocketAddr>>, Receiver<Vec<SocketAddr>>);

/// The listener of all visits: passes the addresses on, by the id of the peer.
#[derive(Default)]
pub struct AddressListener(Mutex<HashMap<u64, Addresses>>);

impl AddressListener {
    /// The channel of a peer. The visit and the callbacks ask for it in any order.
    fn addresses(&self, peer: &Peer) -> Addresses {
        let mut all = self.0.lock();
        let addresses = all.entry(peer.id()).or_insert_with(|| bounded(MESSAGES)).clone();
        if peer.disconnect_reason().is_some() {
            // `on_disconnect` may have run before.
            all.remove(&peer.id());
        }
        addresses
    }
}

impl Listener for AddressListener {
    fn on_addr(&self, peer: &Peer, addr: Addr) {
        let addresses = addr.addresses.iter().map(|known| known.address.socket_addr()).collect();
        // Further messages than the channel has room for are ignored.
        let _ = self.addresses(peer).0.try_send(addresses);
    }

    fn on_get_selected_tip(&self, peer: &Peer, _: GetSelectedTip) {
        // kaspad disconnects a remote that does not answer.
        let _ = peer.queue_message(&SelectedTip::default());
    }

    fn on_disconnect(&self, peer: &Peer, _: &DisconnectReason) {
        self.0.lock().remove(&peer.id());
    }
}

/// Dials a node and asks it for addresses. The error says why the node was not reached.
pub fn visit(
    address: SocketAddr,
    dial: &DialOptions,
    config: &Config,
    listener: &AddressListener,
    timeout: Duration,
) -> Result<Visit, String> {
    let stream = dial.dial_address(&address, timeout).map_err(|error| error.to_string())?;
    let peer = Peer::outbound(stream, address, config).map_err(|error| error.to_string())?;
    let (_, received) = listener.addresses(&peer);
    peer.wait_for_handshake().map_err(|error| error.to_string())?;
    let remote = peer.remote().ok_or("no version message")?;
    let rtt = peer.ping_timeout(timeout).ok();
    let _ = peer
        .queue_message(&GetAddr { scope: AddressScope::from(config.subnetwork()) })
        .map_err(|error| error.to_string())?;
    // A node that names no addresses sends nothing. It was reached all the same.
    let mut knows = received.recv_timeout(timeout).unwrap_or_default();
    // A node may go on sending, so no more than the channel holds is read.
    knows.extend(received.try_iter().take(MESSAGES).flatten());
    knows.truncate(Addr::MAX);
    peer.disconnect();
    let _ = peer.wait_for_disconnect();
    Ok(Visit { remote, rtt, knows })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use kaspa_peer::Direction;
    use kaspa_peer::testing::connect_remote;
    use kaspa_peer::wire::Network;
    use std::sync::Arc;

    #[test]
    fn a_node_that_disconnects_before_it_is_asked_leaves_nothing_behind() {
        let listener = Arc::new(AddressListener::default());
        let config = Config::builder(Network::Simnet).listener(Arc::clone(&listener)).build().unwrap();
        let (peer, remote) = connect_remote(Direction::Outbound, &config).unwrap();
        listener.addresses(&peer);
        assert_eq!(listener.0.lock().len(), 1);
        remote.close();
        peer.wait_for_disconnect().unwrap();
        listener.addresses(&peer);
        assert_eq!(listener.0.lock().len(), 0);
    }
}
