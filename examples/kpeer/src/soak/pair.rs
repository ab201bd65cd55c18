//! One connection with both its ends, and the receipts of what was queued on it.

use super::counts::{Counts, End, Tally};
use super::link::{Control, Link, Speed};
use crossbeam_channel::Receiver;
use kaspa_peer::peer::Direction;
use kaspa_peer::{Config, Peer, Receipt, WaitError};
use socket2::SockRef;
use std::error::Error;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// Longer than a connection takes to end, even when the process is paused meanwhile.
pub const END_TIMEOUT: Duration = Duration::from_secs(60);

pub struct Pair {
    pub dialled: Peer,
    pub accepted: Peer,
    /// The socket of the dialled peer.
    pub socket: TcpStream,
    /// Of the peer that was dialled, and of the one that was accepted.
    pub controls: [Control; 2],
    pub receipts: Receipts,
    /// Until when one end reads slowly.
    pub slow_until: Option<Instant>,
}

impl Pair {
    pub fn connect(listener: &TcpListener, alice: &Config, bob: &Config) -> Result<Self, Box<dyn Error>> {
        let address = listener.local_addr()?;
        let stream = TcpStream::connect(address)?;
        let socket = stream.try_clone()?;
        let (remote, from) = listener.accept()?;
        let ((stream, dialled_control), (remote, accepted_control)) = (Link::new(stream)?, Link::new(remote)?);
        let dialled = Peer::outbound(stream, address, alice)?;
        let accepted = Peer::inbound(remote, from, bob)?;
        let controls = [dialled_control, accepted_control];
        Ok(Self { dialled, accepted, socket, controls, receipts: Receipts::default(), slow_until: None })
    }

    pub fn is_connected(&self) -> bool {
        self.dialled.is_connected() && self.accepted.is_connected()
    }

    /// Makes the accepted end read slowly for a while, or at full speed again when that time is over.
    pub fn set_slow(&mut self, until: Option<Instant>) {
        let [_, accepted] = &self.controls;
        accepted.set_speed(if until.is_some() { Speed::Slow } else { Speed::Full });
        self.slow_until = until;
    }
}

/// A connection that is about to end.
pub struct Ending {
    /// `None` if its handle was dropped.
    pub dialled: Option<Peer>,
    pub accepted: Peer,
    pub control: Control,
    pub receipts: Receipts,
    deadline: Instant,
}

impl Ending {
    pub fn new(pair: Pair, end: Option<End>) -> Self {
        let Pair { dialled, accepted, socket, controls: [dialled_control, control], receipts, .. } = pair;
        if end == Some(End::Reset) {
            dialled_control.reset_at_end();
            // The clone keeps the socket open: without lingering, closing the last one resets the connection.
            drop(SockRef::from(&socket).set_linger(Some(Duration::ZERO)));
            dialled.disconnect();
        }
        let dialled = (end != Some(End::Drop)).then_some(dialled);
        let deadline = Instant::now() + END_TIMEOUT;
        Self { dialled, accepted, control, receipts, deadline }
    }

    /// Returns whether both peers have ended. Does not wait.
    pub fn is_over(&self, counts: &Counts) -> bool {
        let has_ended = |peer: &Peer| peer.wait_for_disconnect_timeout(Duration::ZERO).is_ok();
        if !self.dialled.as_ref().is_none_or(has_ended) {
            return self.is_late(counts);
        }
        // A stopped reader would never notice that the other end has gone.
        self.control.set_speed(Speed::Full);
        has_ended(&self.accepted) || self.is_late(counts)
    }

    fn is_late(&self, counts: &Counts) -> bool {
        let is_late = Instant::now() > self.deadline;
        if is_late {
            counts.complain(format!("{} did not end within {END_TIMEOUT:?}", self.accepted));
        }
        is_late
    }
}

/// Receipts that wait to be resolved.
#[derive(Default)]
pub struct Receipts(Vec<Tracked>);

struct Tracked {
    /// The direction of the peer that sends the message.
    direction: Direction,
    receipt: Receipt,
    /// Receives one value if the message is written, and none if it never will be.
    channel: Receiver<()>,
}

impl Receipts {
    /// Adds the receipt of a message of one end.
    pub fn add(&mut self, receipt: Receipt, direction: Direction, tally: &mut Tally) {
        tally.receipts += 1;
        let channel = receipt.receiver();
        self.0.push(Tracked { direction, receipt, channel });
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Copies of those of one end.
    pub fn of(&self, direction: Direction) -> Vec<Receipt> {
        let of_end = self.0.iter().filter(|tracked| tracked.direction == direction);
        of_end.map(|tracked| tracked.receipt.clone()).collect()
    }

    /// Counts and forgets those that are resolved.
    pub fn count_resolved(&mut self, tally: &mut Tally, counts: &Counts) {
        self.0.retain(|tracked| match tracked.receipt.try_wait() {
            None => true,
            Some(result) => {
                tracked.count(result, tally, counts);
                false
            }
        });
    }

    /// Waits for all of them. The connection is about to end, so that this does not take long.
    pub fn count_all(self, tally: &mut Tally, counts: &Counts) {
        for tracked in self.0 {
            tracked.count(tracked.receipt.wait_timeout(END_TIMEOUT), tally, counts);
        }
    }
}

impl Tracked {
    /// Counts the outcome, and checks that everything else that tells it agrees.
    fn count(&self, result: Result<(), WaitError>, tally: &mut Tally, counts: &Counts) {
        let is_written = result.is_ok();
        match result {
            Ok(()) => tally.written += 1,
            Err(WaitError::Closed(_)) => tally.not_written += 1,
            Err(error) => return counts.complain(format!("a receipt was not resolved: {error}")),
        }
        let first = self.channel.recv_timeout(END_TIMEOUT);
        let values = usize::from(first.is_ok()) + self.channel.try_iter().count();
        if values != usize::from(is_written) {
            counts.complain(format!("the channel of a receipt had {values} values; written: {is_written}"));
        }
        if self.receipt.try_wait().map(|again| again.is_ok()) != Some(is_written) {
            counts.complain(format!("a receipt changed its outcome; written at first: {is_written}"));
        }
    }
}
