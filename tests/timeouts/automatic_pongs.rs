//! Peers answer pings by themselves, unless the setting is off.

use kaspa_peer::testing::{MemoryStream, ScriptedRemote, connect_remote};
use kaspa_peer::wire::{Command, FeeFilter, Message, Network, Ping, Pong};
use kaspa_peer::{Config, ConfigBuilder, Direction, Inbox, Peer};
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(20);

fn peer(builder: ConfigBuilder) -> (Peer, ScriptedRemote<MemoryStream>) {
    let (peer, mut remote) = connect_remote(Direction::Inbound, &builder.build().unwrap()).unwrap();
    remote.shake_hands().unwrap();
    peer.wait_for_handshake().unwrap();
    (peer, remote)
}

#[test]
fn pings_are_answered_by_default() {
    let (_peer, mut remote) = peer(Config::builder(Network::Simnet));
    remote.send(&Ping { nonce: 5 }).unwrap();
    assert_eq!(remote.expect::<Pong>().unwrap(), Pong { nonce: 5 });
}

#[test]
fn with_the_setting_off_only_the_listener_gets_the_ping() {
    let inbox = Inbox::new();
    let (peer, mut remote) = peer(Config::builder(Network::Simnet).automatic_pongs(false).listener(inbox.clone()));
    remote.send(&Ping { nonce: 5 }).unwrap();
    assert_eq!(inbox.wait_for::<Ping>(DEADLINE).unwrap(), Ping { nonce: 5 });
    // An answer would have been queued before the listener got the ping.
    peer.queue_message(&FeeFilter { min_fee: 1 }).unwrap();
    assert_eq!(remote.next_message().unwrap(), Message::from(FeeFilter { min_fee: 1 }));
    assert_eq!(peer.stats().sent.of(Command::Pong).messages, 0);
}

#[test]
fn with_the_setting_off_the_program_can_answer() {
    let inbox = Inbox::new();
    let (peer, mut remote) = peer(Config::builder(Network::Simnet).automatic_pongs(false).listener(inbox.clone()));
    remote.send(&Ping { nonce: 5 }).unwrap();
    let Ping { nonce } = inbox.wait_for(DEADLINE).unwrap();
    peer.queue_message(&Pong { nonce }).unwrap();
    assert_eq!(remote.expect::<Pong>().unwrap(), Pong { nonce: 5 });
    // The setting has no effect on the pings of this side.
    let answers = std::thread::spawn(move || {
        let Ping { nonce } = remote.expect().unwrap();
        remote.send(&Pong { nonce }).unwrap();
        remote
    });
    peer.ping_timeout(DEADLINE).unwrap();
    drop(answers.join().unwrap());
}
