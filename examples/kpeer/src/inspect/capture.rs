//! Records of captures: which are shown, and how.
//!
//! They come from a capture of the library, or from the packets in a pcapng or pcap file.

use super::connections::{Connections, Summary};
use super::frames::{Found, Frames};
use super::{Failure, Report, json};
use kaspa_peer::peer::{CaptureReader, CaptureRecord, Captured};
use kaspa_peer::wire::{Command, Network};
use std::io::{self, Read, Write};
use std::time::{Duration, SystemTime};

/// The first bytes of a capture.
pub const MAGIC: &[u8] = b"KPCAP\0\0";

/// Chooses records. Chooses all unless something is set.
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

/// Something that happened on a connection.
pub enum What {
    Received(Vec<u8>),
    Sent(Vec<u8>),
    /// The address of the remote, and the direction.
    Connected(String),
    /// How the connection ended.
    Gone(String),
    /// Why a frame was refused.
    Refused(String),
    /// Text about traffic that is missing in the file.
    Missing(String),
    /// A record of a newer version of the library.
    Unknown,
}

impl From<Captured> for What {
    fn from(captured: Captured) -> Self {
        match captured {
            Captured::Received(frame) => Self::Received(frame),
            Captured::Sent(frame) => Self::Sent(frame),
            Captured::Connected(text) => Self::Connected(text.to_string()),
            Captured::Gone(text) => Self::Gone(text.to_string()),
            Captured::Refused(text) => Self::Refused(text.to_string()),
            _ => Self::Unknown,
        }
    }
}

/// A record of any kind of file.
pub struct Record {
    pub time: SystemTime,
    pub peer: u64,
    pub what: What,
    pub network: Network,
}

/// A record as it is shown.
pub struct Shown {
    /// Since the first record of the file.
    pub at: Duration,
    pub time: SystemTime,
    pub peer: u64,
    pub what: What,
    /// The frame of the record, if it has one.
    pub found: Option<Found>,
}

impl Shown {
    fn new(record: Record, start: SystemTime) -> io::Result<Self> {
        let Record { time, peer, what, network } = record;
        let at = time.duration_since(start).unwrap_or_default();
        let found = match &what {
            What::Received(bytes) | What::Sent(bytes) => Frames::new(bytes.as_slice(), network).next_frame()?,
            _ => None,
        };
        Ok(Self { at, time, peer, what, found })
    }
}

/// Where records come from.
enum Source {
    Capture(CaptureReader<Box<dyn Read + Send>>),
    Packets(Box<Connections>),
}

/// The records of a file that a filter takes.
pub struct Records {
    source: Source,
    /// The first record, which was read to learn the network.
    first: Option<io::Result<Record>>,
    network: Option<Network>,
    start: Option<SystemTime>,
    filter: Filter,
    read: u64,
    taken: u64,
}

impl Records {
    /// Reads a capture of the library.
    pub fn of_capture(source: Box<dyn Read + Send>, filter: Filter) -> io::Result<Self> {
        let reader = CaptureReader::new(source)?;
        let network = Some(reader.network());
        Ok(Self::new(Source::Capture(reader), network, None, filter))
    }

    /// Reads the packets of a pcapng or pcap file.
    pub fn of_packets(mut connections: Connections, filter: Filter) -> Self {
        let first = connections.next_record().transpose();
        let network = first.as_ref().and_then(|first| Some(first.as_ref().ok()?.network));
        Self::new(Source::Packets(Box::new(connections)), network, first, filter)
    }

    fn new(source: Source, network: Option<Network>, first: Option<io::Result<Record>>, filter: Filter) -> Self {
        Self { source, first, network, start: None, filter, read: 0, taken: 0 }
    }

    /// The network of the capture, or of the first frame in the packets.
    pub fn network(&self) -> Option<Network> {
        self.network
    }

    /// How many records a filter has taken, and of how many; `None` without a filter.
    pub fn filtered(&self) -> Option<(u64, u64)> {
        self.filter.is_set().then_some((self.taken, self.read))
    }

    /// Counts of packets and connections that are not shown as records. `None` for a capture of the library.
    pub fn summary(&self) -> Option<Summary> {
        match &self.source {
            Source::Capture(_) => None,
            Source::Packets(connections) => Some(connections.summary()),
        }
    }

    fn next_record(&mut self) -> Option<io::Result<Record>> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        match &mut self.source {
            Source::Capture(reader) => {
                let network = reader.network();
                let record = reader.next()?;
                Some(record.map(|CaptureRecord { time, peer, what, .. }| Record {
                    time,
                    peer,
                    what: what.into(),
                    network,
                }))
            }
            Source::Packets(connections) => connections.next_record().transpose(),
        }
    }
}

impl Iterator for Records {
    type Item = io::Result<Shown>;

    fn next(&mut self) -> Option<io::Result<Shown>> {
        loop {
            let shown = self.next_record()?.and_then(|record| {
                self.read += 1;
                let start = *self.start.get_or_insert(record.time);
                Shown::new(record, start)
            });
            match shown {
                Ok(shown) if !self.filter.takes(&shown) => {}
                shown => {
                    self.taken += 1;
                    return Some(shown);
                }
            }
        }
    }
}

/// Shows all records; of a file that is cut off, those before the cut.
pub fn show<W: Write>(records: &mut Records, report: &mut Report<W>) -> Result<(), Failure> {
    let network = records.network().map(super::frames::network_name);
    if !report.json
        && let Some(network) = network
    {
        writeln!(report.out, "capture of {network}").map_err(Failure::Write)?;
    }
    while let Some(record) = records.next() {
        let record = record.map_err(|error| Failure::Read(cut_off(error)))?;
        report.bad |= record.found.as_ref().is_some_and(|found| found.content.is_err());
        report.bad |= matches!(record.what, What::Missing(_));
        if report.json { json::write_record(&mut report.out, &record) } else { write(&mut report.out, &record) }
            .map_err(Failure::Write)?;
        if matches!(records.source, Source::Packets(_)) {
            // tcpdump may still be writing to the other end of a pipe.
            report.out.flush().map_err(Failure::Write)?;
        }
    }
    if let Some(summary) = records.summary() {
        if report.json { json::write_summary(&mut report.out, &summary) } else { writeln!(report.out, "{summary}") }
            .map_err(Failure::Write)?;
    }
    report.out.flush().map_err(Failure::Write)
}

/// The same error, in words that help.
pub fn cut_off(error: io::Error) -> io::Error {
    match error.kind() {
        // An error with a text of its own says where the record begins.
        io::ErrorKind::UnexpectedEof if error.get_ref().is_none() => {
            io::Error::new(error.kind(), "the capture is cut off in the middle of a record")
        }
        _ => error,
    }
}

fn write(out: &mut impl Write, record: &Shown) -> io::Result<()> {
    let Shown { at, peer, what, found, .. } = record;
    write!(out, "{:>12.6}  peer {peer:<4}", at.as_secs_f64())?;
    let (Some(found), sent) = (found, matches!(what, What::Sent(_))) else {
        return match what {
            What::Connected(text) => writeln!(out, "    connected: {text}"),
            What::Gone(text) => writeln!(out, "    gone: {text}"),
            What::Refused(text) => writeln!(out, " <- refused: {text}"),
            What::Missing(text) => writeln!(out, "    not captured: {text}"),
            _ => writeln!(out, "    a record of a newer version"),
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
