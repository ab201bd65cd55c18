//! Requests that must be answered, and what clears them.

use crate::common::by_hand::{ByHand, Gate, OnMessage, by_hand, by_hand_listening, end_of, with_listener};
use crate::common::patience::{from, unless_late};
use crate::common::{builder, version, wait_until};
use kaspa_peer::peer::StallRule;
use kaspa_peer::wire::{
    Block, BlockFields, Command, Encode, FeeFilter, GetBlockInvs, GetData, GetHeaders, GetSelectedTip, Headers, Inv,
    MerkleBlock, Message, NotFound, Ping, Pong, SelectedTip, Transaction, TxFields, write_message,
};
use kaspa_peer::{Direction, DisconnectReason, Peer};
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(150);

/// The default rules with another limit.
fn rules(limit: Duration) -> Vec<StallRule> {
    StallRule::defaults().into_iter().map(|rule| StallRule { limit, ..rule }).collect()
}

fn requests() -> Vec<(Message, Vec<Message>)> {
    let block = Block::try_from(&BlockFields::default()).unwrap();
    let tx = Transaction::new(&TxFields::default()).unwrap();
    vec![
        (GetBlockInvs::default().into(), vec![Inv::default().into()]),
        (
            GetData::default().into(),
            vec![block.into(), MerkleBlock::default().into(), tx.into(), NotFound::default().into()],
        ),
        (GetSelectedTip.into(), vec![SelectedTip::default().into()]),
        (GetHeaders::default().into(), vec![Headers::default().into()]),
    ]
}

/// Keeps traffic flowing for so long, and checks that the peer lives.
fn lives_for(peer: &Peer, remote: &mut ByHand, time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        remote.send(&Ping { nonce: 1 });
        remote.read_as::<Pong>();
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(peer.disconnect_reason(), None);
}

/// Answers as the remote, and waits until that was read.
fn answer(peer: &Peer, remote: &mut ByHand, answer: &Message) {
    let read = || peer.stats().received.of(answer.command()).messages;
    let before = read();
    remote.send(answer);
    wait_until("the answer is read", || read() > before || peer.disconnect_reason().is_some());
}

#[test]
fn a_request_without_an_answer_ends_the_peer_whatever_else_arrives() {
    for (request, answers) in requests() {
        let (end, mut remote) = by_hand(builder().stall_rules(rules(SHORT)));
        end.peer.queue_message(&request).unwrap();
        assert_eq!(remote.read(), request);
        // What answers other requests does not answer this one.
        for (_, others) in requests() {
            for other in others {
                if !answers.iter().any(|answer| answer.command() == other.command()) {
                    // The time may be over.
                    let _ = write_message(&mut remote.stream, &other, remote.network);
                }
            }
        }
        let reason = DisconnectReason::Stalled { request: request.command(), limit: SHORT };
        assert_eq!(end_of(&end.peer), reason);
        assert_eq!(remote.rest(), [], "no reject");
    }
}

#[test]
fn any_of_the_answers_is_one() {
    std::thread::scope(|scope| {
        for (request, answers) in requests() {
            for its_answer in answers {
                let request = request.clone();
                scope.spawn(move || {
                    unless_late(from(2 * SHORT), |limit, watch| {
                        let (end, mut remote) = by_hand(builder().stall_rules(rules(limit)));
                        watch.tick();
                        end.peer.queue_message(&request).unwrap();
                        assert_eq!(remote.read(), request);
                        answer(&end.peer, &mut remote, &its_answer);
                        watch.rest();
                        lives_for(&end.peer, &mut remote, 2 * limit);
                        // The next request is watched again.
                        end.peer.queue_message(&request).unwrap();
                        let reason = DisconnectReason::Stalled { request: request.command(), limit };
                        assert_eq!(end_of(&end.peer), reason);
                    });
                });
            }
        }
    });
}

#[test]
fn a_repeat_gives_the_remote_its_time_again() {
    unless_late(from(2 * SHORT), |limit, watch| {
        let (end, mut remote) = by_hand(builder().stall_rules(rules(limit)));
        let until = Instant::now() + 3 * limit;
        while Instant::now() < until {
            watch.tick();
            end.peer.queue_message(&GetSelectedTip).unwrap();
            remote.read_as::<GetSelectedTip>();
            watch.sleep(limit / 10);
        }
        assert_eq!(end.peer.disconnect_reason(), None);
        watch.rest();
        let reason = DisconnectReason::Stalled { request: Command::GetSelectedTip, limit };
        assert_eq!(end_of(&end.peer), reason);
    });
}

#[test]
fn without_the_rule_the_peer_lives() {
    let without = |command| rules(SHORT).into_iter().filter(move |rule| rule.request != command);
    for (request, _) in requests() {
        let (end, mut remote) = by_hand(builder().stall_rules(without(request.command())));
        end.peer.queue_message(&request).unwrap();
        assert_eq!(remote.read(), request);
        lives_for(&end.peer, &mut remote, 3 * SHORT);
    }
    let (end, mut remote) = by_hand(builder().stall_rules([]));
    for (request, _) in requests() {
        end.peer.queue_message(&request).unwrap();
        remote.read();
    }
    lives_for(&end.peer, &mut remote, 3 * SHORT);
}

#[test]
fn a_rule_of_ones_own_is_watched() {
    let rule = StallRule { request: Command::GetAddr, answers: vec![Command::Addr], limit: SHORT };
    let (end, _remote) = by_hand(builder().stall_rules([rule]));
    end.peer.queue_message(&kaspa_peer::wire::GetAddr::all()).unwrap();
    assert_eq!(end_of(&end.peer), DisconnectReason::Stalled { request: Command::GetAddr, limit: SHORT });
}

#[test]
fn a_request_that_waits_for_the_handshake_is_not_yet_counted() {
    unless_late(from(SHORT), |limit, watch| {
        let (peer, mut remote) = with_listener(builder().stall_rules(rules(limit)), (), Direction::Inbound, None);
        peer.queue_message(&GetSelectedTip).unwrap();
        std::thread::sleep(2 * limit);
        watch.tick();
        remote.shake_hands(&version());
        remote.read_as::<GetSelectedTip>();
        answer(&peer, &mut remote, &SelectedTip::default().into());
        watch.rest();
        lives_for(&peer, &mut remote, 2 * limit);
        peer.disconnect();
        assert_eq!(end_of(&peer), DisconnectReason::Local);
    });
}

#[test]
fn an_answer_that_waits_behind_a_slow_callback_is_in_time() {
    let gate = Gate::default();
    let slow = gate.clone();
    let listener = OnMessage(move |_: &Peer, message: &Message| {
        if matches!(message, Message::FeeFilter(_)) {
            slow.pass();
        }
    });
    let (peer, mut remote) = by_hand_listening(builder().stall_rules(rules(SHORT)), listener);
    // The request is written while the callback runs, or it could be that the callback starts too late.
    remote.send(&FeeFilter::default());
    gate.wait_for_arrival();
    peer.queue_message(&GetSelectedTip).unwrap();
    remote.read_as::<GetSelectedTip>();
    remote.send(&SelectedTip::default());
    std::thread::sleep(3 * SHORT);
    assert_eq!(peer.disconnect_reason(), None);
    gate.open();
    lives_for(&peer, &mut remote, 3 * SHORT);
}

#[test]
fn a_request_before_a_slow_callback_has_what_was_left_after_it() {
    unless_late(from(2 * SHORT), |limit, watch| {
        let gate = Gate::default();
        let slow = gate.clone();
        let listener = OnMessage(move |_: &Peer, message: &Message| {
            if matches!(message, Message::FeeFilter(_)) {
                slow.pass();
            }
        });
        let (peer, mut remote) = by_hand_listening(builder().stall_rules(rules(limit)), listener);
        watch.tick();
        peer.queue_message(&GetSelectedTip).unwrap();
        remote.read_as::<GetSelectedTip>();
        remote.send(&FeeFilter::default());
        gate.wait_for_arrival();
        watch.rest();
        std::thread::sleep(3 * limit / 2);
        assert_eq!(peer.disconnect_reason(), None);
        watch.tick();
        gate.open();
        // By the clock it is too late; by what the remote had of it, it is not.
        remote.send(&Ping { nonce: 2 });
        remote.read_as::<Pong>();
        watch.sleep(limit / 10);
        assert_eq!(peer.disconnect_reason(), None);
        watch.rest();
        assert_eq!(end_of(&peer), DisconnectReason::Stalled { request: Command::GetSelectedTip, limit });
    });
}

#[test]
fn an_answer_clears_before_its_callback() {
    let gate = Gate::default();
    let slow = gate.clone();
    let listener = OnMessage(move |peer: &Peer, message: &Message| {
        if matches!(message, Message::SelectedTip(_)) {
            // Asks at once for the next.
            peer.queue_message(&GetSelectedTip).unwrap();
            slow.pass();
        }
    });
    let (peer, mut remote) = by_hand_listening(builder().stall_rules(rules(SHORT)), listener);
    remote.send(&SelectedTip::default());
    gate.wait_for_arrival();
    remote.read_as::<GetSelectedTip>();
    gate.open();
    wait_until("the new request is watched", || peer.disconnect_reason().is_some());
    assert_eq!(end_of(&peer), DisconnectReason::Stalled { request: Command::GetSelectedTip, limit: SHORT });
}
