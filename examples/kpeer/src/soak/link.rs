//! A TCP connection whose reading can be slowed down or stopped, and which can end with a reset.

use kaspa_peer::peer::{Halves, Stream};
use socket2::SockRef;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::thread;
use std::time::Duration;

/// The size of the system's buffers, in bytes. Small buffers make a writer wait for a slow reader soon.
const SOCKET_BUFFER: usize = 64 * 1024;

/// A slow reader takes at most this many bytes per step.
const SLOW_BYTES: usize = 4096;
const SLOW_STEP: Duration = Duration::from_millis(5);

/// How often a stopped reader checks whether it may go on.
const STOPPED_STEP: Duration = Duration::from_millis(20);

/// How fast one end reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Speed {
    Full,
    /// 800 KB a second.
    Slow,
    Stopped,
}

/// Changes how a [`Link`] reads and ends. Clones control the same link.
#[derive(Clone, Default)]
pub struct Control(Arc<State>);

#[derive(Default)]
struct State {
    speed: AtomicU8,
    reset: AtomicBool,
    ended: AtomicBool,
}

impl Control {
    pub fn set_speed(&self, speed: Speed) {
        self.0.speed.store(speed as u8, Ordering::Relaxed);
    }

    /// Makes the connection end with a reset when its peer disconnects.
    pub fn reset_at_end(&self) {
        self.0.reset.store(true, Ordering::Relaxed);
    }

    fn is(&self, speed: Speed) -> bool {
        self.0.speed.load(Ordering::Relaxed) == speed as u8 && !self.0.ended.load(Ordering::Relaxed)
    }
}

/// The stream of one peer.
pub struct Link {
    socket: TcpStream,
    control: Control,
}

impl Link {
    pub fn new(socket: TcpStream) -> io::Result<(Self, Control)> {
        let options = SockRef::from(&socket);
        options.set_recv_buffer_size(SOCKET_BUFFER)?;
        options.set_send_buffer_size(SOCKET_BUFFER)?;
        let control = Control::default();
        Ok((Self { socket, control: control.clone() }, control))
    }
}

impl Stream for Link {
    fn split(self, write_timeout: Option<Duration>) -> io::Result<Halves> {
        let Self { socket, control } = self;
        socket.set_nodelay(true)?;
        socket.set_write_timeout(write_timeout)?;
        let socket = Arc::new(socket);
        let reader = Reader { socket: Arc::clone(&socket), control: control.clone() };
        let writer = Writer(Arc::clone(&socket));
        Ok(Halves::new(reader, writer, move || {
            control.0.ended.store(true, Ordering::Relaxed);
            // The connection may have ended already, so errors mean nothing here.
            if control.0.reset.load(Ordering::Relaxed) {
                // Shutting down reading wakes the reader and sends nothing. The system sends a reset when the socket is closed.
                drop(SockRef::from(&*socket).set_linger(Some(Duration::ZERO)));
                drop(socket.shutdown(Shutdown::Read));
            } else {
                drop(socket.shutdown(Shutdown::Both));
            }
        }))
    }
}

struct Reader {
    socket: Arc<TcpStream>,
    control: Control,
}

impl Read for Reader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.control.is(Speed::Stopped) {
            thread::sleep(STOPPED_STEP);
        }
        if !self.control.is(Speed::Slow) {
            return (&*self.socket).read(into);
        }
        thread::sleep(SLOW_STEP);
        let length = into.len().min(SLOW_BYTES);
        (&*self.socket).read(into.get_mut(..length).unwrap_or_default())
    }
}

struct Writer(Arc<TcpStream>);

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self.0).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
