//! Streams and messages built from the fuzzer's choices, shared by the targets.

use kaspa_peer::peer::fuzzing::Choices;
use kaspa_peer::wire::{
    Addr, AddressScope, BlockFields, BlockHeader, Command, CustomMessage, FeeFilter, FilterAdd, FilterClear,
    FilterLoad, Frame, GetAddr, GetBlockInvs, GetData, GetHeaders, GetLocator, GetSelectedTip, Hash, Headers, Inv,
    Inventory, InventoryType, Locator, MerkleBlock, Message, NetAddress, Network, NotFound, Outpoint, Ping, Pong,
    Reject, RejectCode, SelectedTip, SendHeaders, Services, SubnetworkId, TimedAddress, Transaction, TxFields, TxInput,
    TxOutput, UserAgent, VerAck, Version, WireString,
};

/// The network of all messages.
pub const NETWORK: Network = Network::Simnet;

/// A stream in parts. Each part is a byte for its kind, and then its content: any bytes, a frame with any payload, a
/// frame with a long payload of one repeated byte, a header with wrong fields, or a message.
pub fn stream(choices: &mut Choices<'_>) -> Vec<u8> {
    let mut stream = Vec::new();
    while !choices.is_empty() && stream.len() < 1 << 18 {
        match choices.byte() % 5 {
            0 => stream.extend_from_slice(choices.bytes(usize::from(u16::MAX))),
            1 => {
                let command = choices.command();
                stream.extend(frame(command, choices.bytes(usize::from(u16::MAX))));
            }
            2 => {
                let command = choices.of(&["reject", "mystery", "tx", "block"]).parse().unwrap();
                let length = 4 * usize::from(choices.short());
                let filler = choices.byte();
                stream.extend(frame(command, &vec![filler; length]));
            }
            3 => {
                let mut bytes = frame(choices.command(), choices.bytes(300));
                match choices.byte() % 5 {
                    0 => bytes[..4].copy_from_slice(&choices.array::<4>()),
                    1 => bytes[4..16].copy_from_slice(&choices.array::<12>()),
                    2 => bytes[16..20].copy_from_slice(&choices.array::<4>()),
                    3 => bytes[16..18].copy_from_slice(&choices.array::<2>()),
                    _ => bytes[20..24].copy_from_slice(&choices.array::<4>()),
                }
                stream.extend(bytes);
            }
            _ => {
                // A longer frame takes too long in pieces of two bytes.
                if let Ok(frame) = Frame::encode(&message(choices).0, NETWORK)
                    && frame.as_bytes().len() < 1 << 18
                {
                    stream.extend_from_slice(frame.as_bytes());
                }
            }
        }
    }
    stream
}

/// A frame with a right checksum and any payload.
fn frame(command: Command, payload: &[u8]) -> Vec<u8> {
    let mut bytes = NETWORK.magic().to_le_bytes().to_vec();
    bytes.extend_from_slice(command.name().as_bytes());
    bytes.resize(16, 0);
    bytes.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&Hash::of(payload).as_bytes()[..4]);
    bytes.extend_from_slice(payload);
    bytes
}

/// A message, which may be one that cannot be encoded, and the message that decoding it must give.
pub fn message(choices: &mut Choices<'_>) -> (Message, Message) {
    let message: Message = match choices.command() {
        Command::Version => version(choices).into(),
        Command::VerAck => VerAck.into(),
        Command::GetAddr => GetAddr { scope: scope(choices) }.into(),
        Command::Addr => {
            let scope = scope(choices);
            let time_and_address =
                |choices: &mut Choices<'_>| TimedAddress { time: choices.long() as i64, address: address(choices) };
            Addr { scope, addresses: list(choices, time_and_address, 1001) }.into()
        }
        Command::GetBlockInvs => GetBlockInvs { low: choices.hash(), high: choices.hash() }.into(),
        Command::Inv => Inv::from(list(choices, item, 0)).into(),
        Command::GetData => GetData::from(list(choices, item, 0)).into(),
        Command::NotFound => NotFound::from(list(choices, item, 0)).into(),
        Command::Block => {
            let fields = block_fields(choices);
            match kaspa_peer::wire::Block::try_from(&fields) {
                Ok(block) => block.into(),
                Err(_) => VerAck.into(),
            }
        }
        Command::Tx => Transaction::new(&tx_fields(choices)).map_or(VerAck.into(), Into::into),
        Command::GetHeaders => GetHeaders { low: choices.hash(), high: choices.hash() }.into(),
        Command::Headers => Headers { headers: list(choices, header, 2001) }.into(),
        Command::Ping => Ping { nonce: choices.long() }.into(),
        Command::Pong => Pong { nonce: choices.long() }.into(),
        Command::FilterLoad => FilterLoad {
            filter: bytes(choices, 36_001),
            hash_functions: choices.of(&[0, 1, 49, 50, 51, u32::MAX]),
            tweak: choices.word(),
            update: choices.byte(),
        }
        .into(),
        Command::FilterAdd => FilterAdd { data: bytes(choices, 521) }.into(),
        Command::FilterClear => FilterClear.into(),
        Command::MerkleBlock => MerkleBlock {
            header: header(choices),
            transactions: choices.word(),
            hashes: list(choices, |it| it.hash(), 0),
            flags: bytes(choices, 125_001),
        }
        .into(),
        Command::Reject => {
            let command = choices.of(&["block", "tx", "", "inv", "txs"]);
            let command = if choices.flag() { command.as_bytes() } else { choices.bytes(50) };
            Reject {
                command: WireString::from_bytes(command),
                code: RejectCode(choices.byte()),
                reason: WireString::from_bytes(choices.bytes(2000)),
                hash: choices.flag().then(|| choices.hash()),
            }
            .into()
        }
        Command::SendHeaders => SendHeaders.into(),
        Command::FeeFilter => FeeFilter { min_fee: choices.long() as i64 }.into(),
        Command::GetLocator => GetLocator { high: choices.hash(), low: choices.hash() }.into(),
        Command::Locator => Locator { hashes: list(choices, |it| it.hash(), 501) }.into(),
        Command::GetSelectedTip => GetSelectedTip.into(),
        Command::SelectedTip => SelectedTip { hash: choices.hash() }.into(),
        Command::Custom(command) => CustomMessage { command, payload: choices.bytes(500).into() }.into(),
        other => panic!("{other} is new"),
    };
    let mut expected = message.clone();
    if let Message::Reject(reject) = &mut expected {
        let named = [&b"block"[..], b"tx"].contains(&reject.command.as_bytes());
        reject.hash = named.then(|| reject.hash.unwrap_or(Hash::ZERO));
    }
    (message, expected)
}

/// A few items, or as many as the limit or one more.
fn list<T: Clone>(choices: &mut Choices<'_>, mut item: impl FnMut(&mut Choices<'_>) -> T, many: usize) -> Vec<T> {
    match choices.byte() {
        255 => vec![item(choices); many],
        254 => vec![item(choices); many.saturating_sub(1)],
        few => (0..few % 16).map(|_| item(choices)).collect(),
    }
}

/// A few bytes, or as many as the limit or one more.
fn bytes(choices: &mut Choices<'_>, many: usize) -> Vec<u8> {
    match choices.byte() {
        255 => vec![0; many],
        254 => vec![0; many - 1],
        _ => choices.bytes(300).into(),
    }
}

fn item(choices: &mut Choices<'_>) -> Inventory {
    Inventory::new(InventoryType(choices.word()), choices.hash())
}

fn address(choices: &mut Choices<'_>) -> NetAddress {
    let services = Services::from_bits_retain(choices.long());
    NetAddress { services, ip: choices.array::<16>().into(), port: choices.short() }
}

fn scope(choices: &mut Choices<'_>) -> AddressScope {
    match choices.byte() % 3 {
        0 => AddressScope::All,
        1 => AddressScope::FullNodes,
        _ => AddressScope::Subnetwork(choices.subnetwork()),
    }
}

fn version(choices: &mut Choices<'_>) -> Version {
    Version {
        protocol_version: choices.word() as i32,
        services: Services::from_bits_retain(choices.long()),
        time: choices.long() as i64,
        subnetwork: choices.flag().then(|| choices.subnetwork()),
        receiver: address(choices),
        sender: address(choices),
        nonce: choices.long(),
        user_agent: UserAgent::from_bytes(bytes(choices, 257)),
        selected_tip: choices.hash(),
        relay_transactions: choices.flag(),
    }
}

fn header(choices: &mut Choices<'_>) -> BlockHeader {
    BlockHeader {
        version: choices.word() as i32,
        parents: list(choices, |it| it.hash(), 256),
        hash_merkle_root: choices.hash(),
        accepted_id_merkle_root: choices.hash(),
        utxo_commitment: choices.hash(),
        time: choices.long() as i64,
        bits: choices.word(),
        nonce: choices.long(),
    }
}

/// The fields of a transaction, which may be an invalid one.
pub fn tx_fields(choices: &mut Choices<'_>) -> TxFields {
    let subnetwork = choices.subnetwork();
    let input = |choices: &mut Choices<'_>| TxInput {
        previous_output: Outpoint { id: choices.hash(), index: choices.word() },
        signature_script: choices.bytes(300).into(),
        sequence: choices.long(),
    };
    let output = |choices: &mut Choices<'_>| TxOutput { value: choices.long(), script: choices.bytes(300).into() };
    let foreign = subnetwork != SubnetworkId::NATIVE || choices.byte() > 250;
    TxFields {
        version: choices.word() as i32,
        inputs: list(choices, input, 30),
        outputs: list(choices, output, 30),
        lock_time: choices.long(),
        subnetwork,
        gas: if foreign { choices.of(&[0, 1, u64::MAX]) } else { 0 },
        payload_hash: (foreign && choices.flag()).then(|| choices.hash()),
        payload: (foreign && choices.flag()).then(|| choices.bytes(300).into()),
    }
}

/// The fields of a block, which may be an invalid one.
pub fn block_fields(choices: &mut Choices<'_>) -> BlockFields {
    BlockFields { header: header(choices), transactions: list(choices, tx_fields, 30) }
}
