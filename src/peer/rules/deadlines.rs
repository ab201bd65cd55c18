//! All that must happen until some time: pure, given the time. The pinger asks what is due; the others say what
//! happened.

use crate::peer::DisconnectReason;
use crate::peer::config::{Settings, StallRule};
use crate::peer::disconnect::HandshakeError;
use crate::wire::Command;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// What is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::peer) enum Due {
    /// Send a ping.
    Ping,
    /// Disconnect.
    End(DisconnectReason),
}

/// The deadlines of one peer.
#[derive(Debug)]
pub(in crate::peer) struct Deadlines {
    handshake: Option<(Instant, Duration)>,
    idle: Option<Instant>,
    idle_limit: Option<Duration>,
    /// Until when the frame that is on its way must be whole, and which it is.
    frame: Option<(Instant, u64)>,
    frame_limit: Option<Duration>,
    ping: Option<Instant>,
    ping_interval: Option<Duration>,
    rules: Arc<[StallRule]>,
    stalls: Vec<Option<Armed>>,
    last_words: Option<(Instant, DisconnectReason)>,
    /// Since when what was read is being worked through: callbacks run, and what they delay is not the remote's fault.
    busy_since: Option<Instant>,
}

/// A request that waits for its answer.
#[derive(Debug, Clone, Copy)]
struct Armed {
    at: Instant,
    until: Instant,
}

impl Deadlines {
    pub fn new(settings: &Settings, now: Instant) -> Self {
        let limit = settings.handshake_timeout;
        Self {
            handshake: now.checked_add(limit).map(|until| (until, limit)),
            idle: None,
            idle_limit: settings.idle_timeout,
            frame: None,
            frame_limit: settings.frame_timeout,
            ping: None,
            ping_interval: settings.ping_interval,
            rules: Arc::clone(&settings.stall_rules),
            stalls: vec![None; settings.stall_rules.len()],
            last_words: None,
            busy_since: None,
        }
    }

    /// Why the handshake has failed, if it should be done by now and is not. The reader asks for itself: on a busy machine
    /// a whole handshake can pass before the pinger wakes up, and what is too late must not depend on that.
    pub fn handshake_overdue(&self, now: Instant) -> Option<DisconnectReason> {
        let (_, limit) = self.handshake.filter(|(until, _)| *until <= now)?;
        Some(DisconnectReason::Handshake(HandshakeError::Timeout { limit }))
    }

    /// The handshake is done: pings and the idle timeout begin.
    pub fn introduced(&mut self, now: Instant) {
        self.handshake = None;
        self.idle = after(now, self.idle_limit);
        self.ping = after(now, self.ping_interval);
    }

    /// The writer is about to write a request.
    pub fn requested(&mut self, request: Command, now: Instant) {
        for (rule, armed) in self.rules.iter().zip(&mut self.stalls) {
            if rule.request == request {
                *armed = now.checked_add(rule.limit).map(|until| Armed { at: now, until });
            }
        }
    }

    /// What the writer was about to write at `at` is written: answers that are still due have their time from now on.
    pub fn written(&mut self, at: Instant, now: Instant) {
        for (rule, armed) in self.rules.iter().zip(&mut self.stalls) {
            if armed.is_some_and(|armed| armed.at == at) {
                *armed = now.checked_add(rule.limit).map(|until| Armed { at: now, until });
            }
        }
    }

    /// A message arrived that may answer a request.
    pub fn answered(&mut self, answer: Command) {
        for (rule, armed) in self.rules.iter().zip(&mut self.stalls) {
            if rule.answers.contains(&answer) {
                *armed = None;
            }
        }
    }

    /// What would answer a request that waits.
    pub fn awaited(&self) -> Commands {
        let waiting = self.rules.iter().zip(&self.stalls).filter(|(_, armed)| armed.is_some());
        waiting.flat_map(|(rule, _)| rule.answers.iter().copied()).collect()
    }

    /// Bytes were read and are now worked through.
    pub fn busy(&mut self, now: Instant) {
        self.busy_since = Some(now);
    }

    /// What is left belongs to a frame that is on its way, named by a place in the stream; `None` when nothing is left.
    pub fn mid_frame(&mut self, place: Option<u64>, now: Instant) {
        self.frame = match (place, self.frame) {
            (Some(place), Some((until, same))) if place == same => Some((until, place)),
            (Some(place), _) => after(now, self.frame_limit).map(|until| (until, place)),
            (None, _) => None,
        };
    }

    /// They were worked through; `heard` tells whether they completed a message.
    pub fn idle(&mut self, now: Instant, heard: bool) {
        let Some(since) = self.busy_since.take() else { return };
        if self.handshake.is_none() {
            self.idle = match self.idle {
                Some(_) if heard => after(now, self.idle_limit),
                idle => idle.and_then(|idle| idle.checked_add(now - since)),
            };
        }
        self.frame = self.frame.and_then(|(until, place)| Some((until.checked_add(now - since)?, place)));
        for stall in &mut self.stalls {
            *stall = stall.and_then(|Armed { at, until }| {
                Some(Armed { at, until: until.checked_add(now.saturating_duration_since(since.max(at)))? })
            });
        }
    }

    /// Writing failed: what the remote still says may tell why, so reading goes on until then.
    pub fn last_words(&mut self, until: Instant, reason: DisconnectReason) {
        self.last_words = Some((until, reason));
    }

    /// When to look again; `None` when nothing can become due before something else happens.
    pub fn next(&self) -> Option<Instant> {
        let counted = self.busy_since.is_none().then(|| self.stalls.iter().flatten().map(|armed| armed.until));
        counted
            .into_iter()
            .flatten()
            .chain(self.idle.filter(|_| self.busy_since.is_none()))
            .chain(self.frame.filter(|_| self.busy_since.is_none()).map(|(until, _)| until))
            .chain(self.handshake.map(|(until, _)| until))
            .chain(self.ping)
            .chain(self.last_words.as_ref().map(|(until, _)| *until))
            .min()
    }

    /// What is due, if anything; a ping is due once an interval.
    pub fn due(&mut self, now: Instant) -> Option<Due> {
        if let Some((_, reason)) = self.last_words.take_if(|(until, _)| *until <= now) {
            return Some(Due::End(reason));
        }
        if let Some(reason) = self.handshake_overdue(now) {
            return Some(Due::End(reason));
        }
        if self.busy_since.is_none() {
            if let (Some(idle), Some(limit)) = (self.idle, self.idle_limit)
                && idle <= now
            {
                return Some(Due::End(DisconnectReason::Idle { limit }));
            }
            if let (Some((frame, _)), Some(limit)) = (self.frame, self.frame_limit)
                && frame <= now
            {
                return Some(Due::End(DisconnectReason::FrameTimeout { limit }));
            }
            let stalled = self.stalls.iter().position(|armed| armed.is_some_and(|armed| armed.until <= now));
            if let Some(&StallRule { request, limit, .. }) = stalled.and_then(|index| self.rules.get(index)) {
                return Some(Due::End(DisconnectReason::Stalled { request, limit }));
            }
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

/// A set of commands; all unknown ones are one.
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
