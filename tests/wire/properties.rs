//! Properties of all messages and of all bytes, tested with arbitrary ones.

use super::arbitrary::{
    any_message, block_fields, bytes, commands, custom_command, hash, message, subnetwork, tx_fields, version,
};
use kaspa_peer::wire::{
    Block, Command, CustomMessage, DecodeError, Encode, EncodeError, Frame, FrameDecoder, FrameError, HEADER_SIZE,
    Hash, Message, MessageReader, Network, Payload, Ping, ReadError, Reject, RejectCode, SubnetworkId, Transaction,
    TxInput, TxOutput, VerAck, Version,
};
use proptest::{collection::vec, prelude::*};
use std::fmt::{Debug, Display};
use std::str::FromStr;

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

// ---- messages and their bytes

#[test]
fn decoding_an_encoded_message_gives_the_message() {
    for command in commands() {
        proptest!(config(32), |(message in message(command))| {
            let payload = message.encode().unwrap();
            prop_assert_eq!(payload.len(), message.encoded_len());
            prop_assert!(payload.len() <= message.command().payload_limit() as usize);
            prop_assert_eq!(&Message::decode(message.command(), &payload).unwrap(), &message);
            prop_assert_eq!(&Message::decode_vec(message.command(), payload.clone()).unwrap(), &message);

            let frame = Frame::encode(&message, Network::Testnet).unwrap();
            prop_assert_eq!(&frame.as_bytes()[HEADER_SIZE..], &payload);
            let mut reader = MessageReader::new(frame.as_bytes(), Network::Testnet);
            prop_assert_eq!(reader.read_message().unwrap(), Some(message));
        });
    }
}

#[test]
fn a_truncated_payload_is_an_error() {
    for command in Command::ALL {
        proptest!(config(6), |(message in message(command))| {
            let payload = message.encode().unwrap();
            // All prefixes of a short payload. Those of a long payload only near both of its ends, where its fields
            // are.
            let lengths = (0..payload.len()).filter(|at| *at < 300 || payload.len() - at < 100);
            for length in lengths {
                let result = Message::decode(command, &payload[..length]);
                let truncated = matches!(result, Err(DecodeError::Truncated { at, needed, left, .. })
                    if at + left == length && needed > left as u64);
                prop_assert!(truncated, "{} of {}: {:?}", length, payload.len(), result);
            }
        });
    }
}

#[test]
fn bytes_behind_the_last_field_are_an_error_except_in_version() {
    for command in Command::ALL {
        proptest!(config(6), |(message in message(command), behind in vec(any::<u8>(), 1..40))| {
            let payload = message.encode().unwrap();
            let result = Message::decode(command, &[payload.as_slice(), &behind].concat());
            let expected = match command {
                Command::Version => Ok(message),
                _ => Err(DecodeError::Trailing { at: payload.len(), left: behind.len() }),
            };
            prop_assert_eq!(result, expected);
        });
    }
}

proptest! {
    #![proptest_config(config(128))]

    #[test]
    fn a_transaction_has_the_fields_it_was_built_from(fields in tx_fields()) {
        let tx = Transaction::new(&fields).unwrap();
        prop_assert_eq!(fields.encoded_len(), tx.as_bytes().len());
        prop_assert_eq!(fields.encode().unwrap(), tx.as_bytes());
        prop_assert_eq!(tx.to_fields(), fields.clone());
        prop_assert_eq!(tx.inputs().len(), fields.inputs.len());
        prop_assert_eq!(tx.inputs().map(TxInput::from).collect::<Vec<_>>(), fields.inputs.clone());
        prop_assert_eq!(tx.outputs().map(TxOutput::from).collect::<Vec<_>>(), fields.outputs.clone());
        prop_assert_eq!(tx.payload_hash(), fields.payload_hash);
        prop_assert_eq!(tx.payload(), fields.payload.as_deref());

        // The hash covers the encoding without the payload, and the id also omits the signatures.
        let mut bare = fields;
        bare.payload = bare.payload.map(|_| vec![]);
        prop_assert_eq!(tx.hash(), Hash::of(&bare.encode().unwrap()));
        bare.inputs.iter_mut().for_each(|input| input.signature_script.clear());
        let of_id = if tx.is_coinbase() { tx.as_bytes().to_vec() } else { bare.encode().unwrap() };
        prop_assert_eq!(tx.id(), Hash::of(&of_id));
    }

    #[test]
    fn a_missing_payload_or_payload_hash_is_filled_in(
        fields in tx_fields(),
        hash in any::<bool>(),
        payload in any::<bool>(),
    ) {
        prop_assume!(!fields.subnetwork.is_native());
        let mut short = fields;
        if hash { short.payload_hash = None; }
        if payload { short.payload = None; }
        let tx = Transaction::new(&short).unwrap();
        let written = short.payload.clone().unwrap_or_default();
        prop_assert_eq!(tx.payload(), Some(written.as_slice()));
        prop_assert_eq!(tx.payload_hash(), Some(short.payload_hash.unwrap_or_else(|| Hash::of(&written))));
        prop_assert_eq!(tx.as_bytes().len(), short.encoded_len());
    }

    #[test]
    fn a_block_has_the_fields_it_was_built_from(fields in block_fields()) {
        let block = Block::try_from(&fields).unwrap();
        prop_assert_eq!(fields.encoded_len(), block.as_bytes().len());
        prop_assert_eq!(fields.encode().unwrap(), block.as_bytes());
        prop_assert_eq!(block.hash(), fields.header.hash());
        prop_assert_eq!(block.transactions().len(), fields.transactions.len());
        let owned: Vec<Transaction> = block.transactions().map(|tx| tx.to_transaction()).collect();
        let expected: Vec<Transaction> = fields.transactions.iter().map(|tx| Transaction::new(tx).unwrap()).collect();
        prop_assert_eq!(owned, expected);
        prop_assert_eq!(block.to_fields(), fields);
    }

    #[test]
    fn the_texts_of_hashes_ids_networks_and_commands_can_be_parsed(
        hash in hash(),
        subnetwork in subnetwork(),
        magic in any::<u32>(),
        command in custom_command(),
    ) {
        round_trip(hash)?;
        round_trip(subnetwork)?;
        round_trip(Network::Custom(magic))?;
        round_trip(command)?;
        prop_assert!(!command.is_known());
        let mut reversed = *hash.as_bytes();
        reversed.reverse();
        prop_assert_eq!(hash.to_string(), hex::encode(reversed));
    }

    #[test]
    fn arbitrary_text_is_parsed_or_refused(text in "\\PC{0,70}", digits in "[0-9a-fA-F+xg]{1,66}") {
        for text in [&text, &digits, &format!("0x{digits}")] {
            if let Ok(hash) = text.parse::<Hash>() {
                prop_assert_eq!(hash.to_string(), text.to_lowercase());
            }
            if let Ok(id) = text.parse::<SubnetworkId>() {
                prop_assert_eq!(id.to_string(), text.to_lowercase());
            }
            if let Ok(command) = text.parse::<Command>() {
                prop_assert_eq!(&command.to_string(), text);
                prop_assert!(text.len() <= 12 && text.bytes().all(|byte| byte.is_ascii_graphic()));
            }
            if text.parse::<Network>().is_ok() {
                let digits = text.strip_prefix("0x").unwrap_or_default();
                let number = (1..=8).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
                prop_assert!(number || Network::PUBLIC.iter().any(|network| network.to_string() == *text), "{}", text);
            }
        }
    }
}

fn round_trip<T: Display + FromStr<Err: Debug> + PartialEq + Debug>(value: T) -> Result<(), TestCaseError> {
    prop_assert_eq!(value.to_string().parse::<T>().unwrap(), value);
    Ok(())
}

#[test]
fn the_names_of_commands_and_networks_can_be_parsed() {
    for command in Command::ALL {
        round_trip(command).unwrap();
        assert!(command.is_known());
    }
    for network in Network::PUBLIC {
        round_trip(network).unwrap();
        assert_eq!(Network::from_magic(network.magic()), network);
    }
    for name in ["", "thirteenchars", "a b", "ping\0", "\0", "é"] {
        assert!(name.parse::<Command>().is_err(), "{name:?}");
    }
}

// ---- arbitrary bytes

/// Checks that a message that decodes can be used, shown and encoded again. The one exception is gas in a built-in
/// subnetwork.
fn check_decoded(command: Command, payload: &[u8]) -> Result<(), TestCaseError> {
    let Ok(message) = Message::decode(command, payload) else { return Ok(()) };
    let shown = format!("{message:?}");
    prop_assert!(!shown.is_empty());
    if let Message::Block(block) = &message {
        for tx in block {
            prop_assert_eq!(tx.to_fields().inputs.len(), tx.inputs().len());
            let unsigned = tx.inputs().all(|input| input.signature_script.is_empty());
            prop_assert!(tx.is_coinbase() || (tx.id() == tx.hash()) == unsigned);
        }
    }
    match message.encode() {
        Ok(again) => prop_assert_eq!(Message::decode(command, &again), Ok(message)),
        Err(error) => {
            let gas = matches!(error, EncodeError::BuiltInGas { .. });
            prop_assert!(gas, "{}", error);
        }
    }
    Ok(())
}

#[test]
fn arbitrary_bytes_never_panic() {
    for command in commands() {
        proptest!(config(64), |(payload in bytes(400))| check_decoded(command, &payload)?);
    }
}

#[test]
fn damaged_payloads_never_panic() {
    for command in commands() {
        let damage = vec((any::<prop::sample::Index>(), any::<u8>()), 1..4);
        proptest!(config(48), |(message in message(command), damage in damage)| {
            let mut payload = message.encode().unwrap();
            for (at, byte) in damage {
                if !payload.is_empty() {
                    let at = at.index(payload.len());
                    payload[at] = byte;
                }
            }
            check_decoded(command, &payload)?;
        });
    }
}

// ---- streams

const NETWORK: Network = Network::Simnet;

/// One piece of a stream, which determines the result of reading it.
#[derive(Debug, Clone)]
enum Piece {
    Message(Message),
    WrongNetwork(Message),
    BadChecksum(Message),
    BadCommand(Vec<u8>),
    OverLimit(Vec<u8>),
    BadPayload,
}

impl Piece {
    fn bytes(&self) -> Vec<u8> {
        let frame = |message: &Message, network| Frame::encode(message, network).unwrap().as_bytes().to_vec();
        let named = |name: &str, payload: &[u8]| {
            let Ok(Command::Custom(command)) = "x".parse() else { panic!("known") };
            let mut bytes = frame(&Message::Custom(CustomMessage { command, payload: payload.into() }), NETWORK);
            bytes[4..16].fill(0);
            bytes[4..4 + name.len()].copy_from_slice(name.as_bytes());
            bytes
        };
        match self {
            Self::Message(message) => frame(message, NETWORK),
            Self::WrongNetwork(message) => frame(message, Network::Devnet),
            Self::BadChecksum(message) => {
                let mut bytes = frame(message, NETWORK);
                bytes[HEADER_SIZE - 1] ^= 1;
                bytes
            }
            Self::BadCommand(payload) => named("bad one", payload),
            Self::OverLimit(payload) => named("ping", &[&[0; 9], payload.as_slice()].concat()),
            Self::BadPayload => named("ping", &[0; 7]),
        }
    }

    fn gives(&self, result: &Result<Message, FrameError>) -> bool {
        match (self, result) {
            (Self::Message(message), Ok(found)) => message == found,
            (Self::WrongNetwork(_), Err(FrameError::Network { found, .. })) => *found == Network::Devnet.magic(),
            (Self::BadChecksum(message), Err(FrameError::Checksum { command, .. })) => *command == message.command(),
            (Self::BadCommand(_), Err(FrameError::Command { .. }))
            | (Self::OverLimit(_), Err(FrameError::TypeLimit { command: Command::Ping, .. }))
            | (Self::BadPayload, Err(FrameError::Payload { command: Command::Ping, .. })) => true,
            _ => false,
        }
    }
}

fn piece() -> impl Strategy<Value = Piece> {
    prop_oneof![
        6 => any_message().prop_map(Piece::Message),
        1 => any_message().prop_map(Piece::WrongNetwork),
        1 => any_message().prop_map(Piece::BadChecksum),
        1 => bytes(9_000).prop_map(Piece::BadCommand),
        1 => bytes(30_000).prop_map(Piece::OverLimit),
        1 => Just(Piece::BadPayload),
        // Too large for the decoder's shared buffer.
        1 => (16_000usize..60_000, any::<u8>()).prop_map(|(length, byte)| {
            Piece::Message(Reject::new("ping", RejectCode(byte), "x".repeat(length)).into())
        }),
    ]
}

/// All results of a stream that arrives in pieces of these sizes, which repeat.
fn in_chunks(stream: &[u8], sizes: &[usize]) -> Vec<Result<Message, FrameError>> {
    let mut decoder = FrameDecoder::new(NETWORK);
    let (mut results, mut rest, mut sizes) = (Vec::new(), stream, sizes.iter().cycle());
    while !rest.is_empty() {
        let (chunk, behind) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
        decoder.feed(chunk);
        loop {
            match decoder.next_frame() {
                Ok(None) => break,
                Ok(Some(frame)) => results.push(frame.decode()),
                Err(error) if error.in_step() => results.push(Err(error)),
                Err(error) => {
                    results.push(Err(error));
                    return results;
                }
            }
        }
        rest = behind;
    }
    results.extend(decoder.finish().err().map(Err));
    results
}

fn by_reader(stream: &[u8]) -> Vec<Result<Message, FrameError>> {
    let results = MessageReader::new(stream, NETWORK).map(|result| {
        result.map_err(|error| match error {
            ReadError::Frame(error) => error,
            other => panic!("{other}"),
        })
    });
    results.collect()
}

proptest! {
    #![proptest_config(config(48))]

    #[test]
    fn any_chunks_give_the_same_results(
        pieces in vec(piece(), 1..12),
        tail in prop_oneof![Just(None), any::<prop::sample::Index>().prop_map(Some)],
        sizes in vec(prop_oneof![1usize..40, 1usize..30_000], 1..20),
    ) {
        let mut stream = pieces.iter().map(Piece::bytes).collect::<Vec<_>>().concat();
        // Some streams end with an incomplete frame.
        let last = Frame::encode(&Ping { nonce: 1 }, NETWORK).unwrap();
        let cut = tail.map_or(0, |at| at.index(last.as_bytes().len()));
        stream.extend(&last.as_bytes()[..cut]);

        let results = in_chunks(&stream, &sizes);
        prop_assert_eq!(results.len(), pieces.len() + usize::from(cut > 0));
        for (piece, result) in pieces.iter().zip(&results) {
            prop_assert!(piece.gives(result), "{:?} gave {:?}", piece, result);
        }
        if cut > 0 {
            let truncated = matches!(results.last(), Some(Err(FrameError::Truncated { .. })));
            prop_assert!(truncated);
        }
        prop_assert_eq!(&in_chunks(&stream, &[usize::MAX]), &results);
        prop_assert_eq!(&by_reader(&stream), &results);
    }

    #[test]
    fn an_oversize_frame_ends_the_stream(
        pieces in vec(piece(), 0..4),
        length in (32u32 << 20) + 1..,
        sizes in vec(1usize..2_000, 1..5),
    ) {
        let mut stream = pieces.iter().map(Piece::bytes).collect::<Vec<_>>().concat();
        let mut last = Frame::encode(&VerAck, NETWORK).unwrap().as_bytes().to_vec();
        last[16..20].copy_from_slice(&length.to_le_bytes());
        stream.extend(&last);
        stream.extend(&last);
        let results = in_chunks(&stream, &sizes);
        prop_assert_eq!(results.len(), pieces.len() + 1);
        let expected = FrameError::Oversize { length, max: 32 << 20 };
        prop_assert_eq!(results.last(), Some(&Err(expected)));
        prop_assert_eq!(by_reader(&stream), results);
    }

    #[test]
    fn arbitrary_streams_never_panic(
        noise in bytes(600),
        command in prop::sample::select(commands()),
        length in prop_oneof![0u32..200, any::<u32>()],
        sizes in vec(1usize..100, 1..10),
    ) {
        prop_assert_eq!(in_chunks(&noise, &sizes), by_reader(&noise));
        // The same bytes behind a header of the right network. Its length and its checksum may be right, too.
        let mut stream = NETWORK.magic().to_le_bytes().to_vec();
        stream.extend(command.name().bytes());
        stream.resize(16, 0);
        stream.extend(length.to_le_bytes());
        let payload = &noise[..noise.len().min(length as usize)];
        stream.extend(&Hash::of(payload).as_bytes()[..4]);
        stream.extend(&noise);
        prop_assert_eq!(in_chunks(&stream, &sizes), by_reader(&stream));
    }
}

#[test]
fn decoding_a_payload_type_equals_decoding_the_message() {
    proptest!(config(32), |(fields in tx_fields(), version in version())| {
        let payload = fields.encode().unwrap();
        let tx = Transaction::decode(&payload).unwrap();
        prop_assert_eq!(Message::decode(Transaction::COMMAND, &payload), Ok(tx.clone().into()));
        prop_assert_eq!(Transaction::try_from(Message::from(tx.clone())), Ok(tx.clone()));
        prop_assert_eq!(Version::try_from(Message::from(tx.clone())), Err(Message::from(tx)));
        prop_assert_eq!(Version::decode(&version.encode().unwrap()), Ok(version));
    });
}
