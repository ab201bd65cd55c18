//! `kpeer inspect` prints the captures of other subcommands, and sends their frames again.

use crate::support::running::{Ended, Running, run};
use kaspa_peer::peer::{CaptureReader, Captured};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A capture of `connect --exercise` with `listen`, in a file with the name of the test.
pub fn recorded(test: &str) -> PathBuf {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{test}.kpcap"));
    let (_listen, address) = Running::listen(&["--network", "simnet", "--once"]);
    let path = file.to_str().unwrap();
    let connect = run("connect", &[&address, "--network", "simnet", "--exercise", "--json", "--capture", path]);
    assert_eq!(connect.status, 0, "{connect:#?}");
    file
}

pub fn inspect(file: &Path, arguments: &[&str]) -> Ended {
    run("inspect", &[arguments, &[file.to_str().unwrap()]].concat())
}

/// Replays a capture to a new node, and returns the node too. The program ends when no message has arrived for half a second.
/// On a busy machine that can be before the last message of the node, so this tries several times.
fn replayed(file: &Path, network: &str, received: impl Fn(&str) -> bool) -> (Running, Ended) {
    let mut tries = 0;
    loop {
        let (node, address) = Running::listen(&["--network", network, "--once"]);
        let ended = inspect(file, &["--replay", &address]);
        tries += 1;
        if tries == 5 || ended.out.iter().any(|line| received(line)) {
            return (node, ended);
        }
    }
}

pub fn objects(ended: &Ended) -> Vec<Value> {
    ended.out.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The sent frames and the received frames.
pub fn frames(file: &Path) -> [Vec<Vec<u8>>; 2] {
    let bytes = fs::read(file).unwrap();
    let mut frames = [Vec::new(), Vec::new()];
    for record in CaptureReader::new(bytes.as_slice()).unwrap() {
        match record.unwrap().what {
            Captured::Sent(frame) => frames[0].push(frame),
            Captured::Received(frame) => frames[1].push(frame),
            _ => {}
        }
    }
    frames
}

#[test]
fn the_text_has_a_line_for_each_record() {
    let file = recorded("transcript");
    let [sent, received] = frames(&file);
    let shown = inspect(&file, &[]);
    assert_eq!((shown.status, shown.err.as_str()), (0, ""), "{shown:#?}");
    assert_eq!(shown.out[0], "capture of simnet");
    let count = |mark: &str| shown.out.iter().filter(|line| line.contains(mark)).count();
    assert_eq!((count(" -> "), count(" <- ")), (sent.len(), received.len()));
    assert_eq!((count(" connected: "), count(" gone: ")), (1, 1));
    let version = shown.out.iter().find(|line| line.contains(" -> version ")).unwrap();
    assert!(version.contains("peer 1 ") && version.contains("/connect:"), "{version}");
}

#[test]
fn the_objects_have_the_bytes_of_the_frames() {
    let file = recorded("objects");
    let objects = objects(&inspect(&file, &["--json"]));
    for (side, frames) in ["sent", "received"].iter().zip(frames(&file)) {
        let shown: Vec<&str> = objects
            .iter()
            .filter(|object| object["what"] == *side)
            .map(|object| object["reencoded"].as_str().unwrap())
            .collect();
        assert_eq!(shown, frames.iter().map(hex::encode).collect::<Vec<_>>(), "{side}");
    }
    let gone = objects.iter().find(|object| object["what"] == "gone").unwrap();
    assert_eq!(gone["text"], "disconnected by this side");
    assert!(objects.iter().all(|object| object["captured_at"].as_str().unwrap().parse::<u64>().is_ok()));
}

#[test]
fn filters_choose_records() {
    let file = recorded("filters");
    let commands = |arguments: &[&str]| -> BTreeSet<String> {
        let shown = objects(&inspect(&file, &[&["--json"], arguments].concat()));
        shown.iter().map(|object| object["command"].as_str().unwrap_or("-").to_owned()).collect()
    };
    assert_eq!(
        commands(&["--command", "inv,tx", "--command", "block"]),
        ["block", "inv", "tx"].map(String::from).into()
    );
    assert!(commands(&["--peer", "1"]).contains("version"));
    assert!(commands(&["--peer", "2"]).is_empty());
    assert!(commands(&["--since", "0"]).contains("version"));
    assert!(commands(&["--since", "1e9"]).is_empty());
}

#[test]
fn a_replay_sends_the_frames_of_one_side() {
    let file = recorded("replay");
    let block = |line: &str| line.starts_with("<- block ");
    let (listen, ended) = replayed(&file, "simnet", block);
    let last = ended.out.last().unwrap();
    assert_eq!(ended.status, 0, "{ended:#?}");
    assert!(last.ends_with("messages received; the node is still connected"), "{last}");
    assert!(ended.out.iter().any(|line| block(line)), "{ended:#?}");

    let automatic = ["version", "verack", "ping", "pong"];
    let received: Vec<Value> = listen.end().events("message");
    let received: Vec<&str> = received.iter().map(|event| event["command"].as_str().unwrap()).collect();
    let received: Vec<&str> = received.into_iter().filter(|command| !automatic.contains(command)).collect();
    let sent = objects(&inspect(&file, &["--json"]));
    let sent = sent.iter().filter(|object| object["what"] == "sent");
    let sent = sent.map(|object| object["command"].as_str().unwrap()).filter(|command| !automatic.contains(command));
    assert_eq!(received, sent.collect::<Vec<_>>());
}

#[test]
fn a_replay_fails_if_the_node_disconnects() {
    let file = recorded("leaves");
    let gone = |line: &str| line.contains("the node has disconnected: ");
    let (_listen, ended) = replayed(&file, "testnet", gone);
    assert_eq!(ended.status, 1, "{ended:#?}");
    assert!(ended.out.last().unwrap().contains("0 frames sent"), "{ended:#?}");
    assert!(gone(ended.out.last().unwrap()), "{ended:#?}");
}

#[test]
fn records_before_a_cut_are_shown() {
    let file = recorded("cut");
    let whole = inspect(&file, &[]);
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() - 3]).unwrap();
    let cut = inspect(&file, &[]);
    assert_eq!(cut.status, 2);
    assert_eq!(cut.out, whole.out[..whole.out.len() - 1]);
    assert!(cut.err.contains("the capture ends inside a record that begins at byte "), "{}", cut.err);
}

#[test]
fn frames_before_a_cut_are_sent() {
    let file = recorded("cut-replay");
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() - 3]).unwrap();
    let (_listen, address) = Running::listen(&["--network", "simnet", "--once"]);
    let ended = inspect(&file, &["--replay", &address]);
    assert_eq!(ended.status, 2, "{ended:#?}");
    assert!(ended.out.last().unwrap().ends_with("; the node is still connected"), "{ended:#?}");
    assert!(ended.err.contains("the capture ends inside a record that begins at byte "), "{}", ended.err);
}

#[test]
fn a_malformed_frame_is_shown_as_bad() {
    let file = recorded("garbled");
    let mut bytes = fs::read(&file).unwrap();
    // In the payload of the first frame.
    let place = bytes.windows(7).position(|window| window == b"version").unwrap();
    bytes[place + 40] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let shown = inspect(&file, &[]);
    assert_eq!(shown.status, 1);
    assert!(shown.out.iter().any(|line| line.contains("BAD checksum: ")), "{shown:#?}");
}

#[test]
fn options_for_captures_are_refused_for_other_files() {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/captures/sync-from-node.bin");
    let refused = inspect(&file, &["--peer", "1"]);
    assert_eq!(refused.status, 2);
    assert!(refused.err.contains("not a capture"), "{}", refused.err);
}
