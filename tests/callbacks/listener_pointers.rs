//! A listener or a DAG view can be behind a pointer: every callback reaches it.

use crate::common::local::{connected_peer_of, end_reason};
use crate::common::recorder::Recorder;
use crate::common::{builder, version};
use kaspa_peer::testing::connect_remote_over_tcp;
use kaspa_peer::wire::{Command, FeeFilter, Hash, Message, Version};
use kaspa_peer::{Config, DagView, Direction, Listener, Peer};
use parking_lot::Mutex;
use std::sync::Arc;

/// Has a peer receive a `feefilter`, and checks that the recorder saw everything.
fn check(recorder: &Recorder, config: &Config) {
    let (peer, mut remote) = connected_peer_of(config);
    remote.send(&FeeFilter { min_fee: 7 }).unwrap();
    remote.sync_with_ping().unwrap();
    peer.disconnect();
    let reason = end_reason(&peer);
    recorder.look(|record| {
        assert!(record.messages.contains(&FeeFilter { min_fee: 7 }.into()));
        assert!(record.read.iter().any(|(_, command)| *command == Ok(Command::FeeFilter)));
        assert!(record.written.iter().any(|(command, ..)| *command == Command::VerAck));
        assert_eq!(record.disconnects, [reason]);
    });
}

#[test]
fn a_listener_can_be_behind_a_pointer() {
    let recorder = Recorder::default();
    check(&recorder, &builder().listener(Arc::new(recorder.clone())).build().unwrap());
    let recorder = Recorder::default();
    check(&recorder, &builder().listener(Box::new(recorder.clone())).build().unwrap());
    let recorder = Recorder::default();
    let listener: Arc<dyn Listener> = Arc::new(recorder.clone());
    check(&recorder, &builder().listener(listener).build().unwrap());
    let recorder = Recorder::default();
    let listener: Box<dyn Listener> = Box::new(Arc::new(recorder.clone()));
    check(&recorder, &builder().build().unwrap().with_listener(listener));
}

#[test]
fn methods_for_one_type_and_deliver_are_reached_through_a_pointer() {
    #[derive(Default)]
    struct ByType(Mutex<Vec<i64>>);

    impl Listener for ByType {
        fn on_fee_filter(&self, _: &Peer, message: FeeFilter) {
            self.0.lock().push(message.min_fee);
        }
    }

    #[derive(Default)]
    struct ByValue(Mutex<Vec<Message>>);

    impl Listener for ByValue {
        fn deliver(&self, _: &Peer, message: Message) {
            self.0.lock().push(message);
        }
    }

    let (by_type, by_value) = (Arc::new(ByType::default()), Arc::new(ByValue::default()));
    let node = builder().build().unwrap();
    for config in [node.with_listener(by_type.clone()), node.with_listener(by_value.clone())] {
        let (_peer, mut remote) = connected_peer_of(&config);
        remote.send(&FeeFilter { min_fee: 7 }).unwrap();
        remote.sync_with_ping().unwrap();
    }
    assert_eq!(*by_type.0.lock(), [7]);
    assert!(by_value.0.lock().contains(&FeeFilter { min_fee: 7 }.into()));
    // The pointer's own methods forward as well.
    let (peer, _remote) = connected_peer_of(&node);
    by_type.on_fee_filter(&peer, FeeFilter { min_fee: 8 });
    assert_eq!(*by_type.0.lock(), [7, 8]);
}

#[test]
fn a_dag_view_can_be_behind_a_pointer() {
    struct Dag(Hash);

    impl DagView for Dag {
        fn selected_tip(&self) -> Hash {
            self.0
        }

        fn is_known(&self, block: &Hash) -> bool {
            *block == self.0
        }
    }

    // The selected tip of the remotes in these tests.
    let tip = version().selected_tip;
    let shared: Arc<dyn DagView> = Arc::new(Dag(tip));
    let boxed: Box<dyn DagView> = Box::new(Dag(tip));
    for builder in [builder().dag(shared), builder().dag(boxed)] {
        let (peer, mut remote) = connect_remote_over_tcp(Direction::Inbound, &builder.build().unwrap()).unwrap();
        let ours: Version = remote.shake_hands_with(&version()).unwrap();
        peer.wait_for_handshake().unwrap();
        assert_eq!(ours.selected_tip, tip);
        assert!(peer.is_selected_tip_known());
    }
}
