//! `kpeer inspect` shows what another program has recorded, and says it again.

use crate::support::running::{Ended, Running, run};
use kaspa_peer::peer::{CaptureReader, Captured};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A capture of everything that `connect --exercise` and `listen` say to one another, in a file of this test's own.
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

/// What comes of saying it to a new node, and the node. Half a second after it has said everything, and heard nothing, the
/// program goes; on a busy machine that can be before the node's last word, so there are several tries to hear that.
fn replayed(file: &Path, network: &str, heard: impl Fn(&str) -> bool) -> (Running, Ended) {
    let mut tries = 0;
    loop {
        let (node, address) = Running::listen(&["--network", network, "--once"]);
        let told = inspect(file, &["--replay", &address]);
        tries += 1;
        if tries == 5 || told.out.iter().any(|line| heard(line)) {
            return (node, told);
        }
    }
}

pub fn objects(ended: &Ended) -> Vec<Value> {
    ended.out.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The sent frames, and the received ones.
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
fn a_transcript_has_a_line_for_everything() {
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
fn objects_are_the_frames() {
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
fn filters_leave_the_rest_out() {
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
fn one_side_is_said_again() {
    let file = recorded("replay");
    let block = |line: &str| line.starts_with("<- block ");
    let (listen, told) = replayed(&file, "simnet", block);
    let last = told.out.last().unwrap();
    assert_eq!(told.status, 0, "{told:#?}");
    assert!(last.ends_with("messages came back; the node is still there"), "{last}");
    assert!(told.out.iter().any(|line| block(line)), "{told:#?}");

    let automatic = ["version", "verack", "ping", "pong"];
    let heard: Vec<Value> = listen.end().events("message");
    let heard: Vec<&str> = heard.iter().map(|event| event["command"].as_str().unwrap()).collect();
    let heard: Vec<&str> = heard.into_iter().filter(|command| !automatic.contains(command)).collect();
    let said = objects(&inspect(&file, &["--json"]));
    let said = said.iter().filter(|object| object["what"] == "sent");
    let said = said.map(|object| object["command"].as_str().unwrap()).filter(|command| !automatic.contains(command));
    assert_eq!(heard, said.collect::<Vec<_>>());
}

#[test]
fn a_node_that_leaves_is_the_failure_of_a_replay() {
    let file = recorded("leaves");
    let gone = |line: &str| line.contains("the node is gone: ");
    let (_listen, told) = replayed(&file, "testnet", gone);
    assert_eq!(told.status, 1, "{told:#?}");
    assert!(told.out.last().unwrap().contains("0 frames repeated"), "{told:#?}");
    assert!(gone(told.out.last().unwrap()), "{told:#?}");
}

#[test]
fn what_is_before_a_cut_is_shown() {
    let file = recorded("cut");
    let whole = inspect(&file, &[]);
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() - 3]).unwrap();
    let cut = inspect(&file, &[]);
    assert_eq!(cut.status, 2);
    assert_eq!(cut.out, whole.out[..whole.out.len() - 1]);
    assert!(cut.err.contains("cut off in the middle of a record"), "{}", cut.err);
}

#[test]
fn what_is_before_a_cut_is_said_again() {
    let file = recorded("cut-replay");
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() - 3]).unwrap();
    let (_listen, address) = Running::listen(&["--network", "simnet", "--once"]);
    let told = inspect(&file, &["--replay", &address]);
    assert_eq!(told.status, 2, "{told:#?}");
    assert!(told.out.last().unwrap().ends_with("; the node is still there"), "{told:#?}");
    assert!(told.err.contains("cut off in the middle of a record"), "{}", told.err);
}

#[test]
fn a_frame_that_is_none_is_shown_as_bad() {
    let file = recorded("garbled");
    let mut bytes = fs::read(&file).unwrap();
    // Within the payload of the first frame.
    let place = bytes.windows(7).position(|window| window == b"version").unwrap();
    bytes[place + 40] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let shown = inspect(&file, &[]);
    assert_eq!(shown.status, 1);
    assert!(shown.out.iter().any(|line| line.contains("BAD checksum: ")), "{shown:#?}");
}

#[test]
fn what_is_for_captures_is_for_nothing_else() {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/captures/sync-from-node.bin");
    let refused = inspect(&file, &["--peer", "1"]);
    assert_eq!(refused.status, 2);
    assert!(refused.err.contains("not a capture"), "{}", refused.err);
}
