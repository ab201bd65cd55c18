//! `kpeer soak`, run as a program for a short while.

use crate::support::kpeer;
#[cfg(unix)]
use crate::support::running::Running;
use crate::support::running::{Ended, run_without_deadline as run};
use serde_json::Value;

fn objects(ended: &Ended) -> Vec<Value> {
    ended.out.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Checks the last lines, which every soak prints.
fn check_nothing_is_left(ended: &Ended) -> Value {
    let objects = objects(ended);
    let last = objects.last().unwrap();
    assert_eq!((ended.status, &last["left_behind"]), (0, &Value::from(Vec::<Value>::new())), "{ended:#?}");
    let summary = objects.iter().find(|object| object["questions"].is_object()).unwrap().clone();
    let count = |what: &str, name: &str| summary[what][name].as_u64().unwrap();
    assert_eq!(count("receipts", "taken"), count("receipts", "written") + count("receipts", "not_written"));
    assert_eq!(count("questions", "asked"), count("questions", "answered") + count("questions", "ended"));
    summary
}

#[test]
fn a_soak_of_20_seconds_leaves_nothing_behind() {
    let ended = run("soak", &["--seconds", "20", "--peers", "20", "--json"]);
    let summary = check_nothing_is_left(&ended);
    let objects = objects(&ended);
    let end = objects.iter().find(|object| object["phase"] == "end").unwrap();
    assert_eq!((&end["alive"], &end["queued"]), (&Value::from(0), &Value::from(0)));
    for (name, count) in summary["ends"].as_object().unwrap() {
        assert!(count.as_u64() > Some(0), "no connection ended with {name}: {summary}");
        assert_eq!(count, &end["cuts"][name]);
    }
    assert_eq!(summary["ends"].as_object().unwrap().len(), 9);
    for (what, name) in [
        ("receipts", "written"),
        ("receipts", "not_written"),
        ("questions", "answered"),
        ("questions", "ended"),
        ("closes", "in_order"),
    ] {
        assert!(summary[what][name].as_u64() > Some(0), "{what} {name}: {summary}");
    }
    assert!(summary["rejects"].as_u64() > Some(0), "{summary}");
    assert!(objects.iter().any(|object| object["ratio"]["attack"].is_number()), "{ended:#?}");
    assert_eq!(objects.last().unwrap()["interrupted"], false);
}

#[cfg(unix)]
#[test]
fn a_soak_that_is_paused_leaves_nothing_behind() {
    let ended = run("soak", &["--seconds", "10", "--peers", "5", "--pauses", "--json"]);
    assert!(check_nothing_is_left(&ended)["pauses"].as_u64() > Some(0), "{ended:#?}");
}

#[cfg(unix)]
#[test]
fn a_signal_ends_a_soak_in_order() {
    for signal in ["INT", "TERM"] {
        let soak = Running::start("soak", &["--seconds", "30", "--peers", "5", "--json"]);
        soak.line("the first row", |line| line.contains("\"phase\":").then_some(()));
        soak.signal(signal);
        let ended = soak.end();
        check_nothing_is_left(&ended);
        assert_eq!(objects(&ended).last().unwrap()["interrupted"], true, "{signal}");
    }
}

#[cfg(unix)]
#[test]
fn the_table_fits_80_columns_and_a_signal_is_named_in_its_last_line() {
    let soak = Running::start("soak", &["--seconds", "30", "--peers", "2"]);
    soak.line("the first row", |line| line.contains(" begin ").then_some(()));
    soak.signal("INT");
    let ended = soak.end();
    assert_eq!(ended.status, 0, "{ended:#?}");
    for line in &ended.out {
        assert!(line.chars().count() <= 80, "{line}");
    }
    let last = ended.out.last().unwrap();
    assert!(last.starts_with("interrupted after ") && last.ends_with("; nothing is left behind"), "{last}");
}

#[test]
fn an_option_with_a_wrong_value_is_named() {
    for arguments in [["--peers", "0"], ["--peers", "-1"], ["--seconds", "-1"], ["--minutes", "many"]] {
        let output = kpeer("soak").args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(error.contains(arguments[0]) && error.contains(arguments[1]), "{error}");
    }
}
