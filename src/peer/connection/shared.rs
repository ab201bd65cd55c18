//! The state that the threads and the handles of one peer share.
//!
//! A thread holds one of these locks at a time, or takes them in the order of the fields of [`Shared`], those in `kept`
//! last. No lock is held while a callback or other code of the program runs.

use super::counters::Counters;
use super::lifecycle::Lifecycle;
use super::outbound::{EncodedFrame, MessageKind, Outbound, Refused, SMALL_FRAME, Wait};
use super::program::DagOfHandles;
use super::questions::Questions;
use crate::peer::address::{Direction, PeerAddress};
use crate::peer::disconnect::DisconnectReason;
use crate::peer::error::QueueError;
use crate::peer::locks::Mutex;
use crate::peer::logging::LIFE;
use crate::peer::panic::catch_panic;
use crate::peer::rules::announcements::{Announcements, Announcing};
use crate::peer::rules::deadlines::{Commands, Deadlines, Due};
use crate::peer::rules::handshake::Handshake;
use crate::peer::rules::ping::Pings;
use crate::peer::rules::score::Score;
use crate::peer::settings::Settings;
use crate::peer::stats::{Remote, Stats};
use crate::wire::{
    Command, Encode, Frame, GetBlockInvs, GetHeaders, HEADER_SIZE, Hash, Reject, Services, encode_frame, encode_sized,
};
use crossbeam_channel::{Receiver, Sender, bounded};
use log::info;
use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

/// How long the connection stays open at most until its last `reject` is written.
pub(in crate::peer) const LAST_REJECT: Duration = Duration::from_secs(2);

/// A scratch buffer with a larger capacity than this, in bytes, is dropped after use.
const SCRATCH_KEPT: usize = 4 * SMALL_FRAME;

thread_local! {
    /// The buffer in which this thread encodes a small frame before the frame is appended to a batch.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The state of one peer, shared by its threads and handles.
pub(in crate::peer) struct Shared {
    pub id: u64,
    settings: Arc<Settings>,
    pub direction: Direction,
    pub address: PeerAddress,
    /// The local address. `start` sets it before it starts the threads.
    pub local_addr: Option<SocketAddr>,
    pub connected_at: SystemTime,
    /// The requests for which there is a stall rule.
    pub timed_requests: Commands,
    /// The commands of the messages that would answer a pending request, as bits of [`Commands`].
    awaited: AtomicU32,
    /// How many handles the program has. The first is the one that the constructor of the peer returns.
    pub handles: AtomicUsize,
    kept: Arc<KeptByReceipts>,
    pub questions: Questions,
    /// The last `getblockinvs` and `getheaders`, which are not queued twice in a row.
    pub last_requests: Mutex<LastRequests>,
    pub announcements: Mutex<Announcing>,
    /// The reader's counters.
    pub received: Counters,
    /// The writer's counters.
    pub sent: Counters,
    pub state: Mutex<State>,
    pub score: Mutex<Score>,
    pub dag: DagOfHandles,
    /// `None` after the end, so that a handle of an ended peer keeps little memory.
    clock: Mutex<Option<Box<Clock>>>,
    /// Called and dropped when the connection ends, so that a handle of an ended peer keeps no file descriptor open.
    shutdown: Mutex<Option<Shutdown>>,
}

/// The part of [`Shared`] that each receipt keeps. It is one allocation, because a sender counts a reference to it up
/// and down for each message. After the end it is small, see [`Outbound::close`].
pub(in crate::peer) struct KeptByReceipts {
    pub lifecycle: Lifecycle,
    pub outbound: Outbound,
}

/// A function that shuts the connection down. With `true` it resets the connection instead of closing it.
pub(in crate::peer) type Shutdown = Box<dyn Fn(bool) + Send + Sync>;

/// The state that received messages change. The writer and callers of `Peer::ping` also change `pings`.
pub(in crate::peer) struct State {
    pub handshake: Handshake,
    pub remote: Option<Remote>,
    pub pings: Pings,
    pub wants_headers: bool,
}

/// The last requests that the program queued with `push_get_block_invs` and `push_get_headers`. A request equal to the
/// last one is not queued.
#[derive(Debug, Default)]
pub(in crate::peer) struct LastRequests {
    pub block_invs: Option<Box<GetBlockInvs>>,
    pub headers: Option<Box<GetHeaders>>,
}

/// The deadlines, and what is needed to wake the pinger when one of them becomes earlier.
struct Clock {
    deadlines: Deadlines,
    /// The time until which the pinger sleeps. `None` while it does not sleep or has no deadline.
    wake_at: Option<Instant>,
    wake_pinger: Sender<()>,
}

/// The receivers of the wake-up channels of the writer thread and of the pinger thread.
pub(in crate::peer) struct WakeUps {
    pub writer: Receiver<()>,
    pub pinger: Receiver<()>,
}

impl Shared {
    pub fn new(
        settings: Arc<Settings>,
        direction: Direction,
        address: PeerAddress,
        shutdown: Shutdown,
    ) -> (Self, WakeUps) {
        let half_life = settings.score_limit().and_then(|limit| limit.half_life);
        let (outbound, work) = Outbound::new(settings.queue_limit(), settings.high_water_mark());
        let (wake_pinger, pinger) = bounded(1);
        let announcements =
            Announcements::new(settings.known_inventory(), settings.inventory_queue(), settings.trickle_interval());
        let state = State {
            handshake: Handshake::new(direction, settings.subnetwork(), settings.protocol_version()),
            remote: None,
            pings: Pings::default(),
            wants_headers: false,
        };
        let shared = Self {
            id: settings.node().next_peer_id(),
            direction,
            address,
            local_addr: None,
            connected_at: SystemTime::now(),
            timed_requests: settings.stall_rules().iter().map(|rule| rule.request).collect(),
            awaited: AtomicU32::new(0),
            handles: AtomicUsize::new(1),
            kept: Arc::new(KeptByReceipts { lifecycle: Lifecycle::new(), outbound }),
            questions: Questions::default(),
            last_requests: Mutex::default(),
            announcements: Mutex::new(Announcing::Open(Box::new(announcements))),
            received: Counters::default(),
            sent: Counters::default(),
            state: Mutex::new(state),
            score: Mutex::new(Score::new(half_life, Instant::now())),
            dag: DagOfHandles::default(),
            clock: Mutex::new(Some(Box::new(Clock {
                deadlines: Deadlines::new(settings.timeouts(), Instant::now()),
                wake_at: None,
                wake_pinger,
            }))),
            shutdown: Mutex::new(Some(shutdown)),
            settings,
        };
        (shared, WakeUps { writer: work, pinger })
    }

    pub fn lifecycle(&self) -> &Lifecycle {
        &self.kept.lifecycle
    }

    pub fn outbound(&self) -> &Outbound {
        &self.kept.outbound
    }

    pub fn kept_by_receipts(&self) -> &Arc<KeptByReceipts> {
        &self.kept
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Ends the connection for `reason`, unless it has ended already: the first reason wins. Never blocks and never
    /// panics, because it runs in destructors. Returns `true` if this call has ended the connection.
    pub fn end(&self, reason: DisconnectReason) -> bool {
        // Decided under the lock of the queue, so that a sender that is refused from now on sees the same reason.
        let reason = self.outbound().decide_reason(reason);
        // The remote has stopped reading. After a close, the system would keep up to 4 MB of unsent bytes for a while.
        // A reset frees them at once.
        let reset = matches!(reason, DisconnectReason::WriteStalled { .. } | DisconnectReason::QueueFull { .. });
        if !self.lifecycle().end(reason) {
            return false;
        }
        let shutdown = self.shutdown.lock().take();
        // The program's stream, and its logger below, may panic. A panic must not skip the other steps. The closure is
        // dropped separately: if its destructor panicked while its own panic unwinds, the process would abort.
        let _ = catch_panic(|| shutdown.as_ref().map(|shutdown| shutdown(reset)));
        let _ = catch_panic(|| drop(shutdown));
        drop(self.outbound().close());
        let announcements = self.announcements.lock().close();
        let last_requests = std::mem::take(&mut *self.last_requests.lock());
        let clock = self.clock.lock().take();
        drop((announcements, last_requests, clock));
        if let Some(reason) = self.lifecycle().reason() {
            let _ = catch_panic(|| info!(target: LIFE, "{self}: {reason}"));
        }
        true
    }

    /// The reason for the end, or `None` if the connection has not ended.
    pub fn ended(&self) -> Option<&DisconnectReason> {
        self.lifecycle().reason()
    }

    /// The reason for which the connection has ended or is about to end. The caller must know that one of the two is
    /// true.
    pub fn end_reason(&self) -> DisconnectReason {
        // `ended` is called twice, because the connection may end between the first call and `decided_reason`.
        let reason =
            self.ended().cloned().or_else(|| self.outbound().decided_reason()).or_else(|| self.ended().cloned());
        reason.unwrap_or(DisconnectReason::Local)
    }

    /// Sends `reject` as the last message and ends the connection once it is written, at the latest after
    /// [`LAST_REJECT`].
    pub fn end_with(&self, reject: &Reject, reason: DisconnectReason) -> Result<(), QueueError> {
        let mut frame = Vec::new();
        encode_frame(reject, self.settings().network(), &mut frame)?;
        self.outbound()
            .push_last(Command::Reject, &frame, reason.clone())
            .map_err(|_| QueueError::Closed(self.end_reason()))?;
        let deadline = Instant::now() + LAST_REJECT;
        self.with_deadlines(|deadlines| deadlines.end_at(deadline, reason));
        Ok(())
    }

    /// Queues a message of the program. Returns its position.
    pub fn queue<M: Encode + ?Sized>(&self, message: &M, wait: Wait) -> Result<u64, QueueError> {
        self.queue_in(MessageKind::Ordinary, message, wait)
    }

    /// Queues a message that the library sends by itself, such as a pong.
    pub fn answer<M: Encode + ?Sized>(&self, kind: MessageKind, message: &M) -> Result<(), DisconnectReason> {
        match self.queue_in(kind, message, Wait::No) {
            Ok(_) => Ok(()),
            Err(QueueError::Closed(reason)) => Err(reason),
            Err(_) => Err(DisconnectReason::QueueFull { command: message.command() }),
        }
    }

    /// Queues a message. Returns its position.
    pub fn queue_in<M: Encode + ?Sized>(&self, kind: MessageKind, message: &M, wait: Wait) -> Result<u64, QueueError> {
        let network = self.settings().network();
        let length = message.encoded_len();
        if HEADER_SIZE + length > SMALL_FRAME {
            let mut frame = Vec::new();
            encode_sized(message, length, network, &mut frame)?;
            return self.push(message.command(), EncodedFrame::Large(frame), kind, wait);
        }
        let queue = |scratch: &mut Vec<u8>| {
            scratch.clear();
            encode_sized(message, length, network, scratch)?;
            let pushed = self.push(message.command(), EncodedFrame::Small(scratch), kind, wait);
            if scratch.capacity() > SCRATCH_KEPT {
                *scratch = Vec::new();
            }
            pushed
        };
        // While the buffer is in use, it is taken out of the thread-local value. A logger or an encoder of the program
        // may queue another message meanwhile, and then finds an empty buffer. The thread-local value may be destroyed
        // already, if this runs in the destructor of another one.
        let mut scratch = SCRATCH.try_with(Cell::take).unwrap_or_default();
        let result = queue(&mut scratch);
        let _ = SCRATCH.try_with(|kept| kept.set(scratch));
        result
    }

    /// Queues an encoded frame. Returns its position.
    pub fn queue_frame(&self, frame: &Frame, wait: Wait) -> Result<u64, QueueError> {
        let peer = self.settings().network();
        if frame.network() != peer {
            return Err(QueueError::Network { frame: frame.network(), peer });
        }
        let queued = match frame.as_bytes() {
            small if small.len() <= SMALL_FRAME => EncodedFrame::Small(small),
            _ => EncodedFrame::Shared(frame.shared()),
        };
        self.push(frame.command(), queued, MessageKind::Ordinary, wait)
    }

    fn push(
        &self,
        command: Command,
        frame: EncodedFrame<'_>,
        kind: MessageKind,
        wait: Wait,
    ) -> Result<u64, QueueError> {
        let message = frame.len();
        self.outbound().push(command, frame, kind, wait).map_err(|refused| match (refused, wait) {
            (Refused::Full { queued, limit }, _) => QueueError::Full { queued, limit, message },
            (Refused::Closed, _) => QueueError::Closed(self.end_reason()),
            (Refused::Timeout, Wait::AtMost(waited)) => QueueError::Timeout { waited },
            (Refused::Timeout, Wait::No) => QueueError::Timeout { waited: Duration::ZERO },
        })
    }

    /// Changes the deadlines. Wakes the pinger if a deadline is now earlier than the end of its sleep. Does nothing
    /// after the end of the connection.
    pub fn with_deadlines<T: Default>(&self, change: impl FnOnce(&mut Deadlines) -> T) -> T {
        let mut guard = self.clock.lock();
        let Some(clock) = guard.as_deref_mut() else { return T::default() };
        let result = change(&mut clock.deadlines);
        let earlier = match (clock.deadlines.next(), clock.wake_at) {
            (Some(next), Some(wake_at)) => next < wake_at,
            (next, None) => next.is_some(),
            (None, _) => false,
        };
        let wake_up = earlier.then(|| clock.wake_pinger.clone());
        drop(guard);
        if let Some(wake_up) = wake_up {
            // If the channel is full, it already holds a wake-up, and one is enough.
            let _ = wake_up.try_send(());
        }
        result
    }

    /// Called by the writer just before it writes a request that has a stall rule.
    pub fn about_to_write(&self, request: Command) {
        self.with_deadlines(|deadlines| {
            deadlines.about_to_write(request);
            self.awaited.store(deadlines.awaited().bits(), Ordering::Release);
        });
    }

    /// `true` if a message of this type would answer a pending request. Called for every message, so it takes no lock.
    pub fn is_awaited(&self, command: Command) -> bool {
        Commands::from_bits(self.awaited.load(Ordering::Acquire)).contains(command)
    }

    /// Called when a message arrives that may answer a pending request.
    pub fn answered(&self, answer: Command) {
        self.with_deadlines(|deadlines| {
            deadlines.answered(answer);
            self.awaited.store(deadlines.awaited().bits(), Ordering::Release);
        });
    }

    /// Called by the pinger. Returns the action that is due, or the time until which the pinger can sleep.
    pub fn next_due(&self, now: Instant) -> Result<Due, Option<Instant>> {
        let mut guard = self.clock.lock();
        let Some(clock) = guard.as_deref_mut() else { return Err(None) };
        // The pinger may have been woken by its timer or by the channel. In both cases, it woke up late if this time is
        // long past.
        if let Some(asked) = clock.wake_at.take() {
            clock.deadlines.pinger_woke(asked, now);
        }
        match clock.deadlines.due(now) {
            Some(due) => Ok(due),
            None => {
                clock.wake_at = clock.deadlines.next();
                Err(clock.wake_at)
            }
        }
    }

    pub fn negotiated_version(&self) -> Option<i32> {
        self.state.lock().remote.as_ref().map(|remote| remote.negotiated_version)
    }

    pub fn set_selected_tip(&self, tip: Hash) {
        if let Some(remote) = &mut self.state.lock().remote {
            remote.selected_tip = tip;
        }
    }

    pub fn offers(&self, services: Services) -> bool {
        self.settings().services().contains(services)
    }

    pub fn stats(&self) -> Stats {
        let (inventory_known, inventory_queued) = self.announcements.lock().len();
        let state = self.state.lock();
        // The reader counts `version` and `verack` under this lock, so the counters agree with the state of the
        // handshake.
        let (received, last_receive) = self.received.get();
        let (sent, last_send) = self.sent.get();
        let (queued_bytes, queued_messages) = self.outbound().size();
        Stats {
            id: self.id,
            address: self.address.clone(),
            direction: self.direction,
            connected_at: self.connected_at,
            handshake_done: state.handshake.is_done(),
            remote: state.remote.clone(),
            received,
            sent,
            last_receive,
            last_send,
            last_ping_nonce: state.pings.last_nonce(),
            last_ping: state.pings.last_sent(),
            last_rtt: state.pings.last_rtt(),
            min_rtt: state.pings.min_rtt(),
            queued_bytes,
            queued_messages,
            inventory_known,
            inventory_queued,
            wants_headers: state.wants_headers,
            score: self.score.lock().get(Instant::now()),
        }
    }
}

impl std::fmt::Display for Shared {
    /// Writes the address and the direction as the original does: `address (inbound)`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.address, self.direction)
    }
}
