//! Sends one peer the answers to its requests.
//!
//! A callback must not wait for room in the outbound queue, and a peer may ask for more than fits. So callbacks only note
//! what to send, and a thread per peer sends it, one message after the other.

use super::store::{Key, Store};
use crossbeam_channel::{Receiver, Sender, unbounded};
use kaspa_peer::wire::{Inventory, MAX_INVENTORY, NotFound, SelectedTip};
use kaspa_peer::{Peer, QueueError};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use std::{io, thread};

/// The write timeout: a peer is slow if it takes no bytes for this long.
pub const SLOW: Duration = Duration::from_secs(20);

/// How many items may wait to be sent to one peer: one request of the maximum length, and a few more.
const MAX_WAITING: usize = MAX_INVENTORY + MAX_INVENTORY / 10;

/// One answer.
pub enum Answer {
    /// The item, or `notfound` if the store has removed it meanwhile.
    Item(Inventory),
    NotFound(Vec<Inventory>),
    /// The zero hash, because a relay has no DAG. A real node disconnects without an answer.
    SelectedTip,
}

impl Answer {
    fn size(&self) -> usize {
        match self {
            Self::NotFound(items) => items.len(),
            Self::Item(_) | Self::SelectedTip => 1,
        }
    }
}

/// The answers to one peer. Dropping it ends the thread.
pub struct Answers {
    sender: Sender<Answer>,
    waiting: Arc<AtomicUsize>,
}

impl Answers {
    pub fn start(peer: &Peer, store: &Arc<Mutex<Store>>) -> io::Result<Self> {
        let (sender, answers) = unbounded();
        let waiting = Arc::new(AtomicUsize::new(0));
        let (peer, store, sent) = (peer.clone(), Arc::clone(store), Arc::clone(&waiting));
        thread::Builder::new()
            .name(format!("answers-{}", peer.id()))
            .spawn(move || run(&peer, &answers, &store, &sent))?;
        Ok(Self { sender, waiting })
    }

    /// Notes an answer. Returns false if too many wait already.
    pub fn push(&self, answer: Answer) -> bool {
        let size = answer.size();
        if self.waiting.fetch_add(size, Ordering::Relaxed) + size > MAX_WAITING {
            return false;
        }
        // Sending fails after the thread has ended, which it does only when the connection has.
        let _ = self.sender.send(answer);
        true
    }
}

fn run(peer: &Peer, answers: &Receiver<Answer>, store: &Mutex<Store>, waiting: &AtomicUsize) {
    for answer in answers {
        let size = answer.size();
        let result = match answer {
            Answer::Item(item) => {
                let frame = Key::of(&item).and_then(|key| store.lock().get(&key));
                match frame {
                    Some(frame) => send(|| peer.send_frame(&frame, SLOW).map(drop)),
                    None => send(|| peer.send_message(&NotFound::from(vec![item]), SLOW).map(drop)),
                }
            }
            Answer::NotFound(items) => {
                let message = NotFound::from(items);
                send(|| peer.send_message(&message, SLOW).map(drop))
            }
            Answer::SelectedTip => send(|| peer.send_message(&SelectedTip::default(), SLOW).map(drop)),
        };
        if result.is_err() {
            return peer.disconnect();
        }
        waiting.fetch_sub(size, Ordering::Relaxed);
    }
}

/// Repeats sending until there is room. A peer that takes its bytes slowly gets all of them; the write timeout ends one that
/// takes none.
fn send(mut send: impl FnMut() -> Result<(), QueueError>) -> Result<(), QueueError> {
    loop {
        match send() {
            Err(QueueError::Timeout { .. }) => {}
            result => return result,
        }
    }
}
