//! A remote that floods a peer leaves no memory behind but a bounded set of known inventory.

use super::ALLOCATOR;
use super::process::exclusive;
use crate::common::{builder, wait_until};
use kaspa_peer::testing::{ScriptedRemote, TestFrame, tcp_pair};
use kaspa_peer::wire::{
    Addr, AddressScope, Command, CustomMessage, Encode, Frame, GetData, Hash, Inv, Inventory, MAX_INVENTORY,
    NetAddress, Network, Ping, Pong, Reject, RejectCode, Services, TimedAddress,
};
use kaspa_peer::{Config, Listener, Peer};

const MIB: usize = 1 << 20;

/// Ignores every message, so that the program keeps none.
struct Ignore;

impl Listener for Ignore {}

fn connect(config: &Config) -> (Peer, ScriptedRemote) {
    let (dialled, accepted) = tcp_pair().unwrap();
    let peer = Peer::inbound(accepted, dialled.local_addr().unwrap(), config).unwrap();
    let mut remote = ScriptedRemote::new(dialled, config.network());
    remote.shake_hands().unwrap();
    (peer, remote)
}

#[test]
fn a_flood_of_a_hundred_megabytes_leaves_a_bounded_set() {
    let _exclusive = exclusive();
    let (peer, mut remote) = connect(&builder().listener(Ignore).max_custom_payload(1 << 20).build().unwrap());
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
    // And many of the smallest frames, each with a command of its own.
    let small: Vec<u8> =
        (0..50_000u32).flat_map(|n| TestFrame::new(format!("c{n}"), &[], Network::Simnet).to_bytes()).collect();
    let flood =
        |remote: &mut ScriptedRemote| frames.iter().for_each(|frame| remote.send_bytes(frame.as_bytes()).unwrap());
    let everything_is_read = |remote: &mut ScriptedRemote| {
        remote.send(&Ping { nonce: 1 }).unwrap();
        remote.expect::<Pong>().unwrap();
        wait_until("the pong is counted", || peer.stats().queued_bytes == 0);
    };
    (0..3).for_each(|_| flood(&mut remote));
    everything_is_read(&mut remote);
    let before = (ALLOCATOR.current_usage(), peer.stats().received.total().bytes);
    (0..10).for_each(|_| flood(&mut remote));
    remote.send_bytes(&small).unwrap();
    everything_is_read(&mut remote);
    let grown = ALLOCATOR.current_usage().saturating_sub(before.0);
    let stats = peer.stats();
    let sent = stats.received.total().bytes - before.1;
    assert!(sent > 100_000_000, "{sent}");
    assert_eq!((stats.inventory_known, stats.inventory_queued), (1000, 0));
    assert_eq!(stats.received.of(Command::Inv).messages, 13);
    assert!(grown < MIB, "{grown} bytes are left of {sent}");
    assert_eq!(peer.disconnect_reason(), None);
}
