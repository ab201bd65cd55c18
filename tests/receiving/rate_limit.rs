//! A rate limit slows a remote down, and ends it only when it was told to.

use crate::common::frames::{message_of_size, raw_frame};
use crate::common::local::{Local, connected_peer, end_reason, new_peer};
use crate::common::remote::Remote;
use crate::common::{DEADLINE, builder, version};
use kaspa_peer::wire::{Command, Network, Ping, Pong, write_message};
use kaspa_peer::{Direction, DisconnectReason, RateLimit};
use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

const MS: Duration = Duration::from_millis(1);

fn limited(limit: RateLimit) -> (Local, Remote) {
    connected_peer(builder().rate_limit(limit).ping_interval(None))
}

/// Pings, in one piece.
fn pings(count: u64) -> Vec<u8> {
    (1..=count).flat_map(|nonce| raw_frame(Network::Simnet, "ping", &nonce.to_le_bytes())).collect()
}

#[test]
fn what_is_over_the_limit_waits_and_is_not_lost() {
    let limit = RateLimit { messages_per_second: Some(50), burst: 200 * MS, ..RateLimit::default() };
    let (local, mut remote) = limited(limit);
    let start = Instant::now();
    // The first costs 40/50 s, of which 200 ms are free; what follows is not even read before.
    remote.send_bytes(&pings(40));
    (1..=40).for_each(|nonce| assert_eq!(remote.expect::<Pong>().nonce, nonce));
    remote.send(&Ping { nonce: 77 });
    assert_eq!(remote.expect::<Pong>().nonce, 77);
    assert!(start.elapsed() >= 550 * MS, "{:?}", start.elapsed());
    assert_eq!(local.peer.disconnect_reason(), None);
}

#[test]
fn a_flood_is_read_at_the_rate_and_no_faster() {
    const RATE: u32 = 400_000;
    let limit = RateLimit { bytes_per_second: Some(RATE), burst: 100 * MS, ..RateLimit::default() };
    let (local, remote) = limited(limit);
    let start = Instant::now();
    let mut flooding = remote.stream.try_clone().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || {
            let message = message_of_size(5000);
            while write_message(&mut flooding, &message, remote.network).is_ok() {}
        });
        while start.elapsed() < 1500 * MS {
            let received = local.peer.stats().received.total().bytes;
            // And what one read can bring.
            let bound = (start.elapsed() + limit.burst).as_secs_f64() * f64::from(RATE) + 300_000.0;
            assert!((received as f64) < bound, "{received} > {bound}");
            thread::sleep(10 * MS);
        }
        assert_eq!(local.peer.disconnect_reason(), None, "being slowed down is all");
        local.peer.disconnect();
    });
    assert!(local.peer.stats().received.total().bytes > 400_000, "it was read at all");
}

#[test]
fn who_goes_on_is_ended_if_the_configuration_says_so() {
    let end_after = Some(300 * MS);
    let limit = RateLimit { messages_per_second: Some(1000), burst: 10 * MS, end_after, ..RateLimit::default() };
    let (local, mut remote) = limited(limit);
    let pings = pings(500);
    while local.peer.disconnect_reason().is_none() {
        let _ = remote.stream.write_all(&pings);
    }
    assert_eq!(end_reason(&local.peer), DisconnectReason::RateExceeded { limit: 300 * MS });
}

#[test]
fn being_slowed_down_is_not_being_idle() {
    let limit = RateLimit { messages_per_second: Some(20), burst: MS, ..RateLimit::default() };
    let config = builder().rate_limit(limit).idle_timeout(500 * MS).ping_interval(None);
    let (local, mut remote) = new_peer(Direction::Inbound, config);
    let start = Instant::now();
    // Two seconds' worth, four times the idle timeout, from the handshake on. It is idle when they are over.
    remote.shake_hands_and_send(&version(), &pings(40));
    assert_eq!(end_reason(&local.peer), DisconnectReason::Idle { limit: 500 * MS });
    assert_eq!(local.peer.stats().received.of(Command::Ping).messages, 40);
    assert!(start.elapsed() >= 2500 * MS, "{:?}", start.elapsed());
}

#[test]
fn the_end_does_not_wait_for_a_pause() {
    // A pause of hours, by a message that arrives in one piece.
    let limit = RateLimit { bytes_per_second: Some(1), burst: Duration::from_secs(1000), ..RateLimit::default() };
    let (local, mut remote) = limited(limit);
    remote.send(&message_of_size(4000));
    local.recorder.wait_for_count("filler".parse().unwrap(), 1);
    local.peer.disconnect();
    assert_eq!(local.peer.wait_for_disconnect_timeout(DEADLINE), Ok(DisconnectReason::Local));
}

#[test]
fn within_the_limit_nobody_notices() {
    let end_after = Some(MS);
    let limit = RateLimit {
        messages_per_second: Some(100_000),
        bytes_per_second: Some(u32::MAX),
        end_after,
        ..RateLimit::default()
    };
    let (local, mut remote) = limited(limit);
    remote.send_bytes(&pings(5000));
    (1..=5000).for_each(|nonce| assert_eq!(remote.expect::<Pong>().nonce, nonce));
    assert_eq!(local.peer.disconnect_reason(), None);
}

#[test]
fn a_large_message_is_no_way_around_the_end() {
    // Two seconds' worth at a time, each longer than a read.
    let limit = RateLimit {
        bytes_per_second: Some(500_000),
        burst: 10 * MS,
        end_after: Some(Duration::from_secs(1)),
        ..RateLimit::default()
    };
    let (local, mut remote) = limited(limit);
    while local.peer.disconnect_reason().is_none() {
        let _ = write_message(&mut remote.stream, &message_of_size(1_000_000), remote.network);
    }
    assert_eq!(end_reason(&local.peer), DisconnectReason::RateExceeded { limit: Duration::from_secs(1) });
}
