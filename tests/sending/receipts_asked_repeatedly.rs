//! A receipt gives the same answer at every call and to every thread.

use crate::common::local::{connected_peer, new_peer};
use crate::common::{DEADLINE, builder};
use kaspa_peer::wire::FeeFilter;
use kaspa_peer::{DisconnectReason, WaitError};
use std::{sync::Barrier, thread};

const FEE: FeeFilter = FeeFilter { min_fee: 1 };

#[test]
fn a_receipt_that_says_written_still_says_so_after_the_end() {
    let (local, mut remote) = connected_peer(builder());
    let receipt = local.peer.queue_message(&FEE).unwrap();
    assert_eq!(remote.expect::<FeeFilter>().unwrap(), FEE);
    for _ in 0..3 {
        assert_eq!(receipt.wait(), Ok(()));
        assert_eq!(receipt.wait_timeout(DEADLINE), Ok(()));
        assert_eq!(receipt.try_wait(), Some(Ok(())));
    }
    local.peer.disconnect();
    local.peer.wait_for_disconnect().unwrap();
    assert_eq!(receipt.wait(), Ok(()));
}

#[test]
fn a_receipt_that_says_not_written_says_so_every_time() {
    let (local, _remote) = new_peer(kaspa_peer::Direction::Inbound, builder());
    let receipt = local.peer.queue_message(&FEE).unwrap();
    local.peer.disconnect();
    for _ in 0..3 {
        assert_eq!(receipt.wait(), Err(WaitError::Closed(DisconnectReason::Local)));
        assert_eq!(receipt.try_wait(), Some(Err(WaitError::Closed(DisconnectReason::Local))));
    }
}

#[test]
fn several_threads_get_the_same_answer() {
    let (local, _remote) = connected_peer(builder());
    for _ in 0..200 {
        let receipt = local.peer.queue_message(&FEE).unwrap();
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
