//! A receipt resolves once: either the message was written, or the connection ended first.

use crate::common::local::connected_peer_in;
use crate::common::{DEADLINE, builder, wait_until};
use crossbeam_channel::{TryRecvError, select};
use kaspa_peer::peer::{Halves, IoOperation};
use kaspa_peer::testing::{ScriptedRemote, connect_remote_over_tcp, tcp_pair};
use kaspa_peer::wire::{
    Command, CustomMessage, EncodeError, FeeFilter, Frame, Hash, Inv, Inventory, MAX_INVENTORY, Network, Ping, VerAck,
};
use kaspa_peer::{Direction, DisconnectReason, Listener, Peer, QueueError, Receipt, WaitError, WaitedFor};
use parking_lot::Mutex;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::{
    io::{self, Write},
    net::{Shutdown, TcpStream},
    sync::Arc,
    thread,
    time::Duration,
};

fn fee(min_fee: i64) -> FeeFilter {
    FeeFilter { min_fee }
}

/// A frame of a megabyte.
fn megabyte() -> Frame {
    let Ok(Command::Custom(command)) = "megabyte".parse() else { panic!("megabyte is known") };
    Frame::encode(&CustomMessage { command, payload: vec![0; 1_000_000] }, Network::Simnet).unwrap()
}

/// Queues much more than the buffers of the sockets hold, for a remote that does not read.
fn queue_60_megabytes(peer: &Peer) -> Vec<Receipt> {
    let frame = megabyte();
    (0..60).map(|_| peer.queue_frame(&frame).unwrap()).collect()
}

/// Checks that the receipts say "written" up to some message, and the reason of the end after it. Returns how many say
/// "written".
fn count_written(receipts: &[Receipt], reason: &DisconnectReason) -> usize {
    let results: Vec<_> = receipts.iter().map(|receipt| receipt.wait_timeout(DEADLINE)).collect();
    let written = results.iter().position(Result::is_err).unwrap_or(results.len());
    for result in &results[written..] {
        assert_eq!(*result, Err(WaitError::Closed(reason.clone())));
    }
    for (place, receipt) in receipts.iter().enumerate() {
        let channel = receipt.receiver();
        if place < written {
            assert_eq!(channel.try_recv(), Ok(()));
        }
        assert_eq!(channel.try_recv(), Err(TryRecvError::Disconnected), "a receipt resolves once");
    }
    written
}

#[test]
fn a_receipt_resolves_when_the_message_is_written() {
    let (local, mut remote) = connected_peer_in(Direction::Outbound, builder());
    let receipt = local.peer.queue_message(&fee(7)).unwrap();
    assert_eq!(receipt.wait(), Ok(()));
    let receipt = local.peer.queue_frame(&megabyte()).unwrap();
    assert_eq!(remote.expect::<FeeFilter>().unwrap(), fee(7));
    assert!(remote.next_message().is_ok());
    assert_eq!(receipt.wait_timeout(DEADLINE), Ok(()));
}

#[test]
fn receipts_have_the_reason_when_this_side_disconnects() {
    let (local, _remote) = connected_peer_in(Direction::Inbound, builder().queue_limit(100_000_000));
    let receipts = queue_60_megabytes(&local.peer);
    let last = receipts.last().unwrap();
    assert_eq!(
        last.wait_timeout(Duration::from_millis(1)),
        Err(WaitError::Timeout { what: WaitedFor::Written, waited: Duration::from_millis(1) })
    );
    assert_eq!(last.try_wait(), None);
    local.peer.disconnect();
    assert_eq!(last.wait_timeout(DEADLINE), Err(WaitError::Closed(DisconnectReason::Local)));
    assert!(count_written(&receipts, &local.end_reason()) < receipts.len());
}

#[test]
fn receipts_have_the_reason_when_the_remote_closes() {
    let (local, remote) = connected_peer_in(Direction::Inbound, builder().queue_limit(100_000_000));
    let receipts = queue_60_megabytes(&local.peer);
    remote.close_writing().unwrap();
    let reason = local.end_reason();
    assert_eq!(reason, DisconnectReason::RemoteClosed { inside_frame: false });
    assert!(count_written(&receipts, &reason) < receipts.len());
}

#[test]
fn exactly_the_messages_whose_receipts_say_written_arrive() {
    let mut random = StdRng::seed_from_u64(1);
    for round in 0..150 {
        let (local, mut remote) = connected_peer_in(Direction::Inbound, builder());
        let (total, until) = (random.random_range(1..300), random.random_range(0..300));
        let sizes: Vec<usize> = (0..total).map(|_| if random.random_ratio(1, 30) { 1000 } else { 1 }).collect();
        let from_this_thread = random.random_bool(0.5);
        let (receipts, arrived) = thread::scope(|scope| {
            let reader = scope.spawn(|| remote.read_until_end().unwrap().len());
            let peer = &local.peer;
            let sender = scope.spawn(move || {
                let mut receipts = Vec::new();
                for (n, size) in sizes.into_iter().enumerate() {
                    if n == until && !from_this_thread {
                        peer.disconnect();
                    }
                    match peer.queue_message(&Inv::from(vec![Inventory::tx(Hash::ZERO); size])) {
                        Ok(receipt) => receipts.push(receipt),
                        Err(error) => assert_eq!(error, QueueError::Closed(DisconnectReason::Local)),
                    }
                }
                receipts
            });
            if from_this_thread {
                (0..until).for_each(|_| thread::yield_now());
                peer.disconnect();
            }
            let receipts = sender.join().unwrap();
            local.peer.disconnect();
            (receipts, reader.join().unwrap())
        });
        assert_eq!(count_written(&receipts, &local.end_reason()), arrived, "round {round}");
    }
}

#[test]
fn all_receipts_resolve_when_the_last_handle_is_dropped() {
    for handles in [1, 3] {
        let (local, _remote) = connected_peer_in(Direction::Inbound, builder().queue_limit(100_000_000));
        let receipts = queue_60_megabytes(&local.peer);
        let clones: Vec<Peer> = (1..handles).map(|_| local.peer.clone()).collect();
        drop(local.peer);
        drop(clones);
        assert!(count_written(&receipts, &DisconnectReason::Local) < receipts.len());
    }
}

#[test]
fn a_receipt_works_in_a_select() {
    let (local, mut remote) = connected_peer_in(Direction::Inbound, builder().queue_limit(100_000_000));
    let sent = local.peer.queue_message(&fee(1)).unwrap();
    sent.wait().unwrap();
    let waiting = queue_60_megabytes(&local.peer);
    remote.expect::<FeeFilter>().unwrap();
    let sent = local.peer.queue_message(&fee(2)).unwrap();
    let reader = thread::spawn(move || io::copy(remote.stream(), &mut io::sink()));
    select! {
        recv(sent.receiver()) -> written => assert_eq!(written, Ok(())),
        default(DEADLINE) => panic!("never written"),
    }
    assert!(
        waiting.iter().all(|receipt| receipt.try_wait() == Some(Ok(()))),
        "earlier messages are written before later ones"
    );
    local.peer.disconnect();
    reader.join().unwrap().unwrap();
}

#[test]
fn dropping_a_receipt_does_not_withdraw_the_message() {
    let (local, mut remote) = connected_peer_in(Direction::Inbound, builder());
    for n in 0..100 {
        drop(local.peer.queue_message(&fee(n)).unwrap());
    }
    let last = local.peer.queue_message(&fee(100)).unwrap();
    (0..=100).for_each(|n| assert_eq!(remote.expect::<FeeFilter>().unwrap(), fee(n)));
    assert_eq!(last.wait(), Ok(()));
}

#[test]
fn waiting_for_a_receipt_of_the_same_peer_in_a_callback_is_an_error() {
    #[derive(Clone, Default)]
    struct WaitsInCallbacks(Arc<Mutex<Vec<Result<(), WaitError>>>>);

    impl Listener for WaitsInCallbacks {
        fn on_ping(&self, peer: &Peer, _: Ping) {
            let receipt = peer.queue_message(&fee(1)).unwrap();
            self.0.lock().extend([receipt.wait(), receipt.wait_timeout(DEADLINE)]);
        }

        fn on_write(&self, peer: &Peer, command: Command, _: usize, _: Option<&io::Error>) {
            if command == Command::Pong {
                let receipt = peer.queue_message(&fee(2)).unwrap();
                self.0.lock().push(receipt.wait());
            }
        }
    }

    let waits = WaitsInCallbacks::default();
    let (peer, mut remote) =
        connect_remote_over_tcp(Direction::Inbound, &builder().listener(waits.clone()).build().unwrap()).unwrap();
    remote.shake_hands().unwrap();
    remote.send(&Ping { nonce: 1 }).unwrap();
    wait_until("all three attempts", || waits.0.lock().len() == 3);
    assert_eq!(*waits.0.lock(), vec![Err(WaitError::InCallback); 3]);
    assert_eq!(peer.disconnect_reason(), None);
}

/// Fails when so many bytes are written.
struct Limited {
    socket: TcpStream,
    left: Arc<Mutex<Option<usize>>>,
}

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut left = self.left.lock();
        match &mut *left {
            Some(0) => Err(io::ErrorKind::ConnectionAborted.into()),
            Some(left) => {
                // In small pieces, so that one batch takes several writes.
                let count = self.socket.write(&bytes[..bytes.len().min(*left).min(50)])?;
                *left -= count;
                Ok(count)
            }
            None => self.socket.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_frame_that_was_written_in_part_was_not_written() {
    const FRAME: usize = 24 + 8;
    thread::scope(|scope| {
        for room in [0, 1, FRAME - 1, FRAME, FRAME + 1, 5 * FRAME, 5 * FRAME + 7, 1000 * FRAME - 1] {
            scope.spawn(move || check_write_error_after(room, room / FRAME));
        }
    });
}

fn check_write_error_after(bytes: usize, whole_frames: usize) {
    let (ours, stream) = tcp_pair().unwrap();
    let mut remote = ScriptedRemote::new(stream, Network::Simnet);
    let left = Arc::new(Mutex::new(None));
    let out = Limited { socket: ours.try_clone().unwrap(), left: Arc::clone(&left) };
    let closer = ours.try_clone().unwrap();
    let halves = Halves::new(ours, out, move || drop(closer.shutdown(Shutdown::Both)));
    let peer = Peer::inbound(halves, "remote:1", &builder().build().unwrap()).unwrap();
    remote.shake_hands().unwrap();
    peer.wait_for_handshake().unwrap();
    wait_until("the handshake is counted", || peer.stats().sent.total().messages == 2);
    let last_send = peer.stats().last_send;
    *left.lock() = Some(bytes);
    let receipts: Vec<Receipt> = (0..1000).map_while(|n| peer.queue_message(&fee(n)).ok()).collect();
    let reason = peer.wait_for_disconnect().unwrap();
    let DisconnectReason::Io { operation, kind, .. } = &reason else { panic!("{reason:?}") };
    assert_eq!((*operation, *kind), (IoOperation::Write, io::ErrorKind::ConnectionAborted));
    assert_eq!(count_written(&receipts, &reason), whole_frames);
    assert_eq!(remote.read_bytes_until_end().unwrap().len(), bytes);
    assert_eq!(peer.stats().last_send == last_send, bytes == 0, "the time changes if anything was written");
}

#[test]
fn a_message_that_cannot_be_encoded_is_refused_at_once_and_nothing_else_happens() {
    let (local, mut remote) = connected_peer_in(Direction::Inbound, builder());
    let too_many = Inv::from(vec![Inventory::tx(Hash::ZERO); MAX_INVENTORY + 1]);
    let error = local.peer.queue_message(&too_many).unwrap_err();
    assert!(matches!(error, QueueError::Encode(EncodeError::TooMany { .. })), "{error}");
    let foreign = Frame::encode(&VerAck, Network::Mainnet).unwrap();
    let error = local.peer.queue_frame(&foreign).unwrap_err();
    assert_eq!(error, QueueError::Network { frame: Network::Mainnet, peer: Network::Simnet });
    assert_eq!(remote.sync_with_ping().unwrap(), []);
    wait_until("nothing is queued", || local.peer.stats().queued_messages == 0);
    assert_eq!(local.peer.stats().queued_bytes, 0);
    assert_eq!(local.peer.queue_message(&fee(1)).unwrap().wait(), Ok(()));
}
