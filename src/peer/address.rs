//! The address of a remote, and the direction of a connection.

use crate::wire::{NetAddress, ParseError, Sanitised, Services, padded};
use std::{
    borrow::Cow,
    convert::Infallible,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

/// The side that dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Direction {
    /// The remote dialled this node.
    Inbound,
    /// This node dialled the remote.
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

/// The address that a remote was dialled at or connected from.
///
/// It can differ from the address of the socket: behind a proxy it is the address that the proxy was asked for.
///
/// Text is parsed by [`FromStr`] or [`TryFrom`]. These forms are accepted:
///
/// | text | becomes |
/// |---|---|
/// | `203.0.113.7:16111`, `[2001:db8::1]:16111` | an IP address with a port |
/// | `203.0.113.7`, `2001:db8::1`, `[2001:db8::1]` | an IP address with port 0 |
/// | `node.example.org:16111` | a host name with a port |
/// | `node.example.org`, `memory` | a name with port 0 |
/// | `unix:/run/node.sock` | a name with port 0: everything that begins with `unix:` |
///
/// ```
/// use kaspa_peer::PeerAddress;
///
/// let address: PeerAddress = "203.0.113.7:16111".parse()?;
/// assert!(matches!(address, PeerAddress::Ip(_)));
///
/// let address: PeerAddress = "node.example.org:16111".parse()?;
/// assert_eq!((address.host().as_ref(), address.port(), address.ip()), ("node.example.org", 16111, None));
///
/// let error = "node.example.org:70000".parse::<PeerAddress>().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "\"node.example.org:70000\" is not an address: expected a port from 0 to 65535 after the colon"
/// );
/// # Ok::<(), kaspa_peer::wire::ParseError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum PeerAddress {
    /// An IP address and a port.
    Ip(SocketAddr),
    /// A host name, which a proxy or the program resolves, or the name of something that has no internet address.
    Host {
        /// The name.
        host: String,
        /// The port, or 0 if there is none.
        port: u16,
    },
}

impl PeerAddress {
    /// Returns whether the remote is on this machine: a loopback IP address, or the name `localhost` in any case.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Ip(address) => address.ip().to_canonical().is_loopback(),
            Self::Host { host, .. } => host.eq_ignore_ascii_case("localhost"),
        }
    }

    /// The IP address; `None` for a name.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(address) => Some(address.ip()),
            Self::Host { .. } => None,
        }
    }

    /// The IP address, without brackets, or the name, without a port.
    #[must_use]
    pub fn host(&self) -> Cow<'_, str> {
        match self {
            Self::Ip(address) => address.ip().to_string().into(),
            Self::Host { host, .. } => host.into(),
        }
    }

    /// The port, or 0 if there is none.
    #[must_use]
    pub fn port(&self) -> u16 {
        match self {
            Self::Ip(address) => address.port(),
            Self::Host { port, .. } => *port,
        }
    }

    /// The receiver's address in our `version` message. Never the address of the configured proxy.
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

    /// The host without its port, in a form in which equal hosts are equal.
    fn comparable_host(&self) -> String {
        match self {
            Self::Ip(address) => address.ip().to_canonical().to_string(),
            Self::Host { host, .. } => host.to_ascii_lowercase(),
        }
    }
}

/// The host of a proxy that is written `host:port`, in the form of `comparable_host`. `None` if it is not written so.
pub(super) fn proxy_host(proxy: &str) -> Option<String> {
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

impl FromStr for PeerAddress {
    type Err = ParseError;

    /// Parses one of the forms in the [type's documentation](Self).
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let refuse = |expected| Err(ParseError::new(text, "an address", expected));
        if let Ok(address) = text.parse() {
            return Ok(Self::Ip(address));
        }
        if let Some(ip) = parse_ip(text) {
            return Ok(Self::Ip(SocketAddr::new(ip, 0)));
        }
        if text.strip_prefix("unix:").is_some_and(|path| !path.is_empty()) {
            return Ok(Self::Host { host: text.to_owned(), port: 0 });
        }
        let Some((host, port)) = text.rsplit_once(':') else {
            return match text {
                "" => refuse("a host, or a host and a port, such as 203.0.113.7:16111"),
                name => Ok(Self::Host { host: name.to_owned(), port: 0 }),
            };
        };
        if host.is_empty() {
            return refuse("a host before the colon");
        }
        // Rust also parses a number with a plus sign.
        let port = port.parse().ok().filter(|_| port.bytes().all(|byte| byte.is_ascii_digit()));
        let Some(port) = port else { return refuse("a port from 0 to 65535 after the colon") };
        if host.contains(':') {
            return refuse("an IPv6 address in brackets, such as [2001:db8::1]:16111, or a name without a colon");
        }
        Ok(Self::Host { host: host.to_owned(), port })
    }
}

/// An IP address without a port. An IPv6 address may have brackets.
fn parse_ip(text: &str) -> Option<IpAddr> {
    match text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        Some(ip) => ip.parse().ok().map(IpAddr::V6),
        None => text.parse().ok(),
    }
}

impl TryFrom<&str> for PeerAddress {
    type Error = ParseError;

    fn try_from(text: &str) -> Result<Self, ParseError> {
        text.parse()
    }
}

impl TryFrom<String> for PeerAddress {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Self, ParseError> {
        text.parse()
    }
}

impl TryFrom<&String> for PeerAddress {
    type Error = ParseError;

    fn try_from(text: &String) -> Result<Self, ParseError> {
        text.parse()
    }
}

/// So that a function that takes `impl TryInto<PeerAddress, Error: Into<ParseError>>` takes a [`SocketAddr`] as well.
impl From<Infallible> for ParseError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl From<(&str, u16)> for PeerAddress {
    fn from((host, port): (&str, u16)) -> Self {
        Self::from((host.to_owned(), port))
    }
}

impl From<(String, u16)> for PeerAddress {
    fn from((host, port): (String, u16)) -> Self {
        match parse_ip(&host) {
            Some(ip) => Self::from((ip, port)),
            None => Self::Host { host, port },
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
            // Another node may have told the name to the program.
            Self::Host { host, port: 0 } => Sanitised(host).fmt(f),
            Self::Host { host, port } => padded(f, |f| write!(f, "{}:{port}", Sanitised(host))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> PeerAddress {
        text.parse().unwrap()
    }

    fn receiver(address: &str, proxy: Option<&str>) -> (String, u16) {
        let receiver = parse(address).as_receiver(proxy);
        assert_eq!(receiver.services, Services::NETWORK);
        (receiver.ip.to_string(), receiver.port)
    }

    #[test]
    fn ip_addresses_need_no_port() {
        let texts = [("::1", "::1"), ("[::1]", "::1"), ("2001:db8::7", "2001:db8::7"), ("127.0.0.1", "127.0.0.1")];
        for (text, ip) in texts {
            assert_eq!(parse(text), PeerAddress::from((ip, 0)), "{text}");
            assert_eq!(parse(text).ip(), ip.parse().ok());
        }
        assert_eq!(PeerAddress::from(("[::1]", 7)), parse("[::1]:7"));
    }

    #[test]
    fn names_without_an_internet_address_are_addresses() {
        for name in ["unix:/run/node.sock", "unix:/a:b:1", "name", "a local program"] {
            assert_eq!(parse(name), PeerAddress::Host { host: name.to_owned(), port: 0 });
        }
        assert_eq!(parse("node:1"), PeerAddress::Host { host: "node".to_owned(), port: 1 });
    }

    #[test]
    fn a_bad_port_an_empty_host_and_an_empty_text_are_refused() {
        let (port, host) = ("expected a port from 0 to 65535", "expected a host before the colon");
        for (text, expected) in [
            ("127.0.0.1:70000", port),
            ("127.0.0.1:16111 ", port),
            ("[::1]:x", port),
            ("[::1]:", port),
            ("node.example:", port),
            ("node.example:+7", port),
            ("node.example:-1", port),
            ("unix:", port),
            (":16111", host),
            (":", host),
            ("", "expected a host, or a host and a port"),
            ("a:b:1", "expected an IPv6 address in brackets"),
            ("http://node.example:80", "expected an IPv6 address in brackets"),
        ] {
            let error = text.parse::<PeerAddress>().unwrap_err().to_string();
            assert!(error.contains(expected) && error.starts_with(&format!("{text:?} is not an address")), "{error}");
        }
    }

    #[test]
    fn localhost_and_the_ipv6_loopback_address_are_on_this_machine() {
        for local in
            ["127.0.0.1:1", "127.9.9.9", "localhost:1", "LocalHost", "[::1]:1", "[::1]", "::1", "[::ffff:127.0.0.1]:1"]
        {
            assert!(parse(local).is_loopback(), "{local}");
        }
        for other in ["203.0.113.7:1", "localhost.example:1", "[::2]", "unix:localhost"] {
            assert!(!parse(other).is_loopback(), "{other}");
        }
        assert!(PeerAddress::from(("[::1]", 1)).is_loopback());
    }

    #[test]
    fn host_and_port_are_the_parts() {
        for (text, host, port) in
            [("[2001:db8::1]:5", "2001:db8::1", 5), ("node:7", "node", 7), ("unix:/a", "unix:/a", 0)]
        {
            assert_eq!((parse(text).host().as_ref(), parse(text).port()), (host, port));
        }
    }

    #[test]
    fn addresses_and_directions_are_padded() {
        for text in ["1.2.3.4:5", "node:7", "memory"] {
            assert_eq!(format!("{:>12}|", parse(text)), format!("{text:>12}|"));
            assert_eq!(format!("{:<12}|", parse(text)), format!("{text:<12}|"));
        }
        assert_eq!(format!("{:^9}|", Direction::Inbound), " inbound |");
    }

    #[test]
    fn an_ip_address_is_told_to_the_remote() {
        assert_eq!(receiver("203.0.113.7:16111", None), ("::ffff:203.0.113.7".into(), 16111));
        assert_eq!(receiver("[2001:db8::1]:5", None), ("2001:db8::1".into(), 5));
        assert_eq!(receiver("203.0.113.7:16111", Some("127.0.0.1:9050")), ("::ffff:203.0.113.7".into(), 16111));
    }

    #[test]
    fn the_address_of_a_proxy_is_never_told_to_the_remote() {
        let nothing = ("::ffff:0.0.0.0".into(), 0);
        assert_eq!(receiver("127.0.0.1:9050", Some("127.0.0.1:9050")), nothing);
        assert_eq!(receiver("203.0.113.7:16111", Some("not an address")), nothing);
        assert_eq!(receiver("node.onion:16111", Some("nonsense")), nothing);
    }

    #[test]
    fn of_a_host_name_only_the_port_is_told_to_the_remote() {
        assert_eq!(receiver("node.example:16111", None), ("::".into(), 16111));
        assert_eq!(receiver("node.onion:16111", Some("127.0.0.1:9050")), ("::".into(), 16111));
    }
}
