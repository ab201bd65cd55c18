//! The connections in a pcapng or pcap file, as the records of a capture.

use super::capture::{Record, What};
use super::held::Held;
use super::packets::{Direction, Segment, Segments, Skipped};
use super::stream::{Found, FrameStream};
use super::tcp::{self, Piece};
use super::text::count;
use kaspa_peer::wire::Network;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::SystemTime;

/// How many connections may be open at the same time. More are counted and not read.
const MAX_OPEN: usize = 65_536;

/// How many connections that have ended are remembered. Then all of them are forgotten at once: to search for one each time
/// would cost more than everything else, if a machine is flooded with connections.
const MAX_ENDED: usize = MAX_OPEN / 4;

/// The addresses of both ends of a connection, the lower one first.
type Key = [SocketAddr; 2];

/// The most bytes that incomplete frames, and bytes after gaps, may take in all connections together. Beyond it, the
/// connection that holds the most bytes drops them.
const MAX_HELD: usize = 256 << 20;

/// Counts of connections, and of packets that are not part of a record.
#[derive(Debug, Clone, Copy, Default)]
pub struct Summary {
    /// Connections with frames.
    pub connections: u64,
    /// Connections without frames.
    pub others: u64,
    /// Connections that were not read, because too many were open.
    pub ignored: u64,
    pub oddities: tcp::Oddities,
    pub skipped: Skipped,
}

impl fmt::Display for Summary {
    /// One line each for what was read, and for each kind of thing that is not shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connections, others, ignored, oddities, skipped } = self;
        write!(f, "{} with frames", count(*connections, "connection"))?;
        let more = [
            (*others, "connection", "without frames (see --network)"),
            (*ignored, "connection", "not read, because too many were open"),
            (oddities.missing, "byte", "not captured"),
            (oddities.early, "segment", "out of order"),
            (oddities.again, "segment", "sent again"),
            (skipped.cut, "packet", "recorded up to the snap length only"),
            (skipped.fragments, "IP fragment", "not read"),
            (skipped.other, "packet", "other than TCP"),
        ];
        let more = more.iter().filter(|(number, ..)| *number > 0);
        more.into_iter().try_for_each(|(number, noun, what)| write!(f, "\n{} {what}", count(*number, noun)))
    }
}

/// Reads the records of a file.
pub struct Connections {
    segments: Segments,
    network: Option<Network>,
    /// By the addresses of both ends. Connections that have ended stay, so that segments sent again do not begin new ones.
    connections: HashMap<Key, Connection>,
    /// How many of them have ended.
    ended: usize,
    records: VecDeque<Record>,
    next_id: u64,
    held: Held<Key>,
    max_held: usize,
    /// After the last packet: the connections whose end is still to be shown. They end one by one, because the records of all
    /// of them together need several times the memory of what they hold.
    ending: Option<std::vec::IntoIter<Key>>,
    at_end: bool,
    /// The error in the rest of the file.
    error: Option<io::Error>,
    summary: Summary,
    /// How often all connections were looked through.
    #[cfg(test)]
    searches: usize,
}

struct Connection {
    /// The end that dialled, and the other one.
    ends: [End; 2],
    /// The end that is this side.
    ours: usize,
    /// `true` if the first segment was a SYN.
    from_start: bool,
    begun: SystemTime,
    last: SystemTime,
    is_over: bool,
    /// Given with the first record.
    id: Option<u64>,
    network: Option<Network>,
    /// The end whose FIN came first.
    closed_by: Option<SocketAddr>,
}

/// One end, and the bytes that it sent.
struct End {
    address: SocketAddr,
    bytes: tcp::Direction,
    frames: FrameStream,
}

impl Connections {
    /// `network` is the network of the frames, or `None` for any of the public ones.
    pub fn new(segments: Segments, network: Option<Network>) -> Self {
        Self {
            segments,
            network,
            connections: HashMap::new(),
            ended: 0,
            records: VecDeque::new(),
            next_id: 1,
            held: Held::new(),
            max_held: MAX_HELD,
            ending: None,
            at_end: false,
            error: None,
            summary: Summary::default(),
            #[cfg(test)]
            searches: 0,
        }
    }

    /// Returns the counts so far.
    pub fn summary(&self) -> Summary {
        Summary { skipped: self.segments.skipped, ..self.summary }
    }

    /// Returns the next record, or `None` at the end of the file.
    pub fn next_record(&mut self) -> io::Result<Option<Record>> {
        while self.records.is_empty() && !self.at_end {
            if let Some(ending) = &mut self.ending {
                match ending.next() {
                    Some(key) => self.end_with_file(key),
                    None => self.at_end = true,
                }
                continue;
            }
            match self.segments.next_segment() {
                Ok(Some(segment)) => self.add(segment),
                Ok(None) => self.finish(),
                Err(error) => {
                    self.error = Some(error);
                    self.finish();
                }
            }
        }
        match (self.records.pop_front(), self.error.take()) {
            (None, Some(error)) => Err(error),
            (record, error) => {
                self.error = error;
                Ok(record)
            }
        }
    }

    fn add(&mut self, segment: Segment) {
        let Segment { source, destination, .. } = segment;
        let key = if source <= destination { [source, destination] } else { [destination, source] };
        let is_new = segment.syn && segment.acknowledged.is_none();
        if is_new && self.connections.get(&key).is_some_and(|known| known.is_other_than(&segment)) {
            // The same addresses and ports again.
            self.end(key, "a connection with the same ports begins");
            // It has ended, now or before.
            self.ended -= usize::from(self.connections.remove(&key).is_some());
        }
        if !self.connections.contains_key(&key) {
            if segment.payload.is_empty() && !segment.syn {
                return;
            }
            if self.ended >= MAX_ENDED {
                self.forget_ended();
            }
            if self.connections.len() - self.ended >= MAX_OPEN {
                // The answer to a SYN does not count again.
                self.summary.ignored += u64::from(is_new);
                return;
            }
            self.connections.insert(key, Connection::new(&segment, self.network));
        }
        let Some(connection) = self.connections.get_mut(&key).filter(|connection| !connection.is_over) else { return };
        let before = connection.held();
        let (time, rst) = (segment.time, segment.rst);
        let records = connection.add(segment);
        self.held.change(key, before, connection.held());
        let how = connection.has_ended().then_some("").or(rst.then_some("reset"));
        let how = how.map(|how| match (how, connection.closed_by) {
            ("reset", _) => format!("reset by {source}"),
            (_, by) => format!("closed by {}", by.unwrap_or(source)),
        });
        for (what, network) in records {
            self.record(key, time, what, network);
        }
        if let Some(how) = how {
            self.end(key, &how);
        }
        if self.held.total() > self.max_held {
            self.give_up_the_largest();
        }
    }

    fn forget_ended(&mut self) {
        #[cfg(test)]
        {
            self.searches += 1;
        }
        self.connections.retain(|_, connection| !connection.is_over);
        self.ended = 0;
    }

    /// Adds a record, after that of the beginning of its connection.
    fn record(&mut self, key: Key, time: SystemTime, what: What, network: Option<Network>) {
        let Some(connection) = self.connections.get_mut(&key) else { return };
        connection.network = network.or(connection.network);
        // Without a frame it is not known whether this is a connection of kaspa nodes.
        let Some(network) = connection.network else { return };
        let peer = match connection.id {
            Some(id) => id,
            None => {
                let id = self.next_id;
                connection.id = Some(id);
                self.next_id += 1;
                self.summary.connections += 1;
                let what = What::Connected(connection.description());
                self.records.push_back(Record { time: connection.begun, peer: id, what, network });
                id
            }
        };
        self.records.push_back(Record { time, peer, what, network });
    }

    /// Ends a connection: shows what waits, and how it ended.
    fn end(&mut self, key: Key, how: &str) {
        let Some(connection) = self.connections.get_mut(&key).filter(|connection| !connection.is_over) else { return };
        self.held.change(key, connection.held(), 0);
        connection.is_over = true;
        self.ended += 1;
        let (time, records) = (connection.last, connection.finish());
        for end in &connection.ends {
            self.summary.oddities.again += end.bytes.oddities.again;
            self.summary.oddities.early += end.bytes.oddities.early;
            self.summary.oddities.missing += end.bytes.oddities.missing;
        }
        for (what, network) in records {
            self.record(key, time, what, network);
        }
        let Some(connection) = self.connections.get_mut(&key) else { return };
        match (connection.id, connection.network) {
            (Some(peer), Some(network)) if !how.is_empty() => {
                self.records.push_back(Record { time, peer, what: What::Gone(how.to_owned()), network });
            }
            (Some(_), _) => {}
            (None, _) => self.summary.others += 1,
        }
    }

    /// The file has no more packets: all connections end, those that began first before the others.
    fn finish(&mut self) {
        let mut keys: Vec<_> = self.connections.iter().map(|(key, connection)| (connection.begun, *key)).collect();
        keys.sort_unstable();
        let keys: Vec<Key> = keys.into_iter().map(|(_, key)| key).collect();
        self.ending = Some(keys.into_iter());
    }

    fn end_with_file(&mut self, key: Key) {
        let closed_by = self.connections.get(&key).and_then(|connection| connection.closed_by);
        self.end(key, &closed_by.map(|by| format!("closed by {by}")).unwrap_or_default());
    }

    fn give_up_the_largest(&mut self) {
        let Some((held, key)) = self.held.largest() else { return };
        let Some(connection) = self.connections.get_mut(&key) else { return };
        for end in &mut connection.ends {
            end.bytes.finish();
            end.frames.gap();
        }
        let time = connection.last;
        self.held.change(key, held, connection.held());
        let what = What::Missing(format!("{held} bytes given up: more than {} bytes wait for others", self.max_held));
        self.record(key, time, what, None);
    }
}

impl Connection {
    fn new(first: &Segment, network: Option<Network>) -> Self {
        let Segment { source, destination, .. } = *first;
        let dialled = match (first.syn, first.acknowledged) {
            (true, None) => true,
            (true, Some(_)) => false,
            // Ports of listeners are lower than those that the system gives to diallers.
            (false, _) => source.port() >= destination.port(),
        };
        let (dialler, listener) = if dialled { (source, destination) } else { (destination, source) };
        let ours = match first.direction {
            Some(Direction::Outbound) => usize::from(source == listener),
            Some(Direction::Inbound) => usize::from(destination == listener),
            None => 0,
        };
        let end = |address| End { address, bytes: tcp::Direction::default(), frames: FrameStream::new(network) };
        Self {
            ends: [end(dialler), end(listener)],
            ours,
            from_start: first.syn,
            begun: first.time,
            last: first.time,
            is_over: false,
            id: None,
            network: None,
            closed_by: None,
        }
    }

    /// `true` if a SYN begins another connection with the same ports.
    fn is_other_than(&self, syn: &Segment) -> bool {
        let seen = self.ends.iter().find(|end| end.address == syn.source);
        // A SYN that is sent again is the one before the first byte.
        seen.is_none_or(|end| end.bytes.has_begun() && !end.bytes.begins_after(syn.sequence))
    }

    fn description(&self) -> String {
        let [dialler, listener] = &self.ends;
        let (ours, remote, direction) = match self.ours {
            0 => (dialler, listener, "outbound"),
            _ => (listener, dialler, "inbound"),
        };
        let begun = if self.from_start { "" } else { ", begun before the capture" };
        format!("{} ({direction}), this side {}{begun}", remote.address, ours.address)
    }

    fn held(&self) -> usize {
        #[cfg(test)]
        tests::MEASURED.with(|measured| measured.set(measured.get() + 1));
        self.ends.iter().map(|end| end.bytes.waiting_bytes() + end.frames.held()).sum()
    }

    fn has_ended(&self) -> bool {
        self.ends.iter().all(|end| end.bytes.has_ended())
    }

    fn add(&mut self, segment: Segment) -> Vec<(What, Option<Network>)> {
        let Segment { time, source, sequence, acknowledged, syn, fin, payload, .. } = segment;
        self.last = time;
        let [first, second] = &mut self.ends;
        let ((sender, receiver), is_first) =
            if first.address == source { ((first, second), true) } else { ((second, first), false) };
        let is_ours = is_first == (self.ours == 0);
        if fin {
            self.closed_by.get_or_insert(source);
        }
        if syn {
            sender.bytes.begin(sequence);
        }
        // The first byte after a SYN has the next number.
        let sequence = sequence.wrapping_add(u32::from(syn));
        let mut records = Vec::new();
        if let Some(acknowledged) = acknowledged {
            let pieces = receiver.bytes.acknowledge(acknowledged);
            receiver.read(pieces, !is_ours, &mut records);
        }
        let pieces = sender.bytes.add(sequence, payload, fin);
        sender.read(pieces, is_ours, &mut records);
        records
    }

    fn finish(&mut self) -> Vec<(What, Option<Network>)> {
        let mut records = Vec::new();
        for (number, end) in self.ends.iter_mut().enumerate() {
            let pieces = end.bytes.finish();
            end.read(pieces, number == self.ours, &mut records);
            if let Some((command, size)) = end.frames.incomplete() {
                let what = format!("{} ends in the middle of {command} of {size} bytes", end.address);
                records.push((What::Missing(what), None));
            }
            end.frames.gap();
        }
        records
    }
}

impl End {
    fn read(&mut self, pieces: Vec<Piece>, is_ours: bool, records: &mut Vec<(What, Option<Network>)>) {
        for piece in pieces {
            let bytes = match piece {
                Piece::Bytes(bytes) => bytes,
                Piece::Gap(missing) => {
                    let inside = self.frames.incomplete();
                    let inside = inside.map(|(command, size)| format!(", in the middle of {command} of {size} bytes"));
                    let what = format!("{missing} bytes of {}{}", self.address, inside.unwrap_or_default());
                    records.push((What::Missing(what), None));
                    self.frames.gap();
                    continue;
                }
            };
            for found in self.frames.add(&bytes) {
                records.push(match found {
                    Found::Frame(network, frame) if is_ours => (What::Sent(frame), Some(network)),
                    Found::Frame(network, frame) => (What::Received(frame), Some(network)),
                    Found::Skipped(count) => {
                        let what = format!("{count} bytes of {} skipped up to the next frame", self.address);
                        (What::Missing(what), None)
                    }
                });
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "connections_tests.rs"]
mod tests;
