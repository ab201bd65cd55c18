//! A remote that a test controls step by step.

use super::frame_buffer::{self, FrameBuffer};
use super::{End, RemoteStream, ScriptError, TestFrame};
use crate::wire::{Encode, Message, Network, Payload, Ping, Pong, UserAgent, VerAck, Version};
use std::convert::Infallible;
use std::io::{self, ErrorKind, Read};
use std::net::{Shutdown, TcpListener, TcpStream, ToSocketAddrs};
use std::ops::ControlFlow;
use std::thread;
use std::time::{Duration, Instant};

/// How long each step waits unless the test says otherwise.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Systems round shorter timeouts down to zero, which would be no timeout.
const SHORTEST: Duration = Duration::from_millis(1);

/// The pause between two attempts to accept a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(1);

/// A remote that does only what a test tells it, over any [`RemoteStream`].
///
/// It has no threads: it reads and writes only inside its methods, answers nothing by itself, and can send anything,
/// including bytes that are no frame. Use it to test how a node treats its remotes. For a remote that behaves, connect two
/// peers with [`connect_peers`](super::connect_peers), or use a [`Peer`](crate::Peer) with an [`Inbox`](crate::Inbox).
///
/// Every step waits for a limited time, 20 seconds unless [`with_timeout`](Self::with_timeout) changes it. Errors say what
/// was expected and what came.
///
/// ```
/// use kaspa_peer::testing::{ScriptedRemote, memory_pair};
/// use kaspa_peer::wire::{FeeFilter, Network, Ping, Pong, Reject};
/// use kaspa_peer::{Config, DisconnectReason, Peer};
///
/// let (accepted, dialled) = memory_pair();
/// let config = Config::builder(Network::Simnet).build()?;
/// let peer = Peer::inbound(accepted, "memory", &config)?;
/// let mut remote = ScriptedRemote::new(dialled, Network::Simnet);
/// remote.shake_hands()?;
///
/// remote.send(&Ping { nonce: 7 })?;
/// assert_eq!(remote.expect::<Pong>()?, Pong { nonce: 7 });
///
/// remote.send_with_wrong_checksum(&FeeFilter { min_fee: 1 })?;
/// let reject: Reject = remote.expect()?;
/// remote.expect_end()?;
/// assert!(matches!(peer.wait_for_disconnect()?, DisconnectReason::Malformed(_)));
/// # assert!(reject.reason.to_string().contains("checksum"), "{reject:?}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ScriptedRemote<S = TcpStream> {
    stream: S,
    network: Network,
    timeout: Duration,
    buffer: FrameBuffer,
    /// The nonce of the next ping of [`sync_with_ping`](Self::sync_with_ping).
    next_nonce: u64,
}

impl ScriptedRemote<TcpStream> {
    /// Dials a node.
    ///
    /// # Errors
    ///
    /// If the connection fails.
    pub fn connect(address: impl ToSocketAddrs, network: Network) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self::new(stream, network))
    }

    /// Waits, at most `timeout`, for a node to dial `listener`. Sets the listener to blocking mode.
    ///
    /// ```
    /// use kaspa_peer::testing::ScriptedRemote;
    /// use kaspa_peer::{Config, Peer, wire::Network};
    /// use std::net::{TcpListener, TcpStream};
    /// use std::time::Duration;
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let address = listener.local_addr()?;
    /// let config = Config::builder(Network::Simnet).build()?;
    /// let peer = Peer::outbound(TcpStream::connect(address)?, address, &config)?;
    ///
    /// let mut remote = ScriptedRemote::accept(&listener, Network::Simnet, Duration::from_secs(10))?;
    /// let version = remote.shake_hands()?;
    /// peer.wait_for_handshake()?;
    /// assert_eq!(version.user_agent, *config.user_agent());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TimedOut`] if no node dials in time, or the error of the listener.
    pub fn accept(listener: &TcpListener, network: Network, timeout: Duration) -> io::Result<Self> {
        let stream = accept_timeout(listener, timeout)?;
        stream.set_nodelay(true)?;
        Ok(Self::new(stream, network))
    }

    /// A `version` message for [`shake_hands_with`](Self::shake_hands_with): a full node that offers no services, with a new
    /// nonce and the current time. Change it with struct update syntax.
    #[must_use]
    pub fn version() -> Version {
        Version { user_agent: UserAgent::from_bytes("/scripted-remote:1.0/"), ..Version::new(rand::random()) }
    }
}

/// A listener has no timeout that works on every system, so this asks repeatedly.
fn accept_timeout(listener: &TcpListener, timeout: Duration) -> io::Result<TcpStream> {
    let deadline = Instant::now().checked_add(timeout);
    listener.set_nonblocking(true)?;
    let accepted = loop {
        match listener.accept() {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                    break Err(io::Error::new(ErrorKind::TimedOut, format!("no node dialled within {timeout:?}")));
                }
                thread::sleep(ACCEPT_PAUSE);
            }
            result => break result,
        }
    };
    listener.set_nonblocking(false)?;
    let (stream, _) = accepted?;
    // On some systems an accepted socket inherits the mode of the listener.
    stream.set_nonblocking(false)?;
    Ok(stream)
}

impl<S: RemoteStream> ScriptedRemote<S> {
    /// A remote on a connected stream.
    #[must_use]
    pub fn new(stream: S, network: Network) -> Self {
        Self { stream, network, timeout: TIMEOUT, buffer: FrameBuffer::new(network), next_nonce: 0x5c41_97ed_0000_0001 }
    }

    /// Sets how long each step waits. Default: 20 seconds.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The network that the remote reads and writes.
    #[must_use]
    pub fn network(&self) -> Network {
        self.network
    }

    /// The stream, for everything that this type has no method for. Sets its timeouts to the timeout of the remote.
    ///
    /// Reading from it and calling the methods of this type can alternate: no method reads a byte beyond the frame that it
    /// returns.
    pub fn stream(&mut self) -> &mut S {
        let timeout = Some(self.timeout.max(SHORTEST));
        // A stream that refuses the timeouts has failed, and says so when it is used.
        drop(self.stream.set_read_timeout(timeout).and_then(|()| self.stream.set_write_timeout(timeout)));
        &mut self.stream
    }

    /// The stream alone.
    pub fn into_stream(self) -> S {
        self.stream
    }

    /// The remote's part of the handshake, with a `version` of its own. Works for both directions. Returns the node's
    /// `version`.
    ///
    /// # Errors
    ///
    /// As [`shake_hands_with`](Self::shake_hands_with).
    pub fn shake_hands(&mut self) -> Result<Version, ScriptError> {
        self.shake_hands_with(&ScriptedRemote::version())
    }

    /// The remote's part of the handshake: sends `version`, expects the `version` and the `verack` of the node, and sends
    /// `verack`. Works for both directions. Messages that the node sends before its `verack`, as kaspad does, are skipped.
    ///
    /// For a handshake in another order, or only a part of it, send and expect the messages one by one.
    ///
    /// # Errors
    ///
    /// [`ScriptError`]: the message that came instead, the end of the connection, or a timeout.
    pub fn shake_hands_with(&mut self, version: &Version) -> Result<Version, ScriptError> {
        self.send(version)?;
        let theirs = self.expect()?;
        self.wait_for::<VerAck>()?;
        self.send(&VerAck)?;
        Ok(theirs)
    }

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

    /// Reads the next message, of whatever type.
    ///
    /// # Errors
    ///
    /// [`ScriptError`]: a malformed frame, the end of the connection, or a timeout.
    pub fn next_message(&mut self) -> Result<Message, ScriptError> {
        self.read("a message", self.timeout)
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
        let message = self.read(expected, timeout)?;
        M::try_from(message)
            .map_err(|other| ScriptError::Unexpected { expected: expected.to_owned(), got: Box::new(other) })
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

    /// Sends a `ping`, and returns the messages that come before its `pong`. Afterwards the node has read everything that
    /// the remote sent before.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send) and [`next_message`](Self::next_message). The timeout for the messages is one for the whole
    /// call.
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
        let started = Instant::now();
        loop {
            let left = self.timeout.saturating_sub(started.elapsed());
            if let ControlFlow::Break(result) = step(self.read(expected, left)?) {
                return Ok(result);
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
        match self.read(expected, self.timeout) {
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
    /// [`ErrorKind::TimedOut`] or the error of the stream, unless that is a reset. The timeout is one for the whole call.
    pub fn read_bytes_until_end(&mut self) -> io::Result<Vec<u8>> {
        let deadline = Instant::now().checked_add(self.timeout);
        let mut bytes = self.buffer.take();
        match (UntilDeadline { stream: &mut self.stream, deadline }).read_to_end(&mut bytes) {
            Err(error) if error.kind() != ErrorKind::ConnectionReset => Err(error),
            _ => Ok(bytes),
        }
    }

    fn read(&mut self, expected: &str, timeout: Duration) -> Result<Message, ScriptError> {
        let deadline = Instant::now().checked_add(timeout);
        let mut source = UntilDeadline { stream: &mut self.stream, deadline };
        let expected = || expected.to_owned();
        self.buffer.read_message(&mut source).map_err(|error| match error {
            frame_buffer::Error::Ended(end) => ScriptError::Ended { expected: expected(), end },
            frame_buffer::Error::Frame(error) => ScriptError::Malformed { expected: expected(), error },
            frame_buffer::Error::Io(error) if is_timeout(&error) => {
                ScriptError::Timeout { expected: expected(), waited: timeout, found: self.buffer.len() }
            }
            frame_buffer::Error::Io(error) => ScriptError::Io { action: format!("reading {}", expected()), error },
        })
    }

    /// Closes the writing side. The node gets the end of the stream, and the remote can still read.
    ///
    /// # Errors
    ///
    /// If the stream cannot do that, or has ended.
    pub fn close_writing(&self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// Closes the connection. Dropping the remote does the same, unless the stream has clones.
    pub fn close(self) {
        // An error means that the connection has ended already.
        drop(self.stream.shutdown(Shutdown::Both));
    }

    /// Resets the connection: the node gets an error instead of the end of the stream.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] for streams that have no reset, such as Unix sockets.
    pub fn reset(self) -> io::Result<()> {
        self.stream.reset()
    }
}

/// The time until a deadline, in the form that streams take as a timeout. `None` if it has passed.
fn left(deadline: Option<Instant>) -> Option<Option<Duration>> {
    match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
        Some(Duration::ZERO) => None,
        Some(left) => Some(Some(left.max(SHORTEST))),
        None => Some(None),
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// A stream whose reads fail with a timeout once the deadline has passed. What has arrived by then can still be read.
struct UntilDeadline<'a, S> {
    stream: &'a mut S,
    deadline: Option<Instant>,
}

impl<S: RemoteStream> Read for UntilDeadline<'_, S> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let left = left(self.deadline);
            self.stream.set_read_timeout(left.unwrap_or(Some(SHORTEST)))?;
            match self.stream.read(into) {
                Err(error) if is_timeout(&error) && left.is_some() => {}
                result => return result,
            }
        }
    }
}
