//! The outbound queue: frames that wait to be written, bounded in bytes.
//!
//! Senders append small frames to the last batch, and the writer thread takes whole batches. The writer then needs one
//! system call and one locking of the queue for many messages. One lock protects all batches. With a lock for each
//! batch, a sender could append to a batch that the writer has just taken out of the queue, and the end of the
//! connection could not drop all batches in one step. A wake-up channel tells the writer that there is a batch to
//! write.

mod queue;
mod waiting;

pub(in crate::peer) use queue::{EncodedFrame, MessageKind, Refused};

use super::batch::{Batch, SMALL_BATCH};
use super::send_progress::SendProgress;
use crate::peer::disconnect::DisconnectReason;
use crate::peer::locks::{Condvar, Mutex};
use crate::wire::Command;
use crossbeam_channel::{Receiver, Sender, bounded};
use queue::{Queue, Stage};
use std::{
    collections::VecDeque,
    mem,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

/// A frame up to this size in bytes is copied into a batch of small frames; a larger one is a batch of its own.
pub(in crate::peer) const SMALL_FRAME: usize = 40 * 1024;

/// How many bytes of automatic answers may wait when the queue is full. If a remote requests more answers than this
/// without reading them, this side disconnects.
const ANSWER_ROOM: usize = 16 * 1024;

/// How many buffers of written batches are kept for later batches. A full batch of small frames has 80 KiB, so three
/// batches are about as much as the default high-water mark of 256 KiB.
const SPARE_BUFFERS: usize = 3;

/// The queue of one peer.
#[derive(Debug)]
pub(in crate::peer) struct Outbound {
    queue: Mutex<Queue>,
    progress: SendProgress,
    /// Notified when a batch is written, and when no more frames are accepted.
    room_freed: Condvar,
    /// `true` if the last frame of the connection is queued, see [`push_last`](Self::push_last). Set under the lock, so
    /// that a sender that is refused because of the last frame finds it set.
    last_is_queued: AtomicBool,
    limit: usize,
    high_water_mark: usize,
}

/// The result of [`Outbound::pop_or_idle`] if there is no batch to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::peer) struct Idle {
    /// `true` if the queue keeps spare buffers, which the writer [releases](Outbound::release_spare) if it stays idle.
    pub keeps_buffers: bool,
    /// The reason for which the connection must end now. `None` if it need not end.
    pub finish: Option<DisconnectReason>,
}

/// How long a sender waits for room in the queue.
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
            room_freed: Condvar::new(),
            last_is_queued: AtomicBool::new(false),
            limit,
            high_water_mark: high_water_mark.max(1),
        };
        (queue, woken)
    }

    pub fn progress(&self) -> &SendProgress {
        &self.progress
    }

    /// Queues a frame. Returns the position of its message: messages are numbered from 1 in the order in which they are
    /// queued. Returns 0 for [`MessageKind::Handshake`], which has no position.
    pub fn push(
        &self,
        command: Command,
        frame: EncodedFrame<'_>,
        kind: MessageKind,
        wait: Wait,
    ) -> Result<u64, Refused> {
        let mut queue = self.queue.lock();
        if let Wait::AtMost(timeout) = wait
            && (queue.bytes >= self.high_water_mark || !queue.waiting.is_empty())
        {
            // Reading the clock takes a fifth of the time that queueing a small message takes, so only a sender that
            // must wait reads it.
            let deadline = Instant::now().checked_add(timeout);
            let ready = |queue: &Queue| !matches!(queue.stage, Stage::Accepting) || queue.bytes < self.high_water_mark;
            if !waiting::wait(&mut queue, |queue| &mut queue.waiting, deadline, ready) {
                return Err(Refused::Timeout);
            }
        }
        let accepts = match queue.stage {
            Stage::Accepting => true,
            // Announcements and automatic answers are still queued. A remote that gets no pong could disconnect before
            // the queue is written.
            Stage::Draining => kind != MessageKind::Ordinary,
            Stage::Finishing(_) | Stage::Closed => false,
        };
        if !accepts {
            queue.waiting.wake_first();
            return Err(Refused::Closed);
        }
        if let Wait::No = wait
            && !self.has_room(&queue, frame.len(), kind)
        {
            return Err(Refused::Full { queued: queue.bytes, limit: self.limit });
        }
        let position = queue.append(command, frame, kind);
        if queue.bytes < self.high_water_mark {
            queue.waiting.wake_first();
        }
        let wake_up = queue.wake_up_if_idle(kind);
        drop(queue);
        wake(wake_up);
        Ok(position)
    }

    /// `true` if a frame of `length` bytes may be queued by a sender that does not wait.
    fn has_room(&self, queue: &Queue, length: usize, kind: MessageKind) -> bool {
        // When almost nothing waits, a frame of any size is accepted. If this check required an empty queue, a
        // frame larger than the limit could be refused every time on a busy connection, where some small message is
        // always queued.
        queue.bytes + length <= self.limit
            || self.is_almost_empty(queue)
            || match kind {
                MessageKind::Handshake | MessageKind::Announcement => true,
                MessageKind::Answer => queue.answer_bytes + length <= ANSWER_ROOM,
                MessageKind::Ordinary => false,
            }
    }

    /// `true` if an `inv` with collected announcements can be queued. Announcements are collected in the trickle queue
    /// until the trickle timer fires. If the `inv` cannot be queued, its items stay there. The size of the `inv` is not
    /// part of the check, so announcements can exceed the byte limit of the outbound queue by at most one `inv`.
    /// `false` also if the queue accepts no more announcements, because the connection is ending.
    pub fn has_room_for_announcements(&self) -> bool {
        self.announcement_room(&self.queue.lock()) == Some(true)
    }

    /// Waits until [`has_room_for_announcements`](Self::has_room_for_announcements) is `true`. Returns `false` if
    /// `deadline` passes first, or if the connection is ending.
    pub fn wait_for_announcement_room(&self, deadline: Option<Instant>) -> bool {
        let mut queue = self.queue.lock();
        let mut timed_out = false;
        loop {
            match self.announcement_room(&queue) {
                Some(false) if !timed_out => {}
                room => return room == Some(true),
            }
            match deadline {
                Some(deadline) => timed_out = self.room_freed.wait_until(&mut queue, deadline).timed_out(),
                None => self.room_freed.wait(&mut queue),
            }
        }
    }

    /// `None` if no announcement can be queued any more. An almost empty queue has room even if the limit is 0, see
    /// [`has_room`](Self::has_room).
    fn announcement_room(&self, queue: &Queue) -> Option<bool> {
        match queue.stage {
            Stage::Accepting | Stage::Draining => Some(queue.bytes < self.limit || self.is_almost_empty(queue)),
            Stage::Finishing(_) | Stage::Closed => None,
        }
    }

    fn is_almost_empty(&self, queue: &Queue) -> bool {
        queue.bytes <= (self.limit / 2).min(SMALL_BATCH)
    }

    /// `true` if the program can still queue messages.
    pub fn is_accepting(&self) -> bool {
        matches!(self.queue.lock().stage, Stage::Accepting)
    }

    /// Moves the frames that were held until our `verack` was queued, [`Queue::held`], to the batches that the writer
    /// takes. Called when our `verack` is queued. If another thread has called `push_last` or `decide_reason` just
    /// before, this method does nothing, and the held frames are never written. No frame may follow the last frame, and
    /// after `decide_reason` the connection is about to end.
    pub fn release_held(&self) {
        let mut queue = self.queue.lock();
        if matches!(queue.stage, Stage::Finishing(_)) {
            return;
        }
        queue.verack_queued = true;
        let mut held = mem::take(&mut queue.held);
        queue.batches.append(&mut held);
        let wake_up = queue.wake_writer.clone();
        drop(queue);
        wake(wake_up);
    }

    /// Wakes the writer, so that it checks when the announcements in the trickle queue are due. Adding an announcement
    /// to the trickle queue does not wake the writer by itself.
    pub fn wake_writer(&self) {
        let wake_up = self.queue.lock().wake_writer.clone();
        wake(wake_up);
    }

    /// `true` if our `verack` is queued. From then on, frames are no longer held.
    pub fn is_verack_queued(&self) -> bool {
        self.queue.lock().verack_queued
    }

    /// Queues the last frame of the connection. Frames that are still held for the handshake are never written. Every
    /// later frame is refused. When the last frame is written, the writer thread ends the connection for `reason`.
    pub fn push_last(&self, command: Command, frame: &[u8], reason: DisconnectReason) -> Result<(), Refused> {
        let mut queue = self.queue.lock();
        if !matches!(queue.stage, Stage::Accepting | Stage::Draining) {
            return Err(Refused::Closed);
        }
        queue.append(command, EncodedFrame::Small(frame), MessageKind::Handshake);
        queue.stage = Stage::Finishing(Box::new(reason));
        self.last_is_queued.store(true, Ordering::Release);
        queue.waiting.wake_first();
        let wake_up = queue.wake_writer.clone();
        drop(queue);
        self.room_freed.notify_all();
        wake(wake_up);
        Ok(())
    }

    /// `true` if [`push_last`](Self::push_last) has queued the last frame. The reader checks this before each frame, so
    /// this method takes no lock. When it is `true`, the reader handles no more frames.
    pub fn last_is_queued(&self) -> bool {
        self.last_is_queued.load(Ordering::Acquire)
    }

    /// Refuses new messages of the program, and pings, from now on. Queued frames are still written.
    pub fn drain(&self) {
        let mut queue = self.queue.lock();
        if matches!(queue.stage, Stage::Accepting) {
            queue.stage = Stage::Draining;
        }
        queue.waiting.wake_first();
    }

    /// The position of the last message.
    pub fn last_position(&self) -> u64 {
        self.queue.lock().last_position
    }

    /// Decides the reason for which the connection ends, and refuses every frame from now on. Returns `reason`, unless
    /// [`push_last`](Self::push_last) or an earlier call has decided another. `Shared::end` calls this method, then
    /// sets the reason for the end, then calls [`close`](Self::close).
    pub fn decide_reason(&self, reason: DisconnectReason) -> DisconnectReason {
        let mut queue = self.queue.lock();
        match &queue.stage {
            Stage::Accepting | Stage::Draining => queue.stage = Stage::Finishing(Box::new(reason.clone())),
            Stage::Finishing(decided) => return (**decided).clone(),
            Stage::Closed => {}
        }
        drop(queue);
        self.room_freed.notify_all();
        reason
    }

    /// The reason for which the connection is about to end. `None` if none is decided.
    pub fn decided_reason(&self) -> Option<DisconnectReason> {
        match &self.queue.lock().stage {
            Stage::Finishing(reason) => Some((**reason).clone()),
            _ => None,
        }
    }

    /// `true` if there is only one batch, and it is small. Then the writer waits a moment, because senders may add more
    /// frames.
    pub fn next_is_small(&self) -> bool {
        let queue = self.queue.lock();
        queue.batches.len() == 1 && queue.batches.front().is_some_and(|batch| batch.bytes().len() < SMALL_BATCH)
    }

    /// Takes the next batch, for the writer thread. If there is none, the writer does not count as idle, so the next
    /// sender does not wake it. Before it sleeps, the writer must therefore call `pop_or_idle`.
    pub fn pop(&self) -> Option<Batch> {
        self.queue.lock().batches.pop_front()
    }

    /// Takes the next batch, for the writer thread. If there is none, the writer counts as idle, so the next sender
    /// wakes it.
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

    /// Called by the writer thread after it has written a batch. Frees the room of the batch, and keeps its buffer.
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
        self.room_freed.notify_all();
        drop(unused);
    }

    /// Puts back a batch that the writer thread could not write. The connection ends soon because of the failed write.
    pub fn not_written(&self, batch: Batch) {
        let mut queue = self.queue.lock();
        // The counters still include this batch. It goes back into the queue, so that queue and counters agree until
        // `close` clears them together.
        if !matches!(queue.stage, Stage::Closed) {
            queue.batches.push_front(batch);
        }
    }

    /// Refuses every frame from now on and wakes the waiting senders. Returns the queued batches. The queue is no
    /// longer locked then, so the caller can drop them without delaying other threads.
    pub fn close(&self) -> [VecDeque<Batch>; 2] {
        let mut queue = self.queue.lock();
        if !matches!(queue.stage, Stage::Closed) {
            queue.unwritten = (queue.bytes, queue.messages);
        }
        queue.stage = Stage::Closed;
        (queue.bytes, queue.messages, queue.answer_bytes) = (0, 0, 0);
        let garbage = [mem::take(&mut queue.batches), mem::take(&mut queue.held)];
        let spare = mem::take(&mut queue.spare);
        queue.waiting.wake_first();
        let wake_up = queue.wake_writer.take();
        drop(queue);
        drop((spare, wake_up));
        self.room_freed.notify_all();
        self.progress.close();
        garbage
    }

    /// How many bytes and messages were not written when the connection ended. `(0, 0)` before the end.
    pub fn unwritten(&self) -> (usize, usize) {
        self.queue.lock().unwritten
    }

    /// How many bytes and messages are queued or being written.
    pub fn size(&self) -> (usize, usize) {
        let queue = self.queue.lock();
        (queue.bytes, queue.messages)
    }
}

/// Wakes the writer. Callers have released the lock. If the channel is full, it already holds a wake-up, and one is
/// enough.
fn wake(wake_up: Option<Sender<()>>) {
    if let Some(wake_up) = wake_up {
        let _ = wake_up.try_send(());
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests;
