//! The remote's clock, as its `version` shows it. A remote with a wrong clock has a large offset, and nothing else
//! changes.

use crate::common::local::new_peer;
use crate::common::{BOTH, DEADLINE, builder, version};
use kaspa_peer::Direction;
use kaspa_peer::wire::{
    Addr, AddressScope, BlockHeader, Headers, NetAddress, Ping, Pong, Services, TimedAddress, Version,
};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64
}

#[test]
fn a_remote_with_an_absurd_clock_only_has_an_absurd_offset() {
    for time in [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX] {
        for direction in BOTH {
            // If a deadline depended on the remote's clock, it would have passed at once or never.
            let config = builder().ping_interval(Duration::from_millis(20)).idle_timeout(Duration::from_secs(60));
            let (local, mut remote) = new_peer(direction, config);
            remote.shake_hands_with(&Version { time, ..version() }).unwrap();
            local.peer.wait_for_handshake().unwrap();
            let offset = local.peer.remote().unwrap().time_offset;
            let expected = time.saturating_sub(now());
            assert!(offset.abs_diff(expected) <= 60, "{time}: {offset}, not {expected}");
            let address = NetAddress::new(([1, 2, 3, 4], 5).into(), Services::empty());
            remote.send(&Addr { scope: AddressScope::All, addresses: vec![TimedAddress { time, address }] }).unwrap();
            remote.send(&Headers { headers: vec![BlockHeader { time, ..BlockHeader::default() }] }).unwrap();
            // Only the pong for the last ping counts. On a busy machine the next ping can be sent before a pong
            // arrives.
            let (mut answered, deadline) = (0, Instant::now() + DEADLINE);
            while answered < 3 || local.peer.stats().min_rtt.is_none() {
                assert!(Instant::now() < deadline, "no pong for any of {answered} pings counts");
                let ping = remote.expect::<Ping>().unwrap();
                remote.send(&Pong { nonce: ping.nonce }).unwrap();
                answered += 1;
            }
            remote.sync_with_ping().unwrap();
            let stats = local.peer.stats();
            assert!(stats.min_rtt.is_some_and(|rtt| rtt < DEADLINE), "{stats:?}");
            assert_eq!(local.peer.disconnect_reason(), None, "{time}");
        }
    }
}

#[test]
fn the_offset_is_how_far_the_remotes_clock_is_ahead() {
    for seconds in [-3600, 0, 3600] {
        let version = Version { time: now() + seconds, ..version() };
        let (local, mut remote) = new_peer(Direction::Inbound, builder());
        remote.shake_hands_with(&version).unwrap();
        local.peer.wait_for_handshake().unwrap();
        let offset = local.peer.remote().unwrap().time_offset;
        assert!((offset - seconds).abs() <= 60, "{seconds}: {offset}");
    }
}
