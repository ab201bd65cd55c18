//! The reading side of a scripted remote.

use super::{SHORTEST, ScriptedRemote, is_timeout, left};
use crate::testing::{End, RemoteStream, ScriptError, frame_buffer};
use crate::wire::{CustomPayload, Message, Payload, Ping, Pong};
use std::convert::Infallible;
use std::io::{self, ErrorKind, Read};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

impl<S: RemoteStream> ScriptedRemote<S> {
    /// Reads the next message, of whatever type.
    ///
    /// # Errors
    ///
    /// [`ScriptError`]: a malformed frame, the end of the connection, or a timeout.
    pub fn next_message(&mut self) -> Result<Message, ScriptError> {
        self.read("a message", Wait::new(self.timeout))
    }

    /// Reads the next message, which must be of type `M`.
    ///
    /// # Errors
    ///
    /// As [`next_message`](Self::next_message), and [`ScriptError::Unexpected`] for a message of another type.
    pub fn expect<M: Payload>(&mut self) -> Result<M, ScriptError> {
        self.expect_timeout(self.timeout)
    }

    /// Like [`expect`](Self::expect), but waits at most `timeout`.
    ///
    /// # Errors
    ///
    /// As [`expect`](Self::expect).
    pub fn expect_timeout<M: Payload>(&mut self, timeout: Duration) -> Result<M, ScriptError> {
        let expected = M::COMMAND.name();
        let message = self.read(expected, Wait::new(timeout))?;
        M::try_from(message)
            .map_err(|other| ScriptError::Unexpected { expected: expected.to_owned(), got: Box::new(other) })
    }

    /// Reads the next message, which must be a custom message with the command of `T`, and decodes it.
    ///
    /// # Errors
    ///
    /// As [`expect`](Self::expect), and [`ScriptError::CustomPayload`] if the payload does not decode.
    pub fn expect_custom<T: CustomPayload>(&mut self) -> Result<T, ScriptError> {
        let expected = || T::COMMAND.to_owned();
        let message = self.read(T::COMMAND, Wait::new(self.timeout))?;
        let decoded = match &message {
            Message::Custom(message) => message.decode_as(),
            _ => None,
        };
        match decoded {
            Some(payload) => payload.map_err(|error: T::Error| ScriptError::CustomPayload {
                expected: expected(),
                error: error.to_string(),
            }),
            None => Err(ScriptError::Unexpected { expected: expected(), got: Box::new(message) }),
        }
    }

    /// Reads messages until one of type `M` comes, and returns that. The messages before it are skipped.
    ///
    /// # Errors
    ///
    /// As [`next_message`](Self::next_message). The timeout is one for the whole call.
    pub fn wait_for<M: Payload>(&mut self) -> Result<M, ScriptError> {
        self.read_until(M::COMMAND.name(), |message| match M::try_from(message) {
            Ok(wanted) => ControlFlow::Break(wanted),
            Err(_) => ControlFlow::Continue(()),
        })
    }

    /// Reads messages until `condition` returns `true` for one, and returns that. The messages before it are skipped.
    ///
    /// ```
    /// use kaspa_peer::testing::connect_remote;
    /// use kaspa_peer::wire::{Hash, Inventory, Message, Network};
    /// use kaspa_peer::{Config, Direction};
    ///
    /// let config = Config::builder(Network::Simnet).build()?;
    /// let (peer, mut remote) = connect_remote(Direction::Inbound, &config)?;
    /// remote.shake_hands()?;
    /// peer.wait_for_handshake()?;
    /// let block = Inventory::block(Hash::of(b"a block"));
    /// peer.queue_inventory(block)?;
    /// remote.wait_for_match(|message| matches!(message, Message::Inv(inv) if inv.items == [block]))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`next_message`](Self::next_message). The timeout is one for the whole call.
    pub fn wait_for_match(&mut self, mut condition: impl FnMut(&Message) -> bool) -> Result<Message, ScriptError> {
        self.read_until("a message that meets the condition", |message| {
            if condition(&message) { ControlFlow::Break(message) } else { ControlFlow::Continue(()) }
        })
    }

    /// Sends a `ping`, and returns the messages that come before its `pong`. Afterwards the node has read everything
    /// that the remote sent before.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send) and [`next_message`](Self::next_message). The timeout for the messages is one for the
    /// whole call.
    pub fn sync_with_ping(&mut self) -> Result<Vec<Message>, ScriptError> {
        let nonce = self.next_nonce;
        self.next_nonce = nonce.wrapping_add(1);
        self.send(&Ping { nonce })?;
        let mut before = Vec::new();
        self.read_until("the pong of a ping", |message| match message {
            Message::Pong(Pong { nonce: answered }) if answered == nonce => ControlFlow::Break(()),
            other => {
                before.push(other);
                ControlFlow::Continue(())
            }
        })?;
        Ok(before)
    }

    /// Reads messages until `step` breaks, in at most the timeout.
    fn read_until<T>(
        &mut self,
        expected: &str,
        mut step: impl FnMut(Message) -> ControlFlow<T>,
    ) -> Result<T, ScriptError> {
        let wait = Wait::new(self.timeout);
        let mut skipped = 0;
        loop {
            match self.read(expected, wait) {
                Ok(message) => match step(message) {
                    ControlFlow::Break(result) => return Ok(result),
                    ControlFlow::Continue(()) => skipped += 1,
                },
                Err(ScriptError::Timeout { expected, waited, found, .. }) => {
                    return Err(ScriptError::Timeout { expected, waited, others: skipped, found });
                }
                Err(error) => return Err(error),
            }
            // A node that sends without end would otherwise be read without end.
            if wait.is_over() {
                let expected = expected.to_owned();
                return Err(ScriptError::Timeout { expected, waited: wait.timeout, others: skipped, found: 0 });
            }
        }
    }

    /// Waits until the node ends the connection. No message may come before.
    ///
    /// # Errors
    ///
    /// [`ScriptError::Unexpected`] if a message comes first, a malformed frame, or a timeout.
    pub fn expect_end(&mut self) -> Result<End, ScriptError> {
        let expected = "the end of the connection";
        match self.read(expected, Wait::new(self.timeout)) {
            Ok(message) => Err(ScriptError::Unexpected { expected: expected.to_owned(), got: Box::new(message) }),
            Err(ScriptError::Ended { end, .. }) => Ok(end),
            Err(error) => Err(error),
        }
    }

    /// Reads messages until the node ends the connection, and returns them.
    ///
    /// # Errors
    ///
    /// A malformed frame, or a timeout. The timeout is one for the whole call.
    pub fn read_until_end(&mut self) -> Result<Vec<Message>, ScriptError> {
        let mut messages = Vec::new();
        let ended = self.read_until("the end of the connection", |message| {
            messages.push(message);
            ControlFlow::<Infallible>::Continue(())
        });
        match ended {
            Err(ScriptError::Ended { .. }) => Ok(messages),
            Err(error) => Err(error),
            Ok(never) => match never {},
        }
    }

    /// Reads bytes, which need not be frames, until the node ends the connection, and returns them.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TimedOut`] or the error of the stream, unless that is a reset. The timeout is one for the whole
    /// call.
    pub fn read_bytes_until_end(&mut self) -> io::Result<Vec<u8>> {
        let wait = Wait::new(self.timeout);
        let mut bytes = self.buffer.take();
        match (LimitedRead { stream: &mut self.stream, wait }).read_to_end(&mut bytes) {
            Err(error) if error.kind() != ErrorKind::ConnectionReset => Err(error),
            _ => Ok(bytes),
        }
    }

    fn read(&mut self, expected: &str, wait: Wait) -> Result<Message, ScriptError> {
        let mut source = LimitedRead { stream: &mut self.stream, wait };
        let expected = || expected.to_owned();
        self.buffer.read_message(&mut source).map_err(|error| match error {
            frame_buffer::Error::Ended(end) => ScriptError::Ended { expected: expected(), end },
            frame_buffer::Error::Frame(error) => ScriptError::Malformed { expected: expected(), error },
            frame_buffer::Error::Io(error) if is_timeout(&error) => {
                ScriptError::Timeout { expected: expected(), waited: wait.timeout, others: 0, found: self.buffer.len() }
            }
            frame_buffer::Error::Io(error) => ScriptError::Io { action: format!("reading {}", expected()), error },
        })
    }
}

/// How long one step waits.
#[derive(Clone, Copy)]
struct Wait {
    timeout: Duration,
    deadline: Option<Instant>,
}

impl Wait {
    fn new(timeout: Duration) -> Self {
        Self { timeout, deadline: Instant::now().checked_add(timeout) }
    }

    /// `true` once bytes that have arrived are no longer read either.
    fn is_over(&self) -> bool {
        self.deadline.is_some_and(|deadline| deadline.elapsed() > GRACE)
    }
}

/// A stream whose reads fail with a timeout when a step has waited long enough.
///
/// Bytes that have arrived by then can still be read, so that a timeout of zero finds a message that is there. For that
/// there is [`GRACE`], and not more: a node that sends one byte after the other must not make a step last longer.
struct LimitedRead<'a, S> {
    stream: &'a mut S,
    wait: Wait,
}

/// How long a step reads after its timeout what has arrived before.
const GRACE: Duration = Duration::from_millis(500);

impl<S: RemoteStream> Read for LimitedRead<'_, S> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let left = left(self.wait.deadline);
            if self.wait.is_over() {
                return Err(ErrorKind::TimedOut.into());
            }
            self.stream.set_read_timeout(left.unwrap_or(Some(SHORTEST)))?;
            match self.stream.read(into) {
                Err(error) if is_timeout(&error) && left.is_some() => {}
                result => return result,
            }
        }
    }
}
