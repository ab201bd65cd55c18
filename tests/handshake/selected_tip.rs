//! What a peer asks about the caller's block DAG, and what it tells of the remote's.

use crate::common::by_hand::{by_hand, by_hand_as, strangers};
use crate::common::{acquainted, builder, version};
use kaspa_peer::wire::{FeeFilter, Hash, SelectedTip, Version};
use kaspa_peer::{DagView, Direction};
use parking_lot::Mutex;
use std::sync::Arc;

const A: Hash = Hash::from_bytes([0xa; 32]);
const B: Hash = Hash::from_bytes([0xb; 32]);
const C: Hash = Hash::from_bytes([0xc; 32]);

/// A DAG of these blocks, of which the last is the selected tip.
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
fn each_side_tells_its_selected_tip() {
    let (outbound, inbound) = acquainted(builder().dag(Dag::of(&[A])), builder().dag(Dag::of(&[A, B])));
    assert_eq!(outbound.peer.remote().unwrap().selected_tip, B);
    assert_eq!(inbound.peer.remote().unwrap().selected_tip, A);
    assert!(!outbound.peer.is_selected_tip_known(), "it has A only");
    assert!(inbound.peer.is_selected_tip_known());
}

#[test]
fn each_connection_is_told_the_tip_of_its_moment() {
    let dag = Dag::of(&[A]);
    for tip in [A, B] {
        dag.0.lock().push(tip);
        let (_end, mut remote) = strangers(builder().dag(dag.clone()), Direction::Outbound, None);
        assert_eq!(remote.read_as::<Version>().selected_tip, tip);
    }
}

#[test]
fn the_default_has_no_tip_and_knows_no_block() {
    let (end, mut remote) = strangers(builder(), Direction::Inbound, None);
    assert!(!end.peer.is_selected_tip_known(), "nothing is told yet");
    let ours = remote.shake_hands(&Version { selected_tip: Hash::ZERO, ..version() });
    end.peer.wait_for_handshake().unwrap();
    assert_eq!(ours.selected_tip, Hash::ZERO);
    assert!(!end.peer.is_selected_tip_known());
}

#[test]
fn before_the_remotes_version_no_tip_is_known() {
    let (end, _remote) = strangers(builder().dag(Dag::of(&[Hash::ZERO])), Direction::Inbound, None);
    assert_eq!(end.peer.remote(), None);
    assert!(!end.peer.is_selected_tip_known());
    end.peer.set_selected_tip(Hash::ZERO);
    assert!(!end.peer.is_selected_tip_known());
}

#[test]
fn a_selectedtip_message_is_noted_before_its_callback() {
    let dag = Dag::of(&[A, B]);
    let (end, mut remote) = by_hand_as(builder().dag(dag.clone()), &Version { selected_tip: C, ..version() });
    assert!(!end.peer.is_selected_tip_known());
    remote.send(&SelectedTip { hash: B });
    end.told.wait_for::<SelectedTip>();
    assert_eq!(end.peer.stats().remote.unwrap().selected_tip, B);
    assert!(end.peer.is_selected_tip_known());
    remote.send(&SelectedTip { hash: C });
    remote.send(&FeeFilter::default());
    end.told.wait_for::<FeeFilter>();
    assert!(!end.peer.is_selected_tip_known());
    // The view is asked each time.
    dag.0.lock().push(C);
    assert!(end.peer.is_selected_tip_known());
}

#[test]
fn a_tip_learnt_otherwise_can_be_noted() {
    let (end, _remote) = by_hand(builder().dag(Dag::of(&[A])));
    end.peer.set_selected_tip(A);
    assert_eq!(end.peer.remote().unwrap().selected_tip, A);
    assert!(end.peer.is_selected_tip_known());
}
