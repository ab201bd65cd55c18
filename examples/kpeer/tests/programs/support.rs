//! Shared by the tests: `kpeer` as a process, nodes that a test plays, a proxy, and files.

#[cfg(target_os = "linux")]
pub mod memory;
pub mod proxy;
pub mod running;
pub mod scratch;

use kaspa_peer::wire::{Hash, NetAddress, Services, UserAgent, Version};
use socket2::{Domain, Socket, Type};
use std::net::{Ipv6Addr, SocketAddr};
use std::process::Command;

/// A subcommand of `kpeer`.
pub fn kpeer(subcommand: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kpeer"));
    command.arg(subcommand);
    command
}

/// An address where no node listens, and none can while the socket exists.
pub fn nobody() -> (Socket, String) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap().to_string();
    (socket, address)
}

/// A plausible `version` for a node that a test plays.
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
        user_agent: UserAgent::from_bytes("/by-hand:1.0/"),
        selected_tip: Hash::from_bytes([7; 32]),
        relay_transactions: true,
    }
}
