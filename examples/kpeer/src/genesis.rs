//! The genesis blocks of the public networks, as in kaspad v0.1.1 and v0.5.0.
//!
//! Nodes never send theirs, since all nodes of a network have it. A download needs its hash to request the blocks above
//! it.

use kaspa_peer::wire::{
    Block, BlockHeader, EncodeError, Hash, Network, Outpoint, SubnetworkId, Transaction, TxFields, TxInput, UserAgent,
};

/// The genesis block that kaspad v0.1.1 to v0.4.1 know. A private network has one made of its magic number.
pub fn block(network: Network) -> Result<Block, EncodeError> {
    let (time, bits, nonce) = match network {
        Network::Mainnet => (0x5cda_c4b0, 0x207f_ffff, 0x1),
        Network::Testnet => (0x5e15_adfe, 0x1e7f_ffff, 0x20a1),
        Network::Regtest => (0x5e15_e2d8, 0x1e7f_ffff, 0x15a6),
        Network::Simnet => (0x5e15_d31c, 0x207f_ffff, 0x3),
        Network::Devnet => (0x5e15_e758, 0x1e7f_ffff, 0x2_82ac),
        private => (0x5e15_d31c, 0x207f_ffff, u64::from(private.magic())),
    };
    // The script that the reward is paid to, then the name of the network.
    let mut payload = match network {
        Network::Testnet => b"\x01\x00".to_vec(),
        _ => [b"\x17\xa9\x14".as_slice(), &PAY_TO_SCRIPT_HASH, b"\x87"].concat(),
    };
    if network != Network::Mainnet {
        payload.extend(format!("kaspa-{network}").bytes());
    }
    let coinbase = Transaction::new(&TxFields {
        version: 1,
        inputs: vec![TxInput {
            previous_output: Outpoint { index: u32::MAX, ..Outpoint::default() },
            signature_script: b"\x00\x00\x0b/P2SH/btcd/".to_vec(),
            sequence: u64::MAX,
        }],
        subnetwork: SubnetworkId::COINBASE,
        payload: Some(payload),
        ..TxFields::default()
    })?;
    let header =
        BlockHeader { version: 1, hash_merkle_root: coinbase.hash(), time, bits, nonce, ..BlockHeader::default() };
    Block::new(header, [&coinbase])
}

const PAY_TO_SCRIPT_HASH: [u8; 20] = [
    0xda, 0x17, 0x45, 0xe9, 0xb5, 0x49, 0xbd, 0x0b, 0xfa, 0x1a, 0x56, 0x99, 0x71, 0xc7, 0x7e, 0xba, 0x30, 0xcd, 0x5a,
    0x4b,
];

/// The hash of the genesis block that a node of this user agent knows.
pub fn hash(network: Network, user_agent: &UserAgent) -> Option<Hash> {
    let newer = Kaspad::of(user_agent).is_some_and(|kaspad| kaspad.version >= (0, 5));
    let newer = match network {
        Network::Mainnet if newer => "65617e7bef13bad3e6ba8c3241f683e11e7127833fff4b40afd5bbf63c345db3",
        Network::Testnet if newer => "0000524b08766b908a14338bfc902f11bd7907daf1959af38e6159b51a6421fc",
        Network::Regtest if newer => "00005e7b7c98e6993cadedcabd77b42ac61f6fea8daa020f34e060a586e91df8",
        Network::Simnet if newer => "7d70bbc7779a6eeebde8ebffb424051a1c41c24b126dc5a253390cabdced4334",
        Network::Devnet if newer => "0000691a26e1cd33ed9d0587d774181726f4e38eecd722a858d3baaa1fd19250",
        _ => return block(network).ok().map(|block| block.hash()),
    };
    newer.parse().ok()
}

/// A kaspad daemon, as opposed to another program made of its parts.
pub struct Kaspad {
    /// The first two numbers of its version.
    pub version: (u32, u32),
}

impl Kaspad {
    /// Parses a user agent. That of a daemon has the name kaspad twice: first for its library, then for the program.
    pub fn of(user_agent: &UserAgent) -> Option<Self> {
        let mut parts = user_agent.to_str()?.trim_matches('/').split('/');
        let (library, program) = (parts.next()?, parts.next()?);
        let version = library.strip_prefix("kaspad:").and(program.strip_prefix("kaspad:"))?;
        let mut numbers = version.split(['.', '-']).map(|number| number.parse().ok());
        Some(Self { version: (numbers.next()??, numbers.next()??) })
    }
}
