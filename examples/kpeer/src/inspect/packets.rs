//! TCP segments from a pcapng or pcap file, as tcpdump and Wireshark record them.

use etherparse::{EtherType, LaxNetSlice, LaxSlicedPacket, TransportSlice};
use pcap_parser::pcapng::Block;
use pcap_parser::traits::{PcapNGPacketBlock, PcapReaderIterator};
use pcap_parser::{LegacyPcapReader, Linktype, PcapBlockOwned, PcapError, PcapNGReader};
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The buffer holds the largest block, and more than one packet. It grows up to [`LARGEST_BLOCK`].
const BUFFER: usize = 64 << 10;

/// The largest block that is read. A packet has at most 256 KiB.
const LARGEST_BLOCK: usize = 2 << 20;

/// A section with more interfaces is refused.
const MAX_INTERFACES: usize = 4096;

/// The option of a pcapng packet that tells its direction.
const EPB_FLAGS: u16 = 2;

/// Returns whether a file with these first bytes is a pcapng or pcap file.
pub fn is_pcap(start: &[u8]) -> bool {
    is_pcapng(start)
        || start.first_chunk().is_some_and(|magic| {
            // With microseconds or nanoseconds, in either byte order.
            [0xa1b2_c3d4, 0xa1b2_3c4d]
                .iter()
                .any(|known| [u32::from_le_bytes(*magic), u32::from_be_bytes(*magic)].contains(known))
        })
}

fn is_pcapng(start: &[u8]) -> bool {
    start.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a])
}

/// The direction of a packet, seen from the machine that recorded it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Outbound,
    Inbound,
}

/// A TCP segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    pub time: SystemTime,
    /// `None` if the file does not tell.
    pub direction: Option<Direction>,
    pub source: SocketAddr,
    pub destination: SocketAddr,
    pub sequence: u32,
    /// The next byte that the source expects.
    pub acknowledged: Option<u32>,
    pub syn: bool,
    pub fin: bool,
    pub rst: bool,
    pub payload: Vec<u8>,
}

/// The packets that are no TCP segments, or only a part of one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Skipped {
    /// Not TCP, or a link type that is not known.
    pub other: u64,
    /// Fragments of IP packets.
    pub fragments: u64,
    /// Packets that were recorded up to the snap length only.
    pub cut: u64,
}

/// Reads the segments of a file.
pub struct Segments {
    blocks: Box<dyn PcapReaderIterator + Send>,
    buffer: usize,
    interfaces: Vec<Interface>,
    /// The time of the last packet, for blocks without one.
    last: SystemTime,
    pub skipped: Skipped,
}

#[derive(Clone, Copy)]
struct Interface {
    link: Linktype,
    /// Units of time stamps per second.
    resolution: u64,
    /// In seconds.
    offset: i64,
}

/// A packet as the file has it.
struct Packet<'a> {
    interface: Interface,
    /// In units of the interface.
    time: Option<u64>,
    direction: Option<Direction>,
    bytes: &'a [u8],
    is_cut: bool,
}

impl Segments {
    /// `start` are the first bytes of the file, which were read to find out what it is.
    pub fn new(start: &[u8], mut rest: impl Read + Send + 'static) -> io::Result<Self> {
        let mut start = start.to_vec();
        let is_pcapng = is_pcapng(&start);
        if is_pcapng {
            // The reader needs the first block as a whole.
            let length = |at: usize| start.get(at..)?.first_chunk::<4>().copied();
            let is_little_endian = length(8) == Some(0x1a2b_3c4d_u32.to_le_bytes());
            let length = length(4).unwrap_or_default();
            let length = if is_little_endian { u32::from_le_bytes(length) } else { u32::from_be_bytes(length) };
            let missing = (length as usize).min(BUFFER).saturating_sub(start.len());
            rest.by_ref().take(missing as u64).read_to_end(&mut start)?;
        }
        let source = io::Cursor::new(start).chain(rest);
        let blocks: Box<dyn PcapReaderIterator + Send> = match is_pcapng {
            true => Box::new(PcapNGReader::new(BUFFER, source).map_err(failure)?),
            false => Box::new(LegacyPcapReader::new(BUFFER, source).map_err(failure)?),
        };
        Ok(Self { blocks, buffer: BUFFER, interfaces: Vec::new(), last: UNIX_EPOCH, skipped: Skipped::default() })
    }

    /// Returns the next segment, or `None` at the end of the file.
    pub fn next_segment(&mut self) -> io::Result<Option<Segment>> {
        loop {
            let (length, segment) = match self.blocks.next() {
                Ok((length, block)) => {
                    let packet = read_block(block, &mut self.interfaces)?;
                    (length, packet.and_then(|packet| segment(packet, &mut self.last, &mut self.skipped)))
                }
                Err(PcapError::Eof) => return Ok(None),
                Err(PcapError::Incomplete(_)) => {
                    let before = self.blocks.data().len();
                    self.blocks.refill().map_err(failure)?;
                    // A length inside a block that is larger than the block looks like an incomplete block for ever.
                    if self.blocks.data().len() == before && !self.blocks.reader_exhausted() {
                        return Err(malformed("a length in it is larger than its block"));
                    }
                    continue;
                }
                Err(PcapError::BufferTooSmall) if self.buffer < LARGEST_BLOCK => {
                    self.buffer *= 2;
                    self.blocks.grow(self.buffer);
                    self.blocks.refill().map_err(failure)?;
                    continue;
                }
                Err(error) => return Err(failure(error)),
            };
            self.blocks.consume(length);
            if segment.is_some() {
                return Ok(segment);
            }
        }
    }
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not a well-formed pcap file: {what}"))
}

/// The errors of the library in words that help.
fn failure(error: PcapError<&[u8]>) -> io::Error {
    match error {
        PcapError::UnexpectedEof | PcapError::Incomplete(_) => io::ErrorKind::UnexpectedEof.into(),
        PcapError::BufferTooSmall => malformed(&format!("a block has more than {LARGEST_BLOCK} bytes")),
        PcapError::ReadError => io::Error::other("reading failed"),
        PcapError::NomError(_, kind) | PcapError::OwnedNomError(_, kind) => malformed(&format!("{kind:?}")),
        error => malformed(&error.to_string()),
    }
}

/// Returns the packet of a block if it has one.
fn read_block<'a>(block: PcapBlockOwned<'a>, interfaces: &mut Vec<Interface>) -> io::Result<Option<Packet<'a>>> {
    let packet = match block {
        PcapBlockOwned::NG(Block::SectionHeader(_)) => {
            interfaces.clear();
            None
        }
        PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => {
            if interfaces.len() == MAX_INTERFACES {
                return Err(malformed(&format!("a section has more than {MAX_INTERFACES} interfaces")));
            }
            // A resolution that does not fit into 64 bits cannot be used, so its times are taken for microseconds.
            let resolution = interface.ts_resolution().filter(|units| *units > 0).unwrap_or(1_000_000);
            interfaces.push(Interface { link: interface.linktype, resolution, offset: interface.if_tsoffset });
            None
        }
        PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
            let interface = interfaces.get(packet.if_id as usize).copied();
            let interface = interface.ok_or_else(|| malformed("a packet of an interface that is not described"))?;
            let flags = packet.options.iter().find(|option| option.code.0 == EPB_FLAGS);
            let direction = flags.and_then(|flags| direction(flags.value(), packet.big_endian()));
            let time = Some(u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low));
            let bytes = packet.data.get(..packet.caplen as usize).unwrap_or(packet.data);
            Some(Packet { interface, time, direction, bytes, is_cut: packet.caplen < packet.origlen })
        }
        PcapBlockOwned::NG(Block::SimplePacket(packet)) => {
            let interface = interfaces.first().copied();
            let interface = interface.ok_or_else(|| malformed("a packet of an interface that is not described"))?;
            let bytes = packet.data.get(..packet.origlen as usize).unwrap_or(packet.data);
            let is_cut = (packet.origlen as usize) > packet.data.len();
            Some(Packet { interface, time: None, direction: None, bytes, is_cut })
        }
        PcapBlockOwned::LegacyHeader(header) => {
            let resolution = if header.is_nanosecond_precision() { 1_000_000_000 } else { 1_000_000 };
            // The upper bits tell the length of a check sequence behind each packet, which is not read.
            let link = Linktype(header.network.0 & 0xffff);
            *interfaces = vec![Interface { link, resolution, offset: 0 }];
            None
        }
        PcapBlockOwned::Legacy(packet) => {
            let interface = interfaces.first().copied().ok_or_else(|| malformed("no header"))?;
            let time = u64::from(packet.ts_sec) * interface.resolution + u64::from(packet.ts_usec);
            let is_cut = packet.caplen < packet.origlen;
            Some(Packet { interface, time: Some(time), direction: None, bytes: packet.data, is_cut })
        }
        PcapBlockOwned::NG(_) => None,
    };
    Ok(packet)
}

fn direction(flags: &[u8], big_endian: bool) -> Option<Direction> {
    let flags = *flags.first_chunk()?;
    let flags = if big_endian { u32::from_be_bytes(flags) } else { u32::from_le_bytes(flags) };
    match flags & 3 {
        1 => Some(Direction::Inbound),
        2 => Some(Direction::Outbound),
        _ => None,
    }
}

impl Interface {
    fn time(self, units: u64) -> Option<SystemTime> {
        let nanos = u128::from(units % self.resolution) * 1_000_000_000 / u128::from(self.resolution);
        let since = Duration::new(units / self.resolution, u32::try_from(nanos).ok()?);
        let offset = Duration::from_secs(self.offset.unsigned_abs());
        let time = UNIX_EPOCH.checked_add(since)?;
        if self.offset < 0 { time.checked_sub(offset) } else { time.checked_add(offset) }
    }
}

/// Returns the TCP segment in a packet, if it is one.
fn segment(packet: Packet<'_>, last: &mut SystemTime, skipped: &mut Skipped) -> Option<Segment> {
    let Packet { interface, time, direction, bytes, is_cut } = packet;
    *last = time.and_then(|units| interface.time(units)).unwrap_or(*last);
    let Some((headers, of_link)) = headers(interface.link, bytes) else {
        skipped.other += 1;
        return None;
    };
    let (source, destination, is_fragment) = match &headers.net {
        Some(LaxNetSlice::Ipv4(ip)) => {
            let header = ip.header();
            (IpAddr::V4(header.source_addr()), IpAddr::V4(header.destination_addr()), ip.is_payload_fragmented())
        }
        Some(LaxNetSlice::Ipv6(ip)) => {
            let header = ip.header();
            (IpAddr::V6(header.source_addr()), IpAddr::V6(header.destination_addr()), ip.is_payload_fragmented())
        }
        _ => {
            skipped.other += 1;
            return None;
        }
    };
    if is_fragment {
        skipped.fragments += 1;
        return None;
    }
    let Some(TransportSlice::Tcp(tcp)) = &headers.transport else {
        skipped.other += 1;
        return None;
    };
    skipped.cut += u64::from(is_cut);
    Some(Segment {
        time: *last,
        // On the loopback interface each packet leaves and arrives.
        direction: direction.or(of_link.filter(|_| !source.is_loopback())),
        source: SocketAddr::new(source, tcp.source_port()),
        destination: SocketAddr::new(destination, tcp.destination_port()),
        sequence: tcp.sequence_number(),
        acknowledged: tcp.ack().then(|| tcp.acknowledgment_number()),
        syn: tcp.syn(),
        fin: tcp.fin(),
        rst: tcp.rst(),
        payload: tcp.payload().to_vec(),
    })
}

/// The headers of a packet, and its direction where the link tells it.
fn headers(link: Linktype, bytes: &[u8]) -> Option<(LaxSlicedPacket<'_>, Option<Direction>)> {
    let ether_type = |at: usize| bytes.get(at..)?.first_chunk().map(|number| EtherType(u16::from_be_bytes(*number)));
    let cooked = |ether_type: Option<EtherType>, length: usize, kind: Option<&u8>| {
        // The kernel's packet types: 4 is sent by this machine, all others are received.
        let direction = if kind == Some(&4) { Direction::Outbound } else { Direction::Inbound };
        Some((LaxSlicedPacket::from_ether_type(ether_type?, bytes.get(length..)?), Some(direction)))
    };
    match link {
        Linktype::ETHERNET => LaxSlicedPacket::from_ethernet(bytes).ok().map(|packet| (packet, None)),
        Linktype::RAW | Linktype::IPV4 | Linktype::IPV6 => {
            LaxSlicedPacket::from_ip(bytes).ok().map(|packet| (packet, None))
        }
        Linktype::NULL | Linktype::LOOP => LaxSlicedPacket::from_ip(bytes.get(4..)?).ok().map(|packet| (packet, None)),
        Linktype::LINUX_SLL => cooked(ether_type(14), 16, bytes.get(1)),
        Linktype::LINUX_SLL2 => cooked(ether_type(0), 20, bytes.get(10)),
        _ => None,
    }
}
