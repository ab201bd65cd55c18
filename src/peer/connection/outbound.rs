//! The outbound queue: frames that wait to be written, bounded in bytes.
//!
//! Senders append small frames to the last batch while it waits, and the writer thread takes whole batches: one system
//! call and one lock for many messages. One lock protects all batches. Senders can add frames to the last batch until
//! the writer takes it, and all batches are dropped at once when the connection ends. A wake-up channel tells the
//! writer that there is something to take.

mod waiting;

use super::batch::{Batch, SMALL_BATCH, SpareBuffer};
use super::send_progress::SendProgress;
use crate::peer::DisconnectReason;
use crate::peer::sync::Mutex;
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
pub(in crate::peer) const SMALL_FRAME: usize = 40 * 1024;

/// How many bytes of automatic answers may wait when the program's messages have taken all the room. A remote that
/// requests more answers than this without reading any is misbehaving, and the peer disconnects.
const ANSWER_ROOM: usize = 16 * 1024;

/// How many buffers of written batches are kept for later batches. With the default high-water mark, a sender fills
/// this many batches between two waits.
const SPARE_BUFFERS: usize = 3;

/// The queue of one peer.
#[derive(Debug)]
pub(in crate::peer) struct Outbound {
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
    /// Set just before the reason for the end is recorded. From then on `push_last` is refused.
    stopped: bool,
    /// The bytes of the frames that are queued or that the writer is writing.
    bytes: usize,
    messages: usize,
    /// How many of the bytes belong to automatic answers.
    answer_bytes: usize,
    /// The position of the last message. Messages are numbered from 1 in the order in which they are queued. Messages
    /// of the handshake have no position.
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
    Finishing(Box<DisconnectReason>),
    Closed,
}

/// An encoded frame on its way into the queue.
pub(in crate::peer) enum Queued<'a> {
    /// A small frame, which is copied into a batch.
    Small(&'a [u8]),
    /// A large frame, which is kept as it is.
    Large(Vec<u8>),
    /// A large frame that other peers may send too.
    Shared(Bytes),
}

impl Queued<'_> {
    pub fn len(&self) -> usize {
        match self {
            Self::Small(bytes) => bytes.len(),
            Self::Large(bytes) => bytes.len(),
            Self::Shared(bytes) => bytes.len(),
        }
    }
}

/// The kind of a queued message: decides whether it waits for the handshake and how much room it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::peer) enum Lane {
    /// A message of the handshake, or the last `reject`. It does not wait for the handshake, is accepted even if the
    /// queue is full, and has no position.
    Handshake,
    /// An automatic answer. It waits for the handshake. It may use [`ANSWER_ROOM`] beyond the limit, so that a remote
    /// is not disconnected because the program has filled the queue.
    Answer,
    /// A message of the program, or a ping. It waits for the handshake.
    Ordinary,
}

/// Why a frame was not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::peer) enum Refused {
    Full { queued: usize, limit: usize },
    Closed,
    Timeout,
}

/// There is nothing to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::peer) struct Idle {
    /// Whether buffers are kept that can be [released](Outbound::release_spare) after a while.
    pub keeps_buffers: bool,
    /// The reason for which the connection is to end now, because everything is written.
    pub finish: Option<DisconnectReason>,
}

/// Whether a sender waits for room.
#[derive(Debug, Clone, Copy)]
pub(in crate::peer) enum Wait {
    /// The sender does not wait. The frame is queued if it fits below the limit.
    No,
    /// The sender waits at most this long until the queue is below the high-water mark and no earlier sender waits.
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

    /// Queues a frame. Returns its position, or 0 for a message of the handshake.
    pub fn push(&self, command: Command, frame: Queued<'_>, lane: Lane, wait: Wait) -> Result<u64, Refused> {
        let mut queue = self.queue.lock();
        if let Wait::AtMost(timeout) = wait
            && (queue.bytes >= self.high_water_mark || !queue.waiting.is_empty())
        {
            // Reading the clock takes a fifth of the time that queueing a small message takes, so only a sender that
            // must wait reads it.
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
        // When almost nothing waits, a frame of any size is accepted. Without this rule, a frame larger than the limit
        // could never be sent on a connection on which a small message is always being written.
        queue.bytes + length <= self.limit
            || queue.bytes <= (self.limit / 2).min(SMALL_BATCH)
            || match lane {
                Lane::Handshake => true,
                Lane::Answer => queue.answer_bytes + length <= ANSWER_ROOM,
                Lane::Ordinary => false,
            }
    }

    /// Lets the held messages through. Called when our `verack` is queued.
    pub fn open(&self) {
        let mut queue = self.queue.lock();
        queue.open = true;
        let mut held = mem::take(&mut queue.held);
        queue.batches.append(&mut held);
        let wake_up = queue.wake_writer.clone();
        drop(queue);
        wake(wake_up);
    }

    /// Wakes the writer for work outside the queue: announcements.
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
        if queue.stopped || !matches!(queue.stage, Stage::Accepting | Stage::Draining) {
            return Err(Refused::Closed);
        }
        queue.append(command, Queued::Small(frame), Lane::Handshake);
        queue.stage = Stage::Finishing(Box::new(reason));
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

    /// Prevents a later [`push_last`](Self::push_last) from setting another reason: it is refused from now on. Returns
    /// the reason for which the connection was about to end, if there is one. The queue is [closed](Self::close) once
    /// the reason is set.
    pub fn stop(&self) -> Option<DisconnectReason> {
        let mut queue = self.queue.lock();
        queue.stopped = true;
        match &queue.stage {
            Stage::Finishing(reason) => Some((**reason).clone()),
            _ => None,
        }
    }

    /// The reason for which the connection will end once everything is written, if there is one.
    pub fn finishing(&self) -> Option<DisconnectReason> {
        match &self.queue.lock().stage {
            Stage::Finishing(reason) => Some((**reason).clone()),
            _ => None,
        }
    }

    /// Whether the next batch is small, so that waiting a moment for more frames pays.
    pub fn next_is_small(&self) -> bool {
        let queue = self.queue.lock();
        queue.batches.len() == 1 && queue.batches.front().is_some_and(|batch| batch.bytes().len() < SMALL_BATCH)
    }

    /// For the writer: the next batch. If there is none, the writer does not count as idle, so that the next sender
    /// does not wake it.
    pub fn pop(&self) -> Option<Batch> {
        self.queue.lock().batches.pop_front()
    }

    /// For the writer: the next batch. If there is none, the writer counts as idle, so that the next sender wakes it.
    pub fn pop_or_idle(&self) -> Result<Batch, Idle> {
        let mut queue = self.queue.lock();
        let batch = queue.batches.pop_front();
        queue.writer_idle = batch.is_none();
        if let Some(batch) = batch {
            return Ok(batch);
        }
        let finish = match &queue.stage {
            Stage::Finishing(reason) => Some((**reason).clone()),
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

    /// For the writer: puts back a batch that could not be written. The connection is about to end because of that.
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

    /// How many bytes and messages are queued or being written.
    pub fn size(&self) -> (usize, usize) {
        let queue = self.queue.lock();
        (queue.bytes, queue.messages)
    }
}

impl Queue {
    /// Wakes the sender that has waited longest if there is room for it.
    ///
    /// The sender is woken when the queue is down to half of the high-water mark. Waking it after every batch would
    /// make it and the writer sleep in turns, which costs more than the sending itself. But the writer must not run out
    /// of work meanwhile.
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
