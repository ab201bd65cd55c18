//! The byte streams on which a peer can run.

use socket2::SockRef;
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::{
    fmt,
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

/// A connection that can be read and written at the same time, and shut down by a third thread.
///
/// Implemented for [`TcpStream`] and, on Unix, for `UnixStream`, so that `UnixStream::pair()` connects two peers in a
/// test. [`memory_pair`](crate::testing::memory_pair) does the same on every system. Implement it for anything else
/// that can be split into a blocking reader and a blocking writer: a pair of pipes, or a [TLS
/// session](crate::guide::tls). A reader and a writer that share a TLS session must not hold its lock while they wait
/// for the socket.
///
/// ```
/// use kaspa_peer::peer::{Halves, Stream};
/// use kaspa_peer::{Config, Peer, wire::Network};
/// use std::io::{self, Cursor, Read};
/// use std::net::{Shutdown, TcpListener, TcpStream};
/// use std::time::Duration;
///
/// /// A connection whose first bytes were read already, to find out which network the remote is on.
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
/// let server = TcpListener::bind("127.0.0.1:0")?;
/// # let remote = Peer::outbound(TcpStream::connect(server.local_addr()?)?, server.local_addr()?, &other)?;
/// let (mut socket, from) = server.accept()?;
/// let mut first = [0; 4];
/// socket.set_read_timeout(Some(Duration::from_secs(10)))?; // the remote may send nothing
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
    /// A write must fail with [`io::ErrorKind::WouldBlock`] or [`io::ErrorKind::TimedOut`] if the remote accepts no
    /// byte for `write_timeout`. This is only a part of the configured write timeout: the peer tries again until the
    /// configured time is over, because not every system reports the progress of a slow remote to a waiting write. With
    /// `None` a write may wait for ever.
    ///
    /// # Errors
    ///
    /// If the stream cannot be split or set up. The peer is not started then, and its constructor returns
    /// [`StartError::Stream`](super::StartError::Stream). The same happens if this method or
    /// [`local_addr`](Self::local_addr) panics.
    fn split(self, write_timeout: Option<Duration>) -> io::Result<Halves>;

    /// The IP address and port of this side of the connection, which [`Peer::local_addr`](super::Peer::local_addr)
    /// returns. Called once, before [`split`](Self::split). `None`, the default, for a stream that has none.
    fn local_addr(&self) -> Option<SocketAddr> {
        None
    }
}

/// A stream that is split for the threads of a peer.
///
/// It is a [`Stream`] itself, so that a pair of a reader and a writer needs no type of its own. Here the messages of
/// the remote come from memory, and the answers are thrown away:
///
/// ```
/// use kaspa_peer::peer::Halves;
/// use kaspa_peer::wire::{Command, Network, Ping, write_message};
/// use kaspa_peer::{Config, DisconnectReason, HandshakeError, Peer};
/// use std::io::{self, Cursor};
///
/// let mut sent = Vec::new();
/// write_message(&mut sent, &Ping { nonce: 1 }, Network::Simnet)?;
/// let config = Config::builder(Network::Simnet).build()?;
/// let peer = Peer::inbound(Halves::new(Cursor::new(sent), io::sink(), || {}), "memory", &config)?;
/// let expected = HandshakeError::NotVersion { command: Command::Ping };
/// assert_eq!(peer.wait_for_disconnect()?, DisconnectReason::Handshake(expected));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Halves {
    pub(super) reader: ReadHalf,
    pub(super) writer: Box<dyn Write + Send>,
    /// With `true` it resets the connection instead of closing it, if the stream supports that.
    pub(super) shutdown: Box<dyn Fn(bool) + Send + Sync>,
}

impl Halves {
    /// A stream from its parts: `reader` returns the bytes of the remote, `writer` accepts the bytes for the remote,
    /// and `shutdown` ends both.
    ///
    /// The peer flushes after every write. Bytes count as sent when they are flushed. `shutdown` must make blocked
    /// calls of `reader` and `writer` return. Later calls must return at once. `shutdown` is called at least once, from
    /// any thread, and must not block.
    #[must_use]
    pub fn new(
        reader: impl Read + Send + 'static,
        writer: impl Write + Send + 'static,
        shutdown: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        Self {
            reader: ReadHalf::Other(Box::new(reader)),
            writer: Box::new(writer),
            shutdown: Box::new(move |_| shutdown()),
        }
    }
}

impl fmt::Debug for Halves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Halves").finish_non_exhaustive()
    }
}

impl Stream for Halves {
    /// Returns the halves as they are. The code that made them has to set the timeout of the writer.
    fn split(self, _: Option<Duration>) -> io::Result<Halves> {
        Ok(self)
    }
}

/// The reading half. A socket is shared with the writing half, so that a peer needs only one file descriptor.
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

/// The read timeout of a socket. It is needed on Windows, where shutting down a socket does not wake a thread that
/// reads from it. The timeout lets the reader notice the end of the connection.
pub(super) const READ_TIMEOUT: Option<Duration> = if cfg!(windows) { Some(Duration::from_secs(1)) } else { None };

/// `true` if a read or a write that failed can be repeated, because it was interrupted or timed out. `waited` is how
/// long the call took, and `limit` is the timeout of the stream.
///
/// The system's error `ETIMEDOUT` means that the connection has failed, for example because keep-alive probes were not
/// answered. Such a call cannot be repeated. On Windows the timeout of a socket gives the same error, so there `waited`
/// decides.
pub(super) fn can_be_repeated(error: &io::Error, waited: Duration, limit: Option<Duration>) -> bool {
    match error.kind() {
        io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock => true,
        io::ErrorKind::TimedOut if error.raw_os_error().is_none() => true,
        // A wait may end a little early, because the system's timers are coarse. So half of the timeout is enough.
        io::ErrorKind::TimedOut => cfg!(windows) && limit.is_some_and(|limit| waited >= limit / 2),
        _ => false,
    }
}

/// Ignores the error of setting an option of a socket that the remote has closed, which macOS reports as `EINVAL`.
///
/// The peer still starts on such a connection. The remote may have sent a `reject` before it closed, and the reader
/// delivers it. A write fails at once, so no write timeout is needed.
fn unless_closed(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if cfg!(target_vendor = "apple") && error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        result => result,
    }
}

/// How long the system keeps the bytes that a remote does not read, after the connection has ended.
#[cfg(any(target_os = "linux", target_os = "android"))]
const KEEP_UNSENT: Duration = Duration::from_secs(30);

/// Limits how long the system keeps unsent bytes of a connection that is about to be closed. Without a limit, Linux
/// keeps up to 4 MB for each connection for five to ten minutes, if the remote does not read. The other systems have no
/// such option, or none that `socket2` offers.
fn limit_unsent(stream: &TcpStream) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    drop(SockRef::from(stream).set_tcp_user_timeout(Some(KEEP_UNSENT)));
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = stream;
}

/// The writing half of a socket that is shared with the reading half.
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
    fn split(self, write_timeout: Option<Duration>) -> io::Result<Halves> {
        self.set_nonblocking(false)?;
        unless_closed(self.set_nodelay(true))?;
        unless_closed(self.set_read_timeout(READ_TIMEOUT))?;
        unless_closed(self.set_write_timeout(write_timeout))?;
        let stream = Arc::new(self);
        Ok(Halves {
            reader: ReadHalf::Tcp(Arc::clone(&stream)),
            writer: Box::new(WriteHalf(Arc::clone(&stream))),
            shutdown: Box::new(move |reset| {
                if reset {
                    // When the last thread drops the stream, the system then sends a reset and frees the unsent bytes.
                    drop(SockRef::from(&*stream).set_linger(Some(Duration::ZERO)));
                } else {
                    limit_unsent(&stream);
                }
                // An error means that the connection is closed already, which is fine.
                drop(stream.shutdown(Shutdown::Both));
            }),
        })
    }

    fn local_addr(&self) -> Option<SocketAddr> {
        self.local_addr().ok()
    }
}

#[cfg(unix)]
impl Stream for UnixStream {
    fn split(self, write_timeout: Option<Duration>) -> io::Result<Halves> {
        self.set_nonblocking(false)?;
        unless_closed(self.set_read_timeout(None))?;
        unless_closed(self.set_write_timeout(write_timeout))?;
        let stream = Arc::new(self);
        Ok(Halves {
            reader: ReadHalf::Unix(Arc::clone(&stream)),
            writer: Box::new(WriteHalf(Arc::clone(&stream))),
            shutdown: Box::new(move |_| drop(stream.shutdown(Shutdown::Both))),
        })
    }
}
