//! Dialling, by address or name, with the network's port unless another is given.

use kaspa_peer::PeerAddress;
use kaspa_peer::wire::Network;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

/// How long one address may take to answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

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

/// Connects to the first of the name's addresses that answers.
#[allow(dead_code)] // `socks5` leaves this to the proxy.
pub fn dial(text: &str, network: Network) -> io::Result<(TcpStream, PeerAddress)> {
    let name = with_port(text, network);
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no such address");
    for address in name.to_socket_addrs().map_err(|error| io::Error::new(error.kind(), format!("{name}: {error}")))? {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(stream) => return Ok((stream, address.into())),
            Err(error) => last = io::Error::new(error.kind(), format!("{address}: {error}")),
        }
    }
    Err(last)
}

/// An address that listens, as somebody else can be told of it: this machine's own when it listens on all.
#[allow(dead_code)] // Only `listen` does.
pub fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        ip if !ip.is_unspecified() => address,
        IpAddr::V4(_) => SocketAddr::from(([127, 0, 0, 1], address.port())),
        IpAddr::V6(_) => SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], address.port())),
    }
}
