//! A logger that panics, as one does that prints to a closed pipe, ends peers and no more than that.
//!
//! Alone in its file, since a process has one logger.
#![allow(missing_docs)]

mod common;

use common::by_hand::{by_hand, end_of, fill};
use common::{builder, wait_until};
use kaspa_peer::DisconnectReason;
use kaspa_peer::wire::Ping;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

static BROKEN: AtomicBool = AtomicBool::new(false);

struct Logger;

impl log::Log for Logger {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        assert!(!BROKEN.load(Ordering::SeqCst), "cannot print: {}", record.args());
    }

    fn flush(&self) {}
}

fn breaks<T>(run: impl FnOnce() -> T) -> T {
    BROKEN.store(true, Ordering::SeqCst);
    let result = run();
    BROKEN.store(false, Ordering::SeqCst);
    result
}

#[test]
fn peers_end_and_nothing_else_happens() {
    log::set_logger(&Logger).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    in_disconnect();
    in_the_reader();
    in_the_pinger();
}

fn in_disconnect() {
    let (end, mut remote) = by_hand(builder());
    breaks(|| {
        end.peer.disconnect();
        assert_eq!(end_of(&end.peer), DisconnectReason::Local);
    });
    assert_eq!(remote.rest(), []);
    let (end, mut remote) = by_hand(builder());
    breaks(|| drop(end.peer));
    assert_eq!(remote.rest(), []);
    end.told.wait("the end", |told| (told.disconnects == [DisconnectReason::Local]).then_some(()));
}

fn in_the_reader() {
    let (end, mut remote) = by_hand(builder());
    breaks(|| {
        remote.send(&Ping { nonce: 1 });
        assert_eq!(end_of(&end.peer), DisconnectReason::CallbackPanicked);
    });
    assert_eq!(remote.rest(), []);
    assert_eq!(end.told.told(|told| told.disconnects.clone()), [DisconnectReason::CallbackPanicked]);
}

/// It has something to say when there is no room for a ping.
fn in_the_pinger() {
    let (end, _remote) = by_hand(builder().queue_limit(50_000).ping_interval(Duration::from_millis(50)));
    fill(&end.peer);
    breaks(|| {
        wait_until("the end", || end.peer.disconnect_reason().is_some());
        assert_eq!(end_of(&end.peer), DisconnectReason::CallbackPanicked);
    });
}
