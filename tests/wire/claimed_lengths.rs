//! Every length and count in every message: at its maximum, one above it, and as large as it can be. Each gives a typed
//! error, and memory in proportion to the bytes that arrived.

use kaspa_peer::wire::{
    Block, BlockHeader, Command, DecodeError, FrameDecoder, HEADER_SIZE, Hash, MAX_PAYLOAD, Message, Network,
    SubnetworkId,
};

const SLACK: u64 = 64 * 1024;

/// The most that `run` had allocated at one time.
fn peak(run: impl FnOnce()) -> u64 {
    allocation_counter::measure(run).bytes_max
}

fn varint(value: u64) -> Vec<u8> {
    match value {
        0..0xfd => vec![value as u8],
        0xfd..0x1_0000 => [&[0xfd][..], &(value as u16).to_le_bytes()].concat(),
        0x1_0000..0x1_0000_0000 => [&[0xfe][..], &(value as u32).to_le_bytes()].concat(),
        _ => [&[0xff][..], &value.to_le_bytes()].concat(),
    }
}

/// A length or a count in a message.
struct Claim {
    command: Command,
    field: &'static str,
    /// The bytes of the payload before it.
    before: Vec<u8>,
    max: u64,
}

fn header() -> Vec<u8> {
    BlockHeader::default().encode().unwrap()
}

/// Every length and count of the protocol that is a varint.
fn claims() -> Vec<Claim> {
    let claim = |command, field, before: Vec<u8>, max| Claim { command, field, before, max };
    let bytes = u64::from(MAX_PAYLOAD);
    let input = vec![7; 36];
    let tx_with_input = [&[1, 0, 0, 0, 1][..], &input].concat();
    let tx_with_output = [&[1, 0, 0, 0, 0, 1][..], &[7; 8]].concat();
    let registry = SubnetworkId::REGISTRY;
    let tx_with_payload = [&[1, 0, 0, 0, 0, 0][..], &[0; 8], registry.as_bytes(), &[0; 8], &[7; 32]].concat();
    let mut all = vec![
        claim(Command::Version, "user agent", [&[1, 0, 0, 0][..], &[0; 16], &[1], &[0; 52], &[7; 8]].concat(), bytes),
        claim(Command::Addr, "addresses", vec![1], 1000),
        claim(Command::Inv, "inventory", vec![], 131_072),
        claim(Command::GetData, "inventory", vec![], 131_072),
        claim(Command::NotFound, "inventory", vec![], 131_072),
        claim(Command::Headers, "headers", vec![], 2000),
        claim(Command::Locator, "locator hashes", vec![], 500),
        claim(Command::FilterLoad, "filter", vec![], 36_000),
        claim(Command::FilterAdd, "filter element", vec![], 520),
        claim(Command::Reject, "rejected command", vec![], bytes),
        claim(Command::Reject, "reject reason", vec![1, b'x', 0x10], bytes),
        claim(Command::MerkleBlock, "merkle hashes", [header(), vec![1, 0, 0, 0]].concat(), 1_000_001),
        claim(Command::MerkleBlock, "merkle flags", [header(), vec![1, 0, 0, 0, 0]].concat(), 125_000),
        claim(Command::Block, "transactions", header(), Block::MAX_TRANSACTIONS as u64),
    ];
    // The fields of a transaction, in a `tx` message and in a block.
    let parts = [
        ("inputs", vec![1, 0, 0, 0], 818_401),
        ("signature script", tx_with_input, bytes),
        ("outputs", vec![1, 0, 0, 0, 0], 3_728_271),
        ("output script", tx_with_output, bytes),
        ("transaction payload", tx_with_payload, u64::MAX),
    ];
    for (field, before, max) in parts {
        all.push(claim(Command::Block, field, [header(), vec![1], before.clone()].concat(), max));
        all.push(claim(Command::Tx, field, before, max));
    }
    all
}

/// The error of a payload, decoded by itself and within a frame. Neither may take more memory than the bytes justify.
fn refused(command: Command, payload: &[u8]) -> DecodeError {
    let mut error = None;
    let bound = 2 * payload.len() as u64 + SLACK;
    let peak_alone = peak(|| error = Message::decode(command, payload).err());
    assert!(peak_alone <= bound, "{command}: {peak_alone} > {bound}");
    let error = error.unwrap_or_else(|| panic!("{command} was accepted"));
    let mut frame = Network::Simnet.magic().to_le_bytes().to_vec();
    frame.extend(command.name().bytes());
    frame.resize(16, 0);
    frame.extend((payload.len() as u32).to_le_bytes());
    frame.extend(&Hash::of(payload).as_bytes()[..4]);
    assert_eq!(frame.len(), HEADER_SIZE);
    frame.extend(payload);
    let bound = 2 * frame.len() as u64 + SLACK;
    let peak_framed = peak(|| {
        let mut decoder = FrameDecoder::new(Network::Simnet);
        decoder.feed(&frame);
        match decoder.next_frame() {
            Ok(Some(frame)) => assert!(frame.decode().is_err()),
            // A payload over the limit of `version` is refused with the header.
            Err(_) => {}
            Ok(None) => panic!("{command}: the frame is complete"),
        }
    });
    assert!(peak_framed <= bound, "{command}: {peak_framed} > {bound}");
    error
}

#[test]
fn a_count_at_its_maximum_with_nothing_behind_it_is_an_error() {
    for Claim { command, field, before, max } in claims() {
        let payload = [before.clone(), varint(max)].concat();
        let error = refused(command, &payload);
        let missing = matches!(error, DecodeError::Truncated { .. } | DecodeError::TooMany { .. });
        assert!(missing, "{command}, {field}: {error:?}");
        // With some bytes behind it, the error depends on what zeros mean there.
        refused(command, &[payload, vec![0; 300]].concat());
    }
}

#[test]
fn a_count_above_its_maximum_is_too_many() {
    for Claim { command, field, before, max } in claims() {
        for found in [max.checked_add(1), Some(u64::from(u32::MAX)), Some(u64::MAX)].into_iter().flatten() {
            if found <= max {
                continue;
            }
            for behind in [0, 300] {
                let payload = [before.clone(), varint(found), vec![0; behind]].concat();
                let expected = DecodeError::TooMany { field, at: before.len(), found, max };
                assert_eq!(refused(command, &payload), expected, "{command}");
            }
        }
    }
}

#[test]
fn a_length_larger_than_any_memory_is_truncated() {
    for Claim { command, field, before, max } in claims() {
        if max == u64::MAX {
            for found in [u64::MAX, u64::MAX - 1, 1 << 63, 1 << 38, 1 << 32] {
                let error = refused(command, &[before.clone(), varint(found)].concat());
                let expected = matches!(error, DecodeError::Truncated { needed, left: 0, .. } if needed == found);
                assert!(expected, "{command}, {field}: {error:?}");
            }
        }
    }
}

#[test]
fn a_varint_that_is_longer_than_necessary_is_not_canonical() {
    for Claim { command, field, before, .. } in claims() {
        for (width, long) in [(3, &[0xfd, 1, 0][..]), (5, &[0xfe, 1, 0, 0, 0]), (9, &[0xff, 1, 0, 0, 0, 0, 0, 0, 0])] {
            let error = refused(command, &[&before, long, &[0; 64]].concat());
            let expected = DecodeError::NonCanonical { field, at: before.len(), value: 1, width };
            assert_eq!(error, expected, "{command}");
        }
    }
}

#[test]
fn counts_of_fixed_size_above_their_maximum_are_refused() {
    // The count of parents is one byte, and all of its values are allowed.
    let mut parents = header();
    parents[4] = 255;
    assert!(matches!(refused(Command::Block, &parents), DecodeError::Truncated { field: "parents", .. }));
    for found in [51_u32, u32::MAX] {
        let payload = [&[0][..], &found.to_le_bytes(), &[0; 5]].concat();
        let error = refused(Command::FilterLoad, &payload);
        let expected = DecodeError::TooMany { field: "hash functions", at: 1, found: found.into(), max: 50 };
        assert_eq!(error, expected);
    }
}

#[test]
fn a_thousand_headers_that_claim_32_mib_cost_the_bytes_that_were_sent() {
    let header = |length: u32| {
        let mut header = Network::Simnet.magic().to_le_bytes().to_vec();
        header.extend(b"block\0\0\0\0\0\0\0");
        header.extend(length.to_le_bytes());
        header.resize(HEADER_SIZE, 7);
        header
    };
    for sent in [0, 1, 5_000, 20_000, 100_000] {
        const COUNT: u64 = 1000;
        let stream = [header(MAX_PAYLOAD), vec![0; sent]].concat();
        // A thousand times 100 kB would take too long.
        let count = if sent > 50_000 { COUNT / 10 } else { COUNT };
        let peak = peak(|| {
            let decoders: Vec<FrameDecoder> = (0..count)
                .map(|_| {
                    let mut decoder = FrameDecoder::new(Network::Simnet);
                    // About as much as a TCP segment carries.
                    for piece in stream.chunks(1448) {
                        decoder.feed(piece);
                        assert!(decoder.next_frame().unwrap().is_none());
                    }
                    decoder
                })
                .collect();
            drop(decoders);
        });
        let bound = count * (2 * stream.len() as u64 + SLACK);
        assert!(peak <= bound, "{sent}: {peak} > {bound}");
    }
    for length in [MAX_PAYLOAD + 1, u32::MAX] {
        let mut decoder = FrameDecoder::new(Network::Simnet);
        decoder.feed(&header(length));
        assert!(decoder.next_frame().is_err());
    }
}
