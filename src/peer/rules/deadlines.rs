//! The deadlines of a connection. The callers pass the current time. The pinger asks what is due, and the other threads
//! report what happened.

use super::stall_rule::StallRule;
use crate::peer::disconnect::{DisconnectReason, HandshakeError};
use crate::wire::Command;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// If the pinger wakes up at most this late, `pinger_woke` leaves the deadlines as they are.
const TOLERATED_LATENESS: Duration = Duration::from_millis(250);

/// If the pinger woke up late, the whole process was probably stopped, and the reader with it. `pinger_woke` then
/// extends the deadlines by the lateness plus this time, in which the reader can handle the bytes that arrived in the
/// meantime.
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

/// An action whose time has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::peer) enum Due {
    /// Send a ping.
    Ping,
    /// Disconnect.
    End(DisconnectReason),
}

/// The deadlines of one peer.
///
/// The idle, frame and stall deadlines pass if the remote does not send what it should. While the reader handles
/// received bytes, callbacks of the program may run. A slow callback is not the remote's fault, so this time extends
/// the three deadlines. Callbacks extend each deadline by at most its own timeout. A remote that keeps the reader busy
/// but sends no answer is therefore disconnected after at most twice the timeout. Decoding extends the deadlines like
/// callbacks do, because separating the two would mean reading the clock twice for each message. Waiting for bytes and
/// the pauses of the rate limit extend no deadline.
#[derive(Debug)]
pub(in crate::peer) struct Deadlines {
    /// The deadline of the handshake, and its timeout. `None` when the handshake is done.
    handshake: Option<(Instant, Duration)>,
    idle: Option<ExtendableDeadline>,
    idle_timeout: Option<Duration>,
    /// The deadline of the frame that is arriving, and a number that identifies the frame.
    frame: Option<(ExtendableDeadline, u64)>,
    frame_timeout: Option<Duration>,
    /// The command of the frame that is arriving.
    arriving: Option<Command>,
    ping: Option<Instant>,
    ping_interval: Option<Duration>,
    rules: Arc<[StallRule]>,
    rule_states: Vec<RuleState>,
    /// The connection ends at this time for this reason, unless it ends earlier.
    ending: Option<(Instant, DisconnectReason)>,
    /// The time at which the reader started to handle the bytes that it read last. `None` while it waits for bytes.
    busy_since: Option<Instant>,
    /// The time at which the pinger last checked the deadlines.
    last_check: Instant,
}

/// A deadline that passes if the remote is silent. Callbacks and late wake-ups of the pinger extend it.
#[derive(Debug, Clone, Copy)]
struct ExtendableDeadline {
    /// The time at which the deadline was set. Callbacks extend the deadline only by the time that they take after this
    /// point.
    from: Instant,
    /// The deadline, with all extensions by a late pinger and by callbacks that have ended.
    at: Instant,
    /// The part of the allowance for callbacks that is left: the deadline can still be extended by this much.
    credit: Duration,
    /// How much more catch-up time can be added to the deadline, see [`Deadlines::pinger_woke`].
    catch_up: Duration,
}

impl ExtendableDeadline {
    fn new(now: Instant, timeout: Duration) -> Option<Self> {
        Some(Self { from: now, at: now.checked_add(timeout)?, credit: timeout, catch_up: timeout })
    }

    /// The time by which callbacks between `busy_since` and `now` extend this deadline.
    fn extension_at(&self, busy_since: Instant, now: Instant) -> Duration {
        now.saturating_duration_since(busy_since.max(self.from)).min(self.credit)
    }

    /// Extends the deadline by the time that the ended callbacks took. `None` if the result does not fit an
    /// [`Instant`].
    fn extended(self, busy_since: Instant, now: Instant) -> Option<Self> {
        let extension = self.extension_at(busy_since, now);
        Some(Self { at: self.at.checked_add(extension)?, credit: self.credit - extension, ..self })
    }

    fn is_over(&self, busy_since: Option<Instant>, now: Instant) -> bool {
        let extension = busy_since.map_or(Duration::ZERO, |since| self.extension_at(since, now));
        self.at.checked_add(extension).is_some_and(|at| at <= now)
    }

    /// The time at which the pinger must check this deadline next. `last_check` is the time of its last check.
    ///
    /// While callbacks run, a deadline can be extended until its credit is used up. The pinger first checks at `at`. If
    /// callbacks are running then, it checks again at `at + credit`, the latest time to which they can extend the
    /// deadline. If the callbacks end earlier, `extended` sets the new deadline, and `Shared::with_deadlines` wakes the
    /// pinger if necessary.
    fn next_check(&self, busy_since: Option<Instant>, last_check: Instant) -> Option<Instant> {
        match busy_since {
            Some(since) if since < self.at && self.at <= last_check => self.at.checked_add(self.credit),
            _ => Some(self.at),
        }
    }
}

/// The state of one stall rule.
#[derive(Debug, Clone, Copy, Default)]
struct RuleState {
    /// The writer is writing a request of this rule.
    being_written: bool,
    /// The deadline of the answer to the last request that was completely written.
    answer_deadline: Option<ExtendableDeadline>,
}

impl Deadlines {
    pub fn new(timeouts: Timeouts, now: Instant) -> Self {
        let limit = timeouts.handshake;
        Self {
            handshake: now.checked_add(limit).map(|deadline| (deadline, limit)),
            idle: None,
            idle_timeout: timeouts.idle,
            frame: None,
            frame_timeout: timeouts.frame,
            arriving: None,
            ping: None,
            ping_interval: timeouts.ping_interval,
            rule_states: vec![RuleState::default(); timeouts.stall_rules.len()],
            rules: timeouts.stall_rules,
            ending: None,
            busy_since: None,
            last_check: now,
        }
    }

    /// The reason to disconnect, if the deadline of the handshake has passed. The reader calls this too. On a busy
    /// machine, the last message of a late handshake can arrive before the pinger wakes up, and the handshake must fail
    /// nevertheless. If the pinger has found the handshake overdue, it stays overdue for the reader too, whose `now` is
    /// the time at which its bytes arrived. The pinger may not have ended the connection yet.
    pub fn handshake_overdue(&self, now: Instant) -> Option<DisconnectReason> {
        let (_, limit) = self.handshake.filter(|(deadline, _)| *deadline <= now.max(self.last_check))?;
        Some(DisconnectReason::Handshake(HandshakeError::Timeout { limit }))
    }

    /// Called when the handshake is done. Starts the pings and the idle timeout. If the handshake is overdue, this method
    /// changes nothing and returns the reason to disconnect.
    pub fn handshake_done(&mut self, now: Instant) -> Option<DisconnectReason> {
        let overdue = self.handshake_overdue(now);
        if overdue.is_none() {
            self.handshake = None;
            self.idle = deadline_after(now, self.idle_timeout);
            self.ping = instant_after(now, self.ping_interval);
        }
        overdue
    }

    /// Called just before the writer writes a request. The answer has no deadline yet. If the answer arrives before
    /// `written` is called, `written` starts no deadline.
    pub fn about_to_write(&mut self, request: Command) {
        for (rule, state) in self.rules.iter().zip(&mut self.rule_states) {
            state.being_written |= rule.request == request;
        }
    }

    /// Called when the last byte of a request is written. Starts the deadline of the answer. A repeated request starts
    /// it again.
    pub fn written(&mut self, request: Command, now: Instant) {
        for (rule, state) in self.rules.iter().zip(&mut self.rule_states) {
            if rule.request == request && (state.being_written || state.answer_deadline.is_some()) {
                *state = RuleState { being_written: false, answer_deadline: ExtendableDeadline::new(now, rule.limit) };
            }
        }
    }

    /// Called when a message arrives that may answer a request. Removes the deadline of the answer. If one request has
    /// been written completely and another is still being written, the message counts as the answer to the first.
    pub fn answered(&mut self, answer: Command) {
        for (rule, state) in self.rules.iter().zip(&mut self.rule_states) {
            if rule.answers.contains(&answer) && state.answer_deadline.take().is_none() {
                state.being_written = false;
            }
        }
    }

    /// The commands of the messages that would answer a request that is being written or has been written.
    pub fn awaited(&self) -> Commands {
        let waiting = self.rules.iter().zip(&self.rule_states);
        let waiting = waiting.filter(|(_, state)| state.being_written || state.answer_deadline.is_some());
        waiting.flat_map(|(rule, _)| rule.answers.iter().copied()).collect()
    }

    /// Called when the reader has read bytes and starts to handle them.
    pub fn reader_busy(&mut self, now: Instant) {
        self.busy_since = Some(now);
    }

    /// Called when the reader has handled the bytes and waits for more. `message_completed` is `true` if they completed
    /// a message.
    pub fn reader_waits(&mut self, now: Instant, message_completed: bool) {
        let Some(since) = self.busy_since.take() else { return };
        if self.handshake.is_none() {
            self.idle = match self.idle {
                Some(_) if message_completed => deadline_after(now, self.idle_timeout),
                idle => idle.and_then(|idle| idle.extended(since, now)),
            };
        }
        self.frame = self.frame.and_then(|(frame, number)| Some((frame.extended(since, now)?, number)));
        for state in &mut self.rule_states {
            state.answer_deadline = state.answer_deadline.and_then(|answer| answer.extended(since, now));
        }
    }

    /// Sets the frame that is arriving. `number` identifies the frame in the stream. It is `None` between frames.
    /// `command` is `None` until the header has arrived.
    pub fn frame_arriving(&mut self, number: Option<u64>, command: Option<Command>, now: Instant) {
        self.arriving = command;
        self.frame = match (number, self.frame) {
            (Some(number), Some((frame, current))) if number == current => Some((frame, number)),
            (Some(number), _) => deadline_after(now, self.frame_timeout).map(|frame| (frame, number)),
            (None, _) => None,
        };
    }

    /// Makes the connection end at `deadline` for `reason`, unless it ends earlier. Called when a last `reject` is
    /// queued and when writing failed.
    pub fn end_at(&mut self, deadline: Instant, reason: DisconnectReason) {
        if self.ending.as_ref().is_none_or(|(earlier, _)| deadline < *earlier) {
            self.ending = Some((deadline, reason));
        }
    }

    /// Extends the deadlines if the pinger woke up late: at `now`, though it was to sleep only until `planned`.
    ///
    /// If it woke up much too late, the process was stopped or the machine is overloaded, and the reader has not
    /// handled the bytes that arrived in that time either. So the idle, frame and stall deadlines are extended by the
    /// lateness, and by a second in which the reader can catch up. The catch-up time that is added to one deadline is
    /// at most the timeout of that deadline in total, even if the pinger is late several times. The lateness needs no
    /// bound, because it only gives back time in which nothing was handled. The catch-up time needs a bound: on a
    /// machine on which the pinger is always late, unbounded catch-up time would keep a silent remote connected.
    pub fn pinger_woke(&mut self, planned: Instant, now: Instant) {
        let late = now.saturating_duration_since(planned);
        if late <= TOLERATED_LATENESS {
            return;
        }
        let frame = self.frame.as_mut().map(|(frame, _)| frame);
        let answers = self.rule_states.iter_mut().filter_map(|state| state.answer_deadline.as_mut());
        for deadline in self.idle.as_mut().into_iter().chain(frame).chain(answers) {
            let catch_up = CATCH_UP.min(deadline.catch_up);
            deadline.catch_up -= catch_up;
            // If the sum does not fit an `Instant`, the old deadline stays. It is so far away that it never passes.
            deadline.at = deadline.at.checked_add(late.saturating_add(catch_up)).unwrap_or(deadline.at);
        }
    }

    /// The answer deadlines that apply now. While a frame that would answer a request is arriving, the frame deadline
    /// replaces the answer deadline, if there is a frame deadline.
    fn answer_deadlines(&self) -> impl Iterator<Item = (&StallRule, &ExtendableDeadline)> {
        let arriving = self.arriving.filter(|_| self.frame.is_some());
        let all = self
            .rules
            .iter()
            .zip(&self.rule_states)
            .filter_map(|(rule, state)| Some((rule, state.answer_deadline.as_ref()?)));
        all.filter(move |(rule, _)| !arriving.is_some_and(|command| rule.answers.contains(&command)))
    }

    /// The time at which the pinger must check the deadlines next. `None` if none is set.
    pub fn next(&self) -> Option<Instant> {
        let answers = self.answer_deadlines().map(|(_, answer)| answer);
        let frame = self.frame.as_ref().map(|(frame, _)| frame);
        let deadlines = self.idle.as_ref().into_iter().chain(frame).chain(answers);
        deadlines
            .filter_map(|deadline| deadline.next_check(self.busy_since, self.last_check))
            .chain(self.handshake.map(|(deadline, _)| deadline))
            .chain(self.ping)
            .chain(self.ending.as_ref().map(|(deadline, _)| *deadline))
            .min()
    }

    /// The action that is due, if there is one. A ping is due once in each interval.
    pub fn due(&mut self, now: Instant) -> Option<Due> {
        self.last_check = self.last_check.max(now);
        if let Some((_, reason)) = self.ending.take_if(|(deadline, _)| *deadline <= now) {
            return Some(Due::End(reason));
        }
        if let Some(reason) = self.handshake_overdue(now) {
            return Some(Due::End(reason));
        }
        if let (Some(idle), Some(limit)) = (self.idle, self.idle_timeout)
            && idle.is_over(self.busy_since, now)
        {
            return Some(Due::End(DisconnectReason::Idle { limit }));
        }
        if let (Some((frame, _)), Some(limit)) = (self.frame, self.frame_timeout)
            && frame.is_over(self.busy_since, now)
        {
            return Some(Due::End(DisconnectReason::FrameTimeout { limit }));
        }
        if let Some((rule, _)) = self.answer_deadlines().find(|(_, answer)| answer.is_over(self.busy_since, now)) {
            return Some(Due::End(DisconnectReason::Stalled { request: rule.request, limit: rule.limit }));
        }
        if self.ping.is_some_and(|ping| ping <= now) {
            self.ping = instant_after(now, self.ping_interval);
            return Some(Due::Ping);
        }
        None
    }
}

fn instant_after(now: Instant, timeout: Option<Duration>) -> Option<Instant> {
    timeout.and_then(|timeout| now.checked_add(timeout))
}

fn deadline_after(now: Instant, timeout: Option<Duration>) -> Option<ExtendableDeadline> {
    timeout.and_then(|timeout| ExtendableDeadline::new(now, timeout))
}

/// A set of commands. All custom commands share one bit, so the set cannot tell them apart.
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
