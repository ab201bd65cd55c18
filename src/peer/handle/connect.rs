//! Dialling: from a host name to a peer whose handshake is done.

use crate::peer::address::PeerAddress;
use crate::peer::config::Config;
use crate::peer::disconnect::DisconnectReason;
use crate::peer::error::{StartError, WaitError};
use crate::peer::handle::Peer;
use crate::wire::{Network, ParseError};
use crossbeam_channel::{RecvTimeoutError, bounded};
use std::{
    fmt, io,
    net::{SocketAddr, TcpStream, ToSocketAddrs},
    thread,
    time::{Duration, Instant},
};
use thiserror::Error;

/// The reason [`Peer::connect`] returned no peer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The address does not parse, see [`PeerAddress`], or is the path of a Unix socket.
    #[error(transparent)]
    Address(ParseError),
    /// The address has no port, and the network has no default port, because it is a custom network.
    #[error("{host} has no port, and the network {network} has no default port: write host:port")]
    NoPort {
        /// The host as it was given.
        host: String,
        /// The network of the configuration.
        network: Network,
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
    #[error("cannot connect to {}", Attempts(.host, .attempts))]
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
    #[error("{}", HandshakeFailure(.0))]
    Handshake(WaitError),
}

/// The host and the attempts in one line. The host is left out if it is an IP address and there was one attempt,
/// because the attempt shows that address.
struct Attempts<'a>(&'a str, &'a [(SocketAddr, AttemptError)]);

impl fmt::Display for Attempts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(host, attempts) = self;
        if let [(address, error)] = attempts
            && matches!(host.parse(), Ok(PeerAddress::Ip(given)) if given.ip() == address.ip())
        {
            return write!(f, "{address}: {error}");
        }
        write!(f, "{host}: ")?;
        for (number, (address, error)) in attempts.iter().enumerate() {
            let separator = if number == 0 { "" } else { "; " };
            write!(f, "{separator}{address}: {error}")?;
        }
        Ok(())
    }
}

/// Displays the error of a handshake. Adds "handshake failed" only if the text of the error does not mention the
/// handshake already.
struct HandshakeFailure<'a>(&'a WaitError);

impl fmt::Display for HandshakeFailure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            WaitError::Closed(reason @ DisconnectReason::Handshake(_)) => write!(f, "{reason}"),
            WaitError::Closed(reason) => write!(f, "handshake failed: {reason}"),
            error => write!(f, "{error}"),
        }
    }
}

impl Peer {
    /// Dials a node and waits until the handshake is done.
    ///
    /// `address` is text, a [`SocketAddr`] or a [`PeerAddress`], and is read as a `PeerAddress`: `host`, `host:port`,
    /// an IP address, or an IP address with a port. Without a port, or with port 0, this method uses the default port
    /// of the network; a custom network has none. A host name is resolved, and its addresses are tried one after the
    /// other.
    ///
    /// `timeout` limits resolving, connecting and the handshake together. The call cannot be cancelled. A program that
    /// must be able to stop soon passes a short timeout, or calls this method on a thread of its own.
    ///
    /// For each address that accepts the TCP connection, this method starts a peer. If the handshake of that peer
    /// fails, the listener gets [`on_disconnect`](crate::Listener::on_disconnect) for it, in addition to the error that
    /// this method returns.
    ///
    /// Use [`outbound`](Self::outbound) for a proxy, for a stream of your own, or to use the peer before the handshake
    /// is done.
    ///
    /// ```
    /// use kaspa_peer::{Config, Peer, wire::Network};
    /// use std::net::TcpListener;
    /// use std::time::Duration;
    ///
    /// # let other = Config::builder(Network::Simnet).build()?;
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let address = listener.local_addr()?;
    /// # let node = std::thread::spawn(move || {
    /// #     let (stream, from) = listener.accept().unwrap();
    /// #     Peer::inbound(stream, from, &other).unwrap().wait_for_disconnect()
    /// # });
    /// let config = Config::builder(Network::Simnet).build()?;
    /// let peer = Peer::connect(address, Duration::from_secs(10), &config)?;
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
    pub fn connect(address: impl fmt::Display, timeout: Duration, config: &Config) -> Result<Self, ConnectError> {
        let deadline = Instant::now().checked_add(timeout);
        let host = address.to_string();
        let name = with_port(&host, config.network())?;
        let left = || match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
            Some(Duration::ZERO) => None,
            Some(left) => Some(left),
            None => Some(Duration::MAX),
        };
        let Some(time_to_resolve) = left() else { return Err(ConnectError::Timeout { host, timeout }) };
        let addresses = resolve(&name, time_to_resolve)
            .map_err(|error| ConnectError::Resolve { host: name.host().into_owned(), error })?;
        let mut attempts = Vec::new();
        for socket_address in addresses {
            let Some(left) = left() else { break };
            match attempt(socket_address, &name, left, deadline, config) {
                Ok(peer) => return Ok(peer),
                Err(error) => attempts.push((socket_address, error.with_timeout(timeout))),
            }
        }
        if attempts.is_empty() {
            return Err(ConnectError::Timeout { host, timeout });
        }
        Err(ConnectError::Failed { host, attempts })
    }
}

impl AttemptError {
    /// Puts the timeout of the call into the error of a handshake. The error then no longer shows the shorter time that
    /// was left for the handshake.
    fn with_timeout(self, timeout: Duration) -> Self {
        match self {
            Self::Handshake(error) => Self::Handshake(error.with_timeout(timeout)),
            error => error,
        }
    }
}

/// Parses an address. Without a port it gets the default port of the network.
fn with_port(host: &str, network: Network) -> Result<PeerAddress, ConnectError> {
    let mut address = host.parse().map_err(ConnectError::Address)?;
    let port = match &mut address {
        PeerAddress::Ip(address) if address.port() != 0 => return Ok(PeerAddress::Ip(*address)),
        PeerAddress::Host { port: 1.., .. } => return Ok(address),
        PeerAddress::Host { host, .. } if host.starts_with("unix:") => {
            return Err(ConnectError::Address(ParseError::new(
                host,
                "an internet address",
                "host:port, such as 203.0.113.7:16111",
            )));
        }
        _ => network.default_port().ok_or_else(|| ConnectError::NoPort { host: host.to_owned(), network })?,
    };
    match &mut address {
        PeerAddress::Ip(address) => address.set_port(port),
        PeerAddress::Host { port: missing, .. } => *missing = port,
    }
    Ok(address)
}

fn attempt(
    address: SocketAddr,
    name: &PeerAddress,
    left: Duration,
    deadline: Option<Instant>,
    config: &Config,
) -> Result<Peer, AttemptError> {
    let stream = TcpStream::connect_timeout(&address, left).map_err(AttemptError::Tcp)?;
    let peer = Peer::outbound(stream, name, config).map_err(AttemptError::Start)?;
    let left = deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(Instant::now()));
    peer.wait_for_handshake_timeout(left).map_err(AttemptError::Handshake)?;
    Ok(peer)
}

/// Returns the addresses of a host. The system's resolver has no timeout, so it runs on a thread of its own, which
/// exits when the resolver returns.
fn resolve(address: &PeerAddress, timeout: Duration) -> io::Result<Vec<SocketAddr>> {
    let (host, port) = match address {
        PeerAddress::Ip(address) => return Ok(vec![*address]),
        PeerAddress::Host { host, port } => (host.clone(), *port),
    };
    let (sender, resolved) = bounded(1);
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
    use crate::HandshakeError;
    use crate::WaitedFor;

    #[test]
    fn an_address_without_a_port_gets_the_default_port_of_the_network() {
        let port = Network::Simnet.default_port().unwrap();
        for (text, expected) in [
            ("127.0.0.1:5", "127.0.0.1:5".to_owned()),
            ("127.0.0.1", format!("127.0.0.1:{port}")),
            ("127.0.0.1:0", format!("127.0.0.1:{port}")),
            ("2001:db8::7", format!("[2001:db8::7]:{port}")),
            ("[::1]:5", "[::1]:5".to_owned()),
            ("node.example", format!("node.example:{port}")),
            ("node.example:1", "node.example:1".to_owned()),
        ] {
            assert_eq!(with_port(text, Network::Simnet).unwrap().to_string(), expected);
        }
    }

    #[test]
    fn a_custom_network_has_no_default_port_and_the_error_says_so() {
        let error = with_port("node.example", Network::Custom(0xcafe_0001)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "node.example has no port, and the network 0xcafe0001 has no default port: write host:port"
        );
        assert!(with_port("node.example:5", Network::Custom(0xcafe_0001)).is_ok());
    }

    #[test]
    fn an_address_that_does_not_parse_has_the_error_of_its_type() {
        let text = |text| with_port(text, Network::Simnet).unwrap_err().to_string();
        assert_eq!(text("127.0.0.1:99999"), "127.0.0.1:99999".parse::<PeerAddress>().unwrap_err().to_string());
        assert!(text("127.0.0.1:99999").contains("expected a port from 0 to 65535"));
        assert!(text("unix:/run/node.sock").contains("is not an internet address"));
    }

    fn failed(host: &str, attempts: &[(&str, WaitError)]) -> String {
        let attempts = attempts.iter().cloned();
        let attempts = attempts.map(|(address, error)| (address.parse().unwrap(), AttemptError::Handshake(error)));
        ConnectError::Failed { host: host.to_owned(), attempts: attempts.collect() }.to_string()
    }

    #[test]
    fn the_error_says_each_thing_once() {
        let own = WaitError::Closed(DisconnectReason::Handshake(HandshakeError::SelfConnection));
        let late = WaitError::Timeout { what: WaitedFor::Handshake, waited: Duration::from_secs(3) };
        let expected = "cannot connect to 127.0.0.1:5: handshake failed: connected to self";
        assert_eq!(failed("127.0.0.1:5", &[("127.0.0.1:5", own.clone())]), expected);
        assert_eq!(failed("127.0.0.1", &[("127.0.0.1:5", own.clone())]), expected);
        assert_eq!(
            failed("node:5", &[("[::1]:5", own), ("127.0.0.1:5", late)]),
            "cannot connect to node:5: [::1]:5: handshake failed: connected to self; \
             127.0.0.1:5: the handshake was not done within 3s"
        );
        assert_eq!(
            failed("[::1]:5", &[("[::1]:5", WaitError::Closed(DisconnectReason::Local))]),
            "cannot connect to [::1]:5: handshake failed: disconnected by this side"
        );
    }
}
