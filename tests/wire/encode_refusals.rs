//! Messages that the protocol cannot carry are refused before a byte is written. Messages exactly at a limit are
//! accepted.

use kaspa_peer::wire::{
    Addr, AddressScope, Block, BlockFields, BlockHeader, Command, CustomMessage, Encode, EncodeError, FilterAdd,
    FilterLoad, Frame, GetData, Hash, Headers, Inv, Inventory, Locator, MAX_INVENTORY, MAX_PAYLOAD, MAX_TX_INPUTS,
    MAX_TX_OUTPUTS, MerkleBlock, Message, NetAddress, Network, NotFound, Payload, Reject, RejectCode, Services,
    SubnetworkId, TimedAddress, Transaction, TxFields, TxInput, TxOutput, UserAgent, Version, WireString, WriteError,
    write_message,
};
use std::io::{self, Write};

const LIMIT: usize = MAX_PAYLOAD as usize;

/// A writer that panics when it is used.
struct Unused;

impl Write for Unused {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        panic!("{} bytes were written", bytes.len());
    }

    fn flush(&mut self) -> io::Result<()> {
        panic!("flushed");
    }
}

fn refused<M: Encode + ?Sized>(message: &M, expected: &EncodeError) {
    assert_eq!(message.validate().as_ref(), Err(expected));
    assert_eq!(message.encode().as_ref(), Err(expected));
    assert_eq!(Frame::encode(message, Network::Mainnet).as_ref().map(Frame::command), Err(expected));
    match write_message(&mut Unused, message, Network::Mainnet) {
        Err(WriteError::Encode(error)) => assert_eq!(&error, expected),
        other => panic!("{other:?}"),
    }
}

fn accepted<M: Encode + ?Sized>(message: &M) {
    assert_eq!(message.validate(), Ok(()));
    assert_eq!(message.encode().map(|payload| payload.len()), Ok(message.encoded_len()));
}

/// Checks that `max` items are accepted, and that one more is refused.
fn check_count<M: Encode>(field: &'static str, max: usize, message: impl Fn(usize) -> M) {
    refused(&message(max + 1), &too_many(field, max + 1, max));
    accepted(&message(max));
}

fn too_many(field: &'static str, found: usize, max: usize) -> EncodeError {
    EncodeError::TooMany { field, found: found as u64, max: max as u64 }
}

fn too_long(command: Command, length: usize) -> EncodeError {
    EncodeError::TypeLimit { command, length, max: MAX_PAYLOAD }
}

fn header_with(parents: usize) -> BlockHeader {
    BlockHeader { parents: vec![Hash::ZERO; parents], ..BlockHeader::default() }
}

/// Checks that a transaction is refused by itself and within a block, from its fields and as the finished type.
fn refused_transaction(fields: &TxFields, expected: &EncodeError) {
    refused(fields, expected);
    assert_eq!(Transaction::new(fields).as_ref(), Err(expected));
    let block = BlockFields { header: BlockHeader::default(), transactions: vec![TxFields::default(), fields.clone()] };
    refused(&block, expected);
    assert_eq!(Block::try_from(&block).as_ref(), Err(expected));
}

#[test]
fn a_native_transaction_with_gas_or_a_payload_is_refused() {
    let gas = TxFields { gas: 1, ..TxFields::default() };
    refused_transaction(&gas, &EncodeError::NativeTransaction { field: "gas" });
    for payload in [vec![], vec![1, 2, 3]] {
        let payload = TxFields { payload: Some(payload), ..TxFields::default() };
        refused_transaction(&payload, &EncodeError::NativeTransaction { field: "payload" });
    }
    for hash in [Hash::ZERO, Hash::of(&[])] {
        let hash = TxFields { payload_hash: Some(hash), ..TxFields::default() };
        refused_transaction(&hash, &EncodeError::NativeTransaction { field: "payload hash" });
    }
    accepted(&TxFields::default());
}

#[test]
fn gas_in_a_built_in_subnetwork_is_refused() {
    for subnetwork in [SubnetworkId::COINBASE, SubnetworkId::REGISTRY] {
        for gas in [1, u64::MAX] {
            refused_transaction(&TxFields { subnetwork, gas, ..TxFields::default() }, &EncodeError::BuiltInGas { gas });
        }
        accepted(&TxFields { subnetwork, ..TxFields::default() });
    }
    let subnetwork = SubnetworkId::from_bytes([3; 20]);
    accepted(&TxFields { subnetwork, gas: u64::MAX, ..TxFields::default() });
}

#[test]
fn a_received_transaction_with_gas_in_a_built_in_subnetwork_is_not_encoded() {
    let fields = TxFields { subnetwork: SubnetworkId::COINBASE, payload: Some(vec![7]), ..TxFields::default() };
    let mut payload = Transaction::new(&fields).unwrap().as_bytes().to_vec();
    payload[34] = 9;
    let tx = Transaction::decode(&payload).unwrap();
    assert_eq!(tx.gas(), 9);
    let expected = EncodeError::BuiltInGas { gas: 9 };
    refused(&tx, &expected);
    refused(&tx.to_fields(), &expected);
    assert_eq!(Block::new(BlockHeader::default(), [&tx]), Err(expected.clone()));

    let native = Transaction::new(&TxFields::default()).unwrap();
    let mut payload = Block::new(BlockHeader::default(), [&native, &native]).unwrap().as_bytes().to_vec();
    payload[121] = 3;
    payload.extend(tx.as_bytes());
    let block = Block::decode(&payload).unwrap();
    refused(&block, &expected);
    refused(&Message::Block(block), &expected);
}

#[test]
fn more_than_255_parents_are_refused() {
    let expected = too_many("parents", 256, 255);
    refused(&Headers { headers: vec![header_with(0), header_with(256)] }, &expected);
    refused(&BlockFields { header: header_with(256), transactions: vec![] }, &expected);
    refused(&MerkleBlock { header: header_with(256), ..MerkleBlock::default() }, &expected);
    assert_eq!(Block::new(header_with(256), []), Err(expected));
    accepted(&Headers { headers: vec![header_with(255)] });
    accepted(&BlockFields { header: header_with(255), transactions: vec![] });
}

#[test]
fn lists_over_their_limit_are_refused() {
    let item = Inventory::tx(Hash::ZERO);
    check_count("inventory", MAX_INVENTORY, |count| Inv::from(vec![item; count]));
    check_count("inventory", MAX_INVENTORY, |count| GetData::from(vec![item; count]));
    check_count("inventory", MAX_INVENTORY, |count| NotFound::from(vec![item; count]));
    let address = NetAddress::new(([127, 0, 0, 1], 1).into(), Services::empty());
    let address = TimedAddress { time: 0, address };
    for scope in [AddressScope::All, AddressScope::Subnetwork(SubnetworkId::NATIVE)] {
        check_count("addresses", Addr::MAX, |count| Addr { scope, addresses: vec![address; count] });
    }
    check_count("locator hashes", Locator::MAX, |count| Locator { hashes: vec![Hash::ZERO; count] });
    check_count("headers", Headers::MAX, |count| Headers { headers: vec![header_with(1); count] });
    check_count("filter", FilterLoad::MAX_FILTER, |count| FilterLoad {
        filter: vec![0; count],
        ..FilterLoad::default()
    });
    check_count("filter element", FilterAdd::MAX, |count| FilterAdd { data: vec![0; count] });
    let functions = |count| FilterLoad { hash_functions: u32::try_from(count).unwrap(), ..FilterLoad::default() };
    check_count("hash functions", FilterLoad::MAX_HASH_FUNCTIONS as usize, functions);
    let flags = |count| MerkleBlock { flags: vec![0; count], ..MerkleBlock::default() };
    check_count("merkle flags", MerkleBlock::MAX_FLAGS, flags);
}

#[test]
fn the_longest_headers_message_is_accepted() {
    let headers = Headers { headers: vec![header_with(255); Headers::MAX] };
    assert_eq!(headers.validate(), Ok(()));
    assert_eq!(headers.encoded_len(), 3 + 2000 * (121 + 255 * 32 + 1));
}

#[test]
fn more_items_than_a_block_or_transaction_can_have_are_refused() {
    let max = Block::MAX_TRANSACTIONS;
    let expected = too_many("merkle hashes", max + 1, max);
    refused(&MerkleBlock { hashes: vec![Hash::ZERO; max + 1], ..MerkleBlock::default() }, &expected);

    let expected = too_many("transactions", max + 1, max);
    let tx = Transaction::new(&TxFields::default()).unwrap();
    assert_eq!(Block::new(BlockHeader::default(), vec![&tx; max + 1]), Err(expected.clone()));
    refused(&BlockFields { transactions: vec![TxFields::default(); max + 1], ..BlockFields::default() }, &expected);

    let inputs = TxFields { inputs: vec![TxInput::default(); MAX_TX_INPUTS + 1], ..TxFields::default() };
    refused(&inputs, &too_many("inputs", MAX_TX_INPUTS + 1, MAX_TX_INPUTS));
    let outputs = TxFields { outputs: vec![TxOutput::default(); MAX_TX_OUTPUTS + 1], ..TxFields::default() };
    refused(&outputs, &too_many("outputs", MAX_TX_OUTPUTS + 1, MAX_TX_OUTPUTS));
}

#[test]
fn a_user_agent_over_256_bytes_is_refused() {
    let address = NetAddress::new(([127, 0, 0, 1], 1).into(), Services::empty());
    let version = |length| Version {
        protocol_version: 1,
        services: Services::all(),
        time: 0,
        subnetwork: Some(SubnetworkId::NATIVE),
        receiver: address,
        sender: address,
        nonce: 0,
        user_agent: UserAgent::from_bytes(vec![b'a'; length]),
        selected_tip: Hash::ZERO,
        relay_transactions: true,
    };
    check_count("user agent", UserAgent::MAX, version);
    assert_eq!(version(UserAgent::MAX).encoded_len(), 393);
}

#[test]
fn scripts_over_their_limit_are_refused() {
    let script = vec![0; LIMIT + 1];
    let input = TxInput { signature_script: script.clone(), ..TxInput::default() };
    let fields = TxFields { inputs: vec![TxInput::default(), input], ..TxFields::default() };
    refused(&fields, &too_many("signature script", LIMIT + 1, LIMIT));
    let fields = TxFields { outputs: vec![TxOutput { value: 0, script }], ..TxFields::default() };
    refused(&fields, &too_many("output script", LIMIT + 1, LIMIT));
}

#[test]
fn strings_over_their_limit_are_refused() {
    let long = WireString::from_bytes(vec![b'x'; LIMIT + 1]);
    let reject = Reject::new(long.clone(), RejectCode::INVALID, "");
    refused(&reject, &too_many("rejected command", LIMIT + 1, LIMIT));
    let reject = Reject::new("ping", RejectCode::INVALID, long);
    refused(&reject, &too_many("reject reason", LIMIT + 1, LIMIT));
}

#[test]
fn messages_over_the_limit_of_their_command_are_refused() {
    // The command and the code take 6 bytes, and the length of the reason 5.
    let reject = |length: usize| Reject::new("ping", RejectCode::INVALID, "x".repeat(length));
    refused(&reject(LIMIT - 10), &too_long(Command::Reject, LIMIT + 1));
    assert_eq!(reject(LIMIT - 11).validate(), Ok(()));

    let command: Command = "mystery".parse().unwrap();
    let Command::Custom(name) = command else { panic!("known") };
    refused(&CustomMessage { command: name, payload: vec![0; LIMIT + 1] }, &too_long(command, LIMIT + 1));
    assert_eq!(CustomMessage { command: name, payload: vec![0; LIMIT] }.validate(), Ok(()));

    // The smallest transaction with one output takes 34 + 8 bytes besides its script.
    let tx = |script: usize| TxFields {
        outputs: vec![TxOutput { value: 0, script: vec![0; script] }],
        ..TxFields::default()
    };
    let expected = too_long(Command::Tx, LIMIT + 1);
    refused(&tx(LIMIT - 46), &expected);
    assert_eq!(Transaction::new(&tx(LIMIT - 46)), Err(expected));
    assert_eq!(tx(LIMIT - 47).validate(), Ok(()));

    let half = Transaction::new(&tx(LIMIT / 2 - 47)).unwrap();
    assert_eq!(half.as_bytes().len(), LIMIT / 2);
    let expected = too_long(Command::Block, LIMIT + 122);
    assert_eq!(Block::new(BlockHeader::default(), [&half, &half]), Err(expected.clone()));
    let halves = vec![half.to_fields(), half.to_fields()];
    refused(&BlockFields { header: BlockHeader::default(), transactions: halves }, &expected);
}

#[test]
fn a_refused_message_appends_nothing_to_the_output() {
    let mut out = b"before".to_vec();
    let message = Locator { hashes: vec![Hash::ZERO; Locator::MAX + 1] };
    assert!(write_message(&mut out, &message, Network::Mainnet).is_err());
    assert_eq!(out, b"before");
}

#[test]
fn a_frame_is_built_from_exactly_its_bytes() {
    use kaspa_peer::wire::{Frame, FrameError, Ping};
    let frame = Frame::encode(&Ping { nonce: 3 }, Network::Simnet).unwrap();
    let bytes = frame.as_bytes().to_vec();
    assert_eq!(Frame::from_bytes(bytes.clone(), Network::Simnet), Ok(frame));
    let on = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = bytes.clone();
        change(&mut bytes);
        Frame::from_bytes(bytes, Network::Simnet).unwrap_err()
    };
    assert!(matches!(on(&|bytes| bytes.truncate(10)), FrameError::Truncated { part: "header", .. }));
    assert!(matches!(on(&|bytes| bytes.truncate(30)), FrameError::Truncated { needed: 8, found: 6, .. }));
    assert!(matches!(on(&|bytes| bytes.push(0)), FrameError::Truncated { needed: 8, found: 9, .. }));
    assert!(matches!(on(&|bytes| bytes[31] ^= 1), FrameError::Checksum { .. }));
    assert!(matches!(Frame::from_bytes(bytes, Network::Mainnet), Err(FrameError::Network { .. })));
}
