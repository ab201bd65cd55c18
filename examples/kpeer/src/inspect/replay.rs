//! `--replay`: sends a node the frames that one side of a capture sent.

use super::Failure;
use super::capture::{Records, Shown, What, cut_off};
use crate::dial::DialOptions;
use crossbeam_channel::Receiver;
use kaspa_peer::wire::{Command, Encode, Frame, Network};
use kaspa_peer::{Config, DisconnectReason, Event, EventKind, Peer, events};
use std::io::{self, Write};
use std::time::{Duration, Instant};
use std::{panic, thread};

/// How many messages of the node may wait to be printed. Each may be a block of 32 MiB.
const EVENTS: usize = 4;

/// How long the queue may have no room for a frame, and how long the node may send messages after the last frame.
const TIMEOUT: Duration = Duration::from_secs(30);

/// When no message has arrived for this time, no more are expected.
const QUIET: Duration = Duration::from_millis(500);

/// The frames of a capture that are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Sent,
    Received,
}

impl std::str::FromStr for Side {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "sent" => Ok(Self::Sent),
            "received" => Ok(Self::Received),
            _ => Err("a side is `sent` or `received`"),
        }
    }
}

/// `true` if the library sends this message by itself, with nonces of its own.
fn is_automatic(command: Command) -> bool {
    matches!(command, Command::Version | Command::VerAck | Command::Ping | Command::Pong)
}

/// The frames that were sent, and how sending ended.
#[derive(Default)]
struct Sent {
    frames: u64,
    left_out: u64,
    /// Why sending stopped early.
    stopped: Option<String>,
    /// The error in the rest of the file.
    cut: Option<io::Error>,
}

/// The messages that arrived, and how receiving ended.
#[derive(Default)]
struct Received {
    messages: u64,
    disconnected: Option<DisconnectReason>,
    /// The node was still sending messages when time was over.
    has_more: bool,
}

/// Sends the frames of one side of the first peer that the filter takes, and prints the messages of the node. Returns whether
/// the node accepted all of them and is still connected.
pub fn replay(records: &mut Records, address: &str, side: Side, out: &mut impl Write) -> Result<bool, Failure> {
    let Some(network) = records.network() else {
        return Err(Failure::Read(io::Error::new(io::ErrorKind::InvalidData, "no frames to send")));
    };
    let (stream, address) =
        DialOptions::default().dial(address, network).map_err(|error| Failure::Node(error.into()))?;
    // While this many messages wait to be printed, no more are read.
    let (listener, events) = events(EVENTS);
    let config = Config::builder(network).user_agent_with_comments("inspect", env!("CARGO_PKG_VERSION"), ["replay"]);
    let config = config.listener(listener).build().map_err(|error| Failure::Node(error.into()))?;
    let peer = Peer::outbound(stream, address, &config).map_err(|error| Failure::Node(error.into()))?;
    let (sent, received) = thread::scope(|scope| {
        let sender = scope.spawn(|| send(records, &peer, network, side));
        let received = receive(&events, || sender.is_finished(), out);
        // Ends the sender too, if printing failed.
        peer.disconnect();
        (sender.join(), received)
    });
    let sent = sent.unwrap_or_else(|panic| panic::resume_unwind(panic));
    let received = received.map_err(Failure::Write)?;
    let closing = match (&received.disconnected, &sent.stopped) {
        (Some(reason), _) => format!("the node has disconnected: {reason}"),
        (None, Some(error)) => error.clone(),
        (None, None) if received.has_more => format!("the node still sends messages after {TIMEOUT:?}"),
        (None, None) => "the node is still connected".to_owned(),
    };
    let Sent { frames, left_out, .. } = sent;
    writeln!(out, "{frames} frames sent, {left_out} left out, {} messages received; {closing}", received.messages)
        .and_then(|()| out.flush())
        .map_err(Failure::Write)?;
    match sent.cut {
        Some(error) => Err(Failure::Read(cut_off(error))),
        None => Ok(sent.stopped.is_none() && received.disconnected.is_none()),
    }
}

/// Prints messages until all frames are sent and no message has arrived for a while.
fn receive(events: &Receiver<Event>, all_sent: impl Fn() -> bool, out: &mut impl Write) -> io::Result<Received> {
    let mut received = Received::default();
    let mut deadline = None;
    loop {
        match events.recv_timeout(QUIET).map(|event| event.kind) {
            Ok(EventKind::Message(message)) if !is_automatic(message.command()) => {
                received.messages += 1;
                let line = format!("<- {:<12} {}", message.command(), message.summary());
                writeln!(out, "{}", line.trim_end())?;
            }
            Ok(EventKind::Disconnected(reason)) => {
                received.disconnected = Some(reason);
                return Ok(received);
            }
            Ok(_) => {}
            Err(_) if all_sent() => return Ok(received),
            // The node may take its time while frames are sent.
            Err(_) => out.flush()?,
        }
        if all_sent() && *deadline.get_or_insert_with(|| Instant::now() + TIMEOUT) <= Instant::now() {
            received.has_more = true;
            return Ok(received);
        }
    }
}

fn send(records: &mut Records, peer: &Peer, network: Network, side: Side) -> Sent {
    let mut sent = Sent::default();
    if let Err(error) = peer.wait_for_handshake() {
        sent.stopped = Some(error.to_string());
        return sent;
    }
    let mut chosen = None;
    for record in records {
        let Shown { peer: id, what, .. } = match record {
            Ok(record) => record,
            // The frames before the cut are sent.
            Err(error) => {
                sent.cut = Some(error);
                break;
            }
        };
        let frame = match (what, side) {
            (What::Sent(frame), Side::Sent) | (What::Received(frame), Side::Received) => frame,
            _ => continue,
        };
        if *chosen.get_or_insert(id) != id {
            continue;
        }
        match Frame::from_bytes(frame, network) {
            Ok(frame) if !is_automatic(frame.command()) => match peer.send_frame(&frame, TIMEOUT) {
                Ok(_) => sent.frames += 1,
                Err(error) => {
                    sent.stopped = Some(format!("{} could not be sent: {error}", frame.command()));
                    return sent;
                }
            },
            // The library sends no malformed frames.
            _ => sent.left_out += 1,
        }
    }
    // Most nodes answer in order, so that their answers arrive before the pong.
    sent.stopped = peer.ping().err().map(|error| format!("no answer to a ping: {error}"));
    sent
}
