//! `Peer::connect` dials, shakes hands, and says which step failed for which address.

use crate::common::{DEADLINE, builder};
use kaspa_peer::peer::AttemptError;
use kaspa_peer::wire::Network;
use kaspa_peer::{
    Config, ConnectError, DisconnectReason, HandshakeError, Listener, Peer, PeerAddress, WaitError, WaitedFor,
};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

#[test]
fn a_node_is_dialled_by_address_or_by_name_and_the_handshake_is_done() {
    let node = builder().build().unwrap();
    let config = builder().build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    for host in ["127.0.0.1", "localhost"] {
        thread::scope(|scope| {
            let remote = scope.spawn(|| {
                let (stream, from) = listener.accept().unwrap();
                Peer::inbound(stream, from, &node).unwrap()
            });
            let peer = Peer::connect(format!("{host}:{port}"), DEADLINE, &config).unwrap();
            assert!(peer.is_handshake_done() && peer.is_connected());
            assert_eq!(peer.address().to_string(), format!("{host}:{port}"));
            drop(remote.join().unwrap());
        });
    }
}

#[test]
fn nobody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = Peer::connect(address, DEADLINE, &builder().build().unwrap()).unwrap_err();
    let ConnectError::Failed { attempts, .. } = &error else { panic!("{error}") };
    assert!(matches!(&attempts[..], [(tried, AttemptError::Tcp(_))] if *tried == address), "{error}");
    let expected = format!("cannot connect to {address}: the TCP connection failed: ");
    assert!(error.to_string().starts_with(&expected), "{error}");
}

#[test]
fn the_remote_is_a_web_server() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0; 10]).unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let error = Peer::connect(&address, DEADLINE, &builder().build().unwrap()).unwrap_err();
    let reason = "handshake failed: malformed message: not a kaspa node: the first four bytes are \"HTTP\"";
    assert_eq!(error.to_string(), format!("cannot connect to {address}: {reason}"));
    server.join().unwrap();
}

#[test]
fn the_timeout_bounds_the_handshake() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let error = Peer::connect(&address, Duration::from_millis(100), &builder().build().unwrap()).unwrap_err();
    let ConnectError::Failed { attempts, .. } = &error else { panic!("{error}") };
    // The remote is silent. The error has the timeout of the call, not the rest of it.
    let timeout = WaitError::Timeout { what: WaitedFor::Handshake, waited: Duration::from_millis(100) };
    assert!(matches!(&attempts[..], [(_, AttemptError::Handshake(error))] if *error == timeout), "{error}");
    assert_eq!(error.to_string(), format!("cannot connect to {address}: the handshake was not done within 100ms"));
}

#[test]
fn a_node_that_dials_itself_learns_of_it() {
    let config = builder().build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::scope(|scope| {
        let own = scope.spawn(|| {
            let (stream, from) = listener.accept().unwrap();
            Peer::inbound(stream, from, &config).unwrap().wait_for_disconnect()
        });
        assert!(Peer::connect(&address, DEADLINE, &config).is_err());
        assert_eq!(own.join().unwrap(), Ok(DisconnectReason::Handshake(HandshakeError::SelfConnection)));
    });
}

#[test]
fn a_bad_address_is_refused() {
    let config = builder().build().unwrap();
    for text in ["", ":1", "node:70000", "node:", "127.0.0.1:99999", "unix:/run/node.sock"] {
        let error = Peer::connect(text, DEADLINE, &config).unwrap_err();
        assert!(matches!(&error, ConnectError::Address(_)), "{text:?}: {error}");
        assert!(error.to_string().starts_with(&format!("{text:?} is not an ")), "{error}");
    }
    let network = Network::Custom(0xcafe_0001);
    let config = Config::builder(network).build().unwrap();
    let error = Peer::connect("127.0.0.1", DEADLINE, &config).unwrap_err();
    assert!(matches!(&error, ConnectError::NoPort { network: named, .. } if *named == network), "{error}");
}

/// Sends the reasons of the ends of connections.
struct Ends(Sender<DisconnectReason>);

impl Listener for Ends {
    fn on_disconnect(&self, _: &Peer, reason: &DisconnectReason) {
        let _ = self.0.send(reason.clone());
    }
}

#[test]
fn a_failed_attempt_whose_connection_was_made_calls_on_disconnect() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = PeerAddress::from(listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"SSH-2.0-").unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let (sender, ends) = channel();
    let config = builder().listener(Ends(sender)).build().unwrap();
    Peer::connect(&address, DEADLINE, &config).unwrap_err();
    let reason = ends.recv_timeout(DEADLINE).unwrap();
    assert!(matches!(reason, DisconnectReason::Handshake(HandshakeError::Malformed(_))), "{reason}");
    server.join().unwrap();
}
