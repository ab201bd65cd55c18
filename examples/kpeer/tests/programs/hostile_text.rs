//! What a hostile node writes never reaches a terminal as it came, whichever program it talks to.

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

/// Clears the screen, sets the title, forges lines, colours by C1, reorders, hides, and is not UTF-8.
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

/// A frame whose command is none.
fn garbage() -> Vec<u8> {
    let mut frame = Frame::encode(&Ping { nonce: 1 }, Network::Simnet).unwrap().as_bytes().to_vec();
    frame[4..16].copy_from_slice(b"\x1b[2J\r\n\x9b\xe2\x80\xae\x07\"");
    frame
}

/// All that holds text.
fn talk(node: &mut Played) {
    node.send(&hostile_reject(WireString::from_bytes(hostile())));
    node.send(&hostile_reject("tx"));
    node.send(&CustomMessage::new("$(x)\\\"%s", hostile()).unwrap());
}

/// What makes a node that is dialled send garbage.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rude {
    FromTheBeginning,
    AfterTheHandshake,
    AskedForAddresses,
    Never,
}

/// A node that talks, and refuses what it is asked. Gives its address.
fn node(rude: Rude) -> String {
    let door = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = door.local_addr().unwrap().to_string();
    // Ends with its only guest.
    thread::spawn(move || {
        if rude == Rude::FromTheBeginning {
            let mut stream = door.accept().unwrap().0;
            stream.write_all(&garbage()).unwrap();
            Played::new(stream, Network::Simnet).expect::<Version>();
            return;
        }
        let mut node = Played::accept(&door, &hostile_version(), Network::Simnet);
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

/// Characters that move the cursor, reorder or hide what stands around them.
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

/// Nothing in the output is harmful, and what was harmful is there as `shown`.
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
        // Not even after it was taken out of the JSON.
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

/// How the user agent and the reason look when they are shown.
const SHOWN: &str = r"pwned\u{1b}[2J";
/// And how the command that is none.
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
fn connect_is_harmless() {
    meets("connect", &[], Rude::AskedForAddresses, &[SHOWN, MALFORMED]);
    meets("connect", &[], Rude::FromTheBeginning, &[MALFORMED]);
}

#[test]
fn the_exercise_is_harmless() {
    meets("connect", &["--exercise", "--wait", "0.2"], Rude::Never, &[SHOWN]);
}

#[test]
fn sync_is_harmless() {
    meets("sync", &[], Rude::Never, &[SHOWN]);
    meets("sync", &[], Rude::FromTheBeginning, &[MALFORMED]);
}

#[test]
fn crawl_is_harmless() {
    for (rude, shown) in [(Rude::AskedForAddresses, SHOWN), (Rude::FromTheBeginning, MALFORMED)] {
        let dot = Scratch::new("harmless-dot");
        meets("crawl", &["--dot", dot.path()], rude, &[shown]);
        let graph = String::from_utf8(dot.content()).unwrap();
        check(&graph);
        assert!(graph.contains("127.0.0.1:"), "{graph}");
    }
}

#[test]
fn a_proxy_is_harmless() {
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

/// Dials a program, talks to it, and sends it garbage.
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
fn listen_is_harmless() {
    for mode in MODES {
        let listen = Running::start("listen", &[&["127.0.0.1:0", "--once"], &SIMNET[..], mode].concat());
        dial(&listening(&listen));
        let ended = listen.end();
        check_output(&ended, !mode.is_empty(), &[SHOWN, MALFORMED]);
    }
}

#[cfg(unix)]
#[test]
fn relay_is_harmless() {
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
fn a_capture_of_it_is_inspected_harmlessly() {
    let capture = Scratch::new("harmless-capture");
    meets("connect", &["--capture", capture.path()], Rude::AskedForAddresses, &[SHOWN, MALFORMED]);
    for mode in MODES {
        let ended = run("inspect", &[&[capture.path()], mode].concat());
        check_output(&ended, !mode.is_empty(), &[SHOWN, MALFORMED]);
    }
}
