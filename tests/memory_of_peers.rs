//! What remotes claim, and what they send without end, takes no more memory than what arrived.
//!
//! Alone in its file, since it measures the whole process.
#![cfg(target_os = "linux")]
#![allow(missing_docs)]

mod common;

use common::by_hand::{ByHand, frame};
use common::{builder, sockets, version, wait_until};
use kaspa_peer::wire::{
    Addr, AddressScope, Command, Encode, Frame, GetData, Hash, Inv, Inventory, MAX_INVENTORY, NetAddress, Network,
    Ping, Pong, Reject, RejectCode, Services, TimedAddress, Unknown,
};
use kaspa_peer::{Config, Listener, Peer};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// What the process has reserved, and what of it is there, in bytes.
fn memory() -> (u64, u64) {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    let mut pages = pages.split(' ').map(|pages| pages.parse::<u64>().unwrap() * 4 * KIB);
    (pages.next().unwrap(), pages.next().unwrap())
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

#[test]
fn it_is_in_proportion_to_what_arrived() {
    claims();
    floods();
}

fn claims() {
    const PEERS: u64 = 200;
    const SENT: u64 = 100 * KIB;
    let config = builder().listener(Deaf).build().unwrap();
    // So that what is made once, or grows in large steps, is there.
    let warm: Vec<_> = (0..50).map(|_| meet(&config)).collect();
    let (reserved, there) = memory();
    let mut peers: Vec<_> = (0..PEERS).map(|_| meet(&config)).collect();
    let mut claim = frame(Network::Simnet, "block", &[]);
    claim[16..20].copy_from_slice(&(32u32 << 20).to_le_bytes());
    claim.resize(SENT as usize, 7);
    for (_, remote) in &mut peers {
        // In one piece, so that the answer comes when the claim has been seen.
        remote.send_bytes(&[&frame(Network::Simnet, "ping", &[1; 8]), claim.as_slice()].concat());
    }
    for (_, remote) in &mut peers {
        remote.read_as::<Pong>();
    }
    wait_until("the claims are seen", || peers.iter().all(|(peer, _)| peer.stats().queued_bytes == 0));
    let (reserved_now, there_now) = memory();
    // Three threads each have reserved stacks; of all that, less than a tenth of what was claimed.
    let bound = PEERS * (2 * SENT + 64 * KIB + 3 * 300 * KIB) + 300 * MIB;
    assert!(bound < PEERS * 32 * MIB / 10);
    assert!(reserved_now - reserved < bound, "{} of {bound} reserved", reserved_now - reserved);
    let bound = PEERS * (2 * SENT + 64 * KIB + 3 * 32 * KIB);
    assert!(there_now.saturating_sub(there) < bound, "{} of {bound} there", there_now - there);
    assert!(peers.iter().all(|(peer, _)| peer.disconnect_reason().is_none()));
    drop(warm);
}

/// One remote sends a hundred megabytes of what is allowed.
fn floods() {
    let (end, mut remote) = {
        let config = builder().listener(Deaf).max_unknown_payload(1 << 20).build().unwrap();
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
        &Unknown::new("nonsense", vec![1; 1 << 20]).unwrap(),
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
    let (_, there) = memory();
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
    let (_, there_now) = memory();
    let grown = there_now.saturating_sub(there);
    assert!(grown < 30 * MIB, "{grown} after {sent}");
    wait_until("nothing waits", || end.stats().queued_bytes == 0);
    assert_eq!(end.disconnect_reason(), None);
}
