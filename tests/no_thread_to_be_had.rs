//! When a thread cannot be started, the constructor says so and leaves nothing behind: no thread, no descriptor, no open
//! connection, and nobody was told anything.
//!
//! The process has little memory for it, so the test runs itself in a process of its own, behind `ulimit -v`.
#![cfg(all(target_os = "linux", target_pointer_width = "64"))]
#![allow(missing_docs)]

mod common;

use common::by_hand::ByHand;
use common::{Recorder, builder, sockets, version, wait_until};
use kaspa_peer::wire::Network;
use kaspa_peer::{Direction, DisconnectReason, Peer, StartError};
use std::process::Command;
use std::sync::{Arc, Barrier};
use std::thread::{self, JoinHandle};

/// What a thread of a peer takes.
const STACK: usize = 256 * 1024;

/// Set in the process that has little memory.
const LITTLE: &str = "LITTLE_MEMORY";

#[test]
#[ignore = "aborts now and then: with so little memory, the allocator itself can fail on any thread"]
fn each_of_the_three() {
    let program = std::env::current_exe().unwrap();
    let output = Command::new("sh")
        .args(["-c", "ulimit -v 400000 && exec \"$0\" --exact --nocapture --test-threads=1 in_little_memory"])
        .arg(program)
        .env(LITTLE, "1")
        .env("RUST_BACKTRACE", "0")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{output:?}");
}

#[test]
fn in_little_memory() {
    if std::env::var_os(LITTLE).is_none() {
        return;
    }
    // Starts and ends once, so that everything that is made once is there.
    drop(met());
    wait_until("no threads", || peer_threads().is_empty());
    // Twice as many as there is room for.
    let mut crowd = Crowd::new();
    while crowd.join() {
        assert!(crowd.threads.len() < 4000, "there is no limit");
    }
    for direction in [Direction::Inbound, Direction::Outbound] {
        for (room, missing) in ["pinger", "writer", "reader"].into_iter().enumerate() {
            crowd.leave(room);
            let (fds, told) = (descriptors(), Recorder::default());
            let (ours, theirs) = sockets();
            let config = builder().listener(told.clone()).build().unwrap();
            let address = ours.peer_addr().unwrap();
            let result = match direction {
                Direction::Inbound => Peer::inbound(ours, address, &config),
                Direction::Outbound => Peer::outbound(ours, address, &config),
            };
            match result {
                Err(StartError::Thread { thread, .. }) => assert_eq!(thread, missing),
                other => panic!("{room} free: {other:?}"),
            }
            assert_eq!(ByHand::new(theirs, Network::Simnet).rest(), [], "closed, and nothing was said");
            wait_until("no threads", || peer_threads().is_empty());
            assert_eq!(descriptors(), fds);
            told.told(|told| {
                assert!(told.messages.is_empty() && told.written.is_empty() && told.disconnects.is_empty())
            });
            while crowd.join() {}
        }
    }
    crowd.leave(3);
    // Now there is room.
    let (peer, _remote) = met();
    peer.disconnect();
    assert_eq!(common::by_hand::end_of(&peer), DisconnectReason::Local);
}

fn met() -> (Peer, ByHand) {
    let (ours, theirs) = sockets();
    let address = ours.peer_addr().unwrap();
    let peer = Peer::inbound(ours, address, &builder().build().unwrap()).unwrap();
    let mut remote = ByHand::new(theirs, Network::Simnet);
    remote.shake_hands(&version());
    (peer, remote)
}

/// Threads that take the room of a peer's.
struct Crowd {
    threads: Vec<(JoinHandle<()>, Arc<Barrier>)>,
}

impl Crowd {
    fn new() -> Self {
        Self { threads: Vec::with_capacity(4000) }
    }

    /// Whether there was room for one more.
    fn join(&mut self) -> bool {
        let leave = Arc::new(Barrier::new(2));
        let wait = Arc::clone(&leave);
        match thread::Builder::new().stack_size(STACK).spawn(move || _ = wait.wait()) {
            Ok(thread) => {
                self.threads.push((thread, leave));
                true
            }
            Err(_) => false,
        }
    }

    /// So many go.
    fn leave(&mut self, count: usize) {
        for (thread, leave) in self.threads.drain(self.threads.len() - count..) {
            leave.wait();
            thread.join().unwrap();
        }
    }
}

/// The names of the threads that serve peers.
fn peer_threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with("kpeer-")).collect()
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}
