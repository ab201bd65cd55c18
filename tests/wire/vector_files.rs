//! Reads the vectors (see `tests/vectors/README.md`), and converts messages to their JSON and back.
//!
//! The two directions share no code: [`to_json`] converts decoded messages, and [`from_json`] builds messages to
//! encode.

use kaspa_peer::wire::{
    Addr, AddressScope, BlockFields, BlockHeader, Command, Encode, FeeFilter, FilterAdd, FilterClear, FilterLoad,
    GetAddr, GetBlockInvs, GetData, GetHeaders, GetLocator, GetSelectedTip, Hash, Headers, Inv, Inventory,
    InventoryType, Locator, MerkleBlock, Message, NetAddress, Network, NotFound, Outpoint, Ping, Pong, Reject,
    RejectCode, SelectedTip, SendHeaders, Services, SubnetworkId, TimedAddress, TxFields, TxInput, TxOutput, TxRef,
    UserAgent, VerAck, Version, WireString,
};
use serde_json::{Value, json};
use std::{fs, path::Path};

/// A file of the vectors.
pub fn load(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name);
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

pub fn rows(value: &Value) -> &[Value] {
    value.as_array().expect("an array of rows")
}

pub fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key].as_str().unwrap_or_else(|| panic!("{key} is not text in {}", row["name"]))
}

pub fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().expect("hex")).expect("hex")
}

pub fn network(row: &Value) -> Network {
    text(row, "net").parse().expect("a network")
}

/// Runs a check for each row. Panics with the names of all rows that fail.
pub fn check_rows(rows: &[Value], check: impl Fn(&Value) -> Result<(), String>) {
    let failed: Vec<String> =
        rows.iter().filter_map(|row| check(row).err().map(|why| format!("{}: {why}", row["name"]))).collect();
    assert!(failed.is_empty(), "{} of {} rows fail:\n{}", failed.len(), rows.len(), failed.join("\n"));
}

/// Returns an error with both values, shortened if they are long, unless they are equal.
pub fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: T, expected: T) -> Result<(), String> {
    if found == expected {
        return Ok(());
    }
    let show = |value: T| format!("{value:?}").chars().take(300).collect::<String>();
    Err(format!("{what}: found {}, expected {}", show(found), show(expected)))
}

// ---- from a message to JSON

fn raw(bytes: impl AsRef<[u8]>) -> Value {
    hex::encode(bytes).into()
}

fn raw_hash(hash: Hash) -> Value {
    raw(hash.as_bytes())
}

fn hashes(hashes: &[Hash]) -> Value {
    hashes.iter().copied().map(raw_hash).collect()
}

fn subnetwork(id: Option<SubnetworkId>) -> Value {
    id.map_or(Value::Null, |id| raw(id.as_bytes()))
}

fn address(address: &NetAddress) -> Value {
    json!({
        "services": address.services.bits().to_string(),
        "ip": raw(address.ip.octets()),
        "ip_text": address.socket_addr().ip().to_string(),
        "port": address.socket_addr().port(),
    })
}

fn timed_address(timed: &TimedAddress) -> Value {
    let mut value = address(&timed.address);
    value["timestamp"] = timed.time.into();
    value
}

pub fn header(header: &BlockHeader) -> Value {
    json!({
        "version": header.version,
        "parent_hashes": hashes(&header.parents),
        "hash_merkle_root": raw_hash(header.hash_merkle_root),
        "accepted_id_merkle_root": raw_hash(header.accepted_id_merkle_root),
        "utxo_commitment": raw_hash(header.utxo_commitment),
        "timestamp": header.time,
        "bits": header.bits,
        "nonce": header.nonce.to_string(),
    })
}

pub fn tx(tx: TxRef<'_>) -> Value {
    let inputs = tx.inputs().map(|input| {
        json!({
            "prev_tx_id": raw_hash(input.previous_output().id),
            "prev_index": input.previous_output().index,
            "signature_script": raw(input.signature_script),
            "sequence": input.sequence.to_string(),
        })
    });
    let outputs =
        tx.outputs().map(|output| json!({"value": output.value.to_string(), "script_pub_key": raw(output.script)}));
    json!({
        "version": tx.version(),
        "inputs": inputs.collect::<Vec<_>>(),
        "outputs": outputs.collect::<Vec<_>>(),
        "lock_time": tx.lock_time().to_string(),
        "subnetwork_id": raw(tx.subnetwork().as_bytes()),
        "gas": tx.gas().to_string(),
        "payload_hash": tx.payload_hash().map_or(Value::Null, raw_hash),
        "payload": tx.payload().map_or(Value::Null, raw),
    })
}

fn scope(scope: AddressScope) -> Value {
    let (all, id) = match scope {
        AddressScope::All => (true, None),
        AddressScope::FullNodes => (false, None),
        AddressScope::Subnetwork(id) => (false, Some(id)),
    };
    json!({"include_all_subnetworks": all, "subnetwork_id": subnetwork(id)})
}

fn inventory(items: &[Inventory]) -> Value {
    let items = items.iter().map(|item| json!({"type": item.kind.0, "hash": raw_hash(item.hash)}));
    json!({"inventory": items.collect::<Vec<_>>()})
}

/// A decoded message as the `fields` of the vectors.
pub fn to_json(message: &Message) -> Value {
    match message {
        Message::VerAck(VerAck)
        | Message::FilterClear(FilterClear)
        | Message::SendHeaders(SendHeaders)
        | Message::GetSelectedTip(GetSelectedTip) => json!({}),
        Message::Version(version) => json!({
            "protocol_version": version.protocol_version,
            "services": version.services.bits().to_string(),
            "timestamp": version.time,
            "subnetwork_id": subnetwork(version.subnetwork),
            "addr_you": address(&version.receiver),
            "addr_me": address(&version.sender),
            "nonce": version.nonce.to_string(),
            "user_agent": version.user_agent.to_str(),
            "user_agent_hex": raw(version.user_agent.as_bytes()),
            "selected_tip_hash": raw_hash(version.selected_tip),
            "disable_relay_tx": !version.relay_transactions,
        }),
        Message::GetAddr(message) => scope(message.scope),
        Message::Addr(message) => {
            let mut value = scope(message.scope);
            value["addrs"] = message.addresses.iter().map(timed_address).collect();
            value
        }
        Message::GetBlockInvs(GetBlockInvs { low, high })
        | Message::GetHeaders(GetHeaders { low, high })
        | Message::GetLocator(GetLocator { high, low }) => {
            json!({"low_hash": raw_hash(*low), "high_hash": raw_hash(*high)})
        }
        Message::Inv(Inv { items }) | Message::GetData(GetData { items }) | Message::NotFound(NotFound { items }) => {
            inventory(items)
        }
        Message::Block(block) => {
            json!({"header": header(block.header()), "transactions": block.transactions().map(tx).collect::<Vec<_>>()})
        }
        Message::Tx(transaction) => tx(transaction.as_ref()),
        Message::Headers(message) => json!({"headers": message.headers.iter().map(header).collect::<Vec<_>>()}),
        Message::Ping(Ping { nonce }) | Message::Pong(Pong { nonce }) => json!({"nonce": nonce.to_string()}),
        Message::FilterLoad(message) => json!({
            "filter": raw(&message.filter),
            "hash_funcs": message.hash_functions,
            "tweak": message.tweak,
            "flags": message.update,
        }),
        Message::FilterAdd(message) => json!({"data": raw(&message.data)}),
        Message::MerkleBlock(message) => json!({
            "header": header(&message.header),
            "transactions": message.transactions,
            "hashes": hashes(&message.hashes),
            "flags": raw(&message.flags),
        }),
        Message::Reject(message) => json!({
            "cmd": message.command.to_str(),
            "cmd_hex": raw(message.command.as_bytes()),
            "code": message.code.0,
            "reason": message.reason.to_str(),
            "reason_hex": raw(message.reason.as_bytes()),
            "hash": message.hash.map_or(Value::Null, raw_hash),
        }),
        Message::FeeFilter(message) => json!({"min_fee": message.min_fee}),
        Message::Locator(message) => json!({"hashes": hashes(&message.hashes)}),
        Message::SelectedTip(message) => json!({"selected_tip_hash": raw_hash(message.hash)}),
        other => panic!("not a message of the vectors: {other:?}"),
    }
}

// ---- from JSON to a message

fn int<T: TryFrom<i64>>(value: &Value) -> T {
    value.as_i64().and_then(|number| T::try_from(number).ok()).unwrap_or_else(|| panic!("{value} is out of range"))
}

fn big(value: &Value) -> u64 {
    value.as_str().expect("a decimal string").parse().expect("a u64")
}

fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().expect("so many bytes")
}

fn a_hash(value: &Value) -> Hash {
    Hash::from_bytes(array(value))
}

fn list<T>(value: &Value, item: impl FnMut(&Value) -> T) -> Vec<T> {
    rows(value).iter().map(item).collect()
}

fn optional<T>(value: &Value, item: impl FnOnce(&Value) -> T) -> Option<T> {
    (!value.is_null()).then(|| item(value))
}

fn a_subnetwork(value: &Value) -> SubnetworkId {
    SubnetworkId::from_bytes(array(value))
}

fn an_address(value: &Value) -> NetAddress {
    let services = Services::from_bits_retain(big(&value["services"]));
    NetAddress { services, ip: array::<16>(&value["ip"]).into(), port: int(&value["port"]) }
}

fn a_timed_address(value: &Value) -> TimedAddress {
    TimedAddress { time: int(&value["timestamp"]), address: an_address(value) }
}

fn a_scope(value: &Value) -> AddressScope {
    let id = optional(&value["subnetwork_id"], a_subnetwork);
    if value["include_all_subnetworks"].as_bool().unwrap() { AddressScope::All } else { id.into() }
}

fn items(fields: &Value) -> Vec<Inventory> {
    list(&fields["inventory"], |item| Inventory::new(InventoryType(int(&item["type"])), a_hash(&item["hash"])))
}

pub fn header_from(fields: &Value) -> BlockHeader {
    BlockHeader {
        version: int(&fields["version"]),
        parents: list(&fields["parent_hashes"], a_hash),
        hash_merkle_root: a_hash(&fields["hash_merkle_root"]),
        accepted_id_merkle_root: a_hash(&fields["accepted_id_merkle_root"]),
        utxo_commitment: a_hash(&fields["utxo_commitment"]),
        time: int(&fields["timestamp"]),
        bits: int(&fields["bits"]),
        nonce: big(&fields["nonce"]),
    }
}

pub fn tx_from(fields: &Value) -> TxFields {
    TxFields {
        version: int(&fields["version"]),
        inputs: list(&fields["inputs"], |input| TxInput {
            previous_output: Outpoint { id: a_hash(&input["prev_tx_id"]), index: int(&input["prev_index"]) },
            signature_script: bytes(&input["signature_script"]),
            sequence: big(&input["sequence"]),
        }),
        outputs: list(&fields["outputs"], |output| TxOutput {
            value: big(&output["value"]),
            script: bytes(&output["script_pub_key"]),
        }),
        lock_time: big(&fields["lock_time"]),
        subnetwork: a_subnetwork(&fields["subnetwork_id"]),
        gas: big(&fields["gas"]),
        payload_hash: optional(&fields["payload_hash"], a_hash),
        payload: optional(&fields["payload"], bytes),
    }
}

pub fn block_from(fields: &Value) -> BlockFields {
    BlockFields { header: header_from(&fields["header"]), transactions: list(&fields["transactions"], tx_from) }
}

/// A message built from the `fields` of the vectors without decoding. Blocks and transactions are built as their plain
/// fields.
pub fn from_json(command: Command, fields: &Value) -> Box<dyn Encode> {
    let (low, high) = (&fields["low_hash"], &fields["high_hash"]);
    match command {
        Command::Version => Box::new(Version {
            protocol_version: int(&fields["protocol_version"]),
            services: Services::from_bits_retain(big(&fields["services"])),
            time: int(&fields["timestamp"]),
            subnetwork: optional(&fields["subnetwork_id"], a_subnetwork),
            receiver: an_address(&fields["addr_you"]),
            sender: an_address(&fields["addr_me"]),
            nonce: big(&fields["nonce"]),
            user_agent: UserAgent::from_bytes(bytes(&fields["user_agent_hex"])),
            selected_tip: a_hash(&fields["selected_tip_hash"]),
            relay_transactions: !fields["disable_relay_tx"].as_bool().unwrap(),
        }),
        Command::VerAck => Box::new(VerAck),
        Command::FilterClear => Box::new(FilterClear),
        Command::SendHeaders => Box::new(SendHeaders),
        Command::GetSelectedTip => Box::new(GetSelectedTip),
        Command::GetAddr => Box::new(GetAddr { scope: a_scope(fields) }),
        Command::Addr => Box::new(Addr { scope: a_scope(fields), addresses: list(&fields["addrs"], a_timed_address) }),
        Command::GetBlockInvs => Box::new(GetBlockInvs { low: a_hash(low), high: a_hash(high) }),
        Command::GetHeaders => Box::new(GetHeaders { low: a_hash(low), high: a_hash(high) }),
        Command::GetLocator => Box::new(GetLocator { low: a_hash(low), high: a_hash(high) }),
        Command::Inv => Box::new(Inv::from(items(fields))),
        Command::GetData => Box::new(GetData::from(items(fields))),
        Command::NotFound => Box::new(NotFound::from(items(fields))),
        Command::Block => Box::new(block_from(fields)),
        Command::Tx => Box::new(tx_from(fields)),
        Command::Headers => Box::new(Headers { headers: list(&fields["headers"], header_from) }),
        Command::Ping => Box::new(Ping { nonce: big(&fields["nonce"]) }),
        Command::Pong => Box::new(Pong { nonce: big(&fields["nonce"]) }),
        Command::FilterLoad => Box::new(FilterLoad {
            filter: bytes(&fields["filter"]),
            hash_functions: int(&fields["hash_funcs"]),
            tweak: int(&fields["tweak"]),
            update: int(&fields["flags"]),
        }),
        Command::FilterAdd => Box::new(FilterAdd { data: bytes(&fields["data"]) }),
        Command::MerkleBlock => Box::new(MerkleBlock {
            header: header_from(&fields["header"]),
            transactions: int(&fields["transactions"]),
            hashes: list(&fields["hashes"], a_hash),
            flags: bytes(&fields["flags"]),
        }),
        Command::Reject => Box::new(Reject {
            command: WireString::from_bytes(bytes(&fields["cmd_hex"])),
            code: RejectCode(int(&fields["code"])),
            reason: WireString::from_bytes(bytes(&fields["reason_hex"])),
            hash: optional(&fields["hash"], a_hash),
        }),
        Command::FeeFilter => Box::new(FeeFilter { min_fee: int(&fields["min_fee"]) }),
        Command::Locator => Box::new(Locator { hashes: list(&fields["hashes"], a_hash) }),
        Command::SelectedTip => Box::new(SelectedTip { hash: a_hash(&fields["selected_tip_hash"]) }),
        other => panic!("not a command of the vectors: {other}"),
    }
}
