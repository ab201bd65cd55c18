//! What a remote is told of its own address, and what it is never told: the proxy's.

use crate::common::by_hand::{ByHand, strangers};
use crate::common::{End, builder, version};
use kaspa_peer::wire::{NetAddress, Services, Version};
use kaspa_peer::{Direction, PeerAddress};

/// Our `version` to a remote that was dialled at `address`, read by hand.
fn our_version(address: &str, proxy: Option<&str>, direction: Direction) -> Version {
    let config = builder().services(Services::BLOOM);
    let config = proxy.map_or(config.clone(), |proxy| config.proxy(proxy));
    let (_end, mut remote): (End, ByHand) = strangers(config, direction, Some(address));
    if direction == Direction::Inbound {
        remote.send(&version());
    }
    remote.read_as()
}

fn told(address: &str, proxy: Option<&str>) -> (String, u16) {
    let receivers = [Direction::Outbound, Direction::Inbound].map(|direction| {
        let version = our_version(address, proxy, direction);
        let nobody = NetAddress { services: Services::BLOOM, ip: [0; 16].into(), port: 0 };
        assert_eq!(version.sender, nobody, "our own address is never told");
        assert_eq!(version.receiver.services, Services::NETWORK);
        (version.receiver.ip.to_string(), version.receiver.port)
    });
    let [outbound, inbound] = receivers;
    assert_eq!(outbound, inbound);
    outbound
}

#[test]
fn an_ip_address_is_told() {
    assert_eq!(told("203.0.113.7:16111", None), ("::ffff:203.0.113.7".into(), 16111));
    assert_eq!(told("[2001:db8::7]:16111", None), ("2001:db8::7".into(), 16111));
    assert_eq!(told("203.0.113.7:16111", Some("127.0.0.1:9050")), ("::ffff:203.0.113.7".into(), 16111));
    assert_eq!(told("203.0.113.7:16111", Some("tor.example:9050")), ("::ffff:203.0.113.7".into(), 16111));
}

#[test]
fn of_a_host_name_only_the_port_is_told() {
    for name in ["node.example.org:16111", "abcdefghijklmnop.onion:16111"] {
        assert_eq!(told(name, None), ("::".into(), 16111));
        assert_eq!(told(name, Some("127.0.0.1:9050")), ("::".into(), 16111));
    }
    assert_eq!(told("no port at all", None), ("::".into(), 0));
}

#[test]
fn the_proxys_address_is_never_told() {
    let nothing = ("::ffff:0.0.0.0".into(), 0);
    for (address, proxy) in [
        ("127.0.0.1:9050", "127.0.0.1:9050"),
        // Remotes come from the proxy at any port.
        ("127.0.0.1:41234", "127.0.0.1:9050"),
        ("[2001:db8::1]:9050", "[2001:db8::1]:9050"),
        ("[2001:db8:0::0:1]:9050", "[2001:db8::1]:9050"),
        ("[::ffff:127.0.0.1]:9050", "127.0.0.1:9050"),
        ("127.0.0.1:9050", "[::ffff:127.0.0.1]:9050"),
        ("proxy.example:9050", "proxy.example:9050"),
        ("Proxy.Example:9050", "proxy.example:9050"),
    ] {
        assert_eq!(told(address, Some(proxy)), nothing, "{address} {proxy}");
    }
}

#[test]
fn with_a_proxy_that_cannot_be_parsed_nothing_is_told() {
    let nothing = ("::ffff:0.0.0.0".into(), 0);
    for proxy in ["127.0.0.1", "nonsense", ":9050", "host:port", "::1:9050", ""] {
        for address in ["203.0.113.7:16111", "node.example.org:16111", "127.0.0.1:9050"] {
            assert_eq!(told(address, Some(proxy)), nothing, "{address} {proxy}");
        }
    }
}

#[test]
fn a_peer_is_known_by_what_was_dialled() {
    let name = "node.example.org:16111";
    let (end, mut remote) = strangers(builder(), Direction::Outbound, Some(name));
    remote.read_as::<Version>();
    assert_eq!(end.peer.address(), &PeerAddress::Host { host: "node.example.org".into(), port: 16111 });
    assert_eq!(end.peer.stats().address, PeerAddress::from(name));
    assert_eq!(end.peer.to_string(), "node.example.org:16111 (outbound)");
    let (end, _remote) = strangers(builder(), Direction::Inbound, Some("[2001:db8::7]:16111"));
    assert_eq!(end.peer.to_string(), "[2001:db8::7]:16111 (inbound)");
}
