//! What subcommands do when their output is closed, or when nobody reads it.

use crate::support::kpeer;
use crate::support::running::{DEADLINE, Played, Running};
use kaspa_peer::wire::{Network, Ping, Pong, VerAck, Version};
use serde_json::Value;
use std::io::{self, BufRead, BufReader};
use std::process::Stdio;
use std::sync::mpsc::channel;
use std::thread;

#[test]
fn a_subcommand_whose_output_is_closed_fails_without_a_message() {
    let (_listen, address) = Running::listen(&["--network", "simnet"]);
    let calls: [&[&str]; 6] = [
        &["connect", &address, "--for", "0.1"],
        &["sync", &address],
        &["sync", &address, "--json"],
        &["listen", "127.0.0.1:0"],
        &["crawl", &address],
        &["crawl", &address, "--json"],
    ];
    for call in calls {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let output = kpeer(call[0])
            .args(&call[1..])
            .args(["--network", "simnet"])
            .stdout(writer)
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(1), &[][..]), "{call:?}: {output:?}");
    }
}

/// Kills the program when the test ends.
struct Killed(std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_node_whose_output_nobody_reads_goes_on_and_counts_the_lines() {
    const PINGS: u64 = 15_000;
    let (reader, writer) = io::pipe().unwrap();
    let mut command = kpeer("listen");
    command.args(["127.0.0.1:0", "--network", "simnet", "--json"]).stdin(Stdio::null()).stdout(writer);
    let _listen = Killed(command.spawn().unwrap());
    // Closes this process's copy of the writer.
    drop(command);
    let mut lines = BufReader::new(reader).lines().map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    let address = lines.next().unwrap()["address"].as_str().unwrap().to_owned();

    // From here on, nobody reads. Each ping makes two lines of about 80 bytes.
    let mut remote = Played::dial(&address, Network::Simnet);
    remote.send(&Version::new(7));
    remote.expect::<VerAck>();
    remote.send(&VerAck);
    for nonce in 0..PINGS {
        remote.send(&Ping { nonce });
        assert_eq!(remote.expect::<Pong>().nonce, nonce);
    }

    let (sender, rest) = channel();
    thread::spawn(move || lines.try_for_each(|line| sender.send(line)));
    let (mut printed, mut dropped) = (0, 0);
    // The remote may have the last pong before the callbacks print the last ping and its pong.
    while printed + dropped < 2 * PINGS - 2 {
        let line = rest.recv_timeout(DEADLINE).unwrap();
        printed += u64::from(line["command"] == "ping" || line["command"] == "pong");
        dropped += if line["event"] == "dropped" { line["lines"].as_u64().unwrap() } else { 0 };
    }
    assert!(dropped > 0 && printed + dropped <= 2 * PINGS, "{printed} printed, {dropped} dropped");
}
