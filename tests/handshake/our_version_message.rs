//! The fields of the `version` message that we send.

use crate::common::local::new_peer;
use crate::common::{BOTH, builder, version};
use kaspa_peer::testing::{ScriptedRemote, connect_remote_over_tcp, tcp_pair};
use kaspa_peer::wire::{Encode, Hash, NetAddress, Network, PROTOCOL_VERSION, Services, SubnetworkId, Version};
use kaspa_peer::{Config, ConfigBuilder, ConfigError, DagView, Direction, Peer, PeerAddress};
use std::{
    collections::HashSet,
    net::Ipv6Addr,
    sync::atomic::{AtomicU8, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

/// The `version` that a peer of this node sends.
fn our_version(direction: Direction, builder: ConfigBuilder) -> Version {
    let (_end, mut remote) = new_peer(direction, builder);
    remote.shake_hands().unwrap()
}

/// The `version` that the node sends to a remote that it dialled at `address`.
fn our_version_to(address: PeerAddress, builder: ConfigBuilder) -> Version {
    let (ours, stream) = tcp_pair().unwrap();
    let _peer = Peer::outbound(ours, address, &builder.build().unwrap()).unwrap();
    ScriptedRemote::new(stream, Network::Simnet).expect().unwrap()
}

fn seconds() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

#[test]
fn the_default_settings_offer_nothing() {
    for direction in BOTH {
        let before = seconds();
        let (local, mut remote) = new_peer(direction, Config::builder(Network::Simnet));
        let ours = remote.shake_hands().unwrap();
        assert!((before..=seconds()).contains(&ours.time));
        let address = match local.peer.address() {
            PeerAddress::Ip(address) => *address,
            other => panic!("{other}"),
        };
        let expected = Version {
            protocol_version: PROTOCOL_VERSION,
            services: Services::empty(),
            time: ours.time,
            subnetwork: None,
            receiver: NetAddress::new(address, Services::NETWORK),
            sender: NetAddress { services: Services::empty(), ip: Ipv6Addr::UNSPECIFIED, port: 0 },
            nonce: ours.nonce,
            user_agent: ours.user_agent.clone(),
            selected_tip: Hash::ZERO,
            relay_transactions: true,
        };
        assert_eq!(ours, expected, "{direction}");
        assert_eq!(ours.user_agent.to_str(), Some(concat!("/kaspa-peer:", env!("CARGO_PKG_VERSION"), "/")));
    }
}

#[test]
fn the_configured_values_are_sent() {
    let subnetwork = SubnetworkId::from_bytes([9; 20]);
    let services = Services::NETWORK | Services::from_bits_retain(1 << 40);
    for direction in BOTH {
        let config = builder().services(services).subnetwork(subnetwork).protocol_version(7).relay_transactions(false);
        let (_end, mut remote) = new_peer(direction, config);
        let introduction = Version { subnetwork: Some(subnetwork), ..version() };
        let ours = remote.shake_hands_with(&introduction).unwrap();
        assert_eq!((ours.services, ours.sender.services), (services, services));
        assert_eq!(ours.receiver.services, Services::NETWORK, "independent of what the remote and we offer");
        assert_eq!((ours.subnetwork, ours.protocol_version, ours.relay_transactions), (Some(subnetwork), 7, false));
    }
}

#[test]
fn the_sender_has_services_but_no_address() {
    let ours = our_version(Direction::Outbound, builder().services(Services::BLOOM));
    let payload = ours.encode().unwrap();
    // Protocol version, services, time, the full-node flag, and the receiver stand before the sender.
    let sender = &payload[4 + 8 + 8 + 1 + 26..][..26];
    assert_eq!(sender[..8], [4, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(sender[8..], [0; 18]);
}

#[test]
fn the_user_agent_names_the_library_and_then_the_program() {
    let library = concat!("/kaspa-peer:", env!("CARGO_PKG_VERSION"), "/");
    let start = || Config::builder(Network::Simnet);
    let cases = [
        (start().user_agent("watch", "1.0"), "watch:1.0/"),
        (start().user_agent_with_comments("watch", "1.0", ["one"]), "watch:1.0(one)/"),
        (start().user_agent_with_comments("watch", "1.0", ["one", "two"]), "watch:1.0(one; two)/"),
        (start().user_agent("frame", "2").user_agent_with_comments("watch", "1.0", ["one"]), "frame:2/watch:1.0(one)/"),
    ];
    for (config, program) in cases {
        let sent = our_version(Direction::Inbound, config).user_agent;
        assert_eq!(sent.to_str(), Some(format!("{library}{program}").as_str()));
    }
}

#[test]
fn a_user_agent_that_cannot_be_sent_is_refused_by_the_builder() {
    let library = concat!("/kaspa-peer:", env!("CARGO_PKG_VERSION"), "/").len();
    let named = |name: String| Config::builder(Network::Simnet).user_agent(name, "1");
    let longest = "x".repeat(256 - library - ":1/".len());
    assert_eq!(our_version(Direction::Outbound, named(longest.clone())).user_agent.as_bytes().len(), 256);
    assert!(matches!(named(longest + "x").build(), Err(ConfigError::UserAgent(_))));
    for bad in ["a/b", "a:b", "a(b", "a)b"] {
        let comment = Config::builder(Network::Simnet).user_agent_with_comments("name", "1", [bad]);
        assert!(matches!(comment.build(), Err(ConfigError::UserAgent(_))), "{bad}");
    }
}

#[test]
fn the_receiver_is_the_address_that_was_dialled() {
    let receiver = |address: &str, proxy: Option<&str>| {
        let builder = builder().services(Services::BLOOM);
        let receiver =
            our_version_to(address.parse().unwrap(), proxy.into_iter().fold(builder, ConfigBuilder::proxy)).receiver;
        assert_eq!(receiver.services, Services::NETWORK);
        (receiver.ip.to_string(), receiver.port)
    };
    let is = |ip: &str, port| (ip.to_owned(), port);
    assert_eq!(receiver("203.0.113.7:16111", None), is("::ffff:203.0.113.7", 16111));
    assert_eq!(receiver("[2001:db8::7]:16111", None), is("2001:db8::7", 16111));
    assert_eq!(receiver("node.example.org:16111", None), is("::", 16111));
    let proxy = Some("10.1.2.3:9050");
    assert_eq!(receiver("203.0.113.7:16111", proxy), is("::ffff:203.0.113.7", 16111));
    assert_eq!(receiver("10.1.2.3:9050", proxy), is("::ffff:0.0.0.0", 0));
    assert_eq!(receiver("node.onion:16111", proxy), is("::", 16111));
}

#[test]
fn every_version_has_its_own_nonce() {
    let node = builder().build().unwrap();
    let nonces: HashSet<u64> = (0..20)
        .map(|n| {
            let direction = BOTH[n % 2];
            let (_peer, mut remote) = connect_remote_over_tcp(direction, &node).unwrap();
            remote.shake_hands().unwrap().nonce
        })
        .collect();
    assert_eq!(nonces.len(), 20);
}

#[test]
fn every_version_has_the_selected_tip_of_its_moment() {
    #[derive(Default)]
    struct Growing(AtomicU8);

    impl DagView for Growing {
        fn selected_tip(&self) -> Hash {
            Hash::from_bytes([self.0.fetch_add(1, Ordering::Relaxed); 32])
        }

        fn is_known(&self, block: &Hash) -> bool {
            *block == Hash::from_bytes([7; 32])
        }
    }

    let node = builder().dag(Growing::default()).build().unwrap();
    for (tip, direction) in (0..4).zip(BOTH.into_iter().cycle()) {
        let (peer, mut remote) = connect_remote_over_tcp(direction, &node).unwrap();
        assert!(!peer.is_selected_tip_known(), "the remote's tip is not known yet");
        let ours = remote.shake_hands_with(&version()).unwrap();
        assert_eq!(ours.selected_tip, Hash::from_bytes([tip; 32]));
        assert!(peer.is_selected_tip_known());
        peer.set_selected_tip(Hash::ZERO);
        assert!(!peer.is_selected_tip_known());
    }
}

#[test]
fn the_lower_protocol_version_is_negotiated() {
    for direction in BOTH {
        for (ours, theirs) in [(1, 1), (1, 5), (5, 1), (3, 4), (4, 3), (i32::MAX, i32::MAX)] {
            let (local, mut remote) = new_peer(direction, builder().protocol_version(ours));
            let sent = remote.shake_hands_with(&Version { protocol_version: theirs, ..version() }).unwrap();
            assert_eq!(sent.protocol_version, ours, "our maximum, whatever the remote supports");
            let seen = local.peer.remote().unwrap();
            assert_eq!((seen.advertised_version, seen.negotiated_version), (theirs, ours.min(theirs)));
        }
    }
}

#[test]
fn the_remotes_version_is_available_afterwards() {
    let (local, mut remote) = new_peer(Direction::Inbound, builder().services(Services::BLOOM));
    let sent = version();
    remote.shake_hands_with(&sent).unwrap();
    local.peer.wait_for_handshake().unwrap();
    let seen = local.peer.remote().unwrap();
    assert_eq!((seen.user_agent, seen.services), (sent.user_agent, sent.services));
    assert_eq!((seen.selected_tip, seen.subnetwork), (sent.selected_tip, None));
    assert!(seen.relay_transactions && seen.time_offset < 0, "the remote's clock is behind");
}
