//! Frames over the payload limits of the configuration.

use kaspa_peer::peer::OversizeFrames;
use kaspa_peer::testing::{End, MemoryStream, ScriptedRemote, connect_remote};
use kaspa_peer::wire::{
    Command, FeeFilter, Frame, FrameError, HEADER_SIZE, Hash, Inv, Inventory, Network, PayloadLimits, Reject,
    SendHeaders,
};
use kaspa_peer::{Config, Direction, DisconnectReason, Inbox, Listener, Peer};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(20);

/// The limit for `inv`, in bytes, which two items just fit.
const LIMIT: u32 = 1 + 2 * 36;

fn inv(items: usize) -> Inv {
    Inv { items: vec![Inventory::tx(Hash::of(b"tx")); items] }
}

/// A peer after its handshake that accepts only small `inv`s.
fn peer(policy: Option<OversizeFrames>) -> (Peer, Inbox, ScriptedRemote<MemoryStream>) {
    let inbox = Inbox::new();
    let builder = Config::builder(Network::Simnet)
        .payload_limits(PayloadLimits::protocol().command(Command::Inv, LIMIT))
        .listener(inbox.clone());
    let builder = match policy {
        Some(policy) => builder.oversize_frames(policy),
        None => builder,
    };
    let (peer, mut remote) = connect_remote(Direction::Inbound, &builder.build().unwrap()).unwrap();
    remote.shake_hands().unwrap();
    peer.wait_for_handshake().unwrap();
    (peer, inbox, remote)
}

#[test]
fn they_are_skipped_and_counted_if_so_configured() {
    let (peer, inbox, mut remote) = peer(Some(OversizeFrames::Skip));
    remote.send(&inv(2)).unwrap();
    remote.send(&inv(3)).unwrap();
    remote.send(&inv(1000)).unwrap();
    remote.send(&FeeFilter { min_fee: 1 }).unwrap();
    assert_eq!(inbox.wait_for::<FeeFilter>(DEADLINE).unwrap(), FeeFilter { min_fee: 1 });
    assert_eq!(remote.sync_with_ping().unwrap(), [], "no reject");
    assert_eq!(inbox.count(Command::Inv), 1);
    assert_eq!(inbox.last::<Inv>().unwrap(), inv(2));
    let received = peer.stats().received;
    assert_eq!((received.of(Command::Inv).messages, received.malformed().messages), (1, 2));
    assert_eq!(peer.disconnect_reason(), None);
}

/// Records the size of each frame that was read.
#[derive(Default)]
struct Sizes(Mutex<Vec<usize>>);

impl Listener for Sizes {
    fn on_read(&self, _: &Peer, bytes: usize, _: Result<Command, &FrameError>) {
        self.0.lock().unwrap().push(bytes);
    }
}

#[test]
fn on_read_reports_a_skipped_frame_with_its_whole_size() {
    let sizes = Arc::new(Sizes::default());
    let limits = PayloadLimits::protocol().command(Command::Inv, LIMIT);
    let builder = Config::builder(Network::Simnet).payload_limits(limits).oversize_frames(OversizeFrames::Skip);
    let config = builder.listener(sizes.clone()).build().unwrap();
    let (peer, mut remote) = connect_remote(Direction::Inbound, &config).unwrap();
    remote.shake_hands().unwrap();
    peer.wait_for_handshake().unwrap();
    remote.sync_with_ping().unwrap();
    sizes.0.lock().unwrap().clear();
    let before = peer.stats().received.total().bytes;
    let large = |items| Frame::encode(&inv(items), Network::Simnet).unwrap();
    let frames = [large(3), large(100_000), large(4), large(2)];
    frames.iter().for_each(|frame| remote.send_bytes(frame.as_bytes()).unwrap());
    remote.sync_with_ping().unwrap();
    // The rest of a skipped frame may never come.
    let part = 50;
    remote.send_bytes(&large(5).as_bytes()[..part]).unwrap();
    remote.close();
    peer.wait_for_disconnect_timeout(DEADLINE).unwrap();
    let ping = HEADER_SIZE + 8;
    let expected: Vec<usize> = frames.iter().map(|frame| frame.as_bytes().len()).chain([ping, part]).collect();
    let read = sizes.0.lock().unwrap().clone();
    assert_eq!(read, expected);
    assert_eq!(read.iter().sum::<usize>() as u64, peer.stats().received.total().bytes - before);
}

#[test]
fn they_end_the_connection_by_default() {
    for policy in [None, Some(OversizeFrames::Disconnect)] {
        let (peer, inbox, mut remote) = peer(policy);
        remote.send(&SendHeaders).unwrap();
        remote.send(&inv(3)).unwrap();
        let error = FrameError::OverLimit { command: Command::Inv, length: LIMIT + 36, max: LIMIT };
        let reject: Reject = remote.expect().unwrap();
        let text = format!("Can't read message from memory (inbound): {error}");
        assert_eq!((reject.command.to_string(), reject.reason.to_string()), ("malformed".to_owned(), text));
        assert_eq!(remote.expect_end().unwrap(), End::Closed);
        let reason = peer.wait_for_disconnect_timeout(DEADLINE).unwrap();
        assert_eq!(reason, DisconnectReason::Malformed(error));
        assert_eq!((inbox.count(Command::SendHeaders), inbox.count(Command::Inv)), (1, 0));
    }
}

#[test]
fn skipping_does_not_apply_to_frames_over_the_limits_of_the_protocol() {
    let (peer, _inbox, mut remote) = peer(Some(OversizeFrames::Skip));
    let length = Command::Ping.payload_limit() + 1;
    remote.send_frame("ping", &vec![0; length as usize]).unwrap();
    let error = FrameError::TypeLimit { command: Command::Ping, length, max: length - 1 };
    assert_eq!(peer.wait_for_disconnect_timeout(DEADLINE).unwrap(), DisconnectReason::Malformed(error));
}
