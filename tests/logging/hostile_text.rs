//! Text from a remote is never shown as it came: the log, `Display` and `Debug` replace control characters and the
//! like.

use super::logger::start;
use crate::common::local::{end_reason, new_peer, new_peer_at, start_peer};
use crate::common::memory_file::MemoryFile;
use crate::common::{DEADLINE, builder, version};
use kaspa_peer::peer::{Capture, CaptureReader, CustomCommands};
use kaspa_peer::testing::{ScriptedRemote, TestFrame};
use kaspa_peer::wire::{
    Command, CustomMessage, DecodeError, FrameError, Message, Network, Ping, Reject, RejectCode, UserAgent, VerAck,
    Version, WireString,
};
use kaspa_peer::{Direction, DisconnectReason, Event, EventKind, PeerAddress, events};
use log::{Level, LevelFilter};
use std::fmt::{Debug, Display};
use std::io;

/// Text that clears the screen, sets the title, forges a line, sets a colour with a C1 code, reorders text, and hides
/// characters.
const HOSTILE: &str =
    "\u{1b}[2J\u{1b}]0;pwned\u{7}\r\nINFO all is well\u{9b}31m\u{202e}txt.exe\u{200b}\u{feff}\0\u{7f}";

fn is_harmless(text: &str) -> bool {
    let misleads = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    !text.chars().any(misleads)
}

#[track_caller]
fn check(text: &str) {
    assert!(is_harmless(text), "{text:?}");
}

#[track_caller]
fn shown(value: &(impl Display + Debug)) {
    check(&value.to_string());
    debugged(value);
}

#[track_caller]
fn debugged(value: &impl Debug) {
    check(&format!("{value:?}"));
}

/// The hostile text, followed by bytes that are not UTF-8.
fn hostile() -> Vec<u8> {
    [HOSTILE.as_bytes(), &[0xff, 0x80, 0xc0]].concat()
}

fn hostile_version() -> Version {
    Version { user_agent: UserAgent::from_bytes(hostile()), ..version() }
}

fn hostile_reject() -> Reject {
    Reject::new(WireString::from_bytes(hostile()), RejectCode(0x1b), WireString::from_bytes(hostile()))
}

/// Malformed frames with hostile bytes in every field.
fn bad_frames() -> Vec<Vec<u8>> {
    let good = TestFrame::new("ping", &[1; 8], Network::Simnet).to_bytes();
    let changed = |at: usize, bytes: &[u8]| {
        let mut frame = good.clone();
        frame[at..at + bytes.len()].copy_from_slice(bytes);
        frame
    };
    vec![
        changed(0, b"\x1b[2J"),
        changed(4, b"\x1b[2J\x1b]0;x\x07"),
        changed(4, b"ping\0\r\n\x9b31m\0"),
        changed(16, b"\x1b[2J"),
        changed(20, b"\x1b[2J"),
        TestFrame::new("ping", b"\x1b[2J", Network::Simnet).to_bytes(),
        TestFrame::new("reject", &hostile(), Network::Simnet).to_bytes(),
        TestFrame::new("version", &hostile(), Network::Simnet).to_bytes(),
        TestFrame::new("sendheaders", &hostile(), Network::Simnet).to_bytes(),
    ]
}

#[test]
fn hostile_text_from_a_remote_is_logged_and_shown_harmlessly() {
    let session = start(LevelFilter::Trace);
    let file = MemoryFile::default();
    let capture = Capture::new(file.clone(), Network::Simnet, 1 << 20).unwrap();
    // The address that the program gives can be hostile, too.
    for address in [None, Some(HOSTILE)] {
        for direction in [Direction::Inbound, Direction::Outbound] {
            for bad in bad_frames() {
                let builder = builder().capture(capture.clone());
                let (local, mut remote) = new_peer_at(address, direction, builder.clone());
                send_hostile_text(&mut remote);
                local.recorder.wait_for_count(Command::Reject, 1);
                debugged(&local.peer.stats());
                debugged(&local.peer.remote());
                shown(&local.peer);
                shown(local.peer.address());
                debugged(&local.peer.address());
                remote.send_bytes(&bad).unwrap();
                remote.stream().shutdown(std::net::Shutdown::Write).unwrap();
                shown(&end_reason(&local.peer));
                local.recorder.look(|record| {
                    record.messages.iter().for_each(shown);
                    record.read.iter().for_each(debugged);
                });
                for message in remote.read_until_end().unwrap() {
                    shown(&message);
                    // The text of our reject could be shown on a terminal, too.
                    if let Message::Reject(reject) = message {
                        check(reject.reason.to_str().unwrap());
                    }
                }
                let (local, mut remote) = new_peer_at(address, direction, builder);
                remote.send_bytes(&bad).unwrap();
                remote.stream().shutdown(std::net::Shutdown::Write).unwrap();
                shown(&end_reason(&local.peer));
            }
        }
    }
    custom_commands();
    misbehaviour();
    through_events();
    let records = file.0.lock().clone();
    for record in CaptureReader::new(records.as_slice()).unwrap() {
        debugged(&record.unwrap());
    }
    let lines = session.lines();
    lines.iter().for_each(|line| check(&line.text));
    for level in [Level::Trace, Level::Debug, Level::Info] {
        assert!(lines.iter().any(|line| line.level == level), "nothing was logged at {level}");
    }
    assert!(lines.iter().any(|line| line.text.contains("pwned")), "the hostile text was not logged at all");
}

fn send_hostile_text(remote: &mut ScriptedRemote) {
    remote.send(&hostile_version()).unwrap();
    remote.send(&VerAck).unwrap();
    remote.send(&hostile_reject()).unwrap();
    remote.send(&CustomMessage::new("%s`$(x)\\", hostile()).unwrap()).unwrap();
}

fn custom_commands() {
    let config = builder().custom_commands(CustomCommands::Disconnect);
    let (local, mut remote) = new_peer(Direction::Inbound, config);
    remote.send(&hostile_version()).unwrap();
    remote.send(&VerAck).unwrap();
    remote.send(&CustomMessage::new("\\x1b[2J", hostile()).unwrap()).unwrap();
    let reason = end_reason(&local.peer);
    assert!(matches!(reason, DisconnectReason::CustomCommand(_)));
    shown(&reason);
}

/// The program quotes the remote.
fn misbehaviour() {
    let limit = kaspa_peer::ScoreLimit::new(1);
    let (local, _remote) = new_peer(Direction::Inbound, builder().score_limit(limit));
    local.peer.misbehaved(1, HOSTILE);
    let reason = end_reason(&local.peer);
    assert!(matches!(reason, DisconnectReason::Misbehaved { .. }));
    shown(&reason);
    shown(&kaspa_peer::QueueError::Closed(reason.clone()));
    shown(&kaspa_peer::WaitError::Closed(reason));
}

fn through_events() {
    let (listener, events) = events(10);
    let (peer, mut remote) = start_peer(HOSTILE, Direction::Inbound, &builder().listener(listener).build().unwrap());
    send_hostile_text(&mut remote);
    drop(remote);
    loop {
        let event: Event = events.recv_timeout(DEADLINE).unwrap();
        debugged(&event);
        debugged(&event.kind);
        if let EventKind::Disconnected(reason) = &event.kind {
            shown(reason);
            break;
        }
    }
    drop(peer);
}

#[test]
fn all_types_with_text_show_it_harmlessly() {
    shown(&WireString::from_bytes(hostile()));
    shown(&UserAgent::from_bytes(hostile()));
    debugged(&hostile_version());
    debugged(&hostile_reject());
    shown(&Message::from(hostile_version()));
    shown(&Message::from(hostile_reject()));
    shown(&Message::from(hostile_reject()).summary());
    shown(&Message::from(Ping { nonce: 1 }));
    debugged(&CustomMessage::new("x", hostile()).unwrap());
    shown(&UserAgent::new(HOSTILE, "1").unwrap_err());
    shown(&HOSTILE.parse::<Command>().unwrap_err());
    shown(&HOSTILE.parse::<Network>().unwrap_err());
    shown(&HOSTILE.parse::<kaspa_peer::wire::Hash>().unwrap_err());
    shown(&HOSTILE.parse::<PeerAddress>().unwrap());
    shown(&format!("{HOSTILE}:x").parse::<PeerAddress>().unwrap_err());
    shown(&PeerAddress::from((HOSTILE, 7)));
    let mut found = [0; 12];
    found.copy_from_slice(&hostile()[..12]);
    let command = Command::Ping;
    let errors = [
        FrameError::Command { found },
        FrameError::Network { found: u32::from_le_bytes(*b"\x1b[2J"), expected: Network::Custom(0x1b5b_324a) },
        FrameError::Checksum { command, found: *b"\x1b[2J", computed: [7; 4] },
        FrameError::Payload { command, error: DecodeError::Trailing { at: 0x1b, left: 0x1b } },
    ];
    for error in errors {
        shown(&error);
        shown(&DisconnectReason::Malformed(error));
    }
    let (operation, kind) = (kaspa_peer::peer::IoOperation::Read, io::ErrorKind::Other);
    shown(&DisconnectReason::CallbackPanicked { message: HOSTILE.into() });
    shown(&DisconnectReason::Io { operation, kind, message: HOSTILE.into() });
}
