//! Methods that send a request to the remote and wait for the answer.

use crate::peer::connection::questions::Awaited;
use crate::peer::error::{AskError, WaitError, WaitedFor};
use crate::peer::handle::Peer;
use crate::wire::{Block, Command, Encode, GetData, Hash, Inventory, Message, Payload, Ping, Request, Transaction};
use crossbeam_channel::{bounded, select};
use std::time::{Duration, Instant};

/// How long [`Peer::ping`] waits for the pong.
const PING_TIMEOUT: Duration = Duration::from_secs(30);

impl Peer {
    /// Sends a request and waits, at most `timeout`, for its answer.
    ///
    /// Works for each request whose answer is one message: `getseltip`, `getaddr`, `getlocator`, `getheaders` and
    /// `getblockinvs` (see [`Request`]). Several threads can call this method at the same time. The listener receives
    /// the answer too.
    ///
    /// The messages of the protocol have no numbers that connect an answer with its request. This method therefore
    /// takes the next message of the answer's type as the answer. If several calls wait for the same type, they get
    /// these messages in the order in which their requests were queued. If the remote sends such a message without a
    /// request (an `inv`, for example), this method takes it as the answer.
    ///
    /// If the request has a [stall rule](crate::StallRule) and the answer does not arrive within the limit of the rule,
    /// the peer disconnects.
    ///
    /// ```
    /// use kaspa_peer::wire::{GetSelectedTip, Network};
    /// use kaspa_peer::{Config, DagView, Peer};
    /// use std::time::Duration;
    /// # use kaspa_peer::wire::Hash;
    /// # use std::net::{TcpListener, TcpStream};
    /// # struct Dag;
    /// # impl DagView for Dag {
    /// #     fn selected_tip(&self) -> Hash { Hash::of(b"tip") }
    /// # }
    /// # let other = Config::builder(Network::Simnet).dag(Dag).build()?;
    /// # let listener = TcpListener::bind("127.0.0.1:0")?;
    /// # let address = listener.local_addr()?;
    /// # let stream = TcpStream::connect(address)?;
    /// # let (remote, from) = listener.accept()?;
    /// # let remote = Peer::inbound(remote, from, &other)?;
    /// let config = Config::builder(Network::Simnet).build()?;
    /// let peer = Peer::outbound(stream, address, &config)?;
    /// let tip = peer.ask(&GetSelectedTip, Duration::from_secs(10))?;
    /// assert_eq!(tip.hash, Hash::of(b"tip"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`AskError`] if the answer does not arrive in time, if the remote rejects the request, if the connection ends,
    /// or if the request cannot be queued.
    pub fn ask<R: Request>(&self, request: &R, timeout: Duration) -> Result<R::Answer, AskError> {
        let message = self.question(request, Awaited::Type(R::Answer::COMMAND), timeout)?;
        self.answer(message, request.command(), timeout)
    }

    /// Requests a block with `getdata` and waits for it, at most `timeout`.
    ///
    /// Other blocks that arrive meanwhile are not taken as the answer, nor is a `notfound` that does not name this
    /// block. The listener receives the block too, so this method returns a copy of it. The hash of a block is that of
    /// its header. This method does not check that the transactions of the block belong to the header.
    ///
    /// # Errors
    ///
    /// [`AskError::NotFound`] if the remote does not have the block; otherwise as [`ask`](Self::ask).
    pub fn fetch_block(&self, hash: Hash, timeout: Duration) -> Result<Block, AskError> {
        let request = GetData::from(vec![Inventory::block(hash)]);
        let message = self.question(&request, Awaited::Block(hash), timeout)?;
        self.answer(message, Command::GetData, timeout)
    }

    /// Requests a transaction by its id with `getdata` and waits for it, at most `timeout`. The id of a transaction
    /// does not cover its signature scripts and its payload. This method does not check them.
    ///
    /// # Errors
    ///
    /// [`AskError::NotFound`] if the remote does not have the transaction; otherwise as [`ask`](Self::ask).
    pub fn fetch_transaction(&self, id: Hash, timeout: Duration) -> Result<Transaction, AskError> {
        let request = GetData::from(vec![Inventory::tx(id)]);
        let message = self.question(&request, Awaited::Transaction(id), timeout)?;
        self.answer(message, Command::GetData, timeout)
    }

    /// Sends a message, and waits until the remote has handled it.
    ///
    /// This method sends a `ping` after the message, and returns its round-trip time. Remotes handle messages in order,
    /// so when the `pong` arrives, the remote has handled the message. The timeout limits sending the message and
    /// waiting for the `pong` together.
    ///
    /// # Errors
    ///
    /// As [`send_message`](Self::send_message) and [`ping_timeout`](Self::ping_timeout). After
    /// [`WaitError::InCallback`] nothing was sent.
    pub fn send_and_ping<M: Encode + ?Sized>(&self, message: &M, timeout: Duration) -> Result<Duration, WaitError> {
        // Checked first, so that nothing was sent if the call is refused.
        self.shared().lifecycle().identity().check_not_current()?;
        let started = Instant::now();
        self.send_message(message, timeout)?;
        self.ping_timeout(timeout.saturating_sub(started.elapsed())).map_err(|error| error.with_timeout(timeout))
    }

    /// Sends a `ping`, waits up to 30 s for the `pong`, and returns the round-trip time.
    ///
    /// Remotes handle messages in order, so the `pong` also shows that the remote has handled the messages that were
    /// sent before the `ping`.
    ///
    /// # Errors
    ///
    /// [`WaitError::Timeout`] if no `pong` arrived in time; [`WaitError::Closed`] if the connection has ended;
    /// [`WaitError::Queue`] if the `ping` could not be queued; [`WaitError::InCallback`] in a callback of this peer.
    pub fn ping(&self) -> Result<Duration, WaitError> {
        self.ping_timeout(PING_TIMEOUT)
    }

    /// Like [`ping`](Self::ping), but waits up to `timeout`.
    ///
    /// # Errors
    ///
    /// As [`ping`](Self::ping).
    pub fn ping_timeout(&self, timeout: Duration) -> Result<Duration, WaitError> {
        self.shared().lifecycle().identity().check_not_current()?;
        let nonce = self.settings().node().ping_nonce();
        let (answer, rtt) = bounded(1);
        self.shared().state.lock().pings.wait(nonce, answer);
        let result = self.queue_message(&Ping { nonce }).map_err(WaitError::from).and_then(|_| {
            select! {
                recv(rtt) -> rtt => rtt.map_err(|_| WaitError::Closed(self.shared().end_reason())),
                // If both channels are ready, either branch may run. A `pong` that has arrived is returned in both.
                recv(self.quit_channel()) -> _ => rtt.try_recv().map_err(|_| WaitError::Closed(self.shared().end_reason())),
                default(timeout) => Err(WaitError::Timeout { what: WaitedFor::Pong, waited: timeout }),
            }
        });
        self.shared().state.lock().pings.forget(nonce);
        result
    }

    fn question<M: Encode>(&self, request: &M, awaited: Awaited, timeout: Duration) -> Result<Message, AskError> {
        let shared = self.shared();
        if shared.lifecycle().identity().is_current() {
            return Err(AskError::InCallback);
        }
        let pending = shared.questions.ask(request.command(), awaited, || self.queue_message(request).map(drop))?;
        select! {
            recv(pending.answer) -> answer => answer.unwrap_or_else(|_| Err(AskError::Closed(shared.end_reason()))),
            recv(self.quit_channel()) -> _ => {
                // If both channels are ready, either branch may run. An answer that has arrived is returned in both.
                pending.answer.try_recv().unwrap_or_else(|_| Err(AskError::Closed(shared.end_reason())))
            }
            default(timeout) => Err(AskError::Timeout { request: request.command(), waited: timeout }),
        }
    }

    /// Converts the answer to its type. `Questions` returns only messages of this type, so the error does not occur.
    fn answer<M: Payload>(&self, message: Message, request: Command, waited: Duration) -> Result<M, AskError> {
        M::try_from(message).map_err(|_| AskError::Timeout { request, waited })
    }
}
