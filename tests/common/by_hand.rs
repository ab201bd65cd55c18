//! A remote that a test plays by hand: a socket, and frames written and read one at a time.
#![allow(dead_code)]

use super::{DEADLINE, End, Recorder, sockets, version};
use kaspa_peer::wire::{
    Command, CustomMessage, Encode, Frame, Hash, Message, Network, Payload, ReadError, SendHeaders, VerAck, Version,
    read_message, write_message,
};
use kaspa_peer::{ConfigBuilder, Direction, DisconnectReason, Listener, Peer, PeerAddress, QueueError};
use parking_lot::{Condvar, Mutex};
use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

/// The far end of a peer's connection.
pub struct ByHand {
    pub stream: TcpStream,
    pub network: Network,
}

impl ByHand {
    pub fn new(stream: TcpStream, network: Network) -> Self {
        // So that a test that waits in vain fails.
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, network }
    }

    pub fn send<M: Encode + ?Sized>(&mut self, message: &M) {
        write_message(&mut self.stream, message, self.network).unwrap();
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// The next message.
    pub fn read(&mut self) -> Message {
        read_message(&mut self.stream, self.network).unwrap()
    }

    /// The next message, which must be of this type.
    pub fn read_as<T: Payload>(&mut self) -> T {
        T::try_from(self.read()).unwrap_or_else(|other| panic!("expected {}, got {other:?}", T::COMMAND))
    }

    /// Everything up to the end of the connection.
    pub fn rest(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        loop {
            match read_message(&mut self.stream, self.network) {
                Ok(message) => messages.push(message),
                Err(ReadError::Io(error)) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    panic!("not closed within {DEADLINE:?}; got {messages:?}")
                }
                Err(_) => return messages,
            }
        }
    }

    /// Says and hears what belongs to a handshake; gives the other side's version.
    pub fn shake_hands(&mut self, version: &Version) -> Version {
        self.shake_hands_and_say(version, &[])
    }

    /// Like [`shake_hands`](Self::shake_hands), with what is said next in one piece with the `verack`: no time passes
    /// between the two.
    pub fn shake_hands_and_say(&mut self, version: &Version, next: &[u8]) -> Version {
        self.send(version);
        let theirs = self.read_as();
        self.read_as::<VerAck>();
        self.send_bytes(&[&frame(self.network, "verack", &[]), next].concat());
        theirs
    }
}

/// A peer whose far end is played by hand, before the handshake. `address` is what the peer believes the remote to be at.
pub fn strangers(builder: ConfigBuilder, direction: Direction, address: Option<&str>) -> (End, ByHand) {
    let told = Recorder::default();
    let (peer, remote) = with_listener(builder, told.clone(), direction, address);
    (End { peer, told }, remote)
}

/// Like [`strangers`], with another listener.
pub fn with_listener(
    builder: ConfigBuilder,
    listener: impl Listener,
    direction: Direction,
    address: Option<&str>,
) -> (Peer, ByHand) {
    let config = builder.listener(listener).build().unwrap();
    let (dialled, accepted) = sockets();
    let (ours, theirs) = if direction == Direction::Outbound { (dialled, accepted) } else { (accepted, dialled) };
    let address = address.map_or_else(|| PeerAddress::from(ours.peer_addr().unwrap()), PeerAddress::from);
    let peer = match direction {
        Direction::Inbound => Peer::inbound(ours, address, &config),
        Direction::Outbound => Peer::outbound(ours, address, &config),
    };
    (peer.unwrap(), ByHand::new(theirs, config.network()))
}

/// A peer that was dialled by hand, after the handshake.
pub fn by_hand(builder: ConfigBuilder) -> (End, ByHand) {
    by_hand_as(builder, &version())
}

/// Like [`by_hand`], with another introduction.
pub fn by_hand_as(builder: ConfigBuilder, version: &Version) -> (End, ByHand) {
    let (end, mut remote) = strangers(builder, Direction::Inbound, None);
    remote.shake_hands(version);
    end.peer.wait_for_handshake().unwrap();
    (end, remote)
}

/// Like [`by_hand`], with another listener.
pub fn by_hand_listening(builder: ConfigBuilder, listener: impl Listener) -> (Peer, ByHand) {
    let (peer, mut remote) = with_listener(builder, listener, Direction::Inbound, None);
    remote.shake_hands(&version());
    peer.wait_for_handshake().unwrap();
    (peer, remote)
}

/// How the connection of a peer ends.
pub fn end_of(peer: &Peer) -> DisconnectReason {
    peer.wait_for_disconnect_timeout(DEADLINE).unwrap()
}

/// A frame as it would be if its payload were right.
pub fn frame(network: Network, command: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = network.magic().to_le_bytes().to_vec();
    bytes.extend_from_slice(command.as_bytes());
    bytes.resize(16, 0);
    bytes.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
    bytes.extend_from_slice(&Hash::of(payload).as_bytes()[..4]);
    bytes.extend_from_slice(payload);
    bytes
}

/// A message of exactly this many bytes on the wire, its header included.
pub fn message_of_size(bytes: usize) -> CustomMessage {
    let Ok(Command::Custom(command)) = "filler".parse() else { unreachable!() };
    CustomMessage { command, payload: vec![0; bytes - 24] }
}

pub fn frame_of_size(bytes: usize, network: Network) -> Frame {
    Frame::encode(&message_of_size(bytes), network).unwrap()
}

/// Calls a closure for every message.
pub struct OnMessage<F>(pub F);

impl<F: Fn(&Peer, &Message) + Send + Sync + 'static> Listener for OnMessage<F> {
    fn on_message(&self, peer: &Peer, message: &Message) {
        (self.0)(peer, message);
    }
}

/// Queues until the sockets' buffers and the queue are full because the remote does not read.
pub fn fill(peer: &Peer) {
    let sent = || peer.stats().sent.total().bytes;
    let message = message_of_size(10_000);
    let (mut before, mut still) = (u64::MAX, 0);
    // A second without progress, since a writer that only waits for its turn makes none either.
    while still < 200 {
        match peer.queue_message(&message) {
            Ok(_) => {}
            Err(QueueError::Full { .. }) => {
                // What is still being written shows as progress.
                still = if before == sent() { still + 1 } else { 0 };
                before = sent();
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Something that whoever comes to it waits for.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<GateState>, Condvar)>);

#[derive(Default)]
struct GateState {
    open: bool,
    arrived: usize,
}

impl Gate {
    /// Arrives, and waits until the gate is open.
    pub fn pass(&self) {
        let mut state = self.0.0.lock();
        state.arrived += 1;
        self.0.1.notify_all();
        self.0.1.wait_while_for(&mut state, |state| !state.open, DEADLINE);
    }

    pub fn open(&self) {
        self.0.0.lock().open = true;
        self.0.1.notify_all();
    }

    /// Waits until somebody has arrived.
    pub fn wait_for_arrival(&self) {
        let mut state = self.0.0.lock();
        let timed_out = self.0.1.wait_while_for(&mut state, |state| state.arrived == 0, DEADLINE).timed_out();
        assert!(!timed_out, "nobody came to the gate");
    }
}

/// Remembers like a [`Recorder`], and holds up the writer after a `sendheaders`.
#[derive(Clone, Default)]
pub struct WriterGate {
    pub told: Recorder,
    pub gate: Gate,
}

impl Listener for WriterGate {
    fn on_message(&self, peer: &Peer, message: &Message) {
        self.told.on_message(peer, message);
    }

    fn on_write(&self, _: &Peer, command: Command, _: usize, _: Option<&std::io::Error>) {
        if command == Command::SendHeaders {
            self.gate.pass();
        }
    }
}

/// A peer whose writer is held up until the gate is opened, and the remote, which has read everything so far.
pub fn held_up(builder: ConfigBuilder) -> (Peer, WriterGate, ByHand) {
    let listener = WriterGate::default();
    let (peer, mut remote) = by_hand_listening(builder, listener.clone());
    peer.queue_message(&SendHeaders).unwrap();
    remote.read_as::<SendHeaders>();
    listener.gate.wait_for_arrival();
    (peer, listener, remote)
}
