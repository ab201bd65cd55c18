//! `--pcap`: the connections of a capture as TCP connections in a pcapng file, for Wireshark and tshark.
//!
//! A capture has frames, not packets. The packets are made up: each peer becomes a TCP connection with a handshake, its frames
//! become segments with the times of the records, and its end becomes a FIN of both sides. Addresses that the capture does not
//! have are from the ranges for documentation.

use super::capture::{Records, Shown, What, cut_off};
use super::packets::Direction;
use super::pcapng::PcapngWriter;
use super::{Failure, in_file};
use etherparse::{PacketBuilder, TcpOptionElement};
use kaspa_peer::wire::Network;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::SystemTime;

/// The payload of a segment: what fits into an Ethernet frame with either version of IP.
const SEGMENT: usize = 1440;

/// 65 535 bytes, shifted left by [`WINDOW_SCALE`]: larger than any frame, so that no segment has to wait for the window.
const WINDOW: u16 = u16::MAX;
const WINDOW_SCALE: u8 = 14;

/// The port of a node on a network without a default port.
const PORT: u16 = 16111;

/// The first of the ports that a system gives to outbound connections.
const FIRST_EPHEMERAL: u16 = 49152;

/// How much was written.
#[derive(Default)]
pub struct Written {
    pub connections: u64,
    pub packets: u64,
}

/// Writes the records to a new file. `source` is the file that is read, which must be another one.
pub fn export(records: &mut Records, source: Option<&Path>, to: &Path) -> Result<Written, Failure> {
    let same =
        source.is_some_and(|source| fs::canonicalize(source).is_ok_and(|path| fs::canonicalize(to).ok() == Some(path)));
    if same {
        return Err(in_file("--pcap", to, io::Error::other("this is the file that is read")));
    }
    let failed = |error| in_file("--pcap", to, error);
    let file = File::create(to).map_err(failed)?;
    let writer = PcapngWriter::new(BufWriter::new(file)).map_err(failed)?;
    let network = records.network();
    let mut export = Export { writer, network, connections: HashMap::new(), written: Written::default() };
    let mut result = Ok(());
    for record in records {
        match record {
            Ok(record) => export.record(record).map_err(failed)?,
            // The records before the cut are written.
            Err(error) => result = Err(Failure::Read(cut_off(error))),
        }
    }
    export.writer.flush().map_err(failed)?;
    result.map(|()| export.written)
}

struct Export<W> {
    writer: PcapngWriter<W>,
    network: Option<Network>,
    /// Those that are open, by the id of the peer.
    connections: HashMap<u64, Connection>,
    written: Written,
}

struct Connection {
    local: SocketAddr,
    remote: SocketAddr,
    /// The next sequence numbers of this side and of the remote.
    sent: u32,
    received: u32,
}

#[derive(Clone, Copy, Default)]
struct Flags {
    syn: bool,
    ack: bool,
    psh: bool,
    fin: bool,
}

const ACK: Flags = Flags { syn: false, ack: true, psh: false, fin: false };

impl<W: Write> Export<W> {
    fn record(&mut self, record: Shown) -> io::Result<()> {
        let Shown { time, peer, what, .. } = record;
        if let What::Connected(text) = &what {
            return self.connect(time, peer, text);
        }
        if !self.connections.contains_key(&peer) {
            self.connect(time, peer, "begun before the capture")?;
        }
        match what {
            What::Sent(frame) => self.frame(time, peer, Direction::Outbound, &frame),
            What::Received(frame) => self.frame(time, peer, Direction::Inbound, &frame),
            What::Gone(text) => self.disconnect(time, peer, &text),
            What::Refused(text) => self.comment(time, peer, &format!("refused: {text}")),
            What::Missing(text) => self.comment(time, peer, &format!("not captured: {text}")),
            What::Connected(_) | What::Unknown => Ok(()),
        }
    }

    fn connect(&mut self, time: SystemTime, peer: u64, text: &str) -> io::Result<()> {
        self.written.connections += 1;
        let is_inbound = text.contains("(inbound)");
        let (local, remote) = addresses(text, is_inbound, self.written.connections, self.network);
        // The remote begins an inbound connection, and this side begins an outbound one.
        let (first, second) = if is_inbound {
            (Direction::Inbound, Direction::Outbound)
        } else {
            (Direction::Outbound, Direction::Inbound)
        };
        // An id that comes again is of another node, or the end of the peer is missing.
        self.connections.insert(peer, Connection { local, remote, sent: 0, received: 0 });
        let comment = format!("peer {peer}: {text}");
        self.packet(time, peer, first, Flags { syn: true, ..Flags::default() }, &[], Some(&comment))?;
        self.packet(time, peer, second, Flags { syn: true, ..ACK }, &[], None)?;
        self.packet(time, peer, first, ACK, &[], None)
    }

    fn frame(&mut self, time: SystemTime, peer: u64, direction: Direction, frame: &[u8]) -> io::Result<()> {
        let mut segments = frame.chunks(SEGMENT).peekable();
        while let Some(segment) = segments.next() {
            let psh = segments.peek().is_none();
            self.packet(time, peer, direction, Flags { psh, ..ACK }, segment, None)?;
        }
        self.packet(time, peer, opposite(direction), ACK, &[], None)
    }

    fn comment(&mut self, time: SystemTime, peer: u64, text: &str) -> io::Result<()> {
        self.packet(time, peer, Direction::Outbound, ACK, &[], Some(&format!("peer {peer}: {text}")))
    }

    fn disconnect(&mut self, time: SystemTime, peer: u64, text: &str) -> io::Result<()> {
        let comment = format!("peer {peer}: gone: {text}");
        let fin = Flags { fin: true, ..ACK };
        self.packet(time, peer, Direction::Outbound, fin, &[], Some(&comment))?;
        self.packet(time, peer, Direction::Inbound, fin, &[], None)?;
        self.packet(time, peer, Direction::Outbound, ACK, &[], None)?;
        self.connections.remove(&peer);
        Ok(())
    }

    fn packet(
        &mut self,
        time: SystemTime,
        peer: u64,
        direction: Direction,
        flags: Flags,
        payload: &[u8],
        comment: Option<&str>,
    ) -> io::Result<()> {
        let Some(connection) = self.connections.get_mut(&peer) else { return Ok(()) };
        let packet = connection.packet(direction, flags, payload)?;
        self.written.packets += 1;
        self.writer.packet(time, direction, &packet, comment)
    }
}

fn opposite(direction: Direction) -> Direction {
    match direction {
        Direction::Outbound => Direction::Inbound,
        Direction::Inbound => Direction::Outbound,
    }
}

impl Connection {
    /// Makes a packet with its checksums, and counts its bytes.
    fn packet(&mut self, direction: Direction, flags: Flags, payload: &[u8]) -> io::Result<Vec<u8>> {
        let (from, to, sequence, acknowledged) = match direction {
            Direction::Outbound => (self.local, self.remote, &mut self.sent, self.received),
            Direction::Inbound => (self.remote, self.local, &mut self.received, self.sent),
        };
        let ip = match (from.ip(), to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => PacketBuilder::ipv4(from.octets(), to.octets(), 64),
            (from, to) => {
                let octets = |address: IpAddr| match address {
                    IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
                    IpAddr::V6(address) => address.octets(),
                };
                PacketBuilder::ipv6(octets(from), octets(to), 64)
            }
        };
        let mut tcp = ip.tcp(from.port(), to.port(), *sequence, WINDOW);
        if flags.syn {
            let options =
                [TcpOptionElement::MaximumSegmentSize(SEGMENT as u16), TcpOptionElement::WindowScale(WINDOW_SCALE)];
            tcp = tcp.syn().options(&options).map_err(io::Error::other)?;
        }
        if flags.ack {
            tcp = tcp.ack(acknowledged);
        }
        if flags.psh {
            tcp = tcp.psh();
        }
        if flags.fin {
            tcp = tcp.fin();
        }
        let mut packet = Vec::with_capacity(tcp.size(payload.len()));
        tcp.write(&mut packet, payload).map_err(io::Error::other)?;
        // A SYN and a FIN count as one byte each.
        let length = payload.len() as u32 + u32::from(flags.syn) + u32::from(flags.fin);
        *sequence = sequence.wrapping_add(length);
        Ok(packet)
    }
}

/// The addresses of both ends, from the text of a record and from the ranges for documentation.
fn addresses(text: &str, is_inbound: bool, number: u64, network: Option<Network>) -> (SocketAddr, SocketAddr) {
    let port = network.and_then(Network::default_port).unwrap_or(PORT);
    let name = text.split_once(" (").map_or(text, |(name, _)| name);
    let remote = name.parse().unwrap_or_else(|_| {
        let port = name.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(port);
        // Not 0 and not 255, which are no addresses of hosts.
        let host = (number % 254) as u8 + 1;
        SocketAddr::from((Ipv4Addr::new(198, 51, 100, host), port))
    });
    // As the text of a record of packets has it.
    let known = text.split_once("this side ").and_then(|(_, rest)| rest.split(',').next()?.parse().ok());
    let local = known.unwrap_or_else(|| {
        let ephemeral = FIRST_EPHEMERAL + (number % 16_384) as u16;
        let port = if is_inbound { port } else { ephemeral };
        let address = match remote.ip() {
            ip if ip.is_loopback() => ip,
            IpAddr::V4(_) => Ipv4Addr::new(192, 0, 2, 1).into(),
            IpAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
        };
        SocketAddr::new(address, port)
    });
    (local, remote)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::capture::{Filter, Records};
    use crate::inspect::connections::Connections;
    use crate::inspect::packets::Segments;
    use kaspa_peer::wire::{Frame, Inv, Inventory, Ping};
    use std::time::{Duration, UNIX_EPOCH};

    /// The file of two connections, one with a frame of several segments.
    fn file() -> Vec<u8> {
        let writer = PcapngWriter::new(Vec::new()).unwrap();
        let network = Some(Network::Simnet);
        let mut export = Export { writer, network, connections: HashMap::new(), written: Written::default() };
        let ping = Frame::encode(&Ping { nonce: 1 }, Network::Simnet).unwrap().as_bytes().to_vec();
        let items = (0..100).map(|number| Inventory::tx([number; 32].into()));
        let inv = Frame::encode(&Inv::from_iter(items), Network::Simnet).unwrap().as_bytes().to_vec();
        let mut micros = 0;
        let mut record = |peer, what| {
            micros += 1;
            let time = UNIX_EPOCH + Duration::from_micros(micros);
            export.record(Shown { at: Duration::ZERO, time, peer, what, found: None }).unwrap();
        };
        record(1, What::Connected("203.0.113.7:16511 (outbound)".to_owned()));
        record(2, What::Connected("[2001:db8::7]:50000 (inbound)".to_owned()));
        for peer in [1, 2] {
            record(peer, What::Sent(inv.clone()));
            record(peer, What::Received(ping.clone()));
        }
        record(1, What::Gone("closed by the remote".to_owned()));
        record(2, What::Sent(ping.clone()));
        export.writer.into_inner()
    }

    fn read(file: Vec<u8>) -> io::Result<Vec<Shown>> {
        let start = file.get(..24).unwrap_or(&file).to_vec();
        let segments = Segments::new(&start, io::Cursor::new(file.get(24..).unwrap_or_default().to_vec()))?;
        Records::of_packets(Connections::new(segments, None), Filter::default()).collect()
    }

    #[test]
    fn both_versions_of_ip_and_both_directions_come_back() {
        let shown = read(file()).unwrap();
        let lines: Vec<String> = shown
            .iter()
            .map(|Shown { time, peer, what, .. }| {
                let time = time.duration_since(UNIX_EPOCH).unwrap().as_micros();
                match what {
                    What::Sent(frame) => format!("{time} {peer} sent {}", frame.len()),
                    What::Received(frame) => format!("{time} {peer} received {}", frame.len()),
                    What::Connected(text) | What::Gone(text) => format!("{time} {peer} {text}"),
                    _ => "unexpected".to_owned(),
                }
            })
            .collect();
        assert_eq!(
            lines,
            [
                "1 1 203.0.113.7:16511 (outbound), this side 192.0.2.1:49153",
                "3 1 sent 3625",
                "4 1 received 32",
                "2 2 [2001:db8::7]:50000 (inbound), this side [2001:db8::1]:16511",
                "5 2 sent 3625",
                "6 2 received 32",
                "7 1 closed by 192.0.2.1:49153",
                "8 2 sent 32",
            ]
        );
    }

    #[test]
    fn damaged_files_are_read_without_a_panic() {
        let file = file();
        let (mut whole, mut errors) = (0, 0);
        for _ in 0..2000 {
            let mut damaged = file.clone();
            for _ in 0..rand::random_range(1..4) {
                let at = rand::random_range(0..damaged.len());
                damaged[at] = *[0, 1, 0x7f, 0x80, 0xff, rand::random()].get(rand::random_range(0..6_usize)).unwrap();
            }
            damaged.truncate(rand::random_range(0..damaged.len() * 4));
            match read(damaged) {
                Ok(_) => whole += 1,
                Err(_) => errors += 1,
            }
        }
        assert!(whole > 100 && errors > 100, "{whole} {errors}");
    }
}
