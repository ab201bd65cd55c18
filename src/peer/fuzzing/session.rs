//! One connection without its threads: bytes of the remote, calls of the program, and time that passes, in any order.
//!
//! The session does what the reader, the writer and the pinger do with the state machines, and compares their answers
//! with those of a simpler [`Account`].

mod account;
mod announcing;

use super::{Choices, handshaking::OWN_NONCES};
use crate::peer::rules::announcements::Announcements;
use crate::peer::rules::deadlines::{Deadlines, Due};
use crate::peer::rules::handshake::{Handshake, Step};
use crate::peer::rules::ping::Pings;
use crate::peer::rules::rate_limit::{Pace, Pacer};
use crate::peer::rules::score::Score;
use crate::peer::{Config, Direction, DisconnectReason, RateLimit, StallRule};
use crate::wire::{Command, Frame, FrameDecoder, FrameError, Message, Network};
use account::{Account, Taken, Waiter};
use crossbeam_channel::bounded;
use std::{
    collections::{HashSet, VecDeque},
    ops::ControlFlow::{self, Break, Continue},
    time::{Duration, Instant, SystemTime},
};

const NETWORK: Network = Network::Simnet;

/// A known inventory of this size never forgets anything, because a session announces less.
const KNOWS_ALL: usize = 100_000;

/// The largest number of steps of a session.
const STEPS: usize = 500;

/// A pinger that looks later than this was stopped.
const PUNCTUAL: Duration = Duration::from_millis(250);

/// How long the reader may take to catch up after the process was stopped.
const CATCH_UP: Duration = Duration::from_secs(1);

/// Limits that are reached soon, later or never, or are off.
const LIMITS: [Option<Duration>; 6] = [
    None,
    Some(Duration::from_millis(1)),
    Some(Duration::from_millis(10)),
    Some(Duration::from_secs(5)),
    Some(Duration::from_secs(3600)),
    Some(Duration::MAX),
];

/// Times of the system's clock, since 1970.
const CLOCKS: [Option<Duration>; 4] =
    [Some(Duration::ZERO), Some(Duration::from_secs(1_800_000_000)), Some(Duration::from_secs(1 << 62)), None];

/// Runs the session that `input` makes.
///
/// # Panics
///
/// If a state machine and the model disagree.
pub fn session(input: &[u8]) {
    let mut choices = Choices::new(input);
    let Some(mut session) = Session::new(&mut choices) else { return };
    for _ in 0..STEPS {
        if choices.is_empty() || session.step(&mut choices).is_break() {
            return;
        }
    }
}

/// `Break` when the connection has ended.
type Flow = ControlFlow<()>;

struct Session {
    now: Instant,
    start: Instant,
    /// Bytes of the remote that have not arrived yet.
    wire: Vec<u8>,
    decoder: FrameDecoder,
    /// How many bytes have arrived.
    fed: u64,
    handshake: Handshake,
    deadlines: Deadlines,
    announcements: Announcements,
    pings: Pings,
    pacer: Option<Pacer>,
    score: Score,
    account: Account,
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
            decoder: FrameDecoder::new(NETWORK).with_limits(settings.payload_limits().clone()),
            fed: 0,
            handshake: Handshake::new(direction, None, settings.protocol_version()),
            deadlines: Deadlines::new(settings.timeouts(), now),
            announcements: Announcements::new(known, settings.inventory_queue(), settings.trickle_interval()),
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
                requests: vec![None; settings.stall_rules().len()],
                ending: None,
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
        match choices.byte() % 13 {
            0 => {
                let frame = choices.message().and_then(|message| Frame::encode(&message, NETWORK).ok());
                self.wire.extend_from_slice(frame.as_ref().map_or(&[], Frame::as_bytes));
            }
            1 => self.wire.extend_from_slice(choices.bytes(400)),
            2 => return self.arrive(self.wire.len(), choices),
            3 => return self.arrive(usize::from(choices.byte()) + 1, choices),
            4 => return self.pass_some(choices),
            5 => {
                // Exactly when something is due, unless that is years away.
                if let Some(next) = self.deadlines.next()
                    && next.saturating_duration_since(self.start) < Duration::from_secs(1_000_000)
                {
                    let left = next.saturating_duration_since(self.now);
                    if !left.is_zero() {
                        self.pass(left - Duration::from_nanos(1));
                        self.settle()?;
                        self.pass(Duration::from_nanos(1));
                        let due = self.deadlines.next().is_some_and(|next| next <= self.now);
                        assert!(due, "a deadline has moved");
                    }
                    return self.settle();
                }
            }
            6 => self.queue_inventory(&choices.inventory()),
            7 => self.trickle(),
            8 => self.request(choices.command()),
            9 => self.ping(choices),
            10 => self.misbehave(choices),
            11 => return self.pause(choices),
            _ => {
                if choices.byte() == 0 {
                    let until = self.now + Duration::from_millis(500);
                    self.deadlines.end_at(until, DisconnectReason::Local);
                    self.account.ending.get_or_insert(until);
                }
            }
        }
        Continue(())
    }

    // ---- the clock

    fn pass_some(&mut self, choices: &mut Choices<'_>) -> Flow {
        self.pass(some_time(choices));
        self.settle()
    }

    /// The process is stopped for some time: the pinger looks later than it asked for.
    fn pause(&mut self, choices: &mut Choices<'_>) -> Flow {
        self.settle()?;
        let asked = self.deadlines.next();
        self.pass(some_time(choices));
        let late = asked.map(|asked| self.now.saturating_duration_since(asked)).unwrap_or_default();
        if let Some(asked) = asked.filter(|asked| *asked <= self.now) {
            self.deadlines.pinger_woke(asked, self.now);
        }
        if late > PUNCTUAL {
            self.account.excuse(late);
            self.account.check_not_silent();
        }
        self.settle()
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.account.pass(time);
    }

    /// The pinger looks what is due.
    fn settle(&mut self) -> Flow {
        let mut pinged = false;
        loop {
            let next = self.deadlines.next();
            let Some(due) = self.deadlines.due(self.now) else {
                assert!(self.deadlines.next().is_none_or(|next| next > self.now), "the pinger would not sleep");
                self.account.check_nothing_due(self.now, self.start);
                return Continue(());
            };
            assert!(next.is_some_and(|next| next <= self.now), "the pinger would have slept");
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
                        // A callback takes some time, or the process is stopped meanwhile.
                        match choices.byte() % 4 {
                            1 => self.pass_some(choices)?,
                            3 => self.pause(choices)?,
                            _ => {}
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

    /// The next frame: `Some(None)` for one that is malformed and tolerated.
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
                assert_eq!(self.deadlines.handshake_done(read_at), None);
                let taken = self.now - read_at;
                self.account.silent = Taken { total: taken, callbacks: taken, ..Taken::default() };
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
        let limit = self.account.config.rate_limit().unwrap_or_default();
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
            // A nonce is random, so no two callers wait for the same one.
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
        // The system's clock can be set to anything.
        let clock = choices.of(&CLOCKS).and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since));
        let clock = clock.unwrap_or(SystemTime::UNIX_EPOCH - Duration::from_secs(1));
        self.pings.sent(nonce, self.now, clock);
        assert_eq!(self.pings.last_sent(), Some(clock));
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
}

fn some_time(choices: &mut Choices<'_>) -> Duration {
    let unit = choices.of(&[1, 1_000, 1_000_000, 1_000_000_000, 60_000_000_000]);
    Duration::from_nanos(unit * u64::from(choices.byte()))
}
