//! The largest and smallest settings there are: peers live with them, or the configuration is refused.

use crate::common::local::connected_pair;
use crate::common::{DEADLINE, builder, sockets};
use kaspa_peer::wire::{Command, FeeFilter, Hash, Inventory, Network, TimedAddress};
use kaspa_peer::{
    Config, ConfigBuilder, ConfigError, DisconnectReason, EventKind, HandshakeError, Peer, RateLimit, ScoreLimit,
    StallRule, WaitError, events,
};
use std::time::Duration;

const MAX: Duration = Duration::MAX;
const LEAST: Duration = Duration::from_nanos(1);

fn rule(limit: Duration) -> StallRule {
    StallRule { request: Command::Ping, answers: vec![Command::Pong], limit }
}

/// A conversation in which everything that the settings bound happens.
fn talk(ours: ConfigBuilder) {
    let (out, inb) = connected_pair(ours.clone(), builder());
    let items: Vec<Inventory> = (0..3000u32).map(|n| Inventory::tx(Hash::of(&n.to_le_bytes()))).collect();
    for (from, to) in [(&out, &inb), (&inb, &out)] {
        from.peer.queue_inventories(&items[..1500]).unwrap();
        from.peer.queue_inventory(Inventory::block(Hash::ZERO)).unwrap();
        from.peer.send_message(&FeeFilter { min_fee: 1 }, MAX).unwrap();
        from.peer.queue_message(&FeeFilter { min_fee: 2 }).unwrap().wait_timeout(MAX).unwrap();
        assert!(from.peer.ping_timeout(MAX).is_ok());
        to.recorder.wait_for_count(Command::FeeFilter, 2);
        assert!(from.peer.misbehaved(1, "being nice") >= 1);
        let address = kaspa_peer::wire::NetAddress::new(([1, 2, 3, 4], 1).into(), Default::default());
        from.peer.push_addresses(&[TimedAddress { time: i64::MIN, address }], None).unwrap();
        let _ = from.peer.stats();
    }
    assert_eq!(out.peer.wait_for_disconnect_timeout(LEAST), Err(WaitError::Timeout { waited: LEAST }));
    inb.peer.disconnect();
    out.peer.wait_for_disconnect_timeout(MAX).unwrap();
    inb.peer.wait_for_disconnect_timeout(MAX).unwrap();
}

#[test]
fn the_largest() {
    let limit = RateLimit {
        messages_per_second: Some(u32::MAX),
        bytes_per_second: Some(u32::MAX),
        burst: MAX,
        end_after: Some(MAX),
    };
    let score = ScoreLimit { threshold: u32::MAX, half_life: Some(MAX) };
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
    talk(all.clone());
    // Announcements are then never due, and that is all.
    talk(all.trickle_interval(MAX));
}

#[test]
fn the_smallest_that_let_anything_live() {
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
        .rate_limit(RateLimit { burst: Duration::ZERO, ..RateLimit::default() })
        .score_limit(ScoreLimit { threshold: u32::MAX, half_life: None });
    talk(all);
}

#[test]
fn the_smallest_of_all_end_a_peer_and_nothing_else() {
    type Change = fn(ConfigBuilder) -> ConfigBuilder;
    let changes: [Change; 6] = [
        |builder| builder.handshake_timeout(LEAST),
        |builder| builder.idle_timeout(LEAST),
        |builder| builder.frame_timeout(LEAST),
        |builder| builder.ping_interval(LEAST).queue_limit(1000),
        |builder| builder.ping_interval(LEAST).stall_rules([rule(LEAST)]),
        |builder| {
            let end_after = Some(LEAST);
            let limit =
                RateLimit { bytes_per_second: Some(1), burst: Duration::ZERO, end_after, ..RateLimit::default() };
            // It is not read for minutes, which its handshake does not survive.
            builder.rate_limit(limit).handshake_timeout(Duration::from_millis(300))
        },
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let (dialled, accepted) = sockets();
        let (address, from) = (dialled.peer_addr().unwrap(), accepted.peer_addr().unwrap());
        let config = change(builder()).build().unwrap();
        let other = builder().ping_interval(Duration::from_millis(1)).build().unwrap();
        let inbound = Peer::inbound(accepted, from, &config).unwrap();
        let outbound = Peer::outbound(dialled, address, &other).unwrap();
        if matches!(index, 2 | 3) {
            // These can live: frames that come whole take no time, and pinging all the time is allowed.
            inbound.wait_for_handshake().unwrap();
            inbound.disconnect();
        }
        assert!(inbound.wait_for_disconnect_timeout(DEADLINE).is_ok(), "{index}");
        assert!(outbound.wait_for_disconnect_timeout(DEADLINE).is_ok(), "{index}");
        if index == 0 {
            // However fast the whole handshake goes.
            let reason = DisconnectReason::Handshake(HandshakeError::Timeout { limit: LEAST });
            assert_eq!(inbound.disconnect_reason(), Some(reason));
        }
    }
}

#[test]
fn nothing_is_no_duration() {
    let zero = Duration::ZERO;
    let refused = [
        builder().handshake_timeout(zero),
        builder().idle_timeout(zero),
        builder().frame_timeout(zero),
        builder().write_timeout(zero),
        builder().ping_interval(zero),
        builder().trickle_interval(zero),
        builder().stall_rules([rule(zero)]),
        builder().score_limit(ScoreLimit { half_life: Some(zero), ..ScoreLimit::default() }),
        builder().rate_limit(RateLimit { end_after: Some(zero), ..RateLimit::default() }),
    ];
    for builder in refused {
        assert!(matches!(builder.build(), Err(ConfigError::ZeroDuration(_))));
    }
}

#[test]
fn any_number_of_events() {
    for capacity in [0, 1, usize::MAX] {
        let (listener, events) = events(capacity);
        let ours = Config::builder(Network::Simnet).listener(listener).build().unwrap();
        let (dialled, accepted) = sockets();
        let peer = Peer::inbound(accepted, dialled.local_addr().unwrap(), &ours).unwrap();
        let other = Peer::outbound(dialled, "somewhere:1", &builder().build().unwrap()).unwrap();
        for min_fee in 0..100 {
            other.queue_message(&FeeFilter { min_fee }).unwrap();
        }
        let mut fees = 0;
        while fees < 100 {
            match events.recv_timeout(DEADLINE).unwrap().kind {
                EventKind::Message(message) => fees += i32::from(FeeFilter::try_from(message).is_ok()),
                other => panic!("{other:?}"),
            }
        }
        drop(peer);
    }
}
