//! The addresses that the node names to peers that ask for some.

use hashlink::LinkedHashMap;
use kaspa_peer::wire::{Addr, NetAddress, Services, TimedAddress};
use parking_lot::Mutex;
use std::net::SocketAddr;

/// The number of addresses of remotes that are remembered.
const HEARD: usize = 1000;

/// The node's own address, and those of other nodes.
pub struct AddressBook {
    own: SocketAddr,
    /// The addresses of `--knows`. Remotes can add to them, and cannot replace them.
    known: Vec<SocketAddr>,
    /// The addresses that remotes sent, the newest last.
    heard: Mutex<LinkedHashMap<SocketAddr, TimedAddress>>,
}

impl AddressBook {
    pub fn new(own: SocketAddr, known: Vec<SocketAddr>) -> Self {
        Self { own, known, heard: Mutex::default() }
    }

    /// Remembers addresses that a remote sent.
    pub fn add(&self, addresses: Vec<TimedAddress>) {
        let mut heard = self.heard.lock();
        for address in addresses {
            heard.insert(address.address.socket_addr(), address);
            if heard.len() > HEARD {
                heard.pop_front();
            }
        }
    }

    /// The addresses for one answer. `services` are those of the node.
    pub fn addresses(&self, services: Services) -> Vec<TimedAddress> {
        let own = NetAddress::new(self.own, services);
        let known = self.known.iter().map(|address| NetAddress::new(*address, Services::NETWORK));
        let mut addresses: Vec<_> = [own].into_iter().chain(known).map(TimedAddress::now).collect();
        addresses.extend(self.heard.lock().values().rev());
        addresses.truncate(Addr::MAX);
        addresses
    }
}
