//! The writer thread of a peer, which writes queued frames to the stream.
//!
//! It writes batches as long as the outbound queue has any. Otherwise it waits in `select!` for a wake-up, for a timer,
//! or for the end of the connection.

use super::batch::Batch;
use super::callbacks::Callbacks;
use super::counters::Stamp;
use super::frame_sizes::{FrameList, Frames};
use super::outbound::Idle;
use super::program::Program;
use super::shared::{Shared, WakeUps};
use crate::peer::capture::Entry;
use crate::peer::disconnect::{DisconnectReason, IoOperation};
use crate::peer::locks::yield_now;
use crate::peer::logging::{self, SENT};
use crate::peer::panic::{catch_panic, take_error};
use crate::peer::stream;
use crate::wire::{Command, HEADER_SIZE};
use crossbeam_channel::{Receiver, RecvTimeoutError, after, at, never, select};
use log::debug;
use std::{
    io::{self, Write},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

/// How long the reader thread continues after a write failed. The remote may have sent a `reject` that explains the
/// failure.
const READ_AFTER_WRITE_ERROR: Duration = Duration::from_millis(500);

/// How many times a blocked write is attempted within the write timeout. Linux wakes a blocked writer only when about a
/// third of the send buffer is free. A new attempt can succeed earlier, because it uses whatever space is free. The
/// write timeout is measured anew after each attempt that wrote something. The remote may have accepted those bytes at
/// the start of that attempt, so the peer can disconnect one attempt too late.
const ATTEMPTS: u32 = 10;

/// The pause between two attempts. Without it, a stream that returns at once instead of blocking would occupy a core.
const RETRY_PAUSE: Duration = Duration::from_millis(1);

/// How long spare buffers are kept while there is nothing to write. Steady traffic has shorter gaps.
const KEEP_BUFFERS: Duration = Duration::from_millis(500);

/// Writes until the connection ends.
pub(in crate::peer) fn run(shared: &Arc<Shared>, program: &Program, out: Box<dyn Write + Send>, wake_ups: &WakeUps) {
    let mut writer = Writer { shared, program, callbacks: &*program.callbacks, out };
    if let Err(message) = catch_panic(|| writer.serve(|timers| wait(shared, wake_ups, timers))) {
        shared.end(DisconnectReason::CallbackPanicked { message });
    }
    // If the connection ends during a write, the receipts of unwritten messages resolve only after `end_write`, because
    // the running write may still succeed. If the stream's `write` has panicked, nothing has called `end_write`, so it
    // is called here.
    shared.outbound().progress().end_write(0);
}

/// Waits until there may be something to write. Returns `false` when the connection has ended.
fn wait(shared: &Shared, wake_ups: &WakeUps, Timers { trickle, release }: Timers) -> bool {
    select! {
        recv(wake_ups.writer) -> woken => woken.is_ok(),
        recv(trickle) -> _ => true,
        recv(release) -> _ => {
            shared.outbound().release_spare();
            true
        }
        recv(shared.lifecycle().quit_channel()) -> _ => false,
    }
}

/// Like [`run`], for tests under shuttle. It polls the channels instead of waiting in `select!`, because shuttle does
/// not know when a thread blocks there.
#[cfg(all(test, shuttle))]
pub(in crate::peer) fn run_scheduled(
    shared: &Arc<Shared>,
    program: &Program,
    out: Box<dyn Write + Send>,
    wake_ups: &WakeUps,
) {
    let mut writer = Writer { shared, program, callbacks: &*program.callbacks, out };
    writer.serve(|_| {
        loop {
            if shared.ended().is_some() {
                return false;
            }
            if wake_ups.writer.try_recv().is_ok() {
                return true;
            }
            yield_now();
        }
    });
    shared.outbound().progress().end_write(0);
}

struct Writer<'a> {
    shared: &'a Arc<Shared>,
    program: &'a Program,
    callbacks: &'a dyn Callbacks,
    out: Box<dyn Write + Send>,
}

/// The timers that wake the writer while there is nothing to write.
struct Timers {
    /// Fires when the next batch of announcements is due.
    trickle: Receiver<Instant>,
    /// Fires when the spare buffers are to be released.
    release: Receiver<Instant>,
}

/// The writer thread must exit, because the connection has ended or is ending.
struct Done;

impl Writer<'_> {
    /// Alternates between writing everything and waiting. `wait` returns `false` when the connection has ended.
    fn serve(&mut self, wait: impl Fn(Timers) -> bool) {
        while let Ok(timers) = self.write_everything() {
            if !wait(timers) {
                return;
            }
        }
    }

    /// Writes until the queue is empty and no announcement is due. Returns the timers to wait for.
    fn write_everything(&mut self) -> Result<Timers, Done> {
        let mut wrote = false;
        loop {
            if self.shared.ended().is_some() {
                return Err(Done);
            }
            let trickle = self.shared.trickle(Instant::now());
            let outbound = &self.shared.outbound();
            // The first message after a pause is written at once. After that, more messages usually follow, and letting
            // the senders run for a moment makes larger batches.
            if wrote && outbound.next_is_small() {
                yield_now();
            }
            if wrote {
                match outbound.pop() {
                    Some(batch) => self.write_batch(batch)?,
                    // The queue is empty, but a busy sender may be about to queue its next message. Letting it run is
                    // cheaper than going to sleep and being woken for each message.
                    None => {
                        yield_now();
                        wrote = false;
                    }
                }
                continue;
            }
            match outbound.pop_or_idle() {
                Ok(batch) => {
                    self.write_batch(batch)?;
                    wrote = true;
                }
                Err(Idle { finish: Some(reason), .. }) => {
                    self.shared.end(reason);
                    return Err(Done);
                }
                Err(idle) => {
                    let trickle = trickle.map_or_else(never, at);
                    let release = if idle.keeps_buffers { after(KEEP_BUFFERS) } else { never() };
                    return Ok(Timers { trickle, release });
                }
            }
        }
    }

    fn write_batch(&mut self, batch: Batch) -> Result<(), Done> {
        match catch_panic(|| self.write_all(batch.bytes(), batch.frames(), batch.has_positions)) {
            Ok(Ok(())) => {
                self.shared.outbound().written(batch);
                Ok(())
            }
            Ok(Err(done)) => {
                self.shared.outbound().not_written(batch);
                Err(done)
            }
            Err(message) => {
                self.shared.end(DisconnectReason::CallbackPanicked { message });
                Err(Done)
            }
        }
    }

    /// Writes whole frames. After each write, handles the frames that are completely written: starts the deadlines of
    /// the answers to requests, counts the frames, resolves their receipts, and calls the listener callback `on_write`.
    /// Frames are counted before their receipts resolve, so that a program that sees a resolved receipt also finds the
    /// message in the statistics.
    fn write_all(&mut self, bytes: &[u8], frames: &FrameList, has_positions: bool) -> Result<(), Done> {
        let has_timed_requests = self.note_requests(bytes, frames);
        let mut written = 0;
        let mut unreported = frames.frames(bytes);
        let result = loop {
            if has_positions && !self.shared.outbound().progress().begin_write() {
                break Err(io::ErrorKind::NotConnected.into());
            }
            match self.write_some(bytes.get(written..).unwrap_or_default()) {
                Ok(count) => written += count,
                Err(error) => {
                    self.shared.outbound().progress().end_write(0);
                    break Err(error);
                }
            }
            let whole = unreported.take_within(written);
            if has_timed_requests {
                self.start_deadlines(whole.clone());
                // A stall rule limits how long the remote may take to answer a request. `about_to_write` marks that a
                // request of the rule is being written. The remote may already answer the completely written requests
                // while the rest of the batch is still being written. Each stall rule has only one mark.
                // `start_deadlines` and an early answer clear it, even if a later request of the same rule in this
                // batch is not written yet. So the remaining requests are marked again.
                self.about_to_write(unreported.clone().counts().map(|(command, _)| command));
            }
            self.report_written(whole, has_positions);
            if written == bytes.len() {
                break Ok(());
            }
        };
        let Err(error) = result else { return Ok(()) };
        // The panic of a callback is caught before the error is dropped, see `take_error`.
        let reported = catch_panic(|| {
            for (command, frame) in unreported {
                self.callbacks.on_write(command, frame.len(), Some(&error));
            }
        });
        Err(self.failed(error, reported))
    }

    /// Writes and flushes at least one byte. Returns the number of bytes written.
    fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.retry(|out| match out.write(bytes)? {
            0 => Err(io::ErrorKind::WriteZero.into()),
            count if count > bytes.len() => {
                let problem = "`write` returned more bytes than it was given";
                Err(io::Error::new(io::ErrorKind::InvalidData, problem))
            }
            count => Ok(count),
        })?;
        self.retry(|out| out.flush())?;
        Ok(count)
    }

    /// Repeats an attempt that timed out or was interrupted, for at most the write timeout.
    fn retry<T>(&mut self, mut attempt: impl FnMut(&mut dyn Write) -> io::Result<T>) -> io::Result<T> {
        let mut since = None;
        let limit = self.shared.settings().write_timeout();
        loop {
            let begun = Instant::now();
            match attempt(&mut *self.out) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted && self.shared.ended().is_none() => {}
                Err(error) if stream::can_be_repeated(&error, begun.elapsed(), attempt_timeout(limit)) => {
                    let since = *since.get_or_insert(begun);
                    // Nothing is ever sent on this channel. It is disconnected when the connection ends.
                    let ended = self.shared.lifecycle().quit_channel().recv_timeout(RETRY_PAUSE)
                        == Err(RecvTimeoutError::Disconnected);
                    if ended || limit.is_some_and(|limit| since.elapsed() >= limit) {
                        return Err(error);
                    }
                }
                result => return result,
            }
        }
    }

    /// Records pings, and requests that have a stall rule, before they are written, because an answer can arrive before
    /// the write returns. Returns whether one of the frames is a request that has a stall rule.
    fn note_requests(&self, bytes: &[u8], frames: &FrameList) -> bool {
        if frames.commands().any(|command| command == Command::Ping) {
            let now = Instant::now();
            for (_, ping) in frames.frames(bytes).filter(|(command, _)| *command == Command::Ping) {
                let nonce = ping.get(HEADER_SIZE..).and_then(|payload| payload.first_chunk());
                let nonce = nonce.copied().map(u64::from_le_bytes).unwrap_or_default();
                self.shared.state.lock().pings.sent(nonce, now, SystemTime::now());
            }
        }
        self.about_to_write(frames.commands())
    }

    /// Notes those of `commands` that are requests with a stall rule. Returns whether there is one.
    fn about_to_write(&self, commands: impl Iterator<Item = Command>) -> bool {
        let mut has_timed_requests = false;
        for request in commands.filter(|command| self.shared.timed_requests.contains(*command)) {
            self.shared.about_to_write(request);
            has_timed_requests = true;
        }
        has_timed_requests
    }

    /// Starts the deadlines of the requests among frames that are completely written.
    fn start_deadlines(&self, frames: Frames<'_>) {
        let now = Instant::now();
        for (request, _) in frames.counts().filter(|(command, _)| self.shared.timed_requests.contains(*command)) {
            self.shared.with_deadlines(|deadlines| deadlines.written(request, now));
        }
    }

    /// Counts frames that are written, resolves their receipts, and calls the listener callback `on_write`.
    fn report_written(&self, frames: Frames<'_>, has_positions: bool) {
        self.shared.sent.add_all(frames.clone().counts(), Stamp::of(SystemTime::now()));
        if has_positions {
            let messages = frames.clone().counts().map(|(_, count)| count.messages).sum();
            self.shared.outbound().progress().end_write(messages);
        }
        for (command, frame) in frames {
            if logging::messages() {
                logging::sent(&**self.shared, command, frame);
            }
            self.program.record(self.shared.id, Entry::Sent(frame));
            self.callbacks.on_write(command, frame.len(), None);
        }
    }

    /// Ends the connection after a write failed with `error`, now or a moment later. `reported` has the message of the
    /// panic if `on_write` panicked when it was called with the error.
    fn failed(&self, error: io::Error, reported: Result<(), String>) -> Done {
        let limit = self.shared.settings().write_timeout();
        // `retry` returns a repeatable error only after the write timeout or after the end. If the connection has
        // already ended, the calls of `end` below have no effect.
        let stalled = limit.filter(|limit| stream::can_be_repeated(&error, *limit, Some(*limit)));
        let failed = DisconnectReason::io(IoOperation::Write, take_error(error));
        let reason = match (reported, stalled) {
            (Err(message), _) => DisconnectReason::CallbackPanicked { message },
            (Ok(()), Some(limit)) => DisconnectReason::WriteStalled { limit },
            (Ok(()), None) => failed,
        };
        if !matches!(reason, DisconnectReason::Io { .. }) {
            self.shared.end(reason);
        } else if self.shared.ended().is_none() {
            debug!(target: SENT, "{}: {reason}", self.shared);
            let until = Instant::now() + READ_AFTER_WRITE_ERROR;
            self.shared.with_deadlines(|deadlines| deadlines.end_at(until, reason));
        }
        Done
    }
}

/// The timeout of one `write` call of the stream, given the configured write timeout.
pub(in crate::peer) fn attempt_timeout(write_timeout: Option<Duration>) -> Option<Duration> {
    write_timeout.map(|limit| (limit / ATTEMPTS).max(RETRY_PAUSE))
}
