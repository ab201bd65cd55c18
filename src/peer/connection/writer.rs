//! Thread 2: the outbound handler. Takes runs while there are any, and waits with `select!` when there are none.

use super::batch::Batch;
use super::counters::Stamp;
use super::frame_list::{FrameList, Frames};
use super::outbound::Idle;
use super::shared::{Ends, Shared};
use super::trickle::Trickle;
use crate::peer::capture::Entry;
use crate::peer::disconnect::IoOperation;
use crate::peer::logging::{self, SENT};
use crate::peer::panic::catch_panic;
use crate::peer::sync::yield_now;
use crate::peer::{DisconnectReason, Peer, stream};
use crate::wire::{Command, HEADER_SIZE, encode_frame};
use crossbeam_channel::{Receiver, RecvTimeoutError, after, at, never, select};
use log::{debug, error};
use std::{
    io::{self, Write},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

/// After writing failed, the remote's last words may still be read: a `reject` can explain the failure.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How often it is tried to write within the write timeout. A system that waits for room may look for much of it, and give
/// up without having looked for little: only who asks again learns what a slow remote has made.
const TRIES: u32 = 4;

/// How long to wait before a stream is tried again that did not wait itself.
const MOMENT: Duration = Duration::from_millis(1);

/// How long buffers are kept when there is nothing to write. Traffic of any strength has shorter gaps.
const KEEP_BUFFERS: Duration = Duration::from_millis(500);

/// Writes until the connection ends.
pub(in crate::peer) fn run(shared: &Arc<Shared>, out: Box<dyn Write + Send>, ends: &Ends) {
    let mut writer = Writer { shared, peer: shared.own_handle(), out };
    if let Err(message) = catch_panic(|| writer.serve(|timers| wait(shared, ends, timers))) {
        shared.end(DisconnectReason::CallbackPanicked { message });
    }
    // A panic may have come from the stream's `write`.
    shared.outbound.progress().end_write(0);
}

/// Waits until there may be something to write. Returns `false` when the connection has ended.
fn wait(shared: &Shared, ends: &Ends, Timers { trickle, release }: Timers) -> bool {
    select! {
        recv(ends.work) -> woken => woken.is_ok(),
        recv(trickle) -> _ => true,
        recv(release) -> _ => {
            shared.outbound.release_spare();
            true
        }
        recv(shared.lifecycle.quitting()) -> _ => false,
    }
}

/// As [`run`], for a scheduler that decides which thread goes on: it cannot look into `select!`.
#[cfg(all(test, shuttle))]
pub(in crate::peer) fn run_scheduled(shared: &Arc<Shared>, out: Box<dyn Write + Send>, ends: &Ends) {
    let mut writer = Writer { shared, peer: shared.own_handle(), out };
    writer.serve(|_| {
        loop {
            if shared.ended().is_some() {
                return false;
            }
            if ends.work.try_recv().is_ok() {
                return true;
            }
            yield_now();
        }
    });
    shared.outbound.progress().end_write(0);
}

struct Writer<'a> {
    shared: &'a Arc<Shared>,
    peer: Peer,
    out: Box<dyn Write + Send>,
}

/// What the writer waits for when there is nothing to write.
struct Timers {
    /// The next batch of announcements.
    trickle: Receiver<Instant>,
    /// When to release the buffers that are not used.
    release: Receiver<Instant>,
}

/// The writer is done: the connection has ended, or is ending.
struct Done;

impl Writer<'_> {
    /// Writes everything, then waits with `wait`, which returns whether to go on.
    fn serve(&mut self, wait: impl Fn(Timers) -> bool) {
        while let Ok(timers) = self.write_everything() {
            if !wait(timers) {
                return;
            }
        }
    }

    /// Writes until nothing is left, then returns what to wait for besides new messages.
    fn write_everything(&mut self) -> Result<Timers, Done> {
        let mut wrote = false;
        loop {
            if self.shared.ended().is_some() {
                return Err(Done);
            }
            let timer = self.trickle()?;
            let outbound = &self.shared.outbound;
            // The remote waits for the first message after a pause, so it is written at once. Where one message followed
            // another, more will come, and waiting a moment for them saves writes.
            if wrote && outbound.next_is_small() {
                yield_now();
            }
            if wrote {
                match outbound.pop() {
                    Some(batch) => self.write_batch(batch)?,
                    // A sender that queues one message after the other is about to queue the next, and waking up for each
                    // would cost more than writing it.
                    None => {
                        yield_now();
                        wrote = false;
                    }
                }
                continue;
            }
            match (outbound.pop_or_idle(), timer) {
                (Ok(batch), _) => {
                    self.write_batch(batch)?;
                    wrote = true;
                }
                (Err(Idle { finish: Some(reason), .. }), _) => {
                    self.shared.end(reason);
                    return Err(Done);
                }
                (Err(idle), Some(trickle)) => {
                    let release = if idle.keeps_buffers { after(KEEP_BUFFERS) } else { never() };
                    return Ok(Timers { trickle, release });
                }
                (Err(_), None) => {}
            }
        }
    }

    /// Sends one batch of announcements if it is due. Otherwise returns the timer; `None` if there may be more to send.
    fn trickle(&mut self) -> Result<Option<Receiver<Instant>>, Done> {
        match self.shared.trickle(Instant::now()) {
            Trickle::Nothing => Ok(Some(never())),
            Trickle::Wait(due) => Ok(Some(at(due))),
            Trickle::Send(inv) => {
                let mut bytes = Vec::new();
                match encode_frame(&inv, self.shared.settings().network, &mut bytes) {
                    Ok(()) => self.write_all(&bytes, &FrameList::of(Command::Inv, bytes.len()), false)?,
                    // It has at most a thousand items, so it always can be.
                    Err(error) => {
                        error!(target: SENT, "{}: a batch of announcements cannot be sent: {error}", self.shared)
                    }
                }
                Ok(None)
            }
        }
    }

    fn write_batch(&mut self, batch: Batch) -> Result<(), Done> {
        match catch_panic(|| self.write_all(batch.bytes(), batch.frames(), batch.has_positions)) {
            Ok(Ok(())) => {
                self.shared.outbound.written(batch);
                Ok(())
            }
            Ok(Err(done)) => {
                self.shared.outbound.not_written(batch);
                Err(done)
            }
            Err(message) => {
                // Before the batch goes, so that its receipts find the reason.
                self.shared.end(DisconnectReason::CallbackPanicked { message });
                Err(Done)
            }
        }
    }

    /// Writes whole frames. After each write it starts the deadlines of the requests that are whole, counts the frames,
    /// resolves their receipts, and calls the listener, in this order: a program that learns of a message finds it counted.
    fn write_all(&mut self, bytes: &[u8], frames: &FrameList, has_positions: bool) -> Result<(), Done> {
        let asks = self.before(bytes, frames);
        let mut written = 0;
        let mut unreported = frames.frames(bytes);
        let result = loop {
            if has_positions && !self.shared.outbound.progress().begin_write() {
                break Err(io::ErrorKind::NotConnected.into());
            }
            match self.write_some(bytes.get(written..).unwrap_or_default()) {
                Ok(count) => written += count,
                Err(error) => {
                    self.shared.outbound.progress().end_write(0);
                    break Err(error);
                }
            }
            let whole = unreported.take_within(written);
            if asks {
                self.start_deadlines(whole.clone());
            }
            self.account(whole, has_positions);
            if written == bytes.len() {
                break Ok(());
            }
        };
        result.map_err(|error| {
            for (command, frame) in unreported {
                self.shared.settings().listener.on_write(&self.peer, command, frame.len(), Some(&error));
            }
            self.failed(&error)
        })
    }

    /// Writes at least one byte of what there is, so that it is on its way; gives how many.
    fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.retry(|out| match out.write(bytes)? {
            0 => Err(io::ErrorKind::WriteZero.into()),
            count if count > bytes.len() => {
                let lie = "the stream claims to have taken more than it was given";
                Err(io::Error::new(io::ErrorKind::InvalidData, lie))
            }
            count => Ok(count),
        })?;
        self.retry(|out| out.flush())?;
        Ok(count)
    }

    /// Tries until it works, until it fails, or until nothing has come of it for the whole write timeout.
    fn retry<T>(&mut self, mut attempt: impl FnMut(&mut dyn Write) -> io::Result<T>) -> io::Result<T> {
        let mut since = None;
        let limit = self.shared.settings().write_timeout;
        loop {
            let begun = Instant::now();
            match attempt(&mut *self.out) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted && self.shared.ended().is_none() => {}
                Err(error) if stream::can_be_repeated(&error, begun.elapsed(), write_attempt(limit)) => {
                    let since = *since.get_or_insert(begun);
                    // Nothing is ever sent there; it ends with the connection.
                    let ended =
                        self.shared.lifecycle.quitting().recv_timeout(MOMENT) == Err(RecvTimeoutError::Disconnected);
                    if ended || limit.is_some_and(|limit| since.elapsed() >= limit) {
                        return Err(error);
                    }
                }
                result => return result,
            }
        }
    }

    /// Notes pings and requests before they are written, because the answer can be there before the write returns. Returns
    /// whether there is a request whose answer has a deadline.
    fn before(&self, bytes: &[u8], frames: &FrameList) -> bool {
        if frames.commands().any(|command| command == Command::Ping) {
            let now = Instant::now();
            for (_, ping) in frames.frames(bytes).filter(|(command, _)| *command == Command::Ping) {
                let nonce = ping.get(HEADER_SIZE..).and_then(|payload| payload.first_chunk());
                let nonce = nonce.copied().map(u64::from_le_bytes).unwrap_or_default();
                self.shared.state.lock().pings.sent(nonce, now, SystemTime::now());
            }
        }
        let mut asks = false;
        for request in frames.commands().filter(|command| self.shared.timed_requests.contains(*command)) {
            self.shared.about_to_write(request);
            asks = true;
        }
        asks
    }

    /// Starts the deadlines of the requests among frames that are wholly written.
    fn start_deadlines(&self, frames: Frames<'_>) {
        let now = Instant::now();
        for (request, _) in frames.counts().filter(|(command, _)| self.shared.timed_requests.contains(*command)) {
            self.shared.with_deadlines(|deadlines| deadlines.written(request, now));
        }
    }

    /// Counts frames that are written, resolves their receipts, and calls the listener.
    fn account(&self, frames: Frames<'_>, has_positions: bool) {
        self.shared.sent.add_all(frames.clone().counts(), Stamp::of(SystemTime::now()));
        if has_positions {
            let messages = frames.clone().counts().map(|(_, count)| count.messages).sum();
            self.shared.outbound.progress().end_write(messages);
        }
        let listener = &*self.shared.settings().listener;
        for (command, frame) in frames {
            if logging::messages() {
                logging::sent(&**self.shared, command, frame);
            }
            self.shared.capture(Entry::Sent(frame));
            listener.on_write(&self.peer, command, frame.len(), None);
        }
    }

    fn failed(&self, error: &io::Error) -> Done {
        match self.shared.settings().write_timeout {
            // Such an error is only final after the write timeout.
            Some(limit) if stream::can_be_repeated(error, limit, Some(limit)) => {
                self.shared.end(DisconnectReason::WriteStalled { limit });
            }
            _ if self.shared.ended().is_none() => {
                debug!(target: SENT, "{}: writing failed: {error}", self.shared);
                let reason = DisconnectReason::io(IoOperation::Write, error);
                let until = Instant::now() + LAST_WORDS;
                self.shared.with_deadlines(|deadlines| deadlines.last_words(until, reason));
            }
            _ => {}
        }
        Done
    }
}

/// How long one attempt of a stream to write may take, for a write timeout.
pub(in crate::peer) fn write_attempt(write_timeout: Option<Duration>) -> Option<Duration> {
    write_timeout.map(|limit| (limit / TRIES).max(MOMENT))
}
