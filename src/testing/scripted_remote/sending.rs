//! The sending side of a scripted remote.

use super::{ScriptedRemote, is_timeout, left};
use crate::testing::{RemoteStream, ScriptError, TestFrame};
use crate::wire::Encode;
use std::io::{self, ErrorKind};
use std::time::Instant;

impl<S: RemoteStream> ScriptedRemote<S> {
    /// Sends a message.
    ///
    /// # Errors
    ///
    /// If the protocol cannot carry the message, or the node does not take it in time.
    pub fn send<M: Encode + ?Sized>(&mut self, message: &M) -> Result<(), ScriptError> {
        let frame = TestFrame::of(message, self.network)?;
        self.write(message.command().name(), &frame.to_bytes())
    }

    /// Sends any bytes.
    ///
    /// # Errors
    ///
    /// If the node does not take them in time.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> Result<(), ScriptError> {
        self.write("bytes", bytes)
    }

    /// Sends a well-formed frame of any command and payload, neither of which needs to be valid.
    ///
    /// # Errors
    ///
    /// As [`send_bytes`](Self::send_bytes).
    pub fn send_frame(&mut self, command: impl AsRef<[u8]>, payload: &[u8]) -> Result<(), ScriptError> {
        let frame = TestFrame::new(command, payload, self.network);
        self.write("a frame", &frame.to_bytes())
    }

    /// Sends a message with a wrong checksum.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn send_with_wrong_checksum<M: Encode + ?Sized>(&mut self, message: &M) -> Result<(), ScriptError> {
        let frame = TestFrame::of(message, self.network)?.with_wrong_checksum();
        self.write(message.command().name(), &frame.to_bytes())
    }

    /// Sends a message whose header has another payload length.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn send_with_length<M: Encode + ?Sized>(&mut self, message: &M, length: u32) -> Result<(), ScriptError> {
        let frame = TestFrame::of(message, self.network)?.with_length(length);
        self.write(message.command().name(), &frame.to_bytes())
    }

    /// Sends a message whose header has another magic number.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn send_with_magic<M: Encode + ?Sized>(&mut self, message: &M, magic: u32) -> Result<(), ScriptError> {
        let frame = TestFrame::of(message, self.network)?.with_magic(magic);
        self.write(message.command().name(), &frame.to_bytes())
    }

    /// Sends the first bytes of a message, at most `bytes` of them, and returns the rest. Send the rest with
    /// [`send_bytes`](Self::send_bytes), or close the connection inside the frame.
    ///
    /// ```
    /// use kaspa_peer::testing::{ScriptedRemote, memory_pair};
    /// use kaspa_peer::wire::{Network, Ping, Pong};
    /// # use kaspa_peer::{Config, Peer};
    ///
    /// # let (accepted, dialled) = memory_pair();
    /// # let config = Config::builder(Network::Simnet).build()?;
    /// # let peer = Peer::inbound(accepted, "memory", &config)?;
    /// let mut remote = ScriptedRemote::new(dialled, Network::Simnet);
    /// remote.shake_hands()?;
    /// let rest = remote.send_part(&Ping { nonce: 7 }, 20)?;
    /// assert_eq!(rest.len(), 12);
    /// remote.send_bytes(&rest)?;
    /// remote.expect::<Pong>()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn send_part<M: Encode + ?Sized>(&mut self, message: &M, bytes: usize) -> Result<Vec<u8>, ScriptError> {
        let mut frame = TestFrame::of(message, self.network)?.to_bytes();
        let rest = frame.split_off(bytes.min(frame.len()));
        self.write(message.command().name(), &frame)?;
        Ok(rest)
    }

    fn write(&mut self, what: &str, mut bytes: &[u8]) -> Result<(), ScriptError> {
        let failed = |error| ScriptError::Io { action: format!("sending {what}"), error };
        let deadline = Instant::now().checked_add(self.timeout);
        while !bytes.is_empty() {
            let Some(left) = left(deadline) else {
                let text = format!("the node took {} bytes too few within {:?}", bytes.len(), self.timeout);
                return Err(failed(io::Error::new(ErrorKind::TimedOut, text)));
            };
            self.stream.set_write_timeout(left).map_err(failed)?;
            match self.stream.write(bytes) {
                Ok(0) => return Err(failed(ErrorKind::WriteZero.into())),
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(error) if is_timeout(&error) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        self.stream.flush().map_err(failed)
    }
}
