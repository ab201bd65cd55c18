//! The deadlines of a connection, given the time. The pinger asks what is due, and the other threads report what happened.

use super::stall_rule::StallRule;
use crate::peer::disconnect::{DisconnectReason, HandshakeError};
use crate::wire::Command;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// A pinger that wakes up this much late, or less, is punctual.
const PUNCTUAL: Duration = Duration::from_millis(250);

/// How long the reader may take to catch up after the pinger woke up late.
const CATCH_UP: Duration = Duration::from_secs(1);

/// The timeouts of a peer. `None` turns one off.
#[derive(Debug, Clone)]
pub(in crate::peer) struct Timeouts {
    pub handshake: Duration,
    pub idle: Option<Duration>,
    pub frame: Option<Duration>,
    pub ping_interval: Option<Duration>,
    pub stall_rules: Arc<[StallRule]>,
}

/// What is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::peer) enum Due {
    /// Send a ping.
    Ping,
    /// Disconnect.
    End(DisconnectReason),
}

/// The deadlines of one peer.
///
/// The idle, frame and stall deadlines judge the remote's silence. While the reader works through what it has read, callbacks
/// of the program may run, and what they delay is not the remote's fault: that time moves these deadlines. It moves each of
/// them by at most its limit again, so that a remote that keeps the reader busy is found silent after twice the limit at most.
/// The time spent decoding is not told apart from the time in callbacks, because that would need the clock twice for each
/// message; the bound holds for both. Time spent waiting for bytes or in a pause of the rate limit moves nothing.
#[derive(Debug)]
pub(in crate::peer) struct Deadlines {
    handshake: Option<(Instant, Duration)>,
    idle: Option<Silence>,
    idle_limit: Option<Duration>,
    /// When the frame that is arriving must be complete, and its number.
    frame: Option<(Silence, u64)>,
    frame_limit: Option<Duration>,
    /// The command of the frame that is arriving.
    arriving: Option<Command>,
    ping: Option<Instant>,
    ping_interval: Option<Duration>,
    rules: Arc<[StallRule]>,
    requests: Vec<Request>,
    /// The connection ends at this time for this reason, whatever else happens.
    ending: Option<(Instant, DisconnectReason)>,
    /// Since when the reader works through what it has read.
    busy_since: Option<Instant>,
    /// When the pinger looked last.
    judged: Instant,
}

/// A deadline that judges the remote's silence.
#[derive(Debug, Clone, Copy)]
struct Silence {
    from: Instant,
    at: Instant,
    /// How far the time in callbacks can still move it.
    credit: Duration,
    /// How much time to catch up it can still be given, see [`Deadlines::pinger_woke`].
    catch_up: Duration,
}

impl Silence {
    fn new(now: Instant, limit: Duration) -> Option<Self> {
        Some(Self { from: now, at: now.checked_add(limit)?, credit: limit, catch_up: limit })
    }

    /// The time in callbacks, up to `now`, that moves this deadline.
    fn moved_by(&self, busy_since: Instant, now: Instant) -> Duration {
        now.saturating_duration_since(busy_since.max(self.from)).min(self.credit)
    }

    /// Moves the deadline by the time in callbacks that have ended. `None` for beyond the end of time.
    fn credited(self, busy_since: Instant, now: Instant) -> Option<Self> {
        let moved = self.moved_by(busy_since, now);
        Some(Self { at: self.at.checked_add(moved)?, credit: self.credit - moved, ..self })
    }

    fn is_over(&self, busy_since: Option<Instant>, now: Instant) -> bool {
        let moved = busy_since.map_or(Duration::ZERO, |since| self.moved_by(since, now));
        self.at.checked_add(moved).is_some_and(|at| at <= now)
    }

    /// When to look at it next, if the pinger looked at it last at `judged`.
    ///
    /// A deadline that passes while callbacks run is over once its credit is used up, or soon after they end.
    fn next_look(&self, busy_since: Option<Instant>, judged: Instant) -> Option<Instant> {
        match busy_since {
            Some(since) if since < self.at && self.at <= judged => self.at.checked_add(self.credit),
            _ => Some(self.at),
        }
    }
}

/// What is known of the requests of one stall rule.
#[derive(Debug, Clone, Copy, Default)]
struct Request {
    /// The writer is writing one.
    pending: bool,
    /// The deadline of the answer to the last one that is wholly written.
    answer: Option<Silence>,
}

impl Deadlines {
    pub fn new(timeouts: Timeouts, now: Instant) -> Self {
        let limit = timeouts.handshake;
        Self {
            handshake: now.checked_add(limit).map(|until| (until, limit)),
            idle: None,
            idle_limit: timeouts.idle,
            frame: None,
            frame_limit: timeouts.frame,
            arriving: None,
            ping: None,
            ping_interval: timeouts.ping_interval,
            requests: vec![Request::default(); timeouts.stall_rules.len()],
            rules: timeouts.stall_rules,
            ending: None,
            busy_since: None,
            judged: now,
        }
    }

    /// Why the handshake has failed, if it should be done by now and is not. The reader asks too: on a busy machine a whole
    /// handshake can pass before the pinger wakes up, and the outcome must not depend on that.
    pub fn handshake_overdue(&self, now: Instant) -> Option<DisconnectReason> {
        let (_, limit) = self.handshake.filter(|(until, _)| *until <= now)?;
        Some(DisconnectReason::Handshake(HandshakeError::Timeout { limit }))
    }

    /// The handshake is done: pings and the idle timeout begin.
    pub fn handshake_done(&mut self, now: Instant) {
        self.handshake = None;
        self.idle = silence(now, self.idle_limit);
        self.ping = after(now, self.ping_interval);
    }

    /// The writer is about to write a request. Its answer has no deadline yet. An answer can arrive before the writer
    /// learns that the request is written; then `written` starts none.
    pub fn about_to_write(&mut self, request: Command) {
        for (rule, state) in self.rules.iter().zip(&mut self.requests) {
            state.pending |= rule.request == request;
        }
    }

    /// The last byte of a request is written: its answer has its time from now on. A repeated request restarts it.
    pub fn written(&mut self, request: Command, now: Instant) {
        for (rule, state) in self.rules.iter().zip(&mut self.requests) {
            if rule.request == request && (state.pending || state.answer.is_some()) {
                *state = Request { pending: false, answer: Silence::new(now, rule.limit) };
            }
        }
    }

    /// A message arrived that may answer a request. If one is written and another is not, it answers the one that is written.
    pub fn answered(&mut self, answer: Command) {
        for (rule, state) in self.rules.iter().zip(&mut self.requests) {
            if rule.answers.contains(&answer) && state.answer.take().is_none() {
                state.pending = false;
            }
        }
    }

    /// The commands that would answer a request.
    pub fn awaited(&self) -> Commands {
        let waiting = self.rules.iter().zip(&self.requests);
        let waiting = waiting.filter(|(_, state)| state.pending || state.answer.is_some());
        waiting.flat_map(|(rule, _)| rule.answers.iter().copied()).collect()
    }

    /// The reader has read bytes and works through them now.
    pub fn reader_busy(&mut self, now: Instant) {
        self.busy_since = Some(now);
    }

    /// The reader has worked through the bytes. `heard` tells whether they completed a message.
    pub fn reader_waits(&mut self, now: Instant, heard: bool) {
        let Some(since) = self.busy_since.take() else { return };
        if self.handshake.is_none() {
            self.idle = match self.idle {
                Some(_) if heard => silence(now, self.idle_limit),
                idle => idle.and_then(|idle| idle.credited(since, now)),
            };
        }
        self.frame = self.frame.and_then(|(frame, number)| Some((frame.credited(since, now)?, number)));
        for state in &mut self.requests {
            state.answer = state.answer.and_then(|answer| answer.credited(since, now));
        }
    }

    /// The bytes that are left belong to a frame that is arriving, which has a number in the stream, and a command once its
    /// header is there. `number` is `None` when nothing is left.
    pub fn frame_arriving(&mut self, number: Option<u64>, command: Option<Command>, now: Instant) {
        self.arriving = command;
        self.frame = match (number, self.frame) {
            (Some(number), Some((frame, same))) if number == same => Some((frame, number)),
            (Some(number), _) => silence(now, self.frame_limit).map(|frame| (frame, number)),
            (None, _) => None,
        };
    }

    /// Ends the connection at `until` for `reason`: after a last `reject`, or after writing failed.
    pub fn end_at(&mut self, until: Instant, reason: DisconnectReason) {
        self.ending = Some((until, reason));
    }

    /// The pinger woke up at `now` and had asked for `asked`.
    ///
    /// If it is much later, the process was stopped or the machine is overloaded, and the reader has not seen either what
    /// arrived meanwhile. So the deadlines that judge the remote's silence move by the lateness, and by a second in which the
    /// reader can catch up. That second is given only until it adds up to the deadline's limit. Otherwise a machine on which
    /// the pinger is always late would never find a remote silent.
    pub fn pinger_woke(&mut self, asked: Instant, now: Instant) {
        let late = now.saturating_duration_since(asked);
        if late <= PUNCTUAL {
            return;
        }
        let frame = self.frame.as_mut().map(|(frame, _)| frame);
        let answers = self.requests.iter_mut().filter_map(|state| state.answer.as_mut());
        for silence in self.idle.as_mut().into_iter().chain(frame).chain(answers) {
            let catch_up = CATCH_UP.min(silence.catch_up);
            silence.catch_up -= catch_up;
            // A deadline beyond the last point in time stays where it is: it never passes either way.
            silence.at = silence.at.checked_add(late.saturating_add(catch_up)).unwrap_or(silence.at);
        }
    }

    /// The deadlines of the answers that are judged. While a frame arrives that would answer, the frame's deadline judges
    /// instead, if there is one.
    fn answers(&self) -> impl Iterator<Item = (&StallRule, &Silence)> {
        let arriving = self.arriving.filter(|_| self.frame.is_some());
        let all =
            self.rules.iter().zip(&self.requests).filter_map(|(rule, state)| Some((rule, state.answer.as_ref()?)));
        all.filter(move |(rule, _)| !arriving.is_some_and(|command| rule.answers.contains(&command)))
    }

    /// When the pinger must look again. `None` when nothing can become due before something else happens.
    pub fn next(&self) -> Option<Instant> {
        let answers = self.answers().map(|(_, answer)| answer);
        let frame = self.frame.as_ref().map(|(frame, _)| frame);
        let silences = self.idle.as_ref().into_iter().chain(frame).chain(answers);
        silences
            .filter_map(|silence| silence.next_look(self.busy_since, self.judged))
            .chain(self.handshake.map(|(until, _)| until))
            .chain(self.ping)
            .chain(self.ending.as_ref().map(|(until, _)| *until))
            .min()
    }

    /// What is due, if anything. A ping is due once an interval.
    pub fn due(&mut self, now: Instant) -> Option<Due> {
        self.judged = self.judged.max(now);
        if let Some((_, reason)) = self.ending.take_if(|(until, _)| *until <= now) {
            return Some(Due::End(reason));
        }
        if let Some(reason) = self.handshake_overdue(now) {
            return Some(Due::End(reason));
        }
        if let (Some(idle), Some(limit)) = (self.idle, self.idle_limit)
            && idle.is_over(self.busy_since, now)
        {
            return Some(Due::End(DisconnectReason::Idle { limit }));
        }
        if let (Some((frame, _)), Some(limit)) = (self.frame, self.frame_limit)
            && frame.is_over(self.busy_since, now)
        {
            return Some(Due::End(DisconnectReason::FrameTimeout { limit }));
        }
        if let Some((rule, _)) = self.answers().find(|(_, answer)| answer.is_over(self.busy_since, now)) {
            return Some(Due::End(DisconnectReason::Stalled { request: rule.request, limit: rule.limit }));
        }
        if self.ping.is_some_and(|ping| ping <= now) {
            self.ping = after(now, self.ping_interval);
            return Some(Due::Ping);
        }
        None
    }
}

fn after(now: Instant, limit: Option<Duration>) -> Option<Instant> {
    limit.and_then(|limit| now.checked_add(limit))
}

fn silence(now: Instant, limit: Option<Duration>) -> Option<Silence> {
    limit.and_then(|limit| Silence::new(now, limit))
}

/// A set of commands. All custom commands are one element.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::peer) struct Commands(u32);

impl Commands {
    pub fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    pub fn bits(self) -> u32 {
        self.0
    }

    #[inline]
    pub fn contains(self, command: Command) -> bool {
        self.0 & bit(command) != 0
    }
}

impl FromIterator<Command> for Commands {
    fn from_iter<I: IntoIterator<Item = Command>>(commands: I) -> Self {
        Self(commands.into_iter().fold(0, |bits, command| bits | bit(command)))
    }
}

#[inline]
fn bit(command: Command) -> u32 {
    1 << command.index()
}

#[cfg(test)]
mod tests;
