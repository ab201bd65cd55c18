//! The targets and levels of the log records of one conversation.

use super::logger::{Line, Session, start};
use crate::common::local::connected_pair;
use crate::common::{builder, wait_until};
use kaspa_peer::wire::{Command, FeeFilter, Reject, RejectCode};
use log::{Level, LevelFilter};

const SENT: &str = "kaspa_peer::sent";
const RECEIVED: &str = "kaspa_peer::received";

/// Logs a conversation at `level`, and returns the lines about its two peers.
fn conversation(session: &Session, level: LevelFilter) -> Vec<Line> {
    session.set_level(level);
    let (out, inb) = connected_pair(builder(), builder());
    out.peer.queue_message(&FeeFilter { min_fee: 77_777 }).unwrap();
    out.peer.queue_message(&Reject::new("\x1b[2J", RejectCode::INVALID, "a\nb")).unwrap();
    out.peer.ping().unwrap();
    out.peer.disconnect();
    // The writer logs a message after it has written it, so the answer to a message can arrive earlier.
    out.peer.wait_for_disconnect().unwrap();
    inb.peer.wait_for_disconnect().unwrap();
    let lines = || {
        let peers = [&out, &inb].map(|local| format!("{}: ", local.peer));
        let of_these = |line: &Line| peers.iter().any(|peer| line.text.starts_with(peer));
        session.lines().into_iter().filter(of_these).collect::<Vec<_>>()
    };
    // A peer can have ended before its last line is written.
    wait_until("both peers have logged their ends", || {
        let ends = |line: &&Line| line.text.ends_with("this side") || line.text.ends_with("the remote");
        lines().iter().filter(ends).count() == 2
    });
    lines()
}

/// The texts of one level and target.
fn texts(lines: &[Line], level: Level, target: &str) -> Vec<String> {
    let wanted = |line: &&Line| line.level == level && line.target == target;
    lines.iter().filter(wanted).map(|line| line.text.clone()).collect()
}

#[test]
fn connections_are_logged_at_info() {
    let session = start(LevelFilter::Info);
    let lines = conversation(&session, LevelFilter::Info);
    let of_life = |line: &Line| (line.level, line.target.as_str()) == (Level::Info, "kaspa_peer::life");
    assert!(lines.iter().all(of_life), "{lines:?}");
    let events: Vec<&str> = lines.iter().filter_map(|line| line.text.split_once("): ")).map(|(_, what)| what).collect();
    let expected =
        [("connected", 2), ("handshake done", 2), ("disconnected by this side", 1), ("closed by the remote", 1)];
    for (event, times) in expected {
        assert_eq!(events.iter().filter(|found| **found == event).count(), times, "{event}: {events:?}");
    }
}

#[test]
fn each_message_is_one_line_at_debug() {
    let session = start(LevelFilter::Debug);
    let lines = conversation(&session, LevelFilter::Debug);
    assert!(lines.iter().all(|line| line.level <= Level::Debug));
    for (target, verb) in [(SENT, "sent"), (RECEIVED, "received")] {
        let texts = texts(&lines, Level::Debug, target);
        for command in [Command::Version, Command::VerAck, Command::FeeFilter, Command::Reject, Command::Ping] {
            let times = if matches!(command, Command::Version | Command::VerAck) { 2 } else { 1 };
            let found = texts.iter().filter(|text| text.contains(&format!(" {command}, "))).count();
            assert_eq!(found, times, "{command}: {texts:?}");
        }
        let fee = format!(": {verb} feefilter, 32 bytes: at least 77777");
        assert!(texts.iter().any(|text| text.ends_with(&fee)), "{target}: {texts:?}");
    }
    assert!(!lines.iter().any(|line| line.text.contains("FeeFilter {")));
}

#[test]
fn the_content_of_messages_is_logged_at_trace() {
    let session = start(LevelFilter::Trace);
    let lines = conversation(&session, LevelFilter::Trace);
    for target in [SENT, RECEIVED] {
        let texts = texts(&lines, Level::Trace, target);
        assert!(texts.iter().any(|text| text.contains("min_fee: 77777")), "{target}: {texts:?}");
    }
    assert!(lines.iter().all(|line| line.target.starts_with("kaspa_peer::")), "{lines:?}");
    assert!(lines.iter().all(|line| !line.text.contains(char::is_control)), "{lines:?}");
}
