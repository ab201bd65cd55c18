//! The selected tips of both sides, and the view of the program's block DAG.

use crate::common::local::{connected_pair, connected_peer, new_peer};
use crate::common::{builder, version};
use kaspa_peer::wire::{FeeFilter, GetSelectedTip, Hash, Message, SelectedTip, Version};
use kaspa_peer::{DagView, Direction};
use parking_lot::Mutex;
use std::sync::Arc;

const A: Hash = Hash::from_bytes([0xa; 32]);
const B: Hash = Hash::from_bytes([0xb; 32]);
const C: Hash = Hash::from_bytes([0xc; 32]);

/// A view of a DAG with these blocks. The last is the selected tip.
#[derive(Clone)]
struct Dag(Arc<Mutex<Vec<Hash>>>);

impl Dag {
    fn of(blocks: &[Hash]) -> Self {
        Self(Arc::new(Mutex::new(blocks.to_vec())))
    }
}

impl DagView for Dag {
    fn selected_tip(&self) -> Hash {
        self.0.lock().last().copied().unwrap_or(Hash::ZERO)
    }

    fn is_known(&self, block: &Hash) -> bool {
        self.0.lock().contains(block)
    }
}

#[test]
fn each_side_sends_its_selected_tip() {
    let (outbound, inbound) = connected_pair(builder().dag(Dag::of(&[A])), builder().dag(Dag::of(&[A, B])));
    assert_eq!(outbound.peer.remote().unwrap().selected_tip, B);
    assert_eq!(inbound.peer.remote().unwrap().selected_tip, A);
    assert!(!outbound.peer.is_selected_tip_known(), "its DAG has A only");
    assert!(inbound.peer.is_selected_tip_known());
}

#[test]
fn each_connection_sends_the_tip_of_its_moment() {
    let dag = Dag::of(&[A]);
    for tip in [A, B] {
        dag.0.lock().push(tip);
        let (_local, mut remote) = new_peer(Direction::Outbound, builder().dag(dag.clone()));
        assert_eq!(remote.expect::<Version>().unwrap().selected_tip, tip);
    }
}

#[test]
fn the_default_has_no_tip_and_knows_no_block() {
    let (local, mut remote) = new_peer(Direction::Inbound, builder());
    assert!(!local.peer.is_selected_tip_known(), "no version has arrived yet");
    let ours = remote.shake_hands_with(&Version { selected_tip: Hash::ZERO, ..version() }).unwrap();
    local.peer.wait_for_handshake().unwrap();
    assert_eq!(ours.selected_tip, Hash::ZERO);
    assert!(!local.peer.is_selected_tip_known());
}

#[test]
fn before_the_remotes_version_no_tip_is_known() {
    let (local, _remote) = new_peer(Direction::Inbound, builder().dag(Dag::of(&[Hash::ZERO])));
    assert_eq!(local.peer.remote(), None);
    assert!(!local.peer.is_selected_tip_known());
    local.peer.set_selected_tip(Hash::ZERO);
    assert!(!local.peer.is_selected_tip_known());
}

#[test]
fn a_selectedtip_message_sets_the_tip_before_its_callback() {
    let dag = Dag::of(&[A, B]);
    let (local, mut remote) = new_peer(Direction::Inbound, builder().dag(dag.clone()));
    remote.shake_hands_with(&Version { selected_tip: C, ..version() }).unwrap();
    local.peer.wait_for_handshake().unwrap();
    assert!(!local.peer.is_selected_tip_known());
    remote.send(&SelectedTip { hash: B }).unwrap();
    local.recorder.wait_for::<SelectedTip>();
    assert_eq!(local.peer.stats().remote.unwrap().selected_tip, B);
    assert!(local.peer.is_selected_tip_known());
    remote.send(&SelectedTip { hash: C }).unwrap();
    remote.send(&FeeFilter::default()).unwrap();
    local.recorder.wait_for::<FeeFilter>();
    assert!(!local.peer.is_selected_tip_known());
    // The view is consulted at every call.
    dag.0.lock().push(C);
    assert!(local.peer.is_selected_tip_known());
}

#[test]
fn the_program_can_set_the_remotes_tip() {
    let (local, _remote) = connected_peer(builder().dag(Dag::of(&[A])));
    local.peer.set_selected_tip(A);
    assert_eq!(local.peer.remote().unwrap().selected_tip, A);
    assert!(local.peer.is_selected_tip_known());
}

#[test]
fn a_node_with_a_view_answers_each_getseltip_once() {
    let dag = Dag::of(&[A]);
    let (_local, mut remote) = connected_peer(builder().dag(dag.clone()));
    remote.send(&GetSelectedTip).unwrap();
    assert_eq!(remote.sync_with_ping().unwrap(), [Message::from(SelectedTip { hash: A })]);
    dag.0.lock().push(B);
    remote.send(&GetSelectedTip).unwrap();
    assert_eq!(remote.sync_with_ping().unwrap(), [Message::from(SelectedTip { hash: B })]);
}

#[test]
fn getseltip_is_left_to_the_listener_without_a_view_or_with_the_setting_off() {
    for builder in [builder(), builder().dag(Dag::of(&[A])).answer_selected_tip(false)] {
        let (local, mut remote) = connected_peer(builder);
        remote.send(&GetSelectedTip).unwrap();
        assert_eq!(remote.sync_with_ping().unwrap(), []);
        assert_eq!(local.recorder.wait_for::<GetSelectedTip>(), GetSelectedTip);
    }
}
