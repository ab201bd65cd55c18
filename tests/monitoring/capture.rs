//! Captures record the frames of peers, and can be read back.

use crate::common::local::connected_pair;
use crate::common::memory_file::{MemoryFile, records};
use crate::common::{builder, wait_until};
use kaspa_peer::ConfigError;
use kaspa_peer::peer::{Capture, CaptureReader, Captured};
use kaspa_peer::testing::tcp_pair;
use kaspa_peer::wire::{Command, CustomMessage, Encode, FeeFilter, Message, MessageReader, Network};
use proptest::{collection::vec, prelude::*};
use std::io::{self, Write as _};

/// The messages that were sent, or those that were received.
fn messages(records: &[Captured], sent: bool) -> Vec<Message> {
    let frames = records.iter().filter_map(|record| match record {
        Captured::Sent(frame) if sent => Some(frame.as_slice()),
        Captured::Received(frame) if !sent => Some(frame.as_slice()),
        _ => None,
    });
    let stream = frames.collect::<Vec<_>>().concat();
    MessageReader::new(stream.as_slice(), Network::Simnet).map(Result::unwrap).collect()
}

#[test]
fn both_sides_of_a_conversation_are_recorded() {
    let (ours, theirs) = (MemoryFile::default(), MemoryFile::default());
    let capture = |file: &MemoryFile| Capture::new(file.clone(), Network::Simnet, 1 << 20).unwrap();
    let (out, inb) = connected_pair(builder().capture(capture(&ours)), builder().capture(capture(&theirs)));
    out.peer.queue_message(&FeeFilter { min_fee: 5 }).unwrap();
    out.peer.queue_message(&CustomMessage::new("hello", vec![1; 100_000]).unwrap()).unwrap();
    out.peer.ping().unwrap();
    out.peer.disconnect();
    out.peer.wait_for_disconnect().unwrap();
    inb.peer.wait_for_disconnect().unwrap();

    let (ours, theirs) = (records(&ours), records(&theirs));
    assert!(matches!(&ours[0], Captured::Connected(text) if text.to_string().ends_with("(outbound)")), "{ours:?}");
    let gone = |record: &Captured| matches!(record, Captured::Gone(why) if *why == "disconnected by this side");
    assert_eq!(ours.iter().filter(|record| gone(record)).count(), 1);
    assert_eq!(messages(&ours, true), messages(&theirs, false), "one side sent what the other received");
    assert_eq!(messages(&theirs, true), messages(&ours, false));
    let names: Vec<String> = messages(&ours, true).iter().map(|message| message.command().to_string()).collect();
    assert_eq!(names, ["version", "verack", "feefilter", "hello", "ping"]);
}

#[test]
fn a_capture_for_another_network_is_refused() {
    let file = MemoryFile::default();
    let build = |network| {
        let capture = Capture::new(file.clone(), network, 1 << 20).unwrap();
        assert_eq!(capture.network(), network);
        builder().capture(capture).build().map(|config| config.network())
    };
    let error = build(Network::Mainnet).unwrap_err();
    assert_eq!(error, ConfigError::CaptureNetwork { capture: Network::Mainnet, node: Network::Simnet });
    assert!(error.to_string().contains("network"), "{error}");
    // The same network under another name.
    assert_eq!(build(Network::Custom(Network::Simnet.magic())), Ok(Network::Simnet));
}

#[test]
fn malformed_frames_are_recorded_too() {
    let file = MemoryFile::default();
    let capture = Capture::new(file.clone(), Network::Simnet, 1 << 20).unwrap();
    let (ours, mut theirs) = tcp_pair().unwrap();
    let config = builder().capture(capture).build().unwrap();
    let peer = kaspa_peer::Peer::inbound(ours, "remote", &config).unwrap();
    theirs.write_all(&[0x55; 24]).unwrap();
    peer.wait_for_disconnect().unwrap();
    assert!(records(&file).iter().any(|record| matches!(record, Captured::Refused(_))));
}

#[test]
fn a_capture_stops_at_its_limit_and_can_continue_in_another_writer() {
    let (first, second) = (MemoryFile::default(), MemoryFile::default());
    let capture = Capture::new(first.clone(), Network::Simnet, 1000).unwrap();
    let (out, inb) = connected_pair(builder().capture(capture.clone()), builder());
    out.peer.queue_message(&CustomMessage::new("large", vec![0; 5000]).unwrap()).unwrap();
    out.peer.ping().unwrap();
    // The pong can arrive before the writer thread has recorded the message before it.
    wait_until("the limit is reached", || capture.is_stopped());
    assert!(capture.written() <= 1000 && first.0.lock().len() <= 1000);
    capture.continue_in(second.clone()).unwrap();
    out.peer.queue_message(&FeeFilter { min_fee: 9 }).unwrap();
    out.peer.ping().unwrap();
    out.peer.disconnect();
    out.peer.wait_for_disconnect().unwrap();
    drop(inb);
    assert!(messages(&records(&second), true).contains(&FeeFilter { min_fee: 9 }.into()));
}

#[test]
fn reading_a_file_that_is_no_capture_or_is_truncated_is_an_error() {
    assert!(CaptureReader::new(&b"not a capture at all"[..]).is_err());
    let file = MemoryFile::default();
    let capture = Capture::new(file.clone(), Network::Simnet, 1 << 20).unwrap();
    let (out, _inb) = connected_pair(builder().capture(capture), builder());
    out.peer.disconnect();
    out.peer.wait_for_disconnect().unwrap();
    let bytes = file.0.lock().clone();
    let cut = CaptureReader::new(&bytes[..bytes.len() - 1]).unwrap();
    assert!(cut.last().unwrap().is_err());
}

#[test]
fn the_message_of_a_record_is_decoded() {
    let file = MemoryFile::default();
    let capture = Capture::new(file.clone(), Network::Simnet, 1 << 20).unwrap();
    let (out, _inb) = connected_pair(builder().capture(capture.clone()), builder());
    out.peer.queue_message(&FeeFilter { min_fee: 5 }).unwrap().wait().unwrap();
    // The writer thread records a frame after it has resolved the receipt.
    let has_fee = |bytes: &[u8]| {
        let records = CaptureReader::new(bytes).unwrap().map(Result::unwrap);
        let mut messages = records.filter_map(|record| record.message()).map(Result::unwrap);
        messages.any(|message| message == FeeFilter { min_fee: 5 }.into())
    };
    wait_until("the record is written", || {
        capture.flush().unwrap();
        has_fee(&file.0.lock())
    });
    let bytes = file.0.lock().clone();
    let first = CaptureReader::new(bytes.as_slice()).unwrap().next().unwrap().unwrap();
    assert!(matches!(first.what, Captured::Connected(_)) && first.message().is_none());
}

#[test]
fn the_message_of_a_record_with_a_malformed_frame_is_an_error() {
    let bad = kaspa_peer::wire::Frame::raw(Command::Ping, b"short", Network::Simnet).unwrap();
    for frame in [bad.as_bytes(), b"", b"no frame"] {
        let mut file = b"KPCAP\0\0\x01\x30\x58\x5f\x5b".to_vec();
        file.push(0);
        file.extend([0; 16]);
        file.extend(u32::try_from(frame.len()).unwrap().to_le_bytes());
        file.extend_from_slice(frame);
        let record = CaptureReader::new(file.as_slice()).unwrap().next().unwrap().unwrap();
        assert!(record.message().unwrap().is_err());
    }
}

#[test]
fn the_iterator_ends_after_an_error() {
    /// A file that begins like a capture, and then cannot be read.
    struct Broken(io::Cursor<Vec<u8>>);

    impl io::Read for Broken {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            match self.0.read(into)? {
                0 => Err(io::Error::other("broken")),
                count => Ok(count),
            }
        }
    }

    let file = MemoryFile::default();
    Capture::new(file.clone(), Network::Simnet, 1 << 20).unwrap();
    let mut record = vec![3];
    record.extend([0xff; 8]);
    record.extend([0; 8]);
    record.extend([1, 0, 0, 0, b'x']);
    let bytes = [file.0.lock().clone(), record].concat();
    let results: Vec<bool> =
        CaptureReader::new(Broken(io::Cursor::new(bytes))).unwrap().take(9).map(|result| result.is_ok()).collect();
    assert!(results == [true, false] || results == [false], "{results:?}");
}

proptest! {
    #[test]
    fn any_bytes_give_records_or_an_error(bytes in vec(any::<u8>(), 0..400), kind in 0u8..6, length in 0u32..40) {
        let mut file = b"KPCAP\0\0\x01\x30\x58\x5f\x5b".to_vec();
        file.push(kind);
        file.extend([0; 16]);
        file.extend(length.to_le_bytes());
        file.extend_from_slice(&bytes);
        let mut reader = CaptureReader::new(file.as_slice()).unwrap();
        let records: Vec<_> = reader.by_ref().collect();
        prop_assert!(records.iter().rev().skip(1).all(Result::is_ok), "nothing follows an error");
        prop_assert!(reader.next().is_none());
        let claimed = records.first().is_some_and(|record| record.is_ok());
        prop_assert_eq!(claimed, kind < 5 && bytes.len() >= length as usize);
    }

    #[test]
    fn a_file_without_the_header_of_a_capture_is_refused(bytes in vec(any::<u8>(), 0..40)) {
        prop_assert!(CaptureReader::new(bytes.as_slice()).is_err());
    }
}
