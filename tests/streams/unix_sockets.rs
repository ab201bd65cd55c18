//! A whole conversation over Unix sockets.

use crate::common::frames::{frame_of_size, message_of_size, raw_frame};
use crate::common::local::{Local, end_reason};
use crate::common::recorder::Recorder;
use crate::common::{DEADLINE, builder, version};
use kaspa_peer::wire::{
    Command, Encode, FeeFilter, Hash, Inv, Inventory, Message, MessageReader, Network, VerAck, write_message,
};
use kaspa_peer::{Config, ConfigBuilder, DisconnectReason, Peer, PeerAddress, QueueError};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Two nodes that talk over a socket pair: the one that is outbound, and the one that is inbound.
fn connect(dialler: ConfigBuilder, acceptor: ConfigBuilder) -> (Local, Local) {
    let (dialled, accepted) = UnixStream::pair().unwrap();
    let (out_told, in_told) = (Recorder::default(), Recorder::default());
    let out_config = dialler.listener(out_told.clone()).build().unwrap();
    let in_config = acceptor.listener(in_told.clone()).build().unwrap();
    let outbound = Peer::outbound(dialled, "/run/node.sock", &out_config).unwrap();
    let inbound = Peer::inbound(accepted, "a local program", &in_config).unwrap();
    outbound.wait_for_handshake().unwrap();
    inbound.wait_for_handshake().unwrap();
    (Local { peer: outbound, told: out_told }, Local { peer: inbound, told: in_told })
}

#[test]
fn a_whole_conversation() {
    let (outbound, inbound) = connect(builder(), builder());
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
    outbound.told.wait("1 MB", |record| {
        record.messages.iter().any(|message| message.encoded_len() == 1_000_000 - 24).then_some(())
    });
    outbound.peer.disconnect();
    assert_eq!(end_reason(&outbound.peer), DisconnectReason::Local);
    assert_eq!(end_reason(&inbound.peer), DisconnectReason::RemoteClosed { inside_frame: false });
}

#[test]
fn a_remote_that_does_not_read_is_let_go() {
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
fn nonsense_is_not_tolerated_from_what_has_no_address() {
    let (mut remote, ours) = UnixStream::pair().unwrap();
    let config = Config::builder(Network::Regtest).build().unwrap();
    let peer = Peer::inbound(ours, "a local program", &config).unwrap();
    write_message(&mut remote, &version(), Network::Regtest).unwrap();
    write_message(&mut remote, &VerAck, Network::Regtest).unwrap();
    peer.wait_for_handshake().unwrap();
    remote.write_all(&raw_frame(Network::Regtest, "ping", &[])).unwrap();
    assert!(matches!(end_reason(&peer), DisconnectReason::Malformed(_)));
    let messages: Vec<Message> = MessageReader::new(remote, Network::Regtest).flatten().collect();
    assert_eq!(messages.last().map(Encode::command), Some(Command::Reject));
}
