//! Helpers that the tests of peers share: connected peers, remotes that a test controls, a listener that records, and
//! waiting with a deadline.
#![allow(dead_code)]

pub mod blocking;
pub mod frames;
pub mod local;
pub mod memory_file;
pub mod recorder;
pub mod retry;

use kaspa_peer::wire::{Hash, Network, Services, UserAgent, Version};
use kaspa_peer::{Config, ConfigBuilder, Direction};
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

/// The builder of a node on simnet, with the default settings.
pub fn builder() -> ConfigBuilder {
    Config::builder(Network::Simnet).user_agent("test", "0.0.1")
}

/// A plausible `version` for a remote that a test controls.
pub fn version() -> Version {
    Version {
        services: Services::NETWORK,
        time: 1_581_437_000,
        user_agent: UserAgent::from_bytes("/test-remote:1.0/"),
        selected_tip: Hash::from_bytes([7; 32]),
        ..Version::new(0x1234_5678_9abc_def0)
    }
}
