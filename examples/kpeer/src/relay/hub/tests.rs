//! Tests of the hub, with remotes in memory.

use super::*;
use crate::output::Detail;
use kaspa_peer::testing::{MemoryStream, ScriptedRemote, connect_remote};
use kaspa_peer::{Config, Direction};

type Remote = ScriptedRemote<MemoryStream>;

/// A hub and peers that are connected to it.
fn connect(peers: usize) -> (Arc<Shared>, Vec<(Peer, Remote)>) {
    let hub = Hub::new(Output::new(false).with(Detail::Little));
    let hub = Arc::new(Shared(Mutex::new(hub)));
    let config = Config::builder(Network::Simnet).listener(Arc::clone(&hub)).build().unwrap();
    let connected = (0..peers).map(|_| {
        let (peer, mut remote) = connect_remote(Direction::Inbound, &config).unwrap();
        remote.shake_hands().unwrap();
        peer.wait_for_handshake().unwrap();
        (peer, remote)
    });
    let connected = connected.collect();
    (hub, connected)
}

fn announce(remote: &mut Remote, item: Inventory) -> Vec<Message> {
    remote.send(&Inv { items: vec![item] }).unwrap();
    remote.sync_with_ping().unwrap()
}

fn tx(lock_time: u64) -> (Inventory, Transaction) {
    let tx = Transaction::new(&TxFields { lock_time, ..TxFields::default() }).unwrap();
    (Inventory::tx(tx.id()), tx)
}

#[test]
fn peers_that_announce_first_and_send_nothing_do_not_keep_an_item_from_the_others() {
    let (hub, mut connected) = connect(21);
    let (item, tx) = tx(1);
    for (_, silent) in &mut connected[..20] {
        announce(silent, item);
    }
    let (_, owner) = connected.last_mut().unwrap();
    assert_eq!(announce(owner, item), []);
    let start = Instant::now();
    for round in 1..=20 {
        hub.0.lock().check_deadlines(start + Duration::from_secs(11 * round));
    }
    assert_eq!(owner.expect::<GetData>().unwrap().items, [item]);
    owner.send(&tx).unwrap();
    owner.sync_with_ping().unwrap();
    assert_eq!(hub.0.lock().relayed, 1);
}

#[test]
fn a_peer_that_missed_a_deadline_is_asked_last_until_it_sends_an_item() {
    let (hub, mut connected) = connect(2);
    let [(_, failed), (_, other)] = &mut connected[..] else { unreachable!() };
    let (withheld, withheld_tx) = tx(0);
    let request = |item| [Message::from(GetData::from(vec![item]))];
    assert_eq!(announce(failed, withheld), request(withheld));
    hub.0.lock().check_deadlines(Instant::now() + Duration::from_secs(11));
    let (item, _) = tx(1);
    assert_eq!(announce(failed, item), request(item));
    assert_eq!(announce(other, item), request(item));
    // The relay accepts the first item late.
    failed.send(&withheld_tx).unwrap();
    failed.sync_with_ping().unwrap();
    assert_eq!(hub.0.lock().relayed, 1);
    let (next, _) = tx(2);
    assert_eq!(announce(failed, next), request(next));
    assert!(!announce(other, next).iter().any(|message| matches!(message, Message::GetData(_))));
}

#[test]
fn the_end_of_a_connection_removes_only_what_this_peer_announced_or_requested() {
    let (hub, connected) = connect(3);
    let [(first, _), (other, _), (asker, _)] = &connected[..] else { unreachable!() };
    let [only_first, both, requested] = [1, 2, 3].map(|number| tx(number).0);
    let mut hub = hub.0.lock();
    hub.announced(first, &[only_first, both]);
    hub.announced(other, &[both]);
    hub.serve(asker, vec![requested]);
    assert_eq!(hub.wanted.len(), 3);
    hub.remove(first, &DisconnectReason::Local);
    let is_wanted = |hub: &Hub, item: &Inventory| hub.wanted.contains_key(&Key::of(item).unwrap());
    assert_eq!([only_first, both, requested].map(|item| is_wanted(&hub, &item)), [false, true, true]);
    hub.remove(asker, &DisconnectReason::Local);
    assert_eq!([both, requested].map(|item| is_wanted(&hub, &item)), [true, false]);
    hub.remove(other, &DisconnectReason::Local);
    assert!(hub.wanted.is_empty());
}

#[test]
fn an_item_that_no_connected_peer_announced_or_requested_is_given_up() {
    let (hub, connected) = connect(3);
    let [(first, _), (asker, _), _] = &connected[..] else { unreachable!() };
    let mut hub = hub.0.lock();
    let item = tx(1).0;
    hub.announced(first, &[item]);
    hub.serve(first, vec![item]);
    hub.remove(first, &DisconnectReason::Local);
    assert!(hub.wanted.is_empty(), "the end of the connection");

    hub.serve(asker, vec![item]);
    hub.check_deadlines(Instant::now() + FETCH_TIMEOUT);
    assert!(hub.wanted.is_empty(), "the end of the waiting time");
}

#[test]
fn a_request_for_an_item_that_is_being_fetched_is_not_answered_with_notfound() {
    let (hub, mut connected) = connect(2);
    let items: Vec<_> = (0..MAX_FETCHED_FOR_PEER as u64).map(|number| tx(number).0).collect();
    let (_, asker) = connected.first_mut().unwrap();
    for _ in 0..2 {
        asker.send(&GetData::from(items.clone())).unwrap();
        assert_eq!(asker.sync_with_ping().unwrap(), []);
    }
    assert_eq!(hub.0.lock().wanted.len(), MAX_FETCHED_FOR_PEER);
}

#[test]
fn a_peer_that_announces_without_end_does_not_push_out_the_announcements_of_others() {
    let (hub, mut connected) = connect(2);
    let [(_, owner), (flooder, _)] = &mut connected[..] else { unreachable!() };
    let (item, tx) = tx(1);
    announce(owner, item);
    let items: Vec<_> = (0..MAX_INVENTORY).map(|number| Inventory::tx(Hash::of(&number.to_le_bytes()))).collect();
    for _ in 0..2 {
        hub.0.lock().announced(flooder, &items);
        assert_eq!(hub.0.lock().wanted.len(), 1 + MAX_ANNOUNCED_BY_PEER);
    }
    owner.send(&tx).unwrap();
    owner.sync_with_ping().unwrap();
    assert_eq!(hub.0.lock().relayed, 1);
    hub.0.lock().check_deadlines(Instant::now() + Duration::from_secs(120));
    assert_eq!(hub.0.lock().wanted.len(), 0);
    // The relay has forgotten the items that the peer did not send, so it accepts new announcements of the peer.
    hub.0.lock().announced(flooder, &items);
    assert_eq!(hub.0.lock().wanted.len(), MAX_ANNOUNCED_BY_PEER);
}

#[test]
fn the_next_source_is_asked_after_the_first_has_disconnected() {
    let (hub, mut connected) = connect(2);
    let (item, _) = tx(1);
    let (first, mut remote) = connected.remove(0);
    announce(&mut remote, item);
    let (_, second) = &mut connected[0];
    assert_eq!(announce(second, item), []);
    first.disconnect();
    first.wait_for_disconnect().unwrap();
    hub.0.lock().check_deadlines(Instant::now());
    assert_eq!(second.expect::<GetData>().unwrap().items, [item]);
}

#[test]
fn a_peer_is_answered_in_time_though_others_are_silent() {
    let (hub, mut connected) = connect(5);
    let missing = Inventory::tx(Hash::of(b"missing"));
    let (_, asker) = connected.first_mut().unwrap();
    asker.send(&GetData::from(vec![missing])).unwrap();
    assert_eq!(asker.sync_with_ping().unwrap(), []);
    let asked = Instant::now();
    for seconds in [11, 22] {
        hub.0.lock().check_deadlines(asked + Duration::from_secs(seconds));
    }
    assert_eq!(asker.expect::<NotFound>().unwrap().items, [missing]);
    // No peer waits for it any more, so no other peer is asked.
    let wanted = |hub: &Hub| hub.wanted.values().filter(|wanted| wanted.asked().is_some()).count();
    let later = asked + Duration::from_secs(60);
    hub.0.lock().check_deadlines(later);
    assert_eq!(wanted(&hub.0.lock()), 0);
}
