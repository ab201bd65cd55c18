//! The receiver's address in our `version`: the remote's own address, but never that of our proxy.

use crate::common::local::new_peer_at;
use crate::common::{builder, version};
use kaspa_peer::wire::{NetAddress, Services, Version};
use kaspa_peer::{ConfigError, Direction, PeerAddress};

/// Our `version` to a remote that was dialled at `address`.
fn our_version(address: &str, proxy: Option<&str>, direction: Direction) -> Version {
    let config = builder().services(Services::BLOOM);
    let config = proxy.map_or(config.clone(), |proxy| config.proxy(proxy));
    let (_local, mut remote) = new_peer_at(Some(address), direction, config);
    if direction == Direction::Inbound {
        remote.send(&version()).unwrap();
    }
    remote.expect().unwrap()
}

/// The receiver's address in our `version`, the same in both directions.
fn receiver(address: &str, proxy: Option<&str>) -> (String, u16) {
    let receivers = [Direction::Outbound, Direction::Inbound].map(|direction| {
        let version = our_version(address, proxy, direction);
        let unspecified = NetAddress { services: Services::BLOOM, ip: [0; 16].into(), port: 0 };
        assert_eq!(version.sender, unspecified, "our own address is never sent");
        assert_eq!(version.receiver.services, Services::NETWORK);
        (version.receiver.ip.to_string(), version.receiver.port)
    });
    let [outbound, inbound] = receivers;
    assert_eq!(outbound, inbound);
    outbound
}

#[test]
fn an_ip_address_is_sent() {
    assert_eq!(receiver("203.0.113.7:16111", None), ("::ffff:203.0.113.7".into(), 16111));
    assert_eq!(receiver("[2001:db8::7]:16111", None), ("2001:db8::7".into(), 16111));
    assert_eq!(receiver("203.0.113.7:16111", Some("127.0.0.1:9050")), ("::ffff:203.0.113.7".into(), 16111));
    assert_eq!(receiver("203.0.113.7:16111", Some("tor.example:9050")), ("::ffff:203.0.113.7".into(), 16111));
}

#[test]
fn only_the_port_of_a_host_name_is_sent() {
    for name in ["node.example.org:16111", "abcdefghijklmnop.onion:16111"] {
        assert_eq!(receiver(name, None), ("::".into(), 16111));
        assert_eq!(receiver(name, Some("127.0.0.1:9050")), ("::".into(), 16111));
    }
    assert_eq!(receiver("no port at all", None), ("::".into(), 0));
}

#[test]
fn the_proxys_address_is_never_sent() {
    let unspecified = ("::ffff:0.0.0.0".into(), 0);
    for (address, proxy) in [
        ("127.0.0.1:9050", "127.0.0.1:9050"),
        // Connections that arrive through the proxy can come from any of its ports.
        ("127.0.0.1:41234", "127.0.0.1:9050"),
        ("[2001:db8::1]:9050", "[2001:db8::1]:9050"),
        ("[2001:db8:0::0:1]:9050", "[2001:db8::1]:9050"),
        ("[::ffff:127.0.0.1]:9050", "127.0.0.1:9050"),
        ("127.0.0.1:9050", "[::ffff:127.0.0.1]:9050"),
        ("proxy.example:9050", "proxy.example:9050"),
        ("Proxy.Example:9050", "proxy.example:9050"),
    ] {
        assert_eq!(receiver(address, Some(proxy)), unspecified, "{address} {proxy}");
    }
}

#[test]
fn a_proxy_that_is_not_written_as_host_and_port_is_refused() {
    for proxy in ["127.0.0.1", "nonsense", ":9050", "host:port", "::1:9050", ""] {
        let error = builder().proxy(proxy).build().unwrap_err();
        assert!(matches!(error, ConfigError::Proxy(_)), "{error:?}");
        let expected = format!("{proxy:?} is not a proxy: expected host:port, such as 127.0.0.1:9050");
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn a_peer_has_the_address_that_was_dialled() {
    let name = "node.example.org:16111";
    let (local, mut remote) = new_peer_at(Some(name), Direction::Outbound, builder());
    remote.expect::<Version>().unwrap();
    assert_eq!(local.peer.address(), &PeerAddress::Host { host: "node.example.org".into(), port: 16111 });
    assert_eq!(local.peer.stats().address, name.parse().unwrap());
    assert_eq!(local.peer.to_string(), "node.example.org:16111 (outbound)");
    let (local, _remote) = new_peer_at(Some("[2001:db8::7]:16111"), Direction::Inbound, builder());
    assert_eq!(local.peer.to_string(), "[2001:db8::7]:16111 (inbound)");
    assert_eq!(format!("{:>30}|", local.peer), " [2001:db8::7]:16111 (inbound)|");
}
