//! Peers of either direction with a remote played by hand, and what more such a remote can do.
#![allow(dead_code)]

pub use super::by_hand::ByHand;
use super::{DEADLINE, End, Recorder, sockets, version};
use kaspa_peer::wire::{
    Encode, Frame, FrameError, Message, Network, Payload, Ping, Pong, ReadError, VerAck, Version, read_message,
};
use kaspa_peer::{Config, ConfigBuilder, Direction, DisconnectReason, Peer};
use std::io::{self, Read};
use std::net::Shutdown;

/// How far a test gets with a peer whichever side dialled.
pub const BOTH: [Direction; 2] = [Direction::Inbound, Direction::Outbound];

/// A peer of ours, made by the side that `direction` says, and its remote, which has said nothing yet.
pub fn meet(direction: Direction, builder: ConfigBuilder) -> (ByHand, End) {
    let told = Recorder::default();
    let config = builder.listener(told.clone()).build().unwrap();
    let (remote, peer) = meet_node(direction, &config);
    (remote, End { peer, told })
}

/// Like [`meet`], for a node that is there already.
pub fn meet_node(direction: Direction, config: &Config) -> (ByHand, Peer) {
    let (ours, theirs) = sockets();
    let address = ours.peer_addr().unwrap();
    let peer = match direction {
        Direction::Inbound => Peer::inbound(ours, address, config),
        Direction::Outbound => Peer::outbound(ours, address, config),
    };
    (ByHand::new(theirs, config.network()), peer.unwrap())
}

/// Like [`meet`], with the handshake done.
pub fn met(direction: Direction, builder: ConfigBuilder) -> (ByHand, End) {
    let (mut remote, end) = meet(direction, builder);
    remote.shake(direction, &version());
    end.peer.wait_for_handshake().unwrap();
    (remote, end)
}

impl ByHand {
    /// The next message; `None` when the connection was closed, gently or not.
    pub fn next(&mut self) -> Option<Message> {
        match read_message(&mut self.stream, self.network) {
            Ok(message) => Some(message),
            Err(ReadError::Frame(FrameError::Truncated { .. })) => None,
            Err(ReadError::Io(error)) if error.kind() == io::ErrorKind::ConnectionReset => None,
            Err(error) => panic!("the remote read: {error}"),
        }
    }

    /// The next message, which must be of this type.
    pub fn expect<T: Payload>(&mut self) -> T {
        let message = self.next();
        let message = message.unwrap_or_else(|| panic!("closed, and {} was expected", T::COMMAND));
        T::try_from(message).unwrap_or_else(|other| panic!("{} was expected, got {other:?}", T::COMMAND))
    }

    /// All bytes until the connection is closed, which it must be.
    pub fn rest_of_bytes(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self.stream.read_to_end(&mut bytes) {
            Err(error) if error.kind() != io::ErrorKind::ConnectionReset => panic!("the remote read: {error}"),
            _ => bytes,
        }
    }

    /// Everything up to the answer to a `ping` that is sent now.
    pub fn before_pong(&mut self, nonce: u64) -> Vec<Message> {
        self.send(&Ping { nonce });
        let mut before = Vec::new();
        loop {
            match self.next().expect("closed before the pong") {
                Message::Pong(Pong { nonce: answered }) if answered == nonce => return before,
                message => before.push(message),
            }
        }
    }

    /// The remote's part of the handshake with a peer made by `direction`. Gives the peer's `version`.
    pub fn shake(&mut self, direction: Direction, introduction: &Version) -> Version {
        let early = (direction == Direction::Outbound).then(|| self.expect());
        self.send(introduction);
        let theirs = early.unwrap_or_else(|| self.expect());
        self.expect::<VerAck>();
        self.send(&VerAck);
        theirs
    }

    /// Says nothing more; can still read.
    pub fn hang_up(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }
}

impl End {
    /// Waits for the end, and makes sure that everybody tells the same of it.
    pub fn reason(&self) -> DisconnectReason {
        let reason = self.peer.wait_for_disconnect_timeout(DEADLINE).unwrap();
        assert_eq!(self.peer.disconnect_reason(), Some(reason.clone()));
        assert_eq!(self.told.told(|told| told.disconnects.clone()), vec![reason.clone()]);
        reason
    }
}

/// The frame of a message.
pub fn frame<M: Encode + ?Sized>(message: &M) -> Vec<u8> {
    Frame::encode(message, Network::Simnet).unwrap().as_bytes().to_vec()
}
