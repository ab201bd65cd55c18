//! Remotes that do not read, or slowly: the write timeout, the bound, and everybody else.

use crate::common::blocking::fill_queue;
use crate::common::frames::{frame_of_size, message_of_size};
use crate::common::local::{connected_peer, end_reason};
use crate::common::remote::Remote;
use crate::common::retry::{growing, retry_if_late};
use crate::common::{DEADLINE, builder, sockets, version};
use kaspa_peer::wire::{Command, FeeFilter, Inv, Inventory, Message, Ping, Pong, write_message};
use kaspa_peer::{Config, DisconnectReason, Peer, QueueError};
use socket2::SockRef;
use std::io::Read;
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(300);

#[test]
fn a_remote_that_stops_reading_is_let_go() {
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
fn so_is_one_that_stops_in_the_middle_of_a_large_frame() {
    let (local, mut remote) = connected_peer(builder().write_timeout(SHORT));
    let receipt = local.peer.queue_message(&message_of_size(32_000_000)).unwrap();
    remote.stream.read_exact(&mut [0; 100_000]).unwrap();
    let reason = DisconnectReason::WriteStalled { limit: SHORT };
    assert_eq!(end_reason(&local.peer), reason);
    assert_eq!(receipt.wait(), Err(kaspa_peer::WaitError::Closed(reason)));
}

#[test]
fn so_is_one_that_only_trickled_announcements_are_for() {
    let config = builder().write_timeout(SHORT).trickle_interval(Duration::from_millis(1));
    let (local, _remote) = connected_peer(config);
    let mut next = 0u32;
    while local.peer.disconnect_reason().is_none() {
        let items: Inv =
            (next..next + 1000).map(|n| Inventory::tx(kaspa_peer::wire::Hash::of(&n.to_le_bytes()))).collect();
        match local.peer.queue_inventories(&items.items) {
            Ok(()) | Err(QueueError::Closed(_)) => next += 1000,
            Err(QueueError::InventoryFull { .. }) => std::thread::sleep(Duration::from_millis(1)),
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(end_reason(&local.peer), DisconnectReason::WriteStalled { limit: SHORT });
}

#[test]
fn a_slow_but_steady_reader_lives() {
    const SIZE: usize = 8_000_000;
    retry_if_late(growing(Duration::from_millis(400)), |limit, watch| {
        // The less fits between the two, the sooner the writer notices what was read.
        let (dialled, accepted) = sockets();
        SockRef::from(&dialled).set_recv_buffer_size(64 * 1024).unwrap();
        SockRef::from(&accepted).set_send_buffer_size(64 * 1024).unwrap();
        let config = builder().write_timeout(limit).queue_limit(100_000_000).build().unwrap();
        let peer = Peer::inbound(accepted, dialled.local_addr().unwrap(), &config).unwrap();
        let mut remote = Remote::new(dialled, config.network());
        remote.shake_hands(&version());
        let frame = frame_of_size(SIZE, remote.network);
        watch.tick();
        let receipts = [(); 2].map(|()| peer.queue_frame(&frame).unwrap());
        let start = Instant::now();
        let mut piece = vec![0; 16 * 1024];
        let mut read_some = || {
            let count = remote.stream.read(&mut piece).unwrap();
            assert_ne!(count, 0, "closed");
            count
        };
        let mut read = 0;
        // What is written takes several times the limit …
        while start.elapsed() < 3 * limit {
            read += read_some();
            watch.sleep(limit / 40);
        }
        // … and most of it is still to come …
        assert!(read < SIZE, "{read}: read too fast for a test of slowness");
        assert_eq!((peer.disconnect_reason(), receipts[1].try_wait()), (None, None));
        // … and does.
        while read < 2 * SIZE {
            watch.tick();
            read += read_some();
        }
        watch.rest();
        assert_eq!(receipts.map(|receipt| receipt.wait_timeout(DEADLINE)), [Ok(()), Ok(())]);
        peer.queue_message(&FeeFilter { min_fee: 9 }).unwrap();
        assert_eq!(remote.expect::<FeeFilter>().min_fee, 9);
    });
}

#[test]
fn without_the_timeout_a_remote_may_take_its_time() {
    let (local, mut remote) = connected_peer(builder().write_timeout(None).queue_limit(100_000));
    fill_queue(&local.peer);
    std::thread::sleep(2 * SHORT);
    assert_eq!(local.peer.disconnect_reason(), None);
    let receipt = loop {
        match local.peer.queue_message(&FeeFilter { min_fee: 9 }) {
            Ok(receipt) => break receipt,
            Err(QueueError::Full { .. }) => assert!(matches!(remote.read(), Message::Custom(_))),
            Err(error) => panic!("{error}"),
        }
    };
    while matches!(remote.read(), Message::Custom(_)) {}
    assert_eq!(receipt.wait_timeout(DEADLINE), Ok(()));
}

#[test]
fn the_queue_stays_within_its_bound() {
    const LIMIT: usize = 100_000;
    let (local, _remote) = connected_peer(builder().queue_limit(LIMIT));
    let message = message_of_size(3333);
    let mut refused = 0;
    while refused < 1000 {
        match local.peer.queue_message(&message) {
            Ok(_) => refused = 0,
            Err(QueueError::Full { queued, limit }) => {
                assert!(limit == LIMIT && queued <= LIMIT && queued + 3333 > LIMIT, "{queued}");
                refused += 1;
            }
            Err(error) => panic!("{error}"),
        }
        let stats = local.peer.stats();
        assert!(stats.queued_bytes <= LIMIT && stats.queued_messages <= LIMIT / 3333 + 2, "{stats:?}");
    }
}

/// Another peer of this node.
fn connect(config: &Config) -> (Peer, Remote) {
    let (dialled, accepted) = sockets();
    let peer = Peer::inbound(accepted, dialled.local_addr().unwrap(), config).unwrap();
    let mut remote = Remote::new(dialled, config.network());
    remote.shake_hands(&version());
    peer.wait_for_handshake().unwrap();
    (peer, remote)
}

#[test]
fn other_peers_do_not_notice() {
    retry_if_late(growing(Duration::from_millis(600)), |limit, watch| {
        let config = builder().write_timeout(limit).build().unwrap();
        let ((stuck, _silent), (lively, mut remote)) = (connect(&config), connect(&config));
        let frame = frame_of_size(1_000_000, config.network());
        let mut bytes = vec![0; frame.as_bytes().len()];
        let mut messages = 0;
        // The same frames to both, as when a block is relayed; the one who does not read holds up nobody.
        while stuck.disconnect_reason().is_none() {
            watch.tick();
            let _ = stuck.queue_frame(&frame);
            lively.queue_frame(&frame).unwrap();
            lively.queue_message(&Ping { nonce: 1 }).unwrap();
            remote.stream.read_exact(&mut bytes).unwrap();
            assert!(bytes == frame.as_bytes());
            remote.expect::<Ping>();
            messages += 1;
        }
        assert_eq!(end_reason(&stuck), DisconnectReason::WriteStalled { limit });
        assert!(messages > 3, "{messages}");
        assert_eq!(lively.disconnect_reason(), None);
    });
}

#[test]
fn others_are_served_while_one_is_stuck_for_good() {
    let config = builder().write_timeout(None).queue_limit(100 << 20).build().unwrap();
    let ((stuck, _silent), (lively, mut remote)) = (connect(&config), connect(&config));
    let frame = frame_of_size(1_000_000, config.network());
    // More than the sockets' buffers take.
    (0..40).for_each(|_| drop(stuck.queue_frame(&frame).unwrap()));
    let mut bytes = vec![0; frame.as_bytes().len()];
    for _ in 0..40 {
        lively.queue_frame(&frame).unwrap();
        remote.stream.read_exact(&mut bytes).unwrap();
        remote.send(&Ping { nonce: 1 });
        remote.expect::<Pong>();
    }
    assert!(stuck.stats().queued_bytes > 0 && stuck.disconnect_reason().is_none());
}

#[test]
fn a_remote_that_asks_and_does_not_read_is_let_go() {
    let (local, remote) = connected_peer(builder().queue_limit(10_000));
    std::thread::scope(|scope| {
        let mut asking = remote.stream.try_clone().unwrap();
        scope.spawn(move || {
            let mut nonce = 0;
            while write_message(&mut asking, &Ping { nonce }, remote.network).is_ok() {
                nonce += 1;
            }
        });
        assert_eq!(end_reason(&local.peer), DisconnectReason::QueueFull { command: Command::Pong });
    });
}

#[test]
fn so_is_one_that_does_not_read_what_was_queued_for_it() {
    let (local, mut remote) = connected_peer(builder().queue_limit(10_000));
    while local.peer.disconnect_reason().is_none() {
        let _ = local.peer.queue_message(&message_of_size(10_000));
        let _ = write_message(&mut remote.stream, &Ping { nonce: 1 }, remote.network);
    }
    assert_eq!(end_reason(&local.peer), DisconnectReason::QueueFull { command: Command::Pong });
}
