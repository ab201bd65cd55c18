//! The channels of the crate can be used without a dependency on `crossbeam-channel`.

use kaspa_peer::crossbeam_channel::{after, never, select};
use kaspa_peer::testing::connect_peers;
use kaspa_peer::wire::{FeeFilter, Message, Network};
use kaspa_peer::{Config, Event, EventKind, events};
use std::time::Duration;

#[test]
fn events_and_receipts_can_be_selected_with_the_channels_of_the_crate() {
    let (listener, events) = events(100);
    let receiving = Config::builder(Network::Simnet).listener(listener).build().unwrap();
    let sending = Config::builder(Network::Simnet).build().unwrap();
    let (outbound, _inbound) = connect_peers(&sending, &receiving).unwrap();
    let written = outbound.queue_message(&FeeFilter { min_fee: 7 }).unwrap().receiver();
    let deadline = after(Duration::from_secs(20));
    let (mut was_written, mut arrived) = (false, false);
    while !(was_written && arrived) {
        // A channel that has given its only message would be ready for ever.
        let never = never();
        let written = if was_written { &never } else { &written };
        select! {
            recv(written) -> message => was_written = message.is_ok(),
            recv(events) -> event => {
                let Event { kind, .. } = event.unwrap();
                arrived |= matches!(kind, EventKind::Message(Message::FeeFilter(FeeFilter { min_fee: 7 })));
            }
            recv(deadline) -> _ => panic!("written: {was_written}, arrived: {arrived}"),
        }
    }
}
