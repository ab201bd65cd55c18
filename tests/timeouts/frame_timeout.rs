//! One deadline for each frame, from its first byte to its last, whatever trickles in meanwhile.

use crate::common::frames::{frame_of_size, raw_frame};
use crate::common::local::{Local, connected_peer, end_reason};
use crate::common::remote::Remote;
use crate::common::retry::{growing, retry_if_late};
use crate::common::{builder, wait_until};
use kaspa_peer::wire::{Network, Pong};
use kaspa_peer::{ConfigBuilder, DisconnectReason};
use std::io::Write;
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_millis(300);

fn config() -> ConfigBuilder {
    builder().idle_timeout(None).ping_interval(None).frame_timeout(LIMIT)
}

fn config_on_regtest() -> ConfigBuilder {
    let builder = kaspa_peer::Config::builder(Network::Regtest);
    builder.idle_timeout(None).ping_interval(None).frame_timeout(LIMIT)
}

/// Sends a piece at a time until the connection ends, which must be for the frame's deadline.
fn dribbles(local: &Local, remote: &mut Remote, bytes: &[u8], piece: usize) {
    for piece in bytes.chunks(piece) {
        if local.peer.disconnect_reason().is_some() {
            break;
        }
        // Refused when the connection ended meanwhile.
        let _ = remote.stream.write_all(piece);
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(end_reason(&local.peer), DisconnectReason::FrameTimeout { limit: LIMIT });
}

#[test]
fn a_small_frame_byte_by_byte() {
    let (local, mut remote) = connected_peer(config());
    let frame = frame_of_size(2000, Network::Simnet);
    dribbles(&local, &mut remote, frame.as_bytes(), 1);
}

#[test]
fn a_large_frame_piece_by_piece() {
    let (local, mut remote) = connected_peer(config());
    let frame = frame_of_size(1_000_000, Network::Simnet);
    dribbles(&local, &mut remote, frame.as_bytes(), 100);
}

#[test]
fn a_header_that_is_never_complete() {
    let (local, mut remote) = connected_peer(config());
    remote.send_bytes(&frame_of_size(100, Network::Simnet).as_bytes()[..1]);
    assert_eq!(end_reason(&local.peer), DisconnectReason::FrameTimeout { limit: LIMIT });
}

#[test]
fn one_that_begins_behind_whole_frames() {
    let (local, mut remote) = connected_peer(config());
    let ping = raw_frame(Network::Simnet, "ping", &[1; 8]);
    remote.send_bytes(&[ping.as_slice(), &ping, &ping[..30]].concat());
    assert_eq!(end_reason(&local.peer), DisconnectReason::FrameTimeout { limit: LIMIT });
    assert_eq!(local.recorder.commands(), ["version", "verack", "ping", "ping"]);
}

#[test]
fn the_rest_of_a_refused_frame_that_is_tolerated() {
    let (local, mut remote) = connected_peer(config_on_regtest());
    // In step, since only its type's limit is exceeded: what follows is skipped.
    let bytes = raw_frame(Network::Regtest, "ping", &[0; 100_000]);
    dribbles(&local, &mut remote, &bytes, 100);
}

#[test]
fn what_follows_a_skipped_frame_has_a_time_of_its_own() {
    retry_if_late(growing(LIMIT), |limit, watch| {
        let (local, mut remote) = connected_peer(config_on_regtest().frame_timeout(limit));
        let bytes = raw_frame(Network::Regtest, "ping", &[0; 1000]);
        let ping = raw_frame(Network::Regtest, "ping", &[1; 8]);
        let received = || local.peer.stats().received.total().bytes;
        // Neither takes too long, though both together do.
        let pause = 11 * limit / 20;
        for _ in 0..2 {
            let skipped = received() + bytes.len() as u64;
            watch.tick();
            remote.send_bytes(&bytes[..500]);
            watch.sleep(pause);
            remote.send_bytes(&[&bytes[500..], &ping[..20]].concat());
            wait_until("it is skipped", || received() >= skipped || local.peer.disconnect_reason().is_some());
            watch.sleep(pause);
            remote.send_bytes(&ping[20..]);
            remote.expect::<Pong>();
        }
        assert_eq!(local.peer.disconnect_reason(), None);
    });
}

#[test]
fn frames_in_time_are_welcome_for_ever() {
    retry_if_late(growing(LIMIT), |limit, watch| {
        let (local, mut remote) = connected_peer(config().frame_timeout(limit));
        let ping = |nonce| raw_frame(Network::Simnet, "ping", &u64::to_le_bytes(nonce));
        watch.tick();
        remote.send_bytes(&ping(1)[..10]);
        let start = Instant::now();
        for nonce in 1.. {
            std::thread::sleep(Duration::from_millis(2));
            watch.tick();
            // Always in the middle of a frame when the read ends, and never for long.
            remote.send_bytes(&[&ping(nonce)[10..], &ping(nonce + 1)[..10]].concat());
            assert_eq!(remote.expect::<Pong>().nonce, nonce);
            if start.elapsed() > 3 * limit {
                break;
            }
        }
        assert_eq!(local.peer.disconnect_reason(), None);
    });
}

#[test]
fn without_a_limit_a_frame_may_take_its_time() {
    let (local, mut remote) = connected_peer(config().frame_timeout(None));
    let ping = raw_frame(Network::Simnet, "ping", &[1; 8]);
    let start = Instant::now();
    for byte in ping {
        remote.send_bytes(&[byte]);
        std::thread::sleep(Duration::from_millis(15));
    }
    assert!(start.elapsed() > LIMIT);
    remote.expect::<Pong>();
    assert_eq!(local.peer.disconnect_reason(), None);
}
