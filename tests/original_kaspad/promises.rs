//! The promises in the README of the original `peer` package, line by line: one test for each, named after it. Other
//! tests check the details.

use crate::common::local::{Local, connected_pair, connected_peer_in, new_pair, new_peer};
use crate::common::recorder::Recorder;
use crate::common::retry::{growing, retry_if_late};
use crate::common::{DEADLINE, builder, version, wait_until};
use kaspa_peer::testing::tcp_pair;
use kaspa_peer::wire::*;
use kaspa_peer::{Config, Direction, DisconnectReason, HandshakeError, Listener, Peer};
use std::net::{Ipv6Addr, SocketAddr};
use std::thread;
use std::time::Duration;

fn hash(number: u32) -> Hash {
    Hash::of(&number.to_le_bytes())
}

#[test]
fn a_peer_is_concurrent_safe() {
    let (out, inb) = connected_pair(builder(), builder());
    thread::scope(|scope| {
        for thread in 0..8 {
            let peer = &out.peer;
            scope.spawn(move || {
                for n in 0..250 {
                    peer.send_message(&FeeFilter { min_fee: thread * 1000 + n }, DEADLINE).unwrap();
                    let _ = peer.stats();
                }
            });
        }
    });
    inb.recorder.wait_for_count(Command::FeeFilter, 2000);
    for thread in 0..8 {
        let fees: Vec<i64> = inb.recorder.look(|record| {
            let fees = record.messages.iter().filter_map(|m| FeeFilter::try_from(m.clone()).ok().map(|f| f.min_fee));
            fees.filter(|fee| fee / 1000 == thread).collect()
        });
        assert_eq!(
            fees,
            (0..250).map(|n| thread * 1000 + n).collect::<Vec<_>>(),
            "the messages of each thread arrive in order"
        );
    }
}

#[test]
fn reading_and_writing_are_full_duplex() {
    let (out, inb) = connected_pair(builder(), builder());
    let large = CustomMessage::new("large", vec![7; 1_000_000]).unwrap();
    thread::scope(|scope| {
        for local in [&out, &inb] {
            scope.spawn(|| (0..30).for_each(|_| drop(local.peer.send_message(&large, DEADLINE).unwrap())));
        }
    });
    let size = |local: &Local| local.peer.stats().received.total().bytes;
    wait_until("30 MB each way", || size(&out) > 30_000_000 && size(&inb) > 30_000_000);
}

#[test]
fn every_kaspa_message_can_be_sent_and_is_delivered() {
    let (out, inb) = connected_pair(builder().services(Services::BLOOM), builder().services(Services::BLOOM));
    let tx = Transaction::new(&TxFields { version: 1, ..TxFields::default() }).unwrap();
    let items = vec![Inventory::tx(tx.id())];
    let messages: [Message; 23] = [
        GetAddr::all().into(),
        Addr { scope: AddressScope::FullNodes, addresses: vec![] }.into(),
        GetBlockInvs { low: hash(1), high: hash(2) }.into(),
        Inv::from(items.clone()).into(),
        GetData::from(items.clone()).into(),
        NotFound::from(items).into(),
        Block::new(BlockHeader::default(), [&tx]).unwrap().into(),
        tx.into(),
        GetHeaders { low: hash(1), high: hash(2) }.into(),
        Headers { headers: vec![BlockHeader::default()] }.into(),
        Ping { nonce: 1 }.into(),
        Pong { nonce: 2 }.into(),
        FilterLoad::default().into(),
        FilterAdd::default().into(),
        FilterClear.into(),
        MerkleBlock::default().into(),
        Reject::new("ping", RejectCode::INVALID, "no reason").into(),
        SendHeaders.into(),
        FeeFilter { min_fee: 3 }.into(),
        GetLocator { high: hash(2), low: hash(1) }.into(),
        Locator { hashes: vec![hash(1)] }.into(),
        GetSelectedTip.into(),
        SelectedTip { hash: hash(2) }.into(),
    ];
    messages.iter().for_each(|message| drop(out.peer.queue_message(message).unwrap()));
    out.peer.ping().unwrap();
    let received = inb.recorder.look(|record| record.messages.clone());
    for command in Command::ALL {
        assert!(received.iter().any(|message| message.command() == command), "{command} did not arrive");
    }
    assert!(messages.iter().all(|message| received.contains(message)));
}

#[test]
fn the_handshake_is_automatic_and_negotiates_the_version() {
    let (out, inb) = new_pair(builder().protocol_version(7), builder().protocol_version(3));
    out.peer.wait_for_handshake().unwrap();
    inb.peer.wait_for_handshake().unwrap();
    assert_eq!(out.peer.remote().unwrap().negotiated_version, 3);
    assert_eq!(inb.peer.remote().unwrap().negotiated_version, 3);
    assert_eq!(inb.peer.remote().unwrap().advertised_version, 7);
}

#[test]
fn queueing_is_asynchronous_with_notification_when_a_message_is_really_sent() {
    let (local, mut remote) = connected_peer_in(Direction::Inbound, builder());
    let receipt = local.peer.queue_message(&FeeFilter { min_fee: 1 }).unwrap();
    assert_eq!(receipt.wait_timeout(DEADLINE), Ok(()));
    assert_eq!(remote.expect::<FeeFilter>().unwrap().min_fee, 1);
    // Queueing does not wait for a remote that does not read.
    let large = CustomMessage::new("large", vec![0; 8_000_000]).unwrap();
    let never = local.peer.queue_message(&large).unwrap();
    assert_eq!(never.try_wait(), None);
    local.peer.disconnect();
    assert_eq!(never.wait(), Err(kaspa_peer::WaitError::Closed(DisconnectReason::Local)));
}

#[test]
fn the_caller_dials_and_listens_and_may_use_a_proxy() {
    let config = builder().proxy("127.0.0.1:9050").build().unwrap();
    let (ours, theirs) = tcp_pair().unwrap();
    // The socket is connected to the proxy. The peer has the address that the proxy was asked for.
    let peer = Peer::outbound(ours, "node.onion:16111", &config).unwrap();
    let mut theirs = theirs;
    let version = Version::try_from(read_message(&mut theirs, Network::Simnet).unwrap()).unwrap();
    assert_eq!((version.receiver.ip, version.receiver.port), (Ipv6Addr::UNSPECIFIED, 16111));
    assert_eq!(peer.to_string(), "node.onion:16111 (outbound)");
}

#[test]
fn the_user_agent_is_configurable() {
    let (_out, inb) = connected_pair(builder().user_agent_with_comments("name", "1.2.3", ["a", "b"]), builder());
    let agent = inb.peer.remote().unwrap().user_agent.to_string();
    assert!(agent.starts_with("/kaspa-peer:") && agent.ends_with("/name:1.2.3(a; b)/"), "{agent}");
}

#[test]
fn the_maximum_protocol_version_is_configurable() {
    let (_end, mut remote) = new_peer(Direction::Outbound, builder().protocol_version(9));
    assert_eq!(remote.expect::<Version>().unwrap().protocol_version, 9);
}

#[test]
fn callbacks_can_be_registered_for_messages() {
    struct Answers(Recorder);

    impl Listener for Answers {
        fn on_get_selected_tip(&self, peer: &Peer, _: GetSelectedTip) {
            peer.queue_message(&SelectedTip { hash: hash(9) }).unwrap();
        }

        fn on_disconnect(&self, peer: &Peer, reason: &DisconnectReason) {
            self.0.on_disconnect(peer, reason);
        }
    }

    let recorder = Recorder::default();
    let (ours, mut theirs) = tcp_pair().unwrap();
    let config = builder().listener(Answers(recorder.clone())).build().unwrap();
    let peer = Peer::inbound(ours, "remote:1", &config).unwrap();
    write_message(&mut theirs, &version(), Network::Simnet).unwrap();
    write_message(&mut theirs, &GetSelectedTip, Network::Simnet).unwrap();
    let mut answers = MessageReader::new(theirs, Network::Simnet).map(Result::unwrap);
    assert!(answers.any(|message| message == SelectedTip { hash: hash(9) }.into()));
    peer.disconnect();
    peer.wait_for_disconnect().unwrap();
    assert_eq!(recorder.look(|record| record.disconnects.clone()), [DisconnectReason::Local]);
}

#[test]
fn inventory_is_batched_and_trickled_and_what_is_known_is_avoided() {
    retry_if_late(growing(Duration::from_millis(100)), |interval, watch| {
        let (out, inb) = connected_pair(builder().trickle_interval(interval), builder());
        let known = Inventory::tx(hash(0));
        inb.peer.queue_inventory(known).unwrap();
        out.recorder.wait_for_count(Command::Inv, 1);
        watch.tick();
        out.peer.queue_inventories(&[known, Inventory::tx(hash(1)), Inventory::tx(hash(2))]).unwrap();
        // An announcement that did not wait for the interval would arrive before this ping.
        out.peer.ping().unwrap();
        out.peer.queue_inventory(Inventory::tx(hash(3))).unwrap();
        watch.rest();
        assert_eq!(inb.recorder.wait_for::<Inv>().items, [1, 2, 3].map(|n| Inventory::tx(hash(n))));
    });
}

#[test]
fn pings_are_periodic_and_pongs_automatic() {
    let (out, inb) = connected_pair(builder().ping_interval(Duration::from_millis(20)), builder().ping_interval(None));
    inb.recorder.wait_for_count(Command::Ping, 3);
    out.recorder.wait_for_count(Command::Pong, 2);
    // Only the pong for the last ping counts. On a busy machine the next ping can be sent before a pong arrives.
    wait_until("a round trip", || out.peer.stats().min_rtt.is_some());
}

#[test]
fn nonces_are_random_and_a_self_connection_is_detected() {
    let node = builder().build().unwrap();
    let (dialled, accepted) = tcp_pair().unwrap();
    let _dialled = Peer::outbound(dialled, "self", &node).unwrap();
    let accepted = Peer::inbound(accepted, "self", &node).unwrap();
    let reason = accepted.wait_for_disconnect().unwrap();
    assert_eq!(reason, DisconnectReason::Handshake(HandshakeError::SelfConnection));
}

#[test]
fn bloom_filter_commands_without_the_service_disconnect_if_the_version_is_high_enough() {
    let (local, mut remote) = connected_peer_in(Direction::Inbound, builder());
    remote.send(&FilterClear).unwrap();
    let command = Command::FilterClear;
    assert_eq!(local.end_reason(), DisconnectReason::BloomNotOffered { command });
    assert!(!local.recorder.commands().contains(&command.to_string()));
}

#[test]
fn bloom_filter_commands_without_the_service_are_ignored_in_older_versions() {
    let (local, mut remote) = connected_peer_in(Direction::Inbound, builder().bloom_version(2));
    remote.send(&FilterClear).unwrap();
    remote.sync_with_ping().unwrap();
    assert!(!local.recorder.commands().contains(&Command::FilterClear.to_string()));
    assert_eq!(local.peer.disconnect_reason(), None);
}

#[test]
fn statistics_are_a_snapshot() {
    let (out, inb) = connected_pair(builder(), builder().user_agent("seen", "1"));
    out.peer.ping().unwrap();
    let stats = out.peer.stats();
    let (sent, received) = (stats.sent.total(), stats.received.total());
    assert!(sent.bytes > 0 && received.bytes > 0 && stats.handshake_done);
    assert_eq!(stats.address, *out.peer.address());
    let remote = stats.remote.unwrap();
    assert_eq!(remote.negotiated_version, PROTOCOL_VERSION);
    assert!(remote.user_agent.to_string().ends_with("/seen:1/"));
    assert!(inb.peer.stats().received.of(Command::Ping).messages == 1);
}

#[test]
fn helpers_send_addresses_requests_and_rejects_with_filtering_and_randomisation() {
    let (local, mut remote) = connected_peer_in(Direction::Inbound, builder());
    let known: Vec<TimedAddress> = (0..2000u16)
        .map(|port| NetAddress::new(SocketAddr::from(([203, 0, 113, 9], port)), Services::NETWORK))
        .map(|address| TimedAddress { time: 0, address })
        .collect();
    let sent = local.peer.push_addresses(&known, None).unwrap();
    assert_eq!(remote.expect::<Addr>().unwrap().addresses, sent);
    assert!(sent.len() == 1000 && sent[..] != known[..1000], "a random choice");
    assert_eq!(local.peer.push_get_block_invs(hash(1), hash(2)), Ok(true));
    assert_eq!(local.peer.push_get_block_invs(hash(1), hash(2)), Ok(false));
    assert_eq!(local.peer.push_get_headers(hash(1), hash(2)), Ok(true));
    assert_eq!(local.peer.push_get_headers(hash(1), hash(2)), Ok(false));
    local.peer.push_reject("tx", RejectCode::DUST, "dust", Some(hash(3))).unwrap();
    remote.expect::<GetBlockInvs>().unwrap();
    remote.expect::<GetHeaders>().unwrap();
    assert_eq!(remote.expect::<Reject>().unwrap().hash, Some(hash(3)));
}

#[test]
fn a_disconnect_can_be_waited_for() {
    let (local, remote) = connected_peer_in(Direction::Outbound, builder());
    let waiting = local.peer.clone();
    let waiting = thread::spawn(move || waiting.wait_for_disconnect());
    drop(remote);
    assert!(matches!(waiting.join().unwrap(), Ok(DisconnectReason::RemoteClosed { .. } | DisconnectReason::Io { .. })));
}

#[test]
fn a_configuration_is_flexible_and_refuses_impossible_values() {
    let refused = Config::builder(Network::Mainnet).user_agent("a/b", "1").build();
    assert!(matches!(refused, Err(kaspa_peer::ConfigError::UserAgent(_))));
    assert!(Config::builder(Network::Mainnet).idle_timeout(Duration::ZERO).build().is_err());
    assert!(Config::builder(Network::Mainnet).protocol_version(0).build().is_err());
}
