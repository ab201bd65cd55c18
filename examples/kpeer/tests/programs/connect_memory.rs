//! The memory of `kpeer connect` stays bounded, whatever the node sends. Needs /proc.
#![cfg(target_os = "linux")]

use crate::support;
use crate::support::kpeer;
use crate::support::memory::{MIB, peak};
use crate::support::running::Played;
use kaspa_peer::wire::*;
use std::net::{Shutdown, TcpListener};
use std::process::Stdio;

#[test]
fn the_rejects_of_a_node_are_not_collected() {
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
