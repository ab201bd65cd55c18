//! What `--help` says is true: of the options, the JSON objects and the exit statuses.

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
fn the_help_of_every_subcommand_fits_80_columns() {
    let mut wide = Vec::new();
    for program in PROGRAMS {
        let text = help(program);
        assert!(text.contains(&format!("\nUsage: kpeer {program}")), "{text}");
        wide.extend(text.lines().filter(|line| line.chars().count() > 80).map(|line| format!("{program}: {line}")));
    }
    let top = run("--help", &[]);
    assert_eq!((top.status, top.err.as_str()), (0, ""));
    wide.extend(top.out.iter().filter(|line| line.chars().count() > 80).cloned());
    assert!(wide.is_empty(), "{wide:#?}");
}

#[test]
fn an_unknown_option_is_named_in_the_error() {
    for program in PROGRAMS {
        let ended = run(program, &["--frobnicate"]);
        assert_eq!((ended.status, ended.out.len()), (2, 0), "{program}: {ended:#?}");
        assert!(ended.err.contains("'--frobnicate'"), "{}", ended.err);
    }
}

#[test]
fn wrong_arguments_end_a_subcommand_with_2() {
    let wrong: [(&str, &[&str]); 9] = [
        ("listen", &[]),
        ("listen", &["127.0.0.1:0", "127.0.0.1:0"]),
        ("listen", &["127.0.0.1:0", "--dag", "file", "--announce", "1"]),
        ("connect", &[]),
        ("sync", &[]),
        ("crawl", &[]),
        ("relay", &["127.0.0.1:1"]),
        ("inspect", &["--side", "sent"]),
        ("inspect", &["--json", "--replay", "127.0.0.1:1"]),
    ];
    for (program, arguments) in wrong {
        let ended = run(program, arguments);
        assert_eq!((ended.status, ended.out.len()), (2, 0), "{program} {arguments:?}: {ended:#?}");
        assert!(!ended.err.is_empty(), "{program} {arguments:?}");
    }
}

#[test]
fn a_wrong_value_ends_a_subcommand_with_2_and_is_in_the_error_with_the_option() {
    const ANY: &str = "127.0.0.1:0";
    let wrong: [(&str, &[&str], &str, &str); 24] = [
        ("listen", &[], "127.0.0.1:99999", "<ADDR>"),
        ("listen", &[], ":abc", "<ADDR>"),
        ("listen", &[ANY, "--network"], "nonet", "--network"),
        ("listen", &[ANY, "--knows"], "a.name", "--knows"),
        ("listen", &[ANY, "--announce"], "0", "--announce"),
        ("listen", &[ANY, "--announce"], "-1", "--announce"),
        ("listen", &[ANY, "--services"], "many", "--services"),
        ("connect", &[], "node.example:99999", "<ADDR>"),
        ("connect", &[ANY, "--wait"], "-1", "--wait"),
        ("connect", &[ANY, "--for"], "-0.5", "--for"),
        ("connect", &[ANY, "--for"], "soon", "--for"),
        ("connect", &[ANY, "--proxy"], "localhost:abc", "--proxy"),
        ("connect", &[ANY, "--proxy"], "localhost", "--proxy"),
        ("sync", &[], "[::1]:-1", "<ADDR>"),
        ("sync", &[ANY, "--genesis"], "7", "--genesis"),
        ("sync", &[ANY, "--max-blocks"], "-1", "--max-blocks"),
        ("crawl", &[ANY], ":99999", "<ADDR>"),
        ("crawl", &[ANY, "--threads"], "many", "--threads"),
        ("crawl", &[ANY, "--threads"], "0", "--threads"),
        ("crawl", &[ANY, "--timeout"], "0", "--timeout"),
        ("relay", &["--connect"], "127.0.0.1:x", "--connect"),
        ("relay", &["--listen"], ":99999", "--listen"),
        ("bench", &["--role"], "spectator", "--role"),
        ("soak", &["--peers"], "many", "--peers"),
    ];
    for (program, arguments, value, option) in wrong {
        let ended = run(program, &[arguments, &[value]].concat());
        assert_eq!((ended.status, ended.out.len()), (2, 0), "{program} {arguments:?} {value}: {ended:#?}");
        assert!(ended.err.contains(value) && ended.err.contains(option), "{program} {option}: {}", ended.err);
    }
}

#[test]
fn a_subcommand_that_cannot_go_on_ends_with_1_and_names_what_it_lacks() {
    let (_socket, nobody) = support::nobody();
    let none = Scratch::new("no-such-directory/file");
    let hopeless: [(&str, &[&str]); 5] = [
        ("listen", &[&nobody]),
        ("connect", &[&nobody]),
        ("sync", &[&nobody]),
        ("crawl", &[&nobody]),
        ("relay", &["--connect", &nobody]),
    ];
    let reason = |program: &str, arguments: &[&str]| {
        let ended = run(program, &[arguments, &["--json"]].concat());
        assert_eq!(ended.status, 1, "{program} {arguments:?}: {ended:#?}");
        let reason = ended.events("failed")[0]["reason"].as_str().unwrap().to_owned();
        assert_eq!(ended.err, format!("{program}: {reason}\n"));
        reason
    };
    for (program, arguments) in hopeless {
        let text = reason(program, arguments);
        assert!(text.contains(&nobody) || program == "crawl", "{program}: {text}");
        // `listen` needs its address before the capture.
        let arguments = if program == "listen" { &["127.0.0.1:0"] } else { arguments };
        let text = reason(program, &[arguments, &["--capture", none.path()]].concat());
        assert!(text.starts_with(&format!("--capture {}: cannot be created: ", none.path())), "{program}: {text}");
    }
    let text = reason("listen", &["127.0.0.1:0", "--dag", none.path()]);
    assert!(text.contains(none.path()), "{text}");
    let text = reason("sync", &[&nobody, "--out", none.path()]);
    assert!(text.contains(none.path()), "{text}");
    let text = reason("connect", &["localhost", "--network", "0xcafe0001"]);
    assert!(text.contains("localhost: no port is given"), "{text}");
}

/// The names of all events that a program printed.
fn events(ended: &Ended) -> BTreeSet<String> {
    let event = |line: &String| serde_json::from_str::<Value>(line).unwrap()["event"].as_str().unwrap().to_owned();
    ended.out.iter().map(event).collect()
}

/// Checks that all printed events are in one of the help texts, of which the first may refer to the others.
#[track_caller]
fn check_events(ended: &Ended, helps: &[&str], expected: &[&str]) {
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
fn the_help_has_every_json_object_that_is_printed() {
    let simnet = ["--network", "simnet", "--json"];
    let (listen, address) = Running::listen(&["--network", "simnet", "--once", "--announce", "0.1"]);
    listen.event("block", |_| true);
    let connect = run("connect", &[&[address.as_str(), "--exercise"], &simnet[..]].concat());
    check_events(
        &connect,
        &["connect"],
        &["connected", "version", "message", "sent", "check", "exercised", "disconnected"],
    );
    let listen = listen.end();
    check_events(
        &listen,
        &["listen"],
        &["listening", "connected", "version", "message", "sent", "block", "disconnected"],
    );

    let (_listen, address) = Running::listen(&simnet[..2]);
    let out = Scratch::with("help-dag", b"");
    let arguments = [&[address.as_str(), "--out", out.path()], &simnet[..]].concat();
    check_events(&run("sync", &arguments), &["sync", "connect"], &["connected", "progress", "done"]);
    check_events(&run("sync", &arguments), &["sync", "connect"], &["resumed", "done"]);
    check_events(&run("crawl", &[&[address.as_str()], &simnet[..]].concat()), &["crawl"], &["node", "done"]);
    let connect = run("connect", &[&[address.as_str(), "--for", "0"], &simnet[..]].concat());
    check_events(&connect, &["connect"], &["ping", "disconnected"]);
    #[cfg(unix)]
    {
        let relay = Running::start("relay", &[&["--connect", &address], &simnet[..]].concat());
        relay.event("listening", |_| true);
        relay.event("version", |_| true);
        relay.interrupt();
        let expected = ["listening", "connected", "version", "goodbye", "status", "disconnected"];
        check_events(&relay.end(), &["relay", "listen"], &expected);
    }
}
