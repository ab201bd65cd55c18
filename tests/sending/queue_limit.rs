//! The outbound queue: its limit in bytes, waiting for space in it, and the order of what is sent.

use crate::common::blocking::{OnMessage, fill_queue};
use crate::common::frames::{frame_of_size, message_of_size};
use crate::common::local::{connected_peer, connected_peer_with, new_peer};
use crate::common::{DEADLINE, builder, version, wait_until};
use kaspa_peer::wire::{
    CustomMessage, Encode, FeeFilter, Frame, GetAddr, Inv, Inventory, Message, Network, Ping, VerAck, Version,
};
use kaspa_peer::{Direction, DisconnectReason, Peer, QueueError, Receipt};
use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(100);

#[test]
fn a_message_that_does_not_fit_is_refused_and_can_be_queued_later() {
    let (local, mut remote) = new_peer(Direction::Inbound, builder().queue_limit(1000));
    // Before the handshake all messages wait in the queue.
    let message = message_of_size(600);
    local.peer.queue_message(&message).unwrap();
    let full = Err(QueueError::Full { queued: 600, limit: 1000, message: 600 });
    assert_eq!(local.peer.queue_message(&message), full);
    assert_eq!(local.peer.queue_frame(&frame_of_size(600, Network::Simnet)), full);
    local.peer.queue_message(&message_of_size(400)).unwrap();
    assert_eq!((local.peer.stats().queued_bytes, local.peer.stats().queued_messages), (1000, 2));
    remote.shake_hands().unwrap();
    assert_eq!(
        [remote.next_message().unwrap(), remote.next_message().unwrap()].map(|message| message.encoded_len() + 24),
        [600, 400]
    );
    wait_until("the queue is empty", || local.peer.stats().queued_bytes == 0);
    local.peer.queue_message(&message).unwrap();
    assert_eq!(remote.next_message().unwrap(), Message::from(message), "the same message, later");
}

#[test]
fn an_empty_queue_accepts_a_message_larger_than_its_limit() {
    for size in [5000, 500_000] {
        let (local, mut remote) = connected_peer(builder().queue_limit(1000));
        for _ in 0..3 {
            wait_until("the queue is empty", || local.peer.stats().queued_bytes == 0);
            local.peer.queue_message(&message_of_size(size)).unwrap();
            assert_eq!(remote.next_message().unwrap().encoded_len() + 24, size);
        }
    }
    let (local, mut remote) = new_peer(Direction::Inbound, builder().queue_limit(1000));
    local.peer.queue_message(&message_of_size(5000)).unwrap();
    let message = GetAddr::all().encoded_len() + 24;
    let full = Err(QueueError::Full { queued: 5000, limit: 1000, message });
    assert_eq!(local.peer.queue_message(&GetAddr::all()), full);
    remote.shake_hands().unwrap();
    assert_eq!(remote.next_message().unwrap().encoded_len() + 24, 5000);
}

#[test]
fn a_queue_with_limit_zero_accepts_one_message_at_a_time() {
    for direction in [Direction::Inbound, Direction::Outbound] {
        let (local, mut remote) = new_peer(direction, builder().queue_limit(0));
        remote.shake_hands().unwrap();
        local.peer.wait_for_handshake().unwrap();
        for min_fee in 0..100 {
            local.peer.send_message(&FeeFilter { min_fee }, DEADLINE).unwrap();
        }
        for min_fee in 0..100 {
            assert_eq!(remote.expect::<FeeFilter>().unwrap().min_fee, min_fee);
        }
    }
}

#[test]
fn senders_wait_until_the_remote_reads() {
    // 30 MB in all, more than the buffers of the sockets hold.
    const COUNT: usize = 600;
    let (local, mut remote) = connected_peer(builder().queue_limit(120_000).high_water_mark(60_000));
    let frame = frame_of_size(50_000, Network::Simnet);
    std::thread::scope(|scope| {
        scope.spawn(|| (0..COUNT).for_each(|_| drop(local.peer.send_frame(&frame, DEADLINE).unwrap())));
        let mut bytes = vec![0; frame.as_bytes().len()];
        for _ in 0..COUNT {
            let stats = local.peer.stats();
            assert!(stats.queued_bytes <= 120_000 && stats.queued_messages <= 5, "{stats:?}");
            remote.stream().read_exact(&mut bytes).unwrap();
            assert!(bytes == frame.as_bytes());
        }
    });
}

#[test]
fn messages_of_several_waiting_senders_all_arrive_in_the_order_of_each_sender() {
    const EACH: i64 = 2000;
    let (local, mut remote) = connected_peer(builder().queue_limit(200));
    std::thread::scope(|scope| {
        for sender in 0..4 {
            let peer = &local.peer;
            scope.spawn(move || {
                for number in 0..EACH {
                    peer.send_message(&FeeFilter { min_fee: sender * EACH + number }, DEADLINE).unwrap();
                }
            });
        }
        let mut next = [0; 4];
        for _ in 0..4 * EACH {
            let fee = remote.expect::<FeeFilter>().unwrap().min_fee;
            let expected = &mut next[usize::try_from(fee / EACH).unwrap()];
            assert_eq!(fee % EACH, *expected, "in the order of each sender");
            *expected += 1;
        }
    });
}

/// Repeats an attempt until it fails, because the buffers of the sockets are full, and returns the error.
fn first_error(mut attempt: impl FnMut() -> Result<Receipt, QueueError>) -> QueueError {
    loop {
        if let Err(error) = attempt() {
            return error;
        }
    }
}

#[test]
fn waiting_for_space_in_the_queue_times_out() {
    let (local, _remote) = connected_peer(builder().queue_limit(100_000));
    let (message, frame) = (message_of_size(10_000), frame_of_size(10_000, Network::Simnet));
    for waited in [SHORT, Duration::ZERO] {
        assert_eq!(first_error(|| local.peer.send_message(&message, waited)), QueueError::Timeout { waited });
        assert_eq!(first_error(|| local.peer.send_frame(&frame, waited)), QueueError::Timeout { waited });
    }
    assert!(matches!(first_error(|| local.peer.queue_message(&message)), QueueError::Full { .. }));
    assert_eq!(local.peer.disconnect_reason(), None);
}

#[test]
fn disconnect_wakes_senders_that_wait_for_space() {
    let (local, _remote) = connected_peer(builder().queue_limit(100_000));
    fill_queue(&local.peer);
    let started = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let (peer, started) = (&local.peer, &started);
        let senders = [DEADLINE, Duration::MAX].map(|timeout| {
            scope.spawn(move || {
                let message = message_of_size(10_000);
                started.fetch_add(1, Ordering::SeqCst);
                first_error(|| peer.send_message(&message, timeout))
            })
        });
        wait_until("both senders run", || started.load(Ordering::SeqCst) == 2);
        // While this sender waits in vain, the other two have time to wait, too.
        let message = message_of_size(10_000);
        assert_eq!(first_error(|| peer.send_message(&message, SHORT)), QueueError::Timeout { waited: SHORT });
        assert!(senders.iter().all(|sender| !sender.is_finished()));
        peer.disconnect();
        for sender in senders {
            assert_eq!(sender.join().unwrap(), QueueError::Closed(DisconnectReason::Local));
        }
    });
    assert_eq!((local.peer.stats().queued_bytes, local.peer.stats().queued_messages), (0, 0));
}

#[test]
fn send_message_in_a_callback_does_not_wait_for_space() {
    let (results, tried) = mpsc::channel();
    let listener = OnMessage(move |peer: &Peer, message: &Message| {
        if matches!(message, Message::FeeFilter(_)) {
            let mut sent = 0;
            let message = message_of_size(10_000);
            let error = loop {
                match peer.send_message(&message, DEADLINE) {
                    Ok(_) => sent += 1,
                    Err(error) => break error,
                }
            };
            results.send((sent, error)).unwrap();
        }
    });
    let (peer, mut remote) = connected_peer_with(listener, builder().queue_limit(100_000).high_water_mark(20_000));
    remote.send(&FeeFilter::default()).unwrap();
    let (sent, error) = tried.recv_timeout(DEADLINE).unwrap();
    assert!(sent > 5, "{sent} messages fit into the queue");
    assert_eq!(error, QueueError::InCallback);
    for _ in 0..sent {
        assert_eq!(remote.next_message().unwrap().encoded_len() + 24, 10_000);
    }
    assert_eq!(peer.disconnect_reason(), None);
}

#[test]
fn one_frame_can_be_sent_to_many_peers() {
    let network = Network::Simnet;
    let items = (0..100u32).map(|number| Inventory::tx(kaspa_peer::wire::Hash::of(&number.to_le_bytes())));
    let small = Frame::encode(&items.collect::<Inv>(), network).unwrap();
    let large = frame_of_size(100_000, network);
    let mut peers: Vec<_> = (0..8).map(|_| connected_peer(builder())).collect();
    for (local, _) in &peers {
        local.peer.queue_frame(&small).unwrap();
        local.peer.queue_frame(&large).unwrap();
        local.peer.send_frame(&small, DEADLINE).unwrap();
        local.peer.queue_frame(&large).unwrap().wait_timeout(DEADLINE).unwrap();
    }
    for (_, remote) in &mut peers {
        for frame in [&small, &large, &small, &large] {
            assert_eq!(&Frame::encode(&remote.next_message().unwrap(), network).unwrap(), frame);
        }
    }
}

#[test]
fn a_frame_of_another_network_is_refused() {
    let (local, mut remote) = connected_peer(builder());
    let frame = Frame::encode(&Ping { nonce: 1 }, Network::Mainnet).unwrap();
    let refused = QueueError::Network { frame: Network::Mainnet, peer: Network::Simnet };
    assert_eq!(local.peer.queue_frame(&frame), Err(refused.clone()));
    assert_eq!(local.peer.send_frame(&frame, DEADLINE), Err(refused));
    local.peer.queue_frame(&Frame::encode(&Ping { nonce: 2 }, Network::Custom(0x374d_cf1c)).unwrap()).unwrap();
    assert_eq!(remote.expect::<Ping>().unwrap().nonce, 2, "the same network by another name");
}

#[test]
fn small_and_large_frames_keep_their_order() {
    let (local, mut remote) = connected_peer(builder());
    // Sizes around those from which a frame is no longer copied and a batch is full.
    let sizes =
        [24, 16_383, 16_384, 16_385, 24, 65_536, 65_537, 25, 300_000, 26, 27, 16_384, 16_384, 16_384, 16_384, 24];
    let sizes: Vec<usize> = sizes.into_iter().cycle().take(500).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for (number, &size) in sizes.iter().enumerate() {
                let mut message = message_of_size(size);
                message.payload.iter_mut().zip(number.to_le_bytes()).for_each(|(byte, digit)| *byte = digit);
                if number % 3 == 0 {
                    local.peer.send_frame(&Frame::encode(&message, Network::Simnet).unwrap(), DEADLINE).unwrap();
                } else {
                    local.peer.send_message(&message, DEADLINE).unwrap();
                }
            }
        });
        for (number, &size) in sizes.iter().enumerate() {
            let Message::Custom(CustomMessage { payload, .. }) = remote.next_message().unwrap() else {
                panic!("not a custom message")
            };
            assert_eq!(payload.len() + 24, size, "{number}");
            assert!(payload.iter().zip(number.to_le_bytes()).all(|(byte, digit)| *byte == digit), "{number}");
        }
    });
}

#[test]
fn our_verack_is_sent_before_messages_that_filled_the_queue() {
    for direction in [Direction::Inbound, Direction::Outbound] {
        let (local, mut remote) = new_peer(direction, builder().queue_limit(1000));
        local.peer.queue_message(&FeeFilter { min_fee: 1 }).unwrap();
        while local.peer.queue_message(&FeeFilter { min_fee: 2 }).is_ok() {}
        remote.send(&version()).unwrap();
        remote.expect::<Version>().unwrap();
        remote.expect::<VerAck>().unwrap();
        remote.send(&VerAck).unwrap();
        local.peer.send_message(&FeeFilter { min_fee: 3 }, DEADLINE).unwrap();
        let mut fees = Vec::new();
        while fees.last() != Some(&3) {
            fees.push(remote.expect::<FeeFilter>().unwrap().min_fee);
        }
        assert_eq!(fees[0], 1);
    }
}
