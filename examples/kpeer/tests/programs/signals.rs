//! SIGINT and SIGTERM end the subcommands in order: captures are complete, and a last line says how it ended.

use crate::support::running::{Ended, Played, Running};
use crate::support::scratch::Scratch;
use crate::support::version;
use kaspa_peer::peer::{CaptureReader, Captured};
use kaspa_peer::wire::{GetLocator, GetSelectedTip, Message, Network, Ping, Pong, SelectedTip, VerAck, Version};
use std::fs::File;
use std::io::BufReader;
use std::net::TcpListener;

const SIGNALS: [&str; 2] = ["INT", "TERM"];

/// Checks that every record of a capture is whole, and that the last is the end of a connection.
fn check_capture(file: &Scratch) {
    let reader = CaptureReader::new(BufReader::new(File::open(file.path()).unwrap())).unwrap();
    let records: Vec<_> = reader.map(Result::unwrap).collect();
    assert!(matches!(records.last().unwrap().what, Captured::Gone(_)), "{:?}", records.last());
}

/// A remote whose handshake with the program is done.
fn connected(address: &str) -> Played {
    let mut remote = Played::dial(address, Network::Simnet);
    remote.send(&Version::new(7));
    remote.expect::<Version>();
    remote.expect::<VerAck>();
    remote.send(&VerAck);
    remote
}

#[test]
fn listen_disconnects_its_peers_and_ends_with_0() {
    for signal in SIGNALS {
        let capture = Scratch::new(&format!("listen-{signal}.kpcap"));
        let (listen, address) = Running::listen(&["--network", "simnet", "--capture", capture.path()]);
        let _remote = connected(&address);
        listen.event("version", |_| true);
        listen.signal(signal);
        let ended = listen.end();
        assert_eq!(ended.status, 0, "{ended:#?}");
        assert_eq!((ended.events("disconnected").len(), ended.events("interrupted").len()), (1, 1), "{ended:#?}");
        check_capture(&capture);
    }
}

#[test]
fn connect_ends_with_0_when_a_signal_is_its_only_end() {
    for signal in SIGNALS {
        let capture = Scratch::new(&format!("connect-{signal}.kpcap"));
        let (_listen, address) = Running::listen(&["--network", "simnet"]);
        let arguments = [&address, "--network", "simnet", "--json", "--capture", capture.path()];
        let connect = Running::start("connect", &arguments);
        connect.event("ping", |_| true);
        connect.signal(signal);
        let ended = connect.end();
        assert_eq!((ended.status, ended.events("disconnected").len()), (0, 1), "{ended:#?}");
        check_capture(&capture);
    }
}

/// A subcommand that waits for a node, until a signal arrives.
fn interrupted_while_the_node_is_silent(name: &str, arguments: &[&str], signal: &str) -> Ended {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let running = Running::start(name, &[&[address.as_str(), "--network", "simnet", "--json"], arguments].concat());
    let _silent = listener.accept().unwrap();
    if name == "sync" {
        // Until then, the signal would interrupt the dialling.
        running.event("connected", |_| true);
    }
    running.signal(signal);
    running.end()
}

#[test]
fn sync_disconnects_and_completes_its_capture() {
    for signal in SIGNALS {
        let capture = Scratch::new(&format!("sync-{signal}.kpcap"));
        let ended = interrupted_while_the_node_is_silent("sync", &["--capture", capture.path()], signal);
        assert_eq!((ended.status, ended.events("disconnected").len()), (1, 1), "{ended:#?}");
        assert_eq!(ended.events("failed")[0]["reason"], "interrupted", "{ended:#?}");
        check_capture(&capture);
    }
}

#[test]
fn sync_says_that_it_was_interrupted_while_it_downloads() {
    for signal in SIGNALS {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let sync = Running::start("sync", &[&address, "--network", "simnet", "--json"]);
        let mut node = Played::accept(&listener, &version(), Network::Simnet);
        // The download has begun, and gets no answer.
        node.expect::<GetLocator>();
        sync.signal(signal);
        let ended = sync.end();
        let failed = &ended.events("failed")[0];
        assert_eq!((ended.status, &failed["reason"]), (1, &"interrupted".into()), "{ended:#?}");
        assert_eq!((&failed["blocks"], &failed["new"]), (&0.into(), &0.into()), "{ended:#?}");
    }
}

#[test]
fn dialling_through_a_silent_proxy_can_be_interrupted() {
    for (name, arguments) in [("connect", &[] as &[&str]), ("sync", &[]), ("relay", &["--connect"])] {
        let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = proxy.local_addr().unwrap().to_string();
        let dial = ["node.example", "--proxy", &address, "--network", "simnet", "--json"];
        let running = Running::start(name, &[arguments, &dial].concat());
        let _silent = proxy.accept().unwrap();
        running.signal("INT");
        let ended = running.end();
        let reason = "interrupted while dialling node.example";
        assert_eq!((ended.status, &ended.events("failed")[0]["reason"]), (1, &reason.into()), "{ended:#?}");
    }
}

#[test]
fn crawl_prints_its_summary() {
    for signal in SIGNALS {
        let ended = interrupted_while_the_node_is_silent("crawl", &["--timeout", "60"], signal);
        // No node was reached, which is an error of its own.
        assert_eq!((ended.status, ended.events("done").len()), (1, 1), "{ended:#?}");
    }
}

#[test]
fn listen_answers_each_getseltip_once() {
    let (_listen, address) = Running::listen(&["--network", "simnet"]);
    let mut remote = connected(&address);
    remote.send(&GetSelectedTip);
    remote.send(&Ping { nonce: 7 });
    let mut answers = 0;
    loop {
        match remote.next().unwrap() {
            Message::SelectedTip(SelectedTip { .. }) => answers += 1,
            Message::Pong(Pong { nonce: 7 }) => break,
            _ => {}
        }
    }
    assert_eq!(answers, 1, "kaspad disconnects at a second answer");
}
