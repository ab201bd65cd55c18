//! A TLS session over a TCP connection, as the stream of a peer.

use kaspa_peer::peer::{Halves, Stream};
use rustls::Connection;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The most bytes that become one TLS record.
const RECORD: usize = 16 * 1024;

/// A TLS session whose handshake is done.
pub struct TlsStream {
    session: Connection,
    socket: TcpStream,
}

impl TlsStream {
    /// Does the TLS handshake, at most for `timeout`. `session` is a `ClientConnection` or a `ServerConnection`.
    pub fn handshake(session: impl Into<Connection>, socket: TcpStream, timeout: Duration) -> io::Result<Self> {
        let mut stream = Self { session: session.into(), socket };
        let deadline = Instant::now() + timeout;
        while stream.session.is_handshaking() || stream.session.wants_write() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            stream.socket.set_read_timeout(Some(left))?;
            stream.socket.set_write_timeout(Some(left))?;
            if stream.session.wants_write() {
                stream.session.write_tls(&mut stream.socket)?;
            } else if stream.session.read_tls(&mut stream.socket)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            } else if let Err(error) = stream.session.process_new_packets() {
                // The remote learns the reason from an alert.
                let _ = stream.session.write_tls(&mut stream.socket);
                return Err(io::Error::new(ErrorKind::InvalidData, error));
            }
        }
        Ok(stream)
    }
}

impl Stream for TlsStream {
    fn split(self, write_timeout: Option<Duration>) -> io::Result<Halves> {
        self.socket.set_nodelay(true)?;
        self.socket.set_read_timeout(None)?;
        self.socket.set_write_timeout(write_timeout)?;
        let shared = Arc::new(Shared { session: Mutex::new(self.session), socket: self.socket });
        let reader = TlsReader { shared: Arc::clone(&shared), buffer: vec![0; RECORD], unread: 0..0 };
        let writer = TlsWriter { shared: Arc::clone(&shared), records: Vec::new(), written: 0 };
        Ok(Halves::new(reader, writer, move || drop(shared.socket.shutdown(Shutdown::Both))))
    }
}

/// The session is locked only to encrypt and to decrypt. A thread that waited for the socket with the lock held would
/// keep the other thread from using the other direction, and two nodes that do this to each other would wait for ever.
struct Shared {
    session: Mutex<Connection>,
    socket: TcpStream,
}

impl Shared {
    fn session(&self) -> MutexGuard<'_, Connection> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct TlsReader {
    shared: Arc<Shared>,
    /// Bytes from the socket, of which those in `unread` are not decrypted yet.
    buffer: Vec<u8>,
    unread: std::ops::Range<usize>,
}

impl Read for TlsReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut session = self.shared.session();
            match session.reader().read(into) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {} // nothing is decrypted
                result => return result,
            }
            if self.unread.is_empty() {
                drop(session);
                let count = (&self.shared.socket).read(&mut self.buffer)?;
                self.unread = 0..count;
                session = self.shared.session();
            }
            // With no bytes, this tells the session that the connection was closed.
            let mut bytes = self.buffer.get(self.unread.clone()).unwrap_or_default();
            self.unread.start += session.read_tls(&mut bytes)?;
            session.process_new_packets().map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        }
    }
}

struct TlsWriter {
    shared: Arc<Shared>,
    /// Encrypted records, of which the first `written` bytes are written.
    records: Vec<u8>,
    written: usize,
}

impl Write for TlsWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        let mut session = self.shared.session();
        let count = session.writer().write(bytes.get(..RECORD).unwrap_or(bytes))?;
        while session.wants_write() {
            session.write_tls(&mut self.records)?;
        }
        Ok(count)
    }

    /// Can be called again after a timeout: it continues with the byte where it stopped.
    fn flush(&mut self) -> io::Result<()> {
        while let Some(rest) = self.records.get(self.written..).filter(|rest| !rest.is_empty()) {
            match (&self.shared.socket).write(rest)? {
                0 => return Err(ErrorKind::WriteZero.into()),
                count => self.written += count,
            }
        }
        self.records.clear();
        self.written = 0;
        Ok(())
    }
}
