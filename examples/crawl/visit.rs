//! One node: dialled, asked, left.

use kaspa_peer::wire::{Addr, AddressScope, GetAddr, GetSelectedTip, Network, SelectedTip};
use kaspa_peer::{Config, Listener, Peer, peer::Remote};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crossbeam_channel::{Sender, bounded};

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

/// Tells the first addresses that come.
struct Curious(Sender<Vec<SocketAddr>>);

impl Listener for Curious {
    fn on_addr(&self, _: &Peer, addr: Addr) {
        let addresses = addr.addresses.iter().map(|known| known.address.socket_addr()).collect();
        // What does not fit is let go.
        let _ = self.0.try_send(addresses);
    }

    fn on_get_selected_tip(&self, peer: &Peer, _: GetSelectedTip) {
        // A real node disconnects who does not answer that.
        let _ = peer.queue_message(&SelectedTip::default());
    }
}

/// Dials a node, and asks it for others. The error says why nothing was learnt.
pub fn visit(address: SocketAddr, network: Network, patience: Duration) -> Result<Visit, String> {
    let (tell, told) = bounded(MESSAGES);
    let config = Config::builder(network)
        .user_agent("crawl", env!("CARGO_PKG_VERSION"), ["example"])
        .handshake_timeout(patience)
        .listener(Curious(tell))
        .build()
        .map_err(|error| error.to_string())?;
    let stream = TcpStream::connect_timeout(&address, patience).map_err(|error| error.kind().to_string())?;
    let peer = Peer::outbound(stream, address, &config).map_err(|error| error.to_string())?;
    peer.wait_for_handshake().map_err(|error| error.to_string())?;
    let remote = peer.remote().ok_or("it did not introduce itself")?;
    let rtt = peer.ping_timeout(patience).ok();
    peer.queue_message(&GetAddr { scope: AddressScope::FullNodes }).map_err(|error| error.to_string())?;
    // A node that wants to tell none says nothing; it was reached all the same.
    let mut knows = told.recv_timeout(patience).unwrap_or_default();
    // Though it may go on for ever.
    knows.extend(told.try_iter().take(MESSAGES).flatten());
    knows.truncate(Addr::MAX);
    peer.disconnect();
    let _ = peer.wait_for_disconnect();
    Ok(Visit { remote, rtt, knows })
}
