//! A logger that panics, as one does that prints to a closed pipe, ends peers and nothing else.

use super::logger::start;
use crate::common::builder;
use crate::common::by_hand::{by_hand, end_of, fill};
use kaspa_peer::DisconnectReason;
use kaspa_peer::wire::Ping;
use log::LevelFilter;
use std::time::Duration;

#[test]
fn disconnect_works_while_the_logger_panics() {
    let session = start(LevelFilter::Trace);
    let (end, mut remote) = by_hand(builder());
    session.while_logging_panics(|| {
        end.peer.disconnect();
        assert_eq!(end_of(&end.peer), DisconnectReason::Local);
    });
    assert_eq!(remote.rest(), []);
}

#[test]
fn dropping_the_last_handle_works_while_the_logger_panics() {
    let session = start(LevelFilter::Trace);
    let (end, mut remote) = by_hand(builder());
    session.while_logging_panics(|| drop(end.peer));
    assert_eq!(remote.rest(), []);
    end.told.wait("on_disconnect", |told| (told.disconnects == [DisconnectReason::Local]).then_some(()));
}

#[test]
fn a_logger_that_panics_in_the_reader_thread_ends_the_peer() {
    let session = start(LevelFilter::Trace);
    let (end, mut remote) = by_hand(builder());
    session.while_logging_panics(|| {
        remote.send(&Ping { nonce: 1 });
        let reason = end_of(&end.peer);
        assert!(matches!(reason, DisconnectReason::CallbackPanicked { .. }), "{reason}");
    });
    assert_eq!(remote.rest(), []);
    end.told.told(|told| assert_eq!(told.disconnects, [end_of(&end.peer)]));
}

#[test]
fn a_logger_that_panics_in_the_pinger_thread_ends_the_peer() {
    let session = start(LevelFilter::Trace);
    let (end, _remote) = by_hand(builder().queue_limit(50_000).ping_interval(Duration::from_millis(50)));
    // The pinger logs that the queue has no space for a ping.
    fill(&end.peer);
    session.while_logging_panics(|| {
        let reason = end_of(&end.peer);
        assert!(matches!(reason, DisconnectReason::CallbackPanicked { .. }), "{reason}");
    });
}
