//! Arbitrary messages of every type, for the property tests.

use kaspa_peer::wire::{
    Addr, AddressScope, Block, BlockFields, BlockHeader, Command, CustomMessage, FeeFilter, FilterAdd, FilterClear,
    FilterLoad, GetAddr, GetBlockInvs, GetData, GetHeaders, GetLocator, GetSelectedTip, Hash, Headers, Inv, Inventory,
    InventoryType, Locator, MerkleBlock, Message, NetAddress, NotFound, Outpoint, Ping, Pong, Reject, RejectCode,
    SelectedTip, SendHeaders, Services, SubnetworkId, TimedAddress, Transaction, TxFields, TxInput, TxOutput,
    UserAgent, VerAck, Version, WireString,
};
use proptest::{collection::vec, option, prelude::*};
use std::fmt::Debug;

pub fn hash() -> impl Strategy<Value = Hash> + Clone {
    prop_oneof![1 => Just(Hash::ZERO), 4 => any::<[u8; 32]>().prop_map(Hash::from_bytes)]
}

pub fn subnetwork() -> impl Strategy<Value = SubnetworkId> + Clone {
    prop_oneof![
        2 => Just(SubnetworkId::NATIVE),
        1 => Just(SubnetworkId::COINBASE),
        1 => Just(SubnetworkId::REGISTRY),
        2 => any::<[u8; 20]>().prop_map(SubnetworkId::from_bytes),
    ]
}

pub fn bytes(max: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..=max)
}

pub fn address() -> impl Strategy<Value = NetAddress> {
    (any::<u64>(), any::<[u8; 16]>(), any::<u16>()).prop_map(|(services, ip, port)| NetAddress {
        services: Services::from_bits_retain(services),
        ip: ip.into(),
        port,
    })
}

pub fn scope() -> impl Strategy<Value = AddressScope> {
    prop_oneof![Just(AddressScope::All), Just(AddressScope::FullNodes), subnetwork().prop_map(AddressScope::Subnetwork)]
}

pub fn header() -> impl Strategy<Value = BlockHeader> {
    (any::<(i32, i64, u32, u64)>(), vec(hash(), 0..4), hash(), hash(), hash()).prop_map(
        |((version, time, bits, nonce), parents, hash_merkle_root, accepted_id_merkle_root, utxo_commitment)| {
            BlockHeader {
                version,
                parents,
                hash_merkle_root,
                accepted_id_merkle_root,
                utxo_commitment,
                time,
                bits,
                nonce,
            }
        },
    )
}

/// Fields that can be encoded, with a payload and its hash in every subnetwork but the native one.
pub fn tx_fields() -> impl Strategy<Value = TxFields> {
    let input = (hash(), any::<u32>(), bytes(300), any::<u64>()).prop_map(|(id, index, signature_script, sequence)| {
        TxInput { previous_output: Outpoint { id, index }, signature_script, sequence }
    });
    let output = (any::<u64>(), bytes(300)).prop_map(|(value, script)| TxOutput { value, script });
    let tail = (any::<u64>(), subnetwork(), any::<u64>(), hash(), bytes(300));
    (any::<i32>(), vec(input, 0..4), vec(output, 0..4), tail).prop_map(
        |(version, inputs, outputs, (lock_time, subnetwork, gas, hash, payload))| {
            let plain = TxFields { version, inputs, outputs, lock_time, subnetwork, ..TxFields::default() };
            if subnetwork.is_native() {
                return plain;
            }
            let gas = if subnetwork.is_built_in() { 0 } else { gas };
            TxFields { gas, payload_hash: Some(hash), payload: Some(payload), ..plain }
        },
    )
}

pub fn block_fields() -> impl Strategy<Value = BlockFields> {
    (header(), vec(tx_fields(), 0..4)).prop_map(|(header, transactions)| BlockFields { header, transactions })
}

pub fn inventory() -> impl Strategy<Value = Vec<Inventory>> {
    vec((any::<u32>(), hash()).prop_map(|(kind, hash)| Inventory::new(InventoryType(kind), hash)), 0..300)
}

pub fn version() -> impl Strategy<Value = Version> {
    let numbers = any::<(i32, u64, i64, u64, bool)>();
    (numbers, option::of(subnetwork()), address(), address(), bytes(UserAgent::MAX), hash()).prop_map(
        |((protocol_version, services, time, nonce, relay_transactions), subnetwork, receiver, sender, agent, tip)| {
            Version {
                protocol_version,
                services: Services::from_bits_retain(services),
                time,
                subnetwork,
                receiver,
                sender,
                nonce,
                user_agent: UserAgent::from_bytes(agent),
                selected_tip: tip,
                relay_transactions,
            }
        },
    )
}

pub fn reject() -> impl Strategy<Value = Reject> {
    let command = prop_oneof![Just(b"block".to_vec()), Just(b"tx".to_vec()), bytes(300)];
    (command, any::<u8>(), bytes(300), hash()).prop_map(|(command, code, reason, hash)| Reject {
        hash: [&b"block"[..], b"tx"].contains(&command.as_slice()).then_some(hash),
        command: WireString::from_bytes(command),
        code: RejectCode(code),
        reason: WireString::from_bytes(reason),
    })
}

/// A custom command. The rare name that is known is replaced by `x`.
pub fn custom_command() -> impl Strategy<Value = Command> {
    "[!-~]{1,12}".prop_map(|name| match name.parse().unwrap() {
        command @ Command::Custom(_) => command,
        _ => "x".parse().unwrap(),
    })
}

pub fn commands() -> Vec<Command> {
    Command::ALL.into_iter().chain(["mystery".parse().unwrap()]).collect()
}

/// Any message of this type.
pub fn message(command: Command) -> BoxedStrategy<Message> {
    fn of<P: Into<Message> + Debug + 'static>(payload: impl Strategy<Value = P> + 'static) -> BoxedStrategy<Message> {
        payload.prop_map(Into::into).boxed()
    }
    let pair = || (hash(), hash());
    match command {
        Command::Version => of(version()),
        Command::VerAck => of(Just(VerAck)),
        Command::GetAddr => of(scope().prop_map(|scope| GetAddr { scope })),
        Command::Addr => {
            let timed = (any::<i64>(), address()).prop_map(|(time, address)| TimedAddress { time, address });
            of((scope(), vec(timed, 0..300)).prop_map(|(scope, addresses)| Addr { scope, addresses }))
        }
        Command::GetBlockInvs => of(pair().prop_map(|(low, high)| GetBlockInvs { low, high })),
        Command::Inv => of(inventory().prop_map(Inv::from)),
        Command::GetData => of(inventory().prop_map(GetData::from)),
        Command::NotFound => of(inventory().prop_map(NotFound::from)),
        Command::Block => of(block_fields().prop_map(|fields| Block::try_from(&fields).unwrap())),
        Command::Tx => of(tx_fields().prop_map(|fields| Transaction::new(&fields).unwrap())),
        Command::GetHeaders => of(pair().prop_map(|(low, high)| GetHeaders { low, high })),
        Command::Headers => of(vec(header(), 0..20).prop_map(|headers| Headers { headers })),
        Command::Ping => of(any::<u64>().prop_map(|nonce| Ping { nonce })),
        Command::Pong => of(any::<u64>().prop_map(|nonce| Pong { nonce })),
        Command::FilterLoad => of((bytes(300), 0..=FilterLoad::MAX_HASH_FUNCTIONS, any::<u32>(), any::<u8>())
            .prop_map(|(filter, hash_functions, tweak, update)| FilterLoad { filter, hash_functions, tweak, update })),
        Command::FilterAdd => of(bytes(FilterAdd::MAX).prop_map(|data| FilterAdd { data })),
        Command::FilterClear => of(Just(FilterClear)),
        Command::MerkleBlock => of((header(), any::<u32>(), vec(hash(), 0..20), bytes(300))
            .prop_map(|(header, transactions, hashes, flags)| MerkleBlock { header, transactions, hashes, flags })),
        Command::Reject => of(reject()),
        Command::SendHeaders => of(Just(SendHeaders)),
        Command::FeeFilter => of(any::<i64>().prop_map(|min_fee| FeeFilter { min_fee })),
        Command::GetLocator => of(pair().prop_map(|(high, low)| GetLocator { high, low })),
        Command::Locator => of(vec(hash(), 0..=300).prop_map(|hashes| Locator { hashes })),
        Command::GetSelectedTip => of(Just(GetSelectedTip)),
        Command::SelectedTip => of(hash().prop_map(|hash| SelectedTip { hash })),
        _ => of((custom_command(), bytes(300)).prop_map(|(command, payload)| match command {
            Command::Custom(command) => CustomMessage { command, payload },
            known => panic!("{known} is not a custom command"),
        })),
    }
}

pub fn any_message() -> impl Strategy<Value = Message> {
    prop::sample::select(commands()).prop_flat_map(message)
}
