//! Clocks that lie or jump change what is shown, and no deadline.

use crate::common::by_hand::{by_hand_as, strangers};
use crate::common::{DEADLINE, builder, version};
use kaspa_peer::Direction;
use kaspa_peer::wire::{
    Addr, AddressScope, BlockHeader, Headers, NetAddress, Ping, Pong, Services, TimedAddress, Version,
};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64
}

#[test]
fn a_remote_that_lies_about_the_time_only_has_an_offset() {
    for time in [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX] {
        for direction in [Direction::Inbound, Direction::Outbound] {
            // Everything that has to do with time, short enough to go wrong here if it could.
            let config = builder().ping_interval(Duration::from_millis(20)).idle_timeout(Duration::from_secs(60));
            let (end, mut remote) = strangers(config, direction, None);
            remote.shake_hands(&Version { time, ..version() });
            end.peer.wait_for_handshake().unwrap();
            let offset = end.peer.remote().unwrap().time_offset;
            let expected = time.saturating_sub(now());
            assert!(offset.abs_diff(expected) <= 60, "{time}: {offset}, not {expected}");
            let address = NetAddress::new(([1, 2, 3, 4], 5).into(), Services::empty());
            remote.send(&Addr { scope: AddressScope::All, addresses: vec![TimedAddress { time, address }] });
            remote.send(&Headers { headers: vec![BlockHeader { time, ..BlockHeader::default() }] });
            // Our pings come at their time, and count; on a busy machine not each, since the answer to the last one does.
            let (mut answered, deadline) = (0, Instant::now() + DEADLINE);
            while answered < 3 || end.peer.stats().min_rtt.is_none() {
                assert!(Instant::now() < deadline, "none of {answered} pings counts");
                let ping = remote.read_as::<Ping>();
                remote.send(&Pong { nonce: ping.nonce });
                answered += 1;
            }
            remote.send(&Ping { nonce: 1 });
            while !matches!(remote.read(), kaspa_peer::wire::Message::Pong(_)) {}
            let stats = end.peer.stats();
            assert!(stats.min_rtt.is_some_and(|rtt| rtt < Duration::from_secs(60)), "{stats:?}");
            assert_eq!(end.peer.disconnect_reason(), None, "{time}");
        }
    }
}

#[test]
fn a_plausible_clock_has_a_plausible_offset() {
    for seconds in [-3600, 0, 3600] {
        let (end, _remote) = by_hand_as(builder(), &Version { time: now() + seconds, ..version() });
        let offset = end.peer.remote().unwrap().time_offset;
        assert!((offset - seconds).abs() <= 60, "{seconds}: {offset}");
    }
}

/// The only places that ask the clock that can be set, and what for. Whatever decides anything asks the other.
const WALL_CLOCK: [(&str, usize, &str); 4] = [
    ("capture.rs", 1, "the time of a record"),
    ("reader.rs", 1, "when something was received last"),
    ("shared.rs", 3, "when the peer connected, the time in our version, and how far the remote's is from it"),
    ("writer.rs", 2, "when a ping was sent and when anything was"),
];

/// What decides by time is given it.
const PURE: [&str; 6] = ["deadlines.rs", "handshake.rs", "inventory.rs", "ping.rs", "rate.rs", "score.rs"];

#[test]
fn what_decides_by_time_knows_no_clock_that_can_be_set() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/peer");
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if !name.ends_with(".rs") || name == "interleavings.rs" {
            continue;
        }
        files += 1;
        let source = std::fs::read_to_string(&path).unwrap();
        let code = source.split("#[cfg(test)]\nmod tests").next().unwrap();
        let expected = WALL_CLOCK.iter().find(|(file, ..)| *file == name).map_or(0, |(_, uses, _)| *uses);
        let uses = code.matches("SystemTime::now").count() + code.matches("UNIX_EPOCH.elapsed").count();
        assert_eq!(uses, expected, "{name} asks the wall clock; if nothing is decided by it, it belongs into the list");
        assert!(!PURE.contains(&name) || !code.contains("Instant::now"), "{name} asks a clock");
    }
    assert!(files > 30, "{files} files are not all of them");
}
