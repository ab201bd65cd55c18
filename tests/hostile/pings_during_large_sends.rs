//! A remote that pings while it is sent something large gets its pongs, up to a limit.

use crate::common::blocking::fill_queue;
use crate::common::builder;
use crate::common::frames::message_of_size;
use crate::common::local::{connected_peer, repeat_until_ended};
use kaspa_peer::DisconnectReason;
use kaspa_peer::wire::{Command, Message, Ping, Pong};

const PINGS: u64 = 300;

#[test]
fn pings_are_answered_behind_a_message_larger_than_the_queue() {
    let (local, mut remote) = connected_peer(builder());
    let block = message_of_size(16_000_000);
    local.peer.queue_message(&block).unwrap();
    (1..=PINGS).for_each(|nonce| remote.send(&Ping { nonce }).unwrap());
    local.recorder.wait_for_count(Command::Ping, PINGS as usize);
    assert_eq!(remote.next_message().unwrap(), block.into());
    (1..=PINGS).for_each(|nonce| assert_eq!(remote.expect::<Pong>().unwrap().nonce, nonce));
    assert_eq!(local.peer.disconnect_reason(), None);
}

#[test]
fn pings_are_answered_behind_a_full_queue() {
    let (local, mut remote) = connected_peer(builder().queue_limit(50_000));
    fill_queue(&local.peer);
    (1..=PINGS).for_each(|nonce| remote.send(&Ping { nonce }).unwrap());
    local.recorder.wait_for_count(Command::Ping, PINGS as usize);
    let mut pongs = 0;
    while pongs < PINGS {
        match remote.next_message().unwrap() {
            Message::Pong(pong) => {
                pongs += 1;
                assert_eq!(pong.nonce, pongs);
            }
            other => assert!(matches!(other, Message::Custom(_)), "{other:?}"),
        }
    }
    assert_eq!(local.peer.disconnect_reason(), None);
}

#[test]
fn pongs_beyond_a_full_queue_are_limited() {
    let (local, mut remote) = connected_peer(builder().queue_limit(50_000));
    fill_queue(&local.peer);
    let mut most = 0;
    let reason = repeat_until_ended(&local.peer, || {
        let _ = remote.send(&Ping { nonce: 1 });
        most = most.max(local.peer.stats().queued_bytes);
    });
    assert_eq!(reason, DisconnectReason::QueueFull { command: Command::Pong });
    assert!(most <= 50_000 + 16 * 1024, "{most}");
}
