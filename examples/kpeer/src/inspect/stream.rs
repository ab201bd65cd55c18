//! Frames in the bytes of one direction of a connection, some of which may be missing.

use kaspa_peer::wire::{Command, HEADER_SIZE, MAX_PAYLOAD, Network};

/// A part of a stream: a frame, or bytes that are none.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// A frame, or only its header if the header is wrong.
    Frame(Network, Vec<u8>),
    /// The number of consecutive bytes that are no frame.
    Skipped(u64),
}

/// How many bytes may stay allocated besides twice those that wait.
const SPARE: usize = 4096;

/// Puts frames together. After a gap or a wrong header it searches for the next header.
pub struct FrameStream {
    /// The network that the user asked for.
    wanted: Option<Network>,
    /// The network of the frames so far.
    network: Option<Network>,
    bytes: Vec<u8>,
    /// Where the bytes begin that are not used yet.
    start: usize,
    /// `true` while the position of the next frame is unknown.
    searching: bool,
    skipped: u64,
}

impl FrameStream {
    /// `wanted` is the network, if it is known.
    pub fn new(wanted: Option<Network>) -> Self {
        Self { wanted, network: wanted, bytes: Vec::new(), start: 0, searching: true, skipped: 0 }
    }

    /// How much memory it holds.
    pub fn held(&self) -> usize {
        self.bytes.capacity()
    }

    /// The incomplete frame at the end: its command, and its size.
    pub fn incomplete(&self) -> Option<(Command, usize)> {
        let rest = self.rest();
        let (network, size) = self.header(rest)?;
        let command = command(rest).filter(|_| !self.searching && self.network == Some(network));
        Some((command?, size))
    }

    /// Some bytes are missing: what is there of a frame is skipped.
    pub fn gap(&mut self) {
        self.skipped += self.rest().len() as u64;
        self.bytes = Vec::new();
        self.start = 0;
        self.searching = true;
    }

    /// Adds bytes, and returns what they complete.
    pub fn add(&mut self, bytes: &[u8]) -> Vec<Found> {
        self.bytes.extend_from_slice(bytes);
        let mut found = Vec::new();
        while self.rest().len() >= HEADER_SIZE {
            let rest = self.rest();
            let Some((network, size)) = self.header(rest) else {
                if self.searching {
                    self.search();
                } else {
                    // It was known that a frame begins here.
                    let header = rest.get(..HEADER_SIZE).unwrap_or_default().to_vec();
                    found.extend(self.network.map(|network| Found::Frame(network, header)));
                    self.start += HEADER_SIZE;
                    self.searching = true;
                }
                continue;
            };
            let Some(frame) = rest.get(..size) else { break };
            let frame = frame.to_vec();
            let skipped = std::mem::take(&mut self.skipped);
            found.extend((skipped > 0).then_some(Found::Skipped(skipped)));
            found.push(Found::Frame(network, frame));
            self.start += size;
            self.network = Some(network);
            self.searching = false;
        }
        // Moves what is left only when it is little, or when the frame before it was large.
        if self.start > 64 * 1024 || self.start == self.bytes.len() {
            self.bytes.drain(..self.start);
            self.start = 0;
            // A large frame leaves a large buffer.
            if self.bytes.capacity() > 2 * self.bytes.len() + SPARE {
                self.bytes.shrink_to_fit();
            }
        }
        if self.bytes.is_empty() {
            // An idle connection holds nothing.
            self.bytes = Vec::new();
        }
        found
    }

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    /// The network and the size of a frame, if a header is well-formed.
    fn header(&self, bytes: &[u8]) -> Option<(Network, usize)> {
        let magic = u32::from_le_bytes(*bytes.first_chunk()?);
        let network = match self.network.or(self.wanted) {
            Some(network) => (network.magic() == magic).then_some(network),
            None => Network::PUBLIC.into_iter().find(|network| network.magic() == magic),
        }?;
        command(bytes)?;
        let length = u32::from_le_bytes(*bytes.get(16..HEADER_SIZE)?.first_chunk()?);
        (length <= MAX_PAYLOAD).then_some((network, HEADER_SIZE + length as usize))
    }

    /// Skips bytes up to the next that can begin a header.
    fn search(&mut self) {
        let rest = self.rest();
        let found =
            (1..=rest.len() - HEADER_SIZE).find(|at| rest.get(*at..).and_then(|rest| self.header(rest)).is_some());
        // A header may have begun in the last bytes.
        let skipped = found.unwrap_or(rest.len() + 1 - HEADER_SIZE);
        self.skipped += skipped as u64;
        self.start += skipped;
    }
}

fn command(header: &[u8]) -> Option<Command> {
    let name = str::from_utf8(header.get(4..16)?).ok()?;
    name.trim_end_matches('\0').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kaspa_peer::wire::{Frame, Ping, Pong};

    fn frames() -> [Vec<u8>; 2] {
        let ping = Frame::encode(&Ping { nonce: 1 }, Network::Simnet).unwrap();
        let pong = Frame::encode(&Pong { nonce: 1 }, Network::Simnet).unwrap();
        [ping.as_bytes().to_vec(), pong.as_bytes().to_vec()]
    }

    #[test]
    fn frames_are_found_in_pieces_of_any_size() {
        let [ping, pong] = frames();
        let bytes = [ping.clone(), pong.clone(), ping.clone()].concat();
        for size in 1..bytes.len() {
            let mut stream = FrameStream::new(None);
            let found: Vec<Found> = bytes.chunks(size).flat_map(|chunk| stream.add(chunk)).collect();
            let expected = [&ping, &pong, &ping].map(|frame| Found::Frame(Network::Simnet, frame.clone()));
            assert_eq!(found, expected, "{size}");
            assert_eq!(stream.held(), 0);
        }
    }

    #[test]
    fn frames_are_found_after_a_gap_and_in_the_middle_of_a_stream() {
        let [ping, pong] = frames();
        let mut stream = FrameStream::new(None);
        let found = stream.add(&[b"the end of a frame", ping.as_slice(), &pong[..20]].concat());
        assert_eq!(found, [Found::Skipped(18), Found::Frame(Network::Simnet, ping.clone())]);
        assert_eq!(stream.incomplete(), None, "a part of a header");
        stream.gap();
        let found = stream.add(&[b"rest", ping.as_slice()].concat());
        assert_eq!(found, [Found::Skipped(24), Found::Frame(Network::Simnet, ping.clone())]);
        stream.add(&pong[..30]);
        assert_eq!(stream.incomplete(), Some((Command::Pong, pong.len())));
    }

    #[test]
    fn a_wrong_header_is_found_and_the_frame_after_it() {
        let [ping, pong] = frames();
        let mut stream = FrameStream::new(None);
        let wrong = [b'x'; HEADER_SIZE].to_vec();
        let found = stream.add(&[ping.clone(), wrong.clone(), pong.clone()].concat());
        let expected = [ping, wrong, pong].map(|frame| Found::Frame(Network::Simnet, frame));
        assert_eq!(found, expected);
    }

    #[test]
    fn the_memory_of_a_large_frame_is_freed_when_the_next_one_begins() {
        let large =
            Frame::encode(&kaspa_peer::wire::CustomMessage::new("large", vec![1; 1 << 20]).unwrap(), Network::Simnet);
        let (large, [ping, _]) = (large.unwrap(), frames());
        let mut stream = FrameStream::new(None);
        stream.add(&large.as_bytes()[..1 << 19]);
        assert!(stream.held() >= 1 << 19);
        stream.add(&[&large.as_bytes()[1 << 19..], &ping[..10]].concat());
        assert_eq!(stream.held(), stream.bytes.capacity());
        assert!(stream.held() < 10_000, "{}", stream.held());
    }

    #[test]
    fn other_protocols_are_skipped_without_keeping_them() {
        let mut stream = FrameStream::new(None);
        for _ in 0..1000 {
            assert_eq!(stream.add(&[b'x'; 1000]), []);
            assert!(stream.held() < 200_000);
        }
    }
}
