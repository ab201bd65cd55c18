//! One deadline holds for the whole handshake, whatever the remote does meanwhile.

use crate::common::local::{Local, new_peer};
use crate::common::retry::{growing, retry_if_late};
use crate::common::{BOTH, builder, version};
use kaspa_peer::testing::{ScriptedRemote, TestFrame};
use kaspa_peer::wire::{Command, CustomMessage, Frame, GetAddr, Message, Network, Ping, Reject, VerAck, Version};
use kaspa_peer::{Direction, DisconnectReason, HandshakeError, QueueError, WaitError};
use std::{
    io::Write,
    time::{Duration, Instant},
};

const LIMIT: Duration = Duration::from_millis(150);

/// Lets the remote act on a peer with a short handshake timeout, and checks that this timeout ends the peer.
fn check_timeout(act: impl Fn(&mut ScriptedRemote)) {
    for direction in BOTH {
        let start = Instant::now();
        let (local, mut remote) = new_peer(direction, builder().handshake_timeout(LIMIT));
        act(&mut remote);
        assert_timed_out(&local);
        assert!(start.elapsed() >= LIMIT, "the timeout must have passed");
        remote.read_until_end().unwrap();
    }
}

fn assert_timed_out(local: &Local) {
    let reason = DisconnectReason::Handshake(HandshakeError::Timeout { limit: LIMIT });
    assert_eq!(local.end_reason(), reason);
    assert_eq!(local.peer.wait_for_handshake(), Err(WaitError::Closed(reason)));
}

/// Sends one piece after the other, with pauses, until the connection has ended.
fn keep_sending(remote: &mut ScriptedRemote, pieces: impl Iterator<Item = Vec<u8>>) {
    for piece in pieces {
        if remote.stream().write_all(&piece).is_err() {
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    panic!("everything was sent and the connection is still open");
}

#[test]
fn a_silent_remote_times_out() {
    check_timeout(|_| {});
}

#[test]
fn a_remote_that_sends_only_its_version_times_out() {
    check_timeout(|remote| remote.send(&version()).unwrap());
}

#[test]
fn a_remote_that_sends_one_byte_at_a_time_times_out() {
    let Ok(Command::Custom(command)) = "endless".parse() else { panic!("endless is known") };
    // The decoder reads small and large frames in different ways.
    for size in [12_000, 20_000] {
        let bytes =
            TestFrame::of(&CustomMessage { command, payload: vec![0; size] }, Network::Simnet).unwrap().to_bytes();
        check_timeout(|remote| keep_sending(remote, bytes.iter().map(|byte| vec![*byte])));
    }
}

#[test]
fn a_remote_that_sends_anything_but_the_handshake_times_out() {
    let Ok(Command::Custom(command)) = "chatter".parse() else { panic!("chatter is known") };
    let custom = TestFrame::of(&CustomMessage { command, payload: vec![] }, Network::Simnet).unwrap().to_bytes();
    check_timeout(|remote| keep_sending(remote, std::iter::repeat_n(custom.clone(), 20_000)));
    let ordinary = [
        TestFrame::of(&Ping { nonce: 1 }, Network::Simnet).unwrap().to_bytes(),
        TestFrame::of(&GetAddr::all(), Network::Simnet).unwrap().to_bytes(),
    ]
    .concat();
    check_timeout(|remote| {
        remote.send(&version()).unwrap();
        keep_sending(remote, std::iter::repeat_n(ordinary.clone(), 20_000));
    });
}

#[test]
fn a_first_message_that_is_not_version_ends_the_handshake_before_its_timeout() {
    for direction in BOTH {
        for message in [Message::from(VerAck), Ping { nonce: 1 }.into()] {
            let (local, mut remote) = new_peer(direction, builder().handshake_timeout(Duration::from_secs(3600)));
            if direction == Direction::Outbound {
                remote.expect::<Version>().unwrap();
            }
            remote.send(&message).unwrap();
            remote.expect::<Reject>().unwrap();
            assert_eq!(remote.read_until_end().unwrap(), []);
            let reason = local.end_reason();
            assert!(matches!(reason, DisconnectReason::Handshake(HandshakeError::NotVersion { .. })), "{reason}");
        }
    }
}

#[test]
fn a_remote_that_does_not_read_times_out() {
    let Ok(Command::Custom(command)) = "waiting".parse() else { panic!("waiting is known") };
    let message = Frame::encode(&CustomMessage { command, payload: vec![0; 1_000_000] }, Network::Simnet).unwrap();
    for direction in BOTH {
        let config = builder().handshake_timeout(LIMIT).write_timeout(None).queue_limit(64_000_000);
        let (local, mut remote) = new_peer(direction, config);
        remote.send(&version()).unwrap();
        // Far more than the buffers of both sockets hold.
        let mut queued: Vec<_> = (0..60).map(|_| local.peer.queue_frame(&message)).collect();
        assert_timed_out(&local);
        match queued.pop().unwrap() {
            Ok(receipt) => assert_eq!(receipt.wait(), Err(WaitError::Closed(local.end_reason()))),
            Err(error) => assert_eq!(error, QueueError::Closed(local.end_reason())),
        }
    }
}

#[test]
fn a_handshake_that_is_done_in_time_does_not_time_out_later() {
    retry_if_late(growing(2 * LIMIT), |limit, watch| {
        watch.tick();
        let (local, mut remote) = new_peer(Direction::Inbound, builder().handshake_timeout(limit));
        let over = Instant::now() + limit;
        remote.shake_hands().unwrap();
        local.peer.wait_for_handshake().unwrap();
        watch.rest();
        // The timeout runs from the start of the peer, so it has passed when the last of these pings is answered.
        std::thread::sleep(over.saturating_duration_since(Instant::now()));
        for _ in 1..10 {
            assert_eq!(remote.sync_with_ping().unwrap(), []);
        }
        assert_eq!(local.peer.disconnect_reason(), None);
    });
}
