//! Captures: files that record the frames of peers, with direction, peer and time.

mod format;
mod output;
mod reader;

pub(super) use format::Entry;
pub use reader::{CaptureReader, CaptureRecord, Captured};

use super::logging::CAPTURE;
use crate::wire::Network;
use format::{file_head, head};
use log::warn;
use output::{Output, Refused};
use parking_lot::Mutex;
use std::{
    fmt,
    io::{self, Write},
    panic::{RefUnwindSafe, UnwindSafe},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

/// Records the traffic of a node's peers, see [`ConfigBuilder::capture`](super::ConfigBuilder::capture). All clones
/// write to the same output.
///
/// Recording copies the record into a buffer of 8 MiB. A thread of the capture, `kpeer-capture`, writes it to the
/// output, at the latest a second after it was recorded. When a peer ends, everything recorded of it is written before
/// [`on_disconnect`](super::Listener::on_disconnect) runs, if that takes at most a second.
///
/// No error of a capture ends a peer:
///
/// - If the limit is reached, or if writing fails or panics, the capture stops with a warning in the log.
///   [`continue_in`](Self::continue_in) then records to another output.
/// - If the buffer is full, because the output is slower than the traffic, a peer waits for at most a second. Then it
///   drops the record, and so do all peers until the output has accepted something. The log has one warning for each
///   output, and [`dropped`](Self::dropped) counts the records.
///
/// The output may use the capture that writes to it, for example to rotate files with [`written`](Self::written) and
/// [`continue_in`](Self::continue_in). An output that keeps a clone of its own capture is never dropped. An output that
/// stores a handle of a peer keeps the connection of this peer open until it ends for another reason, even if the
/// program drops all other handles.
///
/// A [`Config`](super::Config) has a clone of its capture, and so has each peer until it ends. Dropping the last clone
/// writes what is still in the buffer, and waits for at most 10 s for that. If a thread of a peer drops the last clone,
/// [`Peer::wait_for_disconnect`](super::Peer::wait_for_disconnect) waits for that too. Dropping the last clone reports
/// no error. To learn of errors, call [`flush`](Self::flush) first. A process that ends without dropping the last
/// clone, or that is killed, loses up to a second of records.
///
/// ```no_run
/// use kaspa_peer::{Config, peer::Capture, wire::Network};
/// use std::fs::File;
///
/// let capture = Capture::new(File::create("traffic.kpcap")?, Network::Simnet, 100_000_000)?;
/// let config = Config::builder(Network::Simnet).capture(capture).build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # File format
///
/// All numbers are little-endian. Nothing is padded or compressed. A file begins with 12 bytes:
///
/// | field | size | |
/// |---|---|---|
/// | magic | 7 bytes | `KPCAP` and two zero bytes |
/// | version | u8 | 1 |
/// | network | u32 | [`Network::magic`], the number at the start of every frame |
///
/// Records follow until the end of the file. Each begins with 21 bytes:
///
/// | field | size | |
/// |---|---|---|
/// | kind | u8 | what happened, see the next table |
/// | time | u64 | when it was recorded, in microseconds since 1970, by the system's clock |
/// | peer | u64 | [`Peer::id`](super::Peer::id) |
/// | length | u32 | the length of the rest, in bytes |
/// | rest | length | see the next table |
///
/// | kind | rest |
/// |---|---|
/// | 0: a frame was received | the frame as it was on the wire, [`HEADER_SIZE`](crate::wire::HEADER_SIZE) bytes and its payload |
/// | 1: a frame was sent | the same |
/// | 2: a peer started | text: its address and direction |
/// | 3: a peer ended | text: the [`DisconnectReason`](super::DisconnectReason) as it is displayed |
/// | 4: a malformed frame was received | text: the [`FrameError`](crate::wire::FrameError) as it is displayed |
///
/// The limit counts every byte of the file. The first record that would exceed the limit is left out, and so is every
/// later record. A rest is at most [`HEADER_SIZE`](crate::wire::HEADER_SIZE) +
/// [`MAX_PAYLOAD`](crate::wire::MAX_PAYLOAD) bytes long. Text is UTF-8 without control characters. A received frame had
/// the right magic number and checksum. If its payload is malformed, a record of kind 4 follows. If the header or the
/// checksum of a frame is wrong, only the error is recorded.
///
/// Every output of [`continue_in`](Self::continue_in) is a file of its own, with its own 12 bytes. A reader must expect
///
/// - *a file that ends inside a record*, if the program was killed or the disk was full. The records before it are
///   good: [`CaptureReader`] returns them, and then an error.
/// - *an unknown kind or version*. `CaptureReader` refuses either. A record of an unknown kind can be skipped by its
///   length.
/// - *a length that is too large*, in a damaged file. `CaptureReader` refuses it. Other readers should not allocate
///   memory for such a length.
/// - *records of different peers in any order*. Only the records of one thread of one peer are in order. A sent frame
///   is recorded after it was written, so the record of an answer can come before that of its request.
/// - *peers without a start or an end*, in a file that was begun later or ended earlier, and *frames that are missing*,
///   if records were [dropped](Self::dropped).
/// - *the same id twice*, if two nodes share a capture. Ids count up from 1 for each node.
/// - *times that go back*, if the clock was set.
#[derive(Clone)]
pub struct Capture {
    inner: Arc<Inner>,
}

/// A panic in the program's code cannot leave a capture in an inconsistent state. The library holds no lock of the
/// capture while it runs code of the program, and a capture whose output panics stops.
impl UnwindSafe for Capture {}
impl RefUnwindSafe for Capture {}

struct Inner {
    network: Network,
    limit: u64,
    dropped: AtomicU64,
    /// Locked only to read or replace the pointer.
    output: Mutex<Arc<Output>>,
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capture")
            .field("network", &self.inner.network)
            .field("written", &self.written())
            .field("limit", &self.inner.limit)
            .field("stopped", &self.is_stopped())
            .field("dropped", &self.dropped())
            .finish()
    }
}

impl Capture {
    /// Starts a capture of `network`, which stops before `out` would have more than `limit` bytes.
    ///
    /// Writes the first 12 bytes of the file, and starts the thread that writes the rest.
    ///
    /// # Errors
    ///
    /// If writing fails, or if the thread cannot be started.
    pub fn new(out: impl Write + Send + 'static, network: Network, limit: u64) -> io::Result<Self> {
        let output = Mutex::new(start(out, network, limit)?);
        Ok(Self { inner: Arc::new(Inner { network, limit, dropped: AtomicU64::new(0), output }) })
    }

    /// Records to another output from now on, with the same limit. This works even if the previous output has stopped
    /// or failed. A program can use this to rotate its files, and to continue after the disk was full.
    ///
    /// Before this method returns, all buffered records are written to the previous output, and the previous output is
    /// dropped. If this takes longer than 10 s, or if the output calls this method in its own `write`, the method
    /// returns earlier and the rest happens later. Call [`flush`](Self::flush) first to learn whether everything was
    /// written. Records that were buffered for an output that failed are lost.
    ///
    /// # Errors
    ///
    /// If the first bytes cannot be written to `out`, or if its thread cannot be started. The capture then stays
    /// as it is.
    pub fn continue_in(&self, out: impl Write + Send + 'static) -> io::Result<()> {
        let next = start(out, self.inner.network, self.inner.limit)?;
        let before = std::mem::replace(&mut *self.inner.output.lock(), next);
        before.close();
        Ok(())
    }

    /// The network whose traffic is recorded. It must be the network of the node.
    #[must_use]
    pub fn network(&self) -> Network {
        self.inner.network
    }

    /// The number of bytes recorded to the current output, including those in the buffer.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.output().recorded()
    }

    /// The number of records that were dropped because the buffer was full, for all outputs together.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.inner.dropped.load(Ordering::Relaxed)
    }

    /// Returns whether the capture has stopped: its limit was reached, or writing failed.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.output().is_stopped()
    }

    /// Waits until everything recorded so far is written to the output and the output is flushed.
    ///
    /// # Errors
    ///
    /// - The error with which writing to the current output failed, each time this is called.
    /// - [`TimedOut`](io::ErrorKind::TimedOut) if it takes longer than 10 s.
    /// - [`Deadlock`](io::ErrorKind::Deadlock) if the output calls this in its own `write` or `flush`.
    pub fn flush(&self) -> io::Result<()> {
        self.output().flush()
    }

    fn output(&self) -> Arc<Output> {
        Arc::clone(&self.inner.output.lock())
    }

    /// Adds a record. Waits for about a second at most.
    pub(super) fn record(&self, peer: u64, entry: Entry<'_>) {
        let [first, second] = entry.rest();
        // Cannot fail: the longest rest is a frame with a payload of 32 MiB.
        let Ok(length) = u32::try_from(first.len() + second.len()) else { return };
        let head = head(entry.kind(), SystemTime::now(), peer, length);
        let last = matches!(entry, Entry::Gone(_));
        loop {
            let output = self.output();
            match output.append([&head, first, second]) {
                Ok(()) if last => output.wait_for_end_of_peer(),
                Ok(()) | Err(Refused::Stopped) => {}
                // `continue_in` has replaced the output, so the record goes to the new one.
                Err(Refused::Closed) => continue,
                Err(Refused::LimitReached) => {
                    warn!(target: CAPTURE, "capture stopped: its limit is {} bytes", self.inner.limit);
                }
                Err(Refused::Full { first_time }) => {
                    self.inner.dropped.fetch_add(1, Ordering::Relaxed);
                    if first_time {
                        warn!(target: CAPTURE, "capture drops records: its buffer is full and its output accepts nothing");
                    }
                }
            }
            return;
        }
    }
}

/// Writes the first bytes of a capture, and starts the thread that writes the rest.
fn start(mut out: impl Write + Send + 'static, network: Network, limit: u64) -> io::Result<Arc<Output>> {
    let first = file_head(network);
    out.write_all(&first)?;
    out.flush()?;
    Ok(Arc::new(Output::start(Box::new(out), first.len() as u64, limit)?))
}
