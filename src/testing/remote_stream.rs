//! The streams that a scripted remote can use.

use socket2::SockRef;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// A stream that a [`ScriptedRemote`](super::ScriptedRemote) can use.
///
/// Implemented for [`TcpStream`], [`MemoryStream`](super::MemoryStream) and, on Unix, for `UnixStream`. Implement it
/// for another type, such as a TLS session, to play a remote over that.
pub trait RemoteStream: Read + Write {
    /// Limits the time that a read waits, after which it fails with [`io::ErrorKind::WouldBlock`] or
    /// [`io::ErrorKind::TimedOut`].
    ///
    /// # Errors
    ///
    /// If the stream has no such timeout, or refuses this one. It is never zero.
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()>;

    /// Like [`set_read_timeout`](Self::set_read_timeout), for writes.
    ///
    /// # Errors
    ///
    /// As [`set_read_timeout`](Self::set_read_timeout).
    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()>;

    /// Shuts one or both directions down.
    ///
    /// # Errors
    ///
    /// If the stream cannot do that.
    fn shutdown(&self, how: Shutdown) -> io::Result<()>;

    /// Ends the connection with a reset: the other end gets an error instead of the end of the stream, and may lose
    /// what it has not read.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::Unsupported`] if the stream has no reset. The connection is closed then.
    fn reset(self) -> io::Result<()>
    where
        Self: Sized;
}

/// The methods that the sockets of the standard library have under the same names.
macro_rules! methods_of_a_socket {
    () => {
        fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
            self.set_read_timeout(timeout)
        }

        fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
            self.set_write_timeout(timeout)
        }

        fn shutdown(&self, how: Shutdown) -> io::Result<()> {
            self.shutdown(how)
        }
    };
}

impl RemoteStream for TcpStream {
    methods_of_a_socket!();

    /// Resets when the last clone of the socket is dropped, which is at once if there is no other.
    fn reset(self) -> io::Result<()> {
        // The system resets a connection that is closed with a linger time of zero.
        SockRef::from(&self).set_linger(Some(Duration::ZERO))
    }
}

#[cfg(unix)]
impl RemoteStream for UnixStream {
    methods_of_a_socket!();

    /// Unix sockets have no reset.
    fn reset(self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
