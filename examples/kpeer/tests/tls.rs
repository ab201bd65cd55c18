//! Peers over TLS, with the stream that the documentation of the library shows.
#![allow(clippy::unwrap_used)]

#[path = "../../../src/guide/tls_stream.rs"]
mod tls_stream;

use kaspa_peer::wire::{CustomMessage, Message, Network};
use kaspa_peer::{Config, DisconnectReason, Inbox, Peer};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use std::io;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tls_stream::TlsStream;

const TIMEOUT: Duration = Duration::from_secs(60);

/// A TLS client that trusts the certificate, and a TLS server that has it, connected over TCP.
fn handshakes(name: &'static str) -> (io::Result<TlsStream>, io::Result<TlsStream>) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["node.example".to_owned()]).unwrap();
    let (certificate, key) = (cert.der().clone(), signing_key.into());
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let server = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    let accepting = thread::spawn(move || {
        let session = ServerConnection::new(Arc::new(server)).unwrap();
        TlsStream::handshake(session, accepted, TIMEOUT)
    });
    let session = ClientConnection::new(Arc::new(client), name.try_into().unwrap()).unwrap();
    let dialled = TlsStream::handshake(session, socket, TIMEOUT);
    (dialled, accepting.join().unwrap())
}

/// Two peers that are connected over TLS, and the inbox of each.
fn connected_peers() -> [(Peer, Inbox); 2] {
    let (dialled, accepted) = handshakes("node.example");
    let node = || {
        let inbox = Inbox::new();
        (Config::builder(Network::Simnet).listener(inbox.clone()).build().unwrap(), inbox)
    };
    let ((client, client_inbox), (server, server_inbox)) = (node(), node());
    let out = Peer::outbound(dialled.unwrap(), "node.example:16511", &client).unwrap();
    let inbound = Peer::inbound(accepted.unwrap(), "memory", &server).unwrap();
    out.wait_for_handshake().unwrap();
    inbound.wait_for_handshake().unwrap();
    [(out, client_inbox), (inbound, server_inbox)]
}

/// With a lock around the whole session, each side would wait for the other here. The messages fit into an inbox, and not into
/// the buffers of the sockets.
#[test]
fn both_sides_send_large_messages_at_the_same_time() {
    const MESSAGES: u8 = 30;
    let peers = connected_peers();
    let message = |number| CustomMessage::new("large", vec![number; 1_000_000]).unwrap();
    thread::scope(|scope| {
        for (peer, _) in &peers {
            scope.spawn(move || {
                for number in 0..MESSAGES {
                    peer.send_message(&message(number), TIMEOUT).unwrap();
                }
            });
        }
    });
    for (_, inbox) in &peers {
        let received = inbox.wait_until(TIMEOUT, |held| {
            let large: Vec<Message> = held.filter(|message| matches!(message, Message::Custom(_))).cloned().collect();
            (large.len() == usize::from(MESSAGES)).then_some(large)
        });
        assert!(received.unwrap().into_iter().eq((0..MESSAGES).map(|number| message(number).into())));
    }
}

#[test]
fn small_messages_and_pings_pass_in_both_directions() {
    let peers = connected_peers();
    for (peer, _) in &peers {
        peer.ping().unwrap();
        peer.queue_message(&CustomMessage::new("small", *b"text").unwrap()).unwrap().wait().unwrap();
    }
}

#[test]
fn a_disconnect_ends_both_peers() {
    let [(client, _), (server, _)] = connected_peers();
    client.disconnect();
    assert_eq!(client.wait_for_disconnect_timeout(TIMEOUT).unwrap(), DisconnectReason::Local);
    // The connection ends without TLS's own message for that, which the session reports as an error.
    let reason = server.wait_for_disconnect_timeout(TIMEOUT).unwrap();
    assert!(matches!(reason, DisconnectReason::Io { kind: io::ErrorKind::UnexpectedEof, .. }), "{reason}");
}

#[test]
fn a_certificate_of_another_name_is_refused_on_both_sides() {
    let (dialled, accepted) = handshakes("other.example");
    assert_eq!(dialled.err().unwrap().kind(), io::ErrorKind::InvalidData);
    assert_eq!(accepted.err().unwrap().kind(), io::ErrorKind::InvalidData);
}
