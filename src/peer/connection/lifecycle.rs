//! The states of one connection: its start, its handshake, its end, the last callback, and the exit of its threads.
//!
//! ```text
//! starting ──► running ──► ended (the first reason wins) ──► the last thread calls on_disconnect ──► all threads exit
//!     └──► cancelled: a thread could not be started; no callback runs and nothing is sent
//! ```

use super::thread_identity::PeerIdentity;
use crate::peer::disconnect::DisconnectReason;
use crate::peer::error::WaitError;
use crate::peer::locks::{Condvar, Mutex};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::{convert::Infallible, sync::OnceLock, time::Instant};

/// The number of threads of a peer: the reader, the writer and the pinger.
pub(in crate::peer) const THREADS: usize = 3;

/// The state of one connection, from its start to its end. Shared by the threads of the peer, by the program's `Peer`
/// handles, and by receipts, with which a program waits until a message is written.
#[derive(Debug)]
pub(in crate::peer) struct Lifecycle {
    identity: PeerIdentity,
    /// The reason for the end, set once. It is outside the lock, because the reader thread reads it for every message.
    reason: OnceLock<DisconnectReason>,
    state: Mutex<State>,
    /// Notified when a change of `state` or `reason` may end a wait.
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    start: Start,
    handshake_done: bool,
    /// The quit channel. Its sender is dropped when the connection ends, which wakes every `select!` that waits on it.
    quit: Option<(Sender<Infallible>, Receiver<Infallible>)>,
    /// The number of threads that may still run callbacks. After a cancelled start, its value has no effect, because no
    /// callback runs.
    threads_with_callbacks: usize,
    /// The number of threads that have not exited.
    threads_running: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    Pending,
    Started,
    Cancelled,
}

impl Lifecycle {
    pub fn new() -> Self {
        Self {
            identity: PeerIdentity::new(),
            reason: OnceLock::new(),
            state: Mutex::new(State {
                start: Start::Pending,
                handshake_done: false,
                quit: Some(bounded(0)),
                threads_with_callbacks: THREADS,
                threads_running: THREADS,
            }),
            changed: Condvar::new(),
        }
    }

    pub fn identity(&self) -> PeerIdentity {
        self.identity
    }

    /// Lets the three threads begin.
    pub fn start(&self) {
        self.set_start(Start::Started);
    }

    /// Tells the running threads to exit. `missing` is the number of threads that do not run: the one that could not be
    /// started, and those after it, which were not tried.
    pub fn cancel(&self, missing: usize) {
        let mut state = self.state.lock();
        state.threads_running = state.threads_running.saturating_sub(missing);
        drop(state);
        self.set_start(Start::Cancelled);
    }

    fn set_start(&self, start: Start) {
        self.state.lock().start = start;
        self.changed.notify_all();
    }

    /// Called by each thread. Waits until all three are started. Returns `false` if the start was cancelled.
    pub fn wait_for_start(&self) -> bool {
        let mut state = self.state.lock();
        loop {
            match state.start {
                Start::Pending => self.changed.wait(&mut state),
                start => return start == Start::Started,
            }
        }
    }

    /// Sets the reason for the end unless one is set already, disconnects the quit channel, and wakes every waiting
    /// thread. Returns whether this call set the reason.
    pub fn end(&self, reason: DisconnectReason) -> bool {
        if self.reason.set(reason).is_err() {
            return false;
        }
        let quit = self.state.lock().quit.take();
        drop(quit);
        self.changed.notify_all();
        true
    }

    /// The reason for the end, or `None` if the connection has not ended.
    pub fn reason(&self) -> Option<&DisconnectReason> {
        self.reason.get()
    }

    /// The quit channel, which is disconnected when the connection ends. Nothing is ever sent on it.
    pub fn quit_channel(&self) -> Receiver<Infallible> {
        let quitting = self.state.lock().quit.as_ref().map(|(_, quitting)| quitting.clone());
        // After the end, returns a channel whose sender is dropped here, so that it is disconnected like the quit
        // channel.
        quitting.unwrap_or_else(|| bounded(0).1)
    }

    /// Waits until the connection has ended, or until `deadline`. With `None` it waits without a deadline.
    pub fn wait_for_end(&self, deadline: Option<Instant>) {
        let quit = self.quit_channel();
        // Nothing is ever sent on this channel. The end of the connection disconnects it.
        match deadline {
            Some(deadline) => drop(quit.recv_deadline(deadline)),
            None => drop(quit.recv()),
        }
    }

    /// Records that the handshake is done: both sides have sent `version` and `verack`.
    pub fn set_handshake_done(&self) {
        self.state.lock().handshake_done = true;
        self.changed.notify_all();
    }

    pub fn is_handshake_done(&self) -> bool {
        self.state.lock().handshake_done
    }

    /// Waits until the handshake is done. Returns `false` if `deadline` passes first. With `None` it waits without a
    /// deadline.
    ///
    /// # Errors
    ///
    /// [`WaitError::Closed`] with the reason if the connection ends first, and [`WaitError::InCallback`] on one of the
    /// peer's own threads.
    pub fn wait_for_handshake(&self, deadline: Option<Instant>) -> Result<bool, WaitError> {
        self.identity.check_not_current()?;
        let mut timed_out = false;
        let mut state = self.state.lock();
        loop {
            if state.handshake_done {
                return Ok(true);
            }
            if let Some(reason) = self.reason() {
                return Err(WaitError::Closed(reason.clone()));
            }
            match deadline {
                _ if timed_out => return Ok(false),
                Some(deadline) => timed_out = self.changed.wait_until(&mut state, deadline).timed_out(),
                None => self.changed.wait(&mut state),
            }
        }
    }

    /// Called by each thread after its last callback. Returns `true` for the last thread, which must then call
    /// `on_disconnect`. After [`cancel`](Self::cancel) it always returns `false`.
    pub fn finish_callbacks(&self) -> bool {
        let mut state = self.state.lock();
        state.threads_with_callbacks = state.threads_with_callbacks.saturating_sub(1);
        state.threads_with_callbacks == 0 && state.start == Start::Started
    }

    /// Called by each thread right before it exits. When the last thread has called it,
    /// [`wait_until_finished`](Self::wait_until_finished) returns.
    pub fn thread_exits(&self) {
        let mut state = self.state.lock();
        state.threads_running = state.threads_running.saturating_sub(1);
        drop(state);
        self.changed.notify_all();
    }

    /// Waits until all threads have exited. Returns `false` if `deadline` passes first. With `None` it waits without a
    /// deadline.
    pub fn wait_until_finished(&self, deadline: Option<Instant>) -> bool {
        let mut timed_out = false;
        let mut state = self.state.lock();
        while state.threads_running > 0 {
            match deadline {
                _ if timed_out => return false,
                Some(deadline) => timed_out = self.changed.wait_until(&mut state, deadline).timed_out(),
                None => self.changed.wait(&mut state),
            }
        }
        true
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;
    use std::thread;
    use std::time::Duration;

    #[test]
    fn the_first_reason_wins() {
        let lifecycle = Lifecycle::new();
        assert!(lifecycle.end(DisconnectReason::Local));
        assert!(!lifecycle.end(DisconnectReason::Idle { limit: Duration::ZERO }));
        assert_eq!(lifecycle.reason(), Some(&DisconnectReason::Local));
        assert!(lifecycle.quit_channel().recv().is_err());
    }

    #[test]
    fn only_the_last_thread_to_leave_calls_on_disconnect() {
        let lifecycle = Lifecycle::new();
        lifecycle.start();
        assert_eq!([(); THREADS].map(|()| lifecycle.finish_callbacks()), [false, false, true]);
    }

    #[test]
    fn a_cancelled_start_runs_no_callback_and_is_finished_when_the_started_threads_have_exited() {
        let lifecycle = Lifecycle::new();
        lifecycle.cancel(1);
        for _ in 0..THREADS - 1 {
            assert!(!lifecycle.wait_for_start());
            assert!(!lifecycle.wait_until_finished(Some(Instant::now())));
            assert!(!lifecycle.finish_callbacks());
            lifecycle.thread_exits();
        }
        assert!(lifecycle.wait_until_finished(None));
    }

    #[test]
    fn waiting_for_the_handshake_ends_at_its_deadline() {
        assert_eq!(Lifecycle::new().wait_for_handshake(Some(Instant::now())), Ok(false));
    }

    #[test]
    fn waiting_for_the_handshake_ends_when_it_is_done_or_when_the_connection_ends() {
        for ends in [false, true] {
            let lifecycle = Lifecycle::new();
            thread::scope(|scope| {
                let waiter = scope.spawn(|| lifecycle.wait_for_handshake(None));
                if ends {
                    lifecycle.end(DisconnectReason::Local);
                } else {
                    lifecycle.set_handshake_done();
                }
                let expected = if ends { Err(WaitError::Closed(DisconnectReason::Local)) } else { Ok(true) };
                assert_eq!(waiter.join().unwrap(), expected);
                assert_eq!(lifecycle.is_handshake_done(), !ends);
            });
        }
    }
}
