//! A thousand remotes each claim a payload of 32 MiB. The memory of the whole process grows with the bytes that
//! arrived, not with the lengths that were claimed.

use super::ALLOCATOR;
use super::process::exclusive;
use crate::common::{builder, version, wait_until};
use crossbeam_channel::{Receiver, bounded};
use kaspa_peer::peer::Halves;
use kaspa_peer::wire::{Command, Encode, Frame, MAX_PAYLOAD, Network, VerAck};
use kaspa_peer::{DisconnectReason, HandshakeError, Peer};
use parking_lot::Mutex;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const CONNECTIONS: usize = 1000;

/// The bytes that every remote sends, and how many remotes have sent them.
struct Script {
    handshake: Vec<u8>,
    claim: Vec<u8>,
    handshakes_sent: AtomicUsize,
    claims_sent: AtomicUsize,
}

/// The read half of a stream that gives the handshake, waits for `go`, gives the claim, and waits for `end`. It needs
/// no thread and no socket, and allocates nothing.
struct Remote {
    script: Arc<Script>,
    at: usize,
    go: Receiver<()>,
    end: Receiver<()>,
}

impl Read for Remote {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Script { handshake, claim, handshakes_sent, claims_sent } = &*self.script;
        // Nothing is ever sent over either channel: `recv` returns when the sender is dropped.
        if self.at == handshake.len() {
            handshakes_sent.fetch_add(1, Ordering::SeqCst);
            let _ = self.go.recv();
        } else if self.at == handshake.len() + claim.len() {
            claims_sent.fetch_add(1, Ordering::SeqCst);
            let _ = self.end.recv();
            return Ok(0);
        }
        let rest = handshake.get(self.at..).filter(|rest| !rest.is_empty());
        let mut rest = rest.unwrap_or_else(|| &claim[self.at - handshake.len()..]);
        // About as much as a TCP segment carries.
        let count = (&mut rest).take(1448).read(into)?;
        self.at += count;
        Ok(count)
    }
}

/// The most by which the process's memory grew while a thousand remotes claimed 32 MiB each and sent `sent` bytes of
/// it.
fn growth(sent: usize) -> usize {
    let frame = |message: &dyn Encode| Frame::encode(message, Network::Simnet).unwrap();
    let mut claim = Network::Simnet.magic().to_le_bytes().to_vec();
    claim.extend(b"block\0\0\0\0\0\0\0");
    claim.extend(MAX_PAYLOAD.to_le_bytes());
    claim.resize(24 + sent, 7);
    let script = Arc::new(Script {
        handshake: [frame(&version()).as_bytes(), frame(&VerAck).as_bytes()].concat(),
        claim,
        handshakes_sent: AtomicUsize::new(0),
        claims_sent: AtomicUsize::new(0),
    });
    let config = builder().build().unwrap();
    let (ready, go) = bounded(0);
    let peers: Vec<Peer> = (0..CONNECTIONS)
        .map(|_| {
            let (alive, end) = bounded(0);
            let remote = Remote { script: Arc::clone(&script), at: 0, go: go.clone(), end };
            let alive = Mutex::new(Some(alive));
            let stream = Halves::new(remote, io::sink(), move || drop(alive.lock().take()));
            Peer::inbound(stream, "nowhere:1", &config).unwrap()
        })
        .collect();
    let quiet = |peer: &Peer| peer.stats().handshake_done && peer.stats().queued_bytes == 0;
    wait_until("all handshakes are done", || {
        script.handshakes_sent.load(Ordering::SeqCst) == CONNECTIONS && peers.iter().all(quiet)
    });
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    drop(ready);
    // A reader thread that reads again has processed the bytes it read before.
    wait_until("all claims are read", || script.claims_sent.load(Ordering::SeqCst) == CONNECTIONS);
    let growth = ALLOCATOR.peak_usage() - before;
    assert!(peers.iter().all(|peer| peer.disconnect_reason().is_none()));
    // Their memory must be free before anything is measured again.
    peers.iter().for_each(Peer::disconnect);
    peers.iter().for_each(|peer| drop(peer.wait_for_disconnect().unwrap()));
    growth
}

#[test]
fn a_claimed_payload_costs_at_most_twice_the_bytes_that_arrived_and_64_kib() {
    let _exclusive = exclusive();
    for sent in [0, 5_000, 100_000] {
        let bound = CONNECTIONS * (2 * (24 + sent) + 64 * 1024);
        let growth = growth(sent);
        assert!(growth <= bound, "{growth} > {bound} for {sent} bytes each");
        assert!(
            growth >= CONNECTIONS * sent,
            "{growth} cannot hold the bytes that arrived: the allocator did not count them"
        );
    }
}

/// The remote sends a megabyte of a block that it claims to be 31 MB large, and waits until it is disconnected.
#[test]
fn twenty_remotes_that_send_no_version_cost_at_most_128_kib_each() {
    let _exclusive = exclusive();
    let mut claim = Network::Simnet.magic().to_le_bytes().to_vec();
    claim.extend(b"block\0\0\0\0\0\0\0");
    claim.extend(31_000_000_u32.to_le_bytes());
    claim.resize(1_000_000, 7);
    let script = Arc::new(Script {
        handshake: Vec::new(),
        claim,
        handshakes_sent: AtomicUsize::new(0),
        claims_sent: AtomicUsize::new(0),
    });
    let config = builder().build().unwrap();
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let peers: Vec<Peer> = (0..20)
        .map(|_| {
            let (ready, go) = bounded(0);
            drop(ready);
            let (alive, end) = bounded(0);
            let alive = Mutex::new(Some(alive));
            let remote = Remote { script: Arc::clone(&script), at: 0, go, end };
            let stream = Halves::new(remote, io::sink(), move || drop(alive.lock().take()));
            Peer::inbound(stream, "nowhere:1", &config).unwrap()
        })
        .collect();
    for peer in &peers {
        let reason = peer.wait_for_disconnect().unwrap();
        let expected = HandshakeError::NotVersion { command: Command::Block };
        assert_eq!(reason, DisconnectReason::Handshake(expected));
    }
    let growth = ALLOCATOR.peak_usage() - before;
    assert!(growth <= 20 * 128 * 1024, "{growth} bytes");
}
