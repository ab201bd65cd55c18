//! Streams in memory and Unix sockets, with a peer at one end or at both.

use kaspa_peer::testing::memory_pair_with_capacity;
use kaspa_peer::wire::{CustomMessage, FeeFilter, Network};
use kaspa_peer::{Config, Inbox, Peer};
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(20);

/// Two peers after their handshake over streams that hold few bytes, and the inbox of the second.
fn peers(capacity: usize) -> (Peer, Peer, Inbox) {
    let (dialled, accepted) = memory_pair_with_capacity(capacity);
    let inbox = Inbox::new();
    let config = Config::builder(Network::Simnet).build().unwrap();
    let other = Config::builder(Network::Simnet).listener(inbox.clone()).build().unwrap();
    let inbound = Peer::inbound(accepted, "memory", &other).unwrap();
    let outbound = Peer::outbound(dialled, "memory", &config).unwrap();
    outbound.wait_for_handshake().unwrap();
    inbound.wait_for_handshake().unwrap();
    (outbound, inbound, inbox)
}

#[test]
fn a_message_larger_than_the_stream_arrives_whole() {
    let (outbound, _inbound, inbox) = peers(100);
    let payload: Vec<u8> = (0..100_000u32).map(|number| number.to_le_bytes()[0]).collect();
    let message = CustomMessage::new("large", payload).unwrap();
    outbound.queue_message(&message).unwrap();
    outbound.queue_message(&FeeFilter { min_fee: 1 }).unwrap();
    assert_eq!(inbox.wait_for::<FeeFilter>(DEADLINE).unwrap(), FeeFilter { min_fee: 1 });
    assert!(inbox.take_all().contains(&message.into()));
}

#[cfg(unix)]
#[test]
fn a_scripted_remote_works_over_a_unix_socket() {
    use kaspa_peer::testing::{End, ScriptedRemote};
    use std::io::ErrorKind;
    use std::os::unix::net::UnixStream;

    let (accepted, dialled) = UnixStream::pair().unwrap();
    let config = Config::builder(Network::Simnet).build().unwrap();
    let peer = Peer::inbound(accepted, "unix:test", &config).unwrap();
    let mut remote = ScriptedRemote::new(dialled, Network::Simnet);
    remote.shake_hands().unwrap();
    assert_eq!(remote.sync_with_ping().unwrap(), []);
    peer.disconnect();
    assert_eq!(remote.expect_end().unwrap(), End::Closed);
    assert_eq!(remote.reset().unwrap_err().kind(), ErrorKind::Unsupported);
}
