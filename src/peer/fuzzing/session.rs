//! One connection without its threads: bytes from the wire, the clock and the program, in any order.
//!
//! It does what the reader, the writer and the pinger do with the pure parts, and keeps its own, simpler account of
//! what they should say: of time above all.

use super::{Choices, handshaking::OWN_NONCES};
use crate::peer::rules::deadlines::{Deadlines, Due};
use crate::peer::rules::handshake::{Handshake, Step};
use crate::peer::rules::inventory::{Announcements, TRICKLE_BATCH};
use crate::peer::rules::ping::Pings;
use crate::peer::rules::rate_limit::{Pace, Pacer};
use crate::peer::rules::score::Score;
use crate::peer::{Config, Direction, DisconnectReason, HandshakeError, RateLimit, StallRule};
use crate::wire::{Command, Frame, FrameDecoder, FrameError, Inventory, Message, Network};
use crossbeam_channel::{Receiver, bounded};
use std::{
    collections::{HashSet, VecDeque},
    ops::ControlFlow::{self, Break, Continue},
    time::{Duration, Instant, SystemTime},
};

const NETWORK: Network = Network::Simnet;

/// More than all that one session can announce, so that nothing is ever forgotten.
const KNOWS_ALL: usize = 100_000;

/// How much may happen in a session.
const STEPS: usize = 500;

/// Limits that are soon reached, never reached, or off.
const LIMITS: [Option<Duration>; 6] = [
    None,
    Some(Duration::from_nanos(1)),
    Some(Duration::from_millis(10)),
    Some(Duration::from_secs(5)),
    Some(Duration::from_secs(3600)),
    Some(Duration::MAX),
];

/// Runs the session that `input` makes.
pub fn session(input: &[u8]) {
    let mut choices = Choices::new(input);
    let Some(mut session) = Session::new(&mut choices) else { return };
    for _ in 0..STEPS {
        if choices.is_empty() || session.step(&mut choices).is_break() {
            return;
        }
    }
}

/// Whether the connection goes on.
type Flow = ControlFlow<()>;

struct Session {
    now: Instant,
    start: Instant,
    /// What is on its way here.
    wire: Vec<u8>,
    decoder: FrameDecoder,
    fed: u64,
    handshake: Handshake,
    deadlines: Deadlines,
    announcements: Announcements,
    pings: Pings,
    pacer: Option<Pacer>,
    score: Score,
    account: Account,
}

/// What the pure parts should say, reckoned another way.
struct Account {
    config: Config,
    /// Whether callbacks run.
    busy: bool,
    introduced: bool,
    done: bool,
    /// For how long the remote has not said anything; likewise below.
    silent: Taken,
    /// The frame that is arriving: where it begins, and for how long it has been.
    frame: Option<(u64, Taken)>,
    /// The command of the frame that is arriving.
    arriving: Option<Command>,
    since_ping: Duration,
    /// By rule, for how long the answer has been due.
    requests: Vec<Option<Taken>>,
    last_words: Option<Instant>,
    /// The set of known things, when it is large enough for all.
    known: Option<HashSet<Inventory>>,
    waiting: VecDeque<Inventory>,
    last_ping: Option<(u64, Instant)>,
    waiters: Vec<Waiter>,
    min_rtt: Option<Duration>,
}

/// How long something takes already, and how much of that time callbacks ran.
#[derive(Debug, Clone, Copy, Default)]
struct Taken {
    total: Duration,
    callbacks: Duration,
}

impl Taken {
    fn pass(&mut self, time: Duration, busy: bool) {
        self.total += time;
        self.callbacks += if busy { time } else { Duration::ZERO };
    }

    fn is_over(&self, limit: Duration) -> bool {
        self.total - self.callbacks.min(limit) >= limit
    }
}

struct Waiter {
    nonce: u64,
    sent: Option<Instant>,
    answer: Receiver<Duration>,
}

impl Session {
    fn new(choices: &mut Choices<'_>) -> Option<Self> {
        let direction = choices.of(&[Direction::Inbound, Direction::Outbound]);
        let rule = |choices: &mut Choices<'_>| StallRule {
            request: choices.command(),
            answers: vec![choices.command(), choices.command()],
            limit: choices.of(&LIMITS).unwrap_or(Duration::from_secs(30)),
        };
        let rules = if choices.flag() { StallRule::defaults() } else { vec![rule(choices), rule(choices)] };
        let known = choices.of(&[KNOWS_ALL, 0, 1, 7]);
        let rates = [None, Some(1), Some(100), Some(u32::MAX)];
        let limit = RateLimit {
            messages_per_second: choices.of(&rates),
            bytes_per_second: choices.of(&rates),
            burst: choices.of(&LIMITS).unwrap_or_default(),
            end_after: choices.of(&LIMITS),
        };
        let config = Config::builder(NETWORK)
            .handshake_timeout(choices.of(&LIMITS).unwrap_or(Duration::from_secs(30)))
            .idle_timeout(choices.of(&LIMITS))
            .frame_timeout(choices.of(&LIMITS))
            .ping_interval(choices.of(&LIMITS))
            .known_inventory(known)
            .inventory_queue(choices.of(&[1_000_000, 0, 1, 20]))
            .stall_rules(rules)
            .rate_limit(limit)
            .build()
            .ok()?;
        let now = Instant::now();
        let settings = config.settings();
        Some(Self {
            now,
            start: now,
            wire: Vec::new(),
            decoder: FrameDecoder::new(NETWORK).with_limits(settings.payload_limits.clone()),
            fed: 0,
            handshake: Handshake::new(direction, None, settings.protocol_version),
            deadlines: Deadlines::new(settings.timeouts(), now),
            announcements: Announcements::new(known, settings.inventory_queue, settings.trickle_interval),
            pings: Pings::default(),
            pacer: choices.flag().then(|| Pacer::new(limit, now)),
            score: Score::new(choices.of(&LIMITS), now),
            account: Account {
                busy: false,
                introduced: false,
                done: false,
                silent: Taken::default(),
                frame: None,
                arriving: None,
                since_ping: Duration::ZERO,
                requests: vec![None; settings.stall_rules.len()],
                last_words: None,
                known: (known == KNOWS_ALL).then(HashSet::new),
                waiting: VecDeque::new(),
                last_ping: None,
                waiters: Vec::new(),
                min_rtt: None,
                config,
            },
        })
    }

    fn step(&mut self, choices: &mut Choices<'_>) -> Flow {
        match choices.byte() % 12 {
            0 => {
                let frame = choices.message().and_then(|message| Frame::encode(&message, NETWORK).ok());
                self.wire.extend_from_slice(frame.as_ref().map_or(&[], Frame::as_bytes));
            }
            1 => self.wire.extend_from_slice(choices.bytes(400)),
            2 => return self.arrive(self.wire.len(), choices),
            3 => return self.arrive(usize::from(choices.byte()) + 1, choices),
            4 => return self.pass_some(choices),
            5 => {
                // Exactly when something is due, unless that is in another age.
                if let Some(next) = self.deadlines.next()
                    && next.saturating_duration_since(self.start) < Duration::from_secs(1_000_000)
                {
                    let left = next.saturating_duration_since(self.now);
                    if !left.is_zero() {
                        self.pass(left - Duration::from_nanos(1));
                        self.settle()?;
                        self.pass(Duration::from_nanos(1));
                        let due = self.deadlines.next().is_some_and(|next| next <= self.now);
                        assert!(due, "what is due was put off");
                    }
                    return self.settle();
                }
            }
            6 => self.queue_inventory(&choices.inventory()),
            7 => self.trickle(),
            8 => self.request(choices.command()),
            9 => self.ping(choices),
            10 => self.misbehave(choices),
            _ => {
                if choices.byte() == 0 {
                    let until = self.now + Duration::from_millis(500);
                    self.deadlines.end_at(until, DisconnectReason::Local);
                    self.account.last_words = Some(until);
                }
            }
        }
        Continue(())
    }

    // ---- the clock

    fn pass_some(&mut self, choices: &mut Choices<'_>) -> Flow {
        let unit = choices.of(&[1, 1_000, 1_000_000, 1_000_000_000, 60_000_000_000]);
        self.pass(Duration::from_nanos(unit * u64::from(choices.byte())));
        self.settle()
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.account.pass(time);
    }

    /// The pinger looks.
    fn settle(&mut self) -> Flow {
        let mut pinged = false;
        loop {
            let next = self.deadlines.next();
            let Some(due) = self.deadlines.due(self.now) else {
                assert!(self.deadlines.next().is_none_or(|next| next > self.now), "the pinger would not sleep");
                self.account.check_nothing_due(self.now, self.start);
                return Continue(());
            };
            assert!(next.is_some_and(|next| next <= self.now), "nobody would have looked");
            match due {
                Due::End(reason) => {
                    self.account.check_end(&reason, self.now, self.start);
                    return Break(());
                }
                Due::Ping => {
                    assert!(!pinged, "two pings at once");
                    pinged = true;
                    self.account.check_ping();
                }
            }
        }
    }

    // ---- what the reader does

    fn arrive(&mut self, count: usize, choices: &mut Choices<'_>) -> Flow {
        let bytes: Vec<u8> = self.wire.drain(..count.min(self.wire.len())).collect();
        if bytes.is_empty() {
            return Continue(());
        }
        self.decoder.feed(&bytes);
        self.fed += bytes.len() as u64;
        self.deadlines.reader_busy(self.now);
        self.account.busy = true;
        let (mut heard, mut messages) = (false, 0);
        let read_at = self.now;
        loop {
            match self.next_frame()? {
                None => break,
                Some(message) => {
                    heard = true;
                    messages += 1;
                    if let Some(message) = message {
                        self.handle(&message, read_at)?;
                        // A callback takes its time.
                        if choices.flag() {
                            self.pass_some(choices)?;
                        }
                    }
                }
            }
        }
        let place = self.decoder.is_mid_frame().then(|| self.decoder.position());
        let arriving = self.decoder.announced().map(|(command, _)| command);
        self.deadlines.reader_waits(self.now, heard);
        self.deadlines.frame_arriving(place, arriving, self.now);
        self.account.heard(heard, place, arriving);
        self.settle()?;
        self.pace(messages, bytes.len() as u64, choices)
    }

    /// The next frame: `Some(None)` for one that is refused and tolerated.
    fn next_frame(&mut self) -> ControlFlow<(), Option<Option<Message>>> {
        let before = self.decoder.position();
        let result = match self.decoder.next_frame() {
            Ok(None) => {
                assert!(before <= self.decoder.position());
                return Continue(None);
            }
            Ok(Some(frame)) => {
                let (size, result) = (frame.size() as u64, frame.decode());
                assert!(before + size <= self.decoder.position());
                result
            }
            Err(error) => Err(error),
        };
        // A stream of another protocol is refused before its first header is complete.
        let moved = before < self.decoder.position() || matches!(result, Err(FrameError::NotKaspa { .. }));
        assert!(moved && self.decoder.position() <= self.fed);
        match result {
            Ok(message) => Continue(Some(Some(message))),
            Err(error) if error.in_step() => Continue(Some(None)),
            Err(error) => {
                assert!(matches!(error, FrameError::Oversize { .. } | FrameError::NotKaspa { .. }));
                self.decoder.feed(&[0; 100]);
                assert_eq!(self.decoder.next_frame().map(|_| ()), Err(error), "once lost, always lost");
                Break(())
            }
        }
    }

    fn handle(&mut self, message: &Message, read_at: Instant) -> Flow {
        let command = crate::wire::Encode::command(message);
        self.deadlines.answered(command);
        self.account.answered(command);
        match self.handshake.step(message, |nonce| nonce < OWN_NONCES) {
            Step::VersionAccepted { negotiated, .. } => {
                assert!(!self.account.introduced && negotiated == 1);
                self.account.introduced = true;
            }
            Step::Finished => {
                assert!(self.account.introduced && !self.account.done);
                self.account.done = true;
                self.deadlines.handshake_done(read_at);
                let taken = self.now - read_at;
                self.account.silent = Taken { total: taken, callbacks: taken };
                self.account.since_ping = taken;
            }
            Step::Deliver => {
                assert!(self.account.introduced);
                match message {
                    Message::Pong(pong) => self.pong(pong.nonce),
                    Message::Inv(inv) => {
                        self.announcements.announced(&inv.items);
                        self.account.known.iter_mut().for_each(|known| known.extend(&inv.items));
                    }
                    _ => {}
                }
            }
            Step::Skip => assert!(!self.account.introduced && matches!(message, Message::Custom(_))),
            Step::End(..) => return Break(()),
        }
        assert_eq!(self.handshake.is_done(), self.account.done);
        Continue(())
    }

    fn pace(&mut self, messages: u64, bytes: u64, choices: &mut Choices<'_>) -> Flow {
        let Some(pacer) = &mut self.pacer else { return Continue(()) };
        let limit = self.account.config.settings().rate_limit.unwrap_or_default();
        match pacer.arrived(messages, bytes, self.now) {
            Pace::Free => Continue(()),
            Pace::End { after, limit: end_after } => {
                assert_eq!(Some(end_after), limit.end_after);
                assert!(after <= end_after);
                Break(())
            }
            Pace::Pause(pause) => {
                assert!(!pause.is_zero());
                assert!(limit.messages_per_second.is_some() || limit.bytes_per_second.is_some());
                if choices.flag() {
                    let after = self.now + pause;
                    assert_eq!(pacer.arrived(0, 0, after), Pace::Free, "a pause makes up for it");
                }
                self.pass(pause);
                self.settle()
            }
        }
    }

    // ---- what the writer and the program do

    fn request(&mut self, command: Command) {
        self.deadlines.about_to_write(command);
        self.deadlines.written(command, self.now);
        self.account.requested(command);
    }

    fn ping(&mut self, choices: &mut Choices<'_>) {
        let nonce = u64::from(choices.byte());
        match choices.byte() % 4 {
            0 => self.account.waiters.retain(|waiter| waiter.nonce != nonce),
            // A nonce is random, so nobody waits for it twice.
            _ if self.account.waiters.iter().any(|waiter| waiter.nonce == nonce) => return,
            1 => {}
            _ => {
                let (answer, receiver) = bounded(1);
                self.pings.wait(nonce, answer);
                self.account.waiters.push(Waiter { nonce, sent: None, answer: receiver });
                if choices.flag() {
                    return;
                }
            }
        }
        if !self.account.waiters.iter().any(|waiter| waiter.nonce == nonce) {
            self.pings.forget(nonce);
        }
        self.pings.sent(nonce, self.now, SystemTime::UNIX_EPOCH);
        self.account.last_ping = Some((nonce, self.now));
        self.account.waiters.iter_mut().filter(|waiter| waiter.nonce == nonce).for_each(|it| it.sent = Some(self.now));
        assert_eq!(self.pings.last_nonce(), Some(nonce));
    }

    fn pong(&mut self, nonce: u64) {
        let last_before = self.pings.last_rtt();
        self.pings.answered(nonce, self.now);
        let counted = self.account.last_ping.take_if(|(last, _)| *last == nonce && nonce != 0);
        if let Some((_, sent)) = counted {
            let rtt = self.now - sent;
            self.account.min_rtt = Some(self.account.min_rtt.map_or(rtt, |min| min.min(rtt)));
            assert_eq!((self.pings.last_rtt(), self.pings.last_nonce()), (Some(rtt), None));
        } else {
            assert_eq!(self.pings.last_rtt(), last_before);
        }
        assert_eq!(self.pings.min_rtt(), self.account.min_rtt);
        let now = self.now;
        self.account.waiters.retain(|waiter| {
            let answered = waiter.nonce == nonce && waiter.sent.is_some();
            let expected = waiter.sent.filter(|_| answered).map(|sent| now - sent);
            assert_eq!(waiter.answer.try_recv().ok(), expected);
            !answered
        });
    }

    fn misbehave(&mut self, choices: &mut Choices<'_>) {
        let points = choices.word() >> (choices.byte() % 32);
        let before = self.score.get(self.now);
        let after = self.score.add(points, self.now);
        let sum = before.saturating_add(points);
        assert!(after == sum || after == sum.saturating_add(1), "{before} and {points} make {after}");
        assert_eq!(self.score.get(self.now), after);
        assert!(self.score.get(self.now + Duration::from_secs(1)) <= after);
    }

    fn queue_inventory(&mut self, items: &[Inventory]) {
        let account = &mut self.account;
        let limit = account.config.settings().inventory_queue;
        let before = account.waiting.len();
        assert_eq!(self.announcements.waiting_len(), before);
        match self.announcements.queue(items, self.now) {
            Ok(count) => {
                let after = self.announcements.waiting_len();
                assert!(after == before + count && after <= limit);
                match &account.known {
                    Some(known) => account.waiting.extend(items.iter().filter(|item| !known.contains(*item))),
                    // Only how many there are is certain.
                    None => account.waiting.extend(items.iter().take(count)),
                }
                assert_eq!(account.waiting.len(), after);
            }
            Err(waiting) => {
                assert_eq!((waiting, self.announcements.waiting_len()), (before, before));
                assert!(before + items.len() > limit);
            }
        }
        self.check_announcements();
    }

    fn trickle(&mut self) {
        if self.announcements.due().is_none_or(|due| due > self.now) {
            return;
        }
        let batch = self.announcements.next_batch();
        let left = self.announcements.waiting_len();
        assert!(batch.len() <= TRICKLE_BATCH);
        let account = &mut self.account;
        let taken = account.waiting.len() - left;
        assert!(taken >= batch.len() && (left == 0 || batch.len() == TRICKLE_BATCH));
        let taken = account.waiting.drain(..taken);
        match &mut account.known {
            Some(known) => assert_eq!(batch, taken.filter(|item| known.insert(*item)).collect::<Vec<_>>()),
            None => drop(taken),
        }
        if account.config.settings().known_inventory > 0
            && let Some(last) = batch.last()
        {
            assert!(self.announcements.is_known(last));
        }
        self.check_announcements();
    }

    fn check_announcements(&mut self) {
        let due = self.announcements.due();
        assert_eq!(due.is_some(), self.announcements.waiting_len() > 0);
        let settings = self.account.config.settings();
        assert!(due.is_none_or(|due| due <= self.now + settings.trickle_interval));
        assert!(self.announcements.known_len() <= settings.known_inventory);
        if let Some(known) = &self.account.known {
            assert_eq!(self.announcements.known_len(), known.len());
        }
    }
}

impl Account {
    fn pass(&mut self, time: Duration) {
        self.since_ping += time;
        let frame = self.frame.as_mut().map(|(_, taken)| taken);
        let requests = self.requests.iter_mut().flatten();
        requests.chain(frame).chain([&mut self.silent]).for_each(|taken| taken.pass(time, self.busy));
    }

    fn requested(&mut self, request: Command) {
        for (rule, taken) in self.config.settings().stall_rules.iter().zip(&mut self.requests) {
            if rule.request == request {
                *taken = Some(Taken::default());
            }
        }
    }

    fn answered(&mut self, answer: Command) {
        for (rule, taken) in self.config.settings().stall_rules.iter().zip(&mut self.requests) {
            if rule.answers.contains(&answer) {
                *taken = None;
            }
        }
    }

    /// All that had arrived is worked through.
    fn heard(&mut self, heard: bool, place: Option<u64>, arriving: Option<Command>) {
        self.busy = false;
        self.arriving = arriving;
        if heard {
            self.silent = Taken::default();
        }
        self.frame = place.map(|place| match self.frame {
            Some((same, taken)) if same == place => (place, taken),
            _ => (place, Taken::default()),
        });
    }

    fn is_idle(&self) -> bool {
        self.done && self.config.settings().idle_timeout.is_some_and(|limit| self.silent.is_over(limit))
    }

    fn is_frame_late(&self) -> bool {
        let limit = self.config.settings().frame_timeout;
        self.frame.zip(limit).is_some_and(|((_, taken), limit)| taken.is_over(limit))
    }

    fn stalled(&self) -> impl Iterator<Item = &StallRule> {
        let settings = self.config.settings();
        let is_frame_judged = settings.frame_timeout.is_some() && self.frame.is_some();
        let arriving = self.arriving.filter(|_| is_frame_judged);
        let rules = settings.stall_rules.iter().zip(&self.requests);
        let judged = rules.filter(move |(rule, _)| !arriving.is_some_and(|command| rule.answers.contains(&command)));
        judged.filter(|(rule, taken)| taken.is_some_and(|taken| taken.is_over(rule.limit))).map(|(rule, _)| rule)
    }

    fn is_handshake_late(&self, now: Instant, start: Instant) -> bool {
        !self.done && now - start >= self.config.settings().handshake_timeout
    }

    fn is_ping_due(&self) -> bool {
        self.done && self.config.settings().ping_interval.is_some_and(|interval| self.since_ping >= interval)
    }

    fn check_ping(&mut self) {
        assert!(self.is_ping_due(), "a ping after {:?}", self.since_ping);
        self.since_ping = Duration::ZERO;
    }

    fn check_nothing_due(&self, now: Instant, start: Instant) {
        assert!(!self.is_ping_due(), "no ping for {:?}", self.since_ping);
        assert!(!self.is_handshake_late(now, start));
        assert!(self.last_words.is_none_or(|until| until > now));
        assert!(!self.is_idle(), "silent for {:?}", self.silent);
        assert!(!self.is_frame_late(), "{:?}", self.frame);
        assert_eq!(self.stalled().next(), None);
    }

    fn check_end(&self, reason: &DisconnectReason, now: Instant, start: Instant) {
        let right = match reason {
            DisconnectReason::Local => self.last_words.is_some_and(|until| until <= now),
            DisconnectReason::Handshake(HandshakeError::Timeout { .. }) => self.is_handshake_late(now, start),
            DisconnectReason::Idle { .. } => self.is_idle(),
            DisconnectReason::FrameTimeout { .. } => self.is_frame_late(),
            DisconnectReason::Stalled { request, limit } => {
                self.stalled().any(|rule| rule.request == *request && rule.limit == *limit)
            }
            _ => false,
        };
        assert!(right, "{reason:?}");
    }
}
