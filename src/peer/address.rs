//! Who is at the other end.

use crate::wire::{NetAddress, ParseError, Sanitised, Services};
use std::{
    convert::Infallible,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

/// Which side made the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Direction {
    /// The remote dialled.
    Inbound,
    /// This side dialled.
    Outbound,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        })
    }
}

impl FromStr for Direction {
    type Err = ParseError;

    /// Takes `inbound` or `outbound`.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text {
            "inbound" => Ok(Self::Inbound),
            "outbound" => Ok(Self::Outbound),
            _ => Err(ParseError::new(text, "a direction", "inbound or outbound")),
        }
    }
}

/// The address a peer was dialled at, or connected from.
///
/// It need not be the socket's: behind a proxy it is the address that the proxy was asked for.
///
/// ```
/// use kaspa_peer::PeerAddress;
///
/// assert!(matches!(PeerAddress::from("203.0.113.7:16111"), PeerAddress::Ip(_)));
/// assert!(matches!(PeerAddress::from("node.example.org:16111"), PeerAddress::Host { port: 16111, .. }));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum PeerAddress {
    /// An IP address and a port.
    Ip(SocketAddr),
    /// A host name that somebody else resolves, or the name of something that is no internet address.
    Host {
        /// The name.
        host: String,
        /// The port; 0 where there is none.
        port: u16,
    },
}

impl PeerAddress {
    /// Whether the remote is on this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        matches!(self, Self::Ip(address) if address.ip().to_canonical().is_loopback())
    }

    /// The address as a `version` message tells it to its receiver. A configured proxy's address is never told.
    pub(crate) fn as_receiver(&self, proxy: Option<&str>) -> NetAddress {
        let unspecified = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        let (services, ip) = (Services::NETWORK, Ipv6Addr::UNSPECIFIED);
        match (self, proxy.map(proxy_host)) {
            (_, Some(None)) => NetAddress::new(unspecified, services),
            (address, Some(Some(proxy))) if address.comparable_host() == proxy => {
                NetAddress::new(unspecified, services)
            }
            (Self::Ip(address), _) => NetAddress::new(*address, services),
            (Self::Host { port, .. }, _) => NetAddress { services, ip, port: *port },
        }
    }

    /// The host without its port, the same however it is written.
    fn comparable_host(&self) -> String {
        match self {
            Self::Ip(address) => address.ip().to_canonical().to_string(),
            Self::Host { host, .. } => host.to_ascii_lowercase(),
        }
    }
}

/// The host of a `host:port`, to be compared; `None` when it is not one.
fn proxy_host(proxy: &str) -> Option<String> {
    if let Ok(address) = proxy.parse::<SocketAddr>() {
        return Some(PeerAddress::Ip(address).comparable_host());
    }
    let (host, port) = proxy.rsplit_once(':')?;
    (!host.is_empty() && !host.contains(':') && port.parse::<u16>().is_ok()).then(|| host.to_ascii_lowercase())
}

impl From<SocketAddr> for PeerAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address)
    }
}

impl From<&str> for PeerAddress {
    /// Takes `ip:port`, `host:port`, an IP address alone, whose port is 0, or any name.
    fn from(text: &str) -> Self {
        if let Ok(address) = text.parse() {
            return Self::Ip(address);
        }
        if let Ok(ip) = text.parse() {
            return Self::Ip(SocketAddr::new(ip, 0));
        }
        match text.split_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?))) {
            Some((host, port)) => Self::from((host, port)),
            None => Self::Host { host: text.to_owned(), port: 0 },
        }
    }
}

impl FromStr for PeerAddress {
    type Err = Infallible;

    /// As `PeerAddress::from`; anything is an address.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text.into())
    }
}

impl From<String> for PeerAddress {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<&String> for PeerAddress {
    fn from(text: &String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<(&str, u16)> for PeerAddress {
    fn from((host, port): (&str, u16)) -> Self {
        Self::from((host.to_owned(), port))
    }
}

impl From<(String, u16)> for PeerAddress {
    fn from((host, port): (String, u16)) -> Self {
        match host.parse::<IpAddr>() {
            Ok(ip) => Self::from((ip, port)),
            Err(_) => Self::Host { host, port },
        }
    }
}

impl From<(IpAddr, u16)> for PeerAddress {
    fn from(address: (IpAddr, u16)) -> Self {
        Self::Ip(address.into())
    }
}

impl From<&PeerAddress> for PeerAddress {
    fn from(address: &PeerAddress) -> Self {
        address.clone()
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            // The name may be hearsay.
            Self::Host { host, port: 0 } => Sanitised(host).fmt(f),
            Self::Host { host, port } => write!(f, "{}:{port}", Sanitised(host)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(address: &str, proxy: Option<&str>) -> (String, u16) {
        let receiver = PeerAddress::from(address).as_receiver(proxy);
        assert_eq!(receiver.services, Services::NETWORK);
        (receiver.ip.to_string(), receiver.port)
    }

    #[test]
    fn what_has_no_port_is_not_cut_at_a_colon() {
        for (text, ip) in [("::1", "::1"), ("2001:db8::7", "2001:db8::7"), ("127.0.0.1", "127.0.0.1")] {
            assert_eq!(PeerAddress::from(text), PeerAddress::from((ip, 0)));
        }
        assert!(PeerAddress::from("::1").is_loopback());
        for name in ["a:b:1", "unix:/run/node.sock", "name"] {
            assert_eq!(PeerAddress::from(name), PeerAddress::Host { host: name.to_owned(), port: 0 });
        }
        assert_eq!(PeerAddress::from("node:1"), PeerAddress::Host { host: "node".to_owned(), port: 1 });
    }

    #[test]
    fn the_remote_is_told_its_address() {
        assert_eq!(told("203.0.113.7:16111", None), ("::ffff:203.0.113.7".into(), 16111));
        assert_eq!(told("[2001:db8::1]:5", None), ("2001:db8::1".into(), 5));
        assert_eq!(told("203.0.113.7:16111", Some("127.0.0.1:9050")), ("::ffff:203.0.113.7".into(), 16111));
    }

    #[test]
    fn a_proxys_address_is_never_told() {
        let nothing = ("::ffff:0.0.0.0".into(), 0);
        assert_eq!(told("127.0.0.1:9050", Some("127.0.0.1:9050")), nothing);
        assert_eq!(told("203.0.113.7:16111", Some("not an address")), nothing);
        assert_eq!(told("node.onion:16111", Some("nonsense")), nothing);
    }

    #[test]
    fn a_host_name_is_told_as_its_port() {
        assert_eq!(told("node.example:16111", None), ("::".into(), 16111));
        assert_eq!(told("node.onion:16111", Some("127.0.0.1:9050")), ("::".into(), 16111));
    }
}
