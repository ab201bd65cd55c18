//! Tests of the inbox.

use super::state::MESSAGE_OVERHEAD;
use super::*;
use crate::Config;
use crate::wire::{FeeFilter, Network, Ping, Pong, VerAck};
use std::net::{TcpListener, TcpStream};

fn push(inbox: &Inbox, message: impl Into<Message>) {
    inbox.shared.state.lock().push(message.into());
}

#[test]
fn waits_take_messages_of_their_type_in_order_of_arrival() {
    let inbox = Inbox::new();
    push(&inbox, Ping { nonce: 1 });
    push(&inbox, VerAck);
    push(&inbox, Ping { nonce: 2 });
    assert_eq!(inbox.last(), Some(Ping { nonce: 2 }));
    assert_eq!(inbox.wait_for(Duration::ZERO), Ok(Ping { nonce: 1 }));
    assert_eq!(inbox.wait_for(Duration::ZERO), Ok(Ping { nonce: 2 }));
    assert_eq!(
        inbox.wait_for::<Ping>(Duration::ZERO),
        Err(WaitError::Timeout { what: WaitedFor::Message(Command::Ping), waited: Duration::ZERO })
    );
    assert_eq!(inbox.wait_until(Duration::ZERO, |mut held| held.next().cloned()), Ok(VerAck.into()));
    assert_eq!(inbox.take_all(), [VerAck.into()]);
}

#[test]
fn a_wait_looks_at_each_message_once() {
    let mut state = State::new(usize::MAX);
    (0..3).for_each(|nonce| state.push(Ping { nonce }.into()));
    let mut seen = 0;
    assert_eq!(state.take_new(Command::Pong, &mut seen), None);
    // It would be found if the wait looked at it again.
    state.messages[0] = Arc::new(Pong { nonce: 0 }.into());
    assert_eq!(state.take_new(Command::Pong, &mut seen), None);
    // Messages that were taken or dropped meanwhile make no difference.
    state.limit = state.bytes;
    for nonce in 3..7 {
        state.push(Pong { nonce }.into());
    }
    assert_eq!(state.take_new(Command::Pong, &mut 0), Some(Arc::new(Pong { nonce: 4 }.into())));
    for nonce in [5, 6] {
        seen = state.added - 2;
        assert_eq!(state.take_new(Command::Pong, &mut seen), Some(Arc::new(Pong { nonce }.into())));
    }
    assert_eq!(state.take_new(Command::Pong, &mut 0), None);
}

#[test]
fn the_oldest_messages_are_dropped() {
    let inbox = Inbox::new().with_limit(2 * (8 + MESSAGE_OVERHEAD));
    for nonce in 0..5 {
        push(&inbox, Ping { nonce });
    }
    assert_eq!(inbox.dropped(), 3);
    let inbox = inbox.with_limit(8 + MESSAGE_OVERHEAD);
    assert_eq!(inbox.dropped(), 4);
    assert_eq!(inbox.take_all(), [Ping { nonce: 4 }.into()]);
}

#[test]
fn an_inbox_beside_a_listener_can_have_a_limit() {
    let inbox = Inbox::beside(()).with_limit(0);
    push(&inbox, VerAck);
    assert_eq!((inbox.dropped(), inbox.take_all()), (1, Vec::new()));
}

#[test]
fn a_condition_may_use_the_inbox_and_does_not_block_messages() {
    let inbox = Inbox::new();
    push(&inbox, Ping { nonce: 1 });
    let mut seen = Vec::new();
    let result = inbox.wait_until(Duration::MAX, |messages| {
        assert!(inbox.shared.state.try_lock().is_some(), "the lock of the inbox is held");
        seen.push(messages.cloned().collect::<Vec<_>>());
        match seen.len() {
            1 => push(&inbox, Ping { nonce: 2 }),
            2 => drop(inbox.wait_for::<Ping>(Duration::ZERO).unwrap()),
            3 => push(&inbox, Ping { nonce: 3 }),
            _ => return Some("done"),
        }
        None
    });
    assert_eq!(result, Ok("done"));
    let pings = |nonces: &[u64]| nonces.iter().map(|nonce| Ping { nonce: *nonce }.into()).collect::<Vec<Message>>();
    assert_eq!(seen, [pings(&[1]), pings(&[1, 2]), pings(&[2]), pings(&[2, 3])]);
}

#[test]
fn a_condition_sees_what_the_inbox_holds_after_it_dropped_messages() {
    let inbox = Inbox::new().with_limit(2 * (8 + MESSAGE_OVERHEAD));
    let mut seen = Vec::new();
    for first in [1, 2, 5] {
        push(&inbox, Ping { nonce: first });
    }
    let result = inbox.wait_until(Duration::MAX, |messages| {
        seen.push(messages.map(ToString::to_string).collect::<Vec<_>>());
        match seen.len() {
            1 => push(&inbox, Ping { nonce: 6 }),
            2 => (7..12).for_each(|nonce| push(&inbox, Ping { nonce })),
            _ => return Some(()),
        }
        None
    });
    assert_eq!(result, Ok(()));
    let pings = |nonces: [u64; 2]| nonces.map(|nonce| Message::from(Ping { nonce }).to_string());
    assert_eq!(seen, [pings([2, 5]), pings([5, 6]), pings([10, 11])]);
}

#[test]
fn the_oldest_message_that_matches_is_taken() {
    let inbox = Inbox::new();
    for nonce in [1, 8, 3, 9] {
        push(&inbox, Ping { nonce });
    }
    let large = |message: &Message| matches!(message, Message::Ping(ping) if ping.nonce > 5);
    assert_eq!(inbox.wait_for_match(Duration::ZERO, large), Ok(Ping { nonce: 8 }.into()));
    assert_eq!(inbox.wait_for_match(Duration::ZERO, large), Ok(Ping { nonce: 9 }.into()));
    let timeout = WaitError::Timeout { what: WaitedFor::Condition, waited: Duration::ZERO };
    assert_eq!(inbox.wait_for_match(Duration::ZERO, large), Err(timeout));
    assert_eq!(inbox.take_all(), [Ping { nonce: 1 }.into(), Ping { nonce: 3 }.into()]);
}

#[test]
fn a_message_that_another_wait_takes_meanwhile_is_not_taken_twice() {
    let inbox = Inbox::new();
    push(&inbox, Ping { nonce: 1 });
    push(&inbox, Ping { nonce: 2 });
    let mut seen = Vec::new();
    let taken = inbox.wait_for_match(Duration::MAX, |message| {
        if seen.is_empty() {
            assert_eq!(inbox.wait_for(Duration::ZERO), Ok(Ping { nonce: 1 }));
        }
        seen.push(message.clone());
        true
    });
    assert_eq!(taken, Ok(Ping { nonce: 2 }.into()));
    assert_eq!(seen, [Ping { nonce: 1 }.into(), Ping { nonce: 2 }.into()]);
}

#[test]
fn a_condition_that_is_not_met_ends_with_the_timeout_or_the_connection() {
    let inbox = Inbox::new();
    let never = |_: InboxMessages<'_>| None::<()>;
    let timeout = WaitError::Timeout { what: WaitedFor::Condition, waited: Duration::ZERO };
    assert_eq!(inbox.wait_until(Duration::ZERO, never), Err(timeout));
    inbox.shared.state.lock().ended = Some(DisconnectReason::Local);
    assert_eq!(inbox.wait_until(Duration::MAX, never), Err(WaitError::Closed(DisconnectReason::Local)));
}

#[test]
fn messages_that_keep_arriving_do_not_move_the_timeout_of_a_condition() {
    let inbox = Inbox::new();
    let waited = Duration::from_millis(1);
    let mut looks = 0;
    let result = inbox.wait_until(waited, |_| {
        push(&inbox, Ping { nonce: looks });
        looks += 1;
        // Ends the test if the timeout does not.
        let pause = if looks < 200 { waited } else { Duration::ZERO };
        std::thread::sleep(pause);
        (looks == 200).then_some(())
    });
    assert_eq!(result, Err(WaitError::Timeout { what: WaitedFor::Condition, waited }), "after {looks} looks");
}

#[test]
fn the_end_of_the_connection_ends_waits_after_the_last_match() {
    let inbox = Inbox::new();
    push(&inbox, Pong { nonce: 1 });
    inbox.shared.state.lock().ended = Some(DisconnectReason::Local);
    assert_eq!(inbox.wait_for(Duration::MAX), Ok(Pong { nonce: 1 }));
    assert_eq!(inbox.wait_for::<Pong>(Duration::MAX), Err(WaitError::Closed(DisconnectReason::Local)));
}

/// Records the callbacks that an inbox passes on, and waits for its own peer in one of them.
#[derive(Default)]
struct Calls {
    inbox: std::sync::OnceLock<Inbox>,
    pings: Mutex<Vec<(Ping, Option<WaitError>)>>,
    handshakes: Mutex<usize>,
}

impl Listener for Arc<Calls> {
    fn on_handshake(&self, _: &Peer) {
        *self.handshakes.lock() += 1;
    }

    fn on_ping(&self, _: &Peer, ping: Ping) {
        let error = self.inbox.get().and_then(|inbox| inbox.wait_for::<Pong>(Duration::MAX).err());
        self.pings.lock().push((ping, error));
    }
}

#[test]
fn an_inbox_beside_a_listener_passes_callbacks_on_and_ends_with_the_reason() {
    let calls = Arc::new(Calls::default());
    let inbox = Inbox::beside(Arc::clone(&calls));
    calls.inbox.set(inbox.clone()).unwrap();
    let config = Config::builder(Network::Simnet).listener(inbox.clone()).build().unwrap();
    let other = Config::builder(Network::Simnet).build().unwrap();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let remote = Peer::outbound(TcpStream::connect(address).unwrap(), address, &other).unwrap();
    let (stream, from) = server.accept().unwrap();
    let peer = Peer::inbound(stream, from, &config).unwrap();
    remote.wait_for_handshake().unwrap();
    remote.queue_message(&Ping { nonce: 7 }).unwrap();
    let limit = Duration::from_secs(20);
    assert_eq!(
        inbox.wait_until(limit, |mut held| held.find_map(|message| match message {
            Message::Ping(ping) if ping.nonce == 7 => Some(*ping),
            _ => None,
        })),
        Ok(Ping { nonce: 7 })
    );
    // The reader thread handles this pong only after the callback for the remote's ping has returned.
    peer.ping().unwrap();
    peer.disconnect();
    peer.wait_for_disconnect().unwrap();
    assert_eq!(inbox.wait_for::<FeeFilter>(Duration::MAX), Err(WaitError::Closed(DisconnectReason::Local)));
    assert_eq!(*calls.handshakes.lock(), 1);
    assert!(calls.pings.lock().contains(&(Ping { nonce: 7 }, Some(WaitError::InCallback))), "{:?}", calls.pings.lock());
    let VerAck = inbox.wait_for(Duration::ZERO).unwrap();
}
