//! A plain conversation between two nodes.

use crate::common::builder;
use crate::common::local::{Local, connected_pair};
use kaspa_peer::DisconnectReason;
use kaspa_peer::wire::{Addr, AddressScope, Command, FeeFilter, GetAddr, Inv, Inventory, Ping, Services};

#[test]
fn both_sides_receive_the_others_version() {
    let (outbound, inbound) = connected_pair(
        builder().user_agent_with_comments("dialler", "1.0", ["here"]).services(Services::NETWORK),
        builder().user_agent("acceptor", "2.0").relay_transactions(false),
    );
    let seen = outbound.peer.remote().unwrap();
    assert!(seen.user_agent.to_string().ends_with("/acceptor:2.0/"), "{}", seen.user_agent);
    assert_eq!((seen.advertised_version, seen.negotiated_version), (1, 1));
    assert!(!seen.relay_transactions && seen.time_offset.abs() < 60);
    let seen = inbound.peer.remote().unwrap();
    assert!(seen.user_agent.to_string().ends_with("/dialler:1.0(here)/"), "{}", seen.user_agent);
    assert_eq!(seen.services, Services::NETWORK);
}

#[test]
fn messages_arrive_in_order_in_both_directions() {
    let (outbound, inbound) = connected_pair(builder(), builder());
    outbound.peer.queue_message(&GetAddr::all()).unwrap();
    for min_fee in 0..1000 {
        outbound.peer.queue_message(&FeeFilter { min_fee }).unwrap();
        inbound.peer.queue_message(&FeeFilter { min_fee: -min_fee }).unwrap();
    }
    inbound.peer.queue_message(&Addr { scope: AddressScope::All, addresses: vec![] }).unwrap();
    inbound.recorder.wait_for_count(Command::FeeFilter, 1000);
    outbound.recorder.wait_for::<Addr>();
    let fees = |local: &Local| {
        local.recorder.look(|record| {
            let fees = record.messages.iter().filter_map(|message| FeeFilter::try_from(message.clone()).ok());
            fees.map(|filter| filter.min_fee).collect::<Vec<_>>()
        })
    };
    assert_eq!(fees(&inbound), (0..1000).collect::<Vec<i64>>());
    assert_eq!(fees(&outbound), (0..1000).map(|fee| -fee).collect::<Vec<i64>>());
}

#[test]
fn a_ping_is_answered_and_timed() {
    let (outbound, inbound) = connected_pair(builder(), builder());
    let rtt = outbound.peer.ping().unwrap();
    let stats = outbound.peer.stats();
    assert!(stats.min_rtt.is_some_and(|min| min <= rtt), "{stats:?}");
    assert_eq!(stats.last_ping_nonce, None);
    inbound.recorder.wait_for::<Ping>();
}

#[test]
fn announced_inventory_arrives_in_order() {
    let (outbound, inbound) = connected_pair(builder(), builder());
    let items: Vec<_> = (0..2500u32).map(|n| Inventory::tx(kaspa_peer::wire::Hash::of(&n.to_le_bytes()))).collect();
    outbound.peer.queue_inventories(&items).unwrap();
    inbound.recorder.wait_for_count(Command::Inv, 3);
    let announced: Vec<Inventory> = inbound.recorder.look(|record| {
        let invs = record.messages.iter().filter_map(|message| Inv::try_from(message.clone()).ok());
        invs.inspect(|inv| assert!(inv.items.len() <= 1000)).flat_map(|inv| inv.items).collect()
    });
    assert_eq!(announced, items);
}

#[test]
fn both_sides_have_a_reason_after_a_disconnect() {
    let (outbound, inbound) = connected_pair(builder(), builder());
    outbound.peer.disconnect();
    assert_eq!(outbound.peer.wait_for_disconnect(), Ok(DisconnectReason::Local));
    let remote = DisconnectReason::RemoteClosed { inside_frame: false };
    assert_eq!(inbound.peer.wait_for_disconnect(), Ok(remote.clone()));
    assert_eq!(inbound.recorder.look(|record| record.disconnects.clone()), [remote]);
    assert_eq!(outbound.recorder.look(|record| record.disconnects.clone()), [DisconnectReason::Local]);
}
