//! A thousand remotes each claim a payload of 32 MiB: what the whole process holds for them grows with the bytes that came.
//!
//! Alone in its file, since it counts what the whole process allocates. A reallocation counts as both blocks at once.
#![allow(missing_docs)]

mod common;

use common::{builder, version, wait_until};
use crossbeam_channel::{Receiver, bounded};
use kaspa_peer::Peer;
use kaspa_peer::peer::Halves;
use kaspa_peer::wire::{Frame, MAX_PAYLOAD, Network, VerAck};
use parking_lot::Mutex;
use peak_alloc::PeakAlloc;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const CONNECTIONS: usize = 1000;

/// What all of them say, and how many have said it.
struct Script {
    introduction: Vec<u8>,
    claim: Vec<u8>,
    introduced: AtomicUsize,
    claimed: AtomicUsize,
}

/// Says its introduction, waits for `go`, says its claim, and waits for `end`: no thread, no socket, and nothing allocated.
struct Remote {
    script: Arc<Script>,
    at: usize,
    go: Receiver<()>,
    end: Receiver<()>,
}

impl Read for Remote {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Script { introduction, claim, introduced, claimed } = &*self.script;
        // Nothing is ever sent over either channel.
        if self.at == introduction.len() {
            introduced.fetch_add(1, Ordering::SeqCst);
            let _ = self.go.recv();
        } else if self.at == introduction.len() + claim.len() {
            claimed.fetch_add(1, Ordering::SeqCst);
            let _ = self.end.recv();
            return Ok(0);
        }
        let rest = introduction.get(self.at..).filter(|rest| !rest.is_empty());
        let mut rest = rest.unwrap_or_else(|| &claim[self.at - introduction.len()..]);
        // As a socket gives it.
        let count = (&mut rest).take(1448).read(into)?;
        self.at += count;
        Ok(count)
    }
}

/// By how much the process grew at most, while a thousand remotes claimed 32 MiB and sent so many bytes of it.
fn growth(sent: usize) -> usize {
    let frame = |message: &dyn kaspa_peer::wire::Encode| Frame::encode(message, Network::Simnet).unwrap();
    let mut claim = Network::Simnet.magic().to_le_bytes().to_vec();
    claim.extend(b"block\0\0\0\0\0\0\0");
    claim.extend(MAX_PAYLOAD.to_le_bytes());
    claim.resize(24 + sent, 7);
    let script = Arc::new(Script {
        introduction: [frame(&version()).as_bytes(), frame(&VerAck).as_bytes()].concat(),
        claim,
        introduced: AtomicUsize::new(0),
        claimed: AtomicUsize::new(0),
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
    wait_until("all are introduced", || {
        script.introduced.load(Ordering::SeqCst) == CONNECTIONS && peers.iter().all(quiet)
    });
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    drop(ready);
    // Who asks for more has dealt with what came before.
    wait_until("all have claimed", || script.claimed.load(Ordering::SeqCst) == CONNECTIONS);
    let growth = ALLOCATOR.peak_usage() - before;
    assert!(peers.iter().all(|peer| peer.disconnect_reason().is_none()));
    // What they held must be gone before anything is measured again.
    peers.iter().for_each(Peer::disconnect);
    peers.iter().for_each(|peer| drop(peer.wait_for_disconnect().unwrap()));
    growth
}

#[test]
fn cost_twice_what_they_sent_and_64_kib_each() {
    for sent in [0, 5_000, 100_000] {
        let bound = CONNECTIONS * (2 * (24 + sent) + 64 * 1024);
        let growth = growth(sent);
        assert!(growth <= bound, "{growth} > {bound} for {sent} bytes each");
        assert!(growth >= CONNECTIONS * sent, "{growth} cannot hold what came: it was not counted");
    }
}
