//! The ways in which a scripted remote ends a connection, and the reason that the peer has for each.

use kaspa_peer::testing::{MemoryStream, RemoteStream, ScriptedRemote, memory_pair, tcp_pair};
use kaspa_peer::wire::{Network, Ping, Pong};
use kaspa_peer::{Config, DisconnectReason, IoOperation, Peer, peer::Stream};
use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(20);

fn after_handshake<S: Stream + RemoteStream>((accepted, dialled): (S, S)) -> (Peer, ScriptedRemote<S>) {
    let config = Config::builder(Network::Simnet).build().unwrap();
    let peer = Peer::inbound(accepted, "remote", &config).unwrap();
    let mut remote = ScriptedRemote::new(dialled, Network::Simnet);
    remote.shake_hands().unwrap();
    peer.wait_for_handshake().unwrap();
    (peer, remote)
}

fn in_memory() -> (Peer, ScriptedRemote<MemoryStream>) {
    after_handshake(memory_pair())
}

fn over_tcp() -> (Peer, ScriptedRemote<TcpStream>) {
    after_handshake(tcp_pair().unwrap())
}

fn reason(peer: &Peer) -> DisconnectReason {
    peer.wait_for_disconnect_timeout(DEADLINE).unwrap()
}

const CLOSED: DisconnectReason = DisconnectReason::RemoteClosed { inside_frame: false };

fn is_reset(reason: &DisconnectReason) -> bool {
    matches!(reason, DisconnectReason::Io { operation: IoOperation::Read, kind: ErrorKind::ConnectionReset, .. })
}

#[test]
fn an_orderly_close_in_memory_and_over_tcp() {
    let (peer, remote) = in_memory();
    remote.close();
    assert_eq!(reason(&peer), CLOSED);
    let (peer, remote) = over_tcp();
    remote.close();
    assert_eq!(reason(&peer), CLOSED);
    let (peer, remote) = over_tcp();
    drop(remote);
    assert_eq!(reason(&peer), CLOSED);
}

#[test]
fn a_reset_in_memory_and_over_tcp() {
    let (peer, remote) = in_memory();
    remote.reset().unwrap();
    assert!(is_reset(&reason(&peer)), "{}", reason(&peer));
    let (peer, remote) = over_tcp();
    remote.reset().unwrap();
    assert!(is_reset(&reason(&peer)), "{}", reason(&peer));
}

fn closes_only_its_writing_side<S: RemoteStream>(peer: &Peer, mut remote: ScriptedRemote<S>) {
    remote.send(&Ping { nonce: 5 }).unwrap();
    assert_eq!(remote.expect::<Pong>().unwrap(), Pong { nonce: 5 });
    remote.close_writing().unwrap();
    assert_eq!(reason(peer), CLOSED);
    assert!(remote.send(&Ping { nonce: 6 }).is_err());
    remote.expect_end().unwrap();
}

#[test]
fn closing_only_the_writing_side_in_memory_and_over_tcp() {
    let (peer, remote) = in_memory();
    closes_only_its_writing_side(&peer, remote);
    let (peer, remote) = over_tcp();
    closes_only_its_writing_side(&peer, remote);
}
