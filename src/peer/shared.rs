//! What the threads and the handles of one peer share.
//!
//! Locks are taken one at a time, or in the order of the fields below. None is held while a callback runs, or while a
//! thread waits for anything but another holder, but for what is done once at the beginning.

use super::capture::Entry;
use super::config::Settings;
use super::contain::contain;
use super::counters::Counters;
use super::current::PeerKey;
use super::farewell::Farewell;
use super::logging::LIFE;
use super::outbound::{Lane, Outbound, Patience, Queued, Refused, SMALL_FRAME};
use super::receipt::{Ending, Receipt, Unsent};
use super::rules::deadlines::{Commands, Deadlines, Due};
use super::rules::handshake::Handshake;
use super::rules::inventory::Announcements;
use super::rules::ping::Pings;
use super::rules::score::Score;
use super::stats::Remote;
use super::sync::{Condvar, Mutex};
use super::threads::{self, Threads};
use super::{Config, Direction, DisconnectReason, Peer, PeerAddress, QueueError, Stats};
use crate::wire::{
    Command, Encode, Frame, GetBlockInvs, GetHeaders, HEADER_SIZE, Hash, NetAddress, Services, Version, encode_sized,
};
use crossbeam_channel::{Receiver, Sender, bounded};
use log::info;
use std::cell::RefCell;
use std::convert::Infallible;
use std::net::Ipv6Addr;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// A scratch buffer larger than this is not kept.
const SCRATCH_KEPT: usize = 4 * SMALL_FRAME;

thread_local! {
    /// Where small frames are encoded before they are appended to a run.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The shared part of one peer.
pub(super) struct Shared {
    pub id: u64,
    pub key: PeerKey,
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
    pub threads: Threads,
    /// What became of the beginning.
    begun: OnceLock<Result<(), DisconnectReason>>,
    /// Disconnected by the last thread, when it is about to end.
    pub gone: Receiver<Infallible>,
    /// Who may still call back.
    pub farewell: Farewell,
    /// The last request of each filtered kind.
    pub last_requests: Mutex<LastRequests>,
    pub announcements: Mutex<Announcements>,
    /// The reader's counters.
    pub received: Counters,
    /// The writer's counters.
    pub sent: Counters,
    pub state: Mutex<State>,
    /// Told when the handshake is done or the peer is gone.
    pub progress: Condvar,
    pub score: Mutex<Score>,
    clock: Mutex<Clock>,
    pub outbound: Outbound,
    /// Rings when announcements wait for the trickle timer.
    pub trickle_bell: Sender<()>,
    pinger_bell: Sender<()>,
    ending: Arc<Ending>,
    /// Dropped when the connection ends, which every waiting thread notices.
    quit: Mutex<Option<Sender<Infallible>>>,
    pub quitting: Receiver<Infallible>,
    /// Called and dropped when the connection ends: a handle that is kept longer keeps no descriptor.
    shutdown: Mutex<Option<Shutdown>>,
}

pub(super) type Shutdown = Box<dyn Fn() + Send + Sync>;

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
    /// Until when the pinger sleeps.
    wake_at: Option<Instant>,
}

/// The ends of the channels that the threads own.
pub(super) struct Ends {
    pub work: Receiver<()>,
    pub trickle: Receiver<()>,
    pub pinger: Receiver<()>,
}

impl Shared {
    pub fn new(
        config: &Config,
        direction: Direction,
        address: PeerAddress,
        shutdown: Shutdown,
        gone: Receiver<Infallible>,
    ) -> (Self, Ends) {
        let settings = config.settings();
        let half_life = settings.score_limit.and_then(|limit| limit.half_life);
        let (outbound, work) = Outbound::new(settings.queue_limit, settings.high_water_mark);
        let (trickle_bell, trickle) = bounded(1);
        let (pinger_bell, pinger) = bounded(1);
        let (quit, quitting) = bounded(0);
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
            key: PeerKey::new(),
            config: config.clone(),
            direction,
            address,
            connected_at: SystemTime::now(),
            timed_requests: settings.stall_rules.iter().map(|rule| rule.request).collect(),
            awaited: AtomicU32::new(0),
            handles: AtomicUsize::new(0),
            threads: Threads::default(),
            begun: OnceLock::new(),
            gone,
            farewell: Farewell::default(),
            last_requests: Mutex::default(),
            announcements: Mutex::new(announcements),
            received: Counters::default(),
            sent: Counters::default(),
            state: Mutex::new(state),
            progress: Condvar::new(),
            score: Mutex::new(Score::new(half_life, Instant::now())),
            clock: Mutex::new(Clock { deadlines: Deadlines::new(settings, Instant::now()), wake_at: None }),
            outbound,
            trickle_bell,
            pinger_bell,
            ending: Arc::default(),
            quit: Mutex::new(Some(quit)),
            quitting,
            shutdown: Mutex::new(Some(shutdown)),
        };
        (shared, Ends { work, trickle, pinger })
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

    /// Ends the connection, unless it has ended: the first reason is the one. Never blocks, and never panics: it runs in
    /// drops.
    pub fn end(&self, reason: DisconnectReason) {
        if self.ending.set(reason).is_err() {
            return;
        }
        drop(self.quit.lock().take());
        let shutdown = self.shutdown.lock().take();
        // A program's stream, and its logger below, may panic; the rest must be done all the same.
        contain(|| shutdown.map(|shutdown| shutdown()));
        drop(self.outbound.close());
        // Who waits holds the lock until it waits, so the news cannot slip in between.
        drop(self.state.lock());
        self.progress.notify_all();
        if let Some(reason) = self.ending.get() {
            contain(|| info!(target: LIFE, "{self}: {reason}"));
        }
    }

    /// Why the connection ended, if it has.
    pub fn ended(&self) -> Option<&DisconnectReason> {
        self.ending.get()
    }

    /// What comes before anything else: who dials introduces itself. Whichever of reader and writer is there first does it,
    /// and the other waits.
    pub fn begin(&self) -> Result<(), DisconnectReason> {
        let begin = || {
            info!(target: LIFE, "{self}: connected");
            if let Some(capture) = &self.settings().capture {
                capture.record(self.id, Entry::Connected(&self.to_string()));
            }
            match self.direction {
                Direction::Inbound => Ok(()),
                Direction::Outbound => self.answer(Lane::Handshake, &self.version()),
            }
        };
        // A panic of the program's ends the beginning, too: else the other thread would begin again.
        let begun = self.begun.get_or_init(|| contain(begin).unwrap_or(Err(DisconnectReason::CallbackPanicked)));
        begun.clone()
    }

    /// Waits until all threads are gone. Not for one of them.
    pub fn wait_until_gone(&self) {
        // Nothing is ever sent there.
        let _ = self.gone.recv();
        threads::join_last();
    }

    /// Why the connection ended, for somebody who knows that it has.
    pub fn end_reason(&self) -> DisconnectReason {
        self.ended().cloned().unwrap_or(DisconnectReason::Local)
    }

    /// Queues a message of the application's.
    pub fn queue<M: Encode + ?Sized>(
        &self,
        message: &M,
        patience: Patience,
        receipt: Option<Unsent>,
    ) -> Result<(), QueueError> {
        self.queue_in(Lane::Ordinary, message, patience, receipt)
    }

    /// Queues an answer that the peer gives by itself.
    pub fn answer<M: Encode + ?Sized>(&self, lane: Lane, message: &M) -> Result<(), DisconnectReason> {
        match self.queue_in(lane, message, Patience::None, None) {
            Ok(()) => Ok(()),
            Err(QueueError::Closed(reason)) => Err(reason),
            Err(_) => Err(DisconnectReason::QueueFull { command: message.command() }),
        }
    }

    pub fn queue_in<M: Encode + ?Sized>(
        &self,
        lane: Lane,
        message: &M,
        patience: Patience,
        receipt: Option<Unsent>,
    ) -> Result<(), QueueError> {
        let network = self.settings().network;
        let length = message.encoded_len();
        if HEADER_SIZE + length > SMALL_FRAME {
            let mut frame = Vec::new();
            encode_sized(message, length, network, &mut frame)?;
            return self.push(message.command(), Queued::Large(frame), lane, patience, receipt);
        }
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.clear();
            encode_sized(message, length, network, scratch)?;
            let pushed = self.push(message.command(), Queued::Small(scratch), lane, patience, receipt);
            if scratch.capacity() > SCRATCH_KEPT {
                *scratch = Vec::new();
            }
            pushed
        })
    }

    /// Queues a frame that is encoded already.
    pub fn queue_frame(&self, frame: &Frame, patience: Patience, receipt: Option<Unsent>) -> Result<(), QueueError> {
        let peer = self.settings().network;
        if frame.network() != peer {
            return Err(QueueError::Network { frame: frame.network(), peer });
        }
        let queued = match frame.as_bytes() {
            small if small.len() <= SMALL_FRAME => Queued::Small(small),
            _ => Queued::Shared(frame.shared()),
        };
        self.push(frame.command(), queued, Lane::Ordinary, patience, receipt)
    }

    fn push(
        &self,
        command: Command,
        frame: Queued<'_>,
        lane: Lane,
        patience: Patience,
        receipt: Option<Unsent>,
    ) -> Result<(), QueueError> {
        self.outbound.push(command, frame, lane, patience, receipt).map_err(|refused| match refused {
            Refused::Full { queued, limit } => QueueError::Full { queued, limit },
            Refused::Closed => QueueError::Closed(self.end_reason()),
            Refused::Timeout => QueueError::Timeout { waited: Duration::ZERO },
        })
    }

    pub fn receipt(&self) -> (Unsent, Receipt) {
        Receipt::new(Arc::clone(&self.ending), self.key)
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
        drop(clock);
        if earlier {
            let _ = self.pinger_bell.try_send(());
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
