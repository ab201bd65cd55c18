//! Round-trip times, computed from the times at which pings were written and pongs arrived.

use crossbeam_channel::Sender;
use std::time::{Duration, Instant, SystemTime};

/// The last ping, and the round-trip times so far.
#[derive(Debug, Default)]
pub(in crate::peer) struct Pings {
    last_nonce: Option<u64>,
    last_sent: Option<(Instant, SystemTime)>,
    last_rtt: Option<Duration>,
    min_rtt: Option<Duration>,
    waiting: Vec<Waiting>,
}

/// A caller of `Peer::ping` that waits for the pong with a nonce.
#[derive(Debug)]
struct Waiting {
    nonce: u64,
    sent: Option<Instant>,
    answer: Sender<Duration>,
}

impl Pings {
    /// Sends the round-trip time of the ping with this nonce to `answer` once its pong arrives.
    pub fn wait(&mut self, nonce: u64, answer: Sender<Duration>) {
        self.waiting.push(Waiting { nonce, sent: None, answer });
    }

    /// Forgets the caller that waits for this nonce.
    pub fn forget(&mut self, nonce: u64) {
        self.waiting.retain(|waiting| waiting.nonce != nonce);
        self.free_if_empty();
    }

    /// Frees the memory of the list if no caller waits. Otherwise the handles of an ended peer would keep this memory.
    fn free_if_empty(&mut self) {
        if self.waiting.is_empty() {
            self.waiting = Vec::new();
        }
    }

    /// Records that a ping is about to be written.
    pub fn sent(&mut self, nonce: u64, now: Instant, clock: SystemTime) {
        self.last_nonce = Some(nonce);
        self.last_sent = Some((now, clock));
        for waiting in self.waiting.iter_mut().filter(|waiting| waiting.nonce == nonce) {
            waiting.sent = Some(now);
        }
    }

    /// Records that a pong arrived. The first pong with the nonce of the last ping sets the round-trip time, unless the
    /// nonce is 0. A caller that waits for this nonce gets its round-trip time.
    pub fn answered(&mut self, nonce: u64, now: Instant) {
        if let (Some((sent, _)), true) = (self.last_sent, self.last_nonce == Some(nonce) && nonce != 0) {
            self.last_nonce = None;
            self.note(now.saturating_duration_since(sent));
        }
        if let Some(index) = self.waiting.iter().position(|waiting| waiting.nonce == nonce && waiting.sent.is_some()) {
            let waiting = self.waiting.swap_remove(index);
            self.free_if_empty();
            let rtt = waiting.sent.map(|sent| now.saturating_duration_since(sent)).unwrap_or_default();
            // Fails if the caller has stopped waiting, which is fine.
            let _ = waiting.answer.try_send(rtt);
        }
    }

    fn note(&mut self, rtt: Duration) {
        self.last_rtt = Some(rtt);
        self.min_rtt = Some(self.min_rtt.map_or(rtt, |min| min.min(rtt)));
    }

    /// The nonce of the last ping, until it is answered.
    pub fn last_nonce(&self) -> Option<u64> {
        self.last_nonce
    }

    pub fn last_sent(&self) -> Option<SystemTime> {
        self.last_sent.map(|(_, clock)| clock)
    }

    pub fn last_rtt(&self) -> Option<Duration> {
        self.last_rtt
    }

    pub fn min_rtt(&self) -> Option<Duration> {
        self.min_rtt
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::bounded;

    const MS: Duration = Duration::from_millis(1);

    fn ping_and_pong(pings: &mut Pings, nonce: u64, pong: u64, took: Duration) {
        let now = Instant::now();
        pings.sent(nonce, now, SystemTime::now());
        pings.answered(pong, now + took);
    }

    #[test]
    fn the_smallest_round_trip_time_starts_at_none_and_only_falls() {
        let mut pings = Pings::default();
        assert_eq!((pings.last_rtt(), pings.min_rtt()), (None, None));
        ping_and_pong(&mut pings, 1, 1, 20 * MS);
        assert_eq!((pings.last_rtt(), pings.min_rtt()), (Some(20 * MS), Some(20 * MS)));
        ping_and_pong(&mut pings, 2, 2, 10 * MS);
        ping_and_pong(&mut pings, 3, 3, 30 * MS);
        assert_eq!((pings.last_rtt(), pings.min_rtt()), (Some(30 * MS), Some(10 * MS)));
    }

    #[test]
    fn a_pong_counts_once_and_only_for_the_last_ping() {
        let mut pings = Pings::default();
        let now = Instant::now();
        pings.answered(5, now);
        pings.sent(7, now, SystemTime::now());
        pings.answered(8, now + MS);
        assert_eq!(pings.last_rtt(), None);
        assert_eq!(pings.last_nonce(), Some(7));
        pings.answered(7, now + 2 * MS);
        assert_eq!(pings.last_nonce(), None);
        pings.answered(7, now + 9 * MS);
        assert_eq!(pings.last_rtt(), Some(2 * MS));
    }

    #[test]
    fn a_nonce_of_zero_never_matches() {
        let mut pings = Pings::default();
        ping_and_pong(&mut pings, 0, 0, MS);
        assert_eq!((pings.last_rtt(), pings.last_nonce()), (None, Some(0)));
    }

    #[test]
    fn two_waiting_callers_both_get_a_round_trip_time() {
        let mut pings = Pings::default();
        let (first, second) = (bounded(1), bounded(1));
        pings.wait(1, first.0);
        pings.wait(2, second.0);
        let now = Instant::now();
        pings.answered(1, now);
        assert!(first.1.is_empty(), "a pong before its ping");
        pings.sent(1, now, SystemTime::now());
        pings.sent(2, now, SystemTime::now());
        pings.answered(2, now + 2 * MS);
        pings.answered(1, now + 3 * MS);
        assert_eq!((first.1.try_recv(), second.1.try_recv()), (Ok(3 * MS), Ok(2 * MS)));
    }

    #[test]
    fn only_a_waiting_caller_whose_ping_was_sent_gets_a_round_trip_time() {
        let (now, clock) = (Instant::now(), SystemTime::now());
        let mut pings = Pings::default();
        let [first, second, third] = [1, 2, 3].map(|nonce| {
            let (answer, answered) = bounded(1);
            pings.wait(nonce, answer);
            answered
        });
        pings.sent(1, now, clock);
        pings.sent(3, now, clock);
        assert_eq!(pings.last_sent(), Some(clock));
        pings.forget(1);
        for nonce in [1, 2, 3] {
            pings.answered(nonce, now + Duration::from_secs(1));
        }
        assert!(first.try_recv().is_err(), "nobody waits for it any more");
        assert!(second.try_recv().is_err(), "it was not sent");
        assert_eq!(third.try_recv(), Ok(Duration::from_secs(1)));
    }
}
