//! A remote that a test controls step by step.

mod expecting;
mod sending;

use super::frame_buffer::FrameBuffer;
use super::{RemoteStream, ScriptError};
use crate::wire::{Network, UserAgent, VerAck, Version};
use rand::TryRng;
use rand::rngs::SysRng;
use std::io::{self, ErrorKind};
use std::net::{Shutdown, TcpListener, TcpStream, ToSocketAddrs};
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
/// including bytes that are no frame. Use it to test how a node treats its remotes. For a remote that behaves, connect
/// two peers with [`connect_peers`](super::connect_peers), or use a [`Peer`](crate::Peer) with an
/// [`Inbox`](crate::Inbox).
///
/// Every step waits for a limited time, 20 seconds unless [`with_timeout`](Self::with_timeout) changes it. A step may
/// last half a second longer to read what arrived before. Errors say what was expected and what came.
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
    /// Dials a node. If the address is a name with several addresses, each is tried for at most 20 seconds.
    ///
    /// # Errors
    ///
    /// If the name cannot be resolved, or the error of the last address.
    pub fn connect(address: impl ToSocketAddrs, network: Network) -> io::Result<Self> {
        let mut failure = io::Error::new(ErrorKind::NotFound, "the name has no address");
        for address in address.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, TIMEOUT) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    return Ok(Self::new(stream, network));
                }
                Err(error) => failure = error,
            }
        }
        Err(failure)
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

    /// A `version` message for [`shake_hands_with`](Self::shake_hands_with): a full node that offers no services, with
    /// a new nonce and the current time. Change it with struct update syntax.
    #[must_use]
    pub fn version() -> Version {
        // If the system has no random number, any nonce but that of the node is as good.
        let nonce = SysRng.try_next_u64().unwrap_or(0x5c41_97ed);
        Version { user_agent: UserAgent::from_bytes("/scripted-remote:1.0/"), ..Version::new(nonce) }
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
    /// Reading from it and calling the methods of this type can alternate: no method reads a byte beyond the frame that
    /// it returns.
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

    /// The remote's part of the handshake: sends `version`, expects the `version` and the `verack` of the node, and
    /// sends `verack`. Works for both directions. Messages that the node sends before its `verack`, as kaspad does, are
    /// skipped.
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
