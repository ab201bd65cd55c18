//! One node: dialled, asked, left.

use crate::dial::DialOptions;
use crossbeam_channel::{Receiver, Sender, bounded};
use kaspa_peer::wire::{Addr, AddressScope, GetAddr, GetSelectedTip, SelectedTip};
use kaspa_peer::{Config, DisconnectReason, Listener, Peer, peer::Remote};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

/// What was learnt from a node.
#[derive(Debug)]
pub struct Visit {
    /// What it says of itself.
    pub remote: Remote,
    /// How long a ping takes.
    pub rtt: Option<Duration>,
    /// The nodes it knows of, or the first thousand.
    pub knows: Vec<SocketAddr>,
}

/// A node may send its own address before the others, and more messages; so many are listened to.
const MESSAGES: usize = 8;

type Addresses = (Sender<Vec<SocketAddr>>, Receiver<Vec<SocketAddr>>);

/// One listener for all visits: the addresses that come, by the peer's id.
#[derive(Default)]
pub struct Curious(Mutex<HashMap<u64, Addresses>>);

impl Curious {
    /// The channel of a peer, whoever asks for it first: the visit or a callback.
    fn addresses(&self, peer: &Peer) -> Addresses {
        self.0.lock().entry(peer.id()).or_insert_with(|| bounded(MESSAGES)).clone()
    }
}

impl Listener for Curious {
    fn on_addr(&self, peer: &Peer, addr: Addr) {
        let addresses = addr.addresses.iter().map(|known| known.address.socket_addr()).collect();
        // A node may send more than one; what does not fit is let go.
        let _ = self.addresses(peer).0.try_send(addresses);
    }

    fn on_get_selected_tip(&self, peer: &Peer, _: GetSelectedTip) {
        // A real node disconnects who does not answer that.
        let _ = peer.queue_message(&SelectedTip::default());
    }

    fn on_disconnect(&self, peer: &Peer, _: &DisconnectReason) {
        self.0.lock().remove(&peer.id());
    }
}

/// Dials a node, and asks it for others. The error says why nothing was learnt.
pub fn visit(
    address: SocketAddr,
    dial: &DialOptions,
    config: &Config,
    curious: &Curious,
    patience: Duration,
) -> Result<Visit, String> {
    let stream = dial.dial_address(&address, patience).map_err(|error| error.kind().to_string())?;
    let peer = Peer::outbound(stream, address, config).map_err(|error| error.to_string())?;
    let (_, told) = curious.addresses(&peer);
    peer.wait_for_handshake().map_err(|error| error.to_string())?;
    let remote = peer.remote().ok_or("it did not introduce itself")?;
    let rtt = peer.ping_timeout(patience).ok();
    let _ = peer
        .queue_message(&GetAddr { scope: AddressScope::from(config.subnetwork()) })
        .map_err(|error| error.to_string())?;
    // A node that wants to tell none says nothing; it was reached all the same.
    let mut knows = told.recv_timeout(patience).unwrap_or_default();
    // Though it may go on for ever.
    knows.extend(told.try_iter().take(MESSAGES).flatten());
    knows.truncate(Addr::MAX);
    peer.disconnect();
    let _ = peer.wait_for_disconnect();
    Ok(Visit { remote, rtt, knows })
}
