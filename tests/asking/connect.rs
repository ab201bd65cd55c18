//! `Peer::connect` dials, shakes hands, and says which step failed for which address.

use crate::common::{DEADLINE, builder};
use kaspa_peer::peer::AttemptError;
use kaspa_peer::{ConnectError, DisconnectReason, HandshakeError, Peer, WaitError, WaitedFor};
use std::io::{Read, Write};
use std::net::TcpListener;
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
            let peer = Peer::connect(&format!("{host}:{port}"), DEADLINE, &config).unwrap();
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
    let error = Peer::connect(&address.to_string(), DEADLINE, &builder().build().unwrap()).unwrap_err();
    let ConnectError::Failed { attempts, .. } = &error else { panic!("{error}") };
    assert!(matches!(&attempts[..], [(tried, AttemptError::Tcp(_))] if *tried == address), "{error}");
    assert!(error.to_string().contains("the TCP connection failed"), "{error}");
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
    assert!(error.to_string().contains("not a kaspa node: the first four bytes are \"HTTP\""), "{error}");
    server.join().unwrap();
}

#[test]
fn the_timeout_bounds_the_handshake() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let error = Peer::connect(&address, Duration::from_millis(100), &builder().build().unwrap()).unwrap_err();
    let ConnectError::Failed { attempts, .. } = &error else { panic!("{error}") };
    assert!(
        matches!(&attempts[..], [(_, AttemptError::Handshake(WaitError::Timeout { what: WaitedFor::Handshake, .. }))]),
        "the remote is silent: {error}"
    );
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
    for text in ["", ":1", "node:70000", "node:", "127.0.0.1:0"] {
        let error = Peer::connect(text, DEADLINE, &config).unwrap_err();
        assert!(matches!(&error, ConnectError::Address { text: named } if named == text), "{text:?}: {error}");
    }
}
