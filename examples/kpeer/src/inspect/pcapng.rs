//! Writing pcapng files: a section header, one interface, and packets.

use super::packets::Direction;
use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const ENHANCED_PACKET: u32 = 6;

/// Packets of the interface begin with an IP header.
const LINK_RAW: u16 = 101;

/// A comment, of anything.
const COMMENT: u16 = 1;
/// The program that wrote a section.
const USER_APPLICATION: u16 = 4;
/// The direction of a packet, and other flags.
const PACKET_FLAGS: u16 = 2;

/// The largest comment, in bytes.
const MAX_COMMENT: usize = 1000;

/// Writes packets that begin with an IP header. The times have microseconds, as those of captures.
pub struct PcapngWriter<W> {
    out: W,
}

impl<W: Write> PcapngWriter<W> {
    /// Writes the beginning of the file.
    pub fn new(out: W) -> io::Result<Self> {
        let mut writer = Self { out };
        let mut section = Vec::new();
        section.extend(0x1a2b_3c4d_u32.to_le_bytes());
        section.extend([1, 0, 0, 0]);
        // The length of the section is not known yet.
        section.extend(u64::MAX.to_le_bytes());
        option(&mut section, USER_APPLICATION, concat!("kpeer inspect ", env!("CARGO_PKG_VERSION")).as_bytes());
        option(&mut section, 0, &[]);
        writer.block(SECTION_HEADER, &section)?;
        let mut interface = Vec::new();
        interface.extend(LINK_RAW.to_le_bytes());
        interface.extend([0; 2]);
        // No snap length.
        interface.extend([0; 4]);
        writer.block(INTERFACE_DESCRIPTION, &interface)?;
        Ok(writer)
    }

    pub fn packet(
        &mut self,
        time: SystemTime,
        direction: Direction,
        packet: &[u8],
        comment: Option<&str>,
    ) -> io::Result<()> {
        let micros = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let micros = u64::try_from(micros).unwrap_or(u64::MAX);
        let length = u32::try_from(packet.len()).map_err(io::Error::other)?;
        let mut block = Vec::with_capacity(packet.len() + 64);
        // The first and only interface.
        block.extend([0; 4]);
        block.extend(((micros >> 32) as u32).to_le_bytes());
        block.extend((micros as u32).to_le_bytes());
        block.extend(length.to_le_bytes());
        block.extend(length.to_le_bytes());
        block.extend_from_slice(packet);
        pad(&mut block);
        let flags: u32 = if direction == Direction::Inbound { 1 } else { 2 };
        option(&mut block, PACKET_FLAGS, &flags.to_le_bytes());
        if let Some(comment) = comment {
            let end = (0..=comment.len().min(MAX_COMMENT)).rev().find(|at| comment.is_char_boundary(*at));
            option(&mut block, COMMENT, comment.get(..end.unwrap_or(0)).unwrap_or_default().as_bytes());
        }
        option(&mut block, 0, &[]);
        self.block(ENHANCED_PACKET, &block)
    }

    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    #[cfg(test)]
    pub fn into_inner(self) -> W {
        self.out
    }

    fn block(&mut self, kind: u32, content: &[u8]) -> io::Result<()> {
        let length = u32::try_from(content.len() + 12).map_err(io::Error::other)?;
        self.out.write_all(&kind.to_le_bytes())?;
        self.out.write_all(&length.to_le_bytes())?;
        self.out.write_all(content)?;
        self.out.write_all(&length.to_le_bytes())
    }
}

/// Appends an option. Code 0 ends the options.
fn option(block: &mut Vec<u8>, code: u16, value: &[u8]) {
    block.extend(code.to_le_bytes());
    // Comments are cut, and all other values are short.
    block.extend((value.len() as u16).to_le_bytes());
    block.extend_from_slice(value);
    pad(block);
}

/// Fills up to a multiple of four bytes.
fn pad(block: &mut Vec<u8>) {
    block.resize(block.len().next_multiple_of(4), 0);
}
