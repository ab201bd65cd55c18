//! A logger that panics, as one does that prints to a closed pipe, ends peers and nothing else.

use super::logger::{Session, start};
use crate::common::blocking::fill_queue;
use crate::common::local::{Local, connected_peer, end_reason, is_callback_panic};
use crate::common::{builder, wait_until};
use kaspa_peer::DisconnectReason;
use kaspa_peer::testing::ScriptedRemote;
use kaspa_peer::wire::Ping;
use log::LevelFilter;
use std::time::Duration;

/// A peer whose threads have logged everything about its handshake.
fn quiet_peer(session: &Session) -> (Local, ScriptedRemote) {
    let (local, remote) = connected_peer(builder());
    for last in ["handshake done", "sent VerAck(VerAck)"] {
        let text = format!("{}: {last}", local.peer);
        wait_until(last, || session.lines().iter().any(|line| line.text == text));
    }
    (local, remote)
}

#[test]
fn disconnect_works_while_the_logger_panics() {
    let session = start(LevelFilter::Trace);
    let (local, mut remote) = quiet_peer(&session);
    session.while_logging_panics(|| {
        local.peer.disconnect();
        assert_eq!(end_reason(&local.peer), DisconnectReason::Local);
    });
    assert_eq!(remote.read_until_end().unwrap(), []);
}

#[test]
fn dropping_the_last_handle_works_while_the_logger_panics() {
    let session = start(LevelFilter::Trace);
    let (local, mut remote) = quiet_peer(&session);
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
