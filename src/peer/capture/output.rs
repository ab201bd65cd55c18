//! One output of a capture: a bounded buffer, and the thread that writes it.
//!
//! No lock is held while the thread writes, because the program's writer may be slow, block, or use the capture.

use crate::peer::logging::CAPTURE;
use crate::peer::panic::{catch_panic, drop_caught, take_error};
use log::warn;
use parking_lot::{Condvar, Mutex};
use std::cell::Cell;
use std::io::{self, Write};
use std::mem;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// How many bytes may wait to be written. While at most half as many wait, a record of any size is accepted. Without
/// this rule, small records of other peers could keep a large record out for ever.
const BUFFER: usize = 8 * 1024 * 1024;

/// The thread writes without delay if this many bytes wait.
const BATCH: usize = 64 * 1024;

/// The longest time that a record waits for later records to be written with it. It is less than the second within
/// which `Capture` promises to write a record.
const DELAY: Duration = Duration::from_millis(500);

/// A longer batch is written in parts of this size. After each part, peers that wait for room in the buffer can
/// continue.
const PART: usize = 256 * 1024;

/// How long a peer waits for room in the buffer, and how long it waits until its last record is written.
const PEER_WAIT: Duration = Duration::from_secs(1);

/// How long `flush`, `continue_in` and dropping the last clone wait.
const FLUSH_WAIT: Duration = Duration::from_secs(10);

/// The stack of the thread, on which the `write` of the program runs.
const STACK_SIZE: usize = 256 * 1024;

thread_local! {
    /// The output that this thread writes, as the address of its `Shared`, or 0. The type has no destructor, so the
    /// value can be read in the destructors of other thread-local values.
    static WRITES: Cell<usize> = const { Cell::new(0) };
}

pub(super) struct Output(Arc<Shared>);

/// Why a record was not appended.
pub(super) enum Refused {
    /// The limit was reached or writing failed earlier.
    Stopped,
    /// The record would exceed the limit, and the capture stops. Returned only for the first such record.
    LimitReached,
    /// The output was replaced by another one.
    Closed,
    /// The buffer is full. `first_time` is `true` for the first record that this output drops.
    Full { first_time: bool },
}

struct Shared {
    limit: u64,
    state: Mutex<State>,
    /// Wakes the thread that writes. Notified when `due` or `closed` has changed.
    work: Condvar,
    /// Wakes the threads that wait for the thread that writes.
    progress: Condvar,
}

#[derive(Default)]
struct State {
    buffer: Vec<u8>,
    /// The time at which the buffer must be written. `None` while it is empty.
    due: Option<Instant>,
    /// How many bytes the thread has taken from the buffer and not written yet.
    taken: usize,
    /// How many bytes the output has, including those that are not written yet.
    recorded: u64,
    /// How many of them are written and flushed.
    flushed: u64,
    /// No record is added any more, because the limit was reached or writing failed.
    stopped: bool,
    /// A peer has waited until its timeout, and the output has accepted nothing since. While this is `true`, no peer
    /// waits.
    blocked: bool,
    /// `true` once a record was dropped.
    has_dropped: bool,
    /// No record is added any more. The thread exits when it has written the buffer.
    closed: bool,
    /// The thread has ended, and the program's writer is dropped.
    finished: bool,
    /// Why writing failed.
    error: Option<(io::ErrorKind, String)>,
}

impl State {
    fn accepts(&self, size: usize) -> bool {
        let waiting = self.buffer.len() + self.taken;
        waiting <= BUFFER / 2 || waiting.saturating_add(size) <= BUFFER
    }
}

impl Output {
    /// Starts the thread. `out` has `recorded` bytes already.
    pub fn start(out: Box<dyn Write + Send>, recorded: u64, limit: u64) -> io::Result<Self> {
        let state = State { recorded, flushed: recorded, ..State::default() };
        let state = Mutex::new(state);
        let shared = Arc::new(Shared { limit, state, work: Condvar::new(), progress: Condvar::new() });
        let thread = thread::Builder::new().name("kpeer-capture".to_owned()).stack_size(STACK_SIZE);
        let own = Arc::clone(&shared);
        thread.spawn(move || {
            WRITES.set(own.address());
            own.serve(out);
        })?;
        Ok(Self(shared))
    }

    pub fn recorded(&self) -> u64 {
        self.0.state.lock().recorded
    }

    pub fn is_stopped(&self) -> bool {
        self.0.state.lock().stopped
    }

    /// Appends a record to the buffer. Waits at most [`PEER_WAIT`] if the buffer is full.
    pub fn append(&self, parts: [&[u8]; 3]) -> Result<(), Refused> {
        let size: usize = parts.iter().map(|part| part.len()).sum();
        let mut state = self.0.state.lock();
        if !self.0.is_own_thread() {
            let must_wait =
                |state: &mut State| !state.accepts(size) && !state.blocked && !state.stopped && !state.closed;
            if self.0.progress.wait_while_for(&mut state, must_wait, PEER_WAIT).timed_out() {
                state.blocked = true;
            }
        }
        if state.closed {
            return Err(Refused::Closed);
        }
        if state.stopped {
            return Err(Refused::Stopped);
        }
        if state.recorded.saturating_add(size as u64) > self.0.limit {
            state.stopped = true;
            self.0.write_now(&mut state);
            return Err(Refused::LimitReached);
        }
        if !state.accepts(size) {
            return Err(Refused::Full { first_time: !mem::replace(&mut state.has_dropped, true) });
        }
        parts.iter().for_each(|part| state.buffer.extend_from_slice(part));
        state.recorded += size as u64;
        if state.buffer.len() >= BATCH {
            self.0.write_now(&mut state);
        } else if state.due.is_none() {
            state.due = Some(Instant::now() + DELAY);
            self.0.work.notify_one();
        }
        Ok(())
    }

    /// Waits until everything recorded so far is written, at most [`PEER_WAIT`]. Does not wait if the output is known
    /// to block.
    pub fn wait_for_end_of_peer(&self) {
        if self.0.is_own_thread() {
            return;
        }
        let mut state = self.0.state.lock();
        let position = state.recorded;
        self.0.write_now(&mut state);
        let must_wait = |state: &mut State| state.flushed < position && !state.finished && !state.blocked;
        if self.0.progress.wait_while_for(&mut state, must_wait, PEER_WAIT).timed_out() {
            state.blocked = true;
        }
    }

    /// Waits until everything recorded so far is written.
    pub fn flush(&self) -> io::Result<()> {
        if self.0.is_own_thread() {
            let text = "the output of a capture cannot wait for itself";
            return Err(io::Error::new(io::ErrorKind::Deadlock, text));
        }
        let mut state = self.0.state.lock();
        let position = state.recorded;
        self.0.write_now(&mut state);
        let must_wait = |state: &mut State| state.flushed < position && !state.finished;
        let timed_out = self.0.progress.wait_while_for(&mut state, must_wait, FLUSH_WAIT).timed_out();
        if let Some((kind, text)) = &state.error {
            return Err(io::Error::new(*kind, text.clone()));
        }
        if timed_out {
            let text = format!("the output of the capture has not accepted everything within {FLUSH_WAIT:?}");
            return Err(io::Error::new(io::ErrorKind::TimedOut, text));
        }
        Ok(())
    }

    /// Makes the thread exit when it has written the buffer. Waits for that, at most [`FLUSH_WAIT`].
    pub fn close(&self) {
        let mut state = self.0.state.lock();
        state.closed = true;
        self.0.work.notify_one();
        self.0.progress.notify_all();
        if !self.0.is_own_thread() {
            self.0.progress.wait_while_for(&mut state, |state| !state.finished, FLUSH_WAIT);
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if !self.0.state.lock().closed {
            self.close();
        }
    }
}

impl Shared {
    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    fn is_own_thread(&self) -> bool {
        WRITES.get() == self.address()
    }

    fn write_now(&self, state: &mut State) {
        if !state.buffer.is_empty() {
            state.due = Some(Instant::now());
            self.work.notify_one();
        }
    }

    /// Writes batches until the output is closed or writing fails.
    fn serve(&self, mut out: Box<dyn Write + Send>) {
        let mut batch = Vec::new();
        while let Some(position) = self.next_batch(&mut batch) {
            let result = catch_panic(|| self.write(&mut *out, &batch));
            let result = result.unwrap_or_else(|message| Err(io::Error::other(format!("writing panicked: {message}"))));
            if let Err(error) = result {
                self.fail(error);
                break;
            }
            self.state.lock().flushed = position;
            self.progress.notify_all();
            if batch.capacity() > 4 * PART {
                batch = Vec::new();
            }
        }
        drop_caught(out);
        self.state.lock().finished = true;
        self.progress.notify_all();
    }

    /// Waits until the buffer must be written, and takes its content. Returns the size of the output after this batch,
    /// or `None` if the output is closed and nothing is left to write.
    fn next_batch(&self, batch: &mut Vec<u8>) -> Option<u64> {
        batch.clear();
        let mut state = self.state.lock();
        while !state.closed {
            match state.due {
                Some(due) if due <= Instant::now() => break,
                Some(due) => drop(self.work.wait_until(&mut state, due)),
                None => self.work.wait(&mut state),
            }
        }
        if state.buffer.is_empty() {
            return None;
        }
        state.due = None;
        mem::swap(batch, &mut state.buffer);
        state.taken = batch.len();
        Some(state.recorded)
    }

    fn write(&self, out: &mut dyn Write, batch: &[u8]) -> io::Result<()> {
        for part in batch.chunks(PART) {
            out.write_all(part)?;
            let mut state = self.state.lock();
            state.taken = state.taken.saturating_sub(part.len());
            state.blocked = false;
            drop(state);
            self.progress.notify_all();
        }
        out.flush()
    }

    fn fail(&self, error: io::Error) {
        // This runs the text and the destructor of the error, which are code of the program and may use the capture. So
        // the state is not locked yet.
        let (kind, text) = take_error(error);
        let text = text.unwrap_or_else(|message| format!("its error panicked: {message}"));
        let mut state = self.state.lock();
        state.stopped = true;
        state.error = Some((kind, text.clone()));
        state.buffer = Vec::new();
        state.taken = 0;
        state.due = None;
        drop(state);
        self.progress.notify_all();
        // The program's logger may panic.
        let _ = catch_panic(|| warn!(target: CAPTURE, "capture stopped: {text}"));
    }
}
