//! What is sent: one message of each size that matters.

use kaspa_peer::wire::{
    Block, BlockFields, BlockHeader, EncodeError, Hash, Inv, Inventory, Outpoint, SubnetworkId, Transaction, TxFields,
    TxInput, TxOutput,
};

/// The transactions of the large block, which is then a little over 1 MB.
pub const BLOCK_TRANSACTIONS: u32 = 4000;

/// The parts of a transaction of 250 bytes: one input, two outputs.
pub fn tx_fields(number: u32) -> TxFields {
    let output = |value| TxOutput { value, script: vec![0x76; 23] };
    TxFields {
        version: 1,
        inputs: vec![TxInput {
            previous_output: Outpoint { id: Hash::from_bytes([0x5a; 32]), index: number },
            signature_script: vec![0x47; 107],
            sequence: u64::MAX,
        }],
        outputs: vec![output(50_000), output(u64::from(number))],
        subnetwork: SubnetworkId::NATIVE,
        ..TxFields::default()
    }
}

/// A transaction of 250 bytes.
pub fn tx() -> Result<Transaction, EncodeError> {
    Transaction::new(&tx_fields(0))
}

/// An announcement of so many transactions.
pub fn inv(items: u32) -> Inv {
    (0..items).map(item).collect()
}

/// One of many different inventory items.
pub fn item(number: u32) -> Inventory {
    let mut bytes = [0x3c; 32];
    if let Some(start) = bytes.first_chunk_mut() {
        *start = number.to_le_bytes();
    }
    Inventory::tx(Hash::from_bytes(bytes))
}

/// The parts of a block of 1 MB.
pub fn block_fields() -> BlockFields {
    let header = BlockHeader { version: 1, parents: vec![Hash::from_bytes([7; 32]); 3], ..BlockHeader::default() };
    BlockFields { header, transactions: (0..BLOCK_TRANSACTIONS).map(tx_fields).collect() }
}

/// A block of 1 MB.
pub fn block() -> Result<Block, EncodeError> {
    Block::try_from(&block_fields())
}

/// Looks at every input and output of a block, as somebody who validates it must.
pub fn visit(block: &Block) -> u64 {
    let mut sum = 0u64;
    for tx in block.transactions() {
        for input in tx.inputs() {
            sum = sum.wrapping_add(input.sequence).wrapping_add(input.signature_script.len() as u64);
        }
        for output in tx.outputs() {
            sum = sum.wrapping_add(output.value).wrapping_add(output.script.len() as u64);
        }
    }
    sum
}
