//! What a peer can run over.

#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::{
    fmt,
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    sync::Arc,
    time::Duration,
};

/// A connection that can be read and written at the same time, and shut down meanwhile.
///
/// Implemented for [`TcpStream`] and, on Unix, `UnixStream`. Implement it for anything else that can be split into a
/// blocking reader and a blocking writer: a TLS session, a pipe pair, an in-memory channel.
///
/// ```
/// use kaspa_peer::peer::{Halves, Stream};
/// use kaspa_peer::{Config, Peer, wire::Network};
/// use std::io::{self, Cursor, Read};
/// use std::net::{Shutdown, TcpListener, TcpStream};
/// use std::time::Duration;
///
/// /// A connection whose first bytes were read already, to see which network the remote is on.
/// struct Opened([u8; 4], TcpStream);
///
/// impl Stream for Opened {
///     fn split(self, write_timeout: Option<Duration>) -> io::Result<Halves> {
///         let Self(first, socket) = self;
///         socket.set_nodelay(true)?;
///         socket.set_read_timeout(None)?; // the peer has deadlines of its own
///         socket.set_write_timeout(write_timeout)?;
///         let reader = Cursor::new(first).chain(socket.try_clone()?);
///         Ok(Halves::new(reader, socket.try_clone()?, move || drop(socket.shutdown(Shutdown::Both))))
///     }
/// }
///
/// # let other = Config::builder(Network::Simnet).build()?;
/// let door = TcpListener::bind("127.0.0.1:0")?;
/// # let remote = Peer::outbound(TcpStream::connect(door.local_addr()?)?, door.local_addr()?, &other)?;
/// let (mut socket, from) = door.accept()?;
/// let mut first = [0; 4];
/// socket.set_read_timeout(Some(Duration::from_secs(10)))?; // it may say nothing
/// socket.read_exact(&mut first)?;
/// let network = Network::from_magic(u32::from_le_bytes(first));
/// let config = Config::builder(network).build()?;
/// let peer = Peer::inbound(Opened(first, socket), from, &config)?;
/// peer.wait_for_handshake()?;
/// # assert_eq!(network, Network::Simnet);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Stream {
    /// Splits the stream. Called once, before anything is read or written.
    ///
    /// A write must give up with [`io::ErrorKind::WouldBlock`] or [`io::ErrorKind::TimedOut`] when the remote accepted
    /// nothing for `patience`, a part of the write timeout: the peer tries again until all of that is over, since not
    /// every system notices a slow remote's progress while it waits. `None` means that it may wait for ever.
    ///
    /// # Errors
    ///
    /// When the stream cannot be split or set up. The peer is not started then.
    fn split(self, patience: Option<Duration>) -> io::Result<Halves>;
}

/// A stream, split for the threads of a peer.
///
/// It is a [`Stream`] itself, so that what has two ends needs no type of its own. Here a remote says what is in memory,
/// and nobody hears the answers:
///
/// ```
/// use kaspa_peer::peer::Halves;
/// use kaspa_peer::wire::{Command, Network, Ping, write_message};
/// use kaspa_peer::{Config, DisconnectReason, HandshakeError, Peer};
/// use std::io::{self, Cursor};
///
/// let mut said = Vec::new();
/// write_message(&mut said, &Ping { nonce: 1 }, Network::Simnet)?;
/// let config = Config::builder(Network::Simnet).build()?;
/// let peer = Peer::inbound(Halves::new(Cursor::new(said), io::sink(), || {}), "memory", &config)?;
/// let expected = HandshakeError::NotVersion { command: Command::Ping };
/// assert_eq!(peer.wait_for_disconnect()?, DisconnectReason::Handshake(expected));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Halves {
    pub(super) reader: ReadHalf,
    pub(super) writer: Box<dyn Write + Send>,
    pub(super) shutdown: Box<dyn Fn() + Send + Sync>,
}

impl Halves {
    /// A stream of what the remote sends, what is sent to the remote, and a way to end both.
    ///
    /// What is written is flushed at once, and counts as sent when that is done. `shutdown` must make what waits in `reader` and `writer` return, and everything later too. It is called at least
    /// once, from any thread, and must not block.
    #[must_use]
    pub fn new(
        reader: impl Read + Send + 'static,
        writer: impl Write + Send + 'static,
        shutdown: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        Self { reader: ReadHalf::Other(Box::new(reader)), writer: Box::new(writer), shutdown: Box::new(shutdown) }
    }
}

impl fmt::Debug for Halves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Halves").finish_non_exhaustive()
    }
}

impl Stream for Halves {
    /// Gives the halves as they are; the writer's timeout is up to who made them.
    fn split(self, _: Option<Duration>) -> io::Result<Halves> {
        Ok(self)
    }
}

/// What the remote sends. A socket is read by reference: so all of a peer shares one descriptor, and nothing stands
/// between the socket and the buffer it is read into.
pub(super) enum ReadHalf {
    Tcp(Arc<TcpStream>),
    #[cfg(unix)]
    Unix(Arc<UnixStream>),
    Other(Box<dyn Read + Send>),
}

impl ReadHalf {
    pub fn with<T>(&mut self, read: impl FnOnce(&mut dyn Read) -> T) -> T {
        match self {
            Self::Tcp(stream) => read(&mut &**stream),
            #[cfg(unix)]
            Self::Unix(stream) => read(&mut &**stream),
            Self::Other(reader) => read(reader),
        }
    }
}

/// Where shutting a socket down does not wake a thread that reads it, a read gives up after this time, so that the reader
/// notices the end of the connection.
pub(super) const READ_TIMEOUT: Option<Duration> = if cfg!(windows) { Some(Duration::from_secs(1)) } else { None };

/// Whether a read or a write that failed can simply be repeated: it was interrupted, or it waited for the timeout of the
/// stream, `limit`, in the `waited` time.
///
/// `ETIMEDOUT` from the system is no such timeout: the connection itself has failed, for example because keep-alive probes were
/// not answered. On Windows the timeout of a socket has the same error, so there the time decides.
pub(super) fn can_be_repeated(error: &io::Error, waited: Duration, limit: Option<Duration>) -> bool {
    match error.kind() {
        io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock => true,
        io::ErrorKind::TimedOut if error.raw_os_error().is_none() => true,
        // The system's timers are coarse, and may end a wait a little early.
        io::ErrorKind::TimedOut => cfg!(windows) && limit.is_some_and(|limit| waited >= limit / 2),
        _ => false,
    }
}

/// The writing side of a socket that is shared with the reading side.
struct WriteHalf<T>(Arc<T>);

impl<T> Write for WriteHalf<T>
where
    for<'a> &'a T: Write,
{
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self.0).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&*self.0).flush()
    }
}

impl Stream for TcpStream {
    fn split(self, patience: Option<Duration>) -> io::Result<Halves> {
        self.set_nonblocking(false)?;
        self.set_nodelay(true)?;
        self.set_read_timeout(READ_TIMEOUT)?;
        self.set_write_timeout(patience)?;
        let stream = Arc::new(self);
        Ok(Halves {
            reader: ReadHalf::Tcp(Arc::clone(&stream)),
            writer: Box::new(WriteHalf(Arc::clone(&stream))),
            // A connection that is gone already is what was wanted.
            shutdown: Box::new(move || drop(stream.shutdown(Shutdown::Both))),
        })
    }
}

#[cfg(unix)]
impl Stream for UnixStream {
    fn split(self, patience: Option<Duration>) -> io::Result<Halves> {
        self.set_nonblocking(false)?;
        self.set_read_timeout(None)?;
        self.set_write_timeout(patience)?;
        let stream = Arc::new(self);
        Ok(Halves {
            reader: ReadHalf::Unix(Arc::clone(&stream)),
            writer: Box::new(WriteHalf(Arc::clone(&stream))),
            shutdown: Box::new(move || drop(stream.shutdown(Shutdown::Both))),
        })
    }
}
