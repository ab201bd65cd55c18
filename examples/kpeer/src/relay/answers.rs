//! Sends one peer the answers to its requests.
//!
//! A callback must not wait for room in the outbound queue, and a peer may ask for more than fits. So callbacks only note
//! what to send, and a thread per peer sends it, one message after the other.

use super::store::{Key, Store};
use crossbeam_channel::{Receiver, Sender, unbounded};
use kaspa_peer::wire::{Frame, Inventory, MAX_INVENTORY, NotFound, SelectedTip};
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

/// The relay waits until a frame above this size is written before it takes the next one from the store. So a peer that
/// does not read holds the memory of one large frame, and not also of the next.
const LARGE: usize = 1 << 20;

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
                    Some(frame) => send_item(peer, &frame),
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

fn send_item(peer: &Peer, frame: &Frame) -> Result<(), QueueError> {
    let receipt = send(|| peer.send_frame(frame, SLOW))?;
    if frame.as_bytes().len() > LARGE {
        // Fails if the connection ends. Then the next answer cannot be sent.
        let _ = receipt.wait();
    }
    Ok(())
}

/// Repeats sending until there is room. A peer that takes its bytes slowly gets all of them; the write timeout ends one that
/// takes none.
fn send<T>(mut send: impl FnMut() -> Result<T, QueueError>) -> Result<T, QueueError> {
    loop {
        match send() {
            Err(QueueError::Timeout { .. }) => {}
            result => return result,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use kaspa_peer::testing::connect_remote;
    use kaspa_peer::wire::{Network, Transaction, TxFields, TxOutput};
    use kaspa_peer::{Config, Direction};

    #[test]
    fn a_peer_that_does_not_read_holds_one_large_frame() {
        let config = Config::builder(Network::Simnet).build().unwrap();
        let (peer, mut remote) = connect_remote(Direction::Inbound, &config).unwrap();
        remote.shake_hands().unwrap();
        peer.wait_for_handshake().unwrap();
        let store = Arc::new(Mutex::new(Store::default()));
        let answers = Answers::start(&peer, &store).unwrap();
        let large = [1, 2].map(|value| {
            let outputs = vec![TxOutput { value, script: vec![0x51; 2 * LARGE] }];
            Transaction::new(&TxFields { outputs, ..TxFields::default() }).unwrap()
        });
        let [first, second] = &large;
        let insert = |tx: &Transaction| {
            let frame = Frame::encode(tx, Network::Simnet).unwrap();
            store.lock().insert(Key::Tx(tx.id()), frame);
        };
        insert(first);
        for tx in &large {
            assert!(answers.push(Answer::Item(Inventory::tx(tx.id()))));
        }
        // A thread that did not wait would look for the second transaction now, and not find it.
        thread::sleep(Duration::from_millis(300));
        insert(second);
        for tx in &large {
            assert_eq!(remote.expect::<Transaction>().unwrap(), *tx);
        }
    }
}
