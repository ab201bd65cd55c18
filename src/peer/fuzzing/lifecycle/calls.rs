//! The calls that the program makes to a peer, from its own threads and from callbacks.

use super::connection::{NETWORK, NUMBERED, ORDINARY_REJECT, announcements, panic_quietly};
use super::record::Record;
use crate::peer::fuzzing::Choices;
use crate::peer::{AskError, CloseError, Peer, QueueError, Receipt, WaitError};
use crate::wire::{CustomMessage, Frame, GetSelectedTip, Hash, Inventory, Reject, RejectCode};
use parking_lot::Mutex;
use std::cell::RefCell;
use std::thread;
use std::time::Duration;

thread_local! {
    /// Handles whose destructor runs when the thread has ended.
    static HELD: RefCell<Vec<Held>> = const { RefCell::new(Vec::new()) };
}

/// Uses the peer in its destructor.
struct Held(Peer);

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.queue_message(&GetSelectedTip);
        self.0.disconnect();
        let _ = self.0.stats();
    }
}

/// Runs the destructors that wait for the end of this thread.
pub(super) fn release_held() {
    drop(HELD.take());
}

/// The thread that calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caller {
    /// The thread of the harness. It waits only a little, because it makes everything else happen.
    Main,
    /// Another thread of the program.
    Helper,
    /// One of the peer's.
    Callback,
}

impl Caller {
    fn may_wait(self) -> bool {
        self != Self::Callback
    }
}

/// The program: what it saw, and the handles that it keeps.
pub(super) struct Program {
    pub record: Record,
    pub handles: Mutex<Vec<Peer>>,
    /// The connection ends when the last handle is dropped. Then no thread keeps one for ever.
    pub drops_last_handle: bool,
    /// Calls may end the connection.
    pub ends: bool,
}

impl Program {
    /// Calls one method of the peer and checks its result.
    pub fn call(&self, peer: &Peer, caller: Caller, choices: &mut Choices<'_>) {
        match choices.byte() % 24 {
            8..=11 | 22 | 23 if !self.ends => self.look(peer),
            0..=3 => self.queue(peer, choices),
            4 => self.queue_frame(peer, choices),
            5 => self.send(peer, caller, choices),
            6 => self.ask(peer, caller, choices),
            7 => self.ping(peer, caller, choices),
            8 => self.close(peer, caller, choices),
            9 => self.disconnect(peer),
            10 => self.disconnect_with(peer, caller),
            11 => self.misbehave(peer, choices),
            12 | 13 => self.announce(peer, choices),
            14 => self.look(peer),
            15 | 16 => self.receipt(caller, choices),
            17 => self.wait_for_handshake(peer, caller, choices),
            18 => self.wait_for_disconnect(peer, caller, choices),
            19 => self.push(peer, caller, choices),
            20 => self.handles.lock().push(peer.clone()),
            21 => {
                let handle = self.handles.lock().pop();
                drop(handle);
            }
            22 if caller != Caller::Callback || !self.drops_last_handle => {
                HELD.with_borrow_mut(|held| held.push(Held(peer.clone())))
            }
            _ if caller == Caller::Callback && choices.flag() => {
                self.record.causes.lock().panics = true;
                panic_quietly();
            }
            _ => thread::yield_now(),
        }
    }

    fn timeout(&self, caller: Caller, choices: &mut Choices<'_>) -> Duration {
        let short = [Duration::ZERO, Duration::from_micros(100), Duration::from_millis(1)];
        match (choices.byte() % 6, caller) {
            // A callback must be refused at once, however long it would wait.
            (0, Caller::Callback) => Duration::MAX,
            (0 | 1, Caller::Helper) if self.drops_last_handle => Duration::from_millis(5),
            (0 | 1, Caller::Helper) => Duration::MAX,
            (other, _) => short[usize::from(other) % short.len()],
        }
    }

    fn message(&self, choices: &mut Choices<'_>) -> (u64, CustomMessage) {
        let number = self.record.number();
        let mut payload = number.to_le_bytes().to_vec();
        payload.resize(8 + choices.of(&[0, 0, 0, 10, 100, 1000, 41_000, 90_000]), 0);
        (number, CustomMessage::new(NUMBERED, payload).expect("well-formed"))
    }

    fn queued(&self, number: u64, result: Result<Receipt, QueueError>, caller: Caller, choices: &mut Choices<'_>) {
        match result {
            Ok(receipt) => self.record.queued(number, receipt, choices.byte() % 4 == 1),
            Err(error @ QueueError::Closed(_)) => self.record.queue_error(&error),
            Err(QueueError::Full { .. }) => {}
            Err(QueueError::Timeout { .. }) if caller.may_wait() => {}
            Err(QueueError::InCallback) if !caller.may_wait() => {}
            Err(error) => self.record.fault(format!("queueing as {caller:?}: {error:?}")),
        }
    }

    fn queue(&self, peer: &Peer, choices: &mut Choices<'_>) {
        let (number, message) = self.message(choices);
        let result = peer.queue_message(&message);
        let waited = matches!(result, Err(QueueError::Timeout { .. } | QueueError::InCallback));
        self.record.check(!waited, || format!("queue_message: {result:?}"));
        self.queued(number, result, Caller::Main, choices);
    }

    fn queue_frame(&self, peer: &Peer, choices: &mut Choices<'_>) {
        let (number, message) = self.message(choices);
        let frame = Frame::encode(&message, NETWORK).expect("can be encoded");
        self.queued(number, peer.queue_frame(&frame), Caller::Main, choices);
    }

    fn send(&self, peer: &Peer, caller: Caller, choices: &mut Choices<'_>) {
        let (number, message) = self.message(choices);
        let result = peer.send_message(&message, self.timeout(caller, choices));
        let is_full = matches!(result, Err(QueueError::Full { .. }));
        self.record.check(!is_full, || format!("send_message: {result:?}"));
        self.queued(number, result, caller, choices);
    }

    fn ask(&self, peer: &Peer, caller: Caller, choices: &mut Choices<'_>) {
        let timeout = self.timeout(caller, choices);
        let result = match choices.byte() % 3 {
            0 => peer.ask(&GetSelectedTip, timeout).map(drop),
            1 => peer.fetch_block(Hash::ZERO, timeout).map(drop),
            _ => peer.fetch_transaction(Hash::ZERO, timeout).map(drop),
        };
        let fits = match &result {
            Err(AskError::InCallback) => !caller.may_wait(),
            Err(AskError::Closed(reason)) => {
                self.record.reason("a question", reason.clone());
                caller.may_wait()
            }
            Err(AskError::Timeout { waited, .. }) => caller.may_wait() && *waited == timeout,
            Err(AskError::Queue(error)) => {
                caller.may_wait() && matches!(error, QueueError::Full { .. } | QueueError::InCallback)
            }
            _ => caller.may_wait(),
        };
        self.record.check(fits, || format!("asking as {caller:?} for {timeout:?}: {result:?}"));
    }

    fn ping(&self, peer: &Peer, caller: Caller, choices: &mut Choices<'_>) {
        let timeout = self.timeout(caller, choices);
        self.waited("ping", caller, timeout, peer.ping_timeout(timeout).map(drop));
    }

    /// Checks the result of a call that waits.
    fn waited(&self, call: &'static str, caller: Caller, timeout: Duration, result: Result<(), WaitError>) {
        let fits = match &result {
            Err(WaitError::InCallback) => !caller.may_wait(),
            Err(WaitError::Timeout { waited, .. }) => caller.may_wait() && *waited == timeout,
            Err(WaitError::Queue(QueueError::Full { .. })) | Ok(()) => caller.may_wait(),
            Err(error @ WaitError::Closed(_)) => {
                self.record.wait_error(call, error);
                caller.may_wait()
            }
            Err(WaitError::Queue(_) | WaitError::CustomCommand(_) | WaitError::CustomPayload { .. }) => false,
        };
        self.record.check(fits, || format!("{call} as {caller:?} for {timeout:?}: {result:?}"));
    }

    pub fn close(&self, peer: &Peer, caller: Caller, choices: &mut Choices<'_>) {
        let timeout = self.timeout(caller, choices);
        self.record.causes.lock().closes |= caller.may_wait();
        let result = peer.close(timeout);
        let fits = match &result {
            Err(CloseError::InCallback) => !caller.may_wait(),
            Err(CloseError::NotSent { waited, .. }) => caller.may_wait() && *waited == timeout,
            Err(CloseError::Closed(reason)) => {
                self.record.reason("close", reason.clone());
                caller.may_wait()
            }
            Ok(()) => caller.may_wait(),
        };
        self.record.check(fits, || format!("closing as {caller:?} for {timeout:?}: {result:?}"));
        if caller.may_wait() {
            self.check_ended(peer, "close");
        }
    }

    /// A connection whose stream works shakes hands, writes every message and gets every answer, or ends.
    pub fn check_works(&self, peer: &Peer, remote_answers: bool, deadline: Duration) {
        let check = |what: &str, result: Result<(), WaitError>| {
            let late = matches!(result, Err(WaitError::Timeout { .. }));
            let panics = self.record.causes.lock().panics;
            self.record.check(!late || panics, || format!("{what} although the stream works"));
        };
        check("the handshake is not done", peer.wait_for_handshake_timeout(deadline));
        if let Ok(receipt) = peer.queue_message(&GetSelectedTip) {
            check("a message is not written", receipt.wait_timeout(deadline));
        }
        if remote_answers {
            check("a ping is not answered", peer.ping_timeout(deadline).map(drop));
        }
    }

    fn check_ended(&self, peer: &Peer, call: &'static str) {
        match peer.disconnect_reason() {
            Some(reason) => self.record.reason(call, reason),
            None => self.record.fault(format!("{call} has not ended the connection")),
        }
        self.record.check(!peer.is_connected(), || format!("connected after {call}"));
    }

    pub fn disconnect(&self, peer: &Peer) {
        peer.disconnect();
        self.check_ended(peer, "disconnect");
    }

    fn disconnect_with(&self, peer: &Peer, caller: Caller) {
        match peer.disconnect_with(&Reject::new("tx", RejectCode::INVALID, "last")) {
            Ok(()) => {
                self.record.has_last_message();
                if caller == Caller::Callback && thread::current().name().is_some_and(|name| name.ends_with("read")) {
                    self.record.be_quiet();
                }
                let again = peer.disconnect_with(&Reject::new("tx", RejectCode::INVALID, "last"));
                self.record.check(matches!(again, Err(QueueError::Closed(_))), || format!("twice: {again:?}"));
            }
            Err(error @ QueueError::Closed(_)) => self.record.queue_error(&error),
            Err(error) => self.record.fault(format!("disconnect_with: {error:?}")),
        }
    }

    fn misbehave(&self, peer: &Peer, choices: &mut Choices<'_>) {
        self.record.causes.lock().misbehaves = true;
        let limit = peer.settings().score_limit();
        let score = peer.misbehaved(u32::from(choices.byte() % 8), "chosen by the harness");
        if limit.is_some_and(|limit| score >= limit.threshold) {
            self.check_ended(peer, "misbehaved");
        }
    }

    fn announce(&self, peer: &Peer, choices: &mut Choices<'_>) {
        let items = announcements(choices.byte());
        match choices.byte() % 4 {
            0 => items.iter().for_each(|item| peer.add_known_inventory(*item)),
            _ => match peer.queue_inventories(&items) {
                Ok(()) | Err(QueueError::InventoryFull { .. } | QueueError::Full { .. }) => {}
                Err(error @ QueueError::Closed(_)) => self.record.queue_error(&error),
                Err(error) => self.record.fault(format!("queue_inventory: {error:?}")),
            },
        }
    }

    /// Calls the methods that only tell.
    pub fn look(&self, peer: &Peer) {
        let (reason, done) = (peer.disconnect_reason(), peer.is_handshake_done());
        let stats = peer.stats();
        self.record.check(stats.id == peer.id(), || "the id changed".into());
        if let Some(reason) = reason {
            self.record.check(!peer.is_connected(), || "connected after the end".into());
            self.record.check(peer.disconnect_reason().as_ref() == Some(&reason), || "the reason changed".into());
            self.record.reason("disconnect_reason", reason);
        }
        self.record.check(!done || stats.handshake_done, || "the statistics do not know of the handshake".into());
        let _ = (peer.remote(), peer.is_selected_tip_known(), peer.to_string(), peer == &peer.clone());
        peer.set_selected_tip(Hash::ZERO);
    }

    fn receipt(&self, caller: Caller, choices: &mut Choices<'_>) {
        let Some(receipt) = self.record.ask_receipt(choices.byte()) else { return };
        let timeout = self.timeout(caller, choices);
        self.waited("a receipt", caller, timeout, receipt.wait_timeout(timeout));
    }

    fn wait_for_handshake(&self, peer: &Peer, caller: Caller, choices: &mut Choices<'_>) {
        let timeout = self.timeout(caller, choices);
        let result = peer.wait_for_handshake_timeout(timeout);
        self.record.check(result.is_err() || peer.is_handshake_done(), || "no handshake after waiting for it".into());
        self.waited("wait_for_handshake", caller, timeout, result);
    }

    fn wait_for_disconnect(&self, peer: &Peer, caller: Caller, choices: &mut Choices<'_>) {
        let timeout = self.timeout(caller, choices);
        let result = peer.wait_for_disconnect_timeout(timeout);
        if let Ok(reason) = &result {
            self.record.reason("wait_for_disconnect", reason.clone());
            self.record.check_finished();
        }
        self.waited("wait_for_disconnect", caller, timeout, result.map(drop));
    }

    fn push(&self, peer: &Peer, caller: Caller, choices: &mut Choices<'_>) {
        let hash = choices.hash();
        let result = match choices.byte() % 4 {
            0 => peer.push_get_headers(hash, Hash::ZERO).map(drop),
            1 => peer.push_get_block_invs(hash, Hash::ZERO).map(drop),
            2 => peer.queue_inventory(Inventory::sync_block(hash)),
            _ => {
                let timeout = self.timeout(caller, choices);
                let result = peer.push_reject_and_wait("tx", RejectCode::INVALID, ORDINARY_REJECT, Some(hash), timeout);
                match result {
                    Err(error @ (WaitError::Closed(_) | WaitError::Queue(QueueError::Full { .. }))) => {
                        self.record.wait_error("push_reject_and_wait", &error);
                    }
                    result => self.waited("push_reject_and_wait", caller, timeout, result),
                }
                Ok(())
            }
        };
        match result {
            Ok(()) | Err(QueueError::Full { .. } | QueueError::InventoryFull { .. }) => {}
            Err(error @ QueueError::Closed(_)) => self.record.queue_error(&error),
            Err(error) => self.record.fault(format!("a helper: {error:?}")),
        }
    }
}
