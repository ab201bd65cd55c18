//! No subcommand prints the control characters of a hostile node.

use crate::support;
use crate::support::proxy::proxy;
use crate::support::running::{Ended, Played, Running, run};
use crate::support::scratch::Scratch;
use kaspa_peer::wire::*;
use std::io::Write;
use std::net::TcpListener;
use std::thread;

const SIMNET: [&str; 2] = ["--network", "simnet"];

/// In text and in JSON.
const MODES: [&[&str]; 2] = [&[], &["--json"]];

/// Text that clears the screen, sets the title, forges lines, sets colours, reorders and hides text, and is not UTF-8.
fn hostile() -> Vec<u8> {
    let text = "pwned\u{1b}[2J\u{1b}]0;title\u{7}\t\r\n{\"event\":\"done\"}\n\u{8}\u{0}\u{7f}\u{9b}31m\u{80}\u{85}\u{9f}\
        \u{202a}\u{202b}\u{202c}\u{202d}\u{202e}txt.exe\u{2066}\u{2067}\u{2068}\u{2069}\u{200e}\u{200f}\u{61c}\
        \u{2028}\u{2029}\u{200b}\u{feff}\u{ad}\u{e0041}\"\\";
    [text.as_bytes(), &[0x9b, 0x33, 0x6d, 0xff, 0xc0]].concat()
}

fn hostile_version() -> Version {
    Version { user_agent: UserAgent::from_bytes(hostile()), ..support::version() }
}

fn hostile_reject(command: impl Into<WireString>) -> Reject {
    Reject::new(command, RejectCode(0x1b), WireString::from_bytes(hostile()))
}

/// A frame with an invalid command.
fn garbage() -> Vec<u8> {
    let mut frame = Frame::encode(&Ping { nonce: 1 }, Network::Simnet).unwrap().as_bytes().to_vec();
    frame[4..16].copy_from_slice(b"\x1b[2J\r\n\x9b\xe2\x80\xae\x07\"");
    frame
}

/// Sends all messages that contain text.
fn talk(node: &mut Played) {
    node.send(&hostile_reject(WireString::from_bytes(hostile())));
    node.send(&hostile_reject("tx"));
    node.send(&CustomMessage::new("$(x)\\\"%s", hostile()).unwrap());
}

/// When a node that is dialled sends garbage.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rude {
    FromTheBeginning,
    AfterTheHandshake,
    AskedForAddresses,
    Never,
}

/// Starts a node that sends hostile text, and rejects all requests. Returns its address.
fn node(rude: Rude) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // Ends with its only connection.
    thread::spawn(move || {
        if rude == Rude::FromTheBeginning {
            let mut stream = listener.accept().unwrap().0;
            stream.write_all(&garbage()).unwrap();
            Played::new(stream, Network::Simnet).expect::<Version>();
            return;
        }
        let mut node = Played::accept(&listener, &hostile_version(), Network::Simnet);
        talk(&mut node);
        if rude == Rude::AfterTheHandshake {
            let _ = node.stream.write_all(&garbage());
        }
        while let Some(message) = node.next() {
            match message {
                Message::Ping(Ping { nonce }) => node.send(&Pong { nonce }),
                Message::GetAddr(_) if rude == Rude::AskedForAddresses => {
                    let _ = node.stream.write_all(&garbage());
                }
                other => node.send(&hostile_reject(other.command().name())),
            }
        }
    });
    address
}

/// Characters that move the cursor, or reorder or hide the text around them.
fn misleads(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

#[track_caller]
fn check(text: &str) {
    for line in text.split('\n') {
        assert!(!line.contains(misleads), "{line:?}");
    }
}

/// Checks that nothing in the output is harmful, and that the hostile text is there as `shown`.
#[track_caller]
fn check_output(ended: &Ended, json: bool, shown: &[&str]) {
    ended.out.iter().for_each(|line| check(line));
    check(&ended.err);
    let out = ended.out.join("\n");
    for shown in shown {
        let shown = if json { shown.replace('\\', r"\\") } else { (*shown).to_owned() };
        assert!(out.contains(&shown), "{shown} is not there at all: {ended:#?}");
    }
    for line in ended.out.iter().filter(|_| json) {
        let object: serde_json::Value = serde_json::from_str(line).unwrap();
        // Also not after parsing the JSON.
        strings(&object, &mut |text| check(text));
        assert!(object.is_object(), "{line}");
    }
}

fn strings(value: &serde_json::Value, look: &mut impl FnMut(&str)) {
    match value {
        serde_json::Value::String(text) => look(text),
        serde_json::Value::Array(items) => items.iter().for_each(|item| strings(item, look)),
        serde_json::Value::Object(fields) => fields.iter().for_each(|(name, value)| {
            look(name);
            strings(value, look);
        }),
        _ => {}
    }
}

/// The user agent and the reason as they are printed.
const SHOWN: &str = r"pwned\u{1b}[2J";
/// The invalid command as it is printed.
const MALFORMED: &str = r"\x1b[2J\r\n";

/// Runs a program that dials such a node.
fn meets(program: &str, arguments: &[&str], rude: Rude, shown: &[&str]) {
    for mode in MODES {
        let address = node(rude);
        let ended = run(program, &[&[address.as_str()], &SIMNET[..], mode, arguments].concat());
        check_output(&ended, !mode.is_empty(), shown);
    }
}

#[test]
fn connect_prints_no_control_characters() {
    meets("connect", &[], Rude::AskedForAddresses, &[SHOWN, MALFORMED]);
    meets("connect", &[], Rude::FromTheBeginning, &[MALFORMED]);
}

#[test]
fn the_exercise_prints_no_control_characters() {
    meets("connect", &["--exercise", "--wait", "0.2"], Rude::Never, &[SHOWN]);
}

#[test]
fn sync_prints_no_control_characters() {
    meets("sync", &[], Rude::Never, &[SHOWN]);
    meets("sync", &[], Rude::FromTheBeginning, &[MALFORMED]);
}

#[test]
fn crawl_prints_no_control_characters() {
    for (rude, shown) in [(Rude::AskedForAddresses, SHOWN), (Rude::FromTheBeginning, MALFORMED)] {
        let dot = Scratch::new("harmless-dot");
        meets("crawl", &["--dot", dot.path()], rude, &[shown]);
        let graph = String::from_utf8(dot.content()).unwrap();
        check(&graph);
        assert!(graph.contains("127.0.0.1:"), "{graph}");
    }
}

#[test]
fn connect_through_a_proxy_prints_no_control_characters() {
    for (rude, shown) in [(Rude::Never, SHOWN), (Rude::FromTheBeginning, MALFORMED)] {
        for mode in MODES {
            let (proxy, asked) = proxy(node(rude).parse().unwrap());
            let ended = run(
                "connect",
                &[&["node.example", "--proxy", proxy.as_str(), "--for", "0"], &SIMNET[..], mode].concat(),
            );
            check_output(&ended, !mode.is_empty(), &[shown]);
            asked.join().unwrap();
        }
    }
}

/// Dials a program, sends hostile text, and then garbage.
fn dial(address: &str) {
    let mut node = Played::dial(address, Network::Simnet);
    node.send(&hostile_version());
    node.expect::<VerAck>();
    node.send(&VerAck);
    talk(&mut node);
    let _ = node.stream.write_all(&garbage());
    while node.next().is_some() {}
}

/// The address at which a program listens, from its text or its JSON. Other lines have addresses too: `relay` prints those of
/// the nodes that it dialled, mostly after this line and sometimes before it.
fn listening(program: &Running) -> String {
    program.line("where it listens", |line| {
        if !line.contains("listening") {
            return None;
        }
        let port: String = line.split_once("127.0.0.1:")?.1.chars().take_while(char::is_ascii_digit).collect();
        Some(format!("127.0.0.1:{port}"))
    })
}

#[test]
fn listen_prints_no_control_characters() {
    for mode in MODES {
        let listen = Running::start("listen", &[&["127.0.0.1:0", "--once"], &SIMNET[..], mode].concat());
        dial(&listening(&listen));
        let ended = listen.end();
        check_output(&ended, !mode.is_empty(), &[SHOWN, MALFORMED]);
    }
}

#[cfg(unix)]
#[test]
fn relay_prints_no_control_characters() {
    for mode in MODES {
        let dialled = node(Rude::AfterTheHandshake);
        let relay = Running::start("relay", &[&["--connect", &dialled], &SIMNET[..], mode].concat());
        dial(&listening(&relay));
        for id in [1, 2] {
            let gone = [format!("[{id}] disconnected"), format!(r#""disconnected","peer":{id},"#)];
            relay.line(&gone[0], |line| gone.iter().any(|gone| line.contains(gone)).then_some(()));
        }
        relay.interrupt();
        let ended = relay.end();
        check_output(&ended, !mode.is_empty(), &[SHOWN, MALFORMED]);
    }
}

#[test]
fn inspect_prints_no_control_characters_of_a_capture() {
    let capture = Scratch::new("harmless-capture");
    meets("connect", &["--capture", capture.path()], Rude::AskedForAddresses, &[SHOWN, MALFORMED]);
    for mode in MODES {
        let ended = run("inspect", &[&[capture.path()], mode].concat());
        check_output(&ended, !mode.is_empty(), &[SHOWN, MALFORMED]);
    }
}
