//! Settings can be read back, and one node can have different settings for different peers.

use crate::common::builder;
use crate::common::local::{connected_peer_of, end_reason};
use crate::common::recorder::Recorder;
use kaspa_peer::peer::{CustomCommands, OversizeFrames};
use kaspa_peer::testing::tcp_pair;
use kaspa_peer::wire::{Command, Encode, FeeFilter, Hash, Message, PayloadLimits, Services, SubnetworkId};
use kaspa_peer::{ConfigBuilder, DagView, DisconnectReason, HandshakeError, Peer, RateLimit, ScoreLimit, StallRule};
use std::time::Duration;

const S: Duration = Duration::from_secs(1);

/// A builder in which every setting differs from its default.
fn unusual() -> ConfigBuilder {
    struct Dag;

    impl DagView for Dag {
        fn selected_tip(&self) -> Hash {
            Hash::from_bytes([5; 32])
        }
    }

    builder()
        .services(Services::BLOOM)
        .subnetwork(SubnetworkId::COINBASE)
        .protocol_version(7)
        .relay_transactions(false)
        .proxy("127.0.0.1:9050")
        .dag(Dag)
        .automatic_pongs(false)
        .answer_selected_tip(false)
        .custom_commands(CustomCommands::Disconnect)
        .payload_limits(PayloadLimits::protocol().all(500))
        .max_custom_payload(7)
        .oversize_frames(OversizeFrames::Skip)
        .bloom_version(3)
        .handshake_timeout(2 * S)
        .idle_timeout(3 * S)
        .frame_timeout(4 * S)
        .write_timeout(5 * S)
        .ping_interval(6 * S)
        .trickle_interval(7 * S)
        .stall_rules([StallRule::new(Command::GetAddr, [Command::Addr], S)])
        .queue_limit(1000)
        .high_water_mark(500)
        .known_inventory(8)
        .inventory_queue(9)
        .stack_size(100_000)
        .rate_limit(RateLimit::default().messages_per_second(1))
        .score_limit(ScoreLimit::default())
}

#[test]
fn every_setting_can_be_read_back() {
    let built = unusual().build().unwrap();
    // A builder of the same settings builds another node with the same settings.
    for config in [built.to_builder().build().unwrap(), built] {
        assert_eq!(config.services(), Services::BLOOM);
        assert_eq!(config.subnetwork(), Some(SubnetworkId::COINBASE));
        assert_eq!((config.protocol_version(), config.bloom_version()), (7, 3));
        assert!(!config.relay_transactions() && !config.automatic_pongs() && !config.answer_selected_tip());
        assert_eq!(config.proxy(), Some("127.0.0.1:9050"));
        assert_eq!(config.dag().unwrap().selected_tip(), Hash::from_bytes([5; 32]));
        assert_eq!(config.custom_commands(), CustomCommands::Disconnect);
        assert_eq!(*config.payload_limits(), PayloadLimits::protocol().all(500).custom(7));
        assert_eq!(config.oversize_frames(), OversizeFrames::Skip);
        assert_eq!(config.handshake_timeout(), 2 * S);
        assert_eq!([config.idle_timeout(), config.frame_timeout()], [Some(3 * S), Some(4 * S)]);
        assert_eq!([config.write_timeout(), config.ping_interval()], [Some(5 * S), Some(6 * S)]);
        assert_eq!(config.trickle_interval(), 7 * S);
        assert_eq!(config.stall_rules(), [StallRule::new(Command::GetAddr, [Command::Addr], S)]);
        assert_eq!([config.queue_limit(), config.high_water_mark()], [1000, 500]);
        assert_eq!([config.known_inventory(), config.inventory_queue()], [8, 9]);
        assert_eq!(config.stack_size(), 100_000);
        assert_eq!(config.rate_limit().and_then(|limit| limit.messages_per_second), Some(1));
        assert_eq!(config.score_limit(), Some(ScoreLimit::default()));
        assert!(config.capture().is_none());
        assert!(config.user_agent().to_string().ends_with("/test:0.0.1/"));
    }
    assert!(builder().build().unwrap().dag().is_none());
}

#[test]
fn a_peer_has_the_settings_with_which_it_was_started() {
    let node = unusual().build().unwrap();
    let rule = StallRule::new(Command::GetAddr, [Command::Addr], 2 * S);
    let other = node.with_stall_rules([rule.clone()]).unwrap();
    let (dialled, _accepted) = tcp_pair().unwrap();
    let peer = Peer::outbound(dialled, "remote", &other).unwrap();
    peer.disconnect();
    drop(other);
    assert_eq!(peer.settings().stall_rules(), [rule]);
    assert_eq!(peer.settings().user_agent(), node.user_agent());
    assert_eq!(peer.settings().idle_timeout(), Some(3 * S));
}

#[test]
fn peers_of_one_node_can_have_listeners_of_their_own() {
    let node = builder().build().unwrap();
    let recorders = [Recorder::default(), Recorder::default()];
    for (number, recorder) in recorders.iter().enumerate() {
        let (peer, mut remote) = connected_peer_of(&node.with_listener(recorder.clone()));
        assert_eq!(peer.id(), number as u64 + 1, "the ids are those of one node");
        remote.send(&FeeFilter { min_fee: number as i64 }).unwrap();
        remote.sync_with_ping().unwrap();
    }
    for (number, recorder) in recorders.iter().enumerate() {
        let min_fee = number as i64;
        recorder.look(|record| {
            let fees = |message: &&Message| message.command() == Command::FeeFilter;
            assert_eq!(record.messages.iter().filter(fees).collect::<Vec<_>>(), [&FeeFilter { min_fee }.into()]);
        });
    }
}

#[test]
fn a_node_with_several_listeners_detects_a_connection_to_itself() {
    let node = builder().build().unwrap();
    let others = [node.with_listener(()), node.with_stall_rules([]).unwrap(), node.clone()];
    for other in others {
        let (dialled, accepted) = tcp_pair().unwrap();
        let inbound = Peer::inbound(accepted, "self:1", &node).unwrap();
        let _outbound = Peer::outbound(dialled, "self:1", &other).unwrap();
        assert_eq!(end_reason(&inbound), DisconnectReason::Handshake(HandshakeError::SelfConnection));
    }

    // A configuration from a second builder is another node.
    let (dialled, accepted) = tcp_pair().unwrap();
    let inbound = Peer::inbound(accepted, "other:1", &node).unwrap();
    let _outbound = Peer::outbound(dialled, "other:1", &node.to_builder().build().unwrap()).unwrap();
    inbound.wait_for_handshake().unwrap();
}

#[test]
fn stall_rules_can_differ_between_the_peers_of_a_node() {
    let node = builder().stall_rules([]).build().unwrap();
    let limit = Duration::from_millis(1);
    let rule = StallRule::new(Command::FeeFilter, [Command::Addr], limit);
    let (strict, _silent) = connected_peer_of(&node.with_stall_rules([rule]).unwrap());
    let (lenient, _silent) = connected_peer_of(&node);
    for peer in [&lenient, &strict] {
        peer.queue_message(&FeeFilter { min_fee: 1 }).unwrap().wait().unwrap();
    }
    assert_eq!(end_reason(&strict), DisconnectReason::Stalled { request: Command::FeeFilter, limit });
    assert_eq!(lenient.disconnect_reason(), None);
}
