//! Peers that are connected to each other or to a scripted remote.

use super::{ConnectPeersError, MemoryStream, ScriptedRemote, memory_pair};
use crate::peer::Stream;
use crate::{Config, Direction, DisconnectReason, HandshakeError, Peer, PeerAddress, StartError, WaitError};
use std::io;
use std::net::{TcpListener, TcpStream};

/// Two connected TCP sockets on this machine's loopback address: the one that dialled, and the one that was accepted.
/// Small writes are sent at once (`TCP_NODELAY`).
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
            dialled.set_nodelay(true)?;
            accepted.set_nodelay(true)?;
            return Ok((dialled, accepted));
        }
    }
}

/// Connects two peers in memory and waits until both have finished the handshake. Returns the peer that dialled, and
/// the one that accepted.
///
/// The two configurations must be different nodes: a node refuses a connection to itself. For peers that have not
/// finished their handshake, use [`memory_pair`] with [`Peer::outbound`] and [`Peer::inbound`].
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
/// If a peer cannot be started, or the handshake fails. If both handshakes fail, the error has the reason of the peer
/// that ended the connection.
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

/// Starts a peer whose remote is a scripted one, in memory. The handshake has not begun.
///
/// `direction` is that of the peer: with [`Direction::Inbound`], the remote is the side that dialled.
///
/// ```
/// use kaspa_peer::testing::connect_remote;
/// use kaspa_peer::wire::{Network, Ping, Pong};
/// use kaspa_peer::{Config, Direction};
///
/// let config = Config::builder(Network::Simnet).build()?;
/// let (peer, mut remote) = connect_remote(Direction::Inbound, &config)?;
/// remote.shake_hands()?;
/// peer.wait_for_handshake()?;
/// remote.send(&Ping { nonce: 7 })?;
/// remote.expect::<Pong>()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// If the peer cannot be started.
pub fn connect_remote(
    direction: Direction,
    config: &Config,
) -> Result<(Peer, ScriptedRemote<MemoryStream>), ConnectPeersError> {
    let (ours, theirs) = memory_pair();
    let peer = start(ours, "memory".parse().map_err(StartError::from)?, direction, config)?;
    Ok((peer, ScriptedRemote::new(theirs, config.network())))
}

/// Like [`connect_remote`], over TCP on this machine's loopback address.
///
/// # Errors
///
/// As [`connect_remote`], and if the sockets cannot be connected.
pub fn connect_remote_over_tcp(
    direction: Direction,
    config: &Config,
) -> Result<(Peer, ScriptedRemote), ConnectPeersError> {
    let (dialled, accepted) = tcp_pair()?;
    let (ours, theirs) = match direction {
        Direction::Outbound => (dialled, accepted),
        Direction::Inbound => (accepted, dialled),
    };
    let address = PeerAddress::from(ours.peer_addr()?);
    let peer = start(ours, address, direction, config)?;
    Ok((peer, ScriptedRemote::new(theirs, config.network())))
}

fn start(stream: impl Stream, address: PeerAddress, direction: Direction, config: &Config) -> Result<Peer, StartError> {
    match direction {
        Direction::Inbound => Peer::inbound(stream, address, config),
        Direction::Outbound => Peer::outbound(stream, address, config),
    }
}

fn introduced(outbound: Peer, inbound: Peer) -> Result<(Peer, Peer), ConnectPeersError> {
    match (outbound.wait_for_handshake(), inbound.wait_for_handshake()) {
        (Ok(()), Ok(())) => Ok((outbound, inbound)),
        (Err(error), Err(other)) if is_end_by_remote(&error) => Err(other.into()),
        (Err(error), _) | (Ok(()), Err(error)) => Err(error.into()),
    }
}

/// `true` if the reason is that the other peer ended the connection. The other peer then has the reason that explains
/// the end.
fn is_end_by_remote(error: &WaitError) -> bool {
    use DisconnectReason::{Handshake, Io, RemoteClosed};
    matches!(error, WaitError::Closed(Handshake(HandshakeError::RemoteClosed { .. }) | RemoteClosed { .. } | Io { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Network;
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
    fn a_peer_of_either_direction_can_have_a_scripted_remote() {
        for direction in [Direction::Inbound, Direction::Outbound] {
            let (peer, mut remote) = connect_remote(direction, &node()).unwrap();
            remote.shake_hands().unwrap();
            peer.wait_for_handshake().unwrap();
            assert_eq!((peer.direction(), peer.address().to_string()), (direction, "memory".to_owned()));
            let (peer, mut remote) = connect_remote_over_tcp(direction, &node()).unwrap();
            remote.shake_hands().unwrap();
            peer.wait_for_handshake().unwrap();
            assert_eq!(*peer.address(), remote.stream().local_addr().unwrap().into());
        }
    }

    #[test]
    fn a_node_cannot_be_connected_to_itself() {
        let node = node();
        let error = connect_peers(&node, &node).unwrap_err();
        let ConnectPeersError::Handshake(WaitError::Closed(DisconnectReason::Handshake(reason))) = error else {
            panic!("{error:?}")
        };
        assert_eq!(reason, HandshakeError::SelfConnection);
    }

    #[test]
    fn nodes_of_two_networks_cannot_be_connected_and_the_error_names_the_networks() {
        let other = Config::builder(Network::Testnet).build().unwrap();
        for connect in [connect_peers, connect_peers_over_tcp] {
            for (dialler, acceptor) in [(&node(), &other), (&other, &node())] {
                let error = connect(dialler, acceptor).unwrap_err().to_string();
                assert!(error.contains("simnet") && error.contains("testnet"), "{error}");
            }
        }
    }
}
