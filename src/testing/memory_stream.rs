//! A connection in memory, which works on every system.

use super::RemoteStream;
use crate::peer::{Halves, Stream};
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};
use std::{fmt, sync::Arc};

/// The number of bytes that [`memory_pair`] holds in each direction.
const CAPACITY: usize = 64 * 1024;

/// Two connected streams in memory. Each direction holds at most 64 KiB that are not read yet.
///
/// A [`MemoryStream`] is a [`Stream`], so a [`Peer`](crate::Peer) can use it in place of a socket, and a
/// [`RemoteStream`], so a [`ScriptedRemote`](super::ScriptedRemote) can. It needs no network and works on every system.
/// On Unix, `UnixStream::pair()` gives two connected sockets that can be used in the same ways.
///
/// ```
/// use kaspa_peer::testing::memory_pair;
/// use kaspa_peer::{Config, Peer, wire::Network};
///
/// let (dialled, accepted) = memory_pair();
/// let config = Config::builder(Network::Simnet).build()?;
/// let other = Config::builder(Network::Simnet).build()?;
/// let peer = Peer::outbound(dialled, "memory", &config)?;
/// let remote = Peer::inbound(accepted, "memory", &other)?;
/// peer.wait_for_handshake()?;
/// # drop(remote);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn memory_pair() -> (MemoryStream, MemoryStream) {
    memory_pair_with_capacity(CAPACITY)
}

/// Like [`memory_pair`], where each direction holds at most `bytes` that are not read yet. A capacity of 0 counts as 1.
///
/// A small capacity makes writes wait, as they do on a slow connection.
#[must_use]
pub fn memory_pair_with_capacity(bytes: usize) -> (MemoryStream, MemoryStream) {
    let [there, back] = [(); 2].map(|()| Arc::new(Pipe::new(bytes.max(1))));
    (MemoryStream::new(Arc::clone(&back), Arc::clone(&there)), MemoryStream::new(there, back))
}

/// One end of a connection in memory, see [`memory_pair`]. A clone is the same end.
///
/// It behaves like a socket:
///
/// - A read waits until bytes, the end or an error arrive. A write waits until there is room. With a timeout, either
///   fails with [`io::ErrorKind::TimedOut`] after that time.
/// - Once one end is shut down or its last clone is dropped, the other end reads what was written before, and then the
///   end of the stream. Its writes fail with [`io::ErrorKind::BrokenPipe`].
/// - After a [reset](RemoteStream::reset), unread bytes are lost, and reads and writes of the other end fail with
///   [`io::ErrorKind::ConnectionReset`].
#[derive(Clone)]
pub struct MemoryStream {
    end: Arc<End>,
}

/// Dropped with the last clone, which closes the connection.
struct End {
    incoming: Arc<Pipe>,
    outgoing: Arc<Pipe>,
    read_timeout: Mutex<Option<Duration>>,
    write_timeout: Mutex<Option<Duration>>,
}

impl Drop for End {
    fn drop(&mut self) {
        self.shut_down(Shutdown::Both);
    }
}

impl End {
    fn shut_down(&self, how: Shutdown) {
        if matches!(how, Shutdown::Read | Shutdown::Both) {
            self.incoming.close_reading();
        }
        if matches!(how, Shutdown::Write | Shutdown::Both) {
            self.outgoing.close_writing();
        }
    }
}

/// The bytes of one direction.
struct Pipe {
    state: Mutex<PipeState>,
    changed: Condvar,
    capacity: usize,
}

#[derive(Default)]
struct PipeState {
    bytes: VecDeque<u8>,
    /// No bytes are added any more.
    writing_closed: bool,
    /// No bytes are taken any more.
    reading_closed: bool,
    reset: bool,
}

impl Pipe {
    fn new(capacity: usize) -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), capacity }
    }

    fn change(&self, change: impl FnOnce(&mut PipeState)) {
        change(&mut self.state.lock());
        self.changed.notify_all();
    }

    fn close_writing(&self) {
        self.change(|state| state.writing_closed = true);
    }

    fn close_reading(&self) {
        self.change(|state| {
            state.reading_closed = true;
            state.bytes = VecDeque::new();
        });
    }

    fn reset(&self) {
        self.change(|state| {
            state.reset = true;
            state.bytes = VecDeque::new();
        });
    }

    /// Waits until `ready` returns something.
    fn wait<T>(
        &self,
        timeout: Option<Duration>,
        mut ready: impl FnMut(&mut PipeState) -> Option<io::Result<T>>,
    ) -> io::Result<T> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut state = self.state.lock();
        let result = loop {
            if let Some(result) = ready(&mut state) {
                break result;
            }
            match deadline {
                Some(deadline) if Instant::now() >= deadline => return Err(io::ErrorKind::TimedOut.into()),
                Some(deadline) => drop(self.changed.wait_until(&mut state, deadline)),
                None => self.changed.wait(&mut state),
            }
        };
        drop(state);
        self.changed.notify_all();
        result
    }

    fn read(&self, into: &mut [u8], timeout: Option<Duration>) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        self.wait(timeout, |state| {
            if state.reset {
                return Some(Err(io::ErrorKind::ConnectionReset.into()));
            }
            let ended = state.writing_closed || state.reading_closed;
            if state.bytes.is_empty() && !ended { None } else { Some(state.bytes.read(into)) }
        })
    }

    fn write(&self, bytes: &[u8], timeout: Option<Duration>) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        self.wait(timeout, |state| {
            if state.reset {
                return Some(Err(io::ErrorKind::ConnectionReset.into()));
            }
            if state.writing_closed || state.reading_closed {
                return Some(Err(io::ErrorKind::BrokenPipe.into()));
            }
            let room = self.capacity.saturating_sub(state.bytes.len());
            let fitting = bytes.get(..room).unwrap_or(bytes);
            if fitting.is_empty() { None } else { Some(state.bytes.write(fitting)) }
        })
    }
}

impl MemoryStream {
    fn new(incoming: Arc<Pipe>, outgoing: Arc<Pipe>) -> Self {
        Self {
            end: Arc::new(End { incoming, outgoing, read_timeout: Mutex::default(), write_timeout: Mutex::default() }),
        }
    }

    /// Limits the time that a read waits. `None`, the default, is no limit.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] for a timeout of zero, as for sockets.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        set(&self.end.read_timeout, timeout)
    }

    /// Limits the time that a write waits. `None`, the default, is no limit.
    ///
    /// # Errors
    ///
    /// As [`set_read_timeout`](Self::set_read_timeout).
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        set(&self.end.write_timeout, timeout)
    }

    /// Shuts one or both directions down. Reads and writes that wait return at once. May be called repeatedly.
    pub fn shutdown(&self, how: Shutdown) {
        self.end.shut_down(how);
    }
}

fn set(place: &Mutex<Option<Duration>>, timeout: Option<Duration>) -> io::Result<()> {
    if timeout == Some(Duration::ZERO) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a timeout must not be zero"));
    }
    *place.lock() = timeout;
    Ok(())
}

impl Read for MemoryStream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let timeout = *self.end.read_timeout.lock();
        self.end.incoming.read(into, timeout)
    }
}

impl Write for MemoryStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let timeout = *self.end.write_timeout.lock();
        self.end.outgoing.write(bytes, timeout)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for MemoryStream {
    fn split(self, write_timeout: Option<Duration>) -> io::Result<Halves> {
        self.set_read_timeout(None)?;
        self.set_write_timeout(write_timeout)?;
        let end = self.clone();
        Ok(Halves::new(self.clone(), self, move || end.shutdown(Shutdown::Both)))
    }
}

impl RemoteStream for MemoryStream {
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.set_read_timeout(timeout)
    }

    fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.set_write_timeout(timeout)
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.shutdown(how);
        Ok(())
    }

    fn reset(self) -> io::Result<()> {
        self.end.incoming.reset();
        self.end.outgoing.reset();
        Ok(())
    }
}

impl fmt::Debug for MemoryStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStream").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    const SHORT: Duration = Duration::from_millis(5);

    fn kind<T: fmt::Debug>(result: io::Result<T>) -> io::ErrorKind {
        result.unwrap_err().kind()
    }

    #[test]
    fn what_one_end_writes_the_other_reads() {
        let (mut one, mut other) = memory_pair();
        one.write_all(b"there").unwrap();
        other.write_all(b"back").unwrap();
        let mut bytes = [0; 5];
        other.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"there");
        one.read_exact(&mut bytes[..4]).unwrap();
        assert_eq!(&bytes[..4], b"back");
    }

    #[test]
    fn reads_and_writes_wait_at_most_their_timeouts() {
        let (mut one, mut other) = memory_pair_with_capacity(3);
        one.set_write_timeout(Some(SHORT)).unwrap();
        one.set_read_timeout(Some(SHORT)).unwrap();
        assert_eq!(one.write(b"12345").unwrap(), 3);
        assert_eq!(kind(one.write(b"45")), io::ErrorKind::TimedOut);
        assert_eq!(kind(one.read(&mut [0])), io::ErrorKind::TimedOut);
        assert_eq!(other.read(&mut [0; 2]).unwrap(), 2);
        assert_eq!(one.write(b"45").unwrap(), 2);
        assert_eq!(kind(one.set_read_timeout(Some(Duration::ZERO))), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn a_write_that_waits_continues_when_the_other_end_reads() {
        let (mut one, mut other) = memory_pair_with_capacity(1);
        let writer = thread::spawn(move || one.write_all(&[7; 1000]));
        let mut bytes = Vec::new();
        other.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, [7; 1000]);
        writer.join().unwrap().unwrap();
    }

    #[test]
    fn a_dropped_end_closes_after_what_it_wrote() {
        let (mut one, mut other) = memory_pair();
        let clone = one.clone();
        one.write_all(b"last").unwrap();
        drop(one);
        other.write_all(b"a clone is there").unwrap();
        drop(clone);
        assert_eq!(kind(other.write(b"more")), io::ErrorKind::BrokenPipe);
        let mut bytes = Vec::new();
        other.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, b"last");
    }

    #[test]
    fn one_direction_can_be_shut_down() {
        let (mut one, mut other) = memory_pair();
        one.shutdown(Shutdown::Write);
        assert_eq!(kind(one.write(b"x")), io::ErrorKind::BrokenPipe);
        assert_eq!(other.read(&mut [0]).unwrap(), 0);
        other.write_all(b"x").unwrap();
        assert_eq!(one.read(&mut [0]).unwrap(), 1);
        one.shutdown(Shutdown::Read);
        assert_eq!(one.read(&mut [0]).unwrap(), 0);
        assert_eq!(kind(other.write(b"x")), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_shutdown_ends_calls_that_wait() {
        let (one, _other) = memory_pair_with_capacity(1);
        let (mut reader, mut writer) = (one.clone(), one.clone());
        let reading = thread::spawn(move || reader.read(&mut [0]));
        let writing = thread::spawn(move || writer.write_all(&[0; 2]));
        one.shutdown(Shutdown::Both);
        assert_eq!(reading.join().unwrap().unwrap(), 0);
        assert_eq!(kind(writing.join().unwrap()), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_reset_loses_what_was_not_read() {
        let (mut one, mut other) = memory_pair();
        one.write_all(b"lost").unwrap();
        one.reset().unwrap();
        assert_eq!(kind(other.read(&mut [0; 4])), io::ErrorKind::ConnectionReset);
        assert_eq!(kind(other.write(b"x")), io::ErrorKind::ConnectionReset);
    }
}
