//! The memory of `kpeer connect` stays bounded, whatever the node sends. Needs /proc.
#![cfg(target_os = "linux")]

use crate::support;
use crate::support::kpeer;
use crate::support::running::Played;
use kaspa_peer::wire::*;
use std::fs;
use std::net::{Shutdown, TcpListener};
use std::process::Stdio;

/// The most memory that a process has used so far, in bytes.
fn peak(process: u32) -> usize {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1024
}

#[test]
fn the_rejects_of_a_node_are_not_collected() {
    const MIB: usize = 1 << 20;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut connect = kpeer("connect")
        .args([&listener.local_addr().unwrap().to_string(), "--network", "simnet", "--exercise", "--wait", "60"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut node = Played::accept(&listener, &support::version(), Network::Simnet);
    let Ping { nonce } = node.expect();
    node.send(&Pong { nonce });
    node.expect::<GetSelectedTip>();
    let before = peak(connect.id());
    let reject = Reject::new("getseltip", RejectCode::INVALID, "no ".repeat(MIB / 3));
    for _ in 0..100 {
        node.send(&reject);
    }
    node.send(&SelectedTip { hash: Hash::ZERO });
    // The next request shows that all rejects were read.
    node.expect::<GetAddr>();
    let grown = peak(connect.id()) - before;
    node.stream.shutdown(Shutdown::Both).unwrap();
    assert_eq!(connect.wait().unwrap().code(), Some(1));
    assert!(grown < 50 * MIB, "{grown} bytes");
}
