//! The frame timeout ends a peer that does not receive a frame as a whole in time. It runs from the frame's first byte
//! to its last, whatever arrives meanwhile.

use crate::common::frames::frame_of_size;
use crate::common::local::{Local, connected_peer, end_reason};
use crate::common::retry::{growing, retry_if_late};
use crate::common::{builder, wait_until};
use kaspa_peer::testing::{ScriptedRemote, TestFrame};
use kaspa_peer::wire::{Network, Ping, Pong};
use kaspa_peer::{Config, ConfigBuilder, DisconnectReason};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_millis(300);

fn config() -> ConfigBuilder {
    builder().idle_timeout(None).ping_interval(None).frame_timeout(LIMIT)
}

fn config_on_regtest() -> ConfigBuilder {
    Config::builder(Network::Regtest).idle_timeout(None).ping_interval(None).frame_timeout(LIMIT)
}

fn ping_frame(nonce: u64) -> Vec<u8> {
    TestFrame::new("ping", &nonce.to_le_bytes(), Network::Simnet).to_bytes()
}

/// Sends a frame in pieces, too slowly for the timeout, and checks that the timeout ends the peer.
fn send_too_slowly(local: &Local, remote: &mut ScriptedRemote, bytes: &[u8], piece: usize) {
    for piece in bytes.chunks(piece) {
        if remote.send_bytes(piece).is_err() || local.peer.disconnect_reason().is_some() {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(end_reason(&local.peer), DisconnectReason::FrameTimeout { limit: LIMIT });
}

/// Waits until another peer has ended for a frame timeout of `LIMIT`. If one's own peer received no byte meanwhile, it
/// received none for longer than `LIMIT`.
fn wait_until_another_frame_times_out() {
    let (other, mut remote) = connected_peer(config());
    remote.send_bytes(&ping_frame(1)[..10]).unwrap();
    assert_eq!(end_reason(&other.peer), DisconnectReason::FrameTimeout { limit: LIMIT });
}

#[test]
fn a_small_frame_that_arrives_byte_by_byte_times_out() {
    let (local, mut remote) = connected_peer(config());
    let frame = frame_of_size(2000, Network::Simnet);
    send_too_slowly(&local, &mut remote, frame.as_bytes(), 1);
}

#[test]
fn a_large_frame_that_arrives_piece_by_piece_times_out() {
    let (local, mut remote) = connected_peer(config());
    let frame = frame_of_size(1_000_000, Network::Simnet);
    send_too_slowly(&local, &mut remote, frame.as_bytes(), 100);
}

#[test]
fn a_header_that_is_never_complete_times_out() {
    let (local, mut remote) = connected_peer(config());
    remote.send_bytes(&ping_frame(1)[..1]).unwrap();
    assert_eq!(end_reason(&local.peer), DisconnectReason::FrameTimeout { limit: LIMIT });
}

#[test]
fn an_incomplete_frame_behind_complete_ones_times_out() {
    let (local, mut remote) = connected_peer(config());
    let ping = ping_frame(1);
    remote.send_bytes(&[ping.as_slice(), &ping, &ping[..30]].concat()).unwrap();
    assert_eq!(end_reason(&local.peer), DisconnectReason::FrameTimeout { limit: LIMIT });
    assert_eq!(local.recorder.commands(), ["version", "verack", "ping", "ping"]);
}

#[test]
fn a_tolerated_malformed_frame_that_arrives_slowly_times_out() {
    let (local, mut remote) = connected_peer(config_on_regtest());
    // The payload exceeds the limit of its command only, so the peer skips it and stays in step.
    let bytes = TestFrame::new("ping", &[0; 100_000], Network::Regtest).to_bytes();
    send_too_slowly(&local, &mut remote, &bytes, 100);
}

#[test]
fn a_frame_behind_a_skipped_one_has_a_timeout_of_its_own() {
    retry_if_late(growing(LIMIT), |limit, watch| {
        let (local, mut remote) = connected_peer(config_on_regtest().frame_timeout(limit));
        let skipped = TestFrame::new("ping", &[0; 1000], Network::Regtest).to_bytes();
        let ping = TestFrame::new("ping", &[1; 8], Network::Regtest).to_bytes();
        let received = || local.peer.stats().received.total().bytes;
        // Neither frame takes too long, but both together do.
        let pause = 11 * limit / 20;
        for _ in 0..2 {
            let expected = received() + skipped.len() as u64;
            watch.tick();
            remote.send_bytes(&skipped[..500]).unwrap();
            watch.sleep(pause);
            remote.send_bytes(&[&skipped[500..], &ping[..20]].concat()).unwrap();
            wait_until("it is skipped", || received() >= expected || local.peer.disconnect_reason().is_some());
            watch.sleep(pause);
            remote.send_bytes(&ping[20..]).unwrap();
            remote.expect::<Pong>().unwrap();
        }
        assert_eq!(local.peer.disconnect_reason(), None);
    });
}

#[test]
fn frames_that_follow_each_other_closely_have_timeouts_of_their_own() {
    retry_if_late(growing(LIMIT), |limit, watch| {
        let (local, mut remote) = connected_peer(config().frame_timeout(limit));
        watch.tick();
        remote.send_bytes(&ping_frame(1)[..10]).unwrap();
        let start = Instant::now();
        for nonce in 1.. {
            std::thread::sleep(Duration::from_millis(2));
            watch.tick();
            // Each write ends in the middle of a frame.
            remote.send_bytes(&[&ping_frame(nonce)[10..], &ping_frame(nonce + 1)[..10]].concat()).unwrap();
            assert_eq!(remote.expect::<Pong>().unwrap().nonce, nonce);
            if start.elapsed() > 3 * limit {
                break;
            }
        }
        assert_eq!(local.peer.disconnect_reason(), None);
        watch.rest();
        assert_eq!(
            end_reason(&local.peer),
            DisconnectReason::FrameTimeout { limit },
            "the last frame stays incomplete"
        );
    });
}

#[test]
fn the_time_between_frames_does_not_count() {
    let (local, mut remote) = connected_peer(config());
    wait_until_another_frame_times_out();
    remote.send(&Ping { nonce: 1 }).unwrap();
    remote.expect::<Pong>().unwrap();
    assert_eq!(local.peer.disconnect_reason(), None);
}

#[test]
fn without_the_timeout_a_frame_can_take_any_time() {
    let (local, mut remote) = connected_peer(config().frame_timeout(None));
    let ping = ping_frame(1);
    remote.send_bytes(&ping[..10]).unwrap();
    wait_until_another_frame_times_out();
    remote.send_bytes(&ping[10..]).unwrap();
    remote.expect::<Pong>().unwrap();
    assert_eq!(local.peer.disconnect_reason(), None);
}
