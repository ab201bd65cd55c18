//! What one conversation leaves in the log: targets, levels, and nothing that a terminal would obey.
//!
//! Alone in its file, since a process has one logger.
#![allow(missing_docs)]

mod common;

use common::{acquainted, builder, wait_until};
use kaspa_peer::wire::{Command, FeeFilter, Reject, RejectCode};
use log::Level;
use parking_lot::Mutex;

static LINES: Mutex<Vec<(Level, String, String)>> = Mutex::new(Vec::new());

struct Logger;

impl log::Log for Logger {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        LINES.lock().push((record.level(), record.target().to_owned(), record.args().to_string()));
    }

    fn flush(&self) {}
}

/// A conversation; what it left in the log.
fn conversation() -> Vec<(Level, String, String)> {
    LINES.lock().clear();
    let (out, inb) = acquainted(builder(), builder());
    out.peer.queue_message(&FeeFilter { min_fee: 77_777 }).unwrap();
    out.peer.queue_message(&Reject::new("\x1b[2J", RejectCode::INVALID, "a\nb")).unwrap();
    out.peer.ping().unwrap();
    out.peer.disconnect();
    for end in [&out, &inb] {
        end.peer.wait_for_disconnect().unwrap();
        wait_until("the threads' last words", || {
            LINES
                .lock()
                .iter()
                .filter(|(_, _, text)| text.ends_with("this side") || text.ends_with("the remote"))
                .count()
                == 2
        });
    }
    LINES.lock().drain(..).collect()
}

/// The lines of one level and target.
fn texts(lines: &[(Level, String, String)], level: Level, target: &str) -> Vec<String> {
    let wanted = |line: &&(Level, String, String)| line.0 == level && line.1 == target;
    lines.iter().filter(wanted).map(|(_, _, text)| text.clone()).collect()
}

#[test]
fn life_at_info_a_line_a_message_at_debug_contents_at_trace() {
    log::set_logger(&Logger).unwrap();

    log::set_max_level(log::LevelFilter::Info);
    let lines = conversation();
    assert!(
        lines.iter().all(|(level, target, _)| (*level, target.as_str()) == (Level::Info, "kaspa_peer::life")),
        "{lines:?}"
    );
    let life: Vec<&str> = lines.iter().filter_map(|(_, _, text)| text.split_once(": ").map(|(_, what)| what)).collect();
    for (what, times) in
        [("connected", 2), ("handshake done", 2), ("disconnected by this side", 1), ("closed by the remote", 1)]
    {
        assert_eq!(life.iter().filter(|said| **said == what).count(), times, "{what}: {life:?}");
    }

    log::set_max_level(log::LevelFilter::Debug);
    let lines = conversation();
    for target in ["kaspa_peer::sent", "kaspa_peer::received"] {
        let texts = texts(&lines, Level::Debug, target);
        for command in [Command::Version, Command::VerAck, Command::FeeFilter, Command::Reject, Command::Ping] {
            let line = |text: &&String| text.contains(&format!(" {command}, "));
            let times = if matches!(command, Command::Version | Command::VerAck) { 2 } else { 1 };
            assert_eq!(texts.iter().filter(line).count(), times, "{command}: {texts:?}");
        }
    }
    assert!(lines.iter().all(|(level, ..)| *level <= Level::Debug));
    for target in ["kaspa_peer::sent", "kaspa_peer::received"] {
        let line = |text: &String| text.ends_with(": sent feefilter, 32 bytes: at least 77777");
        let line = |text: &String| line(&text.replace(" received ", " sent "));
        assert!(texts(&lines, Level::Debug, target).iter().any(line), "{target}: {lines:?}");
    }
    assert!(!lines.iter().any(|(_, _, text)| text.contains("FeeFilter {")));

    log::set_max_level(log::LevelFilter::Trace);
    let lines = conversation();
    for target in ["kaspa_peer::sent", "kaspa_peer::received"] {
        assert!(texts(&lines, Level::Trace, target).iter().any(|text| text.contains("min_fee: 77777")), "{target}");
    }
    assert!(lines.iter().all(|(_, _, text)| !text.contains(char::is_control)), "{lines:?}");

    log::set_max_level(log::LevelFilter::Off);
    assert!(lines.iter().all(|(_, target, _)| target.starts_with("kaspa_peer::")));
}
