//! Periodic pings, `Peer::ping`, and round-trip times.

use crate::common::blocking::{FEE_FILTER, on_fee_filter};
use crate::common::local::{Local, connected_pair, connected_peer, connected_peer_with};
use crate::common::{DEADLINE, builder, wait_until};
use kaspa_peer::testing::ScriptedRemote;
use kaspa_peer::wire::{Command, Message, Ping, Pong};
use kaspa_peer::{DisconnectReason, WaitError, WaitedFor};
use std::collections::HashSet;
use std::sync::mpsc;
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(150);

#[test]
fn pings_are_sent_every_interval_and_answered() {
    let interval = Duration::from_millis(50);
    let (outbound, inbound) = connected_pair(builder().ping_interval(interval), builder().ping_interval(None));
    outbound.recorder.wait_for_count(Command::Pong, 6);
    // A ping is answered before its callback.
    inbound.recorder.wait_for_count(Command::Ping, 6);
    let nonces: HashSet<u64> = inbound.recorder.look(|record| {
        let pings = record.messages.iter().filter_map(|message| Ping::try_from(message.clone()).ok());
        pings.map(|ping| ping.nonce).collect()
    });
    assert!(nonces.len() >= 6 && !nonces.contains(&0), "{nonces:?}");
    // Only the pong for the last ping counts. On a busy machine the next ping can be sent before a pong arrives.
    wait_until("a round trip", || outbound.peer.stats().min_rtt.is_some());
    let stats = outbound.peer.stats();
    assert!(stats.last_ping.is_some() && stats.last_rtt >= stats.min_rtt);
    outbound
        .recorder
        .look(|record| assert!(!record.messages.iter().any(|message| matches!(message, Message::Ping(_)))));
    assert_eq!(inbound.peer.stats().last_ping, None, "a peer without an interval sends no pings");
}

#[test]
fn pings_are_an_interval_apart() {
    let interval = Duration::from_millis(200);
    let start = Instant::now();
    let (_local, mut remote) = connected_peer(builder().ping_interval(interval));
    for pings in 1..=3 {
        remote.expect::<Ping>().unwrap();
        assert!(start.elapsed() >= pings * interval, "{pings} after {:?}", start.elapsed());
    }
}

#[test]
fn a_remote_that_does_not_answer_pings_stays_connected() {
    let (local, mut remote) = connected_peer(builder().ping_interval(Duration::from_millis(20)));
    for _ in 0..10 {
        remote.expect::<Ping>().unwrap();
    }
    assert_eq!(local.peer.disconnect_reason(), None);
    assert_eq!(local.peer.stats().min_rtt, None);
}

/// The part of the statistics that is about pings: the nonce, whether one was sent, the last and the shortest round
/// trip.
fn ping_stats(local: &Local) -> (Option<u64>, bool, Option<Duration>, Option<Duration>) {
    let stats = local.peer.stats();
    (stats.last_ping_nonce, stats.last_ping.is_some(), stats.last_rtt, stats.min_rtt)
}

/// Sends pongs from the remote, and waits until the peer has handled them.
fn send_pongs(local: &Local, remote: &mut ScriptedRemote, nonces: &[u64]) {
    let before = local.recorder.commands().iter().filter(|command| *command == "pong").count();
    nonces.iter().for_each(|&nonce| remote.send(&Pong { nonce }).unwrap());
    // The statistics change before the callback.
    local.recorder.wait_for_count(Command::Pong, before + nonces.len());
}

#[test]
fn only_the_first_pong_for_the_last_ping_counts() {
    let (local, mut remote) = connected_peer(builder());
    let ping = |nonce| local.peer.queue_message(&Ping { nonce }).unwrap().wait_timeout(DEADLINE).unwrap();
    send_pongs(&local, &mut remote, &[0, 5]);
    assert_eq!(ping_stats(&local), (None, false, None, None), "pongs without a ping");
    ping(5);
    send_pongs(&local, &mut remote, &[6, 0, u64::MAX]);
    assert_eq!(ping_stats(&local), (Some(5), true, None, None), "wrong nonces, and zero");
    send_pongs(&local, &mut remote, &[5]);
    let (nonce, _, first, min) = ping_stats(&local);
    assert!(nonce.is_none() && first.is_some() && first == min);
    send_pongs(&local, &mut remote, &[5, 5]);
    assert_eq!(ping_stats(&local), (None, true, first, min), "duplicates");
    ping(7);
    ping(8);
    send_pongs(&local, &mut remote, &[7]);
    assert_eq!(ping_stats(&local), (Some(8), true, first, min), "the pong for an earlier ping");
    // This round trip is longer than the first.
    std::thread::sleep(first.unwrap() + Duration::from_millis(1));
    send_pongs(&local, &mut remote, &[8]);
    let (_, _, last, min) = ping_stats(&local);
    assert!(last > first && min == first, "{last:?} {min:?}");
    ping(0);
    send_pongs(&local, &mut remote, &[0]);
    assert_eq!(ping_stats(&local), (Some(0), true, last, min), "a nonce of zero never matches");
    assert_eq!(local.peer.disconnect_reason(), None);
}

#[test]
fn pings_from_several_threads_are_all_answered() {
    let (outbound, inbound) = connected_pair(builder(), builder());
    std::thread::scope(|scope| {
        for local in [&outbound, &inbound] {
            for _ in 0..4 {
                scope.spawn(|| (0..100).for_each(|_| assert!(local.peer.ping().unwrap() < DEADLINE)));
            }
        }
    });
    assert_eq!(outbound.peer.stats().received.of(Command::Pong).messages, 400);
    // A pong can arrive before the writer has counted its ping.
    wait_until("all pings are counted", || outbound.peer.stats().sent.of(Command::Ping).messages >= 400);
    assert_eq!(outbound.peer.stats().sent.of(Command::Ping).messages, 400);
}

#[test]
fn pings_can_be_answered_in_any_order() {
    let (local, mut remote) = connected_peer(builder());
    std::thread::scope(|scope| {
        let waiting: Vec<_> = (0..5).map(|_| scope.spawn(|| local.peer.ping_timeout(DEADLINE))).collect();
        let mut nonces: Vec<u64> = (0..5).map(|_| remote.expect::<Ping>().unwrap().nonce).collect();
        assert!(nonces.iter().all(|&nonce| nonce != 0));
        nonces.reverse();
        nonces.iter().for_each(|&nonce| remote.send(&Pong { nonce }).unwrap());
        waiting.into_iter().for_each(|ping| assert!(ping.join().unwrap().is_ok()));
    });
}

#[test]
fn a_pong_that_arrives_after_the_wait_timed_out_is_ignored() {
    let (local, mut remote) = connected_peer(builder());
    assert_eq!(local.peer.ping_timeout(SHORT), Err(WaitError::Timeout { what: WaitedFor::Pong, waited: SHORT }));
    let late = remote.expect::<Ping>().unwrap().nonce;
    std::thread::scope(|scope| {
        let second = scope.spawn(|| local.peer.ping_timeout(DEADLINE));
        let nonce = remote.expect::<Ping>().unwrap().nonce;
        remote.send(&Pong { nonce: late }).unwrap();
        remote.send(&Pong { nonce }).unwrap();
        assert!(second.join().unwrap().is_ok());
    });
    assert_eq!(
        local.peer.ping_timeout(Duration::ZERO),
        Err(WaitError::Timeout { what: WaitedFor::Pong, waited: Duration::ZERO })
    );
    assert_eq!(local.peer.disconnect_reason(), None);
}

#[test]
fn disconnect_wakes_threads_that_wait_for_a_pong() {
    let (local, mut remote) = connected_peer(builder());
    let closed = Err(WaitError::Closed(DisconnectReason::Local));
    std::thread::scope(|scope| {
        let waiting: Vec<_> = (0..3).map(|_| scope.spawn(|| local.peer.ping())).collect();
        (0..3).for_each(|_| assert_ne!(remote.expect::<Ping>().unwrap().nonce, 0));
        local.peer.disconnect();
        waiting.into_iter().for_each(|ping| assert_eq!(ping.join().unwrap(), closed));
    });
    assert_eq!(local.peer.ping(), closed);
}

#[test]
fn waiting_for_a_pong_of_the_same_peer_in_a_callback_is_an_error() {
    let (sender, results) = mpsc::channel();
    let listener = on_fee_filter(move |peer| sender.send((peer.ping(), peer.ping_timeout(SHORT))).unwrap());
    let (peer, mut remote) = connected_peer_with(listener, builder());
    remote.send(&FEE_FILTER).unwrap();
    let results = results.recv_timeout(DEADLINE).unwrap();
    assert_eq!(results, (Err(WaitError::InCallback), Err(WaitError::InCallback)));
    assert_eq!(remote.sync_with_ping().unwrap(), [], "no ping was sent");
    assert_eq!(peer.disconnect_reason(), None);
}
