//! A connection in memory. The harness chooses what its reads and writes return.

use crate::peer::{Halves, Stream};
use crate::wire::{
    Command, Encode, Frame, FrameDecoder, GetData, Inventory, Message, Network, NotFound, Pong, SelectedTip,
};
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

pub(super) const NETWORK: Network = Network::Simnet;

/// The command of the messages of the program. Their payloads begin with a number.
pub(super) const NUMBERED: &str = "numbered";

/// The reason in the rejects that the program queues as ordinary messages. Every other reject is a last message.
pub(super) const ORDINARY_REJECT: &str = "ordinary";

/// Panics without calling the panic hook, because that of libFuzzer aborts the process.
pub(super) fn panic_quietly() -> ! {
    resume_unwind(Box::new("chosen by the harness"))
}

/// The result of one read. When none is left, reads wait for more or for the end.
#[derive(Debug)]
pub(super) enum Incoming {
    Bytes(Vec<u8>),
    Error(io::ErrorKind),
    /// This error, also of every later read.
    ErrorForEver(io::ErrorKind),
    Closed,
    Panic,
    /// More bytes than there was room for.
    TooMany,
}

/// The result of one write or flush. When none is left, writes accept everything.
#[derive(Debug)]
pub(super) enum Outgoing {
    /// At most this many bytes are accepted.
    Accept(usize),
    /// As `Accept`, but only when the connection is shut down.
    AcceptAtEnd(usize),
    Error(io::ErrorKind),
    /// This error, also of every later write or flush.
    ErrorForEver(io::ErrorKind),
    Panic,
    /// More bytes than there were.
    TooMany,
}

/// Both ends of the connection. The halves of the stream share it.
#[derive(Debug, Default)]
pub(super) struct Connection {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    incoming: VecDeque<Incoming>,
    outgoing: VecDeque<Outgoing>,
    flushes: VecDeque<Outgoing>,
    /// A read waits for something to return.
    reading: bool,
    shut_down: usize,
    /// How many of the reading half, the writing half and the shutdown closure exist.
    parts: usize,
    /// Reads still return what is left after the connection is shut down.
    reads_after_end: bool,
    /// The remote answers pings and requests.
    answers: bool,
    /// The destructors of the halves panic.
    panics_on_drop: bool,
    /// Accepted and not flushed.
    accepted: Vec<u8>,
    received: Received,
}

/// The bytes that the remote has received: bytes that were accepted and flushed.
#[derive(Debug)]
struct Received {
    decoder: FrameDecoder,
    messages: Vec<Message>,
    fault: Option<String>,
}

impl Default for Received {
    fn default() -> Self {
        Self { decoder: FrameDecoder::new(NETWORK), messages: Vec::new(), fault: None }
    }
}

impl Received {
    fn take(&mut self, bytes: &[u8]) {
        self.decoder.feed(bytes);
        loop {
            match self.decoder.next_frame().and_then(|frame| frame.map(|frame| frame.decode()).transpose()) {
                Ok(Some(message)) => self.messages.push(message),
                Ok(None) => return,
                Err(error) => {
                    self.fault = Some(format!("the remote received bytes that are no frame: {error}"));
                    return;
                }
            }
        }
    }
}

impl Connection {
    pub fn new(reads_after_end: bool, answers: bool, panics_on_drop: bool) -> Arc<Self> {
        let state = State { reads_after_end, answers, panics_on_drop, ..State::default() };
        Arc::new(Self { state: Mutex::new(state), changed: Condvar::new() })
    }

    pub fn stream(self: &Arc<Self>) -> TestStream {
        TestStream(Arc::clone(self))
    }

    pub fn incoming(&self, incoming: Incoming) {
        self.state.lock().incoming.push_back(incoming);
        self.changed.notify_all();
    }

    pub fn send(&self, message: &Message) {
        if let Ok(frame) = Frame::encode(message, NETWORK) {
            self.incoming(Incoming::Bytes(frame.as_bytes().to_vec()));
        }
    }

    pub fn outgoing(&self, outgoing: Outgoing) {
        self.state.lock().outgoing.push_back(outgoing);
    }

    pub fn flush(&self, outgoing: Outgoing) {
        self.state.lock().flushes.push_back(outgoing);
    }

    /// Waits until the peer has read everything, at most `timeout`.
    pub fn wait_until_read(&self, timeout: Duration) {
        let mut state = self.state.lock();
        let busy = |state: &mut State| !state.incoming.is_empty() || (!state.reading && state.shut_down == 0);
        let _ = self.changed.wait_while_for(&mut state, busy, timeout);
    }

    /// How often the connection was shut down.
    pub fn shut_down(&self) -> usize {
        self.state.lock().shut_down
    }

    /// Waits until the halves and the shutdown closure are dropped. Returns whether they were by `deadline`.
    pub fn wait_until_dropped(&self, deadline: Instant) -> bool {
        let mut state = self.state.lock();
        while state.parts > 0 {
            if self.changed.wait_until(&mut state, deadline).timed_out() {
                return false;
            }
        }
        true
    }

    /// The messages that the remote has received, and whether anything else has arrived.
    pub fn received(&self) -> (Vec<Message>, Option<String>) {
        let state = self.state.lock();
        (state.received.messages.clone(), state.received.fault.clone())
    }

    fn drop_part(&self) {
        let mut state = self.state.lock();
        state.parts -= 1;
        let panics = state.panics_on_drop && !thread::panicking();
        drop(state);
        self.changed.notify_all();
        if panics {
            panic_quietly();
        }
    }
}

impl State {
    /// The next thing to return, which stays if it is for ever.
    fn next(queue: &mut VecDeque<Outgoing>) -> Outgoing {
        match queue.front() {
            Some(Outgoing::ErrorForEver(kind)) => Outgoing::ErrorForEver(*kind),
            Some(_) => queue.pop_front().unwrap_or(Outgoing::Accept(usize::MAX)),
            None => Outgoing::Accept(usize::MAX),
        }
    }

    fn answer(&mut self, from: usize) {
        let answers: Vec<Message> = self.received.messages.iter().skip(from).filter_map(answer).collect();
        for frame in answers.iter().filter_map(|answer| Frame::encode(answer, NETWORK).ok()) {
            self.incoming.push_back(Incoming::Bytes(frame.as_bytes().to_vec()));
        }
    }
}

/// The answer of a remote that has nothing.
fn answer(message: &Message) -> Option<Message> {
    match message {
        Message::Ping(ping) => Some(Pong { nonce: ping.nonce }.into()),
        Message::GetSelectedTip(_) => Some(SelectedTip { hash: Default::default() }.into()),
        Message::GetData(GetData { items }) => Some(NotFound::from(items.clone()).into()),
        _ => None,
    }
}

#[derive(Debug)]
pub(super) struct TestStream(Arc<Connection>);

impl Stream for TestStream {
    fn split(self, _: Option<Duration>) -> io::Result<Halves> {
        let connection = self.0;
        connection.state.lock().parts = 3;
        let [reader, writer, shutdown] = [(); 3].map(|()| Part(Arc::clone(&connection)));
        Ok(Halves::new(reader, writer, move || {
            let Part(connection) = &shutdown;
            connection.state.lock().shut_down += 1;
            connection.changed.notify_all();
        }))
    }
}

/// The reading half, the writing half, or what the shutdown closure keeps.
struct Part(Arc<Connection>);

impl Drop for Part {
    fn drop(&mut self) {
        self.0.drop_part();
    }
}

impl Read for Part {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.0.state.lock();
        loop {
            if state.shut_down > 0 && !state.reads_after_end {
                return Ok(0);
            }
            match state.incoming.pop_front() {
                Some(Incoming::Bytes(mut bytes)) => {
                    let count = bytes.len().min(buffer.len());
                    buffer[..count].copy_from_slice(&bytes[..count]);
                    if count < bytes.len() {
                        state.incoming.push_front(Incoming::Bytes(bytes.split_off(count)));
                    }
                    if count > 0 {
                        return Ok(count);
                    }
                }
                Some(Incoming::Error(kind)) => return Err(kind.into()),
                Some(Incoming::ErrorForEver(kind)) => {
                    state.incoming.push_front(Incoming::ErrorForEver(kind));
                    return Err(kind.into());
                }
                Some(Incoming::Closed) => return Ok(0),
                Some(Incoming::Panic) => {
                    drop(state);
                    panic_quietly();
                }
                Some(Incoming::TooMany) => return Ok(buffer.len() + 1),
                None if state.shut_down > 0 => return Ok(0),
                None => {
                    state.reading = true;
                    self.0.changed.notify_all();
                    self.0.changed.wait(&mut state);
                    state.reading = false;
                }
            }
        }
    }
}

impl Write for Part {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.0.state.lock();
        let count = match State::next(&mut state.outgoing) {
            Outgoing::Accept(count) => count.min(bytes.len()),
            Outgoing::AcceptAtEnd(count) => {
                self.0.changed.wait_while(&mut state, |state| state.shut_down == 0);
                count.min(bytes.len())
            }
            Outgoing::Error(kind) | Outgoing::ErrorForEver(kind) => return Err(kind.into()),
            Outgoing::Panic => {
                drop(state);
                panic_quietly();
            }
            Outgoing::TooMany => return Ok(bytes.len() + 1),
        };
        state.accepted.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut state = self.0.state.lock();
        match State::next(&mut state.flushes) {
            Outgoing::Error(kind) | Outgoing::ErrorForEver(kind) => return Err(kind.into()),
            Outgoing::Panic => {
                drop(state);
                panic_quietly();
            }
            Outgoing::AcceptAtEnd(_) => self.0.changed.wait_while(&mut state, |state| state.shut_down == 0),
            Outgoing::Accept(_) | Outgoing::TooMany => {}
        }
        let accepted = std::mem::take(&mut state.accepted);
        let before = state.received.messages.len();
        state.received.take(&accepted);
        if state.answers {
            state.answer(before);
        }
        drop(state);
        self.0.changed.notify_all();
        Ok(())
    }
}

/// The number in a message of the program.
pub(super) fn number(message: &Message) -> Option<u64> {
    let Message::Custom(message) = message else { return None };
    let is_numbered = message.command().name().as_bytes() == NUMBERED.as_bytes();
    message.payload.first_chunk().filter(|_| is_numbered).map(|bytes| u64::from_le_bytes(*bytes))
}

/// `true` if nothing may follow this message.
pub(super) fn is_last(message: &Message) -> bool {
    matches!(message, Message::Reject(reject) if reject.reason.as_bytes() != ORDINARY_REJECT.as_bytes())
}

/// `true` if the library sends such messages by itself, or the harness makes the program send them without a number.
pub(super) fn is_expected(message: &Message) -> bool {
    let command = message.command();
    number(message).is_some()
        || [
            Command::Version,
            Command::VerAck,
            Command::Ping,
            Command::Pong,
            Command::Inv,
            Command::Reject,
            Command::SelectedTip,
            Command::GetSelectedTip,
            Command::GetData,
            Command::GetHeaders,
            Command::GetBlockInvs,
        ]
        .contains(&command)
}

/// Some things to announce.
pub(super) fn announcements(kind: u8) -> Vec<Inventory> {
    let hash = crate::wire::Hash::from_bytes([kind; 32]);
    match kind % 3 {
        0 => vec![Inventory::block(hash)],
        1 => vec![Inventory::tx(hash)],
        _ => vec![Inventory::tx(hash), Inventory::block(hash), Inventory::sync_block(hash)],
    }
}
