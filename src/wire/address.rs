//! Network addresses, and the messages `getaddr` and `addr`.

use super::codec::{Codec, Cursor, Put, check_count, varint_size};
use super::error::{DecodeError, EncodeError};
use super::services::Services;
use super::subnetwork::{SubnetworkId, choice_size, read_choice, write_choice};
use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The address of a node, and the services that it offers.
///
/// An IPv4 address is stored as an IPv4-mapped IPv6 address, as on the wire. [`socket_addr`](Self::socket_addr)
/// converts it back. Make one with [`NetAddress::new`], or from a [`SocketAddr`] with `into()`, without services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct NetAddress {
    /// The services that the node offers.
    pub services: Services,
    /// The IP address. IPv4 is `::ffff:a.b.c.d`.
    pub ip: Ipv6Addr,
    /// The TCP port.
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

    /// The address to dial. An IPv4-mapped address becomes an IPv4 address.
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
    /// The unspecified IPv6 address with port 0 and no services. A `version` message has it in place of an unknown
    /// address.
    fn default() -> Self {
        Self { services: Services::empty(), ip: Ipv6Addr::UNSPECIFIED, port: 0 }
    }
}

impl fmt::Display for NetAddress {
    /// Writes the address to dial, without the services.
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

/// The address of a node, with the time at which it last worked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct TimedAddress {
    /// The time at which the address last worked, in unix seconds, by the sender's clock. kaspad changes a time more
    /// than ten minutes ahead to five days ago.
    pub time: i64,
    /// The address and services.
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

/// The nodes whose addresses a `getaddr` asks for or an `addr` has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum AddressScope {
    /// All nodes.
    #[default]
    All,
    /// Full nodes.
    FullNodes,
    /// Partial nodes of one subnetwork.
    Subnetwork(SubnetworkId),
}

impl From<Option<SubnetworkId>> for AddressScope {
    /// The nodes of a subnetwork, or full nodes for `None`.
    fn from(subnetwork: Option<SubnetworkId>) -> Self {
        subnetwork.map_or(Self::FullNodes, Self::Subnetwork)
    }
}

impl AddressScope {
    /// The subnetwork choice that goes over the wire. `None` for all nodes, where it is left out.
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

/// `getaddr`: asks for addresses of other nodes. The answer is an [`Addr`].
///
/// kaspad answers only nodes that dialled it, once per connection, and never on Simnet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct GetAddr {
    /// The nodes that are asked for.
    pub scope: AddressScope,
}

impl GetAddr {
    /// Asks for all nodes.
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

/// `addr`: addresses of other nodes.
///
/// kaspad disconnects if it receives an empty list, [`AddressScope::All`], or a foreign subnetwork.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Addr {
    /// The nodes whose addresses follow.
    pub scope: AddressScope,
    /// The addresses, at most [`MAX`](Self::MAX).
    pub addresses: Vec<TimedAddress>,
}

impl Addr {
    /// The most addresses that one message can carry, by the protocol.
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
    fn a_socket_address_converts_there_and_back() {
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
