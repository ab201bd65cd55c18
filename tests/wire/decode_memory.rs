//! A decoder allocates memory in proportion to the bytes that arrived, never to the length or count that they claim.
//!
//! A reallocation counts as both blocks at once, which is the worst case of an allocator.

use kaspa_peer::wire::{
    Addr, AddressScope, Block, BlockHeader, Command, CustomMessage, Encode, FilterLoad, Frame, FrameDecoder,
    FrameError, GetData, HEADER_SIZE, Hash, Headers, Inv, Inventory, Locator, MAX_INVENTORY, MAX_PAYLOAD, MerkleBlock,
    Message, MessageReader, NetAddress, Network, NotFound, ReadError, Reject, RejectCode, Services, TimedAddress,
    Transaction, TxFields, TxOutput,
};
use std::io::{self, Read};

const SLACK: u64 = 64 * 1024;

/// The most that `run` had allocated at one time.
fn peak(run: impl FnOnce()) -> u64 {
    allocation_counter::measure(run).bytes_max
}

/// A stream that gives at most `size` bytes at each read.
struct Pieces<'a> {
    rest: &'a [u8],
    size: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let size = self.size.min(into.len());
        (&mut self.rest).take(size as u64).read(into)
    }
}

fn header(command: Command, length: u32) -> Vec<u8> {
    let mut bytes = Network::Simnet.magic().to_le_bytes().to_vec();
    bytes.extend(command.name().bytes());
    bytes.resize(16, 0);
    bytes.extend(length.to_le_bytes());
    bytes.resize(HEADER_SIZE, 0xab);
    bytes
}

fn commands() -> Vec<Command> {
    Command::ALL.into_iter().chain(["mystery".parse().unwrap()]).collect()
}

/// The most memory that a truncated frame takes: read from a stream, and fed to a decoder.
fn peaks_of_a_truncated_frame(stream: &[u8], piece: usize) -> [u64; 2] {
    let by_stream = peak(|| {
        let mut reader = MessageReader::new(Pieces { rest: stream, size: piece }, Network::Simnet);
        let result = reader.read_message();
        assert!(matches!(result, Err(ReadError::Frame(FrameError::Truncated { .. }))), "{result:?}");
    });
    let fed = peak(|| {
        let mut decoder = FrameDecoder::new(Network::Simnet);
        for piece in stream.chunks(piece) {
            decoder.feed(piece);
            assert!(decoder.next_frame().unwrap().is_none());
        }
        assert!(decoder.finish().is_err());
    });
    [by_stream, fed]
}

#[test]
fn a_claimed_length_allocates_nothing() {
    let mut checked = 0;
    for command in commands() {
        let claimed = command.payload_limit();
        for present in [0, 1, 5, 300, 4_072, 5_000, 16_000, 17_000, 33_000, 60_000] {
            if present >= claimed as usize {
                continue;
            }
            let mut stream = header(command, claimed);
            stream.resize(HEADER_SIZE + present, 0xff);
            for piece in [usize::MAX, 1_000] {
                for peak in peaks_of_a_truncated_frame(&stream, piece) {
                    let bound = 2 * stream.len() as u64 + SLACK;
                    assert!(
                        peak <= bound,
                        "{command} of {claimed} with {present} present, by {piece}: {peak} > {bound}"
                    );
                    checked += 1;
                }
            }
        }
    }
    assert!(checked > 400, "{checked}");
}

#[test]
fn a_large_payload_takes_at_most_twice_the_bytes_that_arrived() {
    for present in [100_000, 200_000, 600_000, 1_200_000] {
        let mut stream = header(Command::Block, MAX_PAYLOAD);
        stream.resize(HEADER_SIZE + present, 0xff);
        for peak in peaks_of_a_truncated_frame(&stream, 1 << 16) {
            let bound = 2 * stream.len() as u64 + SLACK;
            assert!(peak <= bound, "{present}: {peak} > {bound}");
        }
    }
}

#[test]
fn a_refused_payload_is_not_buffered() {
    let mut stream = header(Command::Block, 4_000_000);
    stream.resize(HEADER_SIZE + 4_000_000, 0xff);
    let peak = peak(|| {
        let mut reader = MessageReader::new(stream.as_slice(), Network::Mainnet);
        assert!(matches!(reader.read_message(), Err(ReadError::Frame(FrameError::Network { .. }))));
        assert!(reader.read_message().unwrap().is_none());
    });
    assert!(peak < 512 * 1024, "{peak}");
}

#[test]
fn a_claimed_count_allocates_nothing() {
    let empty_header = Block::new(BlockHeader::default(), []).unwrap().as_bytes()[..121].to_vec();
    let after_header = |count: &[u8]| [&empty_header, count].concat();
    let payloads = [
        (Command::Addr, vec![1, 0xfd, 0xe8, 0x03]),
        (Command::Inv, vec![0xfe, 0, 0, 2, 0]),
        (Command::GetData, vec![0xfe, 0, 0, 2, 0]),
        (Command::NotFound, vec![0xfe, 0, 0, 2, 0]),
        (Command::Headers, vec![0xfd, 0xd0, 0x07]),
        (Command::Locator, vec![0xfd, 0xf4, 0x01]),
        (Command::Block, after_header(&[0xfe, 0x41, 0x42, 0x0f, 0])),
        (Command::MerkleBlock, after_header(&[1, 0, 0, 0, 0xfe, 0x41, 0x42, 0x0f, 0])),
        (Command::MerkleBlock, after_header(&[1, 0, 0, 0, 0, 0xfe, 0x48, 0xe8, 0x01, 0])),
        (Command::Tx, vec![1, 0, 0, 0, 0xfe, 0xe1, 0x7c, 0x0c, 0]),
        (Command::Tx, vec![1, 0, 0, 0, 0, 0xfe, 0x8f, 0xe3, 0x38, 0]),
        (Command::FilterLoad, vec![0xfd, 0xa0, 0x8c]),
        (Command::FilterAdd, vec![0xfd, 0x08, 0x02]),
        (Command::Reject, vec![0xfe, 0, 0, 0, 2]),
    ];
    for (command, payload) in payloads {
        let mut error = None;
        let peak = peak(|| error = Message::decode(command, &payload).err());
        let error = error.unwrap_or_else(|| panic!("{command} was accepted"));
        assert!(matches!(error, kaspa_peer::wire::DecodeError::Truncated { .. }), "{command}: {error:?}");
        assert!(peak <= 2 * payload.len() as u64, "{command}: {peak}");
    }
}

fn check_whole(name: &str, message: &dyn Encode) {
    let frame = Frame::encode(message, Network::Simnet).unwrap();
    let bytes = frame.as_bytes();
    let pieces: &[usize] = if bytes.len() > 1 << 20 { &[100_003] } else { &[usize::MAX, 10_007] };
    for &piece in pieces {
        let mut decoded = None;
        let peak = peak(|| {
            let mut reader = MessageReader::new(Pieces { rest: bytes, size: piece }, Network::Simnet);
            decoded = reader.read_message().unwrap();
        });
        let bound = 2 * bytes.len() as u64 + SLACK;
        assert!(peak <= bound, "{name} of {}, by {piece}: {peak} > {bound}", bytes.len());
        assert_eq!(decoded.map(|message| message.encoded_len() + HEADER_SIZE), Some(bytes.len()), "{name}");
    }
    let fed = peak(|| {
        let mut decoder = FrameDecoder::new(Network::Simnet);
        decoder.feed(bytes);
        assert!(decoder.next_frame().unwrap().unwrap().decode().is_ok());
    });
    // A frame that is fed as a whole is decoded in place: a block is a copy of its bytes and a table of its
    // transactions.
    let bound = 5 * bytes.len() as u64 / 2 + SLACK;
    assert!(fed <= bound, "{name} of {}, fed: {fed} > {bound}", bytes.len());
}

fn inventory() -> Vec<Inventory> {
    (0..MAX_INVENTORY).map(|n| Inventory::block(Hash::from_bytes([n as u8; 32]))).collect()
}

#[test]
fn the_longest_lists_take_at_most_twice_their_bytes() {
    check_whole("inv", &Inv::from(inventory()));
    check_whole("getdata", &GetData::from(inventory()));
    check_whole("notfound", &NotFound::from(inventory()));
    let address = NetAddress::new(([1, 2, 3, 4], 16111).into(), Services::NETWORK);
    let addresses = vec![TimedAddress { time: 7, address }; Addr::MAX];
    check_whole("addr", &Addr { scope: AddressScope::All, addresses });
    check_whole("locator", &Locator { hashes: vec![Hash::ZERO; Locator::MAX] });
    check_whole("filterload", &FilterLoad { filter: vec![1; FilterLoad::MAX_FILTER], ..FilterLoad::default() });
    for parents in [0, 1, 2, 40] {
        let header = BlockHeader { parents: vec![Hash::ZERO; parents], ..BlockHeader::default() };
        check_whole(&format!("headers, {parents} parents"), &Headers { headers: vec![header; Headers::MAX] });
    }
}

#[test]
fn large_messages_take_at_most_twice_their_bytes() {
    let native = Transaction::new(&TxFields::default()).unwrap();
    let block = Block::new(BlockHeader::default(), vec![&native; 4_000_000 / 34]).unwrap();
    assert!(block.as_bytes().len() > 3_999_000);
    check_whole("block of the smallest transactions", &block);
    let outputs = vec![TxOutput { value: 1, script: vec![0x51; 25] }; 1_000_000 / 34];
    let fields = TxFields { outputs, ..TxFields::default() };
    check_whole("tx", &fields);
    check_whole(
        "block of one large transaction",
        &Block::new(BlockHeader::default(), [&Transaction::new(&fields).unwrap()]).unwrap(),
    );
    let hashes = vec![Hash::ZERO; 30_000];
    check_whole(
        "merkleblock",
        &MerkleBlock { hashes, flags: vec![0; MerkleBlock::MAX_FLAGS], ..MerkleBlock::default() },
    );
    check_whole("reject", &Reject::new("x".repeat(500_000), RejectCode::INVALID, "y".repeat(500_000)));
}

#[test]
fn a_decoder_out_of_step_does_not_buffer() {
    let bytes = header(Command::Ping, MAX_PAYLOAD + 1);
    let piece = [0x55; 10_000];
    let peak = peak(|| {
        let mut decoder = FrameDecoder::new(Network::Simnet);
        decoder.feed(&bytes);
        // A program that ignores the error continues to feed the decoder.
        for _ in 0..1000 {
            assert!(matches!(decoder.next_frame(), Err(FrameError::Oversize { .. })));
            decoder.feed(&piece);
        }
        assert_eq!(decoder.position(), (HEADER_SIZE + 999 * piece.len()) as u64);
    });
    assert!(peak < 1 << 20, "{peak}");
}

#[test]
fn bytes_fed_behind_a_large_payload_are_buffered_once() {
    let large = Frame::encode(&CustomMessage::new("large", vec![7; 60_000]).unwrap(), Network::Simnet).unwrap();
    let small = Frame::encode(&CustomMessage::new("small", vec![7; 10_000]).unwrap(), Network::Simnet).unwrap();
    let bytes = [large.as_bytes().to_vec(), small.as_bytes().repeat(220)].concat();
    // The rest of the large payload is fed together with two more megabytes.
    let (begin, rest) = bytes.split_at(20_000);
    let mut frames = 0;
    let peak = peak(|| {
        let mut decoder = FrameDecoder::new(Network::Simnet);
        decoder.feed(begin);
        assert!(decoder.next_frame().unwrap().is_none());
        decoder.feed(rest);
        while decoder.next_frame().unwrap().is_some() {
            frames += 1;
        }
    });
    assert_eq!(frames, 221);
    let bound = 2 * bytes.len() as u64 + SLACK;
    assert!(peak <= bound, "{peak} > {bound}");
}
