//! Peers over Unix sockets.

use crate::common::frames::{frame_of_size, message_of_size};
use crate::common::local::{end_reason, new_pair_over};
use crate::common::{DEADLINE, builder, version};
use kaspa_peer::testing::TestFrame;
use kaspa_peer::wire::{
    Command, Encode, FeeFilter, Hash, Inv, Inventory, Message, MessageReader, Network, VerAck, write_message,
};
use kaspa_peer::{Config, DisconnectReason, Peer, PeerAddress, QueueError};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::Duration;

#[test]
fn peers_can_converse_over_unix_sockets() {
    let (dialled, accepted) = UnixStream::pair().unwrap();
    let addresses = ["/run/node.sock", "a local program"];
    let (outbound, inbound) = new_pair_over([dialled, accepted], addresses, builder(), builder());
    outbound.peer.wait_for_handshake().unwrap();
    inbound.peer.wait_for_handshake().unwrap();
    assert_eq!(outbound.peer.to_string(), "/run/node.sock (outbound)");
    assert_eq!(inbound.peer.address(), &PeerAddress::Host { host: "a local program".into(), port: 0 });
    for min_fee in 0..1000 {
        outbound.peer.queue_message(&FeeFilter { min_fee }).unwrap();
        inbound.peer.queue_message(&FeeFilter { min_fee }).unwrap();
    }
    inbound.recorder.wait_for_count(Command::FeeFilter, 1000);
    outbound.recorder.wait_for_count(Command::FeeFilter, 1000);
    assert!(outbound.peer.ping().unwrap() < DEADLINE);
    outbound.peer.queue_inventory(Inventory::block(Hash::ZERO)).unwrap();
    assert_eq!(inbound.recorder.wait_for::<Inv>().items.len(), 1);
    let frame = frame_of_size(1_000_000, Network::Simnet);
    inbound.peer.queue_frame(&frame).unwrap().wait_timeout(DEADLINE).unwrap();
    outbound.recorder.wait("1 MB", |record| {
        record.messages.iter().any(|message| message.encoded_len() == 1_000_000 - 24).then_some(())
    });
    outbound.peer.disconnect();
    assert_eq!(end_reason(&outbound.peer), DisconnectReason::Local);
    assert_eq!(end_reason(&inbound.peer), DisconnectReason::RemoteClosed { inside_frame: false });
}

#[test]
fn the_write_timeout_ends_a_peer_over_a_unix_socket() {
    let limit = Duration::from_millis(300);
    let (mut remote, ours) = UnixStream::pair().unwrap();
    let config = builder().write_timeout(limit).build().unwrap();
    let peer = Peer::inbound(ours, "a local program", &config).unwrap();
    write_message(&mut remote, &version(), Network::Simnet).unwrap();
    write_message(&mut remote, &VerAck, Network::Simnet).unwrap();
    let message = message_of_size(50_000);
    let error = loop {
        if let Err(error) = peer.send_message(&message, DEADLINE) {
            break error;
        }
    };
    let reason = DisconnectReason::WriteStalled { limit };
    assert_eq!(error, QueueError::Closed(reason.clone()));
    assert_eq!(end_reason(&peer), reason);
}

#[test]
fn malformed_frames_of_a_remote_without_an_ip_address_are_not_tolerated() {
    let (mut remote, ours) = UnixStream::pair().unwrap();
    let config = Config::builder(Network::Regtest).build().unwrap();
    let peer = Peer::inbound(ours, "a local program", &config).unwrap();
    write_message(&mut remote, &version(), Network::Regtest).unwrap();
    write_message(&mut remote, &VerAck, Network::Regtest).unwrap();
    peer.wait_for_handshake().unwrap();
    remote.write_all(&TestFrame::new("ping", &[], Network::Regtest).to_bytes()).unwrap();
    assert!(matches!(end_reason(&peer), DisconnectReason::Malformed(_)));
    let messages: Vec<Message> = MessageReader::new(remote, Network::Regtest).flatten().collect();
    assert_eq!(messages.last().map(Encode::command), Some(Command::Reject));
}
