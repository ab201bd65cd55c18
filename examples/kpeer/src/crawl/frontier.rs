//! Decides which address is visited next.
//!
//! Each address has a source: the node that named it, or the user. The sources take turns, and each may use only a
//! share of the visits while there is other work. So a node that names a thousand addresses cannot keep the crawl from
//! those that others name.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The number of addresses of one source that may wait to be visited: as many as an `addr` message can have.
const MAX_PENDING: usize = 1000;

/// A source may use one of this many parts of all visits, until there is no other work.
const SHARES: usize = 8;

/// How many bits of an IPv6 address belong to the network that a provider gives to one customer, at most.
const PREFIX: u32 = 48;

/// The node that named an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    User,
    /// All nodes of an IPv4 address are one source, because one machine can listen at thousands of ports. So are all nodes
    /// of an IPv6 network of [`PREFIX`] bits, because one machine can have every address of such a network. The address is
    /// the first of the network.
    Remote(IpAddr),
    /// A node on this machine, where only its user can start nodes.
    Local(SocketAddr),
}

impl Source {
    pub fn node(address: SocketAddr) -> Self {
        match address.ip().to_canonical() {
            ip if ip.is_loopback() => Self::Local(address),
            IpAddr::V6(ip) => {
                let network = ip.to_bits() & (u128::MAX << (u128::BITS - PREFIX));
                Self::Remote(Ipv6Addr::from_bits(network).into())
            }
            ip => Self::Remote(ip),
        }
    }
}

#[derive(Default)]
struct Pending {
    addresses: VecDeque<SocketAddr>,
    /// How many visits this source has used.
    used: usize,
}

/// The addresses that wait to be visited.
pub struct Frontier {
    max: usize,
    share: usize,
    started: HashSet<SocketAddr>,
    sources: HashMap<Source, Pending>,
    /// The sources that have addresses, in the order of their turns.
    turns: VecDeque<Source>,
    /// The number of addresses of all sources together.
    waiting: usize,
}

impl Frontier {
    /// A frontier that returns at most `max` addresses.
    pub fn new(max: usize) -> Self {
        Self {
            max,
            share: (max / SHARES).max(1),
            started: HashSet::new(),
            sources: HashMap::new(),
            turns: VecDeque::new(),
            waiting: 0,
        }
    }

    /// Adds addresses that a source named. Those that exceed its limit are dropped.
    pub fn add(&mut self, source: Source, addresses: impl IntoIterator<Item = SocketAddr>) {
        let pending = self.sources.entry(source).or_default();
        let was_empty = pending.addresses.is_empty();
        for address in addresses {
            let new = !self.started.contains(&address) && !pending.addresses.contains(&address);
            if new && (pending.addresses.len() < MAX_PENDING || source == Source::User) {
                pending.addresses.push_back(address);
                self.waiting += 1;
            }
        }
        if was_empty && !pending.addresses.is_empty() {
            self.turns.push_back(source);
        }
    }

    /// The next address to visit. `idle` says that no visit is running, so that no other source can appear: then a
    /// source may use more than its share.
    pub fn next(&mut self, idle: bool) -> Option<SocketAddr> {
        if self.started.len() >= self.max {
            return None;
        }
        loop {
            for _ in 0..self.turns.len() {
                if let Some(address) = self.take_turn() {
                    return Some(address);
                }
            }
            if !idle || self.turns.is_empty() {
                return None;
            }
            self.share = self.share.saturating_mul(2);
        }
    }

    /// Gives the next source its turn.
    fn take_turn(&mut self) -> Option<SocketAddr> {
        let source = self.turns.pop_front()?;
        let pending = self.sources.get_mut(&source)?;
        if pending.used >= self.share && source != Source::User {
            self.turns.push_back(source);
            return None;
        }
        // Another source may have named it, too.
        while let Some(address) = pending.addresses.pop_front() {
            self.waiting -= 1;
            if self.started.insert(address) {
                pending.used += 1;
                if !pending.addresses.is_empty() {
                    self.turns.push_back(source);
                }
                return Some(address);
            }
        }
        None
    }

    /// The number of addresses that were returned, and of those that will be if no others are added. Addresses that
    /// several sources named are counted several times.
    pub fn total(&self) -> usize {
        (self.started.len() + self.waiting).min(self.max)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn address(subnet: u8, number: u16) -> SocketAddr {
        let [high, low] = number.to_be_bytes();
        SocketAddr::from(([11, subnet, high, low], 16111))
    }

    fn all(frontier: &mut Frontier, idle: bool) -> Vec<SocketAddr> {
        std::iter::from_fn(|| frontier.next(idle)).collect()
    }

    #[test]
    fn a_source_with_many_addresses_leaves_room_for_one_with_few() {
        let mut frontier = Frontier::new(100);
        frontier.add(Source::node(address(1, 1)), (0..1000).map(|number| address(2, number)));
        // The other source is still being visited.
        let early = all(&mut frontier, false).len();
        assert_eq!(early, 100 / SHARES);
        frontier.add(Source::node(address(3, 1)), (0..10).map(|number| address(4, number)));
        let late = all(&mut frontier, false);
        assert_eq!(late, (0..10).map(|number| address(4, number)).collect::<Vec<_>>());
        // Now nothing else is left, so the rest may be used.
        assert_eq!(early + late.len() + all(&mut frontier, true).len(), 100);
    }

    #[test]
    fn sources_take_turns() {
        let mut frontier = Frontier::new(1000);
        for subnet in 0..3 {
            frontier.add(Source::node(address(subnet, 0)), (1..4).map(|number| address(subnet, number)));
        }
        let expected = (1..4).flat_map(|number| (0..3).map(move |subnet| address(subnet, number)));
        assert_eq!(all(&mut frontier, false), expected.collect::<Vec<_>>());
    }

    #[test]
    fn an_address_is_returned_once_and_an_address_of_two_sources_at_the_turn_of_the_first() {
        let mut frontier = Frontier::new(1000);
        let named = address(9, 9);
        frontier.add(Source::node(address(1, 0)), (0..5).map(|number| address(1, number)).chain([named]));
        frontier.add(Source::node(address(2, 0)), [named, named]);
        let found = all(&mut frontier, true);
        assert_eq!(found.iter().position(|address| *address == named), Some(1));
        assert_eq!(found.len(), 6);
        frontier.add(Source::node(address(3, 0)), [named]);
        assert_eq!(frontier.next(true), None);
    }

    #[test]
    fn all_ports_of_one_machine_are_one_source() {
        let mut frontier = Frontier::new(80);
        for port in 1..100 {
            let source = Source::node(SocketAddr::from(([11, 0, 0, 1], port)));
            frontier.add(source, (0..100).map(|number| address(2, port * 100 + number)));
        }
        assert_eq!(all(&mut frontier, false).len(), 80 / SHARES);
    }

    #[test]
    fn all_addresses_of_one_ipv6_network_are_one_source() {
        let mut frontier = Frontier::new(80);
        for host in 1..100 {
            // All of 2600:0:1::/48, in 99 networks of 64 bits.
            let source = Source::node(SocketAddr::from(([0x2600, 0, 1, host, 0, 0, 0, host], 16111)));
            frontier.add(source, (0..100).map(|number| address(2, host * 100 + number)));
        }
        assert_eq!(all(&mut frontier, false).len(), 80 / SHARES);
        // Another network is another source, and an IPv4 address in IPv6 notation is that IPv4 address.
        for other in
            [[0x2600, 0, 2, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0xffff, 0x0b00, 1], [0, 0, 0, 0, 0, 0xffff, 0x0b00, 2]]
        {
            frontier.add(Source::node(SocketAddr::from((other, 16111))), [address(3, other[2] + other[7])]);
            assert_eq!(all(&mut frontier, false).len(), 1, "{other:x?}");
        }
    }

    #[test]
    fn a_source_has_no_more_than_its_pending_addresses() {
        let mut frontier = Frontier::new(usize::MAX);
        frontier.add(Source::node(address(1, 0)), (0..5000).map(|number| address(2, number)));
        assert_eq!((frontier.total(), all(&mut frontier, true).len()), (MAX_PENDING, MAX_PENDING));
        frontier.add(Source::User, (0..5000).map(|number| address(3, number)));
        assert_eq!(all(&mut frontier, false).len(), 5000);
    }
}
