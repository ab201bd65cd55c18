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
pub trait Stream {
    /// Splits the stream. Called once, before anything is read or written.
    ///
    /// The writer must give up with [`io::ErrorKind::WouldBlock`] or [`io::ErrorKind::TimedOut`] when the remote
    /// accepted nothing for `write_timeout`; `None` means that it may wait for ever.
    ///
    /// # Errors
    ///
    /// When the stream cannot be split or set up. The peer is not started then.
    fn split(self, write_timeout: Option<Duration>) -> io::Result<Halves>;
}

/// A stream, split for the threads of a peer.
pub struct Halves {
    pub(super) reader: ReadHalf,
    pub(super) writer: Box<dyn Write + Send>,
    pub(super) shutdown: Box<dyn Fn() + Send + Sync>,
}

impl Halves {
    /// A stream of what the remote sends, what is sent to the remote, and a way to end both.
    ///
    /// `shutdown` must make what waits in `reader` and `writer` return, and everything later too. It is called at least
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
    fn split(self, write_timeout: Option<Duration>) -> io::Result<Halves> {
        self.set_nonblocking(false)?;
        self.set_nodelay(true)?;
        self.set_read_timeout(None)?;
        self.set_write_timeout(write_timeout)?;
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
    fn split(self, write_timeout: Option<Duration>) -> io::Result<Halves> {
        self.set_nonblocking(false)?;
        self.set_read_timeout(None)?;
        self.set_write_timeout(write_timeout)?;
        let stream = Arc::new(self);
        Ok(Halves {
            reader: ReadHalf::Unix(Arc::clone(&stream)),
            writer: Box::new(WriteHalf(Arc::clone(&stream))),
            shutdown: Box::new(move || drop(stream.shutdown(Shutdown::Both))),
        })
    }
}
