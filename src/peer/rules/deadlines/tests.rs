//! The deadlines, with times that the tests make up.

use super::*;
use crate::Config;
use crate::ConfigBuilder;
use crate::wire::Network;
use proptest::prelude::*;

const SEC: Duration = Duration::from_secs(1);

/// Deadlines of a configuration in which only the handshake is limited, and what is set with `change`.
fn deadlines(now: Instant, change: impl FnOnce(ConfigBuilder) -> ConfigBuilder) -> Deadlines {
    let builder = Config::builder(Network::Simnet).handshake_timeout(30 * SEC).idle_timeout(None).frame_timeout(None);
    let config = change(builder.ping_interval(None).stall_rules([])).build().unwrap();
    Deadlines::new(config.settings().timeouts(), now)
}

/// The same, with the handshake done at once.
fn introduced(now: Instant, change: impl FnOnce(ConfigBuilder) -> ConfigBuilder) -> Deadlines {
    let mut it = deadlines(now, change);
    it.handshake_done(now);
    it
}

/// Nothing is due just before `at`, and `Deadlines::next` says `at`; what is due then.
fn due_at(it: &mut Deadlines, at: Instant) -> Option<Due> {
    assert_eq!(it.next(), Some(at));
    assert_eq!(it.due(at - Duration::from_nanos(1)), None);
    it.due(at)
}

/// Works through what was read, from `from` to `to`.
fn callbacks(it: &mut Deadlines, from: Instant, to: Instant, heard: bool) {
    it.reader_busy(from);
    it.reader_waits(to, heard);
}

/// Writes a request, all of it at once.
fn ask(it: &mut Deadlines, request: Command, now: Instant) {
    it.about_to_write(request);
    it.written(request, now);
}

fn idle(limit: Duration) -> Option<Due> {
    Some(Due::End(DisconnectReason::Idle { limit }))
}

fn stalled(request: Command, limit: Duration) -> Option<Due> {
    Some(Due::End(DisconnectReason::Stalled { request, limit }))
}

fn handshake_timeout() -> Option<Due> {
    Some(Due::End(DisconnectReason::Handshake(HandshakeError::Timeout { limit: 30 * SEC })))
}

fn rule(request: Command, answers: &[Command], limit: Duration) -> StallRule {
    StallRule { request, answers: answers.to_vec(), limit }
}

#[test]
fn the_handshake_has_one_deadline_that_nothing_moves() {
    let now = Instant::now();
    let mut it = deadlines(now, |builder| builder.idle_timeout(SEC).ping_interval(SEC));
    callbacks(&mut it, now + SEC, now + 5 * SEC, true);
    assert_eq!(due_at(&mut it, now + 30 * SEC), handshake_timeout());
    it.reader_busy(now + 29 * SEC);
    assert_eq!(due_at(&mut it, now + 30 * SEC), handshake_timeout(), "callbacks do not buy time here");
    // Nor does a pinger that was not asked.
    assert_eq!(it.handshake_overdue(now + 30 * SEC - Duration::from_nanos(1)), None);
    assert_eq!(it.handshake_overdue(now + 30 * SEC).map(Due::End), handshake_timeout());
    it.handshake_done(now + 29 * SEC);
    assert_eq!(it.handshake_overdue(now + 31 * SEC), None);
}

#[test]
fn idle_and_ping_begin_with_the_end_of_the_handshake() {
    let now = Instant::now();
    let mut it = deadlines(now, |builder| builder.idle_timeout(5 * SEC).ping_interval(2 * SEC));
    assert_eq!(it.due(now + 20 * SEC), None);
    it.handshake_done(now + 20 * SEC);
    assert_eq!(due_at(&mut it, now + 22 * SEC), Some(Due::Ping));
    assert_eq!(it.due(now + 22 * SEC), None, "once an interval");
    assert_eq!(due_at(&mut it, now + 24 * SEC), Some(Due::Ping));
    assert_eq!(due_at(&mut it, now + 25 * SEC), idle(5 * SEC));
    assert_eq!(it.due(now + 30 * SEC), idle(5 * SEC), "not the handshake's");
}

#[test]
fn a_late_ping_puts_off_the_next() {
    let now = Instant::now();
    let mut it = introduced(now, |builder| builder.ping_interval(2 * SEC));
    assert_eq!(it.due(now + 7 * SEC), Some(Due::Ping));
    assert_eq!(due_at(&mut it, now + 9 * SEC), Some(Due::Ping));
}

#[test]
fn pings_go_on_while_a_callback_runs() {
    let now = Instant::now();
    let mut it = introduced(now, |builder| builder.idle_timeout(5 * SEC).ping_interval(2 * SEC));
    it.reader_busy(now);
    assert_eq!(due_at(&mut it, now + 2 * SEC), Some(Due::Ping));
}

#[test]
fn idle_restarts_with_a_whole_message() {
    let now = Instant::now();
    let mut it = introduced(now, |builder| builder.idle_timeout(5 * SEC));
    callbacks(&mut it, now + 4 * SEC, now + 4 * SEC, true);
    assert_eq!(due_at(&mut it, now + 9 * SEC), idle(5 * SEC));
    callbacks(&mut it, now + 8 * SEC, now + 11 * SEC, true);
    assert_eq!(due_at(&mut it, now + 16 * SEC), idle(5 * SEC), "from when the callbacks are through");
}

#[test]
fn a_part_of_a_message_does_not_restart_idle() {
    let now = Instant::now();
    let mut it = introduced(now, |builder| builder.idle_timeout(5 * SEC));
    for second in 1..5 {
        callbacks(&mut it, now + second * SEC, now + second * SEC, false);
    }
    assert_eq!(due_at(&mut it, now + 5 * SEC), idle(5 * SEC));
}

#[test]
fn the_end_of_a_read_that_never_began_changes_nothing() {
    let now = Instant::now();
    let mut it = introduced(now, |builder| builder.idle_timeout(5 * SEC));
    it.reader_waits(now + 4 * SEC, true);
    assert_eq!(due_at(&mut it, now + 5 * SEC), idle(5 * SEC));
}

fn frame_timeout(limit: Duration) -> Option<Due> {
    Some(Due::End(DisconnectReason::FrameTimeout { limit }))
}

#[test]
fn a_frame_has_one_deadline_from_its_first_byte() {
    let now = Instant::now();
    let mut it = introduced(now, |builder| builder.frame_timeout(5 * SEC));
    assert_eq!(it.next(), None, "nothing is on its way");
    it.frame_arriving(Some(100), None, now);
    it.frame_arriving(Some(100), None, now + 4 * SEC);
    assert_eq!(due_at(&mut it, now + 5 * SEC), frame_timeout(5 * SEC));
    it.frame_arriving(Some(200), None, now + 4 * SEC);
    assert_eq!(due_at(&mut it, now + 9 * SEC), frame_timeout(5 * SEC), "the next frame");
    it.frame_arriving(None, None, now + 8 * SEC);
    assert_eq!(it.next(), None, "whole");
}

#[test]
fn every_default_rule_has_its_answers() {
    use Command::*;
    let now = Instant::now();
    let expected: [(Command, &[Command], Duration); 4] = [
        (GetBlockInvs, &[Inv], 30 * SEC),
        (GetData, &[Block, MerkleBlock, Tx, NotFound], 30 * SEC),
        (GetSelectedTip, &[SelectedTip], 30 * SEC),
        (GetHeaders, &[Headers], 90 * SEC),
    ];
    for (request, answers, limit) in expected {
        for answer in Command::ALL {
            let mut it = introduced(now, |builder| builder.stall_rules(StallRule::defaults()));
            ask(&mut it, request, now + SEC);
            assert_eq!(it.next(), Some(now + SEC + limit));
            it.answered(answer);
            if answers.contains(&answer) {
                assert_eq!((it.next(), it.due(now + 1000 * SEC)), (None, None), "{request} {answer}");
            } else {
                assert_eq!(due_at(&mut it, now + SEC + limit), stalled(request, limit), "{request} {answer}");
            }
        }
    }
    for request in Command::ALL {
        let mut it = introduced(now, |builder| builder.stall_rules(StallRule::defaults()));
        ask(&mut it, request, now);
        assert_eq!(it.next().is_some(), expected.iter().any(|rule| rule.0 == request), "{request}");
    }
}

#[test]
fn a_repeated_request_restarts_its_rule_and_no_other() {
    let now = Instant::now();
    let rules =
        [rule(Command::GetData, &[Command::Block], 10 * SEC), rule(Command::GetHeaders, &[Command::Headers], 10 * SEC)];
    let mut it = introduced(now, |builder| builder.stall_rules(rules));
    ask(&mut it, Command::GetData, now);
    ask(&mut it, Command::GetHeaders, now + 2 * SEC);
    ask(&mut it, Command::GetData, now + 8 * SEC);
    assert_eq!(due_at(&mut it, now + 12 * SEC), stalled(Command::GetHeaders, 10 * SEC));
    it.answered(Command::Headers);
    assert_eq!(due_at(&mut it, now + 18 * SEC), stalled(Command::GetData, 10 * SEC));
    it.answered(Command::Block);
    assert_eq!(it.next(), None);
    ask(&mut it, Command::GetData, now + 20 * SEC);
    assert_eq!(due_at(&mut it, now + 30 * SEC), stalled(Command::GetData, 10 * SEC));
}

#[test]
fn one_request_can_have_two_rules_and_one_answer_can_clear_both() {
    let now = Instant::now();
    let rules = [
        rule(Command::GetData, &[Command::Block, Command::Tx], 10 * SEC),
        rule(Command::GetData, &[Command::Tx], 5 * SEC),
    ];
    let mut it = introduced(now, |builder| builder.stall_rules(rules));
    ask(&mut it, Command::GetData, now);
    it.answered(Command::Block);
    assert_eq!(due_at(&mut it, now + 5 * SEC), stalled(Command::GetData, 5 * SEC));
    ask(&mut it, Command::GetData, now);
    it.answered(Command::Tx);
    assert_eq!(it.next(), None);
}

#[test]
fn a_stall_is_shifted_by_what_callbacks_take() {
    let now = Instant::now();
    let rules = [rule(Command::GetData, &[Command::Block], 10 * SEC)];
    let mut it = introduced(now, |builder| builder.stall_rules(rules));
    ask(&mut it, Command::GetData, now);
    callbacks(&mut it, now + SEC, now + 4 * SEC, true);
    callbacks(&mut it, now + 5 * SEC, now + 6 * SEC, false);
    assert_eq!(due_at(&mut it, now + 14 * SEC), stalled(Command::GetData, 10 * SEC));
}

#[test]
fn a_request_written_after_the_read_was_timed_is_not_shifted_back() {
    let now = Instant::now();
    let rules = [rule(Command::GetData, &[Command::Block], 10 * SEC)];
    let mut it = introduced(now, |builder| builder.stall_rules(rules));
    it.reader_busy(now);
    // The writer looked at the clock later than the reader, and got in before it.
    ask(&mut it, Command::GetData, now + 2 * SEC);
    it.reader_waits(now + SEC, true);
    assert_eq!(due_at(&mut it, now + 12 * SEC), stalled(Command::GetData, 10 * SEC));
}

#[test]
fn last_words_end_with_their_own_reason() {
    let now = Instant::now();
    let mut it = introduced(now, |builder| builder.idle_timeout(5 * SEC));
    it.end_at(now + SEC, DisconnectReason::Local);
    it.reader_busy(now);
    assert_eq!(due_at(&mut it, now + SEC), Some(Due::End(DisconnectReason::Local)), "callbacks or not");
    assert_eq!(it.due(now + SEC), None, "said once");
}

#[test]
fn what_is_off_is_never_due() {
    let now = Instant::now();
    let mut it = introduced(now, |builder| builder);
    ask(&mut it, Command::GetData, now);
    callbacks(&mut it, now, now + SEC, true);
    it.frame_arriving(Some(1), None, now);
    assert_eq!((it.next(), it.due(now + 1_000_000 * SEC)), (None, None));
}

#[test]
fn limits_beyond_the_end_of_time_are_off() {
    let now = Instant::now();
    let (max, rules) = (Duration::MAX, [rule(Command::GetData, &[Command::Block], Duration::MAX)]);
    let mut it = introduced(now, |builder| {
        builder.handshake_timeout(max).idle_timeout(max).frame_timeout(max).ping_interval(max).stall_rules(rules)
    });
    ask(&mut it, Command::GetData, now);
    callbacks(&mut it, now, now + SEC, true);
    it.frame_arriving(Some(1), None, now);
    assert_eq!((it.next(), it.due(now + 1_000_000 * SEC)), (None, None));
}

#[test]
fn of_what_is_due_at_once_the_end_comes_before_a_ping() {
    let now = Instant::now();
    let rules =
        [rule(Command::GetData, &[Command::Block], 5 * SEC), rule(Command::GetHeaders, &[Command::Headers], 5 * SEC)];
    let mut it =
        introduced(now, |builder| builder.idle_timeout(5 * SEC).ping_interval(5 * SEC).stall_rules(rules.clone()));
    ask(&mut it, Command::GetHeaders, now);
    ask(&mut it, Command::GetData, now);
    it.end_at(now + 5 * SEC, DisconnectReason::Local);
    let late = now + 100 * SEC;
    assert_eq!(it.due(late), Some(Due::End(DisconnectReason::Local)));
    assert_eq!(it.due(late), idle(5 * SEC));
    let mut it = introduced(now, |builder| builder.ping_interval(5 * SEC).stall_rules(rules));
    ask(&mut it, Command::GetHeaders, now);
    ask(&mut it, Command::GetData, now);
    assert_eq!(it.due(late), stalled(Command::GetData, 5 * SEC), "rules in their order");
}

#[test]
fn only_what_answers_a_waiting_request_is_awaited() {
    let now = Instant::now();
    let [hello, world] = ["hello", "world"].map(|name| name.parse::<Command>().unwrap());
    let rules = [
        rule(Command::GetData, &[Command::Block, Command::Tx], SEC),
        rule(Command::GetSelectedTip, &[Command::SelectedTip], SEC),
        rule(hello, &[world], SEC),
    ];
    let mut it = introduced(now, |builder| builder.stall_rules(rules));
    assert_eq!(it.awaited(), Commands::default());
    ask(&mut it, Command::GetData, now);
    ask(&mut it, hello, now);
    for command in Command::ALL {
        let answers = matches!(command, Command::Block | Command::Tx);
        assert_eq!(it.awaited().contains(command), answers, "{command}");
    }
    assert!(it.awaited().contains(hello), "unknown commands are one");
    assert_eq!(Commands::from_bits(it.awaited().bits()), it.awaited());
    assert_ne!(it.awaited().bits(), 0);
    it.answered(Command::Tx);
    it.answered(world);
    assert_eq!(it.awaited(), Commands::default());
}

#[test]
fn what_answers_two_waiting_requests_is_awaited() {
    let now = Instant::now();
    let rules = [Command::GetData, Command::GetBlockInvs].map(|request| rule(request, &[Command::Inv], SEC));
    let mut it = introduced(now, |builder| builder.stall_rules(rules));
    ask(&mut it, Command::GetData, now);
    ask(&mut it, Command::GetBlockInvs, now);
    assert!(it.awaited().contains(Command::Inv));
    it.answered(Command::Inv);
    assert!(!it.awaited().contains(Command::Inv));
}

#[test]
fn callbacks_move_a_deadline_by_at_most_its_limit_again() {
    let now = Instant::now();
    let rules = [rule(Command::GetData, &[Command::Block], 5 * SEC)];
    let make = |rules: &[StallRule]| {
        introduced(now, |builder| builder.idle_timeout(5 * SEC).frame_timeout(5 * SEC).stall_rules(rules.to_vec()))
    };
    // One long callback: judged while it runs, once the credit is used up.
    let mut it = make(&[]);
    it.reader_busy(now + SEC);
    assert_eq!(
        (it.next(), it.due(now + 5 * SEC)),
        (Some(now + 5 * SEC), None),
        "the pinger looks, and sees a callback"
    );
    assert_eq!(due_at(&mut it, now + 10 * SEC), idle(5 * SEC));
    // Many short ones, of a second each two seconds: five of them move it by five seconds, and no more.
    for check_frame in [false, true] {
        let mut it = introduced(now, |builder| match check_frame {
            true => builder.frame_timeout(5 * SEC),
            false => builder.stall_rules(rules.clone()),
        });
        ask(&mut it, Command::GetData, now);
        it.frame_arriving(Some(1), None, now);
        for second in [0, 2, 4, 6, 8] {
            callbacks(&mut it, now + second * SEC, now + (second + 1) * SEC, true);
            it.frame_arriving(Some(1), None, now + (second + 1) * SEC);
            assert_eq!(it.due(now + (second + 1) * SEC), None);
        }
        it.reader_busy(now + 9 * SEC);
        let expected = if check_frame { frame_timeout(5 * SEC) } else { stalled(Command::GetData, 5 * SEC) };
        assert_eq!(due_at(&mut it, now + 10 * SEC), expected);
    }
}

#[test]
fn a_deadline_that_passed_before_a_callback_is_not_moved_by_it() {
    let now = Instant::now();
    let mut it = introduced(now, |builder| builder.idle_timeout(5 * SEC));
    it.reader_busy(now + 5 * SEC);
    assert_eq!(it.next(), Some(now + 5 * SEC));
    assert_eq!(it.due(now + 6 * SEC), idle(5 * SEC));
}

#[test]
fn a_request_written_while_a_callback_runs_is_credited_from_then_on() {
    let now = Instant::now();
    let rules = [rule(Command::GetData, &[Command::Block], 10 * SEC)];
    let mut it = introduced(now, |builder| builder.stall_rules(rules));
    it.reader_busy(now);
    ask(&mut it, Command::GetData, now + 3 * SEC);
    it.reader_waits(now + 7 * SEC, true);
    assert_eq!(due_at(&mut it, now + 17 * SEC), stalled(Command::GetData, 10 * SEC));
}

#[test]
fn an_answer_has_its_time_from_when_the_request_is_wholly_written() {
    let now = Instant::now();
    let rules = [
        rule(Command::GetSelectedTip, &[Command::SelectedTip], 3 * SEC),
        rule(Command::GetData, &[Command::Block], 5 * SEC),
        rule(Command::GetHeaders, &[Command::Headers], SEC),
    ];
    let mut it = introduced(now, |builder| builder.stall_rules(rules));
    for request in [Command::GetSelectedTip, Command::GetData, Command::GetHeaders] {
        it.about_to_write(request);
    }
    assert_eq!((it.next(), it.due(now + 1000 * SEC)), (None, None), "nothing is written yet");
    assert!(it.awaited().contains(Command::Headers), "but an answer can come");
    it.answered(Command::Headers);
    it.written(Command::GetHeaders, now + SEC);
    assert_eq!(it.next(), None, "the answer was quicker than the write");
    it.written(Command::GetSelectedTip, now + 4 * SEC);
    assert_eq!(due_at(&mut it, now + 7 * SEC), stalled(Command::GetSelectedTip, 3 * SEC), "the other is half written");
    it.answered(Command::SelectedTip);
    it.written(Command::GetData, now + 8 * SEC);
    assert_eq!(due_at(&mut it, now + 13 * SEC), stalled(Command::GetData, 5 * SEC));
}

#[test]
fn a_repeat_that_is_not_written_yet_leaves_the_deadline_of_the_first() {
    let now = Instant::now();
    let rules = [rule(Command::GetData, &[Command::Block], 5 * SEC)];
    let mut it = introduced(now, |builder| builder.stall_rules(rules));
    ask(&mut it, Command::GetData, now);
    it.about_to_write(Command::GetData);
    assert_eq!(due_at(&mut it, now + 5 * SEC), stalled(Command::GetData, 5 * SEC));
}

#[test]
fn an_answer_between_two_requests_leaves_the_second_its_deadline() {
    let now = Instant::now();
    let rules = [rule(Command::GetData, &[Command::Block], 5 * SEC)];
    let mut it = introduced(now, |builder| builder.stall_rules(rules));
    ask(&mut it, Command::GetData, now);
    it.about_to_write(Command::GetData);
    it.answered(Command::Block);
    assert_eq!(it.next(), None);
    it.written(Command::GetData, now + SEC);
    assert_eq!(due_at(&mut it, now + 6 * SEC), stalled(Command::GetData, 5 * SEC));
    // Two answers are for both.
    ask(&mut it, Command::GetData, now);
    it.about_to_write(Command::GetData);
    it.answered(Command::Block);
    it.answered(Command::Block);
    it.written(Command::GetData, now + SEC);
    assert_eq!((it.next(), it.awaited()), (None, Commands::default()));
}

#[test]
fn an_answer_that_is_arriving_is_judged_by_the_deadline_of_its_frame() {
    let now = Instant::now();
    let rules = [rule(Command::GetData, &[Command::Block, Command::Tx], 5 * SEC)];
    let mut it = introduced(now, |builder| builder.frame_timeout(60 * SEC).stall_rules(rules.clone()));
    ask(&mut it, Command::GetData, now);
    it.frame_arriving(Some(1), Some(Command::Tx), now + 4 * SEC);
    assert_eq!(it.due(now + 30 * SEC), None);
    assert_eq!(due_at(&mut it, now + 64 * SEC), frame_timeout(60 * SEC));
    // The frame is refused, or turns out to be something else: the request is judged again.
    it.frame_arriving(None, None, now + 40 * SEC);
    assert_eq!(it.due(now + 40 * SEC), stalled(Command::GetData, 5 * SEC));
    it.frame_arriving(Some(2), Some(Command::Addr), now + 40 * SEC);
    assert_eq!(it.due(now + 40 * SEC), stalled(Command::GetData, 5 * SEC));
    // It is complete.
    it.answered(Command::Tx);
    it.frame_arriving(None, None, now + 40 * SEC);
    assert_eq!(it.next(), None);
    // Without a frame timeout nothing else would judge it.
    let mut it = introduced(now, |builder| builder.stall_rules(rules));
    ask(&mut it, Command::GetData, now);
    it.frame_arriving(Some(1), Some(Command::Tx), now + 4 * SEC);
    assert_eq!(due_at(&mut it, now + 5 * SEC), stalled(Command::GetData, 5 * SEC));
}

#[test]
fn a_pinger_that_wakes_up_late_gives_the_reader_time_to_catch_up() {
    let now = Instant::now();
    let rules = [rule(Command::GetData, &[Command::Block], 5 * SEC)];
    let make = || {
        let mut it =
            introduced(now, |builder| builder.idle_timeout(6 * SEC).frame_timeout(7 * SEC).stall_rules(rules.clone()));
        ask(&mut it, Command::GetData, now);
        it.frame_arriving(Some(1), None, now);
        it
    };
    let mut it = make();
    it.pinger_woke(now + 5 * SEC, now + 100 * SEC);
    assert_eq!(it.due(now + 100 * SEC), None);
    assert_eq!(due_at(&mut it, now + 101 * SEC), stalled(Command::GetData, 5 * SEC));
    it.answered(Command::Block);
    assert_eq!(due_at(&mut it, now + 102 * SEC), idle(6 * SEC));
    let mut it = make();
    it.pinger_woke(now + 5 * SEC, now + 5 * SEC + PUNCTUAL);
    assert_eq!(it.due(now + 5 * SEC + PUNCTUAL), stalled(Command::GetData, 5 * SEC), "punctual enough");
    let mut it = make();
    it.pinger_woke(now + 5 * SEC, now);
    assert_eq!(it.next(), Some(now + 5 * SEC), "woken early");
    // The handshake is not judged by what arrives late.
    let mut it = deadlines(now, |builder| builder);
    it.pinger_woke(now + 30 * SEC, now + 40 * SEC);
    assert_eq!(it.due(now + 40 * SEC), handshake_timeout());
}

#[test]
fn a_pinger_that_is_always_late_still_finds_a_remote_silent() {
    let now = Instant::now();
    let mut it = introduced(now, |builder| builder.idle_timeout(5 * SEC));
    let late = SEC / 2;
    for wakes in 1.. {
        let asked = it.next().unwrap();
        let woke = asked + late;
        it.pinger_woke(asked, woke);
        if it.due(woke) == idle(5 * SEC) {
            // Five seconds to catch up are given, one with each of the first five times, and then only the lateness.
            assert_eq!((wakes, woke), (6, now + 10 * SEC + 6 * late));
            break;
        }
    }
}

proptest! {
    /// Whatever the reader is busy with, and however the time is cut, an unanswered request stalls after its limit at the
    /// earliest and twice its limit at the latest.
    #[test]
    fn a_busy_reader_delays_a_stall_by_at_most_the_limit(
        spans in prop::collection::vec((any::<bool>(), 0..3000_u64), 1..60),
    ) {
        let start = Instant::now();
        let rules = [rule(Command::GetData, &[Command::Block], 5 * SEC)];
        let mut it = introduced(start, |builder| builder.stall_rules(rules));
        ask(&mut it, Command::GetData, start);
        let (mut now, mut callbacks) = (start, Duration::ZERO);
        for (busy, span) in spans {
            if busy {
                it.reader_busy(now);
            }
            for _ in 0..span {
                now += Duration::from_millis(1);
                callbacks += Duration::from_millis(u64::from(busy));
                let over = now - start - callbacks.min(5 * SEC) >= 5 * SEC;
                prop_assert_eq!(it.next().is_some_and(|next| next <= now) && it.due(now).is_some(), over);
                if over {
                    return Ok(());
                }
            }
            it.reader_waits(now, true);
        }
    }
}
