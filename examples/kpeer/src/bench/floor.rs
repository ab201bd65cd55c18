//! The floor: the work that no peer can avoid, in plain blocking code.
//!
//! One thread computes checksums and writes, one reads and checks them, and each message becomes a `Vec`. There are no queues,
//! channels, decoding, callbacks, statistics and deadlines. A library can be faster only where it does less: a ready-made frame
//! has its checksum already.

use super::Result;
use kaspa_peer::wire::{HEADER_SIZE, Network};
use sha2::{Digest, Sha256};
use std::hint::black_box;
use std::io::{IoSlice, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;

/// How many bytes of small messages are written at once. More do not make it faster.
const COALESCE: usize = 64 * 1024;

/// A payload of this size or more is not copied to be written, and is read directly into its own `Vec`.
const DIRECT: usize = 16 * 1024;

/// The receiver's buffer.
const BUFFER: usize = 256 * 1024;

/// The first four bytes of a floor connection tell the other end what to do.
pub const MEET: &[u8; 4] = b"meet";
pub const PUMP: &[u8; 4] = b"pump";
pub const ECHO: &[u8; 4] = b"echo";

/// The last message of a batch. The receiver answers it with the number of messages.
const DONE: &[u8; 12] = b"done\0\0\0\0\0\0\0\0";

fn checksum(payload: &[u8]) -> [u8; 4] {
    let [a, b, c, d, ..]: [u8; 32] = Sha256::digest(Sha256::digest(payload)).into();
    [a, b, c, d]
}

/// Computes the checksum of a payload, as both ends of every connection do.
pub fn hash_only(payload: &[u8]) {
    black_box(checksum(black_box(payload)));
}

/// The sending end.
pub struct Pump {
    stream: TcpStream,
    out: Vec<u8>,
}

impl Pump {
    pub fn connect(address: SocketAddr) -> Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.write_all(PUMP)?;
        Ok(Self::over(stream))
    }

    pub fn over(stream: TcpStream) -> Self {
        Self { stream, out: Vec::with_capacity(COALESCE) }
    }

    pub fn send(&mut self, command: &[u8; 12], payload: &[u8]) -> Result<()> {
        let mut header = [0; HEADER_SIZE];
        let (magic, rest) = header.split_at_mut(4);
        magic.copy_from_slice(&Network::Simnet.magic().to_le_bytes());
        let (name, rest) = rest.split_at_mut(12);
        name.copy_from_slice(command);
        let (length, hash) = rest.split_at_mut(4);
        length.copy_from_slice(&u32::try_from(payload.len())?.to_le_bytes());
        hash.copy_from_slice(&checksum(payload));
        if self.out.len() + HEADER_SIZE + payload.len() > COALESCE {
            self.flush()?;
        }
        if payload.len() < DIRECT {
            self.out.extend_from_slice(&header);
            self.out.extend_from_slice(payload);
            return Ok(());
        }
        self.flush()?;
        write_both(&mut self.stream, &header, payload)
    }

    pub fn flush(&mut self) -> Result<()> {
        self.stream.write_all(&self.out)?;
        self.out.clear();
        Ok(())
    }

    /// Waits until everything is received. Returns the number of messages.
    pub fn finish(&mut self) -> Result<u64> {
        self.send(DONE, &[])?;
        self.flush()?;
        let mut count = [0; 8];
        self.stream.read_exact(&mut count)?;
        Ok(u64::from_le_bytes(count))
    }
}

fn write_both(stream: &mut TcpStream, header: &[u8], payload: &[u8]) -> Result<()> {
    let mut parts = [IoSlice::new(header), IoSlice::new(payload)];
    let mut parts: &mut [IoSlice<'_>] = &mut parts;
    while !parts.is_empty() {
        let count = stream.write_vectored(parts)?;
        if count == 0 {
            return Err("the receiver accepts no more".into());
        }
        IoSlice::advance_slices(&mut parts, count);
    }
    Ok(())
}

/// The receiving end, until the sender disconnects.
pub fn receive(mut stream: TcpStream) -> Result<()> {
    stream.read_exact(&mut [0; PUMP.len()])?;
    // Reading to the start of a page plus the allocator's 16 bytes is slow on some processors.
    let mut buffer = vec![0; BUFFER + 4096];
    let origin = (4096 + 128 - buffer.as_ptr().addr() % 4096) % 4096;
    let (mut start, mut end) = (origin, origin);
    let mut count = 0u64;
    loop {
        while let Some((header, rest)) = frame(buffer.get(start..end)) {
            if header.length > rest.len() && header.length < DIRECT {
                break;
            }
            let here = header.length.min(rest.len());
            let mut payload = Vec::with_capacity(header.length);
            payload.extend_from_slice(rest.get(..here).unwrap_or_default());
            start += HEADER_SIZE + here;
            let missing = (header.length - here) as u64;
            if missing > 0 && (&stream).take(missing).read_to_end(&mut payload)? as u64 != missing {
                return Ok(());
            }
            if checksum(&payload) != header.checksum {
                return Err("a checksum is wrong".into());
            }
            drop(black_box(payload));
            if header.is_done {
                stream.write_all(&count.to_le_bytes())?;
                count = 0;
            } else {
                count += 1;
            }
        }
        buffer.copy_within(start..end, origin);
        (start, end) = (origin, origin + end - start);
        match stream.read(buffer.get_mut(end..).unwrap_or_default())? {
            0 => return Ok(()),
            bytes => end += bytes,
        }
    }
}

struct Header {
    length: usize,
    checksum: [u8; 4],
    is_done: bool,
}

/// A header, and the bytes after it.
fn frame(bytes: Option<&[u8]>) -> Option<(Header, &[u8])> {
    let (header, rest) = bytes?.split_first_chunk::<HEADER_SIZE>()?;
    let length = u32::from_le_bytes(*header.get(16..)?.first_chunk()?);
    let is_done = header.get(4..16)? == DONE;
    Some((Header { length: length as usize, checksum: *header.last_chunk()?, is_done }, rest))
}

/// Sends back everything, until the sender disconnects.
pub fn echo(mut stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    stream.read_exact(&mut [0; ECHO.len()])?;
    let mut buffer = [0; 64];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            count => stream.write_all(buffer.get(..count).unwrap_or_default())?,
        }
    }
}

/// The calling end of an echo, with as many bytes as a ping has.
pub struct Caller(TcpStream);

impl Caller {
    pub fn connect(address: SocketAddr) -> Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.write_all(ECHO)?;
        Ok(Self(stream))
    }

    pub fn call(&mut self) -> Result<()> {
        let mut frame = [0; HEADER_SIZE + 8];
        self.0.write_all(&frame)?;
        Ok(self.0.read_exact(&mut frame)?)
    }
}

/// The threads of a peer, and their stacks.
const THREADS: usize = 3;
const STACK: usize = 256 * 1024;

/// Starts as many threads as a peer has, and waits for them.
fn threads() -> Result<()> {
    let spawn = |_| thread::Builder::new().stack_size(STACK).spawn(|| {});
    let threads = (0..THREADS).map(spawn).collect::<std::io::Result<Vec<_>>>()?;
    threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread panicked".into()))
}

/// The accepting end of a short connection with the threads of a peer.
pub fn meet(mut stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    stream.read_exact(&mut [0; MEET.len()])?;
    threads()?;
    Ok(stream.write_all(MEET)?)
}

/// The dialling end: connects, starts its own threads, and waits for the other end.
pub fn dial_and_meet(address: SocketAddr) -> Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.write_all(MEET)?;
    threads()?;
    stream.read_exact(&mut [0; MEET.len()])?;
    // The end of the connection.
    stream.read_to_end(&mut Vec::new())?;
    Ok(())
}
