//! `kpeer bench`: every kind runs, the table fits 80 columns, and the JSON can be compared with.

#[cfg(target_os = "linux")]
use crate::support::kpeer;
use crate::support::running::{Ended, Running, run, run_without_deadline};
use crate::support::scratch::Scratch;
use serde_json::Value;

fn bench(arguments: &[&str]) -> Ended {
    let ended = run_without_deadline("bench", arguments);
    assert_eq!((ended.status, ended.err.as_str()), (0, ""), "{ended:#?}");
    ended
}

fn objects(ended: &Ended) -> Vec<Value> {
    ended.out.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn check_width(ended: &Ended) {
    for line in &ended.out {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn every_kind_runs_quickly_and_has_both_sides() {
    let lines = objects(&bench(&["--quick", "--json"]));
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
        "known-1000",
        "known-50000",
        "receipts",
        "rtt",
        "handshake",
        "handshake-remote",
        "broadcast",
        "trickle",
        "trickle 500k",
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
fn one_kind_can_be_chosen() {
    let lines = objects(&bench(&["--quick", "--json", "--kind", "small-frames", "--rounds", "2"]));
    assert_eq!(lines.len(), 1);
    assert_eq!((&lines[0]["kind"], &lines[0]["rounds"]), (&"small-frames".into(), &2.into()));
}

#[test]
fn each_number_of_peers_has_a_row_and_the_table_fits_80_columns() {
    let ended = bench(&["--quick", "--kind", "broadcast", "--peers", "2,30"]);
    check_width(&ended);
    for kind in ["broadcast 2 ", "broadcast 30 "] {
        assert_eq!(ended.out.iter().filter(|line| line.starts_with(kind)).count(), 1, "{ended:#?}");
    }
}

#[test]
fn an_earlier_run_can_be_compared_with() {
    let kind = ["--quick", "--kind", "codec"];
    let earlier = bench(&[&kind[..], &["--json"]].concat());
    // The ratio of one kind was half as high, one kind was not measured, and the run was interrupted.
    let mut rows = objects(&earlier);
    let doubled = rows[0]["kind"].as_str().unwrap().to_owned();
    rows[0]["ratio"] = Value::from(rows[0]["ratio"].as_f64().unwrap() / 1e6);
    let removed = rows.pop().unwrap()["kind"].as_str().unwrap().to_owned();
    rows.push(serde_json::json!({"interrupted": true, "rows": rows.len()}));
    let text: String = rows.iter().map(|row| format!("{row}\n")).collect();
    let file = Scratch::with("bench-earlier", text.as_bytes());

    let rows = objects(&bench(&[&kind[..], &["--json", "--compare", file.path()]].concat()));
    let change = |kind: &str| rows.iter().find(|row| row["kind"] == *kind).unwrap()["change"].clone();
    assert!(change(&doubled).as_f64() > Some(1000.0), "{rows:#?}");
    assert_eq!(change(&removed), Value::Null);

    let table = bench(&[&kind[..], &["--compare", file.path()]].concat());
    check_width(&table);
    assert!(table.out[0].ends_with(" change"), "{table:#?}");
    let row = table.out.iter().find(|line| line.starts_with(&removed)).unwrap();
    assert!(row.ends_with(" new"), "{row}");
    for column in ["library", "floor", "ratio", "spread", "target", "change"] {
        assert!(table.out.iter().skip(1).any(|line| line.starts_with(&format!("{column:<9}"))), "{column}: {table:#?}");
    }
}

#[test]
fn a_file_that_cannot_be_compared_with_is_named() {
    let text = Scratch::with("bench-no-json", b"kind library\n");
    let empty = Scratch::with("bench-empty", b"{}\n");
    for (file, what) in [("no/such/file", "No such file"), (text.path(), "line 1 is not"), (empty.path(), "no rows")] {
        let ended = run("bench", &["--quick", "--kind", "codec", "--compare", file]);
        assert_eq!((ended.status, ended.out.len()), (1, 0), "{ended:#?}");
        assert!(ended.err.starts_with(&format!("kpeer bench: --compare {file}: {what}")), "{}", ended.err);
    }
}

#[test]
fn an_option_with_a_wrong_value_is_named() {
    for arguments in [["--peers", "0"], ["--rounds", "-1"], ["--millis", "-1"], ["--kind", "fast"]] {
        let ended = run("bench", &arguments);
        assert_eq!(ended.status, 2, "{ended:#?}");
        assert!(ended.err.contains(arguments[0]) && ended.err.contains(arguments[1]), "{}", ended.err);
    }
}

#[cfg(unix)]
#[test]
fn a_signal_ends_a_run_with_what_was_measured() {
    for signal in ["INT", "TERM"] {
        let arguments = ["--kind", "codec", "--millis", "50", "--rounds", "50"];
        let bench = Running::start("bench", &arguments);
        bench.line("the first row", |line| line.starts_with("codec.").then_some(()));
        bench.signal(signal);
        let ended = bench.end();
        assert_eq!((ended.status, ended.err.as_str()), (0, ""), "{ended:#?}");
        check_width(&ended);
        let last = ended.out.last().unwrap();
        assert!(last.starts_with("interrupted after ") && last.contains(" row"), "{last}");
    }
    let bench = Running::start("bench", &["--kind", "codec", "--millis", "50", "--rounds", "50", "--json"]);
    bench.line("the first row", |line| line.contains("codec.").then_some(()));
    bench.signal("INT");
    let ended = bench.end();
    let objects = objects(&ended);
    let last = objects.last().unwrap();
    assert_eq!((ended.status, &last["interrupted"]), (0, &Value::from(true)), "{ended:#?}");
    assert_eq!(last["rows"], objects.len() - 1);
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_ends_the_program_without_a_panic() {
    let commands = [("bench", vec!["--quick", "--kind", "codec"]), ("soak", vec!["--seconds", "10"])];
    for (program, arguments) in commands {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let output = kpeer(program).args(arguments).stdout(full).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.starts_with("standard output: "), "{error}");
    }
}
