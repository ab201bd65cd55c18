//! A connection that ends at any byte of a conversation, in any way and in both directions, has a typed reason and
//! leaves no thread and no descriptor behind.

use super::process::{descriptors, exclusive, no_threads_left};
use crate::common::frames::message_of_size;
use crate::common::local::{end_reason, new_peer};
use crate::common::{builder, version};
use kaspa_peer::peer::IoOperation;
use kaspa_peer::testing::ScriptedRemote;
use kaspa_peer::wire::{Encode, Frame, Hash, Inv, Inventory, Network, Ping, VerAck};
use kaspa_peer::{Direction, DisconnectReason, HandshakeError};
use std::io::ErrorKind;
use std::net::Shutdown;
use std::time::Duration;

/// How the remote ends the connection.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Cut {
    /// It shuts down its sending direction, and still reads.
    ShutDown,
    /// It closes the socket, perhaps with unread bytes.
    Close,
    /// It resets the connection.
    Reset,
}

/// The bytes that a remote sends, and where its frames end.
fn conversation() -> (Vec<u8>, Vec<usize>) {
    let inv = Inv::from(vec![Inventory::tx(Hash::ZERO); 2]);
    // The last payload is large enough for the reader to use a separate buffer.
    let messages: [&dyn Encode; 5] = [&version(), &VerAck, &Ping { nonce: 7 }, &inv, &message_of_size(40_000)];
    let (mut bytes, mut ends) = (Vec::new(), vec![0]);
    for message in messages {
        bytes.extend_from_slice(Frame::encode(message, Network::Simnet).unwrap().as_bytes());
        ends.push(bytes.len());
    }
    (bytes, ends)
}

fn cut_off(mut remote: ScriptedRemote, cut: Cut) {
    match cut {
        Cut::ShutDown => {
            remote.stream().shutdown(Shutdown::Write).unwrap();
            remote.read_until_end().unwrap();
        }
        Cut::Close => {}
        Cut::Reset => socket2::SockRef::from(&remote.stream()).set_linger(Some(Duration::ZERO)).unwrap(),
    }
}

#[test]
fn a_connection_cut_at_any_byte_has_a_typed_reason_and_leaves_nothing_behind() {
    let _exclusive = exclusive();
    let (bytes, ends) = conversation();
    // Every byte of the small frames, and some bytes of the large one.
    let places = || (0..=ends[4]).chain((ends[4] + 1..bytes.len()).step_by(1999)).chain([bytes.len() - 1, bytes.len()]);
    let before = descriptors();
    for direction in [Direction::Inbound, Direction::Outbound] {
        for cut in [Cut::ShutDown, Cut::Close, Cut::Reset] {
            for at in places() {
                let (local, mut remote) = new_peer(direction, builder());
                remote.send_bytes(&bytes[..at]).unwrap();
                cut_off(remote, cut);
                let reason = end_reason(&local.peer);
                let inside_frame = !ends.contains(&at);
                // The second frame is the `verack`.
                let closed = if at >= ends[2] {
                    DisconnectReason::RemoteClosed { inside_frame }
                } else {
                    DisconnectReason::Handshake(HandshakeError::RemoteClosed { inside_frame })
                };
                let reset = matches!(
                    reason,
                    DisconnectReason::Io { operation: IoOperation::Read | IoOperation::Write, kind, .. }
                        if matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
                );
                let expected = match cut {
                    Cut::ShutDown => reason == closed,
                    // Closing a socket with unread bytes resets the connection.
                    Cut::Close => reason == closed || reset,
                    // The system reports a reset to one thread. If that is the writer, the reader sees the end of the
                    // stream.
                    Cut::Reset => reset || reason == closed,
                };
                assert!(expected, "{direction}, {cut:?} at {at}: {reason:?}");
                assert_eq!(
                    local.recorder.look(|record| record.disconnects.clone()),
                    [reason],
                    "{direction}, {cut:?} at {at}"
                );
                let early = at < ends[2];
                if cut == Cut::ShutDown {
                    assert_eq!(local.peer.stats().handshake_done, !early, "{direction} at {at}");
                }
            }
        }
    }
    no_threads_left();
    assert_eq!(descriptors(), before);
}
