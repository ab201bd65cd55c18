//! Captures: what peers said to one another, when, and how it ended.

use super::frames::{Found, Frames};
use super::{Failure, Report, json};
use kaspa_peer::peer::{CaptureReader, CaptureRecord, Captured};
use kaspa_peer::wire::{Command, Network};
use std::io::{self, Read, Write};
use std::time::{Duration, SystemTime};

/// What a file that is a capture begins with.
pub const MAGIC: &[u8] = b"KPCAP\0\0";

/// Which records are of interest; unless something is said, all.
#[derive(Default)]
pub struct Filter {
    pub commands: Vec<Command>,
    pub peer: Option<u64>,
    /// Counted from the first record of the file.
    pub since: Duration,
}

impl Filter {
    pub fn is_set(&self) -> bool {
        !self.commands.is_empty() || self.peer.is_some() || !self.since.is_zero()
    }

    fn takes(&self, record: &Shown) -> bool {
        let command = record.found.as_ref().map(|found| found.command);
        record.at >= self.since
            && self.peer.is_none_or(|peer| peer == record.peer)
            && (self.commands.is_empty() || command.flatten().is_some_and(|command| self.commands.contains(&command)))
    }
}

/// A record as it is shown.
pub struct Shown {
    /// Since the first record of the file.
    pub at: Duration,
    pub time: SystemTime,
    pub peer: u64,
    pub what: Captured,
    /// What its frame is, if it has one.
    pub found: Option<Found>,
}

impl Shown {
    /// The bytes of a frame, and whether they were sent.
    fn frame(what: &Captured) -> Option<(&[u8], bool)> {
        match what {
            Captured::Received(frame) => Some((frame, false)),
            Captured::Sent(frame) => Some((frame, true)),
            _ => None,
        }
    }

    fn new(record: CaptureRecord, start: SystemTime, network: Network) -> io::Result<Self> {
        let CaptureRecord { time, peer, what, .. } = record;
        let at = time.duration_since(start).unwrap_or_default();
        let found = match Self::frame(&what) {
            Some((bytes, _)) => Frames::new(bytes, network).next_frame()?,
            None => None,
        };
        Ok(Self { at, time, peer, what, found })
    }
}

/// The records of a capture that a filter takes.
pub struct Records<R> {
    reader: CaptureReader<R>,
    start: Option<SystemTime>,
    filter: Filter,
}

impl<R: Read> Records<R> {
    pub fn new(source: R, filter: Filter) -> io::Result<Self> {
        Ok(Self { reader: CaptureReader::new(source)?, start: None, filter })
    }

    pub fn network(&self) -> Network {
        self.reader.network()
    }
}

impl<R: Read> Iterator for Records<R> {
    type Item = io::Result<Shown>;

    fn next(&mut self) -> Option<io::Result<Shown>> {
        loop {
            let shown = self.reader.next()?.and_then(|record| {
                let start = *self.start.get_or_insert(record.time);
                Shown::new(record, start, self.reader.network())
            });
            match shown {
                Ok(shown) if !self.filter.takes(&shown) => {}
                shown => return Some(shown),
            }
        }
    }
}

/// Shows all records; of a file that is cut off, those before the cut.
pub fn show<R: Read, W: Write>(records: Records<R>, report: &mut Report<W>) -> Result<(), Failure> {
    if !report.json {
        writeln!(report.out, "capture of {}", super::frames::network_name(records.network()))
            .map_err(Failure::Write)?;
    }
    for record in records {
        let record = record.map_err(|error| Failure::Read(cut_off(error)))?;
        report.bad |= record.found.as_ref().is_some_and(|found| found.content.is_err());
        if report.json { json::write_record(&mut report.out, &record) } else { write(&mut report.out, &record) }
            .map_err(Failure::Write)?;
    }
    report.out.flush().map_err(Failure::Write)
}

/// The same error, in words that help.
pub fn cut_off(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            io::Error::new(error.kind(), "the capture is cut off in the middle of a record")
        }
        _ => error,
    }
}

fn write(out: &mut impl Write, record: &Shown) -> io::Result<()> {
    let Shown { at, peer, what, found, .. } = record;
    write!(out, "{:>12.6}  peer {peer:<4}", at.as_secs_f64())?;
    let (Some(found), sent) = (found, matches!(what, Captured::Sent(_))) else {
        return match what {
            Captured::Connected(text) => writeln!(out, "    connected: {text}"),
            Captured::Gone(text) => writeln!(out, "    gone: {text}"),
            Captured::Refused(text) => writeln!(out, " <- refused: {text}"),
            _ => writeln!(out, "    something that this program does not know"),
        };
    };
    let command = found.command.map_or("-".to_owned(), |command| command.to_string());
    let what = match &found.content {
        Ok(message) => message.summary().to_string(),
        Err(problem) => format!("BAD {}: {problem}", problem.kind()),
    };
    let line = format!(" {} {command:<12} {:>8} bytes  {what}", if sent { "->" } else { "<-" }, found.size);
    writeln!(out, "{}", line.trim_end())
}
