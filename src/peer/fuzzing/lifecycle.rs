//! A peer with its three threads, on a connection that fails in any way, in a program that calls anything at any time,
//! in callbacks too.
//!
//! These promises must hold in every run:
//!
//! - every call, receipt and callback that is given a reason has the same one, and something has caused it,
//! - `on_disconnect` runs exactly once, after every other callback,
//! - every receipt has one outcome, and says "written" if and only if the stream has accepted and flushed the whole
//!   message,
//! - every call that waits returns, at the latest when the connection has ended,
//! - a message is written, and a ping is answered, if the stream works and the connection has not ended,
//! - the stream receives whole frames, in the order in which each thread has queued them, and nothing after a last
//!   reject,
//! - the halves of the stream, the shutdown closure and the listener are dropped.

mod callbacks;
mod calls;
mod capturing;
mod configuration;
mod connection;
mod record;

use super::Choices;
use crate::peer::{Config, Direction, Peer, StartError};
use crate::wire::{Ping, VerAck};
use callbacks::Callbacks;
use calls::{Caller, Program, release_held};
use capturing::Captured;
use configuration::configuration;
use connection::{Connection, Incoming, Outgoing};
use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use parking_lot::Mutex;
use record::Record;
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// How much may happen.
const STEPS: usize = 60;

/// How many threads of the program there may be besides the main one.
const HELPERS: usize = 4;

/// A call that has not returned this long after the end never will. Long, because the machine may be busy.
const DEADLINE: Duration = Duration::from_secs(60);

/// Runs the connection that `input` makes.
///
/// # Panics
///
/// If a promise is broken.
pub fn lifecycle(input: &[u8]) {
    let mut choices = Choices::new(input);
    let Some(mut harness) = Harness::new(&mut choices) else { return };
    if harness.works {
        harness.shake_hands(&mut choices);
    }
    for _ in 0..choices.byte() % 16 {
        harness.prepare(&mut choices);
    }
    let Some(peer) = harness.start() else { return };
    for _ in 0..STEPS {
        if choices.is_empty() {
            break;
        }
        harness.step(&peer, &mut choices);
    }
    harness.finish(peer, &mut choices);
}

/// How the program ends the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Disconnect,
    Close,
    /// The program drops all handles.
    Drop,
    RemoteCloses,
    /// The program waits a little for another end.
    Wait,
}

struct Harness {
    connection: Arc<Connection>,
    callbacks: Arc<Callbacks>,
    program: Arc<Program>,
    captured: Option<Captured>,
    config: Config,
    direction: Direction,
    /// For each thread of the program: receives when it has returned, and is disconnected if it has panicked.
    helpers: Vec<Receiver<()>>,
    ending: Ending,
    /// The remote answers pings.
    answers: bool,
    /// The stream does not fail, no limit is low, and the connection does not end before the harness ends it.
    works: bool,
}

impl Harness {
    fn new(choices: &mut Choices<'_>) -> Option<Self> {
        let panics_on_drop = choices.byte() % 8 == 1;
        let (reads_after_end, answers) = (choices.flag(), choices.flag());
        let connection = Connection::new(reads_after_end, answers, panics_on_drop);
        let endings = [Ending::Disconnect, Ending::Close, Ending::Drop, Ending::RemoteCloses, Ending::Wait];
        let ending = choices.of(&endings);
        let works = choices.byte() % 4 == 1;
        let program = Arc::new(Program {
            record: Record::default(),
            handles: Mutex::default(),
            drops_last_handle: ending == Ending::Drop,
            ends: !works,
        });
        program.record.causes.lock().panics = panics_on_drop;
        let callbacks = Arc::new(Callbacks { program: Arc::clone(&program), next: Mutex::new(VecDeque::new()) });
        let captured = (choices.byte() % 4 == 1).then(|| Captured::new(choices));
        // Without choices, every setting is the first one.
        let mut defaults = Choices::new(&[]);
        let of_settings = if works { &mut defaults } else { &mut *choices };
        Some(Self {
            config: configuration(of_settings, &callbacks, captured.as_ref())?,
            connection,
            callbacks,
            program,
            captured,
            direction: choices.of(&[Direction::Inbound, Direction::Outbound]),
            helpers: Vec::new(),
            ending,
            answers,
            works,
        })
    }

    /// Chooses what the stream, the remote or the callbacks do next.
    fn prepare(&self, choices: &mut Choices<'_>) {
        let mut causes = self.program.record.causes.lock();
        match choices.byte() % 12 {
            0..=3 if self.works => self.connection.send(&Ping { nonce: u64::from(choices.byte()) }.into()),
            4..=9 if self.works => {}
            0 | 1 => {
                causes.remote_sends = true;
                self.shake_hands(choices);
            }
            2 | 3 => {
                causes.remote_sends = true;
                if let Some(message) = choices.message() {
                    self.connection.send(&message);
                }
            }
            4 => {
                causes.remote_sends = true;
                self.connection.incoming(Incoming::Bytes(choices.bytes(64).to_vec()));
            }
            5 | 6 => {
                let incoming = incoming(choices);
                match &incoming {
                    Incoming::Error(kind) | Incoming::ErrorForEver(kind) => causes.read_errors.push(*kind),
                    Incoming::Closed => causes.remote_closes = true,
                    Incoming::Panic => causes.panics = true,
                    Incoming::TooMany => causes.read_errors.push(ErrorKind::InvalidData),
                    Incoming::Bytes(_) => {}
                }
                self.connection.incoming(incoming);
            }
            choice @ 7..=9 => {
                let outgoing = outgoing(choices);
                match &outgoing {
                    Outgoing::Error(kind) | Outgoing::ErrorForEver(kind) => causes.write_errors.push(*kind),
                    Outgoing::Panic => causes.panics = true,
                    Outgoing::TooMany => causes.write_errors.push(ErrorKind::InvalidData),
                    Outgoing::Accept(0) | Outgoing::AcceptAtEnd(0) => causes.write_errors.push(ErrorKind::WriteZero),
                    Outgoing::Accept(_) | Outgoing::AcceptAtEnd(_) => {}
                }
                if choice == 9 {
                    self.connection.flush(outgoing);
                } else {
                    self.connection.outgoing(outgoing);
                }
            }
            _ => self.callbacks.next.lock().push_back(choices.bytes(12).to_vec()),
        }
    }

    fn shake_hands(&self, choices: &mut Choices<'_>) {
        let mut version = choices.version();
        (version.protocol_version, version.subnetwork) = (1, None);
        self.connection.send(&version.into());
        self.connection.send(&VerAck.into());
    }

    fn start(&self) -> Option<Peer> {
        let stream = self.connection.stream();
        let peer = match self.direction {
            Direction::Inbound => Peer::inbound(stream, "192.0.2.1:1", &self.config),
            Direction::Outbound => Peer::outbound(stream, "192.0.2.1:1", &self.config),
        };
        match peer {
            Ok(peer) => Some(peer),
            Err(StartError::Thread { .. }) => {
                self.program.record.check_not_started();
                None
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn step(&mut self, peer: &Peer, choices: &mut Choices<'_>) {
        match choices.byte() % 8 {
            0..=2 => self.prepare(choices),
            3 | 4 => self.program.call(peer, Caller::Main, choices),
            5 if self.helpers.len() < HELPERS => self.start_helper(peer.clone(), choices.bytes(16).to_vec()),
            6 => self.connection.wait_until_read(Duration::from_millis(2)),
            _ => thread::yield_now(),
        }
    }

    fn start_helper(&mut self, peer: Peer, bytes: Vec<u8>) {
        let program = Arc::clone(&self.program);
        let (returned, returns) = bounded(1);
        thread::spawn(move || {
            let mut choices = Choices::new(&bytes);
            while !choices.is_empty() {
                program.call(&peer, Caller::Helper, &mut choices);
            }
            drop((peer, program));
            let _ = returned.send(());
        });
        self.helpers.push(returns);
    }

    /// Ends the connection if it has not ended, and checks everything.
    fn finish(self, peer: Peer, choices: &mut Choices<'_>) {
        let program = &self.program;
        let mut peer = Some(peer);
        if let Some(peer) = peer.take_if(|_| self.ending == Ending::Drop) {
            drop(peer);
        }
        if let Some(peer) = &peer {
            if self.works {
                program.check_works(peer, self.answers, DEADLINE);
            }
            match self.ending {
                Ending::Close => program.close(peer, Caller::Main, choices),
                Ending::RemoteCloses => {
                    program.record.causes.lock().remote_closes = true;
                    self.connection.incoming(Incoming::Closed);
                    let _ = peer.wait_for_disconnect_timeout(Duration::from_millis(2));
                }
                Ending::Wait => drop(peer.wait_for_disconnect_timeout(Duration::from_millis(5))),
                Ending::Disconnect | Ending::Drop => {}
            }
            program.disconnect(peer);
        }
        let deadline = Instant::now() + DEADLINE;
        self.wait_for_helpers(deadline);
        self.drop_handles();
        // A callback can keep another handle until the last one has returned.
        while !program.record.wait_for_disconnect(Instant::now() + Duration::from_millis(5)) {
            self.drop_handles();
            assert!(Instant::now() < deadline, "on_disconnect has not run");
        }
        if let Some(peer) = &peer {
            match peer.wait_for_disconnect_timeout(DEADLINE) {
                Ok(reason) => {
                    program.record.reason("wait_for_disconnect", reason);
                    program.record.check_finished();
                }
                Err(error) => panic!("the threads have not ended: {error}"),
            }
            program.look(peer);
            let stats = peer.stats();
            assert_eq!((stats.queued_bytes, stats.queued_messages), (0, 0), "messages are queued after the end");
            let sent: u64 = stats.sent.total().messages;
            assert_eq!(sent, self.connection.received().0.len() as u64, "the statistics count what was written");
        }
        assert!(self.connection.wait_until_dropped(deadline), "a thread has kept its part of the stream");
        program.record.check_ended(&self.connection);
        drop(peer);
        self.check_dropped(deadline);
    }

    fn wait_for_helpers(&self, deadline: Instant) {
        for helper in &self.helpers {
            match helper.recv_deadline(deadline) {
                Ok(()) => {}
                Err(RecvTimeoutError::Disconnected) => panic!("a thread of the program has panicked"),
                Err(RecvTimeoutError::Timeout) => panic!("a call has not returned although the connection has ended"),
            }
        }
    }

    fn drop_handles(&self) {
        let handles = std::mem::take(&mut *self.program.handles.lock());
        drop(handles);
        release_held();
    }

    /// Nothing of the peer is left, and the capture has everything.
    fn check_dropped(self, deadline: Instant) {
        let Self { connection, callbacks, program, captured, config, .. } = self;
        drop(config);
        // `on_disconnect` may keep a handle, and destructors of thread-local values run when the peer counts as
        // finished.
        while Arc::strong_count(&callbacks) > 1 {
            let handles = std::mem::take(&mut *program.handles.lock());
            drop(handles);
            assert!(Instant::now() < deadline, "the listener is not dropped");
            thread::sleep(Duration::from_micros(50));
        }
        if let Some(captured) = captured {
            let (messages, _) = connection.received();
            captured.check(&program.record, messages.len());
        }
        program.record.report();
    }
}

fn incoming(choices: &mut Choices<'_>) -> Incoming {
    let kinds = [
        ErrorKind::Interrupted,
        ErrorKind::WouldBlock,
        ErrorKind::TimedOut,
        ErrorKind::ConnectionReset,
        ErrorKind::Other,
        ErrorKind::UnexpectedEof,
    ];
    match choices.byte() % 16 {
        0..=7 => Incoming::Error(choices.of(&kinds)),
        8..=11 => Incoming::ErrorForEver(choices.of(&kinds)),
        12 | 13 => Incoming::Closed,
        14 => Incoming::Panic,
        _ => Incoming::TooMany,
    }
}

fn outgoing(choices: &mut Choices<'_>) -> Outgoing {
    let kinds = [
        ErrorKind::Interrupted,
        ErrorKind::WouldBlock,
        ErrorKind::TimedOut,
        ErrorKind::BrokenPipe,
        ErrorKind::Other,
        ErrorKind::WriteZero,
    ];
    let counts = [1, 2, 23, 24, 25, 100, 1000, 50_000, 0];
    match choices.byte() % 16 {
        0..=6 => Outgoing::Accept(choices.of(&counts)),
        7 | 8 => Outgoing::AcceptAtEnd(choices.of(&counts)),
        9..=11 => Outgoing::Error(choices.of(&kinds)),
        12 | 13 => Outgoing::ErrorForEver(choices.of(&kinds)),
        14 => Outgoing::Panic,
        _ => Outgoing::TooMany,
    }
}
