//! The `push_*` helpers for messages that a node often sends: their limits, filters and fields.

use crate::common::blocking::peer_with_blocked_writer;
use crate::common::frames::message_of_size;
use crate::common::local::{connected_peer, new_peer};
use crate::common::{DEADLINE, builder, wait_until};
use kaspa_peer::testing::ScriptedRemote;
use kaspa_peer::wire::{
    Addr, AddressScope, CustomMessage, EncodeError, FeeFilter, GetBlockInvs, GetHeaders, GetLocator, Hash, Locator,
    Message, NetAddress, Reject, RejectCode, Services, SubnetworkId, TimedAddress,
};
use kaspa_peer::{Direction, DisconnectReason, Peer, QueueError, WaitError, WaitedFor};
use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Barrier;

const A: Hash = Hash::from_bytes([0xa; 32]);
const B: Hash = Hash::from_bytes([0xb; 32]);

fn addresses(count: u16) -> Vec<TimedAddress> {
    (0..count)
        .map(|number| TimedAddress {
            time: i64::from(number),
            address: NetAddress::new(SocketAddr::from(([203, 0, 113, 7], number)), Services::NETWORK),
        })
        .collect()
}

/// The messages that the remote receives before a marker that is queued now.
fn sent_before_marker(peer: &Peer, remote: &mut ScriptedRemote) -> Vec<Message> {
    peer.queue_message(&FeeFilter { min_fee: 4711 }).unwrap();
    let mut messages = Vec::new();
    loop {
        match remote.next_message().unwrap() {
            Message::FeeFilter(FeeFilter { min_fee: 4711 }) => return messages,
            message => messages.push(message),
        }
    }
}

#[test]
fn addresses_are_sent_for_the_callers_subnetwork() {
    let (local, mut remote) = connected_peer(builder());
    let subnetwork = SubnetworkId::from_bytes([5; 20]);
    let scopes = [(None, AddressScope::FullNodes), (Some(subnetwork), AddressScope::Subnetwork(subnetwork))];
    for (of, scope) in scopes {
        assert_eq!(local.peer.push_addresses(&addresses(3), of).unwrap(), addresses(3));
        assert_eq!(remote.expect::<Addr>().unwrap(), Addr { scope, addresses: addresses(3) });
    }
}

#[test]
fn an_empty_list_of_addresses_is_not_sent() {
    let (local, mut remote) = connected_peer(builder());
    assert_eq!(local.peer.push_addresses(&[], None), Ok(vec![]));
    assert_eq!(sent_before_marker(&local.peer, &mut remote), []);
    local.peer.disconnect();
    assert_eq!(local.peer.push_addresses(&[], None), Ok(vec![]), "there is nothing to send");
}

#[test]
fn a_thousand_addresses_are_sent_as_they_are() {
    let (local, mut remote) = connected_peer(builder());
    assert_eq!(local.peer.push_addresses(&addresses(1000), None).unwrap(), addresses(1000));
    assert_eq!(remote.expect::<Addr>().unwrap().addresses, addresses(1000));
}

#[test]
fn a_random_thousand_of_more_addresses_is_sent_and_returned() {
    let (local, mut remote) = connected_peer(builder());
    let all: HashSet<TimedAddress> = addresses(3000).into_iter().collect();
    let mut choices = Vec::new();
    for _ in 0..2 {
        let returned = local.peer.push_addresses(&addresses(3000), None).unwrap();
        let sent = remote.expect::<Addr>().unwrap().addresses;
        assert_eq!(returned, sent);
        let distinct: HashSet<TimedAddress> = sent.iter().copied().collect();
        assert_eq!(distinct.len(), 1000);
        assert!(distinct.is_subset(&all));
        // An even choice takes about 333 of each third. Fewer than 200 happen once in 10^20 times.
        for third in 0..3 {
            let of_third = distinct.iter().filter(|address| address.time / 1000 == third).count();
            assert!(of_third > 200, "{of_third} of the third {third}");
        }
        choices.push(sent);
    }
    assert_ne!(choices[0], choices[1]);
}

#[test]
fn a_repeated_getblockinvs_is_filtered() {
    let (local, mut remote) = connected_peer(builder());
    let requests = [(A, B), (A, B), (B, A), (A, B), (A, A), (A, A)];
    let queued = requests.map(|(low, high)| local.peer.push_get_block_invs(low, high).unwrap());
    assert_eq!(queued, [true, false, true, true, true, false]);
    let sent = [(A, B), (B, A), (A, B), (A, A)].map(|(low, high)| Message::from(GetBlockInvs { low, high }));
    assert_eq!(sent_before_marker(&local.peer, &mut remote), sent);
}

#[test]
fn a_repeated_getheaders_is_filtered_independently_of_getblockinvs() {
    let (local, mut remote) = connected_peer(builder());
    assert_eq!(local.peer.push_get_block_invs(A, B), Ok(true));
    for queued in [true, false] {
        assert_eq!(local.peer.push_get_headers(A, B), Ok(queued));
    }
    assert_eq!(local.peer.push_get_block_invs(A, B), Ok(false), "another kind came between");
    assert_eq!(local.peer.push_get_headers(B, A), Ok(true));
    assert_eq!(
        sent_before_marker(&local.peer, &mut remote),
        [
            Message::from(GetBlockInvs { low: A, high: B }),
            GetHeaders { low: A, high: B }.into(),
            GetHeaders { low: B, high: A }.into(),
        ]
    );
}

#[test]
fn requests_queued_without_the_helper_are_not_filtered() {
    let (local, mut remote) = connected_peer(builder());
    let request = GetBlockInvs { low: A, high: B };
    assert_eq!(local.peer.push_get_block_invs(A, B), Ok(true));
    local.peer.queue_message(&request).unwrap();
    assert_eq!(sent_before_marker(&local.peer, &mut remote), [Message::from(request), request.into()]);
}

#[test]
fn only_one_of_two_threads_sends_the_same_request() {
    let (local, mut remote) = connected_peer(builder());
    const ROUNDS: u32 = 2000;
    let barrier = Barrier::new(2);
    let ask = || -> Vec<(bool, bool)> {
        (0..ROUNDS)
            .map(|round| {
                let hash = Hash::of(&round.to_le_bytes());
                barrier.wait();
                (local.peer.push_get_block_invs(A, hash).unwrap(), local.peer.push_get_headers(hash, B).unwrap())
            })
            .collect()
    };
    let (first, second) = std::thread::scope(|scope| {
        let other = scope.spawn(ask);
        (ask(), other.join().unwrap())
    });
    for (round, (first, second)) in first.into_iter().zip(second).enumerate() {
        assert!(first.0 != second.0 && first.1 != second.1, "round {round}: {first:?} {second:?}");
    }
    assert_eq!(sent_before_marker(&local.peer, &mut remote).len(), 2 * ROUNDS as usize);
}

#[test]
fn a_request_that_could_not_be_queued_is_not_filtered_later() {
    let (local, mut remote) = new_peer(Direction::Inbound, builder().queue_limit(1000));
    // Before the handshake all messages wait, so the queue is full.
    local.peer.queue_message(&message_of_size(1000)).unwrap();
    // A header of 24 bytes and two hashes.
    let full = Err(QueueError::Full { queued: 1000, limit: 1000, message: 24 + 64 });
    for _ in 0..2 {
        assert_eq!(local.peer.push_get_block_invs(A, B), full);
        assert_eq!(local.peer.push_get_headers(A, B), full);
    }
    remote.shake_hands().unwrap();
    assert!(matches!(remote.next_message().unwrap(), Message::Custom(CustomMessage { .. })));
    wait_until("the queue is empty", || local.peer.stats().queued_bytes == 0);
    assert_eq!(local.peer.push_get_block_invs(A, B), Ok(true));
    assert_eq!(local.peer.push_get_headers(A, B), Ok(true));
    remote.expect::<GetBlockInvs>().unwrap();
    remote.expect::<GetHeaders>().unwrap();
    local.peer.disconnect();
    let closed = Err(QueueError::Closed(DisconnectReason::Local));
    assert_eq!(local.peer.push_get_block_invs(B, B), closed);
    assert_eq!(local.peer.push_get_headers(B, B), closed);
}

#[test]
fn repeated_getlocators_are_not_filtered() {
    let (local, mut remote) = connected_peer(builder());
    for _ in 0..2 {
        local.peer.push_get_locator(A, B).unwrap();
        assert_eq!(remote.expect::<GetLocator>().unwrap(), GetLocator { high: A, low: B });
    }
}

#[test]
fn a_locator_has_at_most_500_hashes_in_their_order() {
    let (local, mut remote) = connected_peer(builder());
    let hashes: Vec<Hash> = (0..501u32).map(|number| Hash::of(&number.to_le_bytes())).collect();
    let too_many = EncodeError::TooMany { field: "locator hashes", found: 501, max: 500 };
    assert_eq!(local.peer.push_locator(hashes.clone()), Err(QueueError::Encode(too_many)));
    local.peer.push_locator(&hashes[..500]).unwrap();
    assert_eq!(remote.expect::<Locator>().unwrap().hashes, hashes[..500], "the connection is still usable");
    local.peer.push_locator([A, B]).unwrap();
    assert_eq!(remote.expect::<Locator>().unwrap().hashes, [A, B]);
}

#[test]
fn only_rejects_of_blocks_and_transactions_have_a_hash() {
    let (local, mut remote) = connected_peer(builder());
    let cases = [
        ("tx", Some(A), Some(A)),
        ("block", Some(B), Some(B)),
        ("tx", None, Some(Hash::ZERO)),
        ("block", None, Some(Hash::ZERO)),
        ("inv", Some(A), None),
        ("inv", None, None),
    ];
    for (command, given, sent) in cases {
        local.peer.push_reject(command, RejectCode::INVALID, "because", given).unwrap();
        let expected = Reject { hash: sent, ..Reject::new(command, RejectCode::INVALID, "because") };
        assert_eq!(remote.expect::<Reject>().unwrap(), expected);
    }
}

#[test]
fn a_reject_that_was_waited_for_arrives_before_the_disconnect() {
    // Often enough that a reject that is lost sometimes shows.
    for _ in 0..50 {
        let (local, mut remote) = connected_peer(builder());
        local.peer.push_reject_and_wait("tx", RejectCode::DUST, "dust", Some(A), DEADLINE).unwrap();
        local.peer.disconnect();
        let expected = Reject { hash: Some(A), ..Reject::new("tx", RejectCode::DUST, "dust") };
        assert_eq!(remote.read_until_end().unwrap(), [Message::from(expected)]);
    }
}

#[test]
fn waiting_for_a_reject_times_out() {
    let short = std::time::Duration::from_millis(50);
    let (peer, _blocked, _remote) = peer_with_blocked_writer(builder().queue_limit(100_000));
    let wait = || peer.push_reject_and_wait("inv", RejectCode::INVALID, "no", None, short);
    assert_eq!(wait(), Err(WaitError::Timeout { what: WaitedFor::Written, waited: short }));
    while peer.queue_message(&message_of_size(24)).is_ok() {}
    assert!(matches!(wait(), Err(WaitError::Queue(QueueError::Full { .. }))));
    peer.disconnect();
    assert_eq!(wait(), Err(WaitError::Closed(DisconnectReason::Local)));
}
