//! Saying to a node what one side of a capture said.

use crate::capture::{Records, Shown, cut_off};
use crate::summary::summary;
use crate::{Failure, dial};
use kaspa_peer::peer::Captured;
use kaspa_peer::wire::{Command, Encode, Frame, Message, Network};
use kaspa_peer::{Config, Listener, Peer, QueueError, WaitError};
use std::io::{self, Read, Write};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

/// How long the node may take to make room for a frame.
const PATIENCE: Duration = Duration::from_secs(30);

/// When nothing has come for so long, nothing more is expected.
const QUIET: Duration = Duration::from_millis(500);

/// Whose words are repeated.
#[derive(Clone, Copy, PartialEq, Eq)]
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

/// What comes back, as it is told on the reader's thread.
struct Answers(Sender<Message>);

impl Listener for Answers {
    fn deliver(&self, _: &Peer, message: Message) {
        let _ = self.0.send(message);
    }
}

/// What the library says by itself, with nonces of its own.
fn is_automatic(command: Command) -> bool {
    matches!(command, Command::Version | Command::VerAck | Command::Ping | Command::Pong)
}

/// Repeats one side of the first peer that the filter takes; whether the node heard all of it and is still there.
pub fn replay<R: Read>(
    mut records: Records<R>,
    address: &str,
    side: Side,
    out: &mut impl Write,
) -> Result<bool, Failure> {
    let network = records.network();
    let (stream, address) = dial::dial(address, network).map_err(Failure::Read)?;
    let (answers, heard) = channel();
    let config = Config::builder(network).user_agent("inspect", env!("CARGO_PKG_VERSION"), ["replay"]);
    let config = config.listener(Answers(answers)).build().map_err(|error| Failure::Read(io::Error::other(error)))?;
    let peer = Peer::outbound(stream, address, &config).map_err(|error| Failure::Read(io::Error::other(error)))?;
    let (mut repeated, mut left_out) = (0u64, 0u64);
    let mut cut = None;
    // Of a file that is cut off, what comes before the cut is said.
    let mut whole = records.by_ref().map_while(|record| record.map_err(|error| cut = Some(error)).ok());
    let said = say(&mut whole, &peer, network, side, &mut repeated, &mut left_out)?;
    // What a node answers on its reader's thread comes before the pong; others may take a little longer.
    let end = said.and_then(|()| peer.ping().map(drop));
    let mut count = 0u64;
    let deadline = Instant::now() + PATIENCE;
    while let Ok(message) = heard.recv_timeout(QUIET)
        && Instant::now() < deadline
    {
        let command = message.command();
        if !is_automatic(command) {
            count += 1;
            let line = format!("<- {command:<12} {}", summary(&message));
            writeln!(out, "{}", line.trim_end()).map_err(Failure::Write)?;
        }
    }
    peer.disconnect();
    let reason = peer.wait_for_disconnect();
    let closing = match (&end, &reason) {
        (Ok(()), _) => "the node is still there".to_owned(),
        (Err(WaitError::Closed(reason)), _) | (Err(_), Ok(reason)) => format!("the node is gone: {reason}"),
        (Err(error), Err(_)) => error.to_string(),
    };
    writeln!(out, "{repeated} frames repeated, {left_out} left out, {count} messages came back; {closing}")
        .and_then(|()| out.flush())
        .map_err(Failure::Write)?;
    match cut {
        Some(error) => Err(Failure::Read(cut_off(error))),
        None => Ok(end.is_ok()),
    }
}

fn say(
    records: &mut impl Iterator<Item = Shown>,
    peer: &Peer,
    network: Network,
    side: Side,
    repeated: &mut u64,
    left_out: &mut u64,
) -> Result<Result<(), WaitError>, Failure> {
    if let Err(error) = peer.wait_for_handshake() {
        return Ok(Err(error));
    }
    let mut only = None;
    for record in records {
        let Shown { peer: whose, what, .. } = record;
        let frame = match (what, side) {
            (Captured::Sent(frame), Side::Sent) | (Captured::Received(frame), Side::Received) => frame,
            _ => continue,
        };
        if *only.get_or_insert(whose) != whose {
            continue;
        }
        let frame = match Frame::from_bytes(frame, network) {
            Ok(frame) if !is_automatic(frame.command()) => frame,
            // What is no frame any more cannot be sent: the library sends nothing that is malformed.
            _ => {
                *left_out += 1;
                continue;
            }
        };
        match peer.send_frame(&frame, PATIENCE) {
            Ok(()) => *repeated += 1,
            Err(QueueError::Closed(reason)) => return Ok(Err(WaitError::Closed(reason))),
            Err(error) => return Err(Failure::Read(io::Error::other(error))),
        }
    }
    Ok(Ok(()))
}
