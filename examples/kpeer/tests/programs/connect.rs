//! `kpeer connect`, with a node that the test plays.

use crate::support;
use crate::support::running::{Played, Running};
use kaspa_peer::wire::*;
use std::net::{Shutdown, TcpListener};

#[test]
fn a_pong_behind_many_messages_is_printed_and_so_is_the_end() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let connect = Running::start("connect", &[&address, "--network", "simnet", "--for", "3600", "--json"]);
    let mut node = Played::accept(&listener, &support::version(), Network::Simnet);
    let Ping { nonce } = node.expect();
    for min_fee in 0..200 {
        node.send(&FeeFilter { min_fee });
    }
    node.send(&Pong { nonce });
    node.expect::<GetAddr>();
    node.stream.shutdown(Shutdown::Both).unwrap();
    let ended = connect.end();
    assert_eq!((ended.status, ended.err.as_str()), (1, ""), "{ended:#?}");
    assert_eq!(ended.events("ping").len(), 1, "{ended:#?}");
    assert_eq!(ended.events("message").iter().filter(|event| event["command"] == "feefilter").count(), 200);
    assert_eq!(ended.events("disconnected").len(), 1, "{ended:#?}");
}
