//! Saying to a node what one side of a capture said.

use super::Failure;
use super::capture::{Records, Shown, What, cut_off};
use crate::dial::DialOptions;
use crossbeam_channel::Receiver;
use kaspa_peer::wire::{Command, Encode, Frame, Network};
use kaspa_peer::{Config, DisconnectReason, Event, EventKind, Peer, events};
use std::io::{self, Write};
use std::time::{Duration, Instant};
use std::{panic, thread};

/// So many answers may wait to be printed. Each may be a block of 32 MiB.
const WAITING: usize = 4;

/// How long the node may take to make room for a frame, and talk after the last.
const PATIENCE: Duration = Duration::from_secs(30);

/// When nothing has come for so long, nothing more is expected.
const QUIET: Duration = Duration::from_millis(500);

/// Whose words are repeated.
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

/// What the library says by itself, with nonces of its own.
fn is_automatic(command: Command) -> bool {
    matches!(command, Command::Version | Command::VerAck | Command::Ping | Command::Pong)
}

/// What was said, and how that ended.
#[derive(Default)]
struct Said {
    repeated: u64,
    left_out: u64,
    /// Why it could not go on.
    stopped: Option<String>,
    /// What is wrong with the rest of the file.
    cut: Option<io::Error>,
}

/// What came back.
#[derive(Default)]
struct Heard {
    count: u64,
    gone: Option<DisconnectReason>,
    /// It did not stop.
    still_talking: bool,
}

/// Repeats one side of the first peer that the filter takes, and shows what comes back meanwhile; whether the node heard
/// all of it and is still there.
pub fn replay(records: &mut Records, address: &str, side: Side, out: &mut impl Write) -> Result<bool, Failure> {
    let Some(network) = records.network() else {
        return Err(Failure::Read(io::Error::new(io::ErrorKind::InvalidData, "no frames to send")));
    };
    let (stream, address) =
        DialOptions::default().dial(address, network).map_err(|error| Failure::Node(error.into()))?;
    // While more than that wait to be printed, the node has to wait, too.
    let (listener, events) = events(WAITING);
    let config = Config::builder(network).user_agent_with_comments("inspect", env!("CARGO_PKG_VERSION"), ["replay"]);
    let config = config.listener(listener).build().map_err(|error| Failure::Node(error.into()))?;
    let peer = Peer::outbound(stream, address, &config).map_err(|error| Failure::Node(error.into()))?;
    let (said, heard) = thread::scope(|scope| {
        let speaker = scope.spawn(|| say(records, &peer, network, side));
        let heard = listen(&events, || speaker.is_finished(), out);
        // Whatever is left to say nobody hears any more.
        peer.disconnect();
        (speaker.join(), heard)
    });
    let (said, heard) = (said.unwrap_or_else(|panic| panic::resume_unwind(panic)), heard.map_err(Failure::Write)?);
    let closing = match (&heard.gone, &said.stopped) {
        (Some(reason), _) => format!("the node is gone: {reason}"),
        (None, Some(error)) => error.clone(),
        (None, None) if heard.still_talking => format!("the node still talks after {PATIENCE:?}"),
        (None, None) => "the node is still there".to_owned(),
    };
    let Said { repeated, left_out, .. } = said;
    writeln!(out, "{repeated} frames repeated, {left_out} left out, {} messages came back; {closing}", heard.count)
        .and_then(|()| out.flush())
        .map_err(Failure::Write)?;
    match said.cut {
        Some(error) => Err(Failure::Read(cut_off(error))),
        None => Ok(said.stopped.is_none() && heard.gone.is_none()),
    }
}

/// Prints what comes, until all is said and nothing has come for a while.
fn listen(events: &Receiver<Event>, all_said: impl Fn() -> bool, out: &mut impl Write) -> io::Result<Heard> {
    let mut heard = Heard::default();
    let mut deadline = None;
    loop {
        match events.recv_timeout(QUIET).map(|event| event.kind) {
            Ok(EventKind::Message(message)) if !is_automatic(message.command()) => {
                heard.count += 1;
                let line = format!("<- {:<12} {}", message.command(), message.summary());
                writeln!(out, "{}", line.trim_end())?;
            }
            Ok(EventKind::Disconnected(reason)) => {
                heard.gone = Some(reason);
                return Ok(heard);
            }
            Ok(_) => {}
            Err(_) if all_said() => return Ok(heard),
            // It may take its time while it is being told something.
            Err(_) => out.flush()?,
        }
        if all_said() && *deadline.get_or_insert_with(|| Instant::now() + PATIENCE) <= Instant::now() {
            heard.still_talking = true;
            return Ok(heard);
        }
    }
}

fn say(records: &mut Records, peer: &Peer, network: Network, side: Side) -> Said {
    let mut said = Said::default();
    if let Err(error) = peer.wait_for_handshake() {
        said.stopped = Some(error.to_string());
        return said;
    }
    let mut only = None;
    for record in records {
        let Shown { peer: whose, what, .. } = match record {
            Ok(record) => record,
            // What comes before the cut is said.
            Err(error) => {
                said.cut = Some(error);
                break;
            }
        };
        let frame = match (what, side) {
            (What::Sent(frame), Side::Sent) | (What::Received(frame), Side::Received) => frame,
            _ => continue,
        };
        if *only.get_or_insert(whose) != whose {
            continue;
        }
        match Frame::from_bytes(frame, network) {
            Ok(frame) if !is_automatic(frame.command()) => match peer.send_frame(&frame, PATIENCE) {
                Ok(_) => said.repeated += 1,
                Err(error) => {
                    said.stopped = Some(format!("{} could not be said: {error}", frame.command()));
                    return said;
                }
            },
            // What is no frame any more cannot be sent: the library sends nothing that is malformed.
            _ => said.left_out += 1,
        }
    }
    // What a node answers on its reader's thread comes before the pong; others may take a little longer.
    said.stopped = peer.ping().err().map(|error| format!("no answer to a ping: {error}"));
    said
}
