//! Statistics count exactly the bytes and messages that went over the wire.

use crate::common::local::{Local, connected_pair, connected_peer_in, new_peer};
use crate::common::recorder::Recorder;
use crate::common::{BOTH, builder, version, wait_until};
use kaspa_peer::peer::Traffic;
use kaspa_peer::testing::connect_remote_over_tcp;
use kaspa_peer::wire::{
    Command, CustomMessage, FeeFilter, Frame, FrameError, GetAddr, Hash, Inv, Inventory, Message, Network, Ping, Pong,
    Reject, SelectedTip, SendHeaders, VerAck, Version,
};
use kaspa_peer::{Direction, PeerAddress};
use std::{
    io::Read,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

fn custom(size: usize) -> CustomMessage {
    let Ok(Command::Custom(command)) = "hello".parse() else { panic!("hello is known") };
    CustomMessage { command, payload: vec![0; size] }
}

/// The messages and bytes of all commands together, including custom commands and malformed frames.
fn sum(traffic: &Traffic) -> (u64, u64) {
    let custom = traffic.of(Command::Custom(custom(0).command));
    let known = traffic.iter().map(|(_, count)| count);
    let start = (custom.messages, custom.bytes + traffic.malformed().bytes);
    known.fold(start, |(messages, bytes), count| (messages + count.messages, bytes + count.bytes))
}

/// The bytes that the listener's callbacks reported in each direction.
fn reported(local: &Local) -> (u64, u64) {
    local.recorder.look(|record| {
        let read: usize = record.read.iter().map(|(bytes, _)| bytes).sum();
        let written: usize = record.written.iter().map(|(_, bytes, _)| bytes).sum();
        (read as u64, written as u64)
    })
}

#[test]
fn one_end_counts_as_sent_what_the_other_counts_as_received() {
    let (outbound, inbound) = connected_pair(builder(), builder());
    for n in 0..100 {
        outbound.peer.queue_message(&FeeFilter { min_fee: n }).unwrap();
        inbound.peer.queue_message(&GetAddr::all()).unwrap();
        outbound.peer.queue_message(&custom(n as usize)).unwrap();
    }
    outbound.peer.queue_message(&Inv::from(vec![Inventory::tx(Hash::ZERO); 3000])).unwrap();
    inbound.peer.ping().unwrap();
    outbound.peer.ping().unwrap();
    for (from, to) in [(&outbound, &inbound), (&inbound, &outbound)] {
        // The writer counts a pong shortly after it has written it.
        wait_until("all is counted", || from.peer.stats().sent == to.peer.stats().received);
        let traffic = from.peer.stats().sent;
        assert_eq!(sum(&traffic), (traffic.total().messages, traffic.total().bytes));
        wait_until("all is reported", || {
            (reported(from).1, reported(to).0) == (traffic.total().bytes, traffic.total().bytes)
        });
    }
    let sent = outbound.peer.stats().sent;
    assert_eq!((sent.of(Command::FeeFilter).messages, sent.of(Command::FeeFilter).bytes), (100, 3200));
    let customs = sent.of(Command::Custom(custom(0).command));
    assert_eq!((customs.messages, customs.bytes), (100, 24 * 100 + (0..100).sum::<u64>()));
    let commands: Vec<Command> = sent.iter().map(|(command, _)| command).collect();
    let expected = [Command::Version, Command::VerAck, Command::Inv, Command::Ping, Command::Pong, Command::FeeFilter];
    assert_eq!(commands, expected);
    assert_eq!(sent.total().messages, 1 + 1 + 1 + 1 + 1 + 100 + 100);
    // A frame counts with its header.
    let invs = sent.of(Command::Inv);
    assert_eq!((invs.messages, invs.bytes), (1, 24 + 3 + 3000 * 36));
}

#[test]
fn malformed_frames_count_as_bytes_but_not_as_messages() {
    let (local, mut remote) = connected_peer_in(Direction::Inbound, builder());
    let before = local.peer.stats().received.total();
    remote.send(&FeeFilter { min_fee: 1 }).unwrap();
    remote.send_with_wrong_checksum(&Ping { nonce: 1 }).unwrap();
    remote.expect::<Reject>().unwrap();
    local.end_reason();
    let received = local.peer.stats().received;
    assert_eq!((received.malformed().messages, received.malformed().bytes), (1, 32));
    assert_eq!(received.total().bytes - before.bytes, 64);
    assert_eq!(received.total().messages - before.messages, 1, "a malformed frame is no message");
    assert_eq!(received.of(Command::Ping).messages, 0);
    let last = local.recorder.look(|record| record.read.last().cloned()).unwrap();
    assert!(matches!(last, (32, Err(FrameError::Checksum { command: Command::Ping, .. }))), "{last:?}");
    assert_eq!(reported(&local).0, received.total().bytes);
    assert_eq!(local.peer.stats().sent.of(Command::Reject).messages, 1);
}

#[test]
fn skipped_bytes_do_not_count_for_the_next_message() {
    let encode = |message: &CustomMessage| Frame::encode(message, Network::Mainnet).unwrap().as_bytes().to_vec();
    let regtest = |message: Message| Frame::encode(&message, Network::Regtest).unwrap().as_bytes().to_vec();
    let recorder = Recorder::default();
    let config = kaspa_peer::Config::builder(Network::Regtest).listener(recorder.clone()).build().unwrap();
    let (peer, mut remote) = connect_remote_over_tcp(Direction::Inbound, &config).unwrap();
    // A frame that is tolerated on regtest. Its payload is read together with the next frame, or separately.
    let foreign = encode(&custom(100));
    let mut bytes = regtest(version().into());
    bytes.extend(regtest(VerAck.into()));
    for min_fee in 0..3 {
        bytes.extend(&foreign);
        bytes.extend(regtest(FeeFilter { min_fee }.into()));
    }
    bytes.extend([&foreign[..], &foreign].concat());
    let total = bytes.len() as u64;
    remote.send_bytes(&bytes).unwrap();
    wait_until("everything is counted", || peer.stats().received.total().bytes == total);
    let received = peer.stats().received;
    assert_eq!((received.of(Command::FeeFilter).messages, received.of(Command::FeeFilter).bytes), (3, 3 * 32));
    assert_eq!((received.malformed().messages, received.malformed().bytes), (5, 5 * 124));
    let fees = recorder.look(|record| record.read.iter().filter(|(_, frame)| *frame == Ok(Command::FeeFilter)).count());
    assert_eq!(fees, 3);
    assert!(
        recorder
            .look(|record| record.read.iter().all(|(bytes, frame)| *frame != Ok(Command::FeeFilter) || *bytes == 32))
    );
}

#[test]
fn a_snapshot_has_the_state_before_and_after_the_handshake() {
    for direction in BOTH {
        let before = SystemTime::now();
        let (local, mut remote) = new_peer(direction, builder());
        let early = local.peer.stats();
        assert_eq!((early.id, early.direction), (1, direction));
        assert_eq!(early.address, *local.peer.address());
        assert!(matches!(early.address, PeerAddress::Ip(address) if address.ip().is_loopback()));
        assert!(early.connected_at >= before && early.connected_at <= SystemTime::now());
        assert!(!early.handshake_done && !early.wants_headers);
        assert_eq!((early.remote, early.last_receive), (None, None));
        assert_eq!((early.last_ping, early.last_ping_nonce), (None, None));
        assert_eq!((early.last_rtt, early.min_rtt), (None, None), "none, not zero");
        assert_eq!((early.inventory_known, early.inventory_queued), (0, 0));
        assert_eq!(early.received.total().bytes, 0);

        remote.shake_hands().unwrap();
        let known = Inventory::tx(Hash::of(b"known"));
        remote.send(&Inv::from(vec![known, Inventory::tx(Hash::of(b"another"))])).unwrap();
        remote.send(&SendHeaders).unwrap();
        remote.send(&SelectedTip { hash: Hash::from_bytes([3; 32]) }).unwrap();
        assert_eq!(remote.sync_with_ping().unwrap(), []);
        let stats = local.peer.stats();
        assert!(stats.handshake_done && stats.wants_headers);
        assert_eq!((stats.inventory_known, stats.inventory_queued), (2, 0));
        assert_eq!(stats.remote, local.peer.remote());
        assert_eq!(stats.remote.unwrap().selected_tip, Hash::from_bytes([3; 32]));
        assert!(stats.last_receive.unwrap() >= before);
        assert_eq!(stats.connected_at, early.connected_at);
        wait_until("the pong is counted", || local.peer.stats().sent.of(Command::Pong).messages == 1);
        let stats = local.peer.stats();
        assert!(stats.last_send.unwrap() >= before);
        assert_eq!((stats.last_rtt, stats.min_rtt), (None, None), "we sent no ping");
        wait_until("nothing is queued", || local.peer.stats().queued_messages == 0);
    }
}

#[test]
fn round_trip_times_are_measured() {
    let (local, mut remote) = connected_peer_in(Direction::Inbound, builder());
    local.peer.queue_message(&Ping { nonce: 77 }).unwrap();
    assert_eq!(remote.expect::<Ping>().unwrap().nonce, 77);
    let stats = local.peer.stats();
    assert_eq!((stats.last_ping_nonce, stats.last_rtt), (Some(77), None));
    assert!(stats.last_ping.is_some());
    for wrong in [0, 76] {
        remote.send(&Pong { nonce: wrong }).unwrap();
    }
    assert_eq!(remote.sync_with_ping().unwrap(), []);
    assert_eq!((local.peer.stats().last_ping_nonce, local.peer.stats().min_rtt), (Some(77), None));
    remote.send(&Pong { nonce: 77 }).unwrap();
    assert_eq!(remote.sync_with_ping().unwrap(), []);
    let first = local.peer.stats();
    assert_eq!(first.last_ping_nonce, None, "a match clears the nonce");
    assert!(first.last_rtt.is_some() && first.last_rtt == first.min_rtt);
    // A second pong for the same ping does not count.
    remote.send(&Pong { nonce: 77 }).unwrap();
    assert_eq!(remote.sync_with_ping().unwrap(), []);
    assert_eq!(local.peer.stats().last_rtt, first.last_rtt);
    // A longer round trip is the last one, but not the shortest.
    local.peer.queue_message(&Ping { nonce: 78 }).unwrap();
    remote.expect::<Ping>().unwrap();
    std::thread::sleep(first.last_rtt.unwrap() + Duration::from_millis(1));
    remote.send(&Pong { nonce: 78 }).unwrap();
    assert_eq!(remote.sync_with_ping().unwrap(), []);
    let second = local.peer.stats();
    assert!(second.last_rtt > first.last_rtt);
    assert_eq!(second.min_rtt, first.min_rtt);
}

#[test]
fn a_ping_with_nonce_zero_has_no_round_trip_time() {
    let (local, mut remote) = connected_peer_in(Direction::Inbound, builder());
    local.peer.queue_message(&Ping { nonce: 0 }).unwrap();
    remote.expect::<Ping>().unwrap();
    remote.send(&Pong { nonce: 0 }).unwrap();
    assert_eq!(remote.sync_with_ping().unwrap(), []);
    assert_eq!((local.peer.stats().last_rtt, local.peer.stats().min_rtt), (None, None));
}

#[test]
fn queued_messages_are_counted_while_the_remote_does_not_read() {
    const SIZE: usize = 1_000_000;
    let (local, mut remote) =
        connected_peer_in(Direction::Inbound, builder().queue_limit(100 * SIZE).write_timeout(None));
    let large = Frame::encode(&custom(SIZE), Network::Simnet).unwrap();
    wait_until("our verack is counted as written", || local.peer.stats().queued_messages == 0);
    for _ in 0..60 {
        local.peer.queue_frame(&large).unwrap();
    }
    let stats = local.peer.stats();
    assert!((1..=60).contains(&stats.queued_messages));
    assert_eq!(stats.queued_bytes, stats.queued_messages * (SIZE + 24));
    assert!(stats.sent.total().messages < 60);
    let mut all = vec![0; 60 * (SIZE + 24)];
    remote.stream().read_exact(&mut all).unwrap();
    wait_until("the queue is empty", || local.peer.stats().queued_messages == 0);
    assert_eq!(local.peer.stats().queued_bytes, 0);
}

#[test]
fn the_time_offset_is_negative_when_the_remote_is_behind() {
    let now = || i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
    for offset in [-1_000_000, 0, 1_000_000] {
        let (local, mut remote) = new_peer(Direction::Inbound, builder());
        let before = now();
        remote.shake_hands_with(&Version { time: before + offset, ..version() }).unwrap();
        let passed = now() - before;
        let seen = local.peer.remote().unwrap().time_offset;
        assert!((offset - passed..=offset).contains(&seen), "{seen}");
    }
    for time in [i64::MIN, i64::MAX] {
        let (local, mut remote) = new_peer(Direction::Inbound, builder());
        remote.shake_hands_with(&Version { time, ..version() }).unwrap();
        assert_eq!(local.peer.remote().unwrap().time_offset.signum(), time.signum());
    }
}

#[test]
fn frames_that_could_not_be_written_are_reported_but_not_counted() {
    let (local, mut remote) = connected_peer_in(Direction::Inbound, builder().queue_limit(100_000_000));
    local.peer.queue_message(&FeeFilter { min_fee: 1 }).unwrap();
    let large = Frame::encode(&custom(30_000_000), Network::Simnet).unwrap();
    local.peer.queue_frame(&large).unwrap();
    // When the first byte of the large frame arrives, the fee filter is written, and the writer is blocked in the large
    // frame.
    let mut first = [0; 24 + 8 + 1];
    remote.stream().read_exact(&mut first).unwrap();
    local.peer.disconnect();
    local.end_reason();
    let written: Vec<_> = local.recorder.look(|record| record.written[record.written.len() - 2..].to_vec());
    let last = (Command::Custom(custom(0).command), 24 + 30_000_000, false);
    assert_eq!(written, [(Command::FeeFilter, 32, true), last]);
    assert_eq!(local.peer.stats().sent.of(last.0).messages, 0);
}

#[test]
fn a_snapshot_that_says_the_handshake_is_done_has_its_messages_counted() {
    for _ in 0..200 {
        let (local, mut remote) = new_peer(Direction::Inbound, builder());
        let remote = std::thread::spawn(move || {
            remote.shake_hands().unwrap();
            remote
        });
        loop {
            let stats = local.peer.stats();
            let received = |command| stats.received.of(command).messages;
            assert_eq!(stats.remote.is_some(), received(Command::Version) == 1);
            assert_eq!(stats.handshake_done, received(Command::VerAck) == 1);
            if stats.handshake_done {
                break;
            }
        }
        drop(remote.join().unwrap());
    }
}
