//! Dials by address or host name, with the network's port if none is given, directly or through a proxy.

use crate::socks5;
use clap::Args;
use kaspa_peer::wire::Network;
use kaspa_peer::{ConfigBuilder, PeerAddress};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

/// How long one address may take to answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a proxy may take until it is connected to the node. Tor needs longer than a direct connection.
const PROXY_TIMEOUT: Duration = Duration::from_secs(60);

/// The options of subcommands that dial.
#[derive(Args, Clone, Debug, Default)]
pub struct DialOptions {
    /// Dial through the SOCKS5 proxy there, 127.0.0.1:9050 for Tor; it resolves the names of nodes
    #[arg(long, value_name = "HOST:PORT")]
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

    /// Connects to the first of the name's addresses that answers.
    pub fn dial(&self, text: &str, network: Network) -> io::Result<(TcpStream, PeerAddress)> {
        let name = with_port(text, network);
        if let Some(proxy) = &self.proxy {
            let stream = self.through(proxy, &name, PROXY_TIMEOUT)?;
            return Ok((stream, name.parse().map_err(io::Error::other)?));
        }
        let mut last = io::Error::new(io::ErrorKind::NotFound, format!("{name}: no such address"));
        let addresses =
            name.to_socket_addrs().map_err(|error| io::Error::new(error.kind(), format!("{name}: {error}")))?;
        for address in addresses {
            match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
                Ok(stream) => return Ok((stream, address.into())),
                Err(error) => last = io::Error::new(error.kind(), format!("{address}: {error}")),
            }
        }
        Err(last)
    }

    /// Connects to one address.
    pub fn dial_address(&self, address: &SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
        match &self.proxy {
            Some(proxy) => self.through(proxy, &address.to_string(), timeout),
            None => TcpStream::connect_timeout(address, timeout),
        }
    }

    fn through(&self, proxy: &str, name: &str, timeout: Duration) -> io::Result<TcpStream> {
        socks5::connect(proxy, name, timeout)
            .map_err(|error| io::Error::new(error.kind(), format!("{name} through {proxy}: {error}")))
    }
}

/// `text` with a port: its own, or else the network's.
pub fn with_port(text: &str, network: Network) -> String {
    let port = network.default_port();
    let has_port = text.parse::<SocketAddr>().is_ok()
        || text.rsplit_once(':').is_some_and(|(host, port)| !host.contains(':') && port.parse::<u16>().is_ok());
    match (has_port, port, text.parse()) {
        (true, _, _) | (_, None, _) => text.to_owned(),
        (_, Some(port), Ok(ip)) => SocketAddr::new(ip, port).to_string(),
        (_, Some(port), Err(_)) => format!("{text}:{port}"),
    }
}

/// The address at which others reach a listening socket: the loopback address if it listens on all addresses.
pub fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        ip if !ip.is_unspecified() => address,
        IpAddr::V4(_) => SocketAddr::from(([127, 0, 0, 1], address.port())),
        IpAddr::V6(_) => SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], address.port())),
    }
}
