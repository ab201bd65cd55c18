//! The write timeout ends a peer whose remote accepts no byte for too long. Other peers are not affected.

use crate::common::blocking::fill_queue;
use crate::common::frames::{frame_of_size, message_of_size};
use crate::common::local::{connected_peer, connected_peer_of, end_reason, repeat_until_ended};
use crate::common::retry::{growing, retry_if_late};
use crate::common::{DEADLINE, builder};
use kaspa_peer::testing::{ScriptedRemote, tcp_pair};
use kaspa_peer::wire::{Command, FeeFilter, Hash, Inv, Inventory, Message, Ping, Pong};
use kaspa_peer::{DisconnectReason, Peer, QueueError};
use socket2::SockRef;
use std::io::Read;
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(300);

#[test]
fn a_remote_that_stops_reading_is_disconnected() {
    let (local, _remote) = connected_peer(builder().write_timeout(SHORT));
    let message = message_of_size(50_000);
    let error = loop {
        if let Err(error) = local.peer.send_message(&message, DEADLINE) {
            break error;
        }
    };
    let reason = DisconnectReason::WriteStalled { limit: SHORT };
    assert_eq!(error, QueueError::Closed(reason.clone()));
    assert_eq!(end_reason(&local.peer), reason);
}

#[test]
fn a_remote_that_stops_reading_within_a_large_frame_is_disconnected() {
    let (local, mut remote) = connected_peer(builder().write_timeout(SHORT));
    let receipt = local.peer.queue_message(&message_of_size(32_000_000)).unwrap();
    remote.stream().read_exact(&mut [0; 100_000]).unwrap();
    let reason = DisconnectReason::WriteStalled { limit: SHORT };
    assert_eq!(end_reason(&local.peer), reason);
    assert_eq!(receipt.wait(), Err(kaspa_peer::WaitError::Closed(reason)));
}

#[test]
fn a_remote_that_does_not_read_announcements_is_disconnected() {
    let config = builder().write_timeout(SHORT).trickle_interval(Duration::from_millis(1));
    let (local, _remote) = connected_peer(config);
    let mut next = 0u32;
    let reason = repeat_until_ended(&local.peer, || {
        let items: Inv = (next..next + 1000).map(|n| Inventory::tx(Hash::of(&n.to_le_bytes()))).collect();
        match local.peer.queue_inventories(&items.items) {
            Ok(()) | Err(QueueError::Closed(_)) => next += 1000,
            Err(QueueError::InventoryFull { .. }) => std::thread::sleep(Duration::from_millis(1)),
            Err(error) => panic!("{error}"),
        }
    });
    assert_eq!(reason, DisconnectReason::WriteStalled { limit: SHORT });
}

#[test]
fn a_remote_that_reads_slowly_but_steadily_stays_connected() {
    const SIZE: usize = 8_000_000;
    retry_if_late(growing(Duration::from_millis(400)), |limit, watch| {
        // With small socket buffers, the writer notices soon that the remote has read.
        let (dialled, accepted) = tcp_pair().unwrap();
        SockRef::from(&dialled).set_recv_buffer_size(64 * 1024).unwrap();
        SockRef::from(&accepted).set_send_buffer_size(64 * 1024).unwrap();
        let config = builder().write_timeout(limit).queue_limit(100_000_000).build().unwrap();
        let peer = Peer::inbound(accepted, dialled.local_addr().unwrap(), &config).unwrap();
        let mut remote = ScriptedRemote::new(dialled, config.network());
        remote.shake_hands().unwrap();
        let frame = frame_of_size(SIZE, remote.network());
        watch.tick();
        let receipts = [(); 2].map(|()| peer.queue_frame(&frame).unwrap());
        let start = Instant::now();
        let mut piece = vec![0; 16 * 1024];
        let mut read_some = || {
            let count = remote.stream().read(&mut piece).unwrap();
            assert_ne!(count, 0, "closed");
            count
        };
        let mut read = 0;
        // Writing takes several times the limit,
        while start.elapsed() < 3 * limit {
            read += read_some();
            watch.sleep(limit / 40);
        }
        // most of it is still to be written,
        assert!(read < SIZE, "{read} bytes are too many for a slow reader");
        assert_eq!((peer.disconnect_reason(), receipts[1].try_wait()), (None, None));
        // and the remote receives all of it.
        while read < 2 * SIZE {
            watch.tick();
            read += read_some();
        }
        watch.rest();
        assert_eq!(receipts.map(|receipt| receipt.wait_timeout(DEADLINE)), [Ok(()), Ok(())]);
        peer.queue_message(&FeeFilter { min_fee: 9 }).unwrap();
        assert_eq!(remote.expect::<FeeFilter>().unwrap().min_fee, 9);
    });
}

#[test]
fn without_the_timeout_a_remote_that_does_not_read_stays_connected() {
    let (local, mut remote) = connected_peer(builder().write_timeout(None).queue_limit(100_000));
    fill_queue(&local.peer);
    // Another peer, which is filled later, ends meanwhile.
    let (other, _remote) = connected_peer(builder().write_timeout(SHORT));
    let send = || other.peer.send_message(&message_of_size(50_000), DEADLINE).is_ok();
    assert_eq!(repeat_until_ended(&other.peer, send), DisconnectReason::WriteStalled { limit: SHORT });
    assert_eq!(local.peer.disconnect_reason(), None);
    let receipt = loop {
        match local.peer.queue_message(&FeeFilter { min_fee: 9 }) {
            Ok(receipt) => break receipt,
            Err(QueueError::Full { .. }) => assert!(matches!(remote.next_message().unwrap(), Message::Custom(_))),
            Err(error) => panic!("{error}"),
        }
    };
    while matches!(remote.next_message().unwrap(), Message::Custom(_)) {}
    assert_eq!(receipt.wait_timeout(DEADLINE), Ok(()));
}

#[test]
fn the_queue_of_a_remote_that_does_not_read_stays_within_its_limit() {
    const LIMIT: usize = 100_000;
    let (local, _remote) = connected_peer(builder().queue_limit(LIMIT));
    let message = message_of_size(3333);
    let mut refused = 0;
    while refused < 1000 {
        match local.peer.queue_message(&message) {
            Ok(_) => refused = 0,
            Err(QueueError::Full { queued, limit, message: 3333 }) => {
                assert!(limit == LIMIT && queued <= LIMIT && queued + 3333 > LIMIT, "{queued}");
                refused += 1;
            }
            Err(error) => panic!("{error}"),
        }
        let stats = local.peer.stats();
        assert!(stats.queued_bytes <= LIMIT && stats.queued_messages <= LIMIT / 3333 + 2, "{stats:?}");
    }
}

#[test]
fn a_remote_that_stops_reading_does_not_delay_other_peers() {
    retry_if_late(growing(Duration::from_millis(600)), |limit, watch| {
        let config = builder().write_timeout(limit).build().unwrap();
        let ((stuck, _silent), (reading, mut remote)) = (connected_peer_of(&config), connected_peer_of(&config));
        let frame = frame_of_size(1_000_000, config.network());
        let mut bytes = vec![0; frame.as_bytes().len()];
        let mut messages = 0;
        // Both peers are sent the same frames, as when a block is relayed.
        let reason = repeat_until_ended(&stuck, || {
            watch.tick();
            drop(stuck.queue_frame(&frame));
            reading.queue_frame(&frame).unwrap();
            reading.queue_message(&Ping { nonce: 1 }).unwrap();
            remote.stream().read_exact(&mut bytes).unwrap();
            assert!(bytes == frame.as_bytes());
            remote.expect::<Ping>().unwrap();
            messages += 1;
        });
        assert_eq!(reason, DisconnectReason::WriteStalled { limit });
        assert!(messages > 3, "{messages}");
        assert_eq!(reading.disconnect_reason(), None);
    });
}

#[test]
fn other_peers_are_served_while_one_is_blocked_without_end() {
    let config = builder().write_timeout(None).queue_limit(100 << 20).build().unwrap();
    let ((stuck, _silent), (reading, mut remote)) = (connected_peer_of(&config), connected_peer_of(&config));
    let frame = frame_of_size(1_000_000, config.network());
    // More than the buffers of the sockets hold.
    (0..40).for_each(|_| drop(stuck.queue_frame(&frame).unwrap()));
    let mut bytes = vec![0; frame.as_bytes().len()];
    for _ in 0..40 {
        reading.queue_frame(&frame).unwrap();
        remote.stream().read_exact(&mut bytes).unwrap();
        remote.send(&Ping { nonce: 1 }).unwrap();
        remote.expect::<Pong>().unwrap();
    }
    assert!(stuck.stats().queued_bytes > 0 && stuck.disconnect_reason().is_none());
}

#[test]
fn a_remote_that_pings_and_does_not_read_the_pongs_is_disconnected() {
    let (local, mut remote) = connected_peer(builder().queue_limit(10_000));
    let reason = repeat_until_ended(&local.peer, || remote.send(&Ping { nonce: 1 }).is_ok());
    assert_eq!(reason, DisconnectReason::QueueFull { command: Command::Pong });
}

#[test]
fn a_remote_that_pings_and_does_not_read_its_queue_is_disconnected() {
    let (local, mut remote) = connected_peer(builder().queue_limit(10_000));
    let reason = repeat_until_ended(&local.peer, || {
        drop(local.peer.queue_message(&message_of_size(10_000)));
        let _ = remote.send(&Ping { nonce: 1 });
    });
    assert_eq!(reason, DisconnectReason::QueueFull { command: Command::Pong });
}
