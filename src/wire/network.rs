//! The networks, and the magic numbers that tell their frames apart.

use super::parse_error::ParseError;
use std::{cmp::Ordering, fmt, hash, str::FromStr};

/// The network that a node and its frames belong to.
///
/// Networks are compared and ordered by their magic numbers, so `Custom(0x3ddcf71d)` equals `Mainnet`. Displays the
/// name in lower case, or the magic number as `0xcafe0001`.
///
/// ```
/// use kaspa_peer::wire::Network;
///
/// assert_eq!("simnet".parse(), Ok(Network::Simnet));
/// assert_eq!("0xcafe0001".parse(), Ok(Network::Custom(0xcafe_0001)));
/// assert_eq!(Network::Simnet.default_port(), Some(16511));
/// ```
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Network {
    /// The main network.
    Mainnet,
    /// The public test network.
    Testnet,
    /// The regression-test network, for tests on one machine. A peer tolerates malformed messages of a loopback remote
    /// on it.
    Regtest,
    /// The simulation network.
    Simnet,
    /// The development network.
    Devnet,
    /// A private network, with its magic number.
    Custom(u32),
}

impl Network {
    /// The five public networks.
    pub const PUBLIC: [Self; 5] = [Self::Mainnet, Self::Testnet, Self::Regtest, Self::Simnet, Self::Devnet];

    /// The magic number, which starts each frame of this network.
    #[must_use]
    pub const fn magic(self) -> u32 {
        match self {
            Self::Mainnet => 0x3ddc_f71d,
            Self::Testnet => 0xddb8_af8f,
            Self::Regtest => 0xf396_cdd6,
            Self::Simnet => 0x374d_cf1c,
            Self::Devnet => 0x732d_87e1,
            Self::Custom(magic) => magic,
        }
    }

    /// The network with this magic number: a public one, or else [`Custom`](Self::Custom).
    #[must_use]
    pub fn from_magic(magic: u32) -> Self {
        Self::PUBLIC.into_iter().find(|network| network.magic() == magic).unwrap_or(Self::Custom(magic))
    }

    /// The TCP port on which nodes of a public network listen. Testnet and Regtest have the same. `None` for a custom
    /// network.
    #[must_use]
    pub fn default_port(self) -> Option<u16> {
        match Self::from_magic(self.magic()) {
            Self::Mainnet => Some(16111),
            Self::Testnet | Self::Regtest => Some(16211),
            Self::Simnet => Some(16511),
            Self::Devnet => Some(16611),
            Self::Custom(_) => None,
        }
    }
}

impl PartialEq for Network {
    fn eq(&self, other: &Self) -> bool {
        self.magic() == other.magic()
    }
}

impl Eq for Network {}

impl PartialOrd for Network {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Network {
    fn cmp(&self, other: &Self) -> Ordering {
        self.magic().cmp(&other.magic())
    }
}

impl hash::Hash for Network {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.magic().hash(state);
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match Self::from_magic(self.magic()) {
            Self::Mainnet => "mainnet",
            Self::Testnet => "testnet",
            Self::Regtest => "regtest",
            Self::Simnet => "simnet",
            Self::Devnet => "devnet",
            Self::Custom(magic) => return f.pad(&format!("0x{magic:08x}")),
        })
    }
}

impl FromStr for Network {
    type Err = ParseError;

    /// Parses the name of a public network in lower case, or a magic number as `0x` and up to eight hex digits.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let digits = text.strip_prefix("0x").filter(|digits| digits.len() <= 8 && !digits.starts_with('+'));
        let number = || digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        Self::PUBLIC
            .into_iter()
            .find(|network| network.to_string() == text)
            .or_else(|| number().map(Self::from_magic))
            .ok_or_else(|| {
                let expected = "mainnet, testnet, regtest, simnet, devnet, or a magic number like 0x374dcf1c";
                ParseError::new(text, "a network", expected)
            })
    }
}
