//! A connection ends while 64 threads use it. All calls return, all get the same reason, and every receipt resolves
//! once.

use crate::common::local::{end_reason, new_peer};
use crate::common::{DEADLINE, builder, version, wait_until};
use kaspa_peer::wire::{CustomMessage, FeeFilter, Frame, Inventory, Network, Ping, VerAck};
use kaspa_peer::{Direction, DisconnectReason, Peer, QueueError, Receipt, WaitError};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const THREADS: usize = 64;

/// The time at which the connection ends.
#[derive(Debug, Clone, Copy)]
enum Stage {
    Started,
    VersionReceived,
    Connected,
}

/// How the connection ends.
#[derive(Debug, Clone, Copy)]
enum How {
    TwoThreadsDisconnect,
    RemoteCloses,
    MalformedFrame,
    LastHandleDropped,
}

/// Uses the peer in every way until it ends. Returns the receipts, and the reason in the first error.
fn use_peer(peer: &Peer, number: usize) -> (Vec<Receipt>, DisconnectReason) {
    let fee = FeeFilter { min_fee: number as i64 };
    let frame = Frame::encode(&CustomMessage::new("storm", vec![7; 20_000]).unwrap(), Network::Simnet).unwrap();
    let mut receipts = Vec::new();
    let start = Instant::now();
    let mut round = number;
    loop {
        assert!(start.elapsed() < DEADLINE, "the connection has not ended");
        round += 1;
        let result = match round % 8 {
            0 => peer.queue_message(&fee).map(drop),
            1 => peer.queue_message(&fee).map(|receipt| receipts.push(receipt)),
            2 => peer.queue_frame(&frame).map(|receipt| receipts.push(receipt)),
            // Longer than the end of the connection may leave a sender waiting.
            3 => peer.send_message(&fee, 2 * DEADLINE).map(|receipt| receipts.push(receipt)),
            4 => peer.send_frame(&frame, Duration::from_millis(5)).map(|receipt| receipts.push(receipt)),
            5 => peer.queue_inventory(Inventory::block(kaspa_peer::wire::Hash::of(&round.to_le_bytes()))),
            6 => match peer.ping_timeout(Duration::from_millis(5)) {
                Err(WaitError::Closed(reason)) => return (receipts, reason),
                Err(WaitError::Timeout { .. } | WaitError::Queue(_)) | Ok(_) => Ok(()),
                Err(error) => panic!("{error}"),
            },
            _ => {
                let _ = peer.stats();
                Ok(())
            }
        };
        match result {
            Ok(()) | Err(QueueError::Full { .. } | QueueError::Timeout { .. }) => {}
            Err(QueueError::Closed(reason)) => return (receipts, reason),
            Err(error) => panic!("{error}"),
        }
    }
}

fn end_under_load(stage: Stage, how: How) {
    let config = builder().queue_limit(200_000).high_water_mark(100_000);
    let (local, mut remote) = new_peer(Direction::Inbound, config);
    if !matches!(stage, Stage::Started) {
        remote.send(&version()).unwrap();
        local.recorder.wait_for::<kaspa_peer::wire::Version>();
    }
    if matches!(stage, Stage::Connected) {
        remote.send(&VerAck).unwrap();
        local.peer.wait_for_handshake().unwrap();
    }
    let busy = AtomicUsize::new(0);
    let recorder = local.recorder.clone();
    let peer = (!matches!(how, How::LastHandleDropped)).then(|| local.peer.clone());
    let (outcome, outcomes) = crossbeam_channel::unbounded();
    let kept = peer.as_ref();
    let ended = thread::scope(|scope| {
        for number in 0..THREADS {
            let (peer, outcome, busy) = (local.peer.clone(), outcome.clone(), &busy);
            scope.spawn(move || {
                busy.fetch_add(1, Ordering::SeqCst);
                let (receipts, closed) = match how {
                    // Queues a little, and drops its handle.
                    How::LastHandleDropped => {
                        let receipts = [(); 3].map(|()| peer.queue_message(&FeeFilter { min_fee: 1 }));
                        (receipts.into_iter().flatten().collect(), None)
                    }
                    _ => {
                        let (receipts, reason) = use_peer(&peer, number);
                        (receipts, Some(reason))
                    }
                };
                drop(peer);
                outcome.send((receipts, closed, Instant::now())).unwrap();
            });
        }
        drop(local.peer);
        wait_until("all threads run", || busy.load(Ordering::SeqCst) == THREADS);
        let peer = kept;
        match how {
            How::TwoThreadsDisconnect => {
                let disconnect = move || peer.unwrap().disconnect();
                let other = scope.spawn(disconnect);
                disconnect();
                other.join().unwrap();
            }
            How::RemoteCloses => drop(remote.stream().shutdown(std::net::Shutdown::Both)),
            How::MalformedFrame => {
                let _ = std::io::Write::write_all(remote.stream(), &[0x1b; 24]);
            }
            How::LastHandleDropped => {}
        }
        recorder.wait("on_disconnect", |record| (!record.disconnects.is_empty()).then_some(()));
        Instant::now()
    });
    drop(outcome);
    let reason = recorder.look(|record| record.disconnects[0].clone());
    if let Some(peer) = peer {
        assert_eq!(end_reason(&peer), reason);
        assert_eq!(peer.queue_message(&Ping { nonce: 1 }), Err(QueueError::Closed(reason.clone())));
    }
    let mut threads = 0;
    let mut longest = Duration::ZERO;
    for (receipts, closed, returned) in outcomes {
        threads += 1;
        longest = longest.max(returned.saturating_duration_since(ended));
        if let Some(closed) = closed {
            assert_eq!(closed, reason, "{stage:?} {how:?}");
        }
        let mut written = true;
        for receipt in receipts {
            let result = receipt.wait_timeout(DEADLINE);
            assert!(
                result == Ok(()) || result == Err(WaitError::Closed(reason.clone())),
                "{stage:?} {how:?}: {result:?}"
            );
            assert_eq!(receipt.try_wait(), Some(result.clone()), "the second answer is the same");
            // Messages of one thread are written in order. After the first that was not written, none was.
            assert!(written || result.is_err(), "{stage:?} {how:?}");
            written = result.is_ok();
        }
    }
    assert_eq!(threads, THREADS);
    assert!(longest < DEADLINE, "{stage:?} {how:?}: a thread returned {longest:?} after the end");
    assert_eq!(recorder.look(|record| record.disconnects.len()), 1);
}

#[test]
fn all_calls_return_and_all_receipts_resolve_when_the_connection_ends() {
    for stage in [Stage::Started, Stage::VersionReceived, Stage::Connected] {
        for how in [How::TwoThreadsDisconnect, How::RemoteCloses, How::MalformedFrame, How::LastHandleDropped] {
            end_under_load(stage, how);
        }
    }
}
