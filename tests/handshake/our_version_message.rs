//! What a node tells of itself, field by field.

use crate::common::builder;
use crate::common::remote::{BOTH, ByHand, meet, met};
use kaspa_peer::wire::{Encode, Hash, NetAddress, Network, PROTOCOL_VERSION, Services, SubnetworkId, Version};
use kaspa_peer::{Config, ConfigBuilder, ConfigError, DagView, Direction, Peer, PeerAddress};
use std::{
    collections::HashSet,
    net::Ipv6Addr,
    sync::atomic::{AtomicU8, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

/// What a peer of this node says.
fn said(direction: Direction, builder: ConfigBuilder) -> Version {
    let (mut remote, _end) = meet(direction, builder);
    remote.shake(direction, &crate::common::version())
}

/// What the node says to a remote that it believes to be at `address`.
fn said_to(address: impl Into<PeerAddress>, builder: ConfigBuilder) -> Version {
    let (ours, stream) = crate::common::sockets();
    let _peer = Peer::outbound(ours, address, &builder.build().unwrap()).unwrap();
    ByHand::new(stream, Network::Simnet).expect()
}

fn seconds() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

#[test]
fn a_node_with_nothing_to_say_says_so() {
    for direction in BOTH {
        let before = seconds();
        let (mut remote, end) = meet(direction, Config::builder(Network::Simnet));
        let ours = remote.shake(direction, &crate::common::version());
        assert!((before..=seconds()).contains(&ours.time));
        let address = match end.peer.address() {
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
fn what_is_configured_is_said() {
    let subnetwork = SubnetworkId::from_bytes([9; 20]);
    let services = Services::NETWORK | Services::from_bits_retain(1 << 40);
    for direction in BOTH {
        let config = builder().services(services).subnetwork(subnetwork).protocol_version(7).relay_transactions(false);
        let (mut remote, _end) = meet(direction, config);
        let introduction = Version { subnetwork: Some(subnetwork), ..crate::common::version() };
        let ours = remote.shake(direction, &introduction);
        assert_eq!((ours.services, ours.sender.services), (services, services));
        assert_eq!(ours.receiver.services, Services::NETWORK, "whatever the remote says, and whatever we offer");
        assert_eq!((ours.subnetwork, ours.protocol_version, ours.relay_transactions), (Some(subnetwork), 7, false));
    }
}

#[test]
fn on_the_wire_the_sender_has_no_address() {
    let ours = said(Direction::Outbound, builder().services(Services::BLOOM));
    let payload = ours.encode().unwrap();
    // Version, services, time and the full node's flag; then the receiver, then the sender.
    let sender = &payload[4 + 8 + 8 + 1 + 26..][..26];
    assert_eq!(sender[..8], [4, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(sender[8..], [0; 18]);
}

#[test]
fn the_user_agent_is_the_librarys_and_then_the_programs() {
    let library = concat!("/kaspa-peer:", env!("CARGO_PKG_VERSION"), "/");
    let start = || Config::builder(Network::Simnet);
    let none: [&str; 0] = [];
    let cases = [
        (start().user_agent("watch", "1.0", none), "watch:1.0/"),
        (start().user_agent("watch", "1.0", ["one"]), "watch:1.0(one)/"),
        (start().user_agent("watch", "1.0", ["one", "two"]), "watch:1.0(one; two)/"),
        (start().user_agent("frame", "2", none).user_agent("watch", "1.0", ["one"]), "frame:2/watch:1.0(one)/"),
    ];
    for (config, program) in cases {
        let told = said(Direction::Inbound, config).user_agent;
        assert_eq!(told.to_str(), Some(format!("{library}{program}").as_str()));
    }
}

#[test]
fn a_user_agent_that_cannot_be_sent_is_refused_when_it_is_configured() {
    let library = concat!("/kaspa-peer:", env!("CARGO_PKG_VERSION"), "/").len();
    let named = |name: String| Config::builder(Network::Simnet).user_agent(name, "1", [""; 0]);
    let longest = "x".repeat(256 - library - ":1/".len());
    assert_eq!(said(Direction::Outbound, named(longest.clone())).user_agent.as_bytes().len(), 256);
    assert!(matches!(named(longest + "x").build(), Err(ConfigError::UserAgent(_))));
    for bad in ["a/b", "a:b", "a(b", "a)b"] {
        let comment = Config::builder(Network::Simnet).user_agent("name", "1", [bad]);
        assert!(matches!(comment.build(), Err(ConfigError::UserAgent(_))), "{bad}");
    }
}

#[test]
fn the_receiver_is_the_remote_as_it_was_dialled() {
    let told = |address: &str, proxy: Option<&str>| {
        let builder = builder().services(Services::BLOOM);
        let receiver = said_to(address, proxy.into_iter().fold(builder, ConfigBuilder::proxy)).receiver;
        assert_eq!(receiver.services, Services::NETWORK);
        (receiver.ip.to_string(), receiver.port)
    };
    let is = |ip: &str, port| (ip.to_owned(), port);
    assert_eq!(told("203.0.113.7:16111", None), is("::ffff:203.0.113.7", 16111));
    assert_eq!(told("[2001:db8::7]:16111", None), is("2001:db8::7", 16111));
    assert_eq!(told("node.example.org:16111", None), is("::", 16111));
    let proxy = Some("10.1.2.3:9050");
    assert_eq!(told("203.0.113.7:16111", proxy), is("::ffff:203.0.113.7", 16111));
    assert_eq!(told("10.1.2.3:9050", proxy), is("::ffff:0.0.0.0", 0));
    assert_eq!(told("node.onion:16111", proxy), is("::", 16111));
    assert_eq!(told("203.0.113.7:16111", Some("no proxy")), is("::ffff:0.0.0.0", 0));
}

#[test]
fn the_nonce_is_another_each_time() {
    let node = builder().build().unwrap();
    let nonces: HashSet<u64> = (0..20)
        .map(|n| {
            let direction = BOTH[n % 2];
            let (mut remote, _peer) = crate::common::remote::meet_node(direction, &node);
            remote.shake(direction, &crate::common::version()).nonce
        })
        .collect();
    assert_eq!(nonces.len(), 20);
}

#[test]
fn the_selected_tip_is_asked_for_each_time() {
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
        let (mut remote, peer) = crate::common::remote::meet_node(direction, &node);
        assert!(!peer.is_selected_tip_known(), "it has told none");
        let ours = remote.shake(direction, &crate::common::version());
        assert_eq!(ours.selected_tip, Hash::from_bytes([tip; 32]));
        assert!(peer.is_selected_tip_known());
        peer.set_selected_tip(Hash::ZERO);
        assert!(!peer.is_selected_tip_known());
    }
}

#[test]
fn the_lower_version_is_spoken() {
    for direction in BOTH {
        for (ours, theirs) in [(1, 1), (1, 5), (5, 1), (3, 4), (4, 3), (i32::MAX, i32::MAX)] {
            let (mut remote, end) = meet(direction, builder().protocol_version(ours));
            let said = remote.shake(direction, &Version { protocol_version: theirs, ..crate::common::version() });
            assert_eq!(said.protocol_version, ours, "our maximum, whatever they speak");
            let seen = end.peer.remote().unwrap();
            assert_eq!((seen.advertised_version, seen.negotiated_version), (theirs, ours.min(theirs)));
        }
    }
}

#[test]
fn what_the_remote_says_is_kept() {
    let (_remote, end) = met(Direction::Inbound, builder().services(Services::BLOOM));
    let (seen, said) = (end.peer.remote().unwrap(), crate::common::version());
    assert_eq!((seen.user_agent, seen.services), (said.user_agent, said.services));
    assert_eq!((seen.selected_tip, seen.subnetwork), (said.selected_tip, None));
    assert!(seen.relay_transactions && seen.time_offset < 0, "its clock is behind");
}
