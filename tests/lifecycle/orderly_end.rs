//! `close` writes what is queued, and `disconnect_with` writes a last reject, before the connection ends.

use crate::common::blocking::Gate;
use crate::common::frames::{frame_of_size, message_of_size};
use crate::common::local::{connected_peer, end_reason};
use crate::common::{BOTH, DEADLINE, builder, version};
use kaspa_peer::crossbeam_channel::{Sender, unbounded};
use kaspa_peer::testing::connect_remote_over_tcp;
use kaspa_peer::wire::{
    Command, FeeFilter, Hash, Inv, Inventory, Message, Network, Ping, Pong, Reject, RejectCode, Version,
};
use kaspa_peer::{CloseError, Direction, DisconnectReason, Listener, Peer, QueueError};
use std::time::Duration;
use std::{io, thread};

fn banned() -> Reject {
    Reject::new("version", RejectCode::OBSOLETE, "banned")
}

/// Rejects the remote in a callback.
struct Rejects {
    in_version: bool,
}

impl Listener for Rejects {
    fn on_version(&self, peer: &Peer, _: Version) {
        if self.in_version {
            peer.disconnect_with(&banned()).unwrap();
            assert!(matches!(peer.disconnect_with(&banned()), Err(QueueError::Closed(DisconnectReason::Local))));
        }
    }

    fn on_fee_filter(&self, peer: &Peer, _: FeeFilter) {
        peer.disconnect_with(&banned()).unwrap();
    }

    fn on_ping(&self, _: &Peer, _: Ping) {
        panic!("a callback after disconnect_with");
    }
}

#[test]
fn a_reject_from_any_callback_reaches_the_remote() {
    for in_version in [true, false] {
        for direction in BOTH {
            let (peer, mut remote) =
                connect_remote_over_tcp(direction, &builder().listener(Rejects { in_version }).build().unwrap())
                    .unwrap();
            if in_version {
                remote.send(&version()).unwrap();
            } else {
                remote.shake_hands().unwrap();
                remote.send(&FeeFilter { min_fee: 1 }).unwrap();
            }
            // The remote may have sent more before it reads the reject.
            let _ = remote.send(&Ping { nonce: 1 });
            assert_eq!(
                remote.read_until_end().unwrap().last(),
                Some(&Message::from(banned())),
                "{direction}, {in_version}"
            );
            assert_eq!(end_reason(&peer), DisconnectReason::Local);
        }
    }
}

#[test]
fn a_reject_ends_the_connection_though_the_remote_does_not_read() {
    let (local, _remote) = connected_peer(builder().queue_limit(64 << 20));
    let frame = frame_of_size(30_000_000, Network::Simnet);
    let receipt = local.peer.queue_frame(&frame).unwrap();
    local.peer.disconnect_with(&banned()).unwrap();
    assert_eq!(local.end_reason(), DisconnectReason::Local);
    assert!(receipt.wait().is_err());
}

#[test]
fn closing_writes_what_is_queued_and_refuses_the_rest() {
    let (local, mut remote) = connected_peer(builder());
    let reader = thread::spawn(move || remote.read_until_end().unwrap());
    let messages: Vec<_> = (0..50).map(|size| message_of_size(10_000 + size)).collect();
    let receipts: Vec<_> = messages.iter().map(|message| local.peer.queue_message(message).unwrap()).collect();
    assert_eq!(local.peer.close(DEADLINE), Ok(()));
    assert!(receipts.iter().all(|receipt| receipt.try_wait() == Some(Ok(()))));
    let expected: Vec<Message> = messages.into_iter().map(Message::from).collect();
    assert_eq!(reader.join().unwrap(), expected);
    assert_eq!(local.end_reason(), DisconnectReason::Local);
    assert!(matches!(local.peer.queue_message(&Ping { nonce: 1 }), Err(QueueError::Closed(_))));
}

#[test]
fn closing_sends_the_announcements_that_wait_for_their_timer() {
    let (local, mut remote) = connected_peer(builder().trickle_interval(Duration::from_secs(3600)));
    let items: Vec<Inventory> = (0..2500_u32).map(|number| Inventory::tx(Hash::of(&number.to_le_bytes()))).collect();
    local.peer.queue_inventories(&items).unwrap();
    let reader = thread::spawn(move || remote.read_until_end().unwrap());
    assert_eq!(local.peer.close(DEADLINE), Ok(()));
    assert!(matches!(local.peer.queue_inventory(items[0]), Err(QueueError::Closed(_))));
    let announced = reader.join().unwrap().into_iter().flat_map(|message| match message {
        Message::Inv(inv) => inv.items,
        other => panic!("{other:?}"),
    });
    assert_eq!(announced.collect::<Vec<_>>(), items);
}

#[test]
fn closing_says_how_many_items_were_not_announced() {
    let hour = Duration::from_secs(3600);
    let (local, _remote) = connected_peer(builder().trickle_interval(hour).queue_limit(1 << 20));
    let items: Vec<Inventory> = (0..400_000_u32).map(|number| Inventory::tx(Hash::of(&number.to_le_bytes()))).collect();
    local.peer.queue_inventories(&items).unwrap();
    let Err(CloseError::NotSent { announcements, bytes, .. }) = local.peer.close(Duration::from_millis(50)) else {
        panic!("14 MB fit into the buffers of a socket that nobody reads");
    };
    assert!(announcements > 0, "{announcements} items");
    assert!(bytes <= (1 << 20) + 36 * 1024 + 100, "{bytes} bytes are queued");
}

#[test]
fn while_a_peer_closes_it_answers_pings_and_takes_no_new_messages() {
    let (local, mut remote) = connected_peer(builder().queue_limit(64 << 20));
    local.peer.queue_frame(&frame_of_size(30_000_000, Network::Simnet)).unwrap();
    thread::scope(|scope| {
        let closing = scope.spawn(|| local.peer.close(DEADLINE));
        let mut accepted = 0;
        while local.peer.queue_message(&FeeFilter { min_fee: 1 }).is_ok() {
            accepted += 1;
            thread::yield_now();
        }
        remote.send(&Ping { nonce: 7 }).unwrap();
        local.recorder.wait_for::<Ping>();
        let Message::Custom(_) = remote.next_message().unwrap() else { panic!("the queued message comes first") };
        assert_eq!(closing.join().unwrap(), Ok(()));
        // The library does not promise that the pong leaves before the end.
        let mut rest = remote.read_until_end().unwrap();
        rest.retain(|message| *message != Message::from(Pong { nonce: 7 }));
        assert_eq!(rest, vec![Message::from(FeeFilter { min_fee: 1 }); accepted]);
    });
}

#[test]
fn closing_says_what_was_not_sent_in_time() {
    let (local, _remote) = connected_peer(builder().queue_limit(64 << 20));
    let frame = frame_of_size(30_000_000, Network::Simnet);
    local.peer.queue_frame(&frame).unwrap();
    local.peer.queue_message(&FeeFilter { min_fee: 1 }).unwrap();
    let waited = Duration::from_millis(50);
    let bytes = frame.as_bytes().len() + 24 + 8;
    assert_eq!(local.peer.close(waited), Err(CloseError::NotSent { waited, messages: 2, bytes, announcements: 0 }));
    assert_eq!(local.end_reason(), DisconnectReason::Local);
}

#[test]
fn closing_in_a_callback_of_the_same_peer_is_an_error_and_changes_nothing() {
    struct Closes(Gate);
    impl Listener for Closes {
        fn on_fee_filter(&self, peer: &Peer, _: FeeFilter) {
            assert_eq!(peer.close(DEADLINE), Err(CloseError::InCallback));
            self.0.open();
        }
    }
    let gate = Gate::default();
    let (peer, mut remote) =
        connect_remote_over_tcp(Direction::Inbound, &builder().listener(Closes(gate.clone())).build().unwrap())
            .unwrap();
    remote.shake_hands().unwrap();
    remote.send(&FeeFilter { min_fee: 1 }).unwrap();
    gate.pass();
    remote.sync_with_ping().unwrap();
    assert!(peer.is_connected());
}

#[test]
fn closing_sends_announcements_even_if_the_queue_limit_is_0() {
    let hour = Duration::from_secs(3600);
    let (local, mut remote) = connected_peer(builder().trickle_interval(hour).queue_limit(0).high_water_mark(0));
    let item = Inventory::tx(Hash::of(b"tx"));
    local.peer.queue_inventory(item).unwrap();
    let reader = thread::spawn(move || remote.read_until_end().unwrap());
    assert_eq!(local.peer.close(DEADLINE), Ok(()));
    assert_eq!(reader.join().unwrap(), [Message::from(Inv { items: vec![item] })]);
}

#[test]
fn closing_ends_at_its_timeout_while_on_write_blocks() {
    /// Blocks the writer thread after it has written a custom message.
    struct BlocksWriter(Gate, Sender<()>);
    impl Listener for BlocksWriter {
        fn on_write(&self, _: &Peer, command: Command, _: usize, _: Option<&io::Error>) {
            if matches!(command, Command::Custom(_)) {
                self.1.send(()).unwrap();
                self.0.pass();
            }
        }
    }
    let (gate, (blocked, is_blocked)) = (Gate::default(), unbounded());
    let builder = builder().trickle_interval(Duration::from_secs(3600)).queue_limit(1 << 20);
    let config = builder.listener(BlocksWriter(gate.clone(), blocked)).build().unwrap();
    let (peer, mut remote) = connect_remote_over_tcp(Direction::Inbound, &config).unwrap();
    remote.shake_hands().unwrap();
    peer.wait_for_handshake().unwrap();
    // The message is over the limit, so the announcement has no room until `on_write` returns.
    peer.queue_frame(&frame_of_size(2 << 20, Network::Simnet)).unwrap();
    let reader = thread::spawn(move || remote.read_until_end().unwrap());
    is_blocked.recv_timeout(DEADLINE).unwrap();
    peer.queue_inventory(Inventory::tx(Hash::of(b"tx"))).unwrap();
    let (done, result) = unbounded();
    let closing = peer.clone();
    thread::spawn(move || done.send(closing.close(Duration::from_millis(50))));
    let result = result.recv_timeout(DEADLINE);
    gate.open();
    assert!(matches!(result, Ok(Err(CloseError::NotSent { announcements: 1, .. }))), "{result:?}");
    assert_eq!(reader.join().unwrap().len(), 1, "the large message");
}

#[test]
fn closing_after_disconnect_with_waits_until_the_reject_is_written() {
    for _ in 0..50 {
        let (peer, mut remote) = connect_remote_over_tcp(Direction::Inbound, &builder().build().unwrap()).unwrap();
        remote.shake_hands().unwrap();
        peer.wait_for_handshake().unwrap();
        peer.disconnect_with(&banned()).unwrap();
        assert_eq!(peer.close(DEADLINE), Ok(()));
        assert_eq!(remote.read_until_end().unwrap(), [Message::from(banned())]);
    }
}

#[test]
fn closing_after_disconnect_with_reports_announcements_that_are_not_sent() {
    let (local, _remote) = connected_peer(builder().trickle_interval(Duration::from_secs(3600)));
    local.peer.queue_inventory(Inventory::tx(Hash::of(b"tx"))).unwrap();
    local.peer.disconnect_with(&banned()).unwrap();
    assert_eq!(local.peer.close(DEADLINE), Err(CloseError::Closed(DisconnectReason::Local)));
}

#[test]
fn closing_after_another_end_returns_the_reason_of_that_end() {
    let (local, remote) = connected_peer(builder().trickle_interval(Duration::from_secs(3600)));
    local.peer.queue_inventory(Inventory::tx(Hash::of(b"tx"))).unwrap();
    remote.close();
    let reason = local.end_reason();
    assert_eq!(local.peer.close(DEADLINE), Err(CloseError::Closed(reason)));
}
