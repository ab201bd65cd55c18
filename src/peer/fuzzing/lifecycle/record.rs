//! The observations of the program about one peer, checked against the promises.

use super::connection::{Connection, is_expected, is_last, number};
use crate::peer::{DisconnectReason, HandshakeError, IoOperation, QueueError, Receipt, WaitError};
use crossbeam_channel::{Receiver, TryRecvError};
use parking_lot::{Condvar, Mutex};
use std::collections::HashSet;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, ThreadId};
use std::time::Instant;

/// The source of the reasons with which messages were refused.
const REFUSED: &str = "a refused message";

/// The observations. Shared by the threads of the program and the callbacks.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// Broken promises. A panic in a callback would only end the peer, so the harness reports them at the end.
    faults: Mutex<Vec<String>>,
    /// Every reason that a call or a callback was given.
    reasons: Mutex<Vec<(&'static str, DisconnectReason)>>,
    receipts: Mutex<Vec<Queued>>,
    next_number: AtomicU64,
    /// How many callbacks run.
    callbacks: AtomicUsize,
    /// The reader thread must call no callback for a later message.
    quiet: AtomicBool,
    disconnects: Mutex<usize>,
    /// `on_disconnect` has returned or panicked.
    after_disconnect: AtomicBool,
    disconnected: Condvar,
    /// `disconnect_with` has accepted a reject.
    has_last_message: AtomicBool,
    pub causes: Mutex<Causes>,
}

/// The causes that can end the connection.
#[derive(Debug, Default)]
pub(super) struct Causes {
    /// Callbacks, the `DagView` or the stream may panic.
    pub panics: bool,
    pub read_errors: Vec<io::ErrorKind>,
    pub write_errors: Vec<io::ErrorKind>,
    pub remote_closes: bool,
    pub remote_sends: bool,
    pub misbehaves: bool,
    /// `close` was called.
    pub closes: bool,
    /// The timeouts that are so short that they can pass.
    pub handshake_timeout: bool,
    pub idle_timeout: bool,
    pub frame_timeout: bool,
    pub stall_rules: bool,
    pub rate_limit: bool,
}

#[derive(Debug)]
struct Queued {
    number: u64,
    thread: ThreadId,
    receipt: Receipt,
    channel: Option<Receiver<()>>,
    seen: Option<Result<(), WaitError>>,
}

impl Record {
    pub fn fault(&self, fault: impl Into<String>) {
        self.faults.lock().push(fault.into());
    }

    pub fn check(&self, holds: bool, fault: impl FnOnce() -> String) {
        if !holds {
            self.fault(fault());
        }
    }

    pub fn reason(&self, source: &'static str, reason: DisconnectReason) {
        self.reasons.lock().push((source, reason));
    }

    /// Notes the reason in the error of a call that queues, if it has one.
    pub fn queue_error(&self, error: &QueueError) {
        if let QueueError::Closed(reason) = error {
            self.reason(REFUSED, reason.clone());
        }
    }

    pub fn wait_error(&self, source: &'static str, error: &WaitError) {
        match error {
            WaitError::Closed(reason) => self.reason(source, reason.clone()),
            WaitError::Queue(error) => self.queue_error(error),
            _ => {}
        }
    }

    pub fn has_last_message(&self) {
        self.has_last_message.store(true, Ordering::Release);
    }

    // ---- receipts

    /// A number for the next message.
    pub fn number(&self) -> u64 {
        self.next_number.fetch_add(1, Ordering::Relaxed)
    }

    pub fn queued(&self, number: u64, receipt: Receipt, with_channel: bool) {
        let channel = with_channel.then(|| receipt.receiver());
        let thread = thread::current().id();
        self.receipts.lock().push(Queued { number, thread, receipt, channel, seen: None });
    }

    /// Asks one of the receipts without waiting. Returns it, to be waited for.
    pub fn ask_receipt(&self, choice: u8) -> Option<Receipt> {
        let mut receipts = self.receipts.lock();
        let count = receipts.len();
        let queued = receipts.get_mut(usize::from(choice).checked_rem(count)?)?;
        if let Some(outcome) = queued.receipt.try_wait() {
            queued.outcome(self, outcome);
        }
        Some(queued.receipt.clone())
    }

    // ---- callbacks

    /// Runs a callback, which must not be the last one.
    pub fn callback<T>(&self, reads_message: bool, run: impl FnOnce() -> T) -> T {
        struct Running<'a>(&'a Record);
        impl Drop for Running<'_> {
            fn drop(&mut self) {
                self.0.callbacks.fetch_sub(1, Ordering::SeqCst);
            }
        }
        self.callbacks.fetch_add(1, Ordering::SeqCst);
        let running = Running(self);
        self.check(*self.disconnects.lock() == 0, || "a callback ran after on_disconnect".into());
        if reads_message {
            let quiet = self.quiet.load(Ordering::SeqCst);
            self.check(!quiet, || "a message was delivered after the reader's own disconnect_with".into());
        }
        let result = run();
        drop(running);
        result
    }

    /// A callback of the reader thread has ended the connection with a reject.
    pub fn be_quiet(&self) {
        self.quiet.store(true, Ordering::SeqCst);
    }

    /// Runs `on_disconnect`.
    pub fn last_callback(&self, reason: &DisconnectReason, run: impl FnOnce()) {
        struct Returned<'a>(&'a AtomicBool);
        impl Drop for Returned<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        let _returned = Returned(&self.after_disconnect);
        self.begin_disconnect(reason);
        run();
    }

    /// The threads of the peer have ended, so the last callback has returned.
    pub fn check_finished(&self) {
        let returned = self.after_disconnect.load(Ordering::SeqCst);
        self.check(returned, || "wait_for_disconnect returned before on_disconnect".into());
    }

    fn begin_disconnect(&self, reason: &DisconnectReason) {
        self.reason("on_disconnect", reason.clone());
        let running = self.callbacks.load(Ordering::SeqCst);
        self.check(running == 0, || format!("on_disconnect ran beside {running} callbacks"));
        let mut disconnects = self.disconnects.lock();
        *disconnects += 1;
        self.check(*disconnects == 1, || format!("on_disconnect ran {} times", *disconnects));
        self.disconnected.notify_all();
        drop(disconnects);
        let receipts = self.receipts.lock();
        let waiting = receipts.iter().find(|queued| queued.receipt.try_wait().is_none());
        self.check(waiting.is_none(), || format!("on_disconnect runs before {waiting:?} has an outcome"));
    }

    /// Waits until `on_disconnect` runs. Returns whether it does by `deadline`.
    pub fn wait_for_disconnect(&self, deadline: Instant) -> bool {
        let mut disconnects = self.disconnects.lock();
        while *disconnects == 0 {
            if self.disconnected.wait_until(&mut disconnects, deadline).timed_out() {
                return false;
            }
        }
        true
    }

    // ---- at the end

    /// The peer was never started.
    pub fn check_not_started(&self) {
        let disconnects = *self.disconnects.lock();
        self.check(disconnects == 0, || "on_disconnect ran although the start failed".into());
        self.report();
    }

    /// Checks everything once the peer has ended.
    pub fn check_ended(&self, connection: &Connection) {
        let (messages, fault) = connection.received();
        fault.into_iter().for_each(|fault| self.fault(fault));
        let unexpected = messages.iter().find(|message| !is_expected(message));
        self.check(unexpected.is_none(), || format!("the remote received {unexpected:?}"));
        if let Some(last) = messages.iter().position(is_last) {
            let behind = messages.len() - last - 1;
            self.check(behind == 0, || format!("{behind} messages follow the last one: {:?}", &messages[last..]));
        }
        let numbers: Vec<u64> = messages.iter().filter_map(number).collect();
        self.check_receipts(&numbers);
        self.check_reasons();
        let disconnects = *self.disconnects.lock();
        self.check(disconnects == 1, || format!("on_disconnect ran {disconnects} times"));
        self.check(connection.shut_down() == 1, || format!("shut down {} times", connection.shut_down()));
    }

    /// Every receipt says whether the remote received its message, and each thread's messages arrived in their order.
    fn check_receipts(&self, received: &[u64]) {
        let arrived: HashSet<u64> = received.iter().copied().collect();
        self.check(arrived.len() == received.len(), || format!("a message was written twice: {received:?}"));
        let mut receipts = self.receipts.lock();
        for queued in receipts.iter_mut() {
            let Some(outcome) = queued.receipt.try_wait() else {
                self.fault(format!("the receipt of {} has no outcome", queued.number));
                continue;
            };
            queued.outcome(self, outcome.clone());
            if let Err(error) = &outcome {
                self.check(matches!(error, WaitError::Closed(_)), || format!("a receipt has the outcome {error:?}"));
                self.wait_error("a receipt", error);
            }
            let was_received = arrived.contains(&queued.number);
            self.check(outcome.is_ok() == was_received, || {
                format!("the receipt of {} says {outcome:?}, received: {was_received}", queued.number)
            });
            let told = queued.channel.as_ref().map(|channel| channel.try_recv());
            let expected = if was_received { Ok(()) } else { Err(TryRecvError::Disconnected) };
            self.check(told.is_none_or(|told| told == expected), || {
                format!("the channel of {} has {told:?}, received: {was_received}", queued.number)
            });
        }
        let place = |number: u64| received.iter().position(|received| *received == number);
        let threads: HashSet<ThreadId> = receipts.iter().map(|queued| queued.thread).collect();
        for thread in threads {
            let mut numbers: Vec<u64> =
                receipts.iter().filter(|queued| queued.thread == thread).map(|queued| queued.number).collect();
            numbers.sort_unstable();
            let places: Vec<Option<usize>> = numbers.iter().map(|number| place(*number)).collect();
            // Those that were not written follow all that were.
            self.check(places.is_sorted_by_key(|place| place.unwrap_or(usize::MAX)), || {
                format!("a thread's messages {numbers:?} arrived as {received:?}")
            });
        }
    }

    /// All reasons are the same, and it is one that this connection can have ended for.
    fn check_reasons(&self) {
        let reasons = self.reasons.lock();
        let Some((_, first)) = reasons.iter().find(|(source, _)| *source == "on_disconnect") else { return };
        let causes = self.causes.lock();
        // While `close` waits, messages are refused because of this side, and another reason may come first.
        let by_close = |source: &str, reason: &DisconnectReason| {
            let queues = [REFUSED, "a question", "ping", "push_reject_and_wait"].contains(&source);
            causes.closes && queues && *reason == DisconnectReason::Local
        };
        let other = reasons.iter().find(|(source, reason)| reason != first && !by_close(source, reason));
        self.check(other.is_none(), || format!("on_disconnect has {first:?}, but {other:?}"));
        self.check(causes.allow(first), || format!("ended for {first:?} with {causes:?}"));
        if self.has_last_message.load(Ordering::Acquire) {
            let local = *first == DisconnectReason::Local;
            self.check(local, || format!("disconnect_with was accepted, but the reason is {first:?}"));
        }
    }

    /// Panics if a promise was broken.
    pub fn report(&self) {
        let faults = self.faults.lock();
        assert!(faults.is_empty(), "{faults:#?}");
    }
}

impl Queued {
    fn outcome(&mut self, record: &Record, outcome: Result<(), WaitError>) {
        let before = self.seen.get_or_insert_with(|| outcome.clone());
        record.check(*before == outcome, || format!("the outcome of {} changed: {before:?}, {outcome:?}", self.number));
    }
}

impl Causes {
    fn allow(&self, reason: &DisconnectReason) -> bool {
        let is_wait = |kind: &io::ErrorKind| matches!(kind, io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
        match reason {
            DisconnectReason::Local => true,
            DisconnectReason::RemoteClosed { .. }
            | DisconnectReason::Handshake(HandshakeError::RemoteClosed { .. }) => self.remote_closes,
            DisconnectReason::Handshake(HandshakeError::Timeout { .. }) => self.handshake_timeout,
            DisconnectReason::Handshake(_)
            | DisconnectReason::Malformed(_)
            | DisconnectReason::Protocol(_)
            | DisconnectReason::BloomNotOffered { .. }
            | DisconnectReason::CustomCommand(_)
            | DisconnectReason::QueueFull { .. } => self.remote_sends,
            DisconnectReason::Idle { .. } => self.idle_timeout,
            DisconnectReason::FrameTimeout { .. } => self.frame_timeout,
            DisconnectReason::Stalled { .. } => self.stall_rules,
            DisconnectReason::RateExceeded { .. } => self.rate_limit,
            DisconnectReason::Misbehaved { .. } => self.misbehaves,
            DisconnectReason::CallbackPanicked { .. } => self.panics,
            DisconnectReason::WriteStalled { .. } => self.write_errors.iter().any(is_wait),
            DisconnectReason::Io { operation: IoOperation::Read, kind, .. } => self.read_errors.contains(kind),
            DisconnectReason::Io { operation: IoOperation::Write, kind, .. } => self.write_errors.contains(kind),
        }
    }
}
