//! A connection that ends at every byte of a conversation, in every way and in both roles: a typed reason each time, and
//! nothing left behind.
//!
//! Alone in its file, since it counts what the whole process has.
#![cfg(target_os = "linux")]
#![allow(missing_docs)]

mod common;

use common::by_hand::{ByHand, end_of, message_of_size, strangers};
use common::{builder, version, wait_until};
use kaspa_peer::peer::IoOperation;
use kaspa_peer::wire::{Encode, Frame, Hash, Inv, Inventory, Network, Ping, VerAck};
use kaspa_peer::{Direction, DisconnectReason};
use std::io::ErrorKind;
use std::net::Shutdown;
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Cut {
    /// The remote says that it is done, and still listens.
    Half,
    /// The remote closes, whatever it has not read.
    Close,
    /// The remote is gone without a word.
    Reset,
}

/// What a remote says, and where its frames end.
fn conversation() -> (Vec<u8>, Vec<usize>) {
    let inv = Inv::from(vec![Inventory::tx(Hash::ZERO); 2]);
    // The last is large enough to be read into a buffer of its own.
    let messages: [&dyn Encode; 5] = [&version(), &VerAck, &Ping { nonce: 7 }, &inv, &message_of_size(40_000)];
    let (mut bytes, mut ends) = (Vec::new(), vec![0]);
    for message in messages {
        bytes.extend_from_slice(Frame::encode(message, Network::Simnet).unwrap().as_bytes());
        ends.push(bytes.len());
    }
    (bytes, ends)
}

/// The names of the threads that serve peers.
fn threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with("kpeer-")).collect()
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn cut_off(mut remote: ByHand, cut: Cut) {
    match cut {
        Cut::Half => {
            remote.stream.shutdown(Shutdown::Write).unwrap();
            remote.rest();
        }
        Cut::Close => {}
        Cut::Reset => socket2::SockRef::from(&remote.stream).set_linger(Some(Duration::ZERO)).unwrap(),
    }
}

#[test]
fn every_byte_every_way_both_roles() {
    let (bytes, ends) = conversation();
    // Every byte of the small ones, and some of the large one.
    let places = || (0..=ends[4]).chain((ends[4] + 1..bytes.len()).step_by(1999)).chain([bytes.len() - 1, bytes.len()]);
    let before = descriptors();
    for direction in [Direction::Inbound, Direction::Outbound] {
        for cut in [Cut::Half, Cut::Close, Cut::Reset] {
            for at in places() {
                let (end, mut remote) = strangers(builder(), direction, None);
                remote.send_bytes(&bytes[..at]);
                cut_off(remote, cut);
                let reason = end_of(&end.peer);
                let closed = DisconnectReason::RemoteClosed { inside_frame: !ends.contains(&at) };
                let reset = matches!(
                    reason,
                    DisconnectReason::Io { operation: IoOperation::Read | IoOperation::Write, kind, .. }
                        if matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
                );
                let expected = match cut {
                    Cut::Half => reason == closed,
                    // What it had not read when it closed makes it a reset.
                    Cut::Close => reason == closed || reset,
                    // The system tells one thread of a reset, and it may be the writer; the reader then finds an end.
                    Cut::Reset => reset || reason == closed,
                };
                assert!(expected, "{direction}, {cut:?} at {at}: {reason:?}");
                assert_eq!(end.told.told(|told| told.disconnects.clone()), [reason], "{direction}, {cut:?} at {at}");
                let early = at < ends[2];
                if cut == Cut::Half {
                    assert_eq!(end.peer.stats().handshake_done, !early, "{direction} at {at}");
                }
            }
        }
    }
    wait_until("no threads", || threads().is_empty());
    assert_eq!(descriptors(), before);
}
