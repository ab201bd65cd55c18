//! A receipt says the same however often it is asked, and whoever asks.

use crate::common::by_hand::by_hand;
use crate::common::{DEADLINE, builder};
use kaspa_peer::wire::FeeFilter;
use kaspa_peer::{DisconnectReason, WaitError};
use std::{sync::Barrier, thread};

const FEE: FeeFilter = FeeFilter { min_fee: 1 };

#[test]
fn written_stays_written_even_when_the_peer_is_gone() {
    let (end, mut remote) = by_hand(builder());
    let receipt = end.peer.queue_message(&FEE).unwrap();
    assert_eq!(remote.read_as::<FeeFilter>(), FEE);
    for _ in 0..3 {
        assert_eq!(receipt.wait(), Ok(()));
        assert_eq!(receipt.wait_timeout(DEADLINE), Ok(()));
        assert_eq!(receipt.try_wait(), Some(Ok(())));
    }
    end.peer.disconnect();
    end.peer.wait_for_disconnect().unwrap();
    assert_eq!(receipt.wait(), Ok(()));
}

#[test]
fn not_written_stays_not_written() {
    let (end, _remote) = crate::common::by_hand::strangers(builder(), kaspa_peer::Direction::Inbound, None);
    let receipt = end.peer.queue_message(&FEE).unwrap();
    end.peer.disconnect();
    for _ in 0..3 {
        assert_eq!(receipt.wait(), Err(WaitError::Closed(DisconnectReason::Local)));
        assert_eq!(receipt.try_wait(), Some(Err(WaitError::Closed(DisconnectReason::Local))));
    }
}

#[test]
fn several_threads_are_told_alike() {
    let (end, _remote) = by_hand(builder());
    for _ in 0..200 {
        let receipt = end.peer.queue_message(&FEE).unwrap();
        let start = Barrier::new(3);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    start.wait();
                    assert_eq!(receipt.wait(), Ok(()));
                });
            }
        });
    }
}
