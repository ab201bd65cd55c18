//! Messages with a command that is not part of the protocol.

use crate::common::local::{connected_pair, connected_peer, connected_peer_with, end_reason, new_peer};
use crate::common::recorder::Recorder;
use crate::common::{DEADLINE, builder, version, wait_until};
use kaspa_peer::peer::CustomCommands;
use kaspa_peer::testing::{TestFrame, connect_remote_over_tcp};
use kaspa_peer::wire::{
    Command, CustomCommand, CustomMessage, Encode, FeeFilter, FrameError, Message, Network, Ping, Pong, Reject,
    RejectCode, VerAck, Version,
};
use kaspa_peer::{Direction, DisconnectReason, Listener, Peer};
use std::sync::mpsc;

const MIB: usize = 1024 * 1024;

fn command(name: &str) -> CustomCommand {
    let Ok(Command::Custom(command)) = name.parse() else { panic!("{name} is known") };
    command
}

fn custom(name: &str, payload: impl Into<Vec<u8>>) -> CustomMessage {
    CustomMessage { command: command(name), payload: payload.into() }
}

/// Passes on the arguments of the callbacks for all messages and for custom ones.
struct Forwards(mpsc::Sender<(&'static str, Message)>);

impl Listener for Forwards {
    fn on_message(&self, _: &Peer, message: &Message) {
        self.0.send(("message", message.clone())).unwrap();
    }

    fn on_custom(&self, _: &Peer, message: CustomMessage) {
        self.0.send(("custom", message.into())).unwrap();
    }
}

#[test]
fn they_are_delivered_with_their_payload() {
    let (sender, delivered) = mpsc::channel();
    let (_peer, mut remote) = connected_peer_with(Forwards(sender), builder());
    let next = || delivered.recv_timeout(DEADLINE).unwrap();
    // The messages of the handshake.
    assert_eq!([next().0, next().0], ["message"; 2]);
    for sent in
        [custom("hello", b"abc"), custom("~", []), custom("twelve-bytes", vec![9; 20_000]), custom("Ping", [1; 8])]
    {
        remote.send(&sent).unwrap();
        assert_eq!(next(), ("message", sent.clone().into()));
        assert_eq!(next(), ("custom", sent.into()));
    }
}

#[test]
fn by_default_they_are_ignored_and_counted() {
    let (peer, mut remote) = connected_peer_with((), builder());
    remote.send(&custom("hello", b"abc")).unwrap();
    remote.send(&custom("world", b"")).unwrap();
    remote.send(&Ping { nonce: 1 }).unwrap();
    assert_eq!(remote.expect::<Pong>().unwrap().nonce, 1);
    let received = peer.stats().received;
    let count = received.of(Command::Custom(command("any")));
    assert_eq!((count.messages, count.bytes), (2, 24 + 3 + 24));
    assert_eq!(received.malformed().messages, 0);
    assert_eq!(received.total().messages, 5);
}

#[test]
fn they_can_be_sent() {
    let (outbound, inbound) = connected_pair(builder(), builder());
    outbound.peer.queue_message(&custom("hello", b"abc")).unwrap();
    let hello = inbound
        .recorder
        .wait("hello", |record| record.messages.iter().find(|message| !message.command().is_known()).cloned());
    assert_eq!(hello, custom("hello", b"abc").into());
    let sent = || outbound.peer.stats().sent.of(Command::Custom(command("hello"))).messages;
    wait_until("it is counted", || sent() == 1);
}

#[test]
fn they_are_delivered_between_the_version_and_the_verack_and_skipped_before() {
    let (local, mut remote) = new_peer(Direction::Inbound, builder());
    remote.send(&custom("first", b"")).unwrap();
    remote.send(&version()).unwrap();
    remote.send(&custom("second", b"")).unwrap();
    remote.expect::<Version>().unwrap();
    remote.expect::<VerAck>().unwrap();
    remote.send(&VerAck).unwrap();
    local.peer.wait_for_handshake().unwrap();
    local.recorder.wait_for::<VerAck>();
    assert_eq!(local.recorder.commands(), ["version", "second", "verack"]);
}

#[test]
fn a_payload_over_the_limit_is_malformed() {
    for (limit, size) in [(None, MIB), (Some(10), 10), (Some(0), 0)] {
        let config = limit.map_or(builder(), |limit| builder().max_custom_payload(limit));
        let (local, mut remote) = connected_peer(config);
        remote.send(&custom("fits", vec![7; size])).unwrap();
        local.recorder.wait("the one that fits", |record| {
            record
                .messages
                .iter()
                .any(|message| message.encoded_len() == size && !message.command().is_known())
                .then_some(())
        });
        remote.send_bytes(&TestFrame::new("too-large", &vec![7; size + 1], Network::Simnet).to_bytes()[..24]).unwrap();
        let (length, max) = (u32::try_from(size + 1).unwrap(), u32::try_from(size).unwrap());
        let error = FrameError::OverLimit { command: Command::Custom(command("too-large")), length, max };
        assert_eq!(end_reason(&local.peer), DisconnectReason::Malformed(error.clone()));
        let text = format!("Can't read message from {} (inbound): {error}", local.peer.address());
        assert_eq!(
            remote.read_until_end().unwrap(),
            [Message::from(Reject::new("malformed", RejectCode::MALFORMED, text))]
        );
    }
}

#[test]
fn the_limit_does_not_apply_to_known_commands() {
    let (local, mut remote) = connected_peer(builder().max_custom_payload(0));
    remote.send(&FeeFilter { min_fee: 1 }).unwrap();
    local.recorder.wait_for::<FeeFilter>();
}

#[test]
fn with_a_setting_they_are_rejected() {
    let recorder = Recorder::default();
    let config = builder().custom_commands(CustomCommands::Disconnect);
    let (peer, mut remote) = connected_peer_with(recorder.clone(), config);
    remote.send(&custom("hello", b"abc")).unwrap();
    let command = Command::Custom(command("hello"));
    assert_eq!(end_reason(&peer), DisconnectReason::CustomCommand(command));
    let received = remote.read_until_end().unwrap();
    let [Message::Reject(reject)] = received.as_slice() else { panic!("{received:?}") };
    assert_eq!((reject.command.to_str(), reject.code), (Some("malformed"), RejectCode::MALFORMED));
    let text = format!("Can't read message from {} (inbound): ", peer.address());
    assert!(reject.reason.to_string().starts_with(&text), "{}", reject.reason);
    assert_eq!(recorder.commands(), ["version", "verack"], "no callback for it");
}

#[test]
fn with_that_setting_they_disconnect_during_the_handshake_too() {
    let (peer, mut remote) = connect_remote_over_tcp(
        Direction::Inbound,
        &builder().custom_commands(CustomCommands::Disconnect).listener(()).build().unwrap(),
    )
    .unwrap();
    remote.send(&custom("hello", b"abc")).unwrap();
    assert_eq!(end_reason(&peer), DisconnectReason::CustomCommand(Command::Custom(command("hello"))));
}
