//! The expectations of a scripted remote, and the texts of its errors.

use kaspa_peer::testing::{End, MemoryStream, ScriptError, ScriptedRemote, TestFrame, memory_pair};
use kaspa_peer::wire::{
    Addr, CustomMessage, CustomPayload, FeeFilter, GetAddr, Message, Network, Ping, Pong, SendHeaders, VerAck, Version,
};
use std::io::ErrorKind;
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(20);

/// Two scripted remotes that are connected to each other.
fn pair() -> (ScriptedRemote<MemoryStream>, ScriptedRemote<MemoryStream>) {
    let (one, other) = memory_pair();
    (ScriptedRemote::new(one, Network::Simnet), ScriptedRemote::new(other, Network::Simnet))
}

#[test]
fn an_unexpected_message_is_named_with_what_was_expected() {
    let (mut one, mut other) = pair();
    one.send(&Ping { nonce: 5 }).unwrap();
    let error = other.expect::<VerAck>().unwrap_err();
    assert_eq!(error.to_string(), "expected verack, but this came: ping nonce 0000000000000005");
    assert!(matches!(error, ScriptError::Unexpected { got, .. } if *got == Message::from(Ping { nonce: 5 })));
}

#[test]
fn a_timeout_says_what_was_expected_and_how_much_came() {
    let (mut one, mut other) = pair();
    let error = other.expect_timeout::<Pong>(SHORT).unwrap_err();
    assert_eq!(error.to_string(), "expected pong within 20ms, but nothing came");
    let rest = one.send_part(&Pong { nonce: 5 }, 9).unwrap();
    let error = other.expect_timeout::<Pong>(SHORT).unwrap_err();
    assert_eq!(error.to_string(), "expected pong within 20ms, but only 9 bytes of a frame came");
    one.send_bytes(&rest).unwrap();
    assert_eq!(other.expect::<Pong>().unwrap(), Pong { nonce: 5 });
}

#[test]
fn the_end_of_the_connection_is_told_from_a_message() {
    let (mut one, mut other) = pair();
    one.send(&SendHeaders).unwrap();
    let error = other.expect_end().unwrap_err();
    assert_eq!(error.to_string(), "expected the end of the connection, but this came: sendheaders");
    one.close();
    let error = other.expect::<Pong>().unwrap_err();
    assert_eq!(error.to_string(), "expected pong, but the connection was closed");
    assert_eq!(error.end(), Some(End::Closed));
    assert_eq!(other.expect_end().unwrap(), End::Closed);
}

#[test]
fn an_end_inside_a_frame_and_a_reset_are_told_apart() {
    let (mut one, mut other) = pair();
    one.send_part(&Ping { nonce: 5 }, 10).unwrap();
    one.close();
    assert_eq!(other.expect_end().unwrap(), End::InsideFrame { found: 10 });
    let (one, mut other) = pair();
    one.reset().unwrap();
    assert_eq!(other.expect_end().unwrap(), End::Reset);
}

#[test]
fn a_malformed_frame_is_an_error_and_reading_goes_on() {
    let (mut one, mut other) = pair();
    one.send_with_wrong_checksum(&SendHeaders).unwrap();
    one.send(&FeeFilter { min_fee: 1 }).unwrap();
    let error = other.expect::<SendHeaders>().unwrap_err();
    let start =
        "expected sendheaders, but a malformed frame came: the payload of sendheaders does not match its checksum";
    assert!(error.to_string().starts_with(start), "{error}");
    assert_eq!(other.expect::<FeeFilter>().unwrap(), FeeFilter { min_fee: 1 });
}

#[test]
fn waiting_for_a_type_skips_other_messages() {
    let (mut one, mut other) = pair();
    one.send(&SendHeaders).unwrap();
    one.send(&Ping { nonce: 1 }).unwrap();
    one.send(&Ping { nonce: 2 }).unwrap();
    assert_eq!(other.wait_for::<Ping>().unwrap(), Ping { nonce: 1 });
    assert_eq!(other.next_message().unwrap(), Ping { nonce: 2 }.into());
    let mut other = other.with_timeout(SHORT);
    one.send(&SendHeaders).unwrap();
    let error = other.wait_for::<Ping>().unwrap_err();
    assert_eq!(error.to_string(), "expected ping within 20ms, but only 1 other message came");
    one.send(&SendHeaders).unwrap();
    one.send(&SendHeaders).unwrap();
    one.send_part(&Ping { nonce: 3 }, 9).unwrap();
    let text = "expected ping within 20ms, but only 2 other messages and 9 bytes of a frame came";
    assert_eq!(other.wait_for::<Ping>().unwrap_err().to_string(), text);
}

#[test]
fn messages_that_keep_arriving_do_not_move_the_timeout() {
    let (mut one, other) = pair();
    let mut other = other.with_timeout(SHORT);
    let sender = thread::spawn(move || {
        let pings: Vec<u8> = TestFrame::of(&Ping { nonce: 1 }, Network::Simnet).unwrap().to_bytes().repeat(1000);
        let begun = Instant::now();
        // Ends the test if the timeout does not.
        while begun.elapsed() < Duration::from_secs(15) && one.send_bytes(&pings).is_ok() {}
    });
    let error = other.wait_for::<Pong>().unwrap_err();
    assert!(matches!(error, ScriptError::Timeout { waited: SHORT, .. }), "{error}");
    let error = other.read_bytes_until_end().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    drop(other);
    sender.join().unwrap();
}

#[test]
fn waiting_for_a_match_skips_other_messages() {
    let (mut one, mut other) = pair();
    (1..5).for_each(|nonce| one.send(&Ping { nonce }).unwrap());
    let third = |message: &Message| *message == Ping { nonce: 3 }.into();
    assert_eq!(other.wait_for_match(third).unwrap(), Ping { nonce: 3 }.into());
    assert_eq!(other.expect::<Ping>().unwrap(), Ping { nonce: 4 });
    one.close();
    let error = other.wait_for_match(third).unwrap_err();
    assert_eq!(error.to_string(), "expected a message that meets the condition, but the connection was closed");
}

#[test]
fn messages_until_the_end_are_collected() {
    let (mut one, mut other) = pair();
    for nonce in 0..3 {
        one.send(&Ping { nonce }).unwrap();
    }
    one.close_writing().unwrap();
    let expected: Vec<Message> = (0..3).map(|nonce| Ping { nonce }.into()).collect();
    assert_eq!(other.read_until_end().unwrap(), expected);
    let (_one, other) = pair();
    let error = other.with_timeout(SHORT).read_until_end().unwrap_err();
    assert_eq!(error.to_string(), "expected the end of the connection within 20ms, but nothing came");
}

#[test]
fn messages_before_the_pong_of_a_sync_are_returned() {
    let (mut one, mut other) = pair();
    other.send(&FeeFilter { min_fee: 1 }).unwrap();
    // A pong that answers nothing is an ordinary message.
    other.send(&Pong { nonce: 99 }).unwrap();
    let answers = thread::spawn(move || {
        let Ping { nonce } = other.expect().unwrap();
        other.send(&Pong { nonce }).unwrap();
        other
    });
    let before = one.sync_with_ping().unwrap();
    assert_eq!(before, [FeeFilter { min_fee: 1 }.into(), Pong { nonce: 99 }.into()]);
    drop(answers.join().unwrap());
}

#[test]
fn a_handshake_skips_what_comes_before_the_verack() {
    let (mut node, mut remote) = pair();
    // As kaspad does with a node that it dialled.
    node.send(&Version::new(1)).unwrap();
    node.send(&GetAddr::all()).unwrap();
    node.send(&Addr::default()).unwrap();
    node.send(&VerAck).unwrap();
    let version = ScriptedRemote::version();
    assert_eq!(remote.shake_hands_with(&version).unwrap().nonce, 1);
    assert_eq!(node.expect::<Version>().unwrap(), version);
    node.expect::<VerAck>().unwrap();
}

#[test]
fn a_stream_of_another_protocol_is_named() {
    let (mut one, mut other) = pair();
    one.send_bytes(b"HTTP/1.1 400").unwrap();
    let error = other.expect::<Version>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "expected version, but a malformed frame came: not a kaspa node: the first four bytes are \"HTTP\""
    );
}

#[test]
fn accepting_waits_a_limited_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let error = ScriptedRemote::accept(&listener, Network::Simnet, SHORT).unwrap_err();
    assert_eq!((error.kind(), error.to_string()), (ErrorKind::TimedOut, "no node dialled within 20ms".to_owned()));
    let mut dialled = ScriptedRemote::connect(listener.local_addr().unwrap(), Network::Simnet).unwrap();
    let mut accepted = ScriptedRemote::accept(&listener, Network::Simnet, Duration::from_secs(20)).unwrap();
    dialled.send(&Ping { nonce: 5 }).unwrap();
    assert_eq!(accepted.expect::<Ping>().unwrap(), Ping { nonce: 5 });
}

#[test]
fn the_stream_and_the_methods_read_in_turn() {
    use std::io::Read;
    let (mut one, mut other) = pair();
    one.send(&Ping { nonce: 1 }).unwrap();
    one.send(&Ping { nonce: 2 }).unwrap();
    assert_eq!(other.expect::<Ping>().unwrap(), Ping { nonce: 1 });
    let expected = TestFrame::of(&Ping { nonce: 2 }, other.network()).unwrap().to_bytes();
    let mut bytes = vec![0; expected.len()];
    other.stream().read_exact(&mut bytes).unwrap();
    assert_eq!(bytes, expected);
}

#[test]
fn bytes_until_the_end_begin_with_the_part_of_a_frame_that_arrived() {
    let (mut one, mut other) = pair();
    let rest = one.send_part(&Ping { nonce: 5 }, 10).unwrap();
    other.expect_timeout::<Ping>(SHORT).unwrap_err();
    one.send_bytes(&rest).unwrap();
    one.send_bytes(b"more").unwrap();
    one.close();
    let ping = TestFrame::of(&Ping { nonce: 5 }, Network::Simnet).unwrap().to_bytes();
    assert_eq!(other.read_bytes_until_end().unwrap(), [&ping, b"more".as_slice()].concat());
    let (_one, other) = pair();
    assert_eq!(other.with_timeout(SHORT).read_bytes_until_end().unwrap_err().kind(), ErrorKind::TimedOut);
}

#[test]
fn a_node_that_sends_without_end_does_not_outlast_the_timeout() {
    let ping = TestFrame::of(&Ping { nonce: 1 }, Network::Simnet).unwrap().to_bytes();
    // The announced payload never arrives as a whole: one byte follows the other.
    let endless = TestFrame::new("endless", &[], Network::Simnet).with_length(32 << 20).to_bytes();
    let [pings, bytes] = [ping, endless].map(|start| {
        let (mut one, other) = memory_pair();
        let flood = thread::spawn(move || {
            use std::io::Write;
            let mut next = start.as_slice();
            while one.write_all(next).is_ok() {
                next = if start.len() > 24 { &start } else { &[0] };
            }
        });
        (ScriptedRemote::new(other, Network::Simnet).with_timeout(SHORT), flood)
    });
    for (mut remote, flood) in [pings, bytes] {
        assert!(matches!(remote.wait_for::<Pong>(), Err(ScriptError::Timeout { waited: SHORT, .. })));
        assert!(matches!(remote.sync_with_ping(), Err(ScriptError::Timeout { waited: SHORT, .. })));
        assert!(matches!(remote.read_until_end(), Err(ScriptError::Timeout { waited: SHORT, .. })));
        assert_eq!(remote.read_bytes_until_end().unwrap_err().kind(), ErrorKind::TimedOut);
        drop(remote);
        flood.join().unwrap();
    }
}

#[test]
fn a_timeout_of_zero_finds_what_has_arrived() {
    let (mut one, mut other) = pair();
    one.send(&Ping { nonce: 5 }).unwrap();
    assert_eq!(other.expect_timeout::<Ping>(Duration::ZERO).unwrap(), Ping { nonce: 5 });
    let error = other.expect_timeout::<Ping>(Duration::ZERO).unwrap_err();
    assert_eq!(error.to_string(), "expected ping within 0ns, but nothing came");
}

struct Chat(String);

impl CustomPayload for Chat {
    const COMMAND: &'static str = "chat";
    type Error = std::string::FromUtf8Error;

    fn write(&self, payload: &mut Vec<u8>) {
        payload.extend_from_slice(self.0.as_bytes());
    }

    fn read(payload: &[u8]) -> Result<Self, Self::Error> {
        String::from_utf8(payload.to_vec()).map(Self)
    }
}

#[test]
fn a_custom_payload_is_expected_by_its_type() {
    let (mut one, mut other) = pair();
    one.send(&CustomMessage::from_payload(&Chat("hello".to_owned())).unwrap()).unwrap();
    assert_eq!(other.expect_custom::<Chat>().unwrap().0, "hello");
    one.send(&CustomMessage::new("chat", [0xff]).unwrap()).unwrap();
    let error = other.expect_custom::<Chat>().map(|chat| chat.0).unwrap_err();
    assert!(error.to_string().starts_with("expected chat, but its payload is malformed: invalid utf-8"), "{error}");
    one.send(&CustomMessage::new("chats", []).unwrap()).unwrap();
    assert!(
        matches!(other.expect_custom::<Chat>(), Err(ScriptError::Unexpected { expected, .. }) if expected == "chat")
    );
    one.send(&Ping { nonce: 5 }).unwrap();
    assert!(matches!(other.expect_custom::<Chat>(), Err(ScriptError::Unexpected { .. })));
}
