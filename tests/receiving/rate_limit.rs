//! A rate limit slows reading down, and ends the peer only if the configuration says so.

use crate::common::frames::{frame_of_size, message_of_size};
use crate::common::local::{Local, connected_peer, end_reason, new_peer, repeat_until_ended, shake_hands_and_send};
use crate::common::{DEADLINE, builder, version};
use kaspa_peer::testing::{ScriptedRemote, TestFrame};
use kaspa_peer::wire::{Network, Ping, Pong, write_message};
use kaspa_peer::{Direction, DisconnectReason, RateLimit};
use std::thread;
use std::time::{Duration, Instant};

const MS: Duration = Duration::from_millis(1);

fn limited(limit: RateLimit) -> (Local, ScriptedRemote) {
    connected_peer(builder().rate_limit(limit).ping_interval(None))
}

/// The frames of `count` pings.
fn pings(count: u64) -> Vec<u8> {
    (1..=count).flat_map(|nonce| TestFrame::new("ping", &nonce.to_le_bytes(), Network::Simnet).to_bytes()).collect()
}

#[test]
fn messages_over_the_limit_are_delayed_and_not_lost() {
    let limit = RateLimit::default().messages_per_second(50).burst(200 * MS);
    let (local, mut remote) = limited(limit);
    let start = Instant::now();
    // Forty messages take 40/50 s, of which the burst allows 200 ms at once. The reader does not read the next message
    // before.
    remote.send_bytes(&pings(40)).unwrap();
    (1..=40).for_each(|nonce| assert_eq!(remote.expect::<Pong>().unwrap().nonce, nonce));
    remote.send(&Ping { nonce: 77 }).unwrap();
    assert_eq!(remote.expect::<Pong>().unwrap().nonce, 77);
    assert!(start.elapsed() >= 550 * MS, "{:?}", start.elapsed());
    assert_eq!(local.peer.disconnect_reason(), None);
}

#[test]
fn a_flood_is_read_no_faster_than_the_rate() {
    const RATE: u32 = 400_000;
    let limit = RateLimit::default().bytes_per_second(RATE).burst(100 * MS);
    let (local, mut remote) = limited(limit);
    let start = Instant::now();
    let mut flooding = remote.stream().try_clone().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || {
            let message = message_of_size(5000);
            while write_message(&mut flooding, &message, Network::Simnet).is_ok() {}
        });
        while start.elapsed() < 1500 * MS {
            let received = local.peer.stats().received.total().bytes;
            // One read can exceed the rate by its size.
            let limit = (start.elapsed() + limit.burst).as_secs_f64() * f64::from(RATE) + 300_000.0;
            assert!((received as f64) < limit, "{received} > {limit}");
            thread::sleep(10 * MS);
        }
        assert_eq!(local.peer.disconnect_reason(), None, "the limit only slows reading down");
        local.peer.disconnect();
    });
    assert!(local.peer.stats().received.total().bytes > 400_000, "some of the flood was read");
}

#[test]
fn a_remote_that_stays_over_the_limit_is_disconnected_if_configured() {
    let end_after = 300 * MS;
    let limit = RateLimit::default().messages_per_second(1000).burst(10 * MS).end_after(end_after);
    let (local, mut remote) = limited(limit);
    let pings = pings(500);
    let reason = repeat_until_ended(&local.peer, || remote.send_bytes(&pings).is_ok());
    assert_eq!(reason, DisconnectReason::RateExceeded { limit: 300 * MS });
}

#[test]
fn a_pause_for_the_rate_limit_does_not_move_the_idle_timeout() {
    let limit = RateLimit::default().bytes_per_second(1).burst(Duration::from_secs(1000));
    let config = builder().rate_limit(limit).idle_timeout(500 * MS).ping_interval(None);
    let (local, mut remote) = new_peer(Direction::Inbound, config);
    // This message makes the reader pause for about an hour.
    shake_hands_and_send(&mut remote, &version(), frame_of_size(4000, Network::Simnet).as_bytes());
    assert_eq!(end_reason(&local.peer), DisconnectReason::Idle { limit: 500 * MS });
}

#[test]
fn disconnect_interrupts_a_pause_for_the_rate_limit() {
    // This message makes the reader pause for about an hour.
    let limit = RateLimit::default().bytes_per_second(1).burst(Duration::from_secs(1000));
    let (local, mut remote) = limited(limit);
    remote.send(&message_of_size(4000)).unwrap();
    local.recorder.wait_for_count("filler".parse().unwrap(), 1);
    local.peer.disconnect();
    assert_eq!(local.peer.wait_for_disconnect_timeout(DEADLINE), Ok(DisconnectReason::Local));
}

#[test]
fn messages_within_the_limit_are_not_delayed_and_do_not_disconnect() {
    let end_after = MS;
    let limit = RateLimit::default().messages_per_second(100_000).bytes_per_second(u32::MAX).end_after(end_after);
    let (local, mut remote) = limited(limit);
    remote.send_bytes(&pings(5000)).unwrap();
    (1..=5000).for_each(|nonce| assert_eq!(remote.expect::<Pong>().unwrap().nonce, nonce));
    assert_eq!(local.peer.disconnect_reason(), None);
}

#[test]
fn large_messages_cannot_evade_the_disconnect() {
    // Each message takes two seconds at this rate, and several reads.
    let limit = RateLimit::default().bytes_per_second(500_000).burst(10 * MS).end_after(Duration::from_secs(1));
    let (local, mut remote) = limited(limit);
    let reason = repeat_until_ended(&local.peer, || remote.send(&message_of_size(1_000_000)).is_ok());
    assert_eq!(reason, DisconnectReason::RateExceeded { limit: Duration::from_secs(1) });
}
