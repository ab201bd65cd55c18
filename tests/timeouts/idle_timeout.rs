//! The idle timeout ends a peer whose remote has not sent a whole message for too long.

use crate::common::blocking::{Gate, blocks_on_fee_filter};
use crate::common::local::{
    Local, connected_peer, end_reason, new_peer, shake_hands_and_send, wait_until_another_peer_is_idle,
};
use crate::common::retry::{Watch, growing, retry_if_late};
use crate::common::{builder, version, wait_until};
use kaspa_peer::testing::{ScriptedRemote, TestFrame, connect_remote_over_tcp};
use kaspa_peer::wire::{Command, FeeFilter, Network, Ping, Pong};
use kaspa_peer::{Config, Direction, DisconnectReason};
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(150);

/// A `feefilter` in a frame of its own.
fn fee_filter() -> Vec<u8> {
    TestFrame::new("feefilter", &[1; 8], Network::Simnet).to_bytes()
}

/// Sends the same bytes again and again for `time`, each time as soon as the peer has read a message. The peer must not
/// end.
fn keep_sending(local: &Local, remote: &mut ScriptedRemote, bytes: &[u8], time: Duration, watch: &Watch) {
    let received = || local.peer.stats().received.total().messages;
    let until = Instant::now() + time;
    while Instant::now() < until {
        let before = received();
        watch.tick();
        remote.send_bytes(bytes).unwrap();
        wait_until("the message is read", || received() > before || local.peer.disconnect_reason().is_some());
        assert_eq!(local.peer.disconnect_reason(), None);
        std::thread::sleep(Duration::from_millis(10));
    }
    watch.rest();
}

#[test]
fn a_silent_remote_is_idle() {
    let (local, mut remote) = connected_peer(builder().idle_timeout(SHORT));
    assert_eq!(end_reason(&local.peer), DisconnectReason::Idle { limit: SHORT });
    assert_eq!(remote.read_until_end().unwrap(), []);
}

#[test]
fn sending_to_a_silent_remote_does_not_restart_the_timeout() {
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
        assert!(!remote.read_until_end().unwrap().is_empty());
    });
}

#[test]
fn a_remote_that_keeps_sending_is_idle_only_after_it_stops() {
    retry_if_late(growing(2 * SHORT), |limit, watch| {
        watch.tick();
        let (local, mut remote) = connected_peer(builder().idle_timeout(limit));
        keep_sending(&local, &mut remote, &fee_filter(), 3 * limit, watch);
        assert_eq!(end_reason(&local.peer), DisconnectReason::Idle { limit });
    });
}

#[test]
fn without_the_timeout_a_silent_remote_stays_connected() {
    let (local, mut remote) = connected_peer(builder().idle_timeout(None));
    wait_until_another_peer_is_idle(SHORT);
    remote.send(&Ping { nonce: 1 }).unwrap();
    remote.expect::<Pong>().unwrap();
    assert_eq!(local.peer.disconnect_reason(), None);
}

#[test]
fn the_timeout_starts_after_the_handshake() {
    let (local, mut remote) = new_peer(Direction::Inbound, builder().idle_timeout(SHORT));
    wait_until_another_peer_is_idle(SHORT);
    shake_hands_and_send(&mut remote, &version(), &fee_filter());
    local.peer.wait_for_handshake().unwrap();
    assert_eq!(end_reason(&local.peer), DisconnectReason::Idle { limit: SHORT });
    assert_eq!(local.recorder.commands(), ["version", "verack", "feefilter"]);
}

#[test]
fn the_time_in_a_callback_does_not_count_as_idle_time() {
    retry_if_late(growing(2 * SHORT), |limit, watch| {
        let gate = Gate::default();
        let config = builder().idle_timeout(limit);
        let (peer, mut remote) =
            connect_remote_over_tcp(Direction::Inbound, &config.listener(blocks_on_fee_filter(&gate)).build().unwrap())
                .unwrap();
        watch.tick();
        shake_hands_and_send(&mut remote, &version(), &fee_filter());
        gate.wait_for_arrival();
        remote.send(&Ping { nonce: 1 }).unwrap();
        // Longer than the timeout, but not longer than the time in callbacks can move it.
        watch.sleep(limit + limit / 4);
        assert_eq!(peer.disconnect_reason(), None);
        gate.open();
        let pings = || peer.stats().received.of(Command::Ping).messages;
        wait_until("the ping is read", || pings() == 1 || peer.disconnect_reason().is_some());
        watch.rest();
        assert_eq!(end_reason(&peer), DisconnectReason::Idle { limit });
        assert_eq!(pings(), 1);
    });
}

/// Sends a frame in small pieces, too slowly for the idle timeout, until the peer ends.
fn send_too_slowly(config: kaspa_peer::ConfigBuilder, frame: &[u8], piece: usize) {
    let (local, mut remote) = connected_peer(config.idle_timeout(SHORT));
    for piece in frame.chunks(piece) {
        if remote.send_bytes(piece).is_err() || local.peer.disconnect_reason().is_some() {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(end_reason(&local.peer), DisconnectReason::Idle { limit: SHORT });
    let complete = local.recorder.look(|record| record.read.iter().filter(|(_, frame)| frame.is_ok()).count());
    assert_eq!(complete, 2, "only version and verack were received as a whole");
}

#[test]
fn a_small_frame_that_arrives_slowly_does_not_restart_the_timeout() {
    send_too_slowly(builder(), &TestFrame::new("hello", &[0; 8000], Network::Simnet).to_bytes(), 5);
}

#[test]
fn a_large_frame_that_arrives_slowly_does_not_restart_the_timeout() {
    send_too_slowly(builder(), &TestFrame::new("hello", &vec![0; 1_000_000], Network::Simnet).to_bytes(), 500);
}

#[test]
fn a_skipped_payload_that_arrives_slowly_does_not_restart_the_timeout() {
    // A frame of another network is tolerated on regtest: the peer refuses its header and skips its payload.
    send_too_slowly(
        Config::builder(Network::Regtest),
        &TestFrame::new("hello", &[0; 8000], Network::Simnet).to_bytes(),
        4,
    );
}
