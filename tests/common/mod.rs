//! What the tests of peers share: connected peers, remotes that a test controls, a listener that records, and waiting with a
//! deadline.
#![allow(dead_code)]

pub mod blocking;
pub mod frames;
pub mod local;
pub mod memory_file;
pub mod recorder;
pub mod remote;
pub mod retry;

use kaspa_peer::wire::{Hash, NetAddress, Network, Services, UserAgent, Version};
use kaspa_peer::{Config, ConfigBuilder, Direction};
use std::net::{Ipv6Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// Longer than anything here takes on a busy machine. A test that waits this long has failed.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Both directions, for tests of behaviour that does not depend on the direction.
pub const BOTH: [Direction; 2] = [Direction::Inbound, Direction::Outbound];

/// Waits until `condition` holds. Panics with `what` if it does not hold before the deadline.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {DEADLINE:?}: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Two connected sockets: the dialling and the accepting one.
pub fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let dialled = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    (dialled, accepted)
}

/// The builder of a node on simnet, with the default settings.
pub fn builder() -> ConfigBuilder {
    Config::builder(Network::Simnet).user_agent("test", "0.0.1")
}

/// A plausible `version` for a remote that a test controls.
pub fn version() -> Version {
    let unspecified = NetAddress { services: Services::empty(), ip: Ipv6Addr::UNSPECIFIED, port: 0 };
    Version {
        protocol_version: 1,
        services: Services::NETWORK,
        time: 1_581_437_000,
        subnetwork: None,
        receiver: unspecified,
        sender: unspecified,
        nonce: 0x1234_5678_9abc_def0,
        user_agent: UserAgent::from_bytes("/test-remote:1.0/"),
        selected_tip: Hash::from_bytes([7; 32]),
        relay_transactions: true,
    }
}
