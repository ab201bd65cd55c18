//! The outbound queue: frames that wait to be written, bounded in bytes.
//!
//! Senders append small frames to the last batch while it waits, and the writer thread takes whole batches: one system
//! call and one lock for many messages. The batches lie behind one lock, because a batch stays open to more frames until
//! the writer takes it, and because all of them must go the moment the connection ends. A wake-up channel tells the writer
//! that there is something to take.

mod waiting;

use super::DisconnectReason;
use super::batch::{Batch, SMALL_BATCH, SpareBuffer};
use super::send_progress::SendProgress;
use super::sync::Mutex;
use crate::wire::Command;
use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::{
    collections::VecDeque,
    mem,
    time::{Duration, Instant},
};
use waiting::WaitingSenders;

/// A frame up to this size in bytes is copied into a batch of small frames; a larger one is a batch of its own.
pub(super) const SMALL_FRAME: usize = 40 * 1024;

/// How many bytes of automatic answers may wait when the program's messages have taken all the room. A remote that
/// has asked for so many answers and read none of them is not merely slow.
const ANSWER_ROOM: usize = 16 * 1024;

/// How many buffers of written batches are kept for later ones: as many as a waiting sender fills before it waits again,
/// with the default high-water mark.
const SPARE_BUFFERS: usize = 3;

/// The queue of one peer.
#[derive(Debug)]
pub(super) struct Outbound {
    queue: Mutex<Queue>,
    progress: SendProgress,
    limit: usize,
    high_water_mark: usize,
}

#[derive(Debug, Default)]
struct Queue {
    batches: VecDeque<Batch>,
    /// The program's messages and automatic answers that wait until our `verack` is queued.
    held: VecDeque<Batch>,
    open: bool,
    stage: Stage,
    /// What waits and what the writer is writing.
    bytes: usize,
    messages: usize,
    /// How many of the bytes belong to automatic answers.
    answer_bytes: usize,
    /// How many messages with a position were accepted: the position of the last one.
    last_position: u64,
    waiting: WaitingSenders,
    /// Emptied buffers for later batches. Allocating one for each batch would cost as much as filling it.
    spare: Vec<SpareBuffer>,
    /// The writer found nothing and waits for a wake-up.
    writer_idle: bool,
    /// `None` after the end, so that a handle of an ended peer does not keep the channel.
    wake_writer: Option<Sender<()>>,
}

#[derive(Debug, Default)]
enum Stage {
    #[default]
    Accepting,
    /// Nothing new is accepted; what is queued is still written.
    Draining,
    /// As `Draining`, and the connection ends for this reason once nothing is left to write.
    Finishing(DisconnectReason),
    Closed,
}

/// An encoded frame on its way into the queue.
pub(super) enum Queued<'a> {
    /// A small frame, which is copied into a batch.
    Small(&'a [u8]),
    /// A large frame, which is kept as it is.
    Large(Vec<u8>),
    /// A large frame that other peers may send too.
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

/// The kind of a queued message: decides whether it waits for the handshake and how much room it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// Part of the handshake, or the last `reject`: leaves at once, finds room in a full queue, and has no position.
    Handshake,
    /// An automatic answer: waits for the handshake, and has [`ANSWER_ROOM`] of its own, because a queue that the program
    /// has filled is not the fault of a remote that asks something.
    Answer,
    /// A message of the program: waits for the handshake.
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Idle {
    /// Whether buffers are kept that can be [released](Outbound::release_spare) after a while.
    pub keeps_buffers: bool,
    /// The reason for which the connection is to end now, because everything is written.
    pub finish: Option<DisconnectReason>,
}

/// Whether a sender waits for room.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wait {
    /// It does not: there is room up to the limit.
    No,
    /// It waits at most this long: there is room below the high-water mark, for the sender that has waited longest.
    AtMost(Duration),
}

impl Outbound {
    /// A queue, and the wake-up channel of its writer.
    pub fn new(limit: usize, high_water_mark: usize) -> (Self, Receiver<()>) {
        let (wake_writer, woken) = bounded(1);
        let queue = Self {
            queue: Mutex::new(Queue { writer_idle: true, wake_writer: Some(wake_writer), ..Queue::default() }),
            progress: SendProgress::default(),
            limit,
            high_water_mark: high_water_mark.max(1),
        };
        (queue, woken)
    }

    pub fn progress(&self) -> &SendProgress {
        &self.progress
    }

    /// Queues a frame. Returns its position, 0 for one of the handshake lane.
    pub fn push(&self, command: Command, frame: Queued<'_>, lane: Lane, wait: Wait) -> Result<u64, Refused> {
        let mut queue = self.queue.lock();
        if let Wait::AtMost(timeout) = wait
            && (queue.bytes >= self.high_water_mark || !queue.waiting.is_empty())
        {
            // Reading the clock costs a fifth of a small message: only a sender that waits does it.
            let deadline = Instant::now().checked_add(timeout);
            waiting::wait(&mut queue, deadline, |queue| {
                !matches!(queue.stage, Stage::Accepting) || queue.bytes < self.high_water_mark
            })?;
        }
        let accepts = match queue.stage {
            Stage::Accepting => true,
            // A remote that pings meanwhile gets its pong, or it would end the connection.
            Stage::Draining => lane != Lane::Ordinary,
            Stage::Finishing(_) | Stage::Closed => false,
        };
        if !accepts {
            queue.waiting.wake_first();
            return Err(Refused::Closed);
        }
        if let Wait::No = wait
            && !self.has_room(&queue, frame.len(), lane)
        {
            return Err(Refused::Full { queued: queue.bytes, limit: self.limit });
        }
        let position = queue.append(command, frame, lane);
        if queue.bytes < self.high_water_mark {
            queue.waiting.wake_first();
        }
        let wake_up = queue.take_wake_up(lane);
        drop(queue);
        wake(wake_up);
        Ok(position)
    }

    /// Whether a frame of `length` bytes may be queued by a sender that does not wait.
    fn has_room(&self, queue: &Queue, length: usize, lane: Lane) -> bool {
        // When almost nothing waits, a frame of any size is accepted. Otherwise a frame larger than the limit would never
        // be, on a connection on which something small is always being written.
        queue.bytes + length <= self.limit
            || queue.bytes <= (self.limit / 2).min(SMALL_BATCH)
            || match lane {
                Lane::Handshake => true,
                Lane::Answer => queue.answer_bytes + length <= ANSWER_ROOM,
                Lane::Ordinary => false,
            }
    }

    /// Lets the held messages through. Called when our `verack` is queued. If another thread has queued the last frame since
    /// then, they stay, because nothing may follow that frame.
    pub fn open(&self) {
        let mut queue = self.queue.lock();
        if matches!(queue.stage, Stage::Finishing(_)) {
            return;
        }
        queue.open = true;
        let mut held = mem::take(&mut queue.held);
        queue.batches.append(&mut held);
        let wake_up = queue.wake_writer.clone();
        drop(queue);
        wake(wake_up);
    }

    /// Wakes the writer for something that is not in the queue.
    pub fn wake_writer(&self) {
        let wake_up = self.queue.lock().wake_writer.clone();
        wake(wake_up);
    }

    pub fn is_open(&self) -> bool {
        self.queue.lock().open
    }

    /// Queues the last frame, ahead of the held ones, and accepts nothing after it. Once it is written the writer ends the
    /// connection for `reason`.
    pub fn push_last(&self, command: Command, frame: &[u8], reason: DisconnectReason) -> Result<(), Refused> {
        let mut queue = self.queue.lock();
        if !matches!(queue.stage, Stage::Accepting | Stage::Draining) {
            return Err(Refused::Closed);
        }
        queue.append(command, Queued::Small(frame), Lane::Handshake);
        queue.stage = Stage::Finishing(reason);
        queue.waiting.wake_first();
        let wake_up = queue.wake_writer.clone();
        drop(queue);
        wake(wake_up);
        Ok(())
    }

    /// Accepts nothing new; what is queued is still written. Returns the position of the last message.
    pub fn drain(&self) -> u64 {
        let mut queue = self.queue.lock();
        if matches!(queue.stage, Stage::Accepting) {
            queue.stage = Stage::Draining;
        }
        queue.waiting.wake_first();
        queue.last_position
    }

    /// Accepts nothing from now on, because the connection ends for `reason`. Returns the reason for which it ends: if it was
    /// about to end for another one already, that one. The queue is [closed](Self::close) once the reason is set; until then
    /// a sender that is refused finds it in [`finishing`](Self::finishing).
    pub fn stop(&self, reason: DisconnectReason) -> DisconnectReason {
        let mut queue = self.queue.lock();
        match &queue.stage {
            Stage::Finishing(first) => first.clone(),
            Stage::Closed => reason,
            Stage::Accepting | Stage::Draining => {
                queue.stage = Stage::Finishing(reason.clone());
                reason
            }
        }
    }

    /// The reason for which the connection will end once everything is written, if there is one.
    pub fn finishing(&self) -> Option<DisconnectReason> {
        match &self.queue.lock().stage {
            Stage::Finishing(reason) => Some(reason.clone()),
            _ => None,
        }
    }

    /// Whether the next batch is small, so that waiting a moment for more frames pays.
    pub fn next_is_small(&self) -> bool {
        let queue = self.queue.lock();
        queue.batches.len() == 1 && queue.batches.front().is_some_and(|batch| batch.bytes().len() < SMALL_BATCH)
    }

    /// For the writer: the next batch. Without one, no wake-up is sent for the next.
    pub fn pop(&self) -> Option<Batch> {
        self.queue.lock().batches.pop_front()
    }

    /// For the writer: the next batch. Without one, a wake-up is sent for the next.
    pub fn pop_or_idle(&self) -> Result<Batch, Idle> {
        let mut queue = self.queue.lock();
        let batch = queue.batches.pop_front();
        queue.writer_idle = batch.is_none();
        if let Some(batch) = batch {
            return Ok(batch);
        }
        let finish = match &queue.stage {
            Stage::Finishing(reason) => Some(reason.clone()),
            _ => None,
        };
        Err(Idle { keeps_buffers: !queue.spare.is_empty(), finish })
    }

    /// Releases the buffers that were kept for later batches.
    pub fn release_spare(&self) {
        let spare = mem::take(&mut self.queue.lock().spare);
        drop(spare);
    }

    /// For the writer: the batch that it took was written. There is room again.
    pub fn written(&self, batch: Batch) {
        let (length, messages, answer_bytes) = (batch.bytes().len(), batch.messages, batch.answer_bytes);
        let mut unused = batch.into_spare();
        let mut queue = self.queue.lock();
        if !matches!(queue.stage, Stage::Closed) {
            queue.bytes = queue.bytes.saturating_sub(length);
            queue.messages = queue.messages.saturating_sub(messages);
            queue.answer_bytes = queue.answer_bytes.saturating_sub(answer_bytes);
            if queue.spare.len() < SPARE_BUFFERS {
                queue.spare.extend(unused.take());
            }
            queue.wake_waiting_sender(self.high_water_mark);
        }
        drop(queue);
        drop(unused);
    }

    /// For the writer: the batch that it took could not be written, and the connection is about to end for that.
    pub fn not_written(&self, batch: Batch) {
        let mut queue = self.queue.lock();
        // The statistics still count it as queued.
        if !matches!(queue.stage, Stage::Closed) {
            queue.batches.push_front(batch);
        }
    }

    /// Refuses everything from now on and wakes the senders that wait. Returns what was queued, to be dropped outside the
    /// lock.
    pub fn close(&self) -> [VecDeque<Batch>; 2] {
        let mut queue = self.queue.lock();
        queue.stage = Stage::Closed;
        (queue.bytes, queue.messages, queue.answer_bytes) = (0, 0, 0);
        let garbage = [mem::take(&mut queue.batches), mem::take(&mut queue.held)];
        let spare = mem::take(&mut queue.spare);
        queue.waiting.wake_first();
        let wake_up = queue.wake_writer.take();
        drop(queue);
        drop((spare, wake_up));
        self.progress.close();
        garbage
    }

    /// How many bytes and messages wait.
    pub fn size(&self) -> (usize, usize) {
        let queue = self.queue.lock();
        (queue.bytes, queue.messages)
    }
}

impl Queue {
    /// Wakes the sender that has waited longest if there is room for it.
    ///
    /// It is woken when half of the mark is free: if it were woken for each written batch, it and the writer would take
    /// turns sleeping, which costs more than the rest. But the writer must not run out of work meanwhile.
    fn wake_waiting_sender(&mut self, high_water_mark: usize) {
        if self.bytes <= high_water_mark / 2 || (self.bytes < high_water_mark && self.batches.len() <= 1) {
            self.waiting.wake_first();
        }
    }

    /// Adds a frame. Returns its position.
    fn append(&mut self, command: Command, frame: Queued<'_>, lane: Lane) -> u64 {
        let answer_bytes = if lane == Lane::Answer { frame.len() } else { 0 };
        let has_position = lane != Lane::Handshake;
        self.bytes += frame.len();
        self.messages += 1;
        self.answer_bytes += answer_bytes;
        let batches = if self.open || lane == Lane::Handshake { &mut self.batches } else { &mut self.held };
        match frame {
            Queued::Small(frame) => {
                if !batches.back_mut().is_some_and(|batch| batch.append(command, frame, has_position)) {
                    let mut batch = Batch::small(self.spare.pop().unwrap_or_default(), has_position);
                    batch.append(command, frame, has_position);
                    batches.push_back(batch);
                }
            }
            Queued::Large(frame) => batches.push_back(Batch::large(command, frame, has_position)),
            Queued::Shared(frame) => batches.push_back(Batch::shared(command, frame, has_position)),
        }
        if let Some(batch) = batches.back_mut() {
            batch.count(answer_bytes);
        }
        if !has_position {
            return 0;
        }
        self.last_position += 1;
        self.last_position
    }

    /// The channel to wake the writer with, if it must be woken for a frame of this lane. A writer that is writing looks
    /// again by itself.
    fn take_wake_up(&mut self, lane: Lane) -> Option<Sender<()>> {
        let wakes = (self.open || lane == Lane::Handshake) && mem::take(&mut self.writer_idle);
        if wakes { self.wake_writer.clone() } else { None }
    }
}

/// Wakes the writer, outside the lock. If a wake-up waits in the channel already, it is enough.
fn wake(wake_up: Option<Sender<()>>) {
    if let Some(wake_up) = wake_up {
        let _ = wake_up.try_send(());
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests;
