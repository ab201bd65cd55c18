//! `ask`, `fetch_block` and `fetch_transaction` return the answer that belongs to the question, or say why there is
//! none.

use crate::common::local::{connected_peer, connected_peer_with, new_peer};
use crate::common::{DEADLINE, builder};
use crossbeam_channel::unbounded;
use kaspa_peer::wire::{
    Addr, Block, BlockHeader, Command, FeeFilter, GetAddr, GetData, GetHeaders, GetSelectedTip, Hash, Headers,
    Inventory, Message, NotFound, Ping, Pong, Reject, RejectCode, SelectedTip, Transaction, TxFields,
};
use kaspa_peer::{AskError, Direction, DisconnectReason, Listener, Peer, WaitError, WaitedFor};
use std::thread;
use std::time::Duration;

fn block(nonce: u64) -> Block {
    let header = BlockHeader { nonce, ..BlockHeader::default() };
    Block::new(header, []).unwrap()
}

fn tip(byte: u8) -> SelectedTip {
    SelectedTip { hash: Hash::from_bytes([byte; 32]) }
}

#[test]
fn each_request_gets_the_answer_of_its_type() {
    let (local, mut remote) = connected_peer(builder());
    let peer = local.peer.clone();
    let asking = thread::spawn(move || {
        let tip = peer.ask(&GetSelectedTip, DEADLINE);
        let addresses = peer.ask(&GetAddr::all(), DEADLINE);
        let headers = peer.ask(&GetHeaders::default(), DEADLINE);
        (tip, addresses, headers)
    });
    remote.expect::<GetSelectedTip>().unwrap();
    remote.send(&FeeFilter { min_fee: 1 }).unwrap();
    remote.send(&tip(7)).unwrap();
    remote.expect::<GetAddr>().unwrap();
    remote.send(&Addr::default()).unwrap();
    remote.expect::<GetHeaders>().unwrap();
    remote.send(&Headers::default()).unwrap();
    let answers = asking.join().unwrap();
    assert_eq!(answers, (Ok(tip(7)), Ok(Addr::default()), Ok(Headers::default())));
    // The listener gets the answers as well.
    assert_eq!(local.recorder.wait_for::<SelectedTip>(), tip(7));
}

#[test]
fn many_threads_ask_at_once_and_each_gets_one_answer() {
    let (local, mut remote) = connected_peer(builder());
    thread::scope(|scope| {
        let asking: Vec<_> = (0..20).map(|_| scope.spawn(|| local.peer.ask(&GetSelectedTip, DEADLINE))).collect();
        for number in 0..20 {
            remote.expect::<GetSelectedTip>().unwrap();
            remote.send(&tip(number)).unwrap();
        }
        let mut answers: Vec<_> = asking.into_iter().map(|thread| thread.join().unwrap().unwrap().hash).collect();
        answers.sort_unstable();
        assert_eq!(answers, (0..20).map(|number| tip(number).hash).collect::<Vec<_>>());
    });
}

#[test]
fn a_fetch_is_answered_by_its_own_block_only() {
    let (local, mut remote) = connected_peer(builder());
    let wanted = block(7);
    thread::scope(|scope| {
        let fetch = scope.spawn(|| local.peer.fetch_block(wanted.hash(), DEADLINE));
        assert_eq!(remote.expect::<GetData>().unwrap().items, [Inventory::block(wanted.hash())]);
        remote.send(&block(8)).unwrap();
        remote.send(&NotFound::from(vec![Inventory::block(block(8).hash())])).unwrap();
        remote.send(&wanted).unwrap();
        assert_eq!(fetch.join().unwrap(), Ok(wanted.clone()));
    });
}

#[test]
fn a_fetch_ends_when_the_remote_does_not_have_the_item() {
    let (local, mut remote) = connected_peer(builder());
    let transaction = Transaction::new(&TxFields { lock_time: 7, ..TxFields::default() }).unwrap();
    thread::scope(|scope| {
        let item = Inventory::tx(transaction.id());
        let fetch = scope.spawn(|| local.peer.fetch_transaction(transaction.id(), DEADLINE));
        remote.expect::<GetData>().unwrap();
        remote.send(&NotFound::from(vec![item])).unwrap();
        assert_eq!(fetch.join().unwrap(), Err(AskError::NotFound { item }));
        let fetch = scope.spawn(|| local.peer.fetch_transaction(transaction.id(), DEADLINE));
        remote.expect::<GetData>().unwrap();
        remote.send(&transaction).unwrap();
        assert_eq!(fetch.join().unwrap(), Ok(transaction.clone()));
    });
}

#[test]
fn a_reject_that_names_the_request_ends_the_question() {
    let (local, mut remote) = connected_peer(builder());
    let reject = Reject::new("getseltip", RejectCode::INVALID, "not now");
    thread::scope(|scope| {
        let asking = scope.spawn(|| local.peer.ask(&GetSelectedTip, DEADLINE));
        remote.expect::<GetSelectedTip>().unwrap();
        remote.send(&reject).unwrap();
        assert_eq!(asking.join().unwrap(), Err(AskError::Rejected(Box::new(reject.clone()))));
    });
}

#[test]
fn a_late_answer_does_not_answer_the_next_question() {
    let (local, mut remote) = connected_peer(builder());
    let waited = Duration::from_millis(20);
    let late = local.peer.ask(&GetSelectedTip, waited);
    assert_eq!(late, Err(AskError::Timeout { request: Command::GetSelectedTip, waited }));
    remote.expect::<GetSelectedTip>().unwrap();
    remote.send(&tip(1)).unwrap();
    assert_eq!(local.recorder.wait_for::<SelectedTip>(), tip(1));
    thread::scope(|scope| {
        let asking = scope.spawn(|| local.peer.ask(&GetSelectedTip, DEADLINE));
        remote.expect::<GetSelectedTip>().unwrap();
        remote.send(&tip(2)).unwrap();
        assert_eq!(asking.join().unwrap(), Ok(tip(2)));
    });
}

#[test]
fn the_end_of_the_connection_ends_every_question_with_its_reason() {
    let (local, mut remote) = connected_peer(builder());
    thread::scope(|scope| {
        let asking: Vec<_> = (0..3).map(|_| scope.spawn(|| local.peer.ask(&GetSelectedTip, DEADLINE))).collect();
        for _ in 0..3 {
            remote.expect::<GetSelectedTip>().unwrap();
        }
        local.peer.disconnect();
        for thread in asking {
            assert_eq!(thread.join().unwrap(), Err(AskError::Closed(DisconnectReason::Local)));
        }
    });
    assert_eq!(local.peer.ask(&GetSelectedTip, DEADLINE), Err(AskError::Closed(DisconnectReason::Local)));
}

#[test]
fn asking_in_a_callback_of_the_same_peer_is_an_error() {
    struct Asks(crossbeam_channel::Sender<Result<SelectedTip, AskError>>);
    impl Listener for Asks {
        fn on_message(&self, peer: &Peer, message: &Message) {
            if let Message::FeeFilter(_) = message {
                self.0.send(peer.ask(&GetSelectedTip, DEADLINE)).unwrap();
            }
        }
    }
    let (sender, results) = unbounded();
    let (_peer, mut remote) = connected_peer_with(Asks(sender), builder());
    remote.send(&FeeFilter { min_fee: 1 }).unwrap();
    assert_eq!(results.recv_timeout(DEADLINE), Ok(Err(AskError::InCallback)));
}

#[test]
fn a_message_is_sent_and_worked_through_by_the_remote() {
    let (local, mut remote) = connected_peer(builder());
    thread::scope(|scope| {
        let sending = scope.spawn(|| local.peer.send_and_ping(&FeeFilter { min_fee: 7 }, DEADLINE));
        assert_eq!(remote.expect::<FeeFilter>().unwrap(), FeeFilter { min_fee: 7 });
        let Ping { nonce } = remote.expect::<Ping>().unwrap();
        assert!(!sending.is_finished());
        remote.send(&Pong { nonce }).unwrap();
        assert!(sending.join().unwrap().is_ok());
    });
}

#[test]
fn a_message_that_the_remote_does_not_handle_in_time_is_an_error_with_the_timeout_of_the_call() {
    let (local, _silent) = connected_peer(builder());
    let waited = Duration::from_millis(100);
    let late = local.peer.send_and_ping(&FeeFilter { min_fee: 7 }, waited);
    assert_eq!(late, Err(WaitError::Timeout { what: WaitedFor::Pong, waited }));
}

#[test]
fn a_question_before_the_handshake_waits_for_it() {
    let (local, mut remote) = new_peer(Direction::Inbound, builder());
    thread::scope(|scope| {
        let asking = scope.spawn(|| local.peer.ask(&GetSelectedTip, DEADLINE));
        remote.shake_hands_with(&crate::common::version()).unwrap();
        remote.expect::<GetSelectedTip>().unwrap();
        remote.send(&tip(3)).unwrap();
        assert_eq!(asking.join().unwrap(), Ok(tip(3)));
    });
}
