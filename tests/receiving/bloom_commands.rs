//! Bloom filter commands, to nodes that offer the bloom service and to nodes that do not.

use crate::common::local::{connected_peer_with, end_reason, new_peer, new_peer_with};
use crate::common::recorder::Recorder;
use crate::common::remote::Remote;
use crate::common::{builder, version};
use kaspa_peer::wire::{
    Command, Encode, FeeFilter, FilterAdd, FilterClear, FilterLoad, FrameError, Message, Services, VerAck, Version,
};
use kaspa_peer::{Direction, DisconnectReason, Listener, Peer};

fn commands() -> [Message; 3] {
    let load = FilterLoad { filter: vec![0xff; 8], hash_functions: 3, tweak: 7, update: 1 };
    [load.into(), FilterAdd { data: vec![1, 2, 3] }.into(), FilterClear.into()]
}

/// Also remembers in which callbacks bloom filter commands came.
#[derive(Clone, Default)]
struct Watch(Recorder);

impl Listener for Watch {
    fn on_message(&self, peer: &Peer, message: &Message) {
        self.0.on_message(peer, message);
    }

    fn on_filter_load(&self, peer: &Peer, message: FilterLoad) {
        self.0.on_message(peer, &message.into());
    }

    fn on_filter_add(&self, peer: &Peer, message: FilterAdd) {
        self.0.on_message(peer, &message.into());
    }

    fn on_filter_clear(&self, peer: &Peer, message: FilterClear) {
        self.0.on_message(peer, &message.into());
    }

    fn on_read(&self, peer: &Peer, bytes: usize, frame: Result<Command, &FrameError>) {
        self.0.on_read(peer, bytes, frame);
    }
}

/// Sends all three and something else as the remote, and gives what was told of it.
fn told_of_all(told: &Recorder, remote: &mut Remote) -> Vec<Message> {
    commands().iter().for_each(|command| remote.send(command));
    remote.send(&FeeFilter { min_fee: 1 });
    told.wait_for::<FeeFilter>();
    recorder.look(|record| {
        let of_bloom = record.messages.iter().filter(|message| message.command().name().starts_with("filter"));
        of_bloom.cloned().collect()
    })
}

#[test]
fn a_node_without_the_service_disconnects_and_tells_nobody() {
    for message in commands() {
        let watch = Watch::default();
        let (peer, mut remote) = connected_peer_with(watch.clone(), builder().services(Services::NETWORK));
        remote.send(&message);
        let command = message.command();
        assert_eq!(end_reason(&peer), DisconnectReason::BloomNotOffered { command });
        assert_eq!(remote.read_until_closed(), [], "no reject");
        assert_eq!(watch.0.commands(), ["version", "verack"]);
        // The bytes were read all the same.
        assert_eq!(watch.0.told(|record| record.read.last().cloned()).map(|read| read.1), Some(Ok(command)));
    }
}

#[test]
fn so_it_does_before_the_verack() {
    let watch = Watch::default();
    let (peer, mut remote) = new_peer_with(watch.clone(), Direction::Inbound, builder());
    remote.send(&version());
    remote.expect::<Version>();
    remote.expect::<VerAck>();
    remote.send(&FilterClear);
    assert_eq!(end_reason(&peer), DisconnectReason::BloomNotOffered { command: Command::FilterClear });
    assert_eq!(watch.0.commands(), ["version"]);
}

#[test]
fn what_the_remote_offers_does_not_matter() {
    let (local, mut remote) = new_peer(Direction::Inbound, builder());
    remote.shake_hands(&Version { services: Services::BLOOM, ..version() });
    remote.send(&FilterClear);
    assert_eq!(end_reason(&local.peer), DisconnectReason::BloomNotOffered { command: Command::FilterClear });
}

#[test]
fn below_the_bloom_version_they_are_ignored() {
    let watch = Watch::default();
    let (peer, mut remote) = connected_peer_with(watch.clone(), builder().bloom_version(2));
    assert_eq!(told_of_all(&watch.0, &mut remote), []);
    peer.queue_message(&FeeFilter { min_fee: 2 }).unwrap();
    remote.expect::<FeeFilter>();
    assert_eq!(peer.disconnect_reason(), None);
}

#[test]
fn the_negotiated_version_counts() {
    for (ours, theirs, disconnects) in [(2, 1, false), (1, 2, false), (2, 2, true), (3, 2, true)] {
        let watch = Watch::default();
        let config = builder().bloom_version(2).protocol_version(ours);
        let (peer, mut remote) = new_peer_with(watch.clone(), Direction::Inbound, config);
        remote.shake_hands(&Version { protocol_version: theirs, ..version() });
        if disconnects {
            remote.send(&FilterClear);
            assert_eq!(end_reason(&peer), DisconnectReason::BloomNotOffered { command: Command::FilterClear });
        } else {
            assert_eq!(told_of_all(&watch.0, &mut remote), [], "{ours} {theirs}");
        }
    }
}

#[test]
fn a_node_with_the_service_is_told() {
    for bloom_version in [1, 2] {
        let watch = Watch::default();
        let config = builder().services(Services::BLOOM | Services::NETWORK).bloom_version(bloom_version);
        let (_peer, mut remote) = connected_peer_with(watch.clone(), config);
        let twice: Vec<Message> = commands().into_iter().flat_map(|message| [message.clone(), message]).collect();
        assert_eq!(told_of_all(&watch.0, &mut remote), twice, "on_message and the command's own");
    }
}
