//! Tests of the deadlines, with invented times.

use super::*;
use crate::Config;
use crate::ConfigBuilder;
use crate::wire::Network;
use proptest::prelude::*;

mod answers;

const SEC: Duration = Duration::from_secs(1);

/// The deadlines of a configuration that has only a handshake timeout and what `change` sets.
fn deadlines(now: Instant, change: impl FnOnce(ConfigBuilder) -> ConfigBuilder) -> Deadlines {
    let builder = Config::builder(Network::Simnet).handshake_timeout(30 * SEC).idle_timeout(None).frame_timeout(None);
    let config = change(builder.ping_interval(None).stall_rules([])).build().unwrap();
    Deadlines::new(config.settings().timeouts(), now)
}

/// Like [`deadlines`], with the handshake done at `now`.
fn introduced(now: Instant, change: impl FnOnce(ConfigBuilder) -> ConfigBuilder) -> Deadlines {
    let mut it = deadlines(now, change);
    assert_eq!(it.handshake_done(now), None);
    it
}

/// Returns the action that is due at `at`. Fails if one is due before, or if `Deadlines::next` returns another time.
fn due_at(it: &mut Deadlines, at: Instant) -> Option<Due> {
    assert_eq!(it.next(), Some(at));
    assert_eq!(it.due(at - Duration::from_nanos(1)), None);
    it.due(at)
}

/// The reader handles received bytes between `from` and `to`.
fn callbacks(it: &mut Deadlines, from: Instant, to: Instant, message_completed: bool) {
    it.reader_busy(from);
    it.reader_waits(to, message_completed);
}

/// Writes a complete request at `now`.
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
fn nothing_extends_the_deadline_of_the_handshake() {
    let now = Instant::now();
    let deadlines = || deadlines(now, |builder| builder.idle_timeout(SEC).ping_interval(SEC));
    let mut it = deadlines();
    callbacks(&mut it, now + SEC, now + 5 * SEC, true);
    assert_eq!(due_at(&mut it, now + 30 * SEC), handshake_timeout());
    let mut it = deadlines();
    it.reader_busy(now + 29 * SEC);
    assert_eq!(due_at(&mut it, now + 30 * SEC), handshake_timeout(), "callbacks do not buy time here");
    // The reader also finds the passed deadline, if the pinger has not checked it.
    let mut it = deadlines();
    assert_eq!(it.handshake_overdue(now + 30 * SEC - Duration::from_nanos(1)), None);
    assert_eq!(it.handshake_overdue(now + 30 * SEC).map(Due::End), handshake_timeout());
    assert_eq!(it.handshake_done(now + 29 * SEC), None);
    assert_eq!(it.handshake_overdue(now + 31 * SEC), None);
}

#[test]
fn the_idle_timeout_and_pings_begin_when_the_handshake_is_done() {
    let now = Instant::now();
    let mut it = deadlines(now, |builder| builder.idle_timeout(5 * SEC).ping_interval(2 * SEC));
    assert_eq!(it.due(now + 20 * SEC), None);
    assert_eq!(it.handshake_done(now + 20 * SEC), None);
    assert_eq!(due_at(&mut it, now + 22 * SEC), Some(Due::Ping));
    assert_eq!(it.due(now + 22 * SEC), None, "once an interval");
    assert_eq!(due_at(&mut it, now + 24 * SEC), Some(Due::Ping));
    assert_eq!(due_at(&mut it, now + 25 * SEC), idle(5 * SEC));
    assert_eq!(it.due(now + 30 * SEC), idle(5 * SEC), "not the handshake's");
}

#[test]
fn the_next_ping_is_due_one_interval_after_a_late_one() {
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
fn a_complete_message_restarts_the_idle_timeout() {
    let now = Instant::now();
    let mut it = introduced(now, |builder| builder.idle_timeout(5 * SEC));
    callbacks(&mut it, now + 4 * SEC, now + 4 * SEC, true);
    assert_eq!(due_at(&mut it, now + 9 * SEC), idle(5 * SEC));
    callbacks(&mut it, now + 8 * SEC, now + 11 * SEC, true);
    assert_eq!(due_at(&mut it, now + 16 * SEC), idle(5 * SEC), "from when the callbacks are through");
}

#[test]
fn a_part_of_a_message_does_not_restart_the_idle_timeout() {
    let now = Instant::now();
    let mut it = introduced(now, |builder| builder.idle_timeout(5 * SEC));
    for second in 1..5 {
        callbacks(&mut it, now + second * SEC, now + second * SEC, false);
    }
    assert_eq!(due_at(&mut it, now + 5 * SEC), idle(5 * SEC));
}

#[test]
fn reader_waits_without_reader_busy_changes_nothing() {
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
fn an_end_that_was_set_comes_at_its_time_for_its_reason_even_during_callbacks() {
    let now = Instant::now();
    let mut it = introduced(now, |builder| builder.idle_timeout(5 * SEC));
    it.end_at(now + SEC, DisconnectReason::Local);
    it.reader_busy(now);
    assert_eq!(due_at(&mut it, now + SEC), Some(Due::End(DisconnectReason::Local)), "callbacks or not");
    assert_eq!(it.due(now + SEC), None, "said once");
}

#[test]
fn of_two_ends_that_were_set_the_earlier_one_comes() {
    let start = Instant::now();
    let other = DisconnectReason::Misbehaved { score: 1, what: "test".into() };
    for earlier_first in [true, false] {
        let mut it = introduced(start, |builder| builder);
        let mut ends = [(start + SEC, DisconnectReason::Local), (start + 2 * SEC, other.clone())];
        if !earlier_first {
            ends.reverse();
        }
        ends.into_iter().for_each(|(deadline, reason)| it.end_at(deadline, reason));
        assert_eq!(due_at(&mut it, start + SEC), Some(Due::End(DisconnectReason::Local)));
    }
    let mut it = introduced(start, |builder| builder);
    [DisconnectReason::Local, other].into_iter().for_each(|reason| it.end_at(start + SEC, reason));
    assert_eq!(due_at(&mut it, start + SEC), Some(Due::End(DisconnectReason::Local)), "of two at once, the first");
}

#[test]
fn a_timeout_that_is_turned_off_never_passes() {
    let now = Instant::now();
    let mut it = introduced(now, |builder| builder);
    ask(&mut it, Command::GetData, now);
    callbacks(&mut it, now, now + SEC, true);
    it.frame_arriving(Some(1), None, now);
    assert_eq!((it.next(), it.due(now + 1_000_000 * SEC)), (None, None));
}

#[test]
fn a_timeout_that_does_not_fit_an_instant_never_passes() {
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
fn if_several_actions_are_due_the_end_comes_before_a_ping() {
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
fn callbacks_extend_a_deadline_by_at_most_its_timeout() {
    let now = Instant::now();
    let rules = [rule(Command::GetData, &[Command::Block], 5 * SEC)];
    let make = |rules: &[StallRule]| {
        introduced(now, |builder| builder.idle_timeout(5 * SEC).frame_timeout(5 * SEC).stall_rules(rules.to_vec()))
    };
    // One long callback: the deadline is checked again while it runs, when the credit is used up.
    let mut it = make(&[]);
    it.reader_busy(now + SEC);
    assert_eq!(
        (it.next(), it.due(now + 5 * SEC)),
        (Some(now + 5 * SEC), None),
        "the pinger looks, and sees a callback"
    );
    assert_eq!(due_at(&mut it, now + 10 * SEC), idle(5 * SEC));
    // Many short callbacks, each of one second, every two seconds: together they extend the deadline by five seconds.
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
fn a_callback_does_not_extend_a_deadline_that_has_passed_before_it() {
    let now = Instant::now();
    let mut it = introduced(now, |builder| builder.idle_timeout(5 * SEC));
    it.reader_busy(now + 5 * SEC);
    assert_eq!(it.next(), Some(now + 5 * SEC));
    assert_eq!(it.due(now + 6 * SEC), idle(5 * SEC));
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
    it.pinger_woke(now + 5 * SEC, now + 5 * SEC + TOLERATED_LATENESS);
    assert_eq!(it.due(now + 5 * SEC + TOLERATED_LATENESS), stalled(Command::GetData, 5 * SEC), "punctual enough");
    let mut it = make();
    it.pinger_woke(now + 5 * SEC, now);
    assert_eq!(it.next(), Some(now + 5 * SEC), "woken early");
    // A late pinger does not extend the deadline of the handshake.
    let mut it = deadlines(now, |builder| builder);
    it.pinger_woke(now + 30 * SEC, now + 40 * SEC);
    assert_eq!(it.due(now + 40 * SEC), handshake_timeout());
}

#[test]
fn a_silent_remote_is_disconnected_even_if_the_pinger_is_always_late() {
    let now = Instant::now();
    let mut it = introduced(now, |builder| builder.idle_timeout(5 * SEC));
    let late = SEC / 2;
    for wakes in 1.. {
        let asked = it.next().unwrap();
        let woke = asked + late;
        it.pinger_woke(asked, woke);
        if it.due(woke) == idle(5 * SEC) {
            // The first five wake-ups add one second of catch-up time each. Later ones add only the lateness.
            assert_eq!((wakes, woke), (6, now + 10 * SEC + 6 * late));
            break;
        }
    }
}

proptest! {
    /// For any sequence of busy and waiting times of the reader, an unanswered request stalls after its timeout at the
    /// earliest, and after twice its timeout at the latest.
    #[test]
    fn a_busy_reader_delays_a_stall_by_at_most_the_timeout(
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

#[test]
fn a_handshake_that_was_reported_as_late_is_never_done() {
    let now = Instant::now();
    let mut it = deadlines(now, |builder| builder);
    assert_eq!(it.due(now + 30 * SEC), handshake_timeout());
    // The reader has read the last message in time, but handles it only now.
    assert_eq!(it.handshake_overdue(now + 29 * SEC).map(Due::End), handshake_timeout());
    assert_eq!(it.handshake_done(now + 29 * SEC).map(Due::End), handshake_timeout());
}
