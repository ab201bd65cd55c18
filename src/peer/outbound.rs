//! The outbound queue: runs of frames, bounded in bytes.
//!
//! A run is a buffer of consecutive small frames, or one large frame that may be shared with other peers. Who queues
//! appends to the last run while it still waits, so frames are coalesced where they are queued, and the writer writes
//! whole runs. The channel between them carries no frames, only "there is something": the runs lie behind one lock,
//! since a run must stay open to more frames until the moment it is taken, and all of them must go the moment the
//! connection ends.

use super::receipt::Unsent;
use super::run::{Run, SMALL_RUN, Spare};
use super::sync::{Condvar, Mutex};
use crate::wire::Command;
use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::{
    collections::VecDeque,
    mem,
    time::{Duration, Instant},
};

/// A frame up to this size is copied into a run; a larger one is a run of its own.
pub(super) const SMALL_FRAME: usize = 40 * 1024;

/// How many bytes of automatic answers may wait when what the application queued has taken all the room. A remote that
/// has asked for so many and read none is not slow.
const ANSWERS: usize = 16 * 1024;

/// How many buffers are kept for runs to come: as many as a sender that waits for room fills before it waits again, with
/// the usual high-water mark.
const SPARES: usize = 3;

/// The queue of one peer.
#[derive(Debug)]
pub(super) struct Outbound {
    queue: Mutex<Queue>,
    room: Condvar,
    bell: Sender<()>,
    limit: usize,
    high_water_mark: usize,
}

#[derive(Debug, Default)]
struct Queue {
    runs: VecDeque<Run>,
    /// What the application queued before the handshake let it through.
    held: VecDeque<Run>,
    open: bool,
    closed: bool,
    /// What waits, and what the writer is at.
    bytes: usize,
    messages: usize,
    /// How many of the bytes are of automatic answers.
    answers: usize,
    /// How many senders wait for room.
    waiting: usize,
    /// Whether others have queued something since.
    overtaken: bool,
    /// Buffers for the next runs, while there is traffic: to give them back and ask for others with each run would cost as
    /// much as filling them.
    spare: Vec<Spare>,
    /// Whether the writer found nothing and waits for the bell.
    idle: bool,
}

/// An encoded frame on its way into the queue.
pub(super) enum Queued<'a> {
    /// To be copied.
    Small(&'a [u8]),
    /// To be kept.
    Large(Vec<u8>),
    /// To be kept with others.
    Shared(Bytes),
}

impl Queued<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Small(bytes) => bytes.len(),
            Self::Large(bytes) => bytes.len(),
            Self::Shared(bytes) => bytes.len(),
        }
    }
}

/// Who queues: decides what happens before the handshake is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// The handshake itself, and the last reject: goes out at once, and finds room even where what waits for the
    /// handshake has taken all.
    Handshake,
    /// An automatic answer: waits for the handshake, and has some room of its own. The application may fill the queue,
    /// and that is not the fault of a remote that asks something.
    Answer,
    /// Everything else: waits for the handshake.
    Ordinary,
}

/// Why a frame was not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    Full { queued: usize, limit: usize },
    Closed,
    Timeout,
}

/// There is nothing to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Idle {
    /// Whether buffers are kept, to be [released](Outbound::release_spare) when nothing comes for a while.
    pub keeps_buffers: bool,
}

/// How long who queues is ready to wait for room.
#[derive(Debug, Clone, Copy)]
pub(super) enum Patience {
    /// Not at all; up to the hard limit there is room.
    None,
    /// So long; there is room below the high-water mark, and who has to wait waits for more of it.
    AtMost(Duration),
}

impl Outbound {
    /// A queue, and what rings when it is no longer empty.
    pub fn new(limit: usize, high_water_mark: usize) -> (Self, Receiver<()>) {
        let (bell, rung) = bounded(1);
        (
            Self {
                queue: Mutex::new(Queue { idle: true, ..Queue::default() }),
                room: Condvar::new(),
                bell,
                limit,
                high_water_mark,
            },
            rung,
        )
    }

    /// Queues a frame.
    pub fn push(
        &self,
        command: Command,
        frame: Queued<'_>,
        lane: Lane,
        patience: Patience,
        receipt: Option<Unsent>,
    ) -> Result<(), Refused> {
        let length = frame.len();
        let mut deadline = None;
        let mut out_of_time = false;
        let mut queue = self.queue.lock();
        loop {
            if queue.closed {
                return Err(Refused::Closed);
            }
            let fits = queue.bytes + length <= self.limit
                || queue.bytes <= self.next_to_nothing()
                || match lane {
                    Lane::Handshake => true,
                    Lane::Answer => queue.answers + length <= ANSWERS,
                    Lane::Ordinary => false,
                };
            match patience {
                _ if fits && (queue.bytes < self.high_water_mark.max(1) || matches!(patience, Patience::None)) => break,
                Patience::None => return Err(Refused::Full { queued: queue.bytes, limit: self.limit }),
                // Room that came at the last moment was looked for.
                Patience::AtMost(_) if out_of_time => return Err(Refused::Timeout),
                Patience::AtMost(timeout) => {
                    // Reading the clock costs a fifth of a small message: only who has to wait does it.
                    let deadline = *deadline.get_or_insert_with(|| Instant::now().checked_add(timeout));
                    queue.waiting += 1;
                    match deadline {
                        Some(deadline) => out_of_time = self.room.wait_until(&mut queue, deadline).timed_out(),
                        None => self.room.wait(&mut queue),
                    }
                    queue.waiting -= 1;
                }
            }
        }
        let ring = queue.append(command, frame, lane, receipt);
        drop(queue);
        if ring {
            // A bell that rings already is enough.
            let _ = self.bell.try_send(());
        }
        Ok(())
    }

    /// With so little waiting a frame is accepted whatever its size: else a large one would never be, on a connection on
    /// which something small is always being written.
    fn next_to_nothing(&self) -> usize {
        (self.limit / 2).min(SMALL_RUN)
    }

    /// Lets through what was held back. Called when our `verack` is queued.
    pub fn open(&self) {
        let mut queue = self.queue.lock();
        queue.open = true;
        let mut held = mem::take(&mut queue.held);
        queue.runs.append(&mut held);
        drop(queue);
        let _ = self.bell.try_send(());
    }

    pub fn is_open(&self) -> bool {
        self.queue.lock().open
    }

    /// Whether the next run is worth a moment's wait.
    pub fn next_is_small(&self) -> bool {
        let queue = self.queue.lock();
        queue.runs.len() == 1 && queue.runs.front().is_some_and(|run| run.bytes().len() < SMALL_RUN)
    }

    /// The next run to write; without one, the bell is silent still. It counts as queued until
    /// [`written`](Self::written).
    pub fn pop(&self) -> Option<Run> {
        self.queue.lock().runs.pop_front()
    }

    /// Like [`pop`](Self::pop), but without one, the bell rings for the next.
    pub fn pop_or_idle(&self) -> Result<Run, Idle> {
        let mut queue = self.queue.lock();
        let run = queue.runs.pop_front();
        queue.idle = run.is_none();
        run.ok_or(Idle { keeps_buffers: !queue.spare.is_empty() })
    }

    /// Gives back the buffers that were kept for the next runs.
    pub fn release_spare(&self) {
        let spare = mem::take(&mut self.queue.lock().spare);
        drop(spare);
    }

    /// A run was written: there is room.
    pub fn written(&self, run: Run) {
        let (length, messages, answers) = (run.bytes().len(), run.messages, run.answers);
        let unused = run.into_spare();
        let mut queue = self.queue.lock();
        // A closed queue has forgotten the run already.
        queue.bytes = queue.bytes.saturating_sub(length);
        queue.messages = queue.messages.saturating_sub(messages);
        queue.answers = queue.answers.saturating_sub(answers);
        let unused = unused.and_then(|buffer| {
            if queue.closed || queue.spare.len() >= SPARES {
                return Some(buffer);
            }
            queue.spare.push(buffer);
            None
        });
        let wake = queue.has_room_for_who_waits(self.high_water_mark);
        drop(queue);
        drop(unused);
        if wake {
            self.room.notify_all();
        }
    }

    /// Puts back a run that could not be written: what was not sent stays until the queue is closed.
    pub fn put_back(&self, run: Run) {
        let mut queue = self.queue.lock();
        if !queue.closed {
            queue.runs.push_front(run);
        }
    }

    /// Refuses everything from now on, wakes who waits, and gives what was queued, to be dropped outside the lock.
    pub fn close(&self) -> [VecDeque<Run>; 2] {
        let mut queue = self.queue.lock();
        queue.closed = true;
        (queue.bytes, queue.messages, queue.answers) = (0, 0, 0);
        let garbage = [mem::take(&mut queue.runs), mem::take(&mut queue.held)];
        let spare = mem::take(&mut queue.spare);
        drop(queue);
        drop(spare);
        self.room.notify_all();
        garbage
    }

    /// How many bytes and messages wait.
    pub fn size(&self) -> (usize, usize) {
        let queue = self.queue.lock();
        (queue.bytes, queue.messages)
    }
}

impl Queue {
    /// Whether who waits is to be woken, after a run was written.
    ///
    /// Half of the mark is kept free for it: to be woken for each run that is written, the two taking turns, costs more
    /// than the rest. But the writer must not run dry, and who waits must not see all others go first.
    fn has_room_for_who_waits(&self, high_water_mark: usize) -> bool {
        let below = self.bytes < high_water_mark.max(1);
        self.waiting > 0 && below && (self.bytes <= high_water_mark / 2 || self.runs.len() <= 1 || self.overtaken)
    }

    /// Adds a frame; whether the writer must be told.
    fn append(&mut self, command: Command, frame: Queued<'_>, lane: Lane, receipt: Option<Unsent>) -> bool {
        let answer = if lane == Lane::Answer { frame.len() } else { 0 };
        self.bytes += frame.len();
        self.messages += 1;
        self.overtaken = self.waiting > 0;
        self.answers += answer;
        let through = self.open || lane == Lane::Handshake;
        let spare = &mut self.spare;
        let runs = if through { &mut self.runs } else { &mut self.held };
        match frame {
            Queued::Small(frame) => {
                if !runs.back_mut().is_some_and(|run| run.append(command, frame)) {
                    let mut run = Run::open(spare.pop().unwrap_or_default());
                    run.append(command, frame);
                    runs.push_back(run);
                }
            }
            Queued::Large(frame) => runs.push_back(Run::large(command, frame)),
            Queued::Shared(frame) => runs.push_back(Run::shared(command, frame)),
        }
        if let Some(run) = runs.back_mut() {
            run.count(answer, receipt);
        }
        // One that is writing looks again by itself.
        through && mem::take(&mut self.idle)
    }
}

#[cfg(test)]
mod tests;
