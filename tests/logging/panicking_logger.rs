//! A logger that panics, as one does that prints to a closed pipe, ends peers and nothing else.

use super::logger::start;
use crate::common::blocking::fill_queue;
use crate::common::builder;
use crate::common::local::{connected_peer, end_reason, is_callback_panic};
use kaspa_peer::DisconnectReason;
use kaspa_peer::wire::Ping;
use log::LevelFilter;
use std::time::Duration;

#[test]
fn disconnect_works_while_the_logger_panics() {
    let session = start(LevelFilter::Trace);
    let (local, mut remote) = connected_peer(builder());
    session.while_logging_panics(|| {
        local.peer.disconnect();
        assert_eq!(end_reason(&local.peer), DisconnectReason::Local);
    });
    assert_eq!(remote.read_until_end().unwrap(), []);
}

#[test]
fn dropping_the_last_handle_works_while_the_logger_panics() {
    let session = start(LevelFilter::Trace);
    let (local, mut remote) = connected_peer(builder());
    session.while_logging_panics(|| drop(local.peer));
    assert_eq!(remote.read_until_end().unwrap(), []);
    local.recorder.wait("on_disconnect", |record| (record.disconnects == [DisconnectReason::Local]).then_some(()));
}

#[test]
fn a_logger_that_panics_in_the_reader_thread_ends_the_peer() {
    let session = start(LevelFilter::Trace);
    let (local, mut remote) = connected_peer(builder());
    session.while_logging_panics(|| {
        remote.send(&Ping { nonce: 1 }).unwrap();
        let reason = end_reason(&local.peer);
        assert!(is_callback_panic(&reason), "{reason}");
    });
    assert_eq!(remote.read_until_end().unwrap(), []);
    local.recorder.look(|record| assert_eq!(record.disconnects, [end_reason(&local.peer)]));
}

#[test]
fn a_logger_that_panics_in_the_pinger_thread_ends_the_peer() {
    let session = start(LevelFilter::Trace);
    let (local, _remote) = connected_peer(builder().queue_limit(50_000).ping_interval(Duration::from_millis(50)));
    // The pinger logs that the queue has no space for a ping.
    fill_queue(&local.peer);
    session.while_logging_panics(|| {
        let reason = end_reason(&local.peer);
        assert!(is_callback_panic(&reason), "{reason}");
    });
}
