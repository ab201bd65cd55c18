//! Dialling: from a host name to a peer whose handshake is done.

use super::{Config, Peer, PeerAddress, StartError, WaitError};
use crossbeam_channel::{RecvTimeoutError, bounded};
use std::{
    fmt, io,
    net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs},
    thread,
    time::{Duration, Instant},
};
use thiserror::Error;

/// The reason [`Peer::connect`] returned no peer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The address is not `host`, `host:port`, an IP address, or an IP address with a port. Also returned if the port
    /// is 0, and if the address has no port and the network has no default port.
    #[error("not an address: {text:?}: write host:port, such as 127.0.0.1:16111 or [::1]:16111")]
    Address {
        /// The address that was given.
        text: String,
    },
    /// The host name could not be resolved, or not within the timeout.
    #[error("cannot resolve {host}: {error}")]
    Resolve {
        /// The host name.
        host: String,
        /// The error of the system's resolver.
        error: io::Error,
    },
    /// The host has addresses, but connecting to each of the tried addresses failed.
    #[error("cannot connect to {host}: {}", Attempts(.attempts))]
    Failed {
        /// The host as it was given.
        host: String,
        /// The addresses that were tried, in order, and the error of each.
        attempts: Vec<(SocketAddr, AttemptError)>,
    },
    /// The timeout passed before an address could be tried.
    #[error("cannot connect to {host} within {timeout:?}")]
    Timeout {
        /// The host as it was given.
        host: String,
        /// The timeout.
        timeout: Duration,
    },
}

/// The step of [`Peer::connect`] that failed for one address, with its error.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AttemptError {
    /// The TCP connection could not be opened.
    #[error("the TCP connection failed: {0}")]
    Tcp(io::Error),
    /// The peer could not be started.
    #[error(transparent)]
    Start(StartError),
    /// The handshake failed, or was not done in time.
    #[error("the handshake failed: {0}")]
    Handshake(WaitError),
}

/// The attempts in one line.
struct Attempts<'a>(&'a [(SocketAddr, AttemptError)]);

impl fmt::Display for Attempts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (address, error)) in self.0.iter().enumerate() {
            let separator = if number == 0 { "" } else { "; " };
            write!(f, "{separator}{address}: {error}")?;
        }
        Ok(())
    }
}

impl Peer {
    /// Dials a node and waits until the handshake is done.
    ///
    /// `address` is `host`, `host:port`, an IP address, or an IP address with a port. If the address has no port, this
    /// method uses the default port of the network. A custom network has no default port. If the address has a host
    /// name, this method resolves it and tries the addresses of the host one after the other. `timeout` limits
    /// resolving, connecting and the handshake together.
    ///
    /// Use [`outbound`](Self::outbound) for a proxy, for a stream of your own, or to use the peer before the handshake is done.
    ///
    /// ```
    /// use kaspa_peer::{Config, Peer, wire::Network};
    /// use std::net::TcpListener;
    /// use std::time::Duration;
    ///
    /// # let other = Config::builder(Network::Simnet).build()?;
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let address = listener.local_addr()?.to_string();
    /// # let node = std::thread::spawn(move || {
    /// #     let (stream, from) = listener.accept().unwrap();
    /// #     Peer::inbound(stream, from, &other).unwrap().wait_for_disconnect()
    /// # });
    /// let config = Config::builder(Network::Simnet).build()?;
    /// let peer = Peer::connect(&address, Duration::from_secs(10), &config)?;
    /// assert!(peer.is_handshake_done());
    /// # drop(peer);
    /// # let _ = node.join();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConnectError`] if no peer could be connected. [`ConnectError::Failed`] says for each address that was tried
    /// which step failed.
    pub fn connect(address: &str, timeout: Duration, config: &Config) -> Result<Self, ConnectError> {
        let deadline = Instant::now().checked_add(timeout);
        let (host, port) = split(address).ok_or_else(|| ConnectError::Address { text: address.to_owned() })?;
        let port = port.unwrap_or_else(|| config.network().default_port().unwrap_or_default());
        if port == 0 {
            return Err(ConnectError::Address { text: address.to_owned() });
        }
        let out_of_time = || ConnectError::Timeout { host: address.to_owned(), timeout };
        let left = || match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
            Some(Duration::ZERO) => None,
            Some(left) => Some(left),
            None => Some(Duration::MAX),
        };
        let addresses = resolve(host, port, left().ok_or_else(out_of_time)?)
            .map_err(|error| ConnectError::Resolve { host: host.to_owned(), error })?;
        let mut attempts = Vec::new();
        for socket_address in addresses {
            let Some(left) = left() else { break };
            let name = match host.parse::<IpAddr>() {
                Ok(_) => PeerAddress::Ip(socket_address),
                Err(_) => PeerAddress::from((host, port)),
            };
            match attempt(socket_address, name, left, deadline, config) {
                Ok(peer) => return Ok(peer),
                Err(error) => attempts.push((socket_address, error)),
            }
        }
        if attempts.is_empty() {
            return Err(out_of_time());
        }
        Err(ConnectError::Failed { host: address.to_owned(), attempts })
    }
}

fn attempt(
    address: SocketAddr,
    name: PeerAddress,
    left: Duration,
    deadline: Option<Instant>,
    config: &Config,
) -> Result<Peer, AttemptError> {
    let stream = TcpStream::connect_timeout(&address, left).map_err(AttemptError::Tcp)?;
    let peer = Peer::outbound(stream, name, config).map_err(AttemptError::Start)?;
    let timeout = deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(Instant::now()));
    peer.wait_for_handshake_timeout(timeout).map_err(AttemptError::Handshake)?;
    Ok(peer)
}

/// Splits an address into its host and its port, if it has one. IPv6 addresses with a port are in brackets.
fn split(text: &str) -> Option<(&str, Option<u16>)> {
    if text.parse::<IpAddr>().is_ok() {
        return Some((text, None));
    }
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        let port = match rest.strip_prefix(':') {
            Some(port) => Some(port.parse().ok()?),
            None if rest.is_empty() => None,
            None => return None,
        };
        return host.parse::<IpAddr>().is_ok().then_some((host, port));
    }
    match text.split_once(':') {
        Some((host, port)) if !host.is_empty() => Some((host, Some(port.parse().ok()?))),
        None if !text.is_empty() => Some((text, None)),
        _ => None,
    }
}

/// Returns the addresses of a host. The system's resolver has no timeout, so it runs on a thread of its own, which
/// exits when the resolver returns.
fn resolve(host: &str, port: u16, timeout: Duration) -> io::Result<Vec<SocketAddr>> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let (sender, resolved) = bounded(1);
    let host = host.to_owned();
    thread::Builder::new().name("kpeer-resolve".to_owned()).spawn(move || {
        let addresses = (host.as_str(), port).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
        // Fails after the timeout, when the receiver is dropped.
        let _ = sender.try_send(addresses);
    })?;
    let addresses = match resolved.recv_timeout(timeout) {
        Ok(addresses) => addresses?,
        Err(RecvTimeoutError::Timeout) => return Err(io::ErrorKind::TimedOut.into()),
        Err(RecvTimeoutError::Disconnected) => return Err(io::Error::other("the resolver panicked")),
    };
    if addresses.is_empty() { Err(io::Error::other("the host has no address")) } else { Ok(addresses) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_split_into_host_and_port() {
        for (text, expected) in [
            ("127.0.0.1:16111", Some(("127.0.0.1", Some(16111)))),
            ("127.0.0.1", Some(("127.0.0.1", None))),
            ("[::1]:5", Some(("::1", Some(5)))),
            ("[::1]", Some(("::1", None))),
            ("2001:db8::7", Some(("2001:db8::7", None))),
            ("node.example", Some(("node.example", None))),
            ("node.example:1", Some(("node.example", Some(1)))),
            ("node.example:70000", None),
            ("node.example:", None),
            (":1", None),
            ("[::1]x", None),
            ("[node]:1", None),
            ("", None),
        ] {
            assert_eq!(split(text), expected, "{text:?}");
        }
    }
}
