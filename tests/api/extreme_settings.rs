//! The largest and the smallest settings: peers work with them, or the builder refuses them.

use crate::common::local::{connected_pair, connected_peer, new_peer};
use crate::common::{DEADLINE, builder, version};
use kaspa_peer::testing::{ConnectPeersError, TestFrame, connect_remote, tcp_pair};
use kaspa_peer::wire::{Command, FeeFilter, Hash, Inventory, NetAddress, Network, TimedAddress};
use kaspa_peer::{
    Config, ConfigBuilder, ConfigError, Direction, DisconnectReason, EventKind, HandshakeError, Peer, RateLimit,
    ScoreLimit, StallRule, StartError, WaitError, WaitedFor, events,
};
use std::time::Duration;

const MAX: Duration = Duration::MAX;
/// The shortest timeout or interval that makes sense.
const LEAST: Duration = Duration::from_millis(1);

fn rule(limit: Duration) -> StallRule {
    StallRule::new(Command::Ping, [Command::Pong], limit)
}

/// A conversation to which every setting applies.
fn converse(ours: ConfigBuilder) {
    let (out, inb) = connected_pair(ours.clone(), builder());
    let items: Vec<Inventory> = (0..3000u32).map(|n| Inventory::tx(Hash::of(&n.to_le_bytes()))).collect();
    for (from, to) in [(&out, &inb), (&inb, &out)] {
        from.peer.queue_inventories(&items[..1500]).unwrap();
        from.peer.queue_inventory(Inventory::block(Hash::ZERO)).unwrap();
        from.peer.send_message(&FeeFilter { min_fee: 1 }, MAX).unwrap();
        from.peer.queue_message(&FeeFilter { min_fee: 2 }).unwrap().wait_timeout(MAX).unwrap();
        assert!(from.peer.ping_timeout(MAX).is_ok());
        to.recorder.wait_for_count(Command::FeeFilter, 2);
        assert!(from.peer.misbehaved(1, "a test") >= 1);
        let address = NetAddress::new(([1, 2, 3, 4], 1).into(), Default::default());
        from.peer.push_addresses(&[TimedAddress { time: i64::MIN, address }], None).unwrap();
        let _ = from.peer.stats();
    }
    assert_eq!(
        out.peer.wait_for_disconnect_timeout(LEAST),
        Err(WaitError::Timeout { what: WaitedFor::Disconnect, waited: LEAST })
    );
    inb.peer.disconnect();
    out.peer.wait_for_disconnect_timeout(MAX).unwrap();
    inb.peer.wait_for_disconnect_timeout(MAX).unwrap();
}

#[test]
fn the_largest_settings_allow_a_conversation() {
    let limit = RateLimit::default().messages_per_second(u32::MAX).bytes_per_second(u32::MAX).burst(MAX).end_after(MAX);
    let score = ScoreLimit::new(u32::MAX).half_life(MAX);
    let all = builder()
        .protocol_version(i32::MAX)
        .max_custom_payload(u32::MAX)
        .bloom_version(i32::MAX)
        .handshake_timeout(MAX)
        .idle_timeout(MAX)
        .frame_timeout(MAX)
        .write_timeout(MAX)
        .ping_interval(MAX)
        .stall_rules([rule(MAX)])
        .queue_limit(usize::MAX)
        .high_water_mark(usize::MAX)
        .known_inventory(usize::MAX)
        .inventory_queue(usize::MAX)
        .rate_limit(limit)
        .score_limit(score);
    converse(all.clone());
    // Announcements are then never sent, and everything else works.
    converse(all.trickle_interval(MAX));
}

#[test]
fn the_smallest_settings_that_allow_a_conversation_do() {
    let all = builder()
        .protocol_version(1)
        .max_custom_payload(0)
        .bloom_version(i32::MIN)
        .idle_timeout(None)
        .frame_timeout(None)
        .write_timeout(None)
        .ping_interval(None)
        .trickle_interval(LEAST)
        .stall_rules([])
        .known_inventory(0)
        .rate_limit(RateLimit::default().burst(Duration::ZERO))
        .score_limit(ScoreLimit::new(u32::MAX));
    converse(all);
}

#[test]
fn the_smallest_timeouts_end_a_peer() {
    let (local, _silent) = new_peer(Direction::Inbound, builder().handshake_timeout(LEAST));
    let timeout = HandshakeError::Timeout { limit: LEAST };
    assert_eq!(local.end_reason(), DisconnectReason::Handshake(timeout));

    let (local, _silent) = connected_peer(builder().idle_timeout(LEAST));
    assert_eq!(local.end_reason(), DisconnectReason::Idle { limit: LEAST });

    let (local, mut remote) = connected_peer(builder().frame_timeout(LEAST));
    remote.send_bytes(&TestFrame::new("ping", &[1; 8], Network::Simnet).to_bytes()[..30]).unwrap();
    assert_eq!(local.end_reason(), DisconnectReason::FrameTimeout { limit: LEAST });

    let (local, _silent) = connected_peer(builder().ping_interval(LEAST).stall_rules([rule(LEAST)]));
    assert_eq!(local.end_reason(), DisconnectReason::Stalled { request: Command::Ping, limit: LEAST });
}

#[test]
fn the_smallest_rate_limit_ends_a_peer() {
    let limit = RateLimit::default().bytes_per_second(1).burst(Duration::ZERO).end_after(LEAST);
    // The reader pauses for minutes after the first message, so the handshake may time out first.
    let config = builder().rate_limit(limit).handshake_timeout(Duration::from_millis(300));
    let (local, mut remote) = new_peer(Direction::Inbound, config);
    remote.send(&version()).unwrap();
    let reason = local.end_reason();
    let timeout = DisconnectReason::Handshake(HandshakeError::Timeout { limit: Duration::from_millis(300) });
    assert!(reason == DisconnectReason::RateExceeded { limit: LEAST } || reason == timeout, "{reason}");
}

#[test]
fn the_smallest_ping_interval_and_frame_timeout_allow_a_conversation() {
    let (local, mut remote) = connected_peer(builder().ping_interval(LEAST).frame_timeout(LEAST).queue_limit(1000));
    // Each frame arrives as a whole, so that it takes no time.
    for _ in 1..100 {
        remote.sync_with_ping().unwrap();
    }
    assert_eq!(local.peer.disconnect_reason(), None);
}

#[test]
fn durations_below_a_millisecond_are_refused() {
    for value in [Duration::ZERO, Duration::from_nanos(1), Duration::from_micros(999)] {
        let refused = [
            ("handshake_timeout", builder().handshake_timeout(value)),
            ("idle_timeout", builder().idle_timeout(value)),
            ("frame_timeout", builder().frame_timeout(value)),
            ("write_timeout", builder().write_timeout(value)),
            ("ping_interval", builder().ping_interval(value)),
            ("trickle_interval", builder().trickle_interval(value)),
            ("the limit of a stall rule", builder().stall_rules([rule(value)])),
            ("the half life of a score limit", builder().score_limit(ScoreLimit::default().half_life(value))),
            ("the end_after of a rate limit", builder().rate_limit(RateLimit::default().end_after(value))),
        ];
        for (name, builder) in refused {
            assert_eq!(builder.build().unwrap_err(), ConfigError::TooShort { name, value, min: LEAST });
        }
        let error = builder().build().unwrap().with_stall_rules([rule(value)]).unwrap_err();
        assert!(matches!(error, ConfigError::TooShort { .. }), "{error}");
    }
}

#[test]
fn a_stack_that_is_too_small_is_refused() {
    let error = builder().stack_size(64 * 1024 - 1).build().unwrap_err();
    assert_eq!(error, ConfigError::StackSize { found: 65_535, min: 65_536 });
    converse(builder().stack_size(64 * 1024));
}

#[test]
fn a_stack_that_the_system_cannot_map_is_an_error_of_the_constructor() {
    for size in [usize::MAX, usize::MAX - 5000, isize::MAX as usize, 1 << 46] {
        let config = builder().stack_size(size).build().unwrap();
        let error = connect_remote(Direction::Inbound, &config).map(drop).unwrap_err();
        assert!(matches!(error, ConnectPeersError::Start(StartError::Thread { .. })), "{size}: {error}");
    }
}

#[test]
fn event_channels_of_any_capacity_work() {
    for capacity in [0, 1, usize::MAX] {
        let (listener, events) = events(capacity);
        let ours = Config::builder(Network::Simnet).listener(listener).build().unwrap();
        let (dialled, accepted) = tcp_pair().unwrap();
        let peer = Peer::inbound(accepted, dialled.local_addr().unwrap(), &ours).unwrap();
        let other = Peer::outbound(dialled, "somewhere:1", &builder().build().unwrap()).unwrap();
        for min_fee in 0..100 {
            other.queue_message(&FeeFilter { min_fee }).unwrap();
        }
        let mut fees = 0;
        while fees < 100 {
            match events.recv_timeout(DEADLINE).unwrap().kind {
                EventKind::Message(message) => fees += i32::from(FeeFilter::try_from(message).is_ok()),
                EventKind::Handshake => {}
                other => panic!("{other:?}"),
            }
        }
        drop(peer);
    }
}
