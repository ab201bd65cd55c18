//! The program that measures: every kind runs through, and what it prints can be read by a program.

use crate::support::kpeer;
use serde_json::Value;

fn lines(arguments: &[&str]) -> Vec<Value> {
    let output = kpeer("bench").args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_kind_runs_quickly_and_tells_both_sides() {
    let lines = lines(&["--quick", "--json"]);
    let kinds: Vec<&str> = lines.iter().filter_map(|line| line["kind"].as_str()).collect();
    let expected = [
        "small",
        "small-frames",
        "tx",
        "tx-frames",
        "inv",
        "inv-frames",
        "block",
        "block-owned",
        "block-frames",
        "receipts",
        "rtt",
        "handshake",
        "broadcast",
        "trickle",
        "codec.read-block",
        "codec.write-owned",
    ];
    for kind in expected {
        assert!(kinds.contains(&kind), "{kind} is missing in {kinds:?}");
    }
    for line in &lines {
        for number in ["library", "floor", "ratio", "library_cpu_s", "floor_cpu_s", "rounds", "spread"] {
            // A ratio to nothing is null.
            assert!(line[number].is_number() || line["floor"] == 0.0, "{number} in {line}");
        }
    }
}

#[test]
fn one_kind_can_be_asked_for() {
    let lines = lines(&["--quick", "--json", "--kind", "small-frames", "--rounds", "2"]);
    assert_eq!(lines.len(), 1);
    assert_eq!((&lines[0]["kind"], &lines[0]["rounds"]), (&"small-frames".into(), &2.into()));
}
