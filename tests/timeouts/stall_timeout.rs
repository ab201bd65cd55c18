//! Requests that must be answered, and what clears them.

use crate::common::blocking::{Gate, OnMessage};
use crate::common::local::{connected_peer, connected_peer_with, end_reason, new_peer_with};
use crate::common::remote::Remote;
use crate::common::retry::{growing, retry_if_late};
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
fn lives_for(peer: &Peer, remote: &mut Remote, time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        remote.send(&Ping { nonce: 1 });
        remote.expect::<Pong>();
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(peer.disconnect_reason(), None);
}

/// Answers as the remote, and waits until that was read.
fn answer(peer: &Peer, remote: &mut Remote, answer: &Message) {
    let read = || peer.stats().received.of(answer.command()).messages;
    let before = read();
    remote.send(answer);
    wait_until("the answer is read", || read() > before || peer.disconnect_reason().is_some());
}

#[test]
fn a_request_without_an_answer_ends_the_peer_whatever_else_arrives() {
    for (request, answers) in requests() {
        let (local, mut remote) = connected_peer(builder().stall_rules(rules(SHORT)));
        local.peer.queue_message(&request).unwrap();
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
        assert_eq!(end_reason(&local.peer), reason);
        assert_eq!(remote.read_until_closed(), [], "no reject");
    }
}

#[test]
fn any_of_the_answers_is_one() {
    std::thread::scope(|scope| {
        for (request, answers) in requests() {
            for its_answer in answers {
                let request = request.clone();
                scope.spawn(move || {
                    retry_if_late(growing(2 * SHORT), |limit, watch| {
                        let (local, mut remote) = connected_peer(builder().stall_rules(rules(limit)));
                        watch.tick();
                        local.peer.queue_message(&request).unwrap();
                        assert_eq!(remote.read(), request);
                        answer(&local.peer, &mut remote, &its_answer);
                        watch.rest();
                        lives_for(&local.peer, &mut remote, 2 * limit);
                        // The next request is watched again.
                        local.peer.queue_message(&request).unwrap();
                        let reason = DisconnectReason::Stalled { request: request.command(), limit };
                        assert_eq!(end_reason(&local.peer), reason);
                    });
                });
            }
        }
    });
}

#[test]
fn a_repeat_gives_the_remote_its_time_again() {
    retry_if_late(growing(2 * SHORT), |limit, watch| {
        let (local, mut remote) = connected_peer(builder().stall_rules(rules(limit)));
        let until = Instant::now() + 3 * limit;
        while Instant::now() < until {
            watch.tick();
            local.peer.queue_message(&GetSelectedTip).unwrap();
            remote.expect::<GetSelectedTip>();
            watch.sleep(limit / 10);
        }
        assert_eq!(local.peer.disconnect_reason(), None);
        watch.rest();
        let reason = DisconnectReason::Stalled { request: Command::GetSelectedTip, limit };
        assert_eq!(end_reason(&local.peer), reason);
    });
}

#[test]
fn without_the_rule_the_peer_lives() {
    let without = |command| rules(SHORT).into_iter().filter(move |rule| rule.request != command);
    for (request, _) in requests() {
        let (local, mut remote) = connected_peer(builder().stall_rules(without(request.command())));
        local.peer.queue_message(&request).unwrap();
        assert_eq!(remote.read(), request);
        lives_for(&local.peer, &mut remote, 3 * SHORT);
    }
    let (local, mut remote) = connected_peer(builder().stall_rules([]));
    for (request, _) in requests() {
        local.peer.queue_message(&request).unwrap();
        remote.read();
    }
    lives_for(&local.peer, &mut remote, 3 * SHORT);
}

#[test]
fn a_rule_of_ones_own_is_watched() {
    let rule = StallRule { request: Command::GetAddr, answers: vec![Command::Addr], limit: SHORT };
    let (local, _remote) = connected_peer(builder().stall_rules([rule]));
    local.peer.queue_message(&kaspa_peer::wire::GetAddr::all()).unwrap();
    assert_eq!(end_reason(&local.peer), DisconnectReason::Stalled { request: Command::GetAddr, limit: SHORT });
}

#[test]
fn a_request_that_waits_for_the_handshake_is_not_yet_counted() {
    retry_if_late(growing(SHORT), |limit, watch| {
        let (peer, mut remote) = new_peer_with((), Direction::Inbound, builder().stall_rules(rules(limit)));
        peer.queue_message(&GetSelectedTip).unwrap();
        std::thread::sleep(2 * limit);
        watch.tick();
        remote.shake_hands(&version());
        remote.expect::<GetSelectedTip>();
        answer(&peer, &mut remote, &SelectedTip::default().into());
        watch.rest();
        lives_for(&peer, &mut remote, 2 * limit);
        peer.disconnect();
        assert_eq!(end_reason(&peer), DisconnectReason::Local);
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
    let (peer, mut remote) = connected_peer_with(listener, builder().stall_rules(rules(SHORT)));
    // The request is written while the callback runs, or it could be that the callback starts too late.
    remote.send(&FeeFilter::default());
    gate.wait_for_arrival();
    peer.queue_message(&GetSelectedTip).unwrap();
    remote.expect::<GetSelectedTip>();
    remote.send(&SelectedTip::default());
    std::thread::sleep(3 * SHORT);
    assert_eq!(peer.disconnect_reason(), None);
    gate.open();
    lives_for(&peer, &mut remote, 3 * SHORT);
}

#[test]
fn a_request_before_a_slow_callback_has_what_was_left_after_it() {
    retry_if_late(growing(2 * SHORT), |limit, watch| {
        let gate = Gate::default();
        let slow = gate.clone();
        let listener = OnMessage(move |_: &Peer, message: &Message| {
            if matches!(message, Message::FeeFilter(_)) {
                slow.pass();
            }
        });
        let (peer, mut remote) = connected_peer_with(listener, builder().stall_rules(rules(limit)));
        watch.tick();
        peer.queue_message(&GetSelectedTip).unwrap();
        remote.expect::<GetSelectedTip>();
        remote.send(&FeeFilter::default());
        gate.wait_for_arrival();
        watch.rest();
        std::thread::sleep(3 * limit / 2);
        assert_eq!(peer.disconnect_reason(), None);
        watch.tick();
        gate.open();
        // By the clock it is too late; by what the remote had of it, it is not.
        remote.send(&Ping { nonce: 2 });
        remote.expect::<Pong>();
        watch.sleep(limit / 10);
        assert_eq!(peer.disconnect_reason(), None);
        watch.rest();
        assert_eq!(end_reason(&peer), DisconnectReason::Stalled { request: Command::GetSelectedTip, limit });
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
    let (peer, mut remote) = connected_peer_with(listener, builder().stall_rules(rules(SHORT)));
    remote.send(&SelectedTip::default());
    gate.wait_for_arrival();
    remote.expect::<GetSelectedTip>();
    gate.open();
    wait_until("the new request is watched", || peer.disconnect_reason().is_some());
    assert_eq!(end_reason(&peer), DisconnectReason::Stalled { request: Command::GetSelectedTip, limit: SHORT });
}
