//! A connection whose remote has stopped reading is reset, so that the system does not keep its unsent bytes.

use crate::common::frames::frame_of_size;
use crate::common::local::connected_peer;
use crate::common::{DEADLINE, builder};
use kaspa_peer::testing::ScriptedRemote;
use kaspa_peer::wire::{FeeFilter, Network};
use kaspa_peer::{DisconnectReason, Peer};
use std::io::{self, Read};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;

/// Reads until the connection ends. Returns the error, if it ended with one.
fn read_to_the_end(mut stream: &TcpStream) -> io::Result<usize> {
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.read_to_end(&mut Vec::new())
}

#[test]
fn a_remote_that_has_stopped_reading_sees_a_reset() {
    let limit = Duration::from_millis(200);
    let (local, mut remote) = connected_peer(builder().write_timeout(limit));
    // More than the buffers of both sockets hold.
    while local.peer.queue_frame(&frame_of_size(6_000_000, Network::Simnet)).is_ok() {}
    assert_eq!(local.end_reason(), DisconnectReason::WriteStalled { limit });
    let result = read_to_the_end(remote.stream());
    assert_eq!(result.map_err(|error| error.kind()), Err(io::ErrorKind::ConnectionReset));
}

#[test]
fn an_ordinary_disconnect_is_no_reset() {
    let (local, mut remote) = connected_peer(builder());
    local.peer.disconnect();
    local.end_reason();
    assert!(read_to_the_end(remote.stream()).is_ok());
}

/// The remote chooses the reason for the end, so it could avoid the reset: it stops reading, and then sends a malformed
/// frame or closes its side.
#[test]
#[cfg(target_os = "linux")]
fn the_system_keeps_unsent_bytes_for_a_limited_time_after_every_other_end() {
    let ends: [fn(&mut ScriptedRemote); 2] = [
        |remote| remote.send_with_wrong_checksum(&FeeFilter { min_fee: 1 }).unwrap(),
        |remote| remote.close_writing().unwrap(),
    ];
    for end in ends {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut remote = ScriptedRemote::connect(listener.local_addr().unwrap(), Network::Simnet).unwrap();
        let (ours, from) = listener.accept().unwrap();
        let clone = ours.try_clone().unwrap();
        let peer = Peer::inbound(ours, from, &builder().build().unwrap()).unwrap();
        remote.shake_hands().unwrap();
        peer.wait_for_handshake().unwrap();
        end(&mut remote);
        peer.wait_for_disconnect_timeout(DEADLINE).unwrap();
        let socket = socket2::SockRef::from(&clone);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(30)));
    }
}

#[test]
fn a_peer_on_a_connection_that_is_shut_down_already_ends_in_order() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (theirs, from) = listener.accept().unwrap();
    ours.shutdown(Shutdown::Both).unwrap();
    // On some systems the options of such a socket can no longer be set: then the peer does not start.
    if let Ok(peer) = Peer::outbound(ours, from, &builder().build().unwrap()) {
        assert!(peer.wait_for_disconnect_timeout(DEADLINE).is_ok());
    }
    drop(theirs);
}
