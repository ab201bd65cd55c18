//! Thread 2: the outbound handler. Takes runs while there are any, and waits with `select!` when there are none.

use super::capture::Entry;
use super::disconnect::IoOperation;
use super::farewell;
use super::logging::{self, SENT};
use super::run::Run;
use super::shared::{Ends, Shared};
use super::stats::{Count, Traffic};
use super::trickle::Trickle;
use super::{DisconnectReason, Peer};
use crate::wire::{Command, HEADER_SIZE, encode_frame};
use crossbeam_channel::{Receiver, after, at, never, select};
use log::{debug, error};
use std::{
    io::{self, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
    time::{Duration, Instant, SystemTime},
};

/// After writing failed, the remote's last words may still be read: a `reject` can explain the failure.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How long a buffer is kept when there is nothing to write. Traffic of any strength has shorter gaps.
const KEEP_BUFFER: Duration = Duration::from_millis(500);

/// Writes until the connection ends.
pub(super) fn run(shared: &Arc<Shared>, out: Box<dyn Write + Send>, ends: &Ends) {
    let mut writer = Writer { shared, peer: shared.own_handle(), out };
    if catch_unwind(AssertUnwindSafe(|| writer.serve(ends))).is_err() {
        shared.end(DisconnectReason::CallbackPanicked);
    }
    farewell::leave(shared, &writer.peer);
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
    /// When to give back a buffer that is not used.
    release: Receiver<Instant>,
}

/// The writer is done: the connection has ended, or is ending.
struct Done;

impl Writer<'_> {
    fn serve(&mut self, ends: &Ends) {
        loop {
            let Ok(Timers { trickle, release }) = self.drain() else { return };
            select! {
                recv(ends.work) -> rung => if rung.is_err() { return },
                recv(ends.trickle) -> rung => if rung.is_err() { return },
                recv(trickle) -> _ => {}
                recv(release) -> _ => self.shared.outbound.release_spare(),
                recv(self.shared.quitting) -> _ => return,
            }
        }
    }

    /// Writes all there is; gives what else there is to wait for.
    fn drain(&mut self) -> Result<Timers, Done> {
        let mut wrote = false;
        loop {
            if self.shared.ended().is_some() {
                return Err(Done);
            }
            let timer = self.trickle()?;
            let outbound = &self.shared.outbound;
            if outbound.next_is_small() {
                thread::yield_now();
            }
            if wrote {
                match outbound.pop() {
                    Some(run) => self.write_run(run)?,
                    // Whoever queues one frame after the other is about to queue the next, and waking up for each would
                    // cost more than writing it.
                    None => {
                        thread::yield_now();
                        wrote = false;
                    }
                }
                continue;
            }
            match (outbound.pop_or_idle(), timer) {
                (Ok(run), _) => {
                    self.write_run(run)?;
                    wrote = true;
                }
                (Err(idle), Some(trickle)) => {
                    let release = if idle.keeps_buffer { after(KEEP_BUFFER) } else { never() };
                    return Ok(Timers { trickle, release });
                }
                (Err(_), None) => {}
            }
        }
    }

    /// Sends one batch of announcements, if they are due; more would hold up the runs. Otherwise gives the timer.
    fn trickle(&mut self) -> Result<Option<Receiver<Instant>>, Done> {
        match self.shared.trickle(Instant::now()) {
            Trickle::Nothing => Ok(Some(never())),
            Trickle::Wait(due) => Ok(Some(at(due))),
            Trickle::Send(inv) => {
                let mut bytes = Vec::new();
                match encode_frame(&inv, self.shared.settings().network, &mut bytes) {
                    Ok(()) => self.write_all(&bytes, |_| {})?,
                    // At most a thousand items, so it always can be.
                    Err(error) => {
                        error!(target: SENT, "{}: a batch of announcements cannot be sent: {error}", self.shared)
                    }
                }
                Ok(None)
            }
        }
    }

    fn write_run(&mut self, mut run: Run) -> Result<(), Done> {
        let (bytes, receipts) = run.split();
        match catch_unwind(AssertUnwindSafe(|| self.write_all(bytes, |written| receipts.resolve(written)))) {
            Ok(Ok(())) => {
                self.shared.outbound.written(run);
                Ok(())
            }
            Ok(Err(done)) => {
                self.shared.outbound.put_back(run);
                Err(done)
            }
            Err(_) => {
                // Before the run goes, so that its receipts find the reason.
                self.shared.end(DisconnectReason::CallbackPanicked);
                Err(Done)
            }
        }
    }

    /// Writes whole frames, counts them, says so to `tell`, and reports them: who is told finds them counted.
    fn write_all(&mut self, bytes: &[u8], mut tell: impl FnMut(usize)) -> Result<(), Done> {
        let traffic = self.before(bytes);
        let mut rest = bytes;
        let result = loop {
            match self.out.write(rest) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
            if rest.is_empty() {
                break Ok(());
            }
        };
        let written = bytes.len() - rest.len();
        self.count(bytes, traffic, written);
        tell(written);
        self.report(bytes, written, result.as_ref().err());
        result.map_err(|error| self.failed(&error))
    }

    /// Pings and requests are timed from here. Gives what it all is.
    fn before(&self, bytes: &[u8]) -> Traffic {
        let mut now = None;
        let mut traffic = Traffic::default();
        for (command, frame) in frames(bytes) {
            traffic.add(command, Count::one(frame.len()));
            if command == Command::Ping {
                let now = *now.get_or_insert_with(Instant::now);
                let nonce = frame.get(HEADER_SIZE..).and_then(|payload| payload.first_chunk());
                let nonce = nonce.copied().map(u64::from_le_bytes).unwrap_or_default();
                self.shared.state.lock().pings.sent(nonce, now, SystemTime::now());
            }
            if self.shared.timed_requests.contains(command) {
                let now = *now.get_or_insert_with(Instant::now);
                self.shared.requested(command, now);
            }
        }
        traffic
    }

    fn count(&self, bytes: &[u8], mut traffic: Traffic, written: usize) {
        if written < bytes.len() {
            traffic = Traffic::default();
            let mut end = 0;
            for (command, frame) in frames(bytes) {
                end += frame.len();
                if end <= written {
                    traffic.add(command, Count::one(frame.len()));
                }
            }
        }
        let mut sent = self.shared.sent.lock();
        sent.traffic.merge(&traffic);
        if written > 0 {
            sent.last_send = Some(SystemTime::now());
        }
    }

    fn report(&self, bytes: &[u8], written: usize, error: Option<&io::Error>) {
        let listener = &*self.shared.settings().listener;
        let mut end = 0;
        for (command, frame) in frames(bytes) {
            end += frame.len();
            if end <= written {
                if logging::messages() {
                    logging::sent(&**self.shared, command, frame);
                }
                self.shared.capture(Entry::Sent(frame));
            }
            listener.on_write(&self.peer, command, frame.len(), if end <= written { None } else { error });
        }
    }

    fn failed(&self, error: &io::Error) -> Done {
        match (error.kind(), self.shared.settings().write_timeout) {
            (io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut, Some(limit)) => {
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

/// The frames of a run, which this side made.
fn frames(bytes: &[u8]) -> impl Iterator<Item = (Command, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let header = rest.first_chunk::<HEADER_SIZE>()?;
        let command = Command::from_field(header.get(4..)?.first_chunk()?)?;
        let length = u32::from_le_bytes(*header.get(16..)?.first_chunk()?);
        let (frame, behind) = rest.split_at_checked(HEADER_SIZE + length as usize)?;
        rest = behind;
        Some((command, frame))
    })
}
