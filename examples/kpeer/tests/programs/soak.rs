//! `kpeer soak`, run as a program for a short while.

use crate::support::kpeer;
use serde_json::Value;

#[test]
fn a_short_soak_leaves_nothing_behind() {
    let output = kpeer("soak").args(["--seconds", "15", "--peers", "20", "--json"]).output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{out}{}", String::from_utf8_lossy(&output.stderr));
    let rows: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();

    let end = rows.iter().find(|row| row["phase"] == "end").unwrap();
    assert_eq!((&end["alive"], &end["queued"]), (&Value::from(0), &Value::from(0)));
    for cut in ["disconnect", "shutdown", "mid_frame", "drop"] {
        assert!(end["cuts"][cut].as_u64() > Some(0), "no {cut}: {end}");
    }
    for resolved in ["written", "not_written"] {
        assert!(end[resolved].as_u64() > Some(0), "none {resolved}: {end}");
    }
    assert!(rows.iter().any(|row| row["ratio"]["attack"].is_number()), "{out}");
    assert_eq!(rows.last().unwrap()["left_behind"], Value::from(Vec::<Value>::new()));
}

#[test]
fn what_it_does_not_understand_it_says() {
    let output = kpeer("soak").arg("--peer").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--peer"));
}
