//! Knowing that a message was really sent.

use super::sync::{Condvar, Mutex};
use super::{DisconnectReason, WaitError, current};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::{
    mem,
    panic::{RefUnwindSafe, UnwindSafe},
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

/// The end of one connection, once it is there.
pub(super) type Ending = OnceLock<DisconnectReason>;

/// Tells whether a queued message was written to the socket.
///
/// It resolves exactly once: when the message's last byte was accepted by the socket, or when the connection ended
/// before that; whoever asks later is told the same. Receipts of one peer that say "written" do so in the order in which
/// their messages were queued. Dropping one does not take the message back.
///
/// [`wait`](Self::wait) is the simple way to ask; with [`receiver`](Self::receiver) it stands beside other channels:
///
/// ```
/// use crossbeam_channel::{bounded, select};
/// use kaspa_peer::wire::{GetAddr, Network};
/// # use kaspa_peer::{Config, Peer};
/// # use std::net::{TcpListener, TcpStream};
/// # let (alice, bob) = (Config::builder(Network::Simnet).build()?, Config::builder(Network::Simnet).build()?);
/// # let door = TcpListener::bind("127.0.0.1:0")?;
/// # let peer = Peer::outbound(TcpStream::connect(door.local_addr()?)?, door.local_addr()?, &alice)?;
/// # let (stream, from) = door.accept()?;
/// # let other = Peer::inbound(stream, from, &bob)?;
///
/// let (_quit, quitting) = bounded::<()>(0);
/// let receipt = peer.queue_message(&GetAddr::all())?;
/// let written = select! {
///     recv(receipt.receiver()) -> told => told.is_ok(), // otherwise the peer went away first
///     recv(quitting) -> _ => false,
/// };
/// assert!(written);
/// assert_eq!(receipt.try_wait(), Some(Ok(()))); // and so it stays
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "a receipt tells nothing unless it is asked; to send without one use queue_message"]
pub struct Receipt {
    fate: Arc<Fate>,
    told: OnceLock<Receiver<()>>,
    ending: Arc<Ending>,
    peer: current::PeerKey,
}

/// No panic of the program's can leave it half done: nothing of the program's runs behind its lock.
impl UnwindSafe for Receipt {}
impl RefUnwindSafe for Receipt {}

/// Receipts are equal when they are of the same message.
impl PartialEq for Receipt {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.fate, &other.fate)
    }
}

impl Eq for Receipt {}

/// The other end: dropping it says "not written".
#[derive(Debug)]
pub(super) struct Unsent(Arc<Fate>);

/// What became of one message. Small and in one piece: it goes back and forth between two threads for each message.
#[derive(Debug, Default)]
struct Fate {
    state: Mutex<State>,
    known: Condvar,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Open,
    /// Open, and a channel to be told over.
    Watched(Sender<()>),
    Written,
    Lost,
}

impl Fate {
    fn settle(&self, fate: State) {
        let mut state = self.state.lock();
        if let State::Written | State::Lost = *state {
            return;
        }
        let before = mem::replace(&mut *state, fate);
        // What has room for one takes one.
        if let (State::Watched(tell), State::Written) = (&before, &*state) {
            let _ = tell.try_send(());
        }
        drop(state);
        self.known.notify_all();
    }
}

impl Unsent {
    /// The message was written.
    pub fn written(&self) {
        self.0.settle(State::Written);
    }
}

impl Drop for Unsent {
    fn drop(&mut self) {
        self.0.settle(State::Lost);
    }
}

impl Receipt {
    pub(super) fn new(ending: Arc<Ending>, peer: current::PeerKey) -> (Unsent, Self) {
        let fate = Arc::<Fate>::default();
        (Unsent(Arc::clone(&fate)), Self { fate, told: OnceLock::new(), ending, peer })
    }

    /// Waits until the message is written or will never be.
    ///
    /// This can take as long as the remote takes to read what was queued before; the write timeout bounds it.
    ///
    /// # Errors
    ///
    /// [`WaitError::Closed`] with the reason when the message was not sent; [`WaitError::InCallback`] in a callback of
    /// the same peer.
    pub fn wait(&self) -> Result<(), WaitError> {
        self.peer.check_not_current()?;
        let mut state = self.fate.state.lock();
        loop {
            match self.told(&state) {
                Some(result) => return result,
                None => self.fate.known.wait(&mut state),
            }
        }
    }

    /// Like [`wait`](Self::wait), for a limited time.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait), and [`WaitError::Timeout`]; the receipt can be asked again then.
    pub fn wait_timeout(&self, timeout: Duration) -> Result<(), WaitError> {
        self.peer.check_not_current()?;
        self.wait_bounded(timeout)
    }

    /// For the peer's own reader, which waits, bounded, for its last reject.
    pub(super) fn wait_bounded(&self, timeout: Duration) -> Result<(), WaitError> {
        let until = Instant::now().checked_add(timeout);
        let mut timed_out = false;
        let mut state = self.fate.state.lock();
        loop {
            match (self.told(&state), until) {
                (Some(result), _) => return result,
                (None, _) if timed_out => return Err(WaitError::Timeout { waited: timeout }),
                (None, Some(until)) => timed_out = self.fate.known.wait_until(&mut state, until).timed_out(),
                (None, None) => self.fate.known.wait(&mut state),
            }
        }
    }

    /// Whether it is known, without waiting: `None` when it is not.
    ///
    /// # Errors
    ///
    /// [`WaitError::Closed`] with the reason when the message was not sent. Unlike [`wait`](Self::wait) it can be asked in
    /// a callback, too.
    #[must_use]
    pub fn try_wait(&self) -> Option<Result<(), WaitError>> {
        self.told(&self.fate.state.lock())
    }

    /// For `select!`: receives `()` once when the message is written, and is disconnected when that was taken, or will
    /// never come. Unlike [`wait`](Self::wait) it cannot refuse to be waited on in a callback of the same peer, where
    /// it may never come.
    #[must_use]
    pub fn receiver(&self) -> &Receiver<()> {
        self.told.get_or_init(|| {
            let (tell, told) = bounded(1);
            let mut state = self.fate.state.lock();
            match *state {
                State::Open => *state = State::Watched(tell),
                State::Written => {
                    let _ = tell.try_send(());
                }
                State::Watched(_) | State::Lost => {}
            }
            told
        })
    }

    fn told(&self, state: &State) -> Option<Result<(), WaitError>> {
        match state {
            State::Open | State::Watched(_) => None,
            State::Written => Some(Ok(())),
            // The reason is there before anything queued is dropped.
            State::Lost => Some(Err(WaitError::Closed(self.ending.get().cloned().unwrap_or(DisconnectReason::Local)))),
        }
    }
}
