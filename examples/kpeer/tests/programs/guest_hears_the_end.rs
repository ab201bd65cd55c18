//! The guest that `examples/connect` and `examples/sync` are: a program that is late hears all that was said, and the end.
#![allow(missing_docs)]

mod common;
#[allow(dead_code)] // It has no DAG,
#[path = "../examples/shared/guest.rs"]
mod guest;
#[allow(dead_code)] // and says little.
#[path = "../examples/shared/output.rs"]
mod output;

use common::remote::meet_node;
use common::{DEADLINE, builder, version};
use guest::{Goods, Guest, Heard, WAITING};
use kaspa_peer::wire::{FeeFilter, Hash};
use kaspa_peer::{Direction, DisconnectReason};
use output::{Detail, Output};
use std::time::Instant;

#[test]
fn the_end_is_heard_after_as_much_as_can_wait() {
    let quiet = Output::new(false).with(Detail::Little);
    let (guest, heard) = Guest::new(&quiet, Hash::ZERO, &Goods::default());
    let config = builder().listener(guest).build().unwrap();
    let (mut remote, peer) = meet_node(Direction::Outbound, &config);
    remote.shake(Direction::Outbound, &version());
    // What was said in the handshake waits, too.
    for fee in 2..i64::try_from(WAITING).unwrap() {
        remote.send(&FeeFilter { min_fee: fee });
    }
    remote.hang_up();
    let reason = peer.wait_for_disconnect_timeout(DEADLINE).unwrap();
    assert_eq!(reason, DisconnectReason::RemoteClosed { inside_frame: false });

    let mut said = 0;
    let end = loop {
        match guest::next(&peer, &heard, Instant::now()) {
            Heard::Message(_) => said += 1,
            Heard::Gone(reason) => break Some(reason),
            Heard::Silence => break None,
        }
    };
    assert_eq!((said, end), (WAITING, Some(reason)));
}
