//! What a remote sends without end is forgotten again.
//!
//! Alone in its file, since it measures the whole process.
#![cfg(target_os = "linux")]
#![allow(missing_docs)]

mod common;

use common::by_hand::{ByHand, frame};
use common::{builder, sockets, version, wait_until};
use kaspa_peer::wire::{
    Addr, AddressScope, Command, Encode, Frame, GetData, Hash, Inv, Inventory, MAX_INVENTORY, NetAddress, Network,
    Ping, Pong, Reject, RejectCode, Services, TimedAddress, CustomMessage,
};
use kaspa_peer::{Config, Listener, Peer};

const MIB: u64 = 1 << 20;

/// What of the process is in memory, in bytes.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    resident.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// Listens to nothing, so that nothing is remembered.
struct Deaf;

impl Listener for Deaf {}

fn meet(config: &Config) -> (Peer, ByHand) {
    let (dialled, accepted) = sockets();
    let peer = Peer::inbound(accepted, dialled.local_addr().unwrap(), config).unwrap();
    let mut remote = ByHand::new(dialled, config.network());
    remote.shake_hands(&version());
    (peer, remote)
}

/// One remote sends a hundred megabytes of what is allowed.
#[test]
fn a_flood_leaves_nothing_but_a_bounded_set() {
    let (end, mut remote) = {
        let config = builder().listener(Deaf).max_custom_payload(1 << 20).build().unwrap();
        meet(&config)
    };
    let item = |n: u32| Inventory::tx(Hash::of(&n.to_le_bytes()));
    let items: Vec<Inventory> = (0..MAX_INVENTORY as u32).map(item).collect();
    let address = NetAddress::new(([1, 2, 3, 4], 16111).into(), Services::NETWORK);
    let addresses = vec![TimedAddress { time: 7, address }; Addr::MAX];
    let messages: [&dyn Encode; 5] = [
        &Inv::from(items.clone()),
        &GetData::from(items),
        &Addr { scope: AddressScope::All, addresses },
        &CustomMessage::new("nonsense", vec![1; 1 << 20]).unwrap(),
        &Reject::new("x".repeat(100_000), RejectCode::INVALID, "y".repeat(100_000)),
    ];
    let frames = messages.map(|message| Frame::encode(message, Network::Simnet).unwrap());
    let round = |remote: &mut ByHand| frames.iter().for_each(|frame| remote.send_bytes(frame.as_bytes()));
    let heard = |remote: &mut ByHand| {
        remote.send(&Ping { nonce: 1 });
        remote.read_as::<Pong>();
    };
    (0..3).for_each(|_| round(&mut remote));
    heard(&mut remote);
    let there = memory();
    let before = end.stats().received.total().bytes;
    (0..10).for_each(|_| round(&mut remote));
    // And a great many of the smallest, each with a command of its own.
    let mut small = Vec::new();
    for n in 0..50_000u32 {
        small.extend(frame(Network::Simnet, &format!("c{n}"), &[]));
    }
    remote.send_bytes(&small);
    heard(&mut remote);
    let stats = end.stats();
    let sent = stats.received.total().bytes - before;
    assert!(sent > 100_000_000, "{sent}");
    assert_eq!((stats.inventory_known, stats.inventory_queued), (1000, 0));
    assert_eq!(stats.received.of(Command::Inv).messages, 13);
    let grown = memory().saturating_sub(there);
    assert!(grown < 30 * MIB, "{grown} after {sent}");
    wait_until("nothing waits", || end.stats().queued_bytes == 0);
    assert_eq!(end.disconnect_reason(), None);
}
