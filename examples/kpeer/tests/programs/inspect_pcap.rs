//! `kpeer inspect` and packets: a capture as a pcapng file, and the frames in pcapng and pcap files.

use crate::inspect_captures::{frames, inspect, objects, recorded};
use crate::support::running::{Ended, run};
use crate::support::scratch::Scratch;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// A packet of a pcapng file that `inspect --pcap` wrote.
#[derive(Clone)]
struct Packet {
    micros: u64,
    bytes: Vec<u8>,
    has_payload: bool,
}

/// A capture, and its packets.
struct Exported {
    capture: PathBuf,
    pcapng: PathBuf,
    /// The section header and the interface.
    head: Vec<u8>,
    packets: Vec<Packet>,
}

fn exported(test: &str) -> Exported {
    let capture = recorded(test);
    let pcapng = capture.with_extension("pcapng");
    let ended = inspect(&capture, &["--pcap", pcapng.to_str().unwrap()]);
    assert_eq!((ended.status, ended.err.as_str()), (0, ""), "{ended:#?}");
    let bytes = fs::read(&pcapng).unwrap();
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let (mut head, mut packets, mut at) = (Vec::new(), Vec::new(), 0);
    while at < bytes.len() {
        let length = number(at + 4) as usize;
        if number(at) == 6 {
            let micros = u64::from(number(at + 12)) << 32 | u64::from(number(at + 16));
            let packet = bytes[at + 28..at + 28 + number(at + 20) as usize].to_vec();
            // The length of the TCP header is in units of four bytes; the header of IPv4 has 20 bytes.
            let headers = 20 + usize::from(packet[32] >> 4) * 4;
            packets.push(Packet { micros, has_payload: packet.len() > headers, bytes: packet });
        } else {
            head.extend_from_slice(&bytes[at..at + length]);
        }
        at += length;
    }
    assert_eq!(ended.out, [format!("{} packets of 1 connection written to {}", packets.len(), pcapng.display())]);
    Exported { capture, pcapng, head, packets }
}

/// A pcapng file of these packets, without comments and directions.
fn pcapng(head: &[u8], packets: &[Packet]) -> Vec<u8> {
    let mut file = head.to_vec();
    for Packet { micros, bytes, .. } in packets {
        let padded = bytes.len().next_multiple_of(4);
        let length = (padded + 32) as u32;
        for number in [6, length, 0, (micros >> 32) as u32, *micros as u32, bytes.len() as u32, bytes.len() as u32] {
            file.extend(number.to_le_bytes());
        }
        file.extend_from_slice(bytes);
        file.resize(file.len() + padded - bytes.len(), 0);
        file.extend(length.to_le_bytes());
    }
    file
}

/// A pcap file of these packets: big-endian, with nanoseconds.
fn pcap(packets: &[Packet]) -> Vec<u8> {
    let mut file = Vec::new();
    file.extend(0xa1b2_3c4d_u32.to_be_bytes());
    file.extend([0, 2, 0, 4]);
    file.extend([0; 8]);
    file.extend(262_144_u32.to_be_bytes());
    // The link type of packets that begin with an IP header.
    file.extend(101_u32.to_be_bytes());
    for Packet { micros, bytes, .. } in packets {
        let (seconds, nanos) = ((micros / 1_000_000) as u32, (micros % 1_000_000 * 1000) as u32);
        for number in [seconds, nanos, bytes.len() as u32, bytes.len() as u32] {
            file.extend(number.to_be_bytes());
        }
        file.extend_from_slice(bytes);
    }
    file
}

fn inspect_bytes(test: &str, bytes: &[u8]) -> Ended {
    let file = Scratch::with(test, bytes);
    inspect(Path::new(file.path()), &["--json"])
}

/// The frames of one side, in hex.
fn side(ended: &Ended, what: &str) -> Vec<String> {
    let objects = objects(ended).into_iter().filter(|object| object["what"] == what);
    objects.map(|object| object["reencoded"].as_str().unwrap().to_owned()).collect()
}

fn summary(ended: &Ended) -> Value {
    let last = objects(ended).pop().unwrap();
    assert_eq!(last["what"], "summary", "{last}");
    last
}

/// Checks that all frames are there, none of them twice.
fn check_frames(ended: &Ended, capture: &Path) {
    assert_eq!((ended.status, ended.err.as_str()), (0, ""), "{ended:#?}");
    let [sent, received] = frames(capture).map(|frames| frames.iter().map(hex::encode).collect::<Vec<_>>());
    assert_eq!((side(ended, "sent"), side(ended, "received")), (sent, received));
}

#[test]
fn a_capture_that_is_exported_has_the_same_records() {
    let Exported { capture, pcapng, packets, .. } = exported("export");
    assert!(packets.iter().any(|packet| packet.bytes.len() > 1400), "no frame of several segments");
    let before = objects(&inspect(&capture, &["--json"]));
    let ended = inspect(&pcapng, &["--json"]);
    check_frames(&ended, &capture);
    let after = objects(&ended);
    let records = |objects: &[Value]| {
        let of_interest = objects.iter().filter(|object| object["what"] != "summary");
        let fields =
            of_interest.map(|object| ["what", "captured_at", "peer", "reencoded"].map(|name| object[name].clone()));
        fields.collect::<Vec<_>>()
    };
    assert_eq!(records(&before), records(&after));
    assert_eq!(summary(&ended)["connections"], 1);
    // The text for people ends with the same summary.
    let text = inspect(&pcapng, &[]);
    assert_eq!((text.status, text.out.last().unwrap().as_str()), (0, "1 connection with frames"), "{text:#?}");
}

#[test]
fn segments_out_of_order_and_sent_again_are_put_in_order() {
    let Exported { capture, head, mut packets, .. } = exported("disorder");
    // Every packet comes twice, and each pair of segments of a frame in the wrong order.
    for at in 1..packets.len() {
        if packets[at - 1].has_payload && packets[at].has_payload && at % 2 == 0 {
            packets.swap(at - 1, at);
        }
    }
    let twice: Vec<Packet> = packets.iter().flat_map(|packet| [packet.clone(), packet.clone()]).collect();
    let ended = inspect_bytes("disorder.pcapng", &pcapng(&head, &twice));
    check_frames(&ended, &capture);
    let summary = summary(&ended);
    for name in ["segments_out_of_order", "segments_sent_again"] {
        assert!(summary[name].as_u64() > Some(0), "{name}: {summary}");
    }
    assert_eq!(summary["missing_bytes"], 0);
}

#[test]
fn bytes_that_were_not_captured_are_reported_and_the_next_frame_is_read() {
    let Exported { capture, head, mut packets, .. } = exported("gap");
    let large = (1..packets.len()).find(|at| packets[at - 1].has_payload && packets[*at].has_payload).unwrap();
    packets.remove(large);
    let ended = inspect_bytes("gap.pcapng", &pcapng(&head, &packets));
    assert_eq!((ended.status, ended.err.as_str()), (1, ""), "{ended:#?}");
    let missing: Vec<Value> = objects(&ended).into_iter().filter(|object| object["what"] == "missing").collect();
    let text = missing[0]["text"].as_str().unwrap();
    assert!(text.contains(" bytes of 127.0.0.1:") && text.contains(", in the middle of "), "{text}");
    assert!(summary(&ended)["missing_bytes"].as_u64() > Some(1000), "{ended:#?}");
    let [sent, received] = frames(&capture);
    // The frame with the gap is missing, and no other.
    assert_eq!(side(&ended, "sent").len() + side(&ended, "received").len(), sent.len() + received.len() - 1);
}

#[test]
fn classic_pcap_files_are_read() {
    let Exported { capture, packets, .. } = exported("classic");
    let ended = inspect_bytes("classic.pcap", &pcap(&packets));
    check_frames(&ended, &capture);
    let (first, before) = (&objects(&ended)[0], &objects(&inspect(&capture, &["--json"]))[0]);
    assert_eq!(first["captured_at"], before["captured_at"]);
}

#[test]
fn a_connection_whose_beginning_was_not_captured_is_read_from_the_next_frame_on() {
    let Exported { capture, head, packets, .. } = exported("middle");
    // Begins inside of a frame.
    let at = (1..packets.len()).find(|at| packets[at - 1].has_payload && packets[*at].has_payload).unwrap();
    let ended = inspect_bytes("middle.pcapng", &pcapng(&head, &packets[at..]));
    let connected = objects(&ended).swap_remove(0);
    assert!(connected["text"].as_str().unwrap().ends_with(", begun before the capture"), "{connected}");
    let [sent, _] = frames(&capture).map(|frames| frames.iter().map(hex::encode).collect::<Vec<_>>());
    let after = side(&ended, "sent");
    assert!(!after.is_empty() && sent.ends_with(&after), "{ended:#?}");
}

#[test]
fn a_file_that_is_cut_off_is_read_up_to_the_cut() {
    let Exported { pcapng, .. } = exported("cut-packets");
    let mut bytes = fs::read(&pcapng).unwrap();
    let whole = inspect(&pcapng, &["--json"]).out.len();
    bytes.truncate(bytes.len() / 2);
    let ended = inspect_bytes("cut.pcapng", &bytes);
    assert_eq!(ended.status, 2, "{ended:#?}");
    assert!(ended.err.contains("cut.pcapng: the capture is cut off in the middle of a record"), "{}", ended.err);
    assert!(ended.out.len() > 3 && ended.out.len() < whole);
}

#[test]
fn filters_choose_what_is_exported() {
    let Exported { capture, .. } = exported("filter");
    let file = Scratch::new("filter.pcapng");
    let ended = inspect(&capture, &["--command", "version", "--pcap", file.path()]);
    assert_eq!(ended.status, 0, "{ended:#?}");
    let ended = inspect(Path::new(file.path()), &["--json"]);
    let commands = objects(&ended);
    let commands: Vec<&str> = commands.iter().filter_map(|object| object["command"].as_str()).collect();
    assert_eq!(commands, ["version", "version"]);
}

#[test]
fn files_that_cannot_be_written_are_named() {
    let Exported { capture, .. } = exported("unwritable");
    let path = capture.to_str().unwrap();
    let before = fs::read(&capture).unwrap();
    for to in ["/no/such/directory/file", path] {
        let ended = inspect(&capture, &["--pcap", to]);
        assert_eq!((ended.status, ended.out.len()), (2, 0), "{ended:#?}");
        assert!(ended.err.starts_with(&format!("kpeer inspect: --pcap {to}: ")), "{}", ended.err);
    }
    assert_eq!(fs::read(&capture).unwrap(), before);
}

#[test]
fn a_filter_that_nothing_matches_is_an_error_with_the_name_of_the_file() {
    let Exported { capture, pcapng, .. } = exported("no-match");
    let count = inspect(&capture, &["--json"]).out.len();
    for file in [&capture, &pcapng] {
        for arguments in [&["--peer", "7"] as &[&str], &["--peer", "7", "--json"]] {
            let ended = inspect(file, arguments);
            assert_eq!(ended.status, 1, "{ended:#?}");
            assert_eq!(ended.err, format!("kpeer inspect: {}: 0 of {count} records match\n", file.display()));
        }
    }
    let ended = run("inspect", &["no/such/file"]);
    assert_eq!((ended.status, ended.out.len()), (2, 0));
    assert!(ended.err.starts_with("kpeer inspect: no/such/file: "), "{}", ended.err);
}
