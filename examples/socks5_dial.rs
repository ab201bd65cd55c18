//! Dials a node through a SOCKS5 proxy, such as Tor. The proxy resolves the host name.
//!
//! `cargo run --example socks5_dial -- 127.0.0.1:9050 HOST:PORT NETWORK` dials a node through a proxy; without NETWORK,
//! on mainnet. Without arguments, a small proxy and a node run in the same process.

use kaspa_peer::wire::Network;
use kaspa_peer::{Config, Peer};
use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;
use std::{env, thread};

/// How long each read from the proxy may take. Tor needs this long to connect.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Asks the proxy for a connection to `host` (RFC 1928, without authentication).
fn dial(proxy: &str, host: &str, port: u16) -> Result<TcpStream, Box<dyn Error>> {
    let mut stream = TcpStream::connect(proxy)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    // Version 5, and one method of authentication: none.
    stream.write_all(&[5, 1, 0])?;
    let mut method = [0; 2];
    stream.read_exact(&mut method)?;
    if method != [5, 0] {
        return Err("not a SOCKS5 proxy, or it wants a password".into());
    }
    // Connect to a host name.
    let length = u8::try_from(host.len()).map_err(|_| format!("the host name is too long: {host:?}"))?;
    stream.write_all(&[&[5, 1, 0, 3, length], host.as_bytes(), &port.to_be_bytes()].concat())?;
    let mut reply = [0; 4];
    stream.read_exact(&mut reply)?;
    let [5, 0, _, kind] = reply else { return Err(format!("the proxy refused: {reply:?}").into()) };
    // The address from which the proxy dialled, and a port. The program needs neither.
    let length = match kind {
        1 => 4,
        4 => 16,
        _ => return Err(format!("unknown address type {kind}").into()),
    };
    stream.read_exact(&mut vec![0; length + 2])?;
    stream.set_read_timeout(None)?;
    Ok(stream)
}

/// A proxy for one connection. It knows one host name, whose address is `node`.
fn proxy(listener: &TcpListener, node: SocketAddr) -> io::Result<()> {
    let (mut client, _) = listener.accept()?;
    client.read_exact(&mut [0; 3])?;
    client.write_all(&[5, 0])?;
    let mut request = [0; 5];
    client.read_exact(&mut request)?;
    let mut target = vec![0; usize::from(request[4]) + 2];
    client.read_exact(&mut target)?;
    println!("proxy: asked for \"{}\"", target[..target.len() - 2].escape_ascii());
    let mut server = TcpStream::connect(node)?;
    client.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 0])?;

    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from_server, mut to_client) = (server.try_clone()?, client.try_clone()?);
    let back = thread::spawn(move || {
        let _ = io::copy(&mut from_server, &mut to_client);
        to_client.shutdown(Shutdown::Write)
    });
    io::copy(&mut client, &mut server)?;
    server.shutdown(Shutdown::Write)?;
    // An error means that the client has gone.
    let _ = back.join();
    Ok(())
}

/// Starts a node and a proxy. Returns the address of the proxy.
fn start_locally() -> Result<String, Box<dyn Error>> {
    let (node, listener) = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
    let (node_address, proxy_address) = (node.local_addr()?, listener.local_addr()?);
    let config = Config::builder(Network::Mainnet).user_agent("node", "1.0").build()?;
    thread::spawn(move || -> Result<(), Box<dyn Error + Send + Sync>> {
        let (stream, from) = node.accept()?;
        Peer::inbound(stream, from, &config)?.wait_for_disconnect()?;
        Ok(())
    });
    thread::spawn(move || proxy(&listener, node_address));
    Ok(proxy_address.to_string())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let (proxy, node) = match (arguments.next(), arguments.next()) {
        (Some(proxy), Some(node)) => (proxy, node),
        (None, _) => (start_locally()?, "node.example:16111".to_owned()),
        _ => return Err("the node is missing: socks5_dial PROXY HOST:PORT".into()),
    };
    let (host, port) = node.rsplit_once(':').ok_or_else(|| format!("not HOST:PORT: {node:?}"))?;
    let port = port.parse().map_err(|_| format!("not a port: {port:?}"))?;
    let network = match arguments.next() {
        Some(name) => name.parse::<Network>().map_err(|error| error.to_string())?,
        None => Network::Mainnet,
    };

    // With the proxy's address in the configuration, no version message contains it.
    let config = Config::builder(network).user_agent("socks5-dial", "1.0").proxy(&*proxy).build()?;
    let stream = dial(&proxy, host, port).map_err(|error| format!("{node} through the proxy {proxy}: {error}"))?;
    let peer = Peer::outbound(stream, node.as_str(), &config)?;
    peer.wait_for_handshake()?;
    println!("{peer}: user agent {}", peer.remote().ok_or("no version message")?.user_agent);
    println!("{peer}: ping in {:?}", peer.ping()?);
    peer.disconnect();
    println!("{peer}: {}", peer.wait_for_disconnect()?);
    Ok(())
}
