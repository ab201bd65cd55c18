//! What `--help` of the programs says is true: of options, of JSON objects and of exit codes.

use crate::support;
use crate::support::running::{Ended, Running, run};
use crate::support::scratch::Scratch;
use serde_json::Value;
use std::collections::BTreeSet;

/// The subcommands of the README's table.
const PROGRAMS: [&str; 8] = ["listen", "connect", "sync", "crawl", "relay", "inspect", "bench", "soak"];

fn help(program: &str) -> String {
    let help = run(program, &["--help"]);
    assert_eq!((help.status, help.err.as_str()), (0, ""), "{program}");
    help.out.join("\n")
}

#[test]
fn help_is_given_and_fits_a_terminal() {
    for program in PROGRAMS {
        let text = help(program);
        assert!(text.contains(&format!("\nUsage: kpeer {program}")), "{text}");
        for line in text.lines() {
            // A line that shows a JSON object is as long as the object.
            assert!(line.chars().count() <= 80 || line.contains("{\""), "{program}: {line}");
        }
    }
}

#[test]
fn an_option_that_is_not_there_is_told() {
    for program in PROGRAMS {
        let ended = run(program, &["--frobnicate"]);
        assert_eq!((ended.status, ended.out.len()), (2, 0), "{program}: {ended:#?}");
        assert!(ended.err.contains("'--frobnicate'"), "{}", ended.err);
    }
}

#[test]
fn what_is_called_wrongly_ends_with_2() {
    let wrong: [(&str, &[&str]); 16] = [
        ("listen", &[]),
        ("listen", &["--network", "nonet", "127.0.0.1:0"]),
        ("listen", &["127.0.0.1:0", "127.0.0.1:0"]),
        ("listen", &["127.0.0.1:0", "--knows", "a.name"]),
        ("listen", &["127.0.0.1:0", "--dag", "file", "--announce", "1"]),
        ("connect", &[]),
        ("connect", &["127.0.0.1:1", "--wait", "-1"]),
        ("sync", &[]),
        ("sync", &["127.0.0.1:1", "--genesis", "7"]),
        ("crawl", &[]),
        ("crawl", &["127.0.0.1:1", "--threads", "many"]),
        ("relay", &["127.0.0.1:1"]),
        ("inspect", &["--side", "sent"]),
        ("inspect", &["--json", "--replay", "127.0.0.1:1"]),
        ("bench", &["--role", "spectator"]),
        ("soak", &["--peers", "-1"]),
    ];
    for (program, arguments) in wrong {
        let ended = run(program, arguments);
        assert_eq!((ended.status, ended.out.len()), (2, 0), "{program} {arguments:?}: {ended:#?}");
        assert!(!ended.err.is_empty(), "{program} {arguments:?}");
    }
}

#[test]
fn what_cannot_go_on_ends_with_1() {
    let (_place, nobody) = support::nobody();
    let none = Scratch::new("no-such-directory/file");
    let hopeless: [(&str, &[&str]); 5] = [
        ("listen", &[&nobody]),
        ("connect", &[&nobody]),
        ("sync", &[&nobody]),
        ("crawl", &[&nobody]),
        ("relay", &["--connect", &nobody]),
    ];
    for (program, arguments) in hopeless {
        for more in [&["--json"] as &[&str], &["--json", "--capture", none.path()]] {
            let ended = run(program, &[arguments, more].concat());
            assert_eq!(ended.status, 1, "{program} {more:?}: {ended:#?}");
            let failed = &ended.events("failed")[0];
            assert_eq!(ended.err, format!("{program}: {}\n", failed["reason"].as_str().unwrap()));
        }
    }
}

/// The names of all events that a program told.
fn events(ended: &Ended) -> BTreeSet<String> {
    let event = |line: &String| serde_json::from_str::<Value>(line).unwrap()["event"].as_str().unwrap().to_owned();
    ended.out.iter().map(event).collect()
}

/// All that was told is in one of the helps, of which the first may refer to the others.
#[track_caller]
fn told(ended: &Ended, helps: &[&str], expected: &[&str]) {
    let events = events(ended);
    for event in expected {
        assert!(events.contains(*event), "no {event}: {ended:#?}");
    }
    for event in events {
        let object = format!("{{\"event\":\"{event}\"");
        assert!(helps.iter().any(|program| help(program).contains(&object)), "{helps:?} do not have {event}");
    }
}

#[test]
fn the_objects_that_are_printed_are_those_in_the_help() {
    let simnet = ["--network", "simnet", "--json"];
    let (listen, address) = Running::listen(&["--network", "simnet", "--once", "--announce", "0.1"]);
    listen.event("block", |_| true);
    let connect = run("connect", &[&[address.as_str(), "--exercise"], &simnet[..]].concat());
    told(&connect, &["connect"], &["connected", "version", "message", "sent", "check", "exercised", "disconnected"]);
    let listen = listen.end();
    told(&listen, &["listen"], &["listening", "connected", "version", "message", "sent", "block", "disconnected"]);

    let (_listen, address) = Running::listen(&simnet[..2]);
    let out = Scratch::with("help-dag", b"");
    let arguments = [&[address.as_str(), "--out", out.path()], &simnet[..]].concat();
    told(&run("sync", &arguments), &["sync", "connect"], &["connected", "progress", "done"]);
    told(&run("sync", &arguments), &["sync", "connect"], &["resumed", "done"]);
    told(&run("crawl", &[&[address.as_str()], &simnet[..]].concat()), &["crawl"], &["node", "done"]);
    let connect = run("connect", &[&[address.as_str(), "--for", "0"], &simnet[..]].concat());
    told(&connect, &["connect"], &["ping", "disconnected"]);
    #[cfg(unix)]
    {
        let relay = Running::start("relay", &[&["--connect", &address], &simnet[..]].concat());
        relay.event("listening", |_| true);
        relay.event("version", |_| true);
        relay.interrupt();
        let expected = ["listening", "connected", "version", "goodbye", "status", "disconnected"];
        told(&relay.end(), &["relay", "listen"], &expected);
    }
}
