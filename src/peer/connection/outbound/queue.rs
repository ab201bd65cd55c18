//! The content of the outbound queue: batches of frames, the bytes and messages in them, and the stage of the queue.
//!
//! [`Outbound`](super::Outbound) holds the lock, and decides which frames are accepted.

use super::waiting::WaitingSenders;
use crate::peer::connection::batch::{Batch, SpareBuffer};
use crate::peer::disconnect::DisconnectReason;
use crate::wire::Command;
use bytes::Bytes;
use crossbeam_channel::Sender;
use std::{collections::VecDeque, mem};

#[derive(Debug, Default)]
pub(super) struct Queue {
    pub batches: VecDeque<Batch>,
    /// The program's messages and automatic answers that wait until our `verack` is queued.
    pub held: VecDeque<Batch>,
    /// Our `verack` is queued. From then on no frame is added to `held`.
    pub verack_queued: bool,
    pub stage: Stage,
    /// The bytes of the frames that are queued or that the writer is writing.
    pub bytes: usize,
    pub messages: usize,
    /// `bytes` and `messages` when the connection ended.
    pub unwritten: (usize, usize),
    /// How many of the bytes belong to automatic answers, see [`MessageKind::Answer`].
    pub answer_bytes: usize,
    /// The position of the last message. Messages are numbered from 1 in the order in which they are queued. Messages
    /// of the handshake have no position.
    pub last_position: u64,
    pub waiting: WaitingSenders,
    /// Emptied buffers for later batches. Allocating one for each batch would cost as much as filling it.
    pub spare: Vec<SpareBuffer>,
    /// The writer thread found the queue empty and waits for a wake-up.
    pub writer_idle: bool,
    /// `None` after the end, so that a handle of an ended peer does not keep the channel in memory.
    pub wake_writer: Option<Sender<()>>,
}

#[derive(Debug, Default)]
pub(super) enum Stage {
    #[default]
    Accepting,
    /// New messages of the program, and pings, are refused. Automatic answers are still accepted, and queued frames are
    /// still written.
    Draining,
    /// Every new frame is refused. The field is the reason for the end.
    /// [`Outbound::decide_reason`](super::Outbound::decide_reason) sets this stage just before the end.
    /// [`Outbound::push_last`](super::Outbound::push_last) sets it too: the connection then ends when the writer thread
    /// has written all batches.
    Finishing(Box<DisconnectReason>),
    Closed,
}

impl Queue {
    /// Wakes the sender that has waited longest if there is room for it.
    ///
    /// The sender is woken when the queue is down to half of the high-water mark. If it were woken after every batch,
    /// it and the writer would sleep in turns, which costs more than the sending itself. It is woken earlier if at most
    /// one batch is left, so that the writer does not run out of work.
    pub fn wake_waiting_sender(&mut self, high_water_mark: usize) {
        if self.bytes <= high_water_mark / 2 || (self.bytes < high_water_mark && self.batches.len() <= 1) {
            self.waiting.wake_first();
        }
    }

    /// Adds a frame. Returns its position, or 0 for [`MessageKind::Handshake`].
    pub fn append(&mut self, command: Command, frame: EncodedFrame<'_>, kind: MessageKind) -> u64 {
        let answer_bytes = if kind == MessageKind::Answer { frame.len() } else { 0 };
        let has_position = kind != MessageKind::Handshake;
        self.bytes += frame.len();
        self.messages += 1;
        self.answer_bytes += answer_bytes;
        let batches =
            if self.verack_queued || kind == MessageKind::Handshake { &mut self.batches } else { &mut self.held };
        match frame {
            EncodedFrame::Small(frame) => {
                if !batches.back_mut().is_some_and(|batch| batch.append(command, frame, has_position)) {
                    let mut batch = Batch::small(self.spare.pop().unwrap_or_default(), has_position);
                    batch.append(command, frame, has_position);
                    batches.push_back(batch);
                }
            }
            EncodedFrame::Large(frame) => batches.push_back(Batch::large(command, frame, has_position)),
            EncodedFrame::Shared(frame) => batches.push_back(Batch::shared(command, frame, has_position)),
        }
        if let Some(batch) = batches.back_mut() {
            batch.add_message(answer_bytes);
        }
        if !has_position {
            return 0;
        }
        self.last_position += 1;
        self.last_position
    }

    /// The wake-up channel of the writer, if the writer must be woken for a frame of this kind. A writer that is not
    /// idle checks the queue again by itself.
    pub fn wake_up_if_idle(&mut self, kind: MessageKind) -> Option<Sender<()>> {
        let wakes = (self.verack_queued || kind == MessageKind::Handshake) && mem::take(&mut self.writer_idle);
        if wakes { self.wake_writer.clone() } else { None }
    }
}

/// An encoded frame that is to be queued.
pub(in crate::peer) enum EncodedFrame<'a> {
    /// A small frame, which is copied into a batch.
    Small(&'a [u8]),
    /// A large frame, which is kept as it is.
    Large(Vec<u8>),
    /// A large frame whose bytes belong to a `Frame` of the program. Several peers of the program can queue it without
    /// copying the bytes.
    Shared(Bytes),
}

impl EncodedFrame<'_> {
    pub fn len(&self) -> usize {
        match self {
            Self::Small(bytes) => bytes.len(),
            Self::Large(bytes) => bytes.len(),
            Self::Shared(bytes) => bytes.len(),
        }
    }
}

/// The kind of a queued message. It decides whether the message waits for the handshake, and how much of the queue it
/// may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::peer) enum MessageKind {
    /// A message of the handshake, or the `reject` after which this side disconnects, see
    /// [`Outbound::push_last`](super::Outbound::push_last). It does not wait for the handshake, is accepted even if the
    /// queue is full, and has no position.
    Handshake,
    /// An automatic answer: a reply that the library sends by itself, such as a `pong`. It waits for the handshake. It
    /// is accepted even if the queue is full, as long as all automatic answers in the queue, this one included, have at
    /// most [`ANSWER_ROOM`](super::ANSWER_ROOM) bytes together. The peer can therefore answer a remote even if the
    /// program has filled the queue.
    Answer,
    /// An `inv` with collected announcements, see
    /// [`Outbound::has_room_for_announcements`](super::Outbound::has_room_for_announcements). It is accepted while the
    /// queue drains, too. [`Outbound::push`](super::Outbound::push) accepts it even if the queue has reached its byte
    /// limit, so its sender calls [`has_room_for_announcements`](super::Outbound::has_room_for_announcements)
    /// before each `inv`.
    Announcement,
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
