//! The format of a capture: the first bytes of the file, and the bytes before the rest of each record.

use crate::wire::{HEADER_SIZE, Network};
use std::time::{SystemTime, UNIX_EPOCH};

/// The magic bytes of a capture, and its version.
pub(super) const MAGIC: [u8; 8] = *b"KPCAP\0\0\x01";

/// The number of bytes before the first record: [`MAGIC`], and the magic number of the network.
pub(super) const FILE_HEAD: usize = MAGIC.len() + 4;

/// The size of a record without its rest, in bytes.
pub(super) const HEAD: usize = 1 + 8 + 8 + 4;

/// A record before it is encoded.
#[derive(Debug, Clone, Copy)]
pub(in crate::peer) enum Entry<'a> {
    /// A frame that arrived: its header and its payload.
    Received(&'a [u8; HEADER_SIZE], &'a [u8]),
    /// A frame that was written.
    Sent(&'a [u8]),
    /// The start of a peer: its address and direction.
    Connected(&'a str),
    /// The end of a peer: the reason.
    Gone(&'a str),
    /// A malformed frame: the error.
    Refused(&'a str),
}

impl<'a> Entry<'a> {
    /// The kind of the record.
    pub(super) fn kind(&self) -> u8 {
        match self {
            Entry::Received(..) => 0,
            Entry::Sent(_) => 1,
            Entry::Connected(_) => 2,
            Entry::Gone(_) => 3,
            Entry::Refused(_) => 4,
        }
    }

    /// The rest of the record, in two parts.
    pub(super) fn rest(&self) -> [&'a [u8]; 2] {
        match self {
            Entry::Received(header, payload) => [*header, payload],
            Entry::Sent(frame) => [frame, &[]],
            Entry::Connected(text) | Entry::Gone(text) | Entry::Refused(text) => [text.as_bytes(), &[]],
        }
    }
}

/// The bytes before the first record.
pub(super) fn file_head(network: Network) -> Vec<u8> {
    let mut head = MAGIC.to_vec();
    head.extend(network.magic().to_le_bytes());
    head
}

/// The bytes of a record before its rest, which has `length` bytes.
pub(super) fn head(kind: u8, time: SystemTime, peer: u64, length: u32) -> [u8; HEAD] {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let time = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
    let mut head = [0; HEAD];
    let fields = [&[kind][..], &time.to_le_bytes(), &peer.to_le_bytes(), &length.to_le_bytes()];
    head.iter_mut().zip(fields.into_iter().flatten()).for_each(|(to, from)| *to = *from);
    head
}
