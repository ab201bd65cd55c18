//! Every method works, or returns an error, in the destructor of a thread-local value.

use crate::common::local::connected_peer;
use crate::common::{DEADLINE, builder};
use kaspa_peer::testing::ScriptedRemote;
use kaspa_peer::wire::{Frame, GetAddr, GetSelectedTip, Network, Ping, Pong, SendHeaders, TimedAddress};
use kaspa_peer::{Config, Peer};
use std::cell::RefCell;
use std::thread;

struct CallsOnDrop(Option<Peer>);

impl Drop for CallsOnDrop {
    fn drop(&mut self) {
        let Some(peer) = &self.0 else { return };
        peer.queue_message(&SendHeaders).unwrap();
        peer.queue_frame(&Frame::encode(&SendHeaders, Network::Simnet).unwrap()).unwrap();
        let addresses = vec![TimedAddress::default(); 1001];
        assert_eq!(peer.push_addresses(&addresses, None).map(|sent| sent.len()), Ok(1000));
        peer.ping_timeout(DEADLINE).unwrap();
        assert!(peer.ask(&GetSelectedTip, std::time::Duration::ZERO).is_err());
        assert!(peer.stats().handshake_done);
        Config::builder(Network::Simnet).build().unwrap();
        let _ = ScriptedRemote::version();
        peer.disconnect();
        peer.wait_for_disconnect().unwrap();
    }
}

thread_local! {
    static VALUE: RefCell<CallsOnDrop> = const { RefCell::new(CallsOnDrop(None)) };
}

#[test]
fn a_peer_can_be_used_in_the_destructor_of_a_thread_local_value() {
    let (local, mut remote) = connected_peer(builder());
    let peer = local.peer.clone();
    let thread = thread::spawn(move || {
        VALUE.with_borrow_mut(|value| value.0 = Some(peer.clone()));
        // Makes the thread-local values of this library and of `rand` after the one above, so that they are destroyed
        // before it.
        peer.queue_message(&GetAddr::all()).unwrap();
        Config::builder(Network::Simnet).build().unwrap();
        let _ = ScriptedRemote::version();
    });
    loop {
        if let kaspa_peer::wire::Message::Ping(Ping { nonce }) = remote.next_message().unwrap() {
            remote.send(&Pong { nonce }).unwrap();
            break;
        }
    }
    thread.join().unwrap();
    assert!(!local.peer.is_connected());
}
