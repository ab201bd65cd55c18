//! Network addresses, and the messages that ask for and carry them.

use super::codec::{Codec, Cursor, Put, check_count, varint_size};
use super::subnetwork::{choice_size, read_choice, write_choice};
use super::{DecodeError, EncodeError, Services, SubnetworkId};
use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Where a node can be reached, and what it offers there.
///
/// IPv4 addresses are kept IPv4-mapped, as on the wire; [`socket_addr`](Self::socket_addr) gives them as people write
/// them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct NetAddress {
    /// What the node offers.
    pub services: Services,
    /// Its IP address; IPv4 as `::ffff:a.b.c.d`.
    pub ip: Ipv6Addr,
    /// Its port.
    pub port: u16,
}

impl NetAddress {
    pub(crate) const SIZE: usize = 26;

    /// The address of a node that offers `services`.
    #[must_use]
    pub fn new(address: SocketAddr, services: Services) -> Self {
        let ip = match address.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        Self { services, ip, port: address.port() }
    }

    /// The address to dial, IPv4 where it is one.
    #[must_use]
    pub fn socket_addr(&self) -> SocketAddr {
        SocketAddr::new(self.ip.to_canonical(), self.port)
    }
}

impl From<SocketAddr> for NetAddress {
    /// The address of a node that offers no services.
    fn from(address: SocketAddr) -> Self {
        Self::new(address, Services::empty())
    }
}

impl Default for NetAddress {
    /// Nowhere, as a `version` message gives an address that is not known: unspecified, with port 0 and no services.
    fn default() -> Self {
        Self { services: Services::empty(), ip: Ipv6Addr::UNSPECIFIED, port: 0 }
    }
}

impl fmt::Display for NetAddress {
    /// The address to dial.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket_addr().fmt(f)
    }
}

impl Codec for NetAddress {
    fn read(input: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            services: Services::from_bits_retain(input.u64("services")?),
            ip: Ipv6Addr::from(*input.array::<16>("ip address")?),
            port: input.u16_be("port")?,
        })
    }

    fn size(&self) -> usize {
        Self::SIZE
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.put_u64(self.services.bits());
        out.put_bytes(&self.ip.octets());
        out.put_u16_be(self.port);
    }
}

/// An address with the time at which it was last known to work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct TimedAddress {
    /// When it was last seen, in unix seconds, by the sender's clock.
    pub time: i64,
    /// The address.
    pub address: NetAddress,
}

impl TimedAddress {
    pub(crate) const SIZE: usize = 8 + NetAddress::SIZE;

    /// An address that works now, by this machine's clock.
    ///
    /// Takes a [`NetAddress`], or a [`SocketAddr`] for a node that offers no services.
    ///
    /// ```
    /// use kaspa_peer::wire::{Addr, AddressScope, NetAddress, Services, TimedAddress};
    /// use std::net::SocketAddr;
    ///
    /// let address: SocketAddr = "192.0.2.1:16111".parse()?;
    /// let node = TimedAddress::now(NetAddress::new(address, Services::NETWORK));
    /// let addr = Addr { scope: AddressScope::All, addresses: vec![node, TimedAddress::now(address)] };
    /// # assert!(addr.addresses.iter().all(|node| node.time > 1_577_836_800));
    /// # Ok::<(), std::net::AddrParseError>(())
    /// ```
    #[must_use]
    pub fn now(address: impl Into<NetAddress>) -> Self {
        Self { time: unix_time(SystemTime::now()), address: address.into() }
    }
}

/// A time in unix seconds, rounded towards 1970.
pub(super) fn unix_time(time: SystemTime) -> i64 {
    let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => seconds(after),
        Err(before) => -seconds(before.duration()),
    }
}

impl Codec for TimedAddress {
    fn read(input: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        Ok(Self { time: input.i64("last seen")?, address: NetAddress::read(input)? })
    }

    fn size(&self) -> usize {
        Self::SIZE
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.put_i64(self.time);
        self.address.write(out);
    }
}

/// Which nodes' addresses are meant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum AddressScope {
    /// Those of every subnetwork.
    #[default]
    All,
    /// Those of full nodes.
    FullNodes,
    /// Those of partial nodes of one subnetwork.
    Subnetwork(SubnetworkId),
}

impl From<Option<SubnetworkId>> for AddressScope {
    /// The scope of nodes like one of this subnetwork, `None` being a full node.
    fn from(subnetwork: Option<SubnetworkId>) -> Self {
        subnetwork.map_or(Self::FullNodes, Self::Subnetwork)
    }
}

impl AddressScope {
    fn choice(self) -> Option<Option<SubnetworkId>> {
        match self {
            Self::All => None,
            Self::FullNodes => Some(None),
            Self::Subnetwork(id) => Some(Some(id)),
        }
    }
}

impl Codec for AddressScope {
    fn read(input: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        if input.bool("include all subnetworks")? { Ok(Self::All) } else { read_choice(input).map(Self::from) }
    }

    fn size(&self) -> usize {
        1 + self.choice().map_or(0, choice_size)
    }

    fn write(&self, out: &mut Vec<u8>) {
        let choice = self.choice();
        out.put_bool(choice.is_none());
        if let Some(choice) = choice {
            write_choice(choice, out);
        }
    }
}

/// `getaddr`: asks for addresses of other nodes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct GetAddr {
    /// Which nodes are asked for.
    pub scope: AddressScope,
}

impl GetAddr {
    /// Asks for nodes of every subnetwork.
    #[must_use]
    pub const fn all() -> Self {
        Self { scope: AddressScope::All }
    }
}

impl Codec for GetAddr {
    fn read(input: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        AddressScope::read(input).map(|scope| Self { scope })
    }

    fn size(&self) -> usize {
        self.scope.size()
    }

    fn write(&self, out: &mut Vec<u8>) {
        self.scope.write(out);
    }
}

/// `addr`: addresses of other nodes, at most [`MAX`](Self::MAX).
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Addr {
    /// Which nodes these are.
    pub scope: AddressScope,
    /// The addresses.
    pub addresses: Vec<TimedAddress>,
}

impl Addr {
    /// The most addresses one message can carry.
    pub const MAX: usize = 1000;
}

impl Codec for Addr {
    fn read(input: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let scope = AddressScope::read(input)?;
        let count = input.count("addresses", Self::MAX as u64)?;
        let addresses = input.list(count, TimedAddress::SIZE, TimedAddress::read)?;
        Ok(Self { scope, addresses })
    }

    fn size(&self) -> usize {
        self.scope.size() + varint_size(self.addresses.len() as u64) + self.addresses.len() * TimedAddress::SIZE
    }

    fn check(&self) -> Result<(), EncodeError> {
        check_count("addresses", self.addresses.len(), Self::MAX as u64)
    }

    fn write(&self, out: &mut Vec<u8>) {
        self.scope.write(out);
        out.put_varint(self.addresses.len() as u64);
        self.addresses.iter().for_each(|address| address.write(out));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_address_becomes_one_without_services_and_back() {
        for text in ["192.0.2.1:16111", "[2001:db8::1]:7"] {
            let address: SocketAddr = text.parse().unwrap();
            let node = NetAddress::from(address);
            assert_eq!((node.services, node.socket_addr()), (Services::empty(), address));
            assert_eq!(format!("{node:>20}|"), format!("{text:>20}|"));
        }
    }

    #[test]
    fn times_are_in_unix_seconds_on_both_sides_of_1970() {
        let after = |millis| UNIX_EPOCH + Duration::from_millis(millis);
        assert_eq!([after(0), after(1999), after(2000)].map(unix_time), [0, 1, 2]);
        assert_eq!(unix_time(UNIX_EPOCH - Duration::from_secs(5)), -5);
        let before = SystemTime::now();
        let time = TimedAddress::now(NetAddress::default()).time;
        assert!((unix_time(before)..=unix_time(SystemTime::now())).contains(&time));
    }
}
