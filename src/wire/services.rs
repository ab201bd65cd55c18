//! The services that a node offers.

use super::wire_string::padded;
use std::fmt;

bitflags::bitflags! {
    /// The services that a node offers, as bits. Bits without a name are carried unchanged.
    ///
    /// Displays as in kaspad, lowest bit first: `SFNodeNetwork|SFNodeBloom|0x100`.
    #[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
    pub struct Services: u64 {
        /// A full node, which serves blocks. kaspad chooses such nodes to synchronise from, so offer it only if you
        /// answer `getlocator`, `getblockinvs` and `getdata`.
        const NETWORK = 1 << 0;
        /// Serves unspent outputs. The protocol has no message for it.
        const GET_UTXO = 1 << 1;
        /// Accepts bloom filters.
        const BLOOM = 1 << 2;
        /// Serves xthin blocks. The protocol has no message for it.
        const XTHIN = 1 << 3;
        /// Named by kaspad, without a meaning.
        const BIT5 = 1 << 4;
        /// Serves committed filters. The protocol has no message for it.
        const COMMITTED_FILTERS = 1 << 5;

        const _ = !0;
    }
}

const NAMES: [(Services, &str); 6] = [
    (Services::NETWORK, "SFNodeNetwork"),
    (Services::GET_UTXO, "SFNodeGetUTXO"),
    (Services::BLOOM, "SFNodeBloom"),
    (Services::XTHIN, "SFNodeXthin"),
    (Services::BIT5, "SFNodeBit5"),
    (Services::COMMITTED_FILTERS, "SFNodeCF"),
];

impl fmt::Display for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        padded(f, |f| self.write_names(f))
    }
}

impl Services {
    fn write_names(self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self;
        let mut separator = "";
        for (flag, name) in NAMES {
            if rest.contains(flag) {
                write!(f, "{separator}{name}")?;
                rest.remove(flag);
                separator = "|";
            }
        }
        if rest.is_empty() && !separator.is_empty() { Ok(()) } else { write!(f, "{separator}0x{:x}", rest.bits()) }
    }
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_display_as_in_kaspad() {
        assert_eq!(Services::empty().to_string(), "0x0");
        assert_eq!((Services::BLOOM | Services::NETWORK).to_string(), "SFNodeNetwork|SFNodeBloom");
        assert_eq!(Services::from_bits_retain(0x120).to_string(), "SFNodeCF|0x100");
    }
}
