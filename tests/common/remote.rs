//! A remote that a test controls: a socket, and frames that are written and read one at a time.

use super::DEADLINE;
use super::frames::raw_frame;
use kaspa_peer::wire::{
    Encode, FrameError, Message, Network, Payload, Ping, Pong, ReadError, VerAck, Version, read_message, write_message,
};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};

/// The remote end of a peer's connection.
pub struct Remote {
    pub stream: TcpStream,
    pub network: Network,
}

impl Remote {
    pub fn new(stream: TcpStream, network: Network) -> Self {
        // With timeouts, a test that waits for nothing fails instead of hanging.
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

    /// Sends a message, if the connection is still open. Returns whether the socket accepted it.
    pub fn try_send<M: Encode + ?Sized>(&mut self, message: &M) -> bool {
        write_message(&mut self.stream, message, self.network).is_ok()
    }

    /// Sends bytes, if the connection is still open. Returns whether the socket accepted them.
    pub fn try_send_bytes(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// The next message.
    pub fn read(&mut self) -> Message {
        self.next().expect("the connection is open")
    }

    /// The next message, or `None` if the connection was closed or reset.
    pub fn next(&mut self) -> Option<Message> {
        match read_message(&mut self.stream, self.network) {
            Ok(message) => Some(message),
            Err(ReadError::Frame(FrameError::Truncated { .. })) => None,
            Err(ReadError::Io(error)) if error.kind() == ErrorKind::ConnectionReset => None,
            Err(error) => panic!("the remote cannot read: {error}"),
        }
    }

    /// The next message, which must be of this type.
    pub fn expect<T: Payload>(&mut self) -> T {
        let message = self.next().unwrap_or_else(|| panic!("expected {}, but the connection ended", T::COMMAND));
        T::try_from(message).unwrap_or_else(|other| panic!("expected {}, got {other:?}", T::COMMAND))
    }

    /// All messages until the connection is closed or reset.
    pub fn read_until_closed(&mut self) -> Vec<Message> {
        std::iter::from_fn(|| self.next()).collect()
    }

    /// All bytes until the connection is closed or reset.
    pub fn read_bytes_until_closed(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self.stream.read_to_end(&mut bytes) {
            Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("the remote cannot read: {error}"),
            _ => bytes,
        }
    }

    /// Sends a `ping`, and returns all messages that arrive before its `pong`. Afterwards the peer has read everything that
    /// the remote sent before.
    pub fn messages_before_pong(&mut self, nonce: u64) -> Vec<Message> {
        self.send(&Ping { nonce });
        let mut before = Vec::new();
        loop {
            match self.read() {
                Message::Pong(Pong { nonce: answered }) if answered == nonce => return before,
                message => before.push(message),
            }
        }
    }

    /// The remote's part of the handshake. Returns the peer's `version`.
    pub fn shake_hands(&mut self, version: &Version) -> Version {
        self.shake_hands_and_send(version, &[])
    }

    /// Like [`shake_hands`](Self::shake_hands), with more bytes right behind the `verack`, in the same write.
    pub fn shake_hands_and_send(&mut self, version: &Version, next: &[u8]) -> Version {
        self.send(version);
        let theirs = self.expect();
        self.expect::<VerAck>();
        self.send_bytes(&[&raw_frame(self.network, "verack", &[]), next].concat());
        theirs
    }

    /// Closes the direction to the peer. The remote can still read.
    pub fn shut_down_sending(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }
}
