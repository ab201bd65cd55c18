//! The model of a session: the expected answers of the pure parts, from elapsed times instead of deadlines.

use super::CATCH_UP;
use crate::peer::{Config, DisconnectReason, HandshakeError, StallRule};
use crate::wire::{Command, Inventory};
use crossbeam_channel::Receiver;
use std::{
    collections::{HashSet, VecDeque},
    time::{Duration, Instant},
};

/// The state of one connection, in the words of the specification.
pub(super) struct Account {
    pub config: Config,
    /// Callbacks run.
    pub busy: bool,
    /// The remote's `version` was accepted.
    pub introduced: bool,
    /// The handshake is done.
    pub done: bool,
    /// The time since the last message.
    pub silent: Taken,
    /// The frame that is arriving: the position of its first byte, and the time since that arrived.
    pub frame: Option<(u64, Taken)>,
    /// The command of the frame that is arriving.
    pub arriving: Option<Command>,
    pub since_ping: Duration,
    /// For each stall rule, the time since the request was written.
    pub requests: Vec<Option<Taken>>,
    /// The earliest time that was passed to `end_at`.
    pub ending: Option<Instant>,
    /// The known inventory, if it is so large that nothing is ever forgotten.
    pub known: Option<HashSet<Inventory>>,
    pub waiting: VecDeque<Inventory>,
    pub last_ping: Option<(u64, Instant)>,
    pub waiters: Vec<Waiter>,
    pub min_rtt: Option<Duration>,
}

/// How long something has taken.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Taken {
    pub total: Duration,
    /// How much of that time callbacks ran.
    pub callbacks: Duration,
    /// How much is excused because the process was stopped.
    pub excused: Duration,
    /// How much of that is time to catch up.
    pub catch_up: Duration,
    /// The last excuse gave no time to catch up, because all of it was given before.
    pub is_used_up: bool,
}

impl Taken {
    /// Excuses the lateness of the pinger and a second, the seconds for at most the limit in all.
    fn excuse(&mut self, late: Duration, limit: Option<Duration>) {
        let catch_up = CATCH_UP.min(limit.unwrap_or_default().saturating_sub(self.catch_up));
        self.catch_up += catch_up;
        self.is_used_up = catch_up.is_zero();
        self.excused += late + catch_up;
    }

    fn pass(&mut self, time: Duration, busy: bool) {
        self.total += time;
        self.callbacks += if busy { time } else { Duration::ZERO };
    }

    fn is_over(&self, limit: Duration) -> bool {
        self.total >= limit.saturating_add(self.callbacks.min(limit)).saturating_add(self.excused)
    }
}

/// A caller that waits for the pong with a nonce.
pub(super) struct Waiter {
    pub nonce: u64,
    pub sent: Option<Instant>,
    pub answer: Receiver<Duration>,
}

impl Account {
    pub fn pass(&mut self, time: Duration) {
        self.since_ping += time;
        let busy = self.busy;
        self.all_taken().for_each(|taken| taken.pass(time, busy));
    }

    /// The process was stopped, and its pinger looks `late` after the time that it asked for.
    pub fn excuse(&mut self, late: Duration) {
        let settings = &self.config;
        self.silent.excuse(late, settings.idle_timeout());
        if let Some((_, taken)) = &mut self.frame {
            taken.excuse(late, settings.frame_timeout());
        }
        for (rule, taken) in settings.stall_rules().iter().zip(&mut self.requests) {
            if let Some(taken) = taken {
                taken.excuse(late, Some(rule.limit));
            }
        }
    }

    /// The times that judge the remote's silence.
    fn all_taken(&mut self) -> impl Iterator<Item = &mut Taken> {
        let frame = self.frame.as_mut().map(|(_, taken)| taken);
        self.requests.iter_mut().flatten().chain(frame).chain([&mut self.silent])
    }

    pub fn requested(&mut self, request: Command) {
        for (rule, taken) in self.config.stall_rules().iter().zip(&mut self.requests) {
            if rule.request == request {
                *taken = Some(Taken::default());
            }
        }
    }

    pub fn answered(&mut self, answer: Command) {
        for (rule, taken) in self.config.stall_rules().iter().zip(&mut self.requests) {
            if rule.answers.contains(&answer) {
                *taken = None;
            }
        }
    }

    /// The reader has worked through the bytes that had arrived.
    pub fn heard(&mut self, heard: bool, place: Option<u64>, arriving: Option<Command>) {
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
        self.done && self.config.idle_timeout().is_some_and(|limit| self.silent.is_over(limit))
    }

    fn is_frame_late(&self) -> bool {
        let limit = self.config.frame_timeout();
        self.frame.zip(limit).is_some_and(|((_, taken), limit)| taken.is_over(limit))
    }

    fn stalled(&self) -> impl Iterator<Item = &StallRule> {
        let settings = &self.config;
        // A timeout that never passes is none.
        let has_limit = settings.frame_timeout().is_some_and(|limit| limit < Duration::MAX);
        let is_frame_judged = has_limit && self.frame.is_some();
        let arriving = self.arriving.filter(|_| is_frame_judged);
        let rules = settings.stall_rules().iter().zip(&self.requests);
        let judged = rules.filter(move |(rule, _)| !arriving.is_some_and(|command| rule.answers.contains(&command)));
        judged.filter(|(rule, taken)| taken.is_some_and(|taken| taken.is_over(rule.limit))).map(|(rule, _)| rule)
    }

    fn is_handshake_late(&self, now: Instant, start: Instant) -> bool {
        !self.done && now - start >= self.config.handshake_timeout()
    }

    fn is_ping_due(&self) -> bool {
        self.done && self.config.ping_interval().is_some_and(|interval| self.since_ping >= interval)
    }

    pub fn check_ping(&mut self) {
        assert!(self.is_ping_due(), "a ping after {:?}", self.since_ping);
        self.since_ping = Duration::ZERO;
    }

    pub fn check_nothing_due(&self, now: Instant, start: Instant) {
        assert!(!self.is_ping_due(), "no ping for {:?}", self.since_ping);
        assert!(!self.is_handshake_late(now, start));
        assert!(self.ending.is_none_or(|until| until > now));
        assert!(!self.is_idle(), "silent for {:?}", self.silent);
        assert!(!self.is_frame_late(), "{:?}", self.frame);
        assert_eq!(self.stalled().next(), None);
    }

    /// A process that was stopped ends no connection for the silence of its remote, until the time to catch up is used
    /// up.
    pub fn check_not_silent(&mut self) {
        if self.all_taken().any(|taken| taken.is_used_up) {
            return;
        }
        assert!(!self.is_idle() && !self.is_frame_late() && self.stalled().next().is_none());
    }

    pub fn check_end(&self, reason: &DisconnectReason, now: Instant, start: Instant) {
        let right = match reason {
            DisconnectReason::Local => self.ending.is_some_and(|until| until <= now),
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
