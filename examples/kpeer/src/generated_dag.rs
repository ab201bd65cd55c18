//! Generates a block DAG, the same one each time.
//!
//! It has the shape of a real one, on top of the network's genesis block, but no work was done for its blocks and its
//! transactions spend outputs that do not exist. kaspad refuses the first block.

use crate::dag::Dag;
use crate::genesis;
use crate::options::Failure;
use kaspa_peer::wire::{
    Block, BlockHeader, Hash, Network, Outpoint, SubnetworkId, Transaction, TxFields, TxInput, TxOutput,
};

/// The number of blocks, the genesis block not included.
const BLOCKS: usize = 300;

/// Numbers that look random and are the same for each network each time.
pub struct Random {
    network: Network,
    drawn: u64,
}

impl Random {
    fn bytes(&mut self) -> [u8; 32] {
        self.drawn += 1;
        let seed = [u64::from(self.network.magic()), self.drawn].map(u64::to_le_bytes);
        *Hash::of(seed.as_flattened()).as_bytes()
    }

    fn below(&mut self, end: usize) -> usize {
        let [byte, ..] = self.bytes();
        usize::from(byte) % end.max(1)
    }
}

/// The DAG, and the source of the numbers for further blocks.
pub fn dag(network: Network) -> Result<(Dag, Random), Failure> {
    let genesis = genesis::block(network)?;
    let mut layer = vec![genesis.hash()];
    let mut dag = Dag::new(genesis, network);
    let mut random = Random { network, drawn: 0 };
    while dag.len() <= BLOCKS {
        // One to three blocks side by side, and at last exactly two: the tips.
        let width = match BLOCKS + 1 - dag.len() {
            2 => 2,
            3 => 1,
            left => (1 + random.below(3)).min(left - 2),
        };
        let side = (0..width).map(|_| grow(&mut dag, &layer, &mut random)).collect::<Result<Vec<Hash>, _>>()?;
        layer = side;
    }
    Ok((dag, random))
}

/// Adds a block with these parents.
pub fn grow(dag: &mut Dag, parents: &[Hash], random: &mut Random) -> Result<Hash, Failure> {
    let block = block(dag.len() as u64, parents, random)?;
    dag.push(block)
}

fn block(number: u64, parents: &[Hash], random: &mut Random) -> Result<Block, Failure> {
    let mut transactions = vec![coinbase(number, random)?];
    for _ in 0..random.below(4) {
        transactions.push(payment(random)?);
    }
    let hashes: Vec<u8> = transactions.iter().flat_map(|tx| *tx.hash().as_bytes()).collect();
    let header = BlockHeader {
        version: 0x1000_0000,
        parents: parents.to_vec(),
        hash_merkle_root: Hash::of(&hashes),
        accepted_id_merkle_root: Hash::from_bytes(random.bytes()),
        utxo_commitment: Hash::from_bytes(random.bytes()),
        time: 0x5e15_d31c + number.cast_signed(),
        bits: 0x207f_ffff,
        nonce: number,
    };
    Ok(Block::new(header, &transactions)?)
}

fn coinbase(number: u64, random: &mut Random) -> Result<Transaction, Failure> {
    let payload = [number.to_le_bytes().as_slice(), &random.bytes()].concat();
    let fields = TxFields {
        version: 1,
        subnetwork: SubnetworkId::COINBASE,
        payload: Some(payload),
        outputs: vec![TxOutput { value: 50_0000_0000, script: pay_to(random) }],
        ..TxFields::default()
    };
    Ok(Transaction::new(&fields)?)
}

fn payment(random: &mut Random) -> Result<Transaction, Failure> {
    let input = |random: &mut Random| TxInput {
        previous_output: Outpoint { id: Hash::from_bytes(random.bytes()), index: 0 },
        signature_script: [random.bytes(), random.bytes(), random.bytes()].concat(),
        sequence: u64::MAX,
    };
    let fields = TxFields {
        version: 1,
        inputs: (0..=random.below(2)).map(|_| input(random)).collect(),
        outputs: (0..=random.below(2)).map(|_| TxOutput { value: 1000, script: pay_to(random) }).collect(),
        ..TxFields::default()
    };
    Ok(Transaction::new(&fields)?)
}

/// A script of the form that pays to the hash of a key.
fn pay_to(random: &mut Random) -> Vec<u8> {
    let hash = random.bytes();
    [b"\x76\xa9\x14", hash.get(..20).unwrap_or_default(), b"\x88\xac"].concat()
}
