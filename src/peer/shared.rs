//! What the threads and the handles of one peer share.
//!
//! Locks are taken one at a time, or in the order of the fields below. None is held while a callback runs, or while a
//! thread waits for anything but another holder, but for what is done once at the beginning.

use super::capture::Entry;
use super::config::Settings;
use super::counters::Counters;
use super::lifecycle::Lifecycle;
use super::logging::LIFE;
use super::outbound::{Lane, Outbound, Queued, Refused, SMALL_FRAME, Wait};
use super::panic::catch_panic;
use super::questions::Questions;
use super::receipt::Receipt;
use super::rules::deadlines::{Commands, Deadlines, Due};
use super::rules::handshake::Handshake;
use super::rules::inventory::Announcements;
use super::rules::ping::Pings;
use super::rules::score::Score;
use super::stats::Remote;
use super::sync::Mutex;
use super::{Config, Direction, DisconnectReason, Peer, PeerAddress, QueueError, Stats};
use crate::wire::{
    Command, Encode, Frame, GetBlockInvs, GetHeaders, HEADER_SIZE, Hash, NetAddress, Reject, Services, Version,
    encode_frame, encode_sized,
};
use crossbeam_channel::{Receiver, Sender, bounded};
use log::info;
use std::cell::Cell;
use std::net::Ipv6Addr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// How long a connection that is to end waits for its last `reject` to be written.
pub(super) const LAST_REJECT: Duration = Duration::from_secs(2);

/// A scratch buffer with more room than this, in bytes, is not kept.
const SCRATCH_KEPT: usize = 4 * SMALL_FRAME;

thread_local! {
    /// Where small frames are encoded before they are appended to a batch.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The shared part of one peer.
pub(super) struct Shared {
    pub id: u64,
    pub config: Config,
    pub direction: Direction,
    pub address: PeerAddress,
    pub connected_at: SystemTime,
    /// The requests that are timed.
    pub timed_requests: Commands,
    /// The commands that would answer one that was sent.
    awaited: AtomicU32,
    /// How many handles the program has.
    pub handles: AtomicUsize,
    pub lifecycle: Arc<Lifecycle>,
    pub questions: Questions,
    ending_with_reject: AtomicBool,
    /// The last request of each filtered kind.
    pub last_requests: Mutex<LastRequests>,
    pub announcements: Mutex<Announcements>,
    /// The reader's counters.
    pub received: Counters,
    /// The writer's counters.
    pub sent: Counters,
    pub state: Mutex<State>,
    pub score: Mutex<Score>,
    clock: Mutex<Clock>,
    pub outbound: Arc<Outbound>,
    /// Called and dropped when the connection ends: a handle that is kept longer keeps no descriptor.
    shutdown: Mutex<Option<Shutdown>>,
}

/// Shuts the connection down; `true` resets it instead of closing it.
pub(super) type Shutdown = Box<dyn Fn(bool) + Send + Sync>;

/// What the reader keeps up to date.
pub(super) struct State {
    pub handshake: Handshake,
    pub remote: Option<Remote>,
    pub pings: Pings,
    pub wants_headers: bool,
}

/// What was asked for last, so that the same is not asked for twice in a row.
#[derive(Debug, Default)]
pub(super) struct LastRequests {
    pub block_invs: Option<GetBlockInvs>,
    pub headers: Option<GetHeaders>,
}

struct Clock {
    deadlines: Deadlines,
    /// The deadline until which the pinger sleeps.
    wake_at: Option<Instant>,
    /// `None` after the end, so that a handle of an ended peer does not keep the channel.
    wake_pinger: Option<Sender<()>>,
}

/// The ends of the channels that the threads own.
pub(super) struct Ends {
    pub work: Receiver<()>,
    pub pinger: Receiver<()>,
}

impl Shared {
    pub fn new(config: &Config, direction: Direction, address: PeerAddress, shutdown: Shutdown) -> (Self, Ends) {
        let settings = config.settings();
        let half_life = settings.score_limit.and_then(|limit| limit.half_life);
        let (outbound, work) = Outbound::new(settings.queue_limit, settings.high_water_mark);
        let (wake_pinger, pinger) = bounded(1);
        let announcements =
            Announcements::new(settings.known_inventory, settings.inventory_queue, settings.trickle_interval);
        let state = State {
            handshake: Handshake::new(direction, settings.subnetwork, settings.protocol_version),
            remote: None,
            pings: Pings::default(),
            wants_headers: false,
        };
        let shared = Self {
            id: config.next_peer_id(),
            config: config.clone(),
            direction,
            address,
            connected_at: SystemTime::now(),
            timed_requests: settings.stall_rules.iter().map(|rule| rule.request).collect(),
            awaited: AtomicU32::new(0),
            handles: AtomicUsize::new(0),
            lifecycle: Arc::new(Lifecycle::new()),
            questions: Questions::default(),
            ending_with_reject: AtomicBool::new(false),
            last_requests: Mutex::default(),
            announcements: Mutex::new(announcements),
            received: Counters::default(),
            sent: Counters::default(),
            state: Mutex::new(state),
            score: Mutex::new(Score::new(half_life, Instant::now())),
            clock: Mutex::new(Clock {
                deadlines: Deadlines::new(settings, Instant::now()),
                wake_at: None,
                wake_pinger: Some(wake_pinger),
            }),
            outbound: Arc::new(outbound),
            shutdown: Mutex::new(Some(shutdown)),
        };
        (shared, Ends { work, pinger })
    }

    /// Records something, if anything is recorded.
    pub fn capture(&self, entry: Entry<'_>) {
        if let Some(capture) = &self.settings().capture {
            capture.record(self.id, entry);
        }
    }

    pub fn settings(&self) -> &Settings {
        self.config.settings()
    }

    /// Ends the connection unless it has ended: the first reason wins. Never blocks and never panics, because it runs in
    /// destructors.
    pub fn end(&self, reason: DisconnectReason) {
        // A remote that has stopped reading does not read what the system still holds for it. Closing the connection would
        // keep up to 4 MB of unsent bytes for minutes; a reset frees them at once.
        let reset = matches!(reason, DisconnectReason::WriteStalled { .. } | DisconnectReason::QueueFull { .. });
        // A connection that is about to end for a reason ends for that reason, whatever happens first: senders may have
        // been refused with it already.
        let reason = self.outbound.stop(reason);
        if !self.lifecycle.end(reason) {
            return;
        }
        let shutdown = self.shutdown.lock().take();
        // The program's stream, and its logger below, may panic; the rest must be done all the same.
        let _ = catch_panic(|| shutdown.map(|shutdown| shutdown(reset)));
        drop(self.outbound.close());
        let announcements = self.announcements.lock().close();
        let wake_pinger = self.clock.lock().wake_pinger.take();
        drop((announcements, wake_pinger));
        if let Some(reason) = self.lifecycle.reason() {
            let _ = catch_panic(|| info!(target: LIFE, "{self}: {reason}"));
        }
    }

    /// Why the connection ended, if it has.
    pub fn ended(&self) -> Option<&DisconnectReason> {
        self.lifecycle.reason()
    }

    /// Why the connection ended, for a caller that knows that it has ended or is about to.
    pub fn end_reason(&self) -> DisconnectReason {
        // Asked again, because the connection may end between the first two looks.
        let reason = self.ended().cloned().or_else(|| self.outbound.finishing()).or_else(|| self.ended().cloned());
        reason.unwrap_or(DisconnectReason::Local)
    }

    /// Sends `reject` as the last message and ends the connection once it is written, at the latest after
    /// [`LAST_REJECT`].
    pub fn end_with(&self, reject: &Reject, reason: DisconnectReason) -> Result<(), QueueError> {
        let mut frame = Vec::new();
        encode_frame(reject, self.settings().network, &mut frame)?;
        self.outbound
            .push_last(Command::Reject, &frame, reason.clone())
            .map_err(|_| QueueError::Closed(self.end_reason()))?;
        self.ending_with_reject.store(true, Ordering::Release);
        let deadline = Instant::now() + LAST_REJECT;
        self.with_deadlines(|deadlines| deadlines.last_words(deadline, reason));
        Ok(())
    }

    /// Whether the last message is queued. The reader then calls no more callbacks.
    pub fn is_ending_with_reject(&self) -> bool {
        self.ending_with_reject.load(Ordering::Acquire)
    }

    /// Queues a message of the program.
    pub fn queue<M: Encode + ?Sized>(&self, message: &M, wait: Wait) -> Result<Receipt, QueueError> {
        self.queue_in(Lane::Ordinary, message, wait).map(|position| self.receipt(position))
    }

    /// Queues a message that the peer sends by itself.
    pub fn answer<M: Encode + ?Sized>(&self, lane: Lane, message: &M) -> Result<(), DisconnectReason> {
        match self.queue_in(lane, message, Wait::No) {
            Ok(_) => Ok(()),
            Err(QueueError::Closed(reason)) => Err(reason),
            Err(_) => Err(DisconnectReason::QueueFull { command: message.command() }),
        }
    }

    /// Queues a message. Returns its position.
    pub fn queue_in<M: Encode + ?Sized>(&self, lane: Lane, message: &M, wait: Wait) -> Result<u64, QueueError> {
        let network = self.settings().network;
        let length = message.encoded_len();
        if HEADER_SIZE + length > SMALL_FRAME {
            let mut frame = Vec::new();
            encode_sized(message, length, network, &mut frame)?;
            return self.push(message.command(), Queued::Large(frame), lane, wait);
        }
        let queue = |scratch: &mut Vec<u8>| {
            scratch.clear();
            encode_sized(message, length, network, scratch)?;
            let pushed = self.push(message.command(), Queued::Small(scratch), lane, wait);
            if scratch.capacity() > SCRATCH_KEPT {
                *scratch = Vec::new();
            }
            pushed
        };
        // Taken out while it is used, so that a logger or an encoder that queues another message finds an empty one. In the
        // destructor of a thread-local value it may be gone already.
        let mut scratch = SCRATCH.try_with(Cell::take).unwrap_or_default();
        let result = queue(&mut scratch);
        let _ = SCRATCH.try_with(|kept| kept.set(scratch));
        result
    }

    /// Queues a frame that is encoded already.
    pub fn queue_frame(&self, frame: &Frame, wait: Wait) -> Result<Receipt, QueueError> {
        let peer = self.settings().network;
        if frame.network() != peer {
            return Err(QueueError::Network { frame: frame.network(), peer });
        }
        let queued = match frame.as_bytes() {
            small if small.len() <= SMALL_FRAME => Queued::Small(small),
            _ => Queued::Shared(frame.shared()),
        };
        self.push(frame.command(), queued, Lane::Ordinary, wait).map(|position| self.receipt(position))
    }

    fn push(&self, command: Command, frame: Queued<'_>, lane: Lane, wait: Wait) -> Result<u64, QueueError> {
        self.outbound.push(command, frame, lane, wait).map_err(|refused| match (refused, wait) {
            (Refused::Full { queued, limit }, _) => QueueError::Full { queued, limit },
            (Refused::Closed, _) => QueueError::Closed(self.end_reason()),
            (Refused::Timeout, Wait::AtMost(waited)) => QueueError::Timeout { waited },
            (Refused::Timeout, Wait::No) => QueueError::Timeout { waited: Duration::ZERO },
        })
    }

    /// The receipt of the message at a position.
    pub fn receipt(&self, position: u64) -> Receipt {
        Receipt::new(position, Arc::clone(&self.outbound), Arc::clone(&self.lifecycle))
    }

    /// Changes the deadlines, and wakes the pinger if it would sleep too long.
    pub fn with_deadlines<T>(&self, change: impl FnOnce(&mut Deadlines) -> T) -> T {
        let mut clock = self.clock.lock();
        let result = change(&mut clock.deadlines);
        let earlier = match (clock.deadlines.next(), clock.wake_at) {
            (Some(next), Some(wake_at)) => next < wake_at,
            (next, None) => next.is_some(),
            (None, _) => false,
        };
        let wake_up = if earlier { clock.wake_pinger.clone() } else { None };
        drop(clock);
        if let Some(wake_up) = wake_up {
            // If a wake-up waits in the channel already, it is enough.
            let _ = wake_up.try_send(());
        }
        result
    }

    /// The writer is about to write a request whose answer has a deadline.
    pub fn about_to_write(&self, request: Command) {
        self.with_deadlines(|deadlines| {
            deadlines.about_to_write(request);
            self.awaited.store(deadlines.awaited().bits(), Ordering::Release);
        });
    }

    /// Whether a message of this type has to do with a deadline. Asked for every message, and mostly not so.
    pub fn is_awaited(&self, command: Command) -> bool {
        Commands::from_bits(self.awaited.load(Ordering::Acquire)).contains(command)
    }

    /// One that has arrived.
    pub fn answered(&self, answer: Command) {
        self.with_deadlines(|deadlines| {
            deadlines.answered(answer);
            self.awaited.store(deadlines.awaited().bits(), Ordering::Release);
        });
    }

    /// What is due, for the pinger, or until when it can sleep.
    pub fn next_due(&self, now: Instant) -> Result<Due, Option<Instant>> {
        let mut clock = self.clock.lock();
        // Whatever woke the pinger: if the time it asked for is long past, it woke up late.
        if let Some(asked) = clock.wake_at.take() {
            clock.deadlines.woke(asked, now);
        }
        match clock.deadlines.due(now) {
            Some(due) => Ok(due),
            None => {
                clock.wake_at = clock.deadlines.next();
                Err(clock.wake_at)
            }
        }
    }

    /// Our `version` message, with a nonce by which this node knows itself.
    pub fn version(&self) -> Version {
        let settings = self.settings();
        Version {
            protocol_version: settings.protocol_version,
            services: settings.services,
            time: unix_time(SystemTime::now()),
            subnetwork: settings.subnetwork,
            receiver: self.address.as_receiver(settings.proxy.as_deref()),
            sender: NetAddress { services: settings.services, ip: Ipv6Addr::UNSPECIFIED, port: 0 },
            nonce: self.config.new_nonce(),
            user_agent: self.config.user_agent().clone(),
            selected_tip: settings.dag.selected_tip(),
            relay_transactions: settings.relay_transactions,
        }
    }

    /// Takes down what the remote says of itself.
    pub fn introduce(state: &mut State, version: &Version, negotiated_version: i32) {
        state.remote = Some(Remote {
            user_agent: version.user_agent.clone(),
            services: version.services,
            advertised_version: version.protocol_version,
            negotiated_version,
            subnetwork: version.subnetwork,
            relay_transactions: version.relay_transactions,
            time_offset: version.time.saturating_sub(unix_time(SystemTime::now())),
            selected_tip: version.selected_tip,
        });
    }

    pub fn negotiated_version(&self) -> Option<i32> {
        self.state.lock().remote.as_ref().map(|remote| remote.negotiated_version)
    }

    pub fn set_selected_tip(&self, tip: Hash) {
        if let Some(remote) = &mut self.state.lock().remote {
            remote.selected_tip = tip;
        }
    }

    /// Whether the peer answers `getseltip` by itself.
    pub fn answers_selected_tip(&self) -> bool {
        self.settings().has_dag && self.settings().answer_selected_tip
    }

    pub fn offers(&self, services: Services) -> bool {
        self.settings().services.contains(services)
    }

    pub fn stats(&self) -> Stats {
        let (inventory_known, inventory_queued) = {
            let announcements = self.announcements.lock();
            (announcements.known_len(), announcements.waiting_len())
        };
        let state = self.state.lock();
        // The reader counts `version` and `verack` under this lock.
        let (received, last_receive) = self.received.get();
        let (sent, last_send) = self.sent.get();
        let (queued_bytes, queued_messages) = self.outbound.size();
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

    /// A handle for the peer's own threads, which does not keep the connection alive.
    pub fn own_handle(self: &Arc<Self>) -> Peer {
        Peer::uncounted(Arc::clone(self))
    }
}

/// Seconds since 1970, negative before.
fn unix_time(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_secs()).map_or(i64::MIN, |seconds| -seconds),
    }
}

impl std::fmt::Display for Shared {
    /// As the original prints a peer: `address (inbound)`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.address, self.direction)
    }
}
