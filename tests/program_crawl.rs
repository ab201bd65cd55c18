//! The crawler finds every node of a network in which each knows only the next.
#![allow(missing_docs)]

mod common;
mod programs;

use common::builder;
use kaspa_peer::wire::{GetAddr, NetAddress, Services, TimedAddress};
use kaspa_peer::{Listener, Peer};
use parking_lot::Mutex;
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::sync::Arc;
use std::thread;

/// Knows one other node.
struct Knows(SocketAddr);

impl Listener for Knows {
    fn on_get_addr(&self, peer: &Peer, _: GetAddr) {
        let known = TimedAddress { time: 0, address: NetAddress::new(self.0, Services::NETWORK) };
        peer.push_addresses(&[known], None).unwrap();
    }
}

/// A ring of nodes, the last of which also knows a node that is not there.
fn network(size: usize) -> Vec<SocketAddr> {
    let doors: Vec<TcpListener> = (0..size).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let addresses: Vec<SocketAddr> = doors.iter().map(|door| door.local_addr().unwrap()).collect();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (index, door) in doors.into_iter().enumerate() {
        let next = *addresses.get(index + 1).unwrap_or(&nobody);
        let name = format!("node-{index}");
        let config = builder()
            .user_agent(name, "1.0", ["ring"])
            .services(Services::NETWORK)
            .listener(Knows(next))
            .build()
            .unwrap();
        // Ends with the process.
        thread::spawn(move || {
            let peers = Arc::new(Mutex::new(Vec::new()));
            while let Ok((stream, from)) = door.accept() {
                peers.lock().push(Peer::inbound(stream, from, &config).unwrap());
            }
        });
    }
    addresses
}

#[test]
fn every_node_that_can_be_reached_is_found() {
    let nodes = network(12);
    let dot = std::env::temp_dir().join(format!("crawl-{}.dot", std::process::id()));
    let run = |extra: &[&str]| {
        let output = Command::new(programs::example("crawl"))
            .args([&nodes[0].to_string(), "--network", "simnet", "--threads", "3"])
            .args(extra)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let summary = run(&["--dot", dot.to_str().unwrap()]);
    assert!(summary.starts_with("13 nodes, 12 reached\n"), "{summary}");
    assert!(summary.contains("node-11:1.0(ring)/") && summary.contains("connection refused"), "{summary}");
    let graph = std::fs::read_to_string(&dot).unwrap();
    std::fs::remove_file(&dot).unwrap();
    for pair in nodes.windows(2) {
        assert!(graph.contains(&format!("\"{}\" -> \"{}\";", pair[0], pair[1])), "{graph}");
    }

    let lines = run(&["--json", "--max", "5"]);
    let rows: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 5);
    assert!(rows.iter().all(|row| row["reached"] == true && row["services"] == "SFNodeNetwork"), "{lines}");
}
