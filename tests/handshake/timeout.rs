//! One deadline for the whole handshake, whatever the remote does meanwhile.

use crate::common::patience::{from, unless_late};
use crate::common::remote::{BOTH, ByHand, frame, meet};
use crate::common::{End, builder, version};
use kaspa_peer::wire::{Command, CustomMessage, Frame, GetAddr, Message, Network, Ping, Reject, VerAck, Version};
use kaspa_peer::{Direction, DisconnectReason, HandshakeError, QueueError, WaitError};
use std::{
    io::Write,
    time::{Duration, Instant},
};

const LIMIT: Duration = Duration::from_millis(150);

/// Lets the remote do something with a peer that has little patience, and checks that the deadline was what ended it.
fn runs_out(act: impl Fn(&mut ByHand)) {
    for direction in BOTH {
        let start = Instant::now();
        let (mut remote, end) = meet(direction, builder().handshake_timeout(LIMIT));
        act(&mut remote);
        assert_timed_out(&end);
        assert!(start.elapsed() >= LIMIT, "not before its time");
        remote.rest();
    }
}

fn assert_timed_out(end: &End) {
    let reason = DisconnectReason::Handshake(HandshakeError::Timeout { limit: LIMIT });
    // Bounded, so that a deadline that does not come fails the test.
    assert_eq!(end.reason(), reason);
    assert_eq!(end.peer.wait_for_handshake(), Err(WaitError::Closed(reason)));
}

/// Sends until the connection is gone, a little now and then.
fn keep_sending(remote: &mut ByHand, pieces: impl Iterator<Item = Vec<u8>>) {
    for piece in pieces {
        if remote.stream.write_all(&piece).is_err() {
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    panic!("still alive after everything was sent");
}

#[test]
fn a_silent_remote() {
    runs_out(|_| {});
}

#[test]
fn a_remote_that_says_version_and_no_more() {
    runs_out(|remote| remote.send(&version()));
}

#[test]
fn a_remote_that_sends_a_byte_now_and_then() {
    let Ok(Command::Custom(command)) = "endless".parse() else { panic!("endless is known") };
    // Small and large frames are read in different ways.
    for size in [12_000, 20_000] {
        let bytes = frame(&CustomMessage { command, payload: vec![0; size] });
        runs_out(|remote| keep_sending(remote, bytes.iter().map(|byte| vec![*byte])));
    }
}

#[test]
fn a_remote_that_talks_of_other_things() {
    let Ok(Command::Custom(command)) = "chatter".parse() else { panic!("chatter is known") };
    let unknown = frame(&CustomMessage { command, payload: vec![] });
    runs_out(|remote| keep_sending(remote, std::iter::repeat_n(unknown.clone(), 20_000)));
    let ordinary = [frame(&Ping { nonce: 1 }), frame(&GetAddr::all())].concat();
    runs_out(|remote| {
        remote.send(&version());
        keep_sending(remote, std::iter::repeat_n(ordinary.clone(), 20_000));
    });
}

#[test]
fn a_remote_that_begins_with_something_else_does_not_get_that_far() {
    for direction in BOTH {
        for message in [Message::from(VerAck), Ping { nonce: 1 }.into()] {
            let (mut remote, end) = meet(direction, builder().handshake_timeout(Duration::from_secs(3600)));
            if direction == Direction::Outbound {
                remote.expect::<Version>();
            }
            remote.send(&message);
            remote.expect::<Reject>();
            assert_eq!(remote.rest(), []);
            let reason = end.reason();
            assert!(matches!(reason, DisconnectReason::Handshake(HandshakeError::NotVersion { .. })), "{reason}");
        }
    }
}

#[test]
fn a_remote_that_does_not_read() {
    let Ok(Command::Custom(command)) = "waiting".parse() else { panic!("waiting is known") };
    let message = Frame::encode(&CustomMessage { command, payload: vec![0; 1_000_000] }, Network::Simnet).unwrap();
    for direction in BOTH {
        let config = builder().handshake_timeout(LIMIT).write_timeout(None).queue_limit(64_000_000);
        let (mut remote, end) = meet(direction, config);
        remote.send(&version());
        // Far more than sockets hold.
        let mut queued: Vec<_> = (0..60).map(|_| end.peer.queue_frame(&message)).collect();
        assert_timed_out(&end);
        match queued.pop().unwrap() {
            Ok(receipt) => assert_eq!(receipt.wait(), Err(WaitError::Closed(end.reason()))),
            Err(error) => assert_eq!(error, QueueError::Closed(end.reason())),
        }
    }
}

#[test]
fn a_handshake_in_time_is_not_ended_later() {
    unless_late(from(2 * LIMIT), |limit, watch| {
        watch.tick();
        let (mut remote, end) = meet(Direction::Inbound, builder().handshake_timeout(limit));
        let over = Instant::now() + limit;
        remote.shake(Direction::Inbound, &version());
        end.peer.wait_for_handshake().unwrap();
        watch.rest();
        // The deadline was counted from when the peer was made, so it is behind us when the last of these is answered.
        std::thread::sleep(over.saturating_duration_since(Instant::now()));
        for nonce in 1..10 {
            assert_eq!(remote.before_pong(nonce), []);
        }
        assert_eq!(end.peer.disconnect_reason(), None);
    });
}
