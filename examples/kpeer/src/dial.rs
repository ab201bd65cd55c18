//! Dials an address or a host name, with the network's port if none is given, directly or through a proxy.

use crate::options::Failure;
use crate::socks5;
use clap::Args;
use crossbeam_channel::{Receiver, bounded, select};
use kaspa_peer::wire::Network;
use kaspa_peer::{ConfigBuilder, PeerAddress};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::time::Duration;
use std::{io, thread};

/// How long one address may take to answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a proxy may take until it is connected to the node. Tor needs longer than a direct connection.
const PROXY_TIMEOUT: Duration = Duration::from_secs(60);

/// The options of subcommands that dial.
#[derive(Args, Clone, Debug, Default)]
pub struct DialOptions {
    /// Dial through the SOCKS5 proxy there, 127.0.0.1:9050 for Tor; it resolves the names of nodes
    #[arg(long, value_name = "HOST:PORT", value_parser = proxy)]
    pub proxy: Option<String>,
}

impl DialOptions {
    /// Keeps the proxy's address out of our version message.
    pub fn configure(&self, builder: ConfigBuilder) -> ConfigBuilder {
        match &self.proxy {
            Some(proxy) => builder.proxy(proxy.as_str()),
            None => builder,
        }
    }

    /// Like [`dial`](Self::dial), but returns an error when `interrupted` is disconnected. The thread that dials ends
    /// later.
    pub fn dial_until(
        &self,
        interrupted: &Receiver<()>,
        text: &str,
        network: Network,
    ) -> io::Result<(TcpStream, PeerAddress)> {
        let (sender, dialled) = bounded(1);
        let (options, name) = (self.clone(), text.to_owned());
        thread::Builder::new().name("dial".into()).spawn(move || {
            // Nobody receives it after the signal.
            let _ = sender.try_send(options.dial(&name, network));
        })?;
        select! {
            recv(dialled) -> result => result.unwrap_or_else(|_| Err(io::Error::other("dialling panicked"))),
            recv(interrupted) -> _ => {
                Err(io::Error::new(io::ErrorKind::Interrupted, format!("interrupted while dialling {text}")))
            }
        }
    }

    /// Connects to the first of the name's addresses that answers.
    pub fn dial(&self, text: &str, network: Network) -> io::Result<(TcpStream, PeerAddress)> {
        let name = with_port(text, network)?;
        if let Some(proxy) = &self.proxy {
            let stream = through(proxy, &name, PROXY_TIMEOUT)
                .map_err(|error| io::Error::new(error.kind(), format!("{name} {error}")))?;
            return Ok((stream, name.parse().map_err(io::Error::other)?));
        }
        let mut last = io::Error::new(io::ErrorKind::NotFound, format!("{name}: no such address"));
        for address in resolve(&name)? {
            match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
                Ok(stream) => return Ok((stream, address.into())),
                Err(error) => last = io::Error::new(error.kind(), format!("{address}: {error}")),
            }
        }
        Err(last)
    }

    /// Connects to one address. The error does not name it.
    pub fn dial_address(&self, address: &SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
        match &self.proxy {
            Some(proxy) => through(proxy, &address.to_string(), timeout),
            None => TcpStream::connect_timeout(address, timeout)
                // The system's text has a number.
                .map_err(|error| io::Error::new(error.kind(), error.kind().to_string())),
        }
    }
}

fn through(proxy: &str, name: &str, timeout: Duration) -> io::Result<TcpStream> {
    socks5::connect(proxy, name, timeout)
        .map_err(|error| io::Error::new(error.kind(), format!("through the proxy {proxy}: {error}")))
}

/// Resolves a host and a port.
pub fn resolve(name: &str) -> io::Result<Vec<SocketAddr>> {
    let addresses = name.to_socket_addrs().map_err(|error| io::Error::new(error.kind(), format!("{name}: {error}")))?;
    Ok(addresses.collect())
}

/// Listens at an address, at the network's port if `text` has none.
pub fn listen(text: &str, network: Network) -> io::Result<TcpListener> {
    let name = with_port(text, network)?;
    TcpListener::bind(&name).map_err(|error| io::Error::new(error.kind(), format!("cannot listen at {name}: {error}")))
}

/// `text` with a port: its own, or else the network's.
pub fn with_port(text: &str, network: Network) -> io::Result<String> {
    let invalid = |error: String| io::Error::new(io::ErrorKind::InvalidInput, format!("{text}: {error}"));
    let (host, port) = split(text).map_err(invalid)?;
    let port = port.or(network.default_port());
    let port =
        port.ok_or_else(|| invalid(format!("no port is given, and the network {network} has no default port")))?;
    let is_ipv6 = host.contains(':');
    Ok(if is_ipv6 { format!("[{host}]:{port}") } else { format!("{host}:{port}") })
}

/// Checks an argument that is an address or a host name, with or without a port.
pub fn address(text: &str) -> Result<String, Failure> {
    split(text)?;
    Ok(text.to_owned())
}

/// Checks an argument that must have a port.
fn proxy(text: &str) -> Result<String, Failure> {
    match split(text)? {
        (_, Some(_)) => Ok(text.to_owned()),
        (_, None) => Err(format!("no port is given: write HOST:PORT, such as {text}:9050").into()),
    }
}

/// The host and the port of `HOST`, `HOST:PORT`, `IP`, `IPV6`, `[IPV6]` or `[IPV6]:PORT`. An IPv6 address is returned
/// without brackets.
fn split(text: &str) -> Result<(&str, Option<u16>), String> {
    if text.parse::<IpAddr>().is_ok() {
        return Ok((text, None));
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, "")) if host.parse::<Ipv6Addr>().is_ok() => (host, None),
            Some((host, rest)) if host.parse::<Ipv6Addr>().is_ok() && rest.starts_with(':') => (host, rest.get(1..)),
            _ => return Err("not an IPv6 address in brackets, with or without a port".into()),
        },
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let number =
        |port: &str| port.parse().map_err(|_| format!("the port is {port:?}, but must be a number from 0 to 65535"));
    let port = port.map(number).transpose()?;
    if host.is_empty() {
        return Err("no host is given; to listen, 0.0.0.0 stands for all addresses of this machine".into());
    }
    Ok((host, port))
}

/// The address at which others reach a listening socket: the loopback address if it listens on all addresses.
pub fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        ip if !ip.is_unspecified() => address,
        IpAddr::V4(_) => SocketAddr::from((Ipv4Addr::LOCALHOST, address.port())),
        IpAddr::V6(_) => SocketAddr::from((Ipv6Addr::LOCALHOST, address.port())),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_address_gets_the_port_of_the_network() {
        for (text, expected) in [
            ("203.0.113.7", "203.0.113.7:16511"),
            ("203.0.113.7:5", "203.0.113.7:5"),
            ("2001:db8::7", "[2001:db8::7]:16511"),
            ("[2001:db8::7]", "[2001:db8::7]:16511"),
            ("[2001:db8::7]:5", "[2001:db8::7]:5"),
            ("node.example", "node.example:16511"),
            ("node.example:0", "node.example:0"),
        ] {
            assert_eq!(with_port(text, Network::Simnet).unwrap(), expected);
        }
        let error = with_port("node.example", Network::Custom(0xcafe_0001)).unwrap_err().to_string();
        assert_eq!(error, "node.example: no port is given, and the network 0xcafe0001 has no default port");
    }

    #[test]
    fn a_bad_port_is_named() {
        for (text, port) in
            [("127.0.0.1:99999", "99999"), (":abc", "abc"), (":99999", "99999"), ("[::1]:-1", "-1"), ("node:", "")]
        {
            let error = address(text).unwrap_err().to_string();
            assert_eq!(error, format!("the port is {port:?}, but must be a number from 0 to 65535"));
        }
        for text in [":16111", "", "[node]:1", "[::1", "[::1]5"] {
            assert!(address(text).is_err(), "{text}");
        }
    }
}
