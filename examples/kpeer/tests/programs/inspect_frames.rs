//! `kpeer inspect` with raw frames and frames in hex.

use crate::support::kpeer;
use kaspa_peer::wire::{
    Command as Name, Frame, Message, Network, Ping, Reject, RejectCode, UserAgent, Version, WireString,
};
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::Stdio;
use std::thread;

struct Run {
    status: i32,
    out: String,
    err: String,
}

impl Run {
    fn objects(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Per frame, the kind of error or `ok`.
    fn kinds(&self) -> Vec<String> {
        let kind = |object: &Value| match object["ok"].as_bool().unwrap() {
            true => "ok".to_owned(),
            false => object["kind"].as_str().unwrap().to_owned(),
        };
        self.objects().iter().map(kind).collect()
    }
}

fn inspect(arguments: &[&str], input: impl Into<Vec<u8>>) -> Run {
    let mut program = kpeer("inspect")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stdin, input) = (program.stdin.take().unwrap(), input.into());
    // A program that ends early does not read everything.
    let writer = thread::spawn(move || drop(stdin.write_all(&input)));
    let output = program.wait_with_output().unwrap();
    writer.join().unwrap();
    Run {
        status: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn test_file(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests").join(path)
}

fn vectors(name: &str) -> Vec<Value> {
    let text = fs::read_to_string(test_file("vectors").join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The given field of each row, as the lines of one input.
fn lines<'a>(rows: impl IntoIterator<Item = &'a Value>) -> String {
    rows.into_iter().map(|row| format!("{}\n", row["frame_hex"].as_str().unwrap())).collect()
}

fn ping(network: Network) -> Vec<u8> {
    Frame::encode(&Ping { nonce: u64::MAX }, network).unwrap().as_bytes().into()
}

/// Bytes with control sequences for a terminal, which may only be shown in hex.
const HOSTILE: &[u8] = b"\x1b]0;gone\x07\x1b[2J\r\nok\xe2\x80\xae\xc2\x9b31m\xff";

fn hostile_frames() -> Vec<u8> {
    let text = WireString::from_bytes(HOSTILE);
    let reject = Reject { command: text.clone(), code: RejectCode::INVALID, reason: text, hash: None };
    let mut frames: Vec<u8> = Frame::encode(&reject, Network::Mainnet).unwrap().as_bytes().into();
    let rows = vectors("messages.json");
    let row = rows.iter().find(|row| row["command"] == "version" && row["net"] == "mainnet").unwrap();
    let payload = hex::decode(row["payload_hex"].as_str().unwrap()).unwrap();
    let Ok(Message::Version(version)) = Message::decode(Name::Version, &payload) else { panic!("{row}") };
    let version = Version { user_agent: UserAgent::from_bytes(HOSTILE), ..*version };
    frames.extend_from_slice(Frame::encode(&version, Network::Mainnet).unwrap().as_bytes());
    frames
}

#[test]
fn every_message_is_decoded_and_encoded_again() {
    let rows = vectors("messages.json");
    let run = inspect(&["--json"], lines(&rows));
    assert_eq!(run.status, 0, "{}", run.err);
    let objects = run.objects();
    assert_eq!(objects.len(), rows.len());
    for (object, row) in objects.iter().zip(&rows) {
        assert_eq!(object["ok"], true, "{}", row["name"]);
        assert_eq!(object["command"], row["command"], "{}", row["name"]);
        assert_eq!(object["network"], row["net"], "{}", row["name"]);
        assert_eq!(object["reencoded"], row["frame_hex"], "{}", row["name"]);
        let payload = row["payload_hex"].as_str().unwrap();
        assert_eq!(object["payload_len"].as_u64().unwrap() * 2, payload.len() as u64, "{}", row["name"]);
        for field in ["nonce", "min_fee", "reason_hex", "user_agent_hex", "filter", "data", "code", "lock_time", "gas"]
        {
            let expected = &row["fields"][field];
            assert!(expected.is_null() || object[field] == *expected, "{field} of {}", row["name"]);
        }
    }
}

#[test]
fn ids_of_transactions_are_reversed() {
    let hashes: Value = serde_json::from_slice(&fs::read(test_file("vectors/hashes.json")).unwrap()).unwrap();
    for row in hashes["txs"].as_array().unwrap() {
        let payload = hex::decode(row["tx_hex"].as_str().unwrap()).unwrap();
        let tx = Message::decode(Name::Tx, &payload).unwrap();
        let frame = Frame::encode(&tx, Network::Mainnet).unwrap();
        let object = inspect(&["--json"], frame.as_bytes()).objects().remove(0);
        assert_eq!(object["id"], row["tx_id_display"], "{}", row["name"]);
        assert_eq!(object["hash"], row["tx_hash_display"], "{}", row["name"]);
    }
}

#[test]
fn a_recorded_session_is_encoded_to_the_same_bytes() {
    for name in ["captures/sync-from-node.bin", "captures/sync-to-node.bin"] {
        let path = test_file(name);
        let recorded = fs::read(&path).unwrap();
        let by_name = inspect(&["--json", path.to_str().unwrap()], []);
        let piped = inspect(&["--json"], recorded.as_slice());
        assert_eq!((by_name.status, piped.status), (0, 0));
        assert_eq!(by_name.out, piped.out);
        let mut again = Vec::new();
        for object in by_name.objects() {
            assert_eq!(object["network"], "simnet");
            assert_eq!(object["offset"].as_u64().unwrap(), again.len() as u64);
            again.extend(hex::decode(object["reencoded"].as_str().unwrap()).unwrap());
        }
        assert!(again == recorded, "{name} changed");
    }
}

#[test]
fn invalid_frames_are_bad() {
    let rows = vectors("invalid.json");
    let well_formed = |row: &&Value| row["go_error"].as_str().unwrap().contains("unhandled command");
    for network in ["mainnet", "testnet", "regtest", "simnet", "devnet"] {
        let of_network = |row: &&Value| row["net"] == network && row["frame_hex"] != "";
        let rows: Vec<&Value> = rows.iter().filter(of_network).collect();
        let run = inspect(&["--json", "--network", network], lines(rows.iter().copied()));
        assert_eq!(run.status, 1, "{network}");
        let objects = run.objects();
        assert_eq!(objects.len(), rows.len(), "{network}");
        for (object, row) in objects.iter().zip(rows) {
            let name = row["name"].as_str().unwrap();
            if object["ok"] == true {
                assert!(well_formed(&row) && object["unknown"] == true, "{name}");
                assert_eq!(object["reencoded"], row["frame_hex"], "{name}");
                continue;
            }
            let kind = object["kind"].as_str().unwrap();
            let expected: &[&str] = match row["group"].as_str().unwrap() {
                "truncated_payload" => &["truncated"],
                "non_canonical" => &["non_canonical"],
                "count_limit" => &["too_many", "truncated"],
                "type_limit" => &["type_limit"],
                "cut_stream" | "short_header" => &["truncated_stream"],
                "checksum" => &["checksum"],
                "wrong_network" => &["network", "not_kaspa"],
                "command" => &["command", "truncated_stream"],
                "headers_tx_count" => &["not_zero"],
                "oversize" => &["oversize", "not_kaspa"],
                _ => continue,
            };
            assert!(expected.contains(&kind), "{name} is {kind}: {}", object["error"]);
        }
    }
}

#[test]
fn unknown_commands_are_well_formed() {
    let rows = vectors("invalid.json");
    let rows: Vec<&Value> = rows.iter().filter(|row| row["group"] == "command").collect();
    let run = inspect(&["--json"], lines(rows.iter().copied()));
    let unknown: Vec<Value> = run.objects().into_iter().filter(|object| object["unknown"] == true).collect();
    let names: Vec<&str> = unknown.iter().map(|object| object["command"].as_str().unwrap()).collect();
    let expected = "nosuch PING abcdefghijkl getblocks mempool sendcmpct getblockloca getselectedt pin pings alert";
    assert_eq!(names.join(" "), expected);
    assert!(unknown.iter().all(|object| object["ok"] == true && object["payload"].is_string()));
}

#[test]
fn frames_that_crash_kaspad_are_bad() {
    let run = inspect(&["--json"], lines(&vectors("panics.json")));
    assert_eq!(run.status, 1);
    assert!(run.kinds().iter().all(|kind| kind == "truncated"), "{:?}", run.kinds());
}

#[test]
fn messages_that_cannot_be_sent_are_not_encoded_again() {
    let rows = vectors("accepted_oddities.json");
    let rows: Vec<&Value> = rows.iter().filter(|row| row["reencode"] == "error").collect();
    let run = inspect(&["--json"], lines(rows.iter().copied()));
    assert_eq!((run.status, rows.len()), (0, 2));
    for object in run.objects() {
        assert_eq!(object["ok"], true);
        assert!(object.as_object().unwrap().contains_key("reencoded") && object["reencoded"].is_null());
        assert!(object["encode_error"].as_str().unwrap().contains("gas"));
    }
    assert!(inspect(&[], lines(rows)).out.contains("cannot be sent"));
}

#[test]
fn a_bad_line_does_not_affect_the_next() {
    let good = hex::encode(ping(Network::Mainnet));
    let mut flipped = good.clone().into_bytes();
    flipped[47] ^= 1;
    let flipped = String::from_utf8(flipped).unwrap();
    let other = hex::encode(ping(Network::Devnet));
    let input = [
        "not hex",
        &good,
        "abc",
        &format!("{good}{flipped}{good}"),
        "",
        &good[..62],
        &format!("  {} {}\t{other}\r", &other[..8], &other[8..]),
        &"ff".repeat(24),
        &good,
    ];
    let run = inspect(&["--json"], input.join("\n"));
    assert_eq!(run.status, 1);
    let expected =
        ["hex", "ok", "hex", "ok", "checksum", "truncated_stream", "ok", "ok", "not_kaspa", "ok"].map(str::to_owned);
    assert_eq!(run.kinds(), expected);
    let lines: Vec<u64> = run.objects().iter().map(|object| object["line"].as_u64().unwrap()).collect();
    assert_eq!(lines, [1, 2, 3, 4, 4, 6, 7, 7, 8, 9]);
}

#[test]
fn raw_frames_are_read_while_the_next_position_is_known() {
    let (good, foreign) = (ping(Network::Simnet), ping(Network::Mainnet));
    let mut checksum = good.clone();
    checksum[20] ^= 1;
    let mut malformed = good.clone();
    malformed[4] = 0;
    let mut oversize = good.clone();
    oversize[16..20].fill(0xff);
    let stream = [&good, &checksum, &foreign, &malformed, &good, &oversize, &good].map(Vec::as_slice);
    let run = inspect(&["--json"], stream.concat());
    assert_eq!(run.status, 1);
    assert_eq!(run.kinds(), ["ok", "checksum", "network", "command", "ok", "oversize"].map(str::to_owned));
    let offsets: Vec<u64> = run.objects().iter().map(|object| object["offset"].as_u64().unwrap()).collect();
    assert_eq!(offsets, [0, 32, 64, 96, 128, 160]);
    let named = |object: &Value| object["command"] == "ping";
    assert_eq!(run.objects().iter().map(named).collect::<Vec<_>>(), [true, true, true, false, true, true]);
}

#[test]
fn the_network_can_be_chosen() {
    let frame = ping(Network::Testnet);
    let run = inspect(&["--json", "--network", "simnet"], frame.clone());
    assert_eq!((run.status, run.kinds()), (1, vec!["network".to_owned()]));
    assert_eq!(inspect(&["--json", "--network=testnet"], frame.clone()).status, 0);
    assert_eq!(inspect(&["--json", "--network=0xddb8af8f"], frame).status, 0);

    let private = ping(Network::Custom(0xcafe_0001));
    let run = inspect(&["--json"], private.clone());
    assert_eq!((run.status, run.kinds()), (1, vec!["not_kaspa".to_owned()]));
    let run = inspect(&["--json", "--network", "0xcafe0001"], private);
    assert_eq!((run.status, &run.objects()[0]["network"]), (0, &Value::from("0xcafe0001")));
}

#[test]
fn text_from_the_wire_cannot_reach_a_terminal() {
    for arguments in [&["--json"] as &[&str], &[]] {
        let run = inspect(arguments, hostile_frames());
        assert_eq!(run.status, 0, "{}", run.out);
        let obeyed = |c: &char| (c.is_control() && *c != '\n') || *c == '\u{202e}';
        assert_eq!(run.out.chars().find(obeyed), None, "{}", run.out.escape_debug());
        assert!(run.out.contains(r"u{1b}"), "{}", run.out);
    }
    for object in inspect(&["--json"], hostile_frames()).objects() {
        let field = if object["command"] == "reject" { "reason_hex" } else { "user_agent_hex" };
        assert_eq!(object[field], hex::encode(HOSTILE));
    }
}

#[test]
fn text_and_objects_agree() {
    let good = ping(Network::Simnet);
    let run = inspect(&[], [good.as_slice(), &good[..30]].concat());
    assert_eq!(run.status, 1);
    let lines: Vec<&str> = run.out.lines().collect();
    assert!(lines[0].contains("simnet") && lines[0].contains("ping") && lines[0].contains("32 bytes"), "{}", run.out);
    assert!(lines[1].contains("BAD") && lines[1].contains("truncated_stream"), "{}", run.out);
    let capture = test_file("captures/sync-to-node.bin");
    let run = inspect(&[capture.to_str().unwrap()], []);
    assert!(run.status == 0 && run.out.contains("… and 40 more"), "{}", run.out);
}

#[test]
fn blank_lines_are_no_error_and_an_empty_or_missing_file_is() {
    for arguments in [&["-"][..], &["--json", "-"], &["--peer", "1", "-"]] {
        let run = inspect(arguments, "");
        assert_eq!((run.status, run.out.as_str()), (1, ""));
        assert_eq!(run.err, "kpeer inspect: standard input: there is nothing to inspect: the input is empty\n");
    }
    for nothing in ["\n", " \r\n\n"] {
        let run = inspect(&["--json", "-"], nothing);
        assert_eq!((run.status, run.out.as_str()), (0, ""));
    }
    let run = inspect(&["no/such/file"], []);
    assert!(run.status == 2 && run.err.contains("no/such/file"), "{}", run.err);
    let run = inspect(&["--network", "nonet"], []);
    assert!(run.status == 2 && run.err.contains("simnet"), "{}", run.err);
    let run = inspect(&["--help"], []);
    assert!(run.status == 0 && run.out.contains("Usage: kpeer inspect") && run.err.is_empty(), "{}", run.out);
}

#[test]
fn a_closed_pipe_ends_the_program_without_an_error() {
    let mut program = kpeer("inspect")
        .arg("--json")
        .arg(test_file("captures/sync-from-node.bin"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = program.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 100]).unwrap();
    drop(stdout);
    let output = program.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), [].as_slice()));
}
