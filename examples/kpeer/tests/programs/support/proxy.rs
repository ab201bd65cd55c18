//! A proxy that a test plays.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

/// A SOCKS5 proxy for one connection, which it makes to `target`. The thread returns the host and port that the client
/// asked for.
pub fn proxy(target: SocketAddr) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let thread = thread::spawn(move || {
        let mut client = listener.accept().unwrap().0;
        // Version 5, and one method of authentication: none.
        assert_eq!(read(&mut client, 3), [5, 1, 0]);
        client.write_all(&[5, 0]).unwrap();
        // Connect to an address or a name.
        let request = read(&mut client, 4);
        assert_eq!(request[..3], [5, 1, 0]);
        let host = match request[3] {
            1 => <[u8; 4]>::try_from(read(&mut client, 4)).unwrap().map(|byte| byte.to_string()).join("."),
            3 => {
                let length = read(&mut client, 1)[0];
                String::from_utf8(read(&mut client, length.into())).unwrap()
            }
            other => panic!("address type {other}"),
        };
        let port = u16::from_be_bytes(read(&mut client, 2).try_into().unwrap());
        let node = TcpStream::connect(target).unwrap();
        client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).unwrap();
        let (mut from, mut to) = (node.try_clone().unwrap(), client.try_clone().unwrap());
        let back = thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(std::net::Shutdown::Both);
        });
        let _ = io::copy(&mut client, &mut &node);
        let _ = node.shutdown(std::net::Shutdown::Both);
        back.join().unwrap();
        format!("{host}:{port}")
    });
    (address, thread)
}

fn read(source: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    source.read_exact(&mut bytes).unwrap();
    bytes
}
