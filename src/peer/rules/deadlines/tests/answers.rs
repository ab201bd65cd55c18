//! Tests of the stall rules: the deadlines of the answers to requests.

use super::*;

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
fn the_time_in_callbacks_extends_a_stall_deadline() {
    let now = Instant::now();
    let rules = [rule(Command::GetData, &[Command::Block], 10 * SEC)];
    let mut it = introduced(now, |builder| builder.stall_rules(rules));
    ask(&mut it, Command::GetData, now);
    callbacks(&mut it, now + SEC, now + 4 * SEC, true);
    callbacks(&mut it, now + 5 * SEC, now + 6 * SEC, false);
    assert_eq!(due_at(&mut it, now + 14 * SEC), stalled(Command::GetData, 10 * SEC));
}

#[test]
fn a_request_written_after_the_reader_read_the_clock_keeps_its_deadline() {
    let now = Instant::now();
    let rules = [rule(Command::GetData, &[Command::Block], 10 * SEC)];
    let mut it = introduced(now, |builder| builder.stall_rules(rules));
    it.reader_busy(now);
    // The writer read the clock later than the reader, but took the lock first.
    ask(&mut it, Command::GetData, now + 2 * SEC);
    it.reader_waits(now + SEC, true);
    assert_eq!(due_at(&mut it, now + 12 * SEC), stalled(Command::GetData, 10 * SEC));
}

#[test]
fn only_answers_to_pending_requests_are_awaited() {
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
fn a_message_that_answers_two_pending_requests_is_awaited() {
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
fn a_callback_extends_the_deadline_of_a_request_only_from_when_it_is_written() {
    let now = Instant::now();
    let rules = [rule(Command::GetData, &[Command::Block], 10 * SEC)];
    let mut it = introduced(now, |builder| builder.stall_rules(rules));
    it.reader_busy(now);
    ask(&mut it, Command::GetData, now + 3 * SEC);
    it.reader_waits(now + 7 * SEC, true);
    assert_eq!(due_at(&mut it, now + 17 * SEC), stalled(Command::GetData, 10 * SEC));
}

#[test]
fn the_deadline_of_an_answer_starts_when_the_request_is_completely_written() {
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
fn a_repeated_request_moves_the_deadline_only_when_it_is_written() {
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
fn while_an_answer_arrives_the_frame_deadline_replaces_its_deadline() {
    let now = Instant::now();
    let rules = [rule(Command::GetData, &[Command::Block, Command::Tx], 5 * SEC)];
    let mut it = introduced(now, |builder| builder.frame_timeout(60 * SEC).stall_rules(rules.clone()));
    ask(&mut it, Command::GetData, now);
    it.frame_arriving(Some(1), Some(Command::Tx), now + 4 * SEC);
    assert_eq!(it.due(now + 30 * SEC), None);
    assert_eq!(due_at(&mut it, now + 64 * SEC), frame_timeout(60 * SEC));
    // The frame was refused, or its command is not an answer: the deadline of the answer applies again.
    it.frame_arriving(None, None, now + 40 * SEC);
    assert_eq!(it.due(now + 40 * SEC), stalled(Command::GetData, 5 * SEC));
    it.frame_arriving(Some(2), Some(Command::Addr), now + 40 * SEC);
    assert_eq!(it.due(now + 40 * SEC), stalled(Command::GetData, 5 * SEC));
    // The answer is complete.
    it.answered(Command::Tx);
    it.frame_arriving(None, None, now + 40 * SEC);
    assert_eq!(it.next(), None);
    // Without a frame timeout the deadline of the answer still applies.
    let mut it = introduced(now, |builder| builder.stall_rules(rules));
    ask(&mut it, Command::GetData, now);
    it.frame_arriving(Some(1), Some(Command::Tx), now + 4 * SEC);
    assert_eq!(due_at(&mut it, now + 5 * SEC), stalled(Command::GetData, 5 * SEC));
}
