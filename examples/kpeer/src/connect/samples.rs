//! Made-up messages: well-formed, and without effect.

use kaspa_peer::wire::*;

/// A transaction that spends an output that does not exist. No two are equal.
pub fn transaction() -> Result<Transaction, EncodeError> {
    let [a, b, c, d]: [u64; 4] = rand::random();
    Transaction::new(&TxFields {
        version: 1,
        inputs: vec![TxInput {
            previous_output: Outpoint { id: Hash::of([a, b, c, d].map(u64::to_le_bytes).as_flattened()), index: 0 },
            signature_script: vec![0x51],
            sequence: u64::MAX,
        }],
        outputs: vec![TxOutput { value: 1000, script: vec![0x51] }],
        ..TxFields::default()
    })
}

/// A block on top of `tip` without work.
pub fn block(tip: Hash) -> Result<Block, EncodeError> {
    let tx = transaction()?;
    Block::new(header(tip, tx.hash()), [&tx])
}

pub fn header(tip: Hash, root: Hash) -> BlockHeader {
    BlockHeader {
        version: 0x1000_0000,
        parents: vec![tip],
        hash_merkle_root: root,
        time: 0x5e15_d31c,
        bits: 0x1e7f_ffff,
        nonce: rand::random(),
        ..BlockHeader::default()
    }
}

/// A filtered block whose only transaction matched the filter.
pub fn merkle_block(tip: Hash) -> MerkleBlock {
    let root = random_hash();
    MerkleBlock { header: header(tip, root), transactions: 1, hashes: vec![root], flags: vec![1] }
}

pub fn random_hash() -> Hash {
    Hash::from_bytes(rand::random())
}

pub fn filter() -> FilterLoad {
    FilterLoad { filter: vec![0x55; 16], hash_functions: 3, tweak: 7, update: 0 }
}
