//! Bloom filter commands that arrive at nodes with and without the bloom service.

use crate::common::local::{connected_peer_with, end_reason, new_peer};
use crate::common::recorder::Recorder;
use crate::common::{builder, version};
use kaspa_peer::testing::{ScriptedRemote, connect_remote_over_tcp};
use kaspa_peer::wire::{
    Command, Encode, FeeFilter, FilterAdd, FilterClear, FilterLoad, FrameError, Message, Services, VerAck, Version,
};
use kaspa_peer::{Direction, DisconnectReason, Listener, Peer};

fn commands() -> [Message; 3] {
    let load = FilterLoad { filter: vec![0xff; 8], hash_functions: 3, tweak: 7, update: 1 };
    [load.into(), FilterAdd { data: vec![1, 2, 3] }.into(), FilterClear.into()]
}

/// Records every bloom filter command twice: from `on_message`, and from the callback for its type.
#[derive(Clone, Default)]
struct RecordsBoth(Recorder);

impl Listener for RecordsBoth {
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

/// Sends all three commands and another message, and returns the bloom filter commands that reached the listener.
fn delivered(recorder: &Recorder, remote: &mut ScriptedRemote) -> Vec<Message> {
    commands().iter().for_each(|command| remote.send(command).unwrap());
    remote.send(&FeeFilter { min_fee: 1 }).unwrap();
    recorder.wait_for::<FeeFilter>();
    recorder.look(|record| {
        let of_bloom = record.messages.iter().filter(|message| message.command().name().starts_with("filter"));
        of_bloom.cloned().collect()
    })
}

#[test]
fn a_node_without_the_service_disconnects_without_a_callback() {
    for message in commands() {
        let listener = RecordsBoth::default();
        let (peer, mut remote) = connected_peer_with(listener.clone(), builder().services(Services::NETWORK));
        remote.send(&message).unwrap();
        let command = message.command();
        assert_eq!(end_reason(&peer), DisconnectReason::BloomNotOffered { command });
        assert_eq!(remote.read_until_end().unwrap(), [], "no reject");
        assert_eq!(listener.0.commands(), ["version", "verack"]);
        // Its bytes are reported all the same.
        assert_eq!(listener.0.look(|record| record.read.last().cloned()).map(|read| read.1), Some(Ok(command)));
    }
}

#[test]
fn a_node_without_the_service_disconnects_before_the_verack_too() {
    let listener = RecordsBoth::default();
    let (peer, mut remote) =
        connect_remote_over_tcp(Direction::Inbound, &builder().listener(listener.clone()).build().unwrap()).unwrap();
    remote.send(&version()).unwrap();
    remote.expect::<Version>().unwrap();
    remote.expect::<VerAck>().unwrap();
    remote.send(&FilterClear).unwrap();
    assert_eq!(end_reason(&peer), DisconnectReason::BloomNotOffered { command: Command::FilterClear });
    assert_eq!(listener.0.commands(), ["version"]);
}

#[test]
fn the_services_of_the_remote_do_not_matter() {
    let (local, mut remote) = new_peer(Direction::Inbound, builder());
    remote.shake_hands_with(&Version { services: Services::BLOOM, ..version() }).unwrap();
    remote.send(&FilterClear).unwrap();
    assert_eq!(end_reason(&local.peer), DisconnectReason::BloomNotOffered { command: Command::FilterClear });
}

#[test]
fn with_a_version_below_the_bloom_version_they_are_ignored() {
    let listener = RecordsBoth::default();
    let (peer, mut remote) = connected_peer_with(listener.clone(), builder().bloom_version(2));
    assert_eq!(delivered(&listener.0, &mut remote), []);
    peer.queue_message(&FeeFilter { min_fee: 2 }).unwrap();
    remote.expect::<FeeFilter>().unwrap();
    assert_eq!(peer.disconnect_reason(), None);
}

#[test]
fn the_negotiated_version_decides() {
    for (ours, theirs, disconnects) in [(2, 1, false), (1, 2, false), (2, 2, true), (3, 2, true)] {
        let listener = RecordsBoth::default();
        let config = builder().bloom_version(2).protocol_version(ours);
        let (peer, mut remote) =
            connect_remote_over_tcp(Direction::Inbound, &config.listener(listener.clone()).build().unwrap()).unwrap();
        remote.shake_hands_with(&Version { protocol_version: theirs, ..version() }).unwrap();
        if disconnects {
            remote.send(&FilterClear).unwrap();
            assert_eq!(end_reason(&peer), DisconnectReason::BloomNotOffered { command: Command::FilterClear });
        } else {
            assert_eq!(delivered(&listener.0, &mut remote), [], "{ours} {theirs}");
        }
    }
}

#[test]
fn a_node_with_the_service_receives_them() {
    for bloom_version in [1, 2] {
        let listener = RecordsBoth::default();
        let config = builder().services(Services::BLOOM | Services::NETWORK).bloom_version(bloom_version);
        let (_peer, mut remote) = connected_peer_with(listener.clone(), config);
        let twice: Vec<Message> = commands().into_iter().flat_map(|message| [message.clone(), message]).collect();
        assert_eq!(delivered(&listener.0, &mut remote), twice, "on_message and the command's own");
    }
}
