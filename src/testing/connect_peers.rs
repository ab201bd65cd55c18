//! Two peers that are connected to each other.

use super::{ConnectPeersError, memory_pair};
use crate::{Config, Peer};
use std::io;
use std::net::{TcpListener, TcpStream};

/// Two connected TCP sockets on this machine's loopback address: the one that dialled, and the one that was accepted.
///
/// ```
/// use kaspa_peer::testing::{ScriptedRemote, tcp_pair};
/// use kaspa_peer::{Config, Peer, wire::Network};
///
/// let (dialled, accepted) = tcp_pair()?;
/// let config = Config::builder(Network::Simnet).build()?;
/// let address = dialled.peer_addr()?;
/// let peer = Peer::outbound(dialled, address, &config)?;
/// let mut remote = ScriptedRemote::new(accepted, Network::Simnet);
/// remote.shake_hands()?;
/// peer.wait_for_handshake()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// If the system has no sockets left, or no loopback address.
pub fn tcp_pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let dialled = TcpStream::connect(listener.local_addr()?)?;
    // Another program may dial the listener first.
    loop {
        let (accepted, from) = listener.accept()?;
        if from == dialled.local_addr()? {
            return Ok((dialled, accepted));
        }
    }
}

/// Connects two peers in memory and waits until both have finished the handshake. Returns the peer that dialled, and the
/// one that accepted.
///
/// The two configurations must be different nodes: a node refuses a connection to itself. For peers that have not finished their
/// handshake, use [`memory_pair`] with [`Peer::outbound`] and [`Peer::inbound`].
///
/// ```
/// use kaspa_peer::testing::connect_peers;
/// use kaspa_peer::wire::{FeeFilter, Network};
/// use kaspa_peer::{Config, Inbox};
/// use std::time::Duration;
///
/// let inbox = Inbox::new();
/// let alice = Config::builder(Network::Simnet).build()?;
/// let bob = Config::builder(Network::Simnet).listener(inbox.clone()).build()?;
/// let (to_bob, to_alice) = connect_peers(&alice, &bob)?;
/// to_bob.queue_message(&FeeFilter { min_fee: 7 })?;
/// assert_eq!(inbox.wait_for::<FeeFilter>(Duration::from_secs(10))?.min_fee, 7);
/// # drop(to_alice);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// If a peer cannot be started, or the handshake fails.
pub fn connect_peers(dialler: &Config, acceptor: &Config) -> Result<(Peer, Peer), ConnectPeersError> {
    let (dialled, accepted) = memory_pair();
    let inbound = Peer::inbound(accepted, "memory", acceptor)?;
    let outbound = Peer::outbound(dialled, "memory", dialler)?;
    introduced(outbound, inbound)
}

/// Like [`connect_peers`], over TCP on this machine's loopback address.
///
/// # Errors
///
/// As [`connect_peers`], and if the sockets cannot be connected.
pub fn connect_peers_over_tcp(dialler: &Config, acceptor: &Config) -> Result<(Peer, Peer), ConnectPeersError> {
    let (dialled, accepted) = tcp_pair()?;
    let (to, from) = (dialled.peer_addr()?, accepted.peer_addr()?);
    let inbound = Peer::inbound(accepted, from, acceptor)?;
    let outbound = Peer::outbound(dialled, to, dialler)?;
    introduced(outbound, inbound)
}

fn introduced(outbound: Peer, inbound: Peer) -> Result<(Peer, Peer), ConnectPeersError> {
    outbound.wait_for_handshake()?;
    inbound.wait_for_handshake()?;
    Ok((outbound, inbound))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Network;
    use crate::{Direction, DisconnectReason, HandshakeError, WaitError};
    use std::time::Duration;

    fn node() -> Config {
        Config::builder(Network::Simnet).build().unwrap()
    }

    #[test]
    fn both_peers_have_finished_their_handshake() {
        for connect in [connect_peers, connect_peers_over_tcp] {
            let (outbound, inbound) = connect(&node(), &node()).unwrap();
            assert_eq!((outbound.direction(), inbound.direction()), (Direction::Outbound, Direction::Inbound));
            assert!(outbound.is_handshake_done() && inbound.is_handshake_done());
            outbound.disconnect();
            let reason = inbound.wait_for_disconnect_timeout(Duration::from_secs(20)).unwrap();
            assert_eq!(reason, DisconnectReason::RemoteClosed { inside_frame: false });
        }
    }

    #[test]
    fn a_node_cannot_be_connected_to_itself() {
        let node = node();
        let error = connect_peers(&node, &node).unwrap_err();
        let ConnectPeersError::Handshake(WaitError::Closed(DisconnectReason::Handshake(reason))) = error else {
            panic!("{error:?}")
        };
        let expected = matches!(reason, HandshakeError::SelfConnection | HandshakeError::RemoteClosed { .. });
        assert!(expected, "{reason:?}");
    }
}
