//! The idle timeout, pings and their round-trip times.

use crate::common::blocking::{Gate, OnMessage};
use crate::common::frames::raw_frame;
use crate::common::local::{
    Local, connected_pair, connected_peer, connected_peer_with, end_reason, new_peer, new_peer_with,
};
use crate::common::remote::Remote;
use crate::common::retry::{Watch, growing, retry_if_late};
use crate::common::{DEADLINE, builder, version, wait_until};
use kaspa_peer::wire::{Command, FeeFilter, Message, Network, Ping, Pong};
use kaspa_peer::{Direction, DisconnectReason, Peer, WaitError};
use std::collections::HashSet;
use std::io::Write;
use std::sync::mpsc;
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(150);

/// How many messages of this type were read.
fn read(peer: &Peer, command: Command) -> u64 {
    peer.stats().received.of(command).messages
}

/// Sends something as the remote, again and again for so long, whenever what came before was read. The peer lives.
fn keep_sending(local: &Local, remote: &mut Remote, bytes: &[u8], time: Duration, watch: &Watch) {
    let heard = || local.peer.stats().received.total().messages;
    let until = Instant::now() + time;
    while Instant::now() < until {
        let before = heard();
        watch.tick();
        remote.send_bytes(bytes);
        wait_until("it is read", || heard() > before || local.peer.disconnect_reason().is_some());
        assert_eq!(local.peer.disconnect_reason(), None);
        std::thread::sleep(Duration::from_millis(10));
    }
    watch.rest();
}

#[test]
fn a_remote_that_says_nothing_is_idle() {
    let (local, mut remote) = connected_peer(builder().idle_timeout(SHORT));
    assert_eq!(end_reason(&local.peer), DisconnectReason::Idle { limit: SHORT });
    assert_eq!(remote.read_until_closed(), []);
}

#[test]
fn sending_to_it_does_not_help() {
    retry_if_late(growing(SHORT), |limit, watch| {
        watch.tick();
        let (local, mut remote) = connected_peer(builder().idle_timeout(limit));
        let first = local.peer.queue_message(&FeeFilter::default()).unwrap();
        assert_eq!(first.wait(), Ok(()));
        watch.rest();
        while local.peer.queue_message(&FeeFilter::default()).is_ok() {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(end_reason(&local.peer), DisconnectReason::Idle { limit });
        assert!(!remote.read_until_closed().is_empty());
    });
}

#[test]
fn a_remote_that_sends_now_and_then_is_not_idle_until_it_stops() {
    retry_if_late(growing(2 * SHORT), |limit, watch| {
        watch.tick();
        let (local, mut remote) = connected_peer(builder().idle_timeout(limit));
        let fee = raw_frame(Network::Simnet, "feefilter", &[1; 8]);
        keep_sending(&local, &mut remote, &fee, 3 * limit, watch);
        assert_eq!(end_reason(&local.peer), DisconnectReason::Idle { limit });
    });
}

#[test]
fn without_the_timeout_silence_is_no_reason() {
    let (local, mut remote) = connected_peer(builder().idle_timeout(None));
    std::thread::sleep(3 * SHORT);
    remote.send(&Ping { nonce: 1 });
    remote.expect::<Pong>();
    assert_eq!(local.peer.disconnect_reason(), None);
}

#[test]
fn the_handshake_is_not_bounded_by_it() {
    let (local, mut remote) = new_peer(Direction::Inbound, builder().idle_timeout(SHORT));
    std::thread::sleep(2 * SHORT);
    let fee = raw_frame(Network::Simnet, "feefilter", &[1; 8]);
    remote.shake_hands_and_send(&version(), &fee);
    local.peer.wait_for_handshake().unwrap();
    assert_eq!(end_reason(&local.peer), DisconnectReason::Idle { limit: SHORT });
    assert_eq!(local.recorder.commands(), ["version", "verack", "feefilter"]);
}

#[test]
fn the_time_in_callbacks_is_not_idle() {
    let gate = Gate::default();
    let slow = gate.clone();
    let listener = OnMessage(move |_: &Peer, message: &Message| {
        if matches!(message, Message::FeeFilter(_)) {
            slow.pass();
        }
    });
    let (peer, mut remote) = new_peer_with(listener, Direction::Inbound, builder().idle_timeout(SHORT));
    // In the callback before there is time to be idle, and behind it what is read next.
    remote.shake_hands_and_send(&version(), &raw_frame(Network::Simnet, "feefilter", &[1; 8]));
    gate.wait_for_arrival();
    remote.send(&Ping { nonce: 1 });
    std::thread::sleep(3 * SHORT);
    assert_eq!(peer.disconnect_reason(), None);
    gate.open();
    assert_eq!(end_reason(&peer), DisconnectReason::Idle { limit: SHORT });
    assert_eq!(read(&peer, Command::Ping), 1);
}

/// Sends a frame byte by byte, too slowly to be done in time.
fn dribble(payload: usize) {
    let (local, mut remote) = connected_peer(builder().idle_timeout(SHORT));
    let bytes = raw_frame(Network::Simnet, "hello", &vec![0; payload]);
    let start = Instant::now();
    for byte in bytes.chunks(1 + payload / 2000) {
        // The peer is gone when this fails.
        if remote.stream.write_all(byte).is_err() || local.peer.disconnect_reason().is_some() {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
        assert!(start.elapsed() < DEADLINE);
    }
    assert_eq!(end_reason(&local.peer), DisconnectReason::Idle { limit: SHORT });
    assert_eq!(local.recorder.look(|record| record.read.len()), 2, "the frame was never whole");
}

#[test]
fn a_small_frame_that_dribbles_in_is_no_sign_of_life() {
    dribble(8000);
}

#[test]
fn a_large_frame_that_dribbles_in_is_no_sign_of_life() {
    dribble(1_000_000);
}

#[test]
fn the_rest_of_a_tolerated_frame_that_dribbles_in_is_no_sign_of_life() {
    let config = kaspa_peer::Config::builder(Network::Regtest).idle_timeout(SHORT);
    let (local, mut remote) = connected_peer(config);
    // Refused with its header; the payload is skipped.
    let bytes = raw_frame(Network::Simnet, "hello", &[0; 8000]);
    for byte in [&bytes[..24]].into_iter().chain(bytes[24..].chunks(4)) {
        if remote.stream.write_all(byte).is_err() || local.peer.disconnect_reason().is_some() {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(end_reason(&local.peer), DisconnectReason::Idle { limit: SHORT });
}

#[test]
fn a_frame_has_a_deadline_of_its_own() {
    for payload in [8000, 1_000_000] {
        let (local, mut remote) = connected_peer(builder().idle_timeout(None).frame_timeout(SHORT));
        std::thread::sleep(2 * SHORT);
        remote.send(&Ping { nonce: 1 });
        remote.expect::<Pong>();
        for part in raw_frame(Network::Simnet, "hello", &vec![0; payload]).chunks(1 + payload / 2000) {
            if remote.stream.write_all(part).is_err() || local.peer.disconnect_reason().is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(end_reason(&local.peer), DisconnectReason::FrameTimeout { limit: SHORT });
    }
}

#[test]
fn frames_that_follow_each_other_closely_are_not_one() {
    retry_if_late(growing(2 * SHORT), |limit, watch| {
        let (local, mut remote) = connected_peer(builder().frame_timeout(limit));
        let bytes = raw_frame(Network::Simnet, "hello", &[0; 100]);
        watch.tick();
        remote.send_bytes(&bytes[..50]);
        // Each read ends in the middle of a frame.
        keep_sending(&local, &mut remote, &[&bytes[50..], &bytes[..50]].concat(), 3 * limit, watch);
        assert_eq!(end_reason(&local.peer), DisconnectReason::FrameTimeout { limit });
    });
}

#[test]
fn pings_go_out_each_interval_and_are_answered() {
    let interval = Duration::from_millis(50);
    let (outbound, inbound) = connected_pair(builder().ping_interval(interval), builder().ping_interval(None));
    outbound.recorder.wait_for_count(Command::Pong, 6);
    // A ping is answered before its listener is told.
    inbound.recorder.wait_for_count(Command::Ping, 6);
    let nonces: HashSet<u64> = inbound.recorder.look(|record| {
        let pings = record.messages.iter().filter_map(|message| Ping::try_from(message.clone()).ok());
        pings.map(|ping| ping.nonce).collect()
    });
    assert!(nonces.len() >= 6 && !nonces.contains(&0), "{nonces:?}");
    // The answer to the last ping counts, and on a busy machine there may be another by the time it comes.
    wait_until("a round trip", || outbound.peer.stats().min_rtt.is_some());
    let stats = outbound.peer.stats();
    assert!(stats.last_ping.is_some() && stats.last_rtt >= stats.min_rtt);
    assert!(
        outbound.recorder.look(|record| record.messages.iter().all(|message| !matches!(message, Message::Ping(_))))
    );
    assert_eq!(inbound.peer.stats().last_ping, None, "whose interval is off");
}

#[test]
fn pings_are_an_interval_apart() {
    let interval = Duration::from_millis(200);
    let start = Instant::now();
    let (_end, mut remote) = connected_peer(builder().ping_interval(interval));
    for pings in 1..=3 {
        remote.expect::<Ping>();
        assert!(start.elapsed() >= pings * interval, "{pings} after {:?}", start.elapsed());
    }
}

#[test]
fn no_answer_to_a_ping_is_no_stall() {
    let (local, mut remote) = connected_peer(builder().ping_interval(Duration::from_millis(20)));
    for _ in 0..10 {
        remote.expect::<Ping>();
    }
    assert_eq!(local.peer.disconnect_reason(), None);
    assert_eq!(local.peer.stats().min_rtt, None);
}

/// What the statistics say of pings: nonce, whether one was sent, last and shortest round trip.
fn of_pings(local: &Local) -> (Option<u64>, bool, Option<Duration>, Option<Duration>) {
    let stats = local.peer.stats();
    (stats.last_ping_nonce, stats.last_ping.is_some(), stats.last_rtt, stats.min_rtt)
}

/// Sends pongs as the remote, and waits until they were noted.
fn pong(local: &Local, remote: &mut Remote, nonces: &[u64]) {
    let before = local.recorder.commands().iter().filter(|command| *command == "pong").count();
    nonces.iter().for_each(|&nonce| remote.send(&Pong { nonce }));
    // They are counted before they are noted, and told after that.
    local.recorder.wait_for_count(Command::Pong, before + nonces.len());
}

#[test]
fn only_the_pong_for_the_last_ping_counts_and_once() {
    let (local, mut remote) = connected_peer(builder());
    let ping = |nonce| {
        local.peer.queue_message(&Ping { nonce }).unwrap().wait_timeout(DEADLINE).unwrap();
    };
    pong(&local, &mut remote, &[0, 5]);
    assert_eq!(of_pings(&local), (None, false, None, None), "unsolicited");
    ping(5);
    pong(&local, &mut remote, &[6, 0, u64::MAX]);
    assert_eq!(of_pings(&local), (Some(5), true, None, None), "wrong nonces, and zero");
    pong(&local, &mut remote, &[5]);
    let (nonce, _, first, min) = of_pings(&local);
    assert!(nonce.is_none() && first.is_some() && first == min);
    std::thread::sleep(Duration::from_millis(2));
    pong(&local, &mut remote, &[5, 5]);
    assert_eq!(of_pings(&local), (None, true, first, min), "duplicates");
    ping(7);
    ping(8);
    pong(&local, &mut remote, &[7]);
    assert_eq!(of_pings(&local), (Some(8), true, first, min), "an earlier ping's");
    std::thread::sleep(first.unwrap() + Duration::from_millis(1));
    pong(&local, &mut remote, &[8]);
    let (_, _, last, min) = of_pings(&local);
    assert!(last > first && min == first, "{last:?} {min:?}");
    ping(0);
    pong(&local, &mut remote, &[0]);
    assert_eq!(of_pings(&local), (Some(0), true, last, min), "a zero nonce never matches");
    assert_eq!(local.peer.disconnect_reason(), None);
}

#[test]
fn pings_from_several_threads_are_all_answered() {
    let (outbound, inbound) = connected_pair(builder(), builder());
    std::thread::scope(|scope| {
        for end in [&outbound, &inbound] {
            for _ in 0..4 {
                scope.spawn(|| (0..100).for_each(|_| assert!(local.peer.ping().unwrap() < DEADLINE)));
            }
        }
    });
    assert_eq!(read(&outbound.peer, Command::Pong), 400);
    // The answer can be here before the writer has counted what it wrote.
    wait_until("all are counted", || outbound.peer.stats().sent.of(Command::Ping).messages >= 400);
    assert_eq!(outbound.peer.stats().sent.of(Command::Ping).messages, 400);
}

#[test]
fn pings_can_be_answered_in_any_order() {
    let (local, mut remote) = connected_peer(builder());
    std::thread::scope(|scope| {
        let waiting: Vec<_> = (0..5).map(|_| scope.spawn(|| local.peer.ping_timeout(DEADLINE))).collect();
        let mut nonces: Vec<u64> = (0..5).map(|_| remote.expect::<Ping>().nonce).collect();
        assert!(nonces.iter().all(|&nonce| nonce != 0));
        nonces.reverse();
        nonces.iter().for_each(|&nonce| remote.send(&Pong { nonce }));
        waiting.into_iter().for_each(|ping| assert!(ping.join().unwrap().is_ok()));
    });
}

#[test]
fn waiting_for_a_pong_has_an_end_and_is_forgotten() {
    let (local, mut remote) = connected_peer(builder());
    let timeout = WaitError::Timeout { waited: SHORT };
    assert_eq!(local.peer.ping_timeout(SHORT), Err(timeout.clone()));
    let late = remote.expect::<Ping>().nonce;
    std::thread::scope(|scope| {
        let second = scope.spawn(|| local.peer.ping_timeout(DEADLINE));
        let nonce = remote.expect::<Ping>().nonce;
        remote.send(&Pong { nonce: late });
        remote.send(&Pong { nonce });
        assert!(second.join().unwrap().is_ok());
    });
    assert_eq!(local.peer.ping_timeout(Duration::ZERO), Err(WaitError::Timeout { waited: Duration::ZERO }));
    assert_eq!(local.peer.disconnect_reason(), None);
}

#[test]
fn who_waits_for_a_pong_is_told_that_the_peer_is_gone() {
    let (local, mut remote) = connected_peer(builder());
    let closed = Err(WaitError::Closed(DisconnectReason::Local));
    std::thread::scope(|scope| {
        let waiting: Vec<_> = (0..3).map(|_| scope.spawn(|| local.peer.ping())).collect();
        (0..3).for_each(|_| assert_ne!(remote.expect::<Ping>().nonce, 0));
        local.peer.disconnect();
        waiting.into_iter().for_each(|ping| assert_eq!(ping.join().unwrap(), closed));
    });
    assert_eq!(local.peer.ping(), closed);
}

#[test]
fn a_callback_cannot_wait_for_its_own_peers_pong() {
    let (results, tried) = mpsc::channel();
    let listener = OnMessage(move |peer: &Peer, message: &Message| {
        if matches!(message, Message::FeeFilter(_)) {
            results.send((peer.ping(), peer.ping_timeout(SHORT))).unwrap();
        }
    });
    let (peer, mut remote) = connected_peer_with(listener, builder());
    remote.send(&FeeFilter::default());
    let tried = tried.recv_timeout(DEADLINE).unwrap();
    assert_eq!(tried, (Err(WaitError::InCallback), Err(WaitError::InCallback)));
    remote.send(&Ping { nonce: 3 });
    assert_eq!(remote.expect::<Pong>().nonce, 3, "nothing was sent, and the peer lives");
    assert_eq!(peer.disconnect_reason(), None);
}
