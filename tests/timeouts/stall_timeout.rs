//! The stall timeout ends a peer whose remote does not answer a request in time.

use crate::common::blocking::{BlocksWriter, FEE_FILTER, Gate, OnMessage, blocks_on_fee_filter, on_fee_filter};
use crate::common::frames::message_of_size;
use crate::common::local::{connected_peer, connected_peer_with, end_reason, wait_until_another_peer_is_idle};
use crate::common::retry::{growing, retry_if_late};
use crate::common::{builder, wait_until};
use kaspa_peer::peer::{Halves, StallRule};
use kaspa_peer::testing::{ScriptedRemote, TestFrame, connect_remote_over_tcp, memory_pair_with_capacity, tcp_pair};
use kaspa_peer::wire::{
    Block, BlockFields, Command, CustomMessage, Encode, GetBlockInvs, GetData, GetHeaders, GetSelectedTip, Headers,
    Inv, MerkleBlock, Message, Network, NotFound, Ping, Pong, SelectedTip, SendHeaders, Transaction, TxFields,
    TxOutput,
};
use kaspa_peer::{Direction, DisconnectReason, Peer, RateLimit};
use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(150);

/// The default rules with another limit.
fn rules(limit: Duration) -> Vec<StallRule> {
    StallRule::defaults().into_iter().map(|rule| StallRule::new(rule.request, rule.answers, limit)).collect()
}

/// Every request with a default rule, and the messages that answer it.
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

/// Keeps traffic flowing for `time`, during which the peer must not end.
fn check_stays_connected(peer: &Peer, remote: &mut ScriptedRemote, time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        remote.send(&Ping { nonce: 1 }).unwrap();
        remote.expect::<Pong>().unwrap();
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(peer.disconnect_reason(), None);
}

/// Sends an answer from the remote, and waits until the peer has read it.
fn send_answer(peer: &Peer, remote: &mut ScriptedRemote, answer: &Message) {
    let read = || peer.stats().received.of(answer.command()).messages;
    let before = read();
    remote.send(answer).unwrap();
    wait_until("the answer is read", || read() > before || peer.disconnect_reason().is_some());
}

#[test]
fn a_request_without_an_answer_ends_the_peer_whatever_else_arrives() {
    for (request, answers) in requests() {
        let (local, mut remote) = connected_peer(builder().stall_rules(rules(SHORT)));
        local.peer.queue_message(&request).unwrap();
        assert_eq!(remote.next_message().unwrap(), request);
        // The answers to other requests do not answer this one.
        for (_, others) in requests() {
            for other in others {
                if !answers.iter().any(|answer| answer.command() == other.command()) {
                    // The timeout may have passed already.
                    let _ = remote.send(&other);
                }
            }
        }
        let reason = DisconnectReason::Stalled { request: request.command(), limit: SHORT };
        assert_eq!(end_reason(&local.peer), reason);
        assert_eq!(remote.read_until_end().unwrap(), [], "no reject");
    }
}

#[test]
fn each_kind_of_answer_stops_the_timeout() {
    std::thread::scope(|scope| {
        for (request, answers) in requests() {
            for its_answer in answers {
                let request = request.clone();
                scope.spawn(move || {
                    retry_if_late(growing(2 * SHORT), |limit, watch| {
                        let (local, mut remote) = connected_peer(builder().stall_rules(rules(limit)));
                        watch.tick();
                        local.peer.queue_message(&request).unwrap();
                        assert_eq!(remote.next_message().unwrap(), request);
                        send_answer(&local.peer, &mut remote, &its_answer);
                        watch.rest();
                        check_stays_connected(&local.peer, &mut remote, 2 * limit);
                        // The next request has a timeout again.
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
fn repeating_a_request_restarts_its_timeout() {
    retry_if_late(growing(2 * SHORT), |limit, watch| {
        let (local, mut remote) = connected_peer(builder().stall_rules(rules(limit)));
        let until = Instant::now() + 3 * limit;
        while Instant::now() < until {
            watch.tick();
            local.peer.queue_message(&GetSelectedTip).unwrap();
            remote.expect::<GetSelectedTip>().unwrap();
            watch.sleep(limit / 10);
        }
        assert_eq!(local.peer.disconnect_reason(), None);
        watch.rest();
        let reason = DisconnectReason::Stalled { request: Command::GetSelectedTip, limit };
        assert_eq!(end_reason(&local.peer), reason);
    });
}

#[test]
fn a_request_without_a_rule_has_no_timeout() {
    let without = |command| rules(SHORT).into_iter().filter(move |rule| rule.request != command);
    for (request, _) in requests() {
        let (local, mut remote) = connected_peer(builder().stall_rules(without(request.command())));
        local.peer.queue_message(&request).unwrap();
        assert_eq!(remote.next_message().unwrap(), request);
        check_stays_connected(&local.peer, &mut remote, 3 * SHORT);
    }
    let (local, mut remote) = connected_peer(builder().stall_rules([]));
    for (request, _) in requests() {
        local.peer.queue_message(&request).unwrap();
        remote.next_message().unwrap();
    }
    check_stays_connected(&local.peer, &mut remote, 3 * SHORT);
}

#[test]
fn a_rule_of_the_program_is_applied() {
    let rule = StallRule::new(Command::GetAddr, [Command::Addr], SHORT);
    let (local, _remote) = connected_peer(builder().stall_rules([rule]));
    local.peer.queue_message(&kaspa_peer::wire::GetAddr::all()).unwrap();
    assert_eq!(end_reason(&local.peer), DisconnectReason::Stalled { request: Command::GetAddr, limit: SHORT });
}

#[test]
fn the_timeout_does_not_run_while_the_request_waits_for_the_handshake() {
    retry_if_late(growing(SHORT), |limit, watch| {
        let (peer, mut remote) = connect_remote_over_tcp(
            Direction::Inbound,
            &builder().stall_rules(rules(limit)).listener(()).build().unwrap(),
        )
        .unwrap();
        peer.queue_message(&GetSelectedTip).unwrap();
        wait_until_another_peer_is_idle(2 * limit);
        watch.tick();
        remote.shake_hands().unwrap();
        remote.expect::<GetSelectedTip>().unwrap();
        send_answer(&peer, &mut remote, &SelectedTip::default().into());
        watch.rest();
        check_stays_connected(&peer, &mut remote, 2 * limit);
        peer.disconnect();
        assert_eq!(end_reason(&peer), DisconnectReason::Local);
    });
}

#[test]
fn an_answer_that_arrives_during_a_slow_callback_is_in_time() {
    retry_if_late(growing(2 * SHORT), |limit, watch| {
        let gate = Gate::default();
        let config = builder().stall_rules(rules(limit));
        let (peer, mut remote) = connected_peer_with(blocks_on_fee_filter(&gate), config);
        // The request is written while the callback runs, so that the whole timeout falls into the callback.
        remote.send(&FEE_FILTER).unwrap();
        gate.wait_for_arrival();
        watch.tick();
        peer.queue_message(&GetSelectedTip).unwrap();
        remote.expect::<GetSelectedTip>().unwrap();
        remote.send(&SelectedTip::default()).unwrap();
        // Longer than the timeout, but not longer than the time in callbacks can move it.
        watch.sleep(5 * limit / 4);
        assert_eq!(peer.disconnect_reason(), None);
        gate.open();
        let answers = || peer.stats().received.of(Command::SelectedTip).messages;
        wait_until("the answer is read", || answers() > 0 || peer.disconnect_reason().is_some());
        watch.rest();
        check_stays_connected(&peer, &mut remote, 2 * limit);
    });
}

#[test]
fn the_time_in_a_callback_does_not_count_for_an_earlier_request() {
    retry_if_late(growing(2 * SHORT), |limit, watch| {
        let gate = Gate::default();
        let config = builder().stall_rules(rules(limit));
        let (peer, mut remote) = connected_peer_with(blocks_on_fee_filter(&gate), config);
        watch.tick();
        peer.queue_message(&GetSelectedTip).unwrap();
        remote.expect::<GetSelectedTip>().unwrap();
        remote.send(&FEE_FILTER).unwrap();
        gate.wait_for_arrival();
        // Longer than the timeout, but not longer than the time in callbacks can move it.
        watch.sleep(5 * limit / 4);
        assert_eq!(peer.disconnect_reason(), None);
        gate.open();
        remote.send(&Ping { nonce: 2 }).unwrap();
        remote.expect::<Pong>().unwrap();
        watch.sleep(limit / 10);
        assert_eq!(peer.disconnect_reason(), None);
        watch.rest();
        assert_eq!(end_reason(&peer), DisconnectReason::Stalled { request: Command::GetSelectedTip, limit });
    });
}

#[test]
fn a_request_made_in_the_callback_of_an_answer_has_a_timeout() {
    let gate = Gate::default();
    let slow = gate.clone();
    let listener = OnMessage(move |peer: &Peer, message: &Message| {
        if matches!(message, Message::SelectedTip(_)) {
            // The answer must not stop the timeout of this request.
            peer.queue_message(&GetSelectedTip).unwrap();
            slow.pass();
        }
    });
    let (peer, mut remote) = connected_peer_with(listener, builder().stall_rules(rules(SHORT)));
    remote.send(&SelectedTip::default()).unwrap();
    gate.wait_for_arrival();
    remote.expect::<GetSelectedTip>().unwrap();
    gate.open();
    assert_eq!(end_reason(&peer), DisconnectReason::Stalled { request: Command::GetSelectedTip, limit: SHORT });
}

/// Ends of a peer with an unanswered `getseltip` and a remote that sends `feefilter`s until then.
fn end_while_fee_filters_arrive(
    config: kaspa_peer::ConfigBuilder,
    listener: impl kaspa_peer::Listener,
) -> DisconnectReason {
    let (peer, mut remote) = connected_peer_with(listener, config);
    peer.queue_message(&GetSelectedTip).unwrap();
    remote.expect::<GetSelectedTip>().unwrap();
    let many = TestFrame::of(&FEE_FILTER, Network::Simnet).unwrap().to_bytes().repeat(1000);
    let flood = std::thread::spawn(move || while remote.send_bytes(&many).is_ok() {});
    let reason = end_reason(&peer);
    flood.join().unwrap();
    reason
}

#[test]
fn a_remote_that_keeps_the_reader_busy_is_found_stalled() {
    let stalled = DisconnectReason::Stalled { request: Command::GetSelectedTip, limit: SHORT };
    let config = || builder().stall_rules(rules(SHORT));
    assert_eq!(end_while_fee_filters_arrive(config(), ()), stalled, "a flood");
    let slow = on_fee_filter(|_| std::thread::sleep(Duration::from_millis(1)));
    assert_eq!(end_while_fee_filters_arrive(config(), slow), stalled, "callbacks without end");
    let limit = RateLimit::default().messages_per_second(1000).burst(SHORT / 10);
    assert_eq!(end_while_fee_filters_arrive(config().rate_limit(limit), ()), stalled, "a rate limit");
}

/// A write half that accepts everything until the test says so, and then a thousand bytes every few milliseconds.
struct Slow {
    socket: TcpStream,
    is_slow: Arc<AtomicBool>,
}

impl Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if !self.is_slow.load(Ordering::SeqCst) {
            return self.socket.write(bytes);
        }
        std::thread::sleep(Duration::from_millis(20));
        self.socket.write(&bytes[..bytes.len().min(1000)])
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_timeout_does_not_run_before_the_request_is_wholly_written() {
    let (ours, theirs) = tcp_pair().unwrap();
    let is_slow = Arc::new(AtomicBool::new(false));
    let gate = Gate::default();
    let config = builder()
        .stall_rules(rules(SHORT))
        .listener(BlocksWriter { gate: gate.clone(), ..BlocksWriter::default() })
        .build()
        .unwrap();
    let (reader, socket) = (ours.try_clone().unwrap(), ours.try_clone().unwrap());
    let writer = Slow { socket, is_slow: is_slow.clone() };
    let halves = Halves::new(reader, writer, move || drop(ours.shutdown(Shutdown::Both)));
    let peer = Peer::inbound(halves, "slow:1", &config).unwrap();
    let mut remote = ScriptedRemote::new(theirs, Network::Simnet);
    remote.shake_hands().unwrap();
    peer.wait_for_handshake().unwrap();
    // While the writer is blocked, a large message and the request behind it become one batch.
    peer.queue_message(&SendHeaders).unwrap();
    gate.wait_for_arrival();
    for _ in 0..5 {
        peer.queue_message(&message_of_size(8000)).unwrap();
    }
    peer.queue_message(&GetSelectedTip).unwrap();
    is_slow.store(true, Ordering::SeqCst);
    gate.open();
    // Forty writes of 20 ms take five times as long as the timeout, and the remote can answer only then.
    while !matches!(remote.next_message().unwrap(), Message::GetSelectedTip(_)) {}
    assert_eq!(peer.disconnect_reason(), None);
    // From here on it runs.
    assert_eq!(end_reason(&peer), DisconnectReason::Stalled { request: Command::GetSelectedTip, limit: SHORT });
}

#[test]
fn a_large_answer_that_is_arriving_is_not_stalled() {
    let output = TxOutput { value: 1, script: vec![0; 200_000] };
    let tx = Transaction::new(&TxFields { outputs: vec![output], ..TxFields::default() }).unwrap();
    retry_if_late(growing(SHORT), |limit, watch| {
        let (local, mut remote) = connected_peer(builder().stall_rules(rules(limit)));
        watch.tick();
        local.peer.queue_message(&GetData::default()).unwrap();
        remote.expect::<GetData>().unwrap();
        // Twenty pieces, so that the answer takes at least twice as long as the timeout.
        for piece in TestFrame::of(&tx, Network::Simnet).unwrap().to_bytes().chunks(10_000) {
            remote.send_bytes(piece).unwrap();
            watch.sleep(limit / 8);
        }
        watch.rest();
        let answers = || local.peer.stats().received.of(Command::Tx).messages;
        wait_until("the answer is read", || answers() > 0 || local.peer.disconnect_reason().is_some());
        assert_eq!(local.peer.disconnect_reason(), None);
    });
    // An answer whose rest never arrives is up to the frame timeout.
    retry_if_late(growing(SHORT), |limit, watch| {
        let config = builder().stall_rules(rules(limit)).frame_timeout(3 * limit);
        let (local, mut remote) = connected_peer(config);
        watch.tick();
        local.peer.queue_message(&GetData::default()).unwrap();
        remote.expect::<GetData>().unwrap();
        remote.send_bytes(&TestFrame::of(&tx, Network::Simnet).unwrap().to_bytes()[..1000]).unwrap();
        watch.rest();
        assert_eq!(end_reason(&local.peer), DisconnectReason::FrameTimeout { limit: 3 * limit });
    });
}

/// The answer to the first request is there before the second is written. A remote that then answers no more has
/// stalled, though both requests were queued together.
#[test]
fn an_answer_to_a_written_request_does_not_count_for_one_that_is_not_written() {
    let config = builder().stall_rules(rules(Duration::from_secs(1))).build().unwrap();
    // The stream holds less than what is queued, so that the batch is written in several parts.
    let (ours, theirs) = memory_pair_with_capacity(16 * 1024);
    let peer = Peer::inbound(ours, "memory", &config).unwrap();
    let mut remote = ScriptedRemote::new(theirs, config.network());
    peer.queue_message(&GetData::default()).unwrap();
    for _ in 0..2 {
        peer.queue_message(&CustomMessage::new("filler", vec![0; 30_000]).unwrap()).unwrap();
    }
    peer.queue_message(&GetData::default()).unwrap();
    remote.shake_hands().unwrap();
    remote.expect::<GetData>().unwrap();
    let answer = NotFound::default();
    remote.send(&answer).unwrap();
    wait_until("the answer is read", || peer.stats().received.of(answer.command()).messages > 0);
    let second = |message: &Message| matches!(message, Message::GetData(_));
    remote.wait_for_match(second).unwrap();
    assert!(matches!(end_reason(&peer), DisconnectReason::Stalled { request: Command::GetData, .. }));
}
