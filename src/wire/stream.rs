//! Reads and writes messages on any [`Read`] and [`Write`], without a peer.

use super::decoder::FrameDecoder;
use super::encode::Encode;
use super::error::{FrameError, ReadError, WriteError};
use super::frame::encode_frame;
use super::frame_header::HEADER_SIZE;
use super::message::Message;
use super::network::Network;
use std::io::{self, Read, Write};
use std::iter::FusedIterator;

/// Reads messages from a stream or a file.
///
/// As an iterator, it returns each message or the error of its frame. The iteration ends at the end of the stream, and
/// after an error that leaves the stream out of step.
///
/// ```
/// use kaspa_peer::wire::{GetAddr, MessageReader, Network, Ping, write_message};
///
/// let mut file = Vec::new();
/// write_message(&mut file, &GetAddr::all(), Network::Simnet)?;
/// write_message(&mut file, &Ping { nonce: 1 }, Network::Simnet)?;
/// for message in MessageReader::new(file.as_slice(), Network::Simnet) {
///     println!("{:?}", message?);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct MessageReader<R> {
    source: R,
    decoder: FrameDecoder,
    ended: bool,
}

impl<R: Read> MessageReader<R> {
    /// Reads messages of `network` from `source`. It has a buffer of its own, so `source` needs none.
    #[must_use]
    pub fn new(source: R, network: Network) -> Self {
        Self { source, decoder: FrameDecoder::new(network), ended: false }
    }

    /// The next message, or `None` at the end of the stream.
    ///
    /// # Errors
    ///
    /// [`ReadError::Frame`] if what arrives is not a message, or if the stream ends inside a frame; [`ReadError::Io`]
    /// if the stream fails. A read that was [interrupted](io::ErrorKind::Interrupted) is retried.
    pub fn read_message(&mut self) -> Result<Option<Message>, ReadError> {
        loop {
            if let Some(frame) = self.decoder.next_frame()? {
                return Ok(Some(frame.decode()?));
            }
            if read_retrying(&mut self.decoder, &mut self.source)? == 0 {
                self.decoder.finish()?;
                return Ok(None);
            }
        }
    }
}

impl<R: Read> Iterator for MessageReader<R> {
    type Item = Result<Message, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let item = self.read_message().transpose();
        self.ended = match &item {
            Some(Err(ReadError::Frame(error))) => !error.in_step(),
            Some(Err(ReadError::Io(_))) | None => true,
            Some(Ok(_)) => false,
        };
        item
    }
}

impl<R: Read> FusedIterator for MessageReader<R> {}

/// Reads into a decoder, and reads again when the stream was interrupted.
fn read_retrying<R: Read + ?Sized>(decoder: &mut FrameDecoder, source: &mut R) -> io::Result<usize> {
    loop {
        match decoder.read_from(source) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Reads one message, and no byte after it.
///
/// Takes at least two reads for each message. [`MessageReader`] is faster for many messages. After an error that is
/// [in step](FrameError::in_step), the refused frame has been skipped, and the next call reads the next message.
///
/// # Errors
///
/// As [`MessageReader::read_message`], and [`FrameError::Truncated`] if there is nothing to read. Each call reads as if
/// the stream started there, so a magic number of no known network always leads to [`FrameError::NotKaspa`].
pub fn read_message<R: Read + ?Sized>(source: &mut R, network: Network) -> Result<Message, ReadError> {
    let mut decoder = FrameDecoder::new(network);
    loop {
        match decoder.next_frame() {
            Ok(Some(frame)) => return Ok(frame.decode()?),
            Ok(None) => {}
            Err(error) => {
                // Skip the rest of the frame, which may be cut short.
                io::copy(&mut source.take(decoder.missing_bytes_to_skip() as u64), &mut io::sink())?;
                return Err(error.into());
            }
        }
        let missing = decoder.missing_bytes() as u64;
        if read_retrying(&mut decoder, &mut source.take(missing))? == 0 {
            decoder.finish()?;
            return Err(FrameError::Truncated { part: "header", needed: HEADER_SIZE, found: 0 }.into());
        }
    }
}

/// Writes one message, and flushes the stream. Passes the whole frame to one call of `write_all`.
///
/// ```
/// use kaspa_peer::wire::{Hash, Locator, Message, Network, Ping, WriteError, read_message, write_message};
///
/// let mut stream = Vec::new();
/// write_message(&mut stream, &Ping { nonce: 7 }, Network::Simnet)?;
/// assert_eq!(read_message(&mut stream.as_slice(), Network::Simnet)?, Message::from(Ping { nonce: 7 }));
///
/// let too_long = Locator { hashes: vec![Hash::ZERO; Locator::MAX + 1] };
/// let refused = write_message(&mut stream, &too_long, Network::Simnet);
/// assert!(matches!(refused, Err(WriteError::Encode(_))));
/// assert_eq!(stream.len(), 24 + 8, "nothing was written");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`WriteError::Encode`] if the protocol cannot carry the message, with nothing written. [`WriteError::Io`] if the
/// stream fails.
pub fn write_message<W: Write + ?Sized, M: Encode + ?Sized>(
    out: &mut W,
    message: &M,
    network: Network,
) -> Result<(), WriteError> {
    let mut frame = Vec::new();
    encode_frame(message, network, &mut frame)?;
    out.write_all(&frame)?;
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Ping;

    /// Is interrupted before every read.
    struct Interrupted<'a>(&'a [u8], bool);

    impl Read for Interrupted<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 { Err(io::ErrorKind::Interrupted.into()) } else { self.0.read(into) }
        }
    }

    #[test]
    fn interrupted_reads_are_retried() {
        let mut bytes = Vec::new();
        write_message(&mut bytes, &Ping { nonce: 1 }, Network::Mainnet).unwrap();
        write_message(&mut bytes, &Ping { nonce: 2 }, Network::Simnet).unwrap();

        let mut reader = MessageReader::new(Interrupted(&bytes, false), Network::Simnet);
        assert!(matches!(reader.next(), Some(Err(ReadError::Frame(FrameError::Network { .. })))));
        assert!(matches!(reader.next(), Some(Ok(Message::Ping(Ping { nonce: 2 })))));
        assert!(reader.next().is_none());

        let mut source = Interrupted(&bytes, false);
        let refused = read_message(&mut source, Network::Simnet);
        assert!(matches!(refused, Err(ReadError::Frame(FrameError::Network { .. }))), "{refused:?}");
        assert_eq!(read_message(&mut source, Network::Simnet).unwrap(), Ping { nonce: 2 }.into());
    }

    #[test]
    fn a_reply_of_another_protocol_ends_the_messages() {
        let mut reader = MessageReader::new(b"HTTP/1.1 400 OK\r\n".as_slice(), Network::Simnet);
        let error = reader.next().unwrap().unwrap_err();
        assert_eq!(error.to_string(), "not a kaspa node: the first four bytes are \"HTTP\"");
        assert!(reader.next().is_none());
    }
}
