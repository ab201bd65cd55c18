//! The queue, its limits and the order in which waiting senders are served.

use super::super::batch::BATCH_SIZE;
use super::super::send_progress::Outcome;
use super::*;
use bytes::Bytes;
use std::thread;

const FOREVER: Wait = Wait::AtMost(Duration::MAX);

fn queue(limit: usize, high_water_mark: usize) -> (Outbound, Receiver<()>) {
    let (queue, woken) = Outbound::new(limit, high_water_mark);
    queue.release_held();
    woken.try_iter().for_each(drop);
    (queue, woken)
}

fn push(queue: &Outbound, bytes: &[u8]) -> Result<u64, Refused> {
    queue.push(Command::Ping, EncodedFrame::Small(bytes), MessageKind::Ordinary, Wait::No)
}

fn push_waiting(queue: &Outbound, bytes: &[u8], wait: Wait) -> Result<u64, Refused> {
    queue.push(Command::Ping, EncodedFrame::Small(bytes), MessageKind::Ordinary, wait)
}

fn take_all(queue: &Outbound) -> Vec<Batch> {
    std::iter::from_fn(|| queue.pop()).collect()
}

/// Waits until as many senders wait for room.
fn until_waiting(queue: &Outbound, count: usize) {
    while queue.queue.lock().waiting.len() < count {
        thread::yield_now();
    }
}

#[test]
fn small_frames_share_a_batch_and_large_ones_have_their_own() {
    let (queue, woken) = queue(1 << 20, 1 << 20);
    assert_eq!(push(&queue, b"one"), Ok(1));
    assert_eq!(push(&queue, b"two"), Ok(2));
    let large = Bytes::from(vec![7; 100_000]);
    assert_eq!(queue.push(Command::Ping, EncodedFrame::Shared(large), MessageKind::Ordinary, Wait::No), Ok(3));
    assert_eq!(push(&queue, b"three"), Ok(4));
    assert_eq!(woken.len(), 1, "one wake-up for all");
    assert_eq!(queue.size(), (100_011, 4));
    let batches = take_all(&queue);
    assert_eq!(batches.iter().map(|batch| batch.bytes().len()).collect::<Vec<_>>(), [6, 100_000, 5]);
    batches.into_iter().for_each(|batch| queue.written(batch));
    assert_eq!(queue.size(), (0, 0));
}

#[test]
fn a_batch_never_grows_beyond_the_batch_size() {
    let (queue, _woken) = queue(1 << 20, 1 << 20);
    for _ in 0..10 {
        push(&queue, &[0; 15_000]).unwrap();
    }
    assert!(take_all(&queue).iter().all(|batch| batch.bytes().len() <= BATCH_SIZE));
}

#[test]
fn the_limit_is_in_bytes_and_an_empty_queue_takes_a_frame_of_any_size() {
    let (queue, _woken) = queue(10, 10);
    assert_eq!(push(&queue, &[0; 100]), Ok(1));
    assert_eq!(push(&queue, &[0; 1]), Err(Refused::Full { queued: 100, limit: 10 }));
    let batch = queue.pop().unwrap();
    assert_eq!(push(&queue, &[0; 1]), Err(Refused::Full { queued: 100, limit: 10 }), "a batch being written counts");
    queue.written(batch);
    assert_eq!(push(&queue, &[0; 10]), Ok(2));
    assert_eq!(push(&queue, &[0; 1]), Err(Refused::Full { queued: 10, limit: 10 }));
}

#[test]
fn a_frame_of_any_size_is_taken_while_almost_nothing_waits() {
    // At most half the limit, and at most a small batch.
    for (limit, little) in [(1001, 500), (10 * SMALL_BATCH, SMALL_BATCH)] {
        for (waits, large) in [(little, Ok(2)), (little + 1, Err(Refused::Full { queued: little + 1, limit }))] {
            let (queue, _woken) = queue(limit, limit);
            assert_eq!(push(&queue, &vec![0; waits]), Ok(1));
            assert_eq!(push(&queue, &vec![0; limit]), large, "behind {waits} of {limit}");
        }
    }
}

#[test]
fn a_waiting_sender_gets_room_when_there_is_some_and_a_timeout_when_there_is_not() {
    let (queue, _woken) = queue(10, 10);
    assert_eq!(push(&queue, &[0; 10]), Ok(1));
    let soon = Wait::AtMost(Duration::from_millis(10));
    assert_eq!(push_waiting(&queue, b"x", soon), Err(Refused::Timeout));
    thread::scope(|scope| {
        let sender = scope.spawn(|| push_waiting(&queue, b"x", FOREVER));
        until_waiting(&queue, 1);
        let batch = queue.pop().unwrap();
        queue.written(batch);
        assert_eq!(sender.join().unwrap(), Ok(2));
    });
    assert_eq!(queue.size(), (1, 1));
}

#[test]
fn the_sender_that_has_waited_longest_gets_room_first() {
    let (queue, _woken) = queue(100, 10);
    push(&queue, &[0; 10]).unwrap();
    thread::scope(|scope| {
        for number in 1..=5_u8 {
            let queue = &queue;
            scope.spawn(move || push_waiting(queue, &[number; 10], FOREVER).unwrap());
            until_waiting(queue, usize::from(number));
        }
        let mut order = Vec::new();
        while order.len() < 6 {
            let Some(batch) = queue.pop() else {
                thread::yield_now();
                continue;
            };
            order.extend(batch.bytes().chunks(10).map(|frame| frame[0]));
            queue.written(batch);
        }
        assert_eq!(order, [0, 1, 2, 3, 4, 5]);
    });
}

#[test]
fn a_waiting_large_message_is_queued_before_later_small_ones() {
    let (queue, _woken) = queue(100, 10);
    push(&queue, &[0; 10]).unwrap();
    thread::scope(|scope| {
        let large = scope.spawn(|| {
            let frame = EncodedFrame::Large(vec![1; 1000]);
            queue.push(Command::Block, frame, MessageKind::Ordinary, FOREVER)
        });
        until_waiting(&queue, 1);
        let small = scope.spawn(|| push_waiting(&queue, &[2], FOREVER));
        until_waiting(&queue, 2);
        let batch = queue.pop().unwrap();
        queue.written(batch);
        assert_eq!(large.join().unwrap(), Ok(2), "though it is larger than the limit");
        assert!(!small.is_finished(), "the large message has taken the room");
        let batch = queue.pop().unwrap();
        queue.written(batch);
        assert_eq!(small.join().unwrap(), Ok(3));
    });
}

#[test]
fn if_a_waiting_sender_times_out_the_next_one_gets_room() {
    let (queue, _woken) = queue(100, 10);
    push(&queue, &[0; 10]).unwrap();
    thread::scope(|scope| {
        let first = scope.spawn(|| push_waiting(&queue, &[1], Wait::AtMost(Duration::from_millis(50))));
        until_waiting(&queue, 1);
        let second = scope.spawn(|| push_waiting(&queue, &[2], FOREVER));
        assert_eq!(first.join().unwrap(), Err(Refused::Timeout));
        let batch = queue.pop().unwrap();
        queue.written(batch);
        assert_eq!(second.join().unwrap(), Ok(2));
    });
}

#[test]
fn closing_refuses_new_frames_wakes_every_waiting_sender_and_resolves_receipts() {
    let (queue, _woken) = queue(10, 10);
    let position = push(&queue, &[0; 10]).unwrap();
    thread::scope(|scope| {
        let senders = [(); 3].map(|()| scope.spawn(|| push_waiting(&queue, b"x", FOREVER)));
        until_waiting(&queue, 3);
        drop(queue.close());
        assert_eq!(senders.map(|sender| sender.join().unwrap()), [Err(Refused::Closed); 3]);
    });
    assert_eq!(queue.progress().outcome(position), Outcome::NotWritten);
    assert_eq!(push(&queue, b"x"), Err(Refused::Closed));
    assert!(queue.pop().is_none());
}

#[test]
fn buffers_are_kept_while_there_is_traffic_and_released_when_there_is_none() {
    let (queue, _woken) = queue(1 << 20, 1 << 20);
    let keeps_buffers = || queue.pop_or_idle().unwrap_err().keeps_buffers;
    let write = |bytes: usize| {
        push(&queue, &vec![0; bytes]).unwrap();
        queue.written(queue.pop_or_idle().unwrap());
    };
    write(SMALL_BATCH - 1);
    assert!(!keeps_buffers(), "of a small batch");
    write(SMALL_BATCH);
    assert!(keeps_buffers());
    write(1);
    assert!(!keeps_buffers(), "a buffer that was taken for little is not kept again");
    write(SMALL_BATCH);
    queue.release_spare();
    assert!(!keeps_buffers(), "released");
    write(SMALL_BATCH);
    drop(queue.close());
    assert!(!keeps_buffers(), "closed");
}

#[test]
fn the_number_of_spare_buffers_is_bounded() {
    let (queue, _woken) = queue(1 << 20, 1 << 20);
    for _ in 0..2 * SPARE_BUFFERS {
        push(&queue, &[0; BATCH_SIZE]).unwrap();
    }
    take_all(&queue).into_iter().for_each(|batch| queue.written(batch));
    assert_eq!(queue.queue.lock().spare.len(), SPARE_BUFFERS);
}

#[test]
fn before_our_verack_only_messages_of_the_handshake_are_written() {
    let (queue, woken) = Outbound::new(100, 100);
    assert_eq!(push(&queue, b"early"), Ok(1));
    assert!(woken.is_empty() && queue.pop().is_none());
    assert_eq!(queue.push(Command::VerAck, EncodedFrame::Small(b"verack"), MessageKind::Handshake, Wait::No), Ok(0));
    assert_eq!(woken.len(), 1);
    queue.release_held();
    assert_eq!(take_all(&queue).iter().map(Batch::bytes).collect::<Vec<_>>().concat(), b"verackearly");
}

#[test]
fn a_writer_that_sleeps_when_held_messages_are_released_is_woken() {
    let (queue, woken) = Outbound::new(100, 100);
    push(&queue, b"early").unwrap();
    assert!(queue.pop_or_idle().is_err() && woken.is_empty());
    queue.release_held();
    assert_eq!(woken.len(), 1);
}

#[test]
fn messages_of_the_handshake_are_accepted_by_a_full_queue() {
    let (queue, _woken) = Outbound::new(10, 10);
    push(&queue, &[0; 10]).unwrap();
    assert_eq!(push(&queue, &[0; 1]), Err(Refused::Full { queued: 10, limit: 10 }));
    assert_eq!(queue.push(Command::VerAck, EncodedFrame::Small(b"verack"), MessageKind::Handshake, Wait::No), Ok(0));
    assert_eq!(queue.size(), (16, 2));
}

#[test]
fn automatic_answers_may_exceed_the_limit_by_a_bounded_amount() {
    let (queue, _woken) = queue(10, 10);
    push(&queue, &[0; 100]).unwrap();
    let answer = || queue.push(Command::Pong, EncodedFrame::Small(&[0; 1024]), MessageKind::Answer, Wait::No).map(drop);
    (0..16).for_each(|_| assert_eq!(answer(), Ok(())));
    let full = Refused::Full { queued: 100 + ANSWER_ROOM, limit: 10 };
    assert_eq!(answer(), Err(full), "their room is bounded");
    assert_eq!(push(&queue, &[0; 1]), Err(full), "other messages do not get it");
    take_all(&queue).into_iter().for_each(|batch| queue.written(batch));
    assert_eq!((queue.size(), answer()), ((0, 0), Ok(())));
}

#[test]
fn a_draining_queue_takes_answers_and_nothing_else() {
    let (queue, _woken) = queue(100, 100);
    push(&queue, b"last").unwrap();
    queue.drain();
    assert_eq!(queue.last_position(), 1);
    assert_eq!(push(&queue, b"late"), Err(Refused::Closed));
    assert_eq!(queue.push(Command::Pong, EncodedFrame::Small(b"pong"), MessageKind::Answer, Wait::No), Ok(2));
    assert_eq!(take_all(&queue).iter().map(Batch::bytes).collect::<Vec<_>>().concat(), b"lastpong");
}

#[test]
fn the_last_frame_goes_ahead_of_held_frames_and_the_writer_gets_its_reason_when_no_batch_is_left() {
    let (queue, _woken) = Outbound::new(100, 100);
    push(&queue, b"held").unwrap();
    queue.push_last(Command::Reject, b"reject", DisconnectReason::Local).unwrap();
    assert_eq!(queue.push_last(Command::Reject, b"again", DisconnectReason::Local), Err(Refused::Closed));
    let batch = queue.pop_or_idle().unwrap();
    assert_eq!(batch.bytes(), b"reject");
    queue.written(batch);
    assert_eq!(queue.pop_or_idle().unwrap_err().finish, Some(DisconnectReason::Local));
}

#[test]
fn a_message_that_is_refused_before_the_reason_is_set_finds_the_reason() {
    let (queue, _woken) = queue(1000, 1000);
    let idle = DisconnectReason::Idle { limit: Duration::ZERO };
    assert_eq!(queue.decide_reason(idle.clone()), idle);
    assert_eq!(queue.push_last(Command::Reject, b"reject", DisconnectReason::Local), Err(Refused::Closed));
    assert_eq!(push(&queue, b"late"), Err(Refused::Closed));
    assert_eq!(queue.decided_reason(), Some(idle.clone()));
    assert_eq!(queue.decide_reason(DisconnectReason::Local), idle, "the first reason wins");
}

#[test]
fn held_messages_never_follow_the_last_frame() {
    let (queue, _woken) = Outbound::new(1000, 1000);
    push(&queue, b"held").unwrap();
    // Another thread ends the connection after the reader has queued our `verack`, and before it opens the queue.
    queue.push_last(Command::Reject, b"reject", DisconnectReason::Local).unwrap();
    queue.release_held();
    assert_eq!(take_all(&queue).iter().map(Batch::bytes).collect::<Vec<_>>(), [b"reject"]);
}

#[test]
fn a_waiting_sender_is_woken_when_half_of_the_mark_is_free_or_before_the_writer_runs_out_of_work() {
    // Written bytes, what then waits in how many batches, and whether there is room for a sender that waits below 100.
    for (left, is_woken) in [(&[30, 30][..], false), (&[60], true), (&[25, 25], true), (&[100], false)] {
        let (queue, _woken) = queue(1000, 100);
        for bytes in [&[100][..], left].concat() {
            queue.push(Command::Block, EncodedFrame::Large(vec![0; bytes]), MessageKind::Ordinary, Wait::No).unwrap();
        }
        thread::scope(|scope| {
            let sender = scope.spawn(|| push_waiting(&queue, b"x", FOREVER));
            until_waiting(&queue, 1);
            let batch = queue.pop().unwrap();
            queue.written(batch);
            if is_woken {
                assert_eq!(sender.join().unwrap().ok(), Some(left.len() as u64 + 2));
            } else {
                assert_eq!(queue.queue.lock().waiting.len(), 1);
                take_all(&queue).into_iter().for_each(|batch| queue.written(batch));
                sender.join().unwrap().unwrap();
            }
        });
    }
}

#[test]
fn a_sender_does_not_overtake_one_that_waits_though_there_is_room() {
    let (queue, _woken) = queue(100, 10);
    push(&queue, &[0; 10]).unwrap();
    thread::scope(|scope| {
        let first = scope.spawn(|| push_waiting(&queue, &[1], FOREVER));
        until_waiting(&queue, 1);
        // There is room now, but the first sender has not noticed it yet.
        queue.queue.lock().bytes = 0;
        assert_eq!(push_waiting(&queue, &[2], Wait::AtMost(Duration::from_millis(10))), Err(Refused::Timeout));
        assert_eq!(first.join().unwrap(), Ok(2), "a sender that gives up wakes the first");
    });
}

#[test]
fn all_waiting_senders_that_fit_are_queued_after_one_batch_is_written() {
    let (queue, _woken) = queue(100, 10);
    push(&queue, &[0; 10]).unwrap();
    thread::scope(|scope| {
        let senders = [(); 3].map(|()| scope.spawn(|| push_waiting(&queue, b"x", FOREVER)));
        until_waiting(&queue, 3);
        let batch = queue.pop().unwrap();
        queue.written(batch);
        let mut positions = senders.map(|sender| sender.join().unwrap().unwrap());
        positions.sort_unstable();
        assert_eq!(positions, [2, 3, 4]);
    });
}

#[test]
fn announcements_have_room_below_the_limit_and_in_an_almost_empty_queue() {
    for (limit, queued, has_room) in [(100, 0, true), (100, 99, true), (100, 100, false), (0, 0, true), (0, 1, false)] {
        let (queue, _woken) = queue(limit, 1000);
        if queued > 0 {
            push(&queue, &vec![0; queued]).unwrap();
        }
        assert_eq!(queue.has_room_for_announcements(), has_room, "{queued} of {limit}");
        let now = Some(Instant::now());
        assert_eq!(queue.wait_for_announcement_room(now), has_room, "{queued} of {limit}");
        queue.drain();
        assert_eq!(queue.has_room_for_announcements(), has_room, "a draining queue");
        queue.push_last(Command::Reject, b"reject", DisconnectReason::Local).unwrap();
        assert!(!queue.has_room_for_announcements() && !queue.wait_for_announcement_room(None), "an ending queue");
    }
}

#[test]
fn waiting_for_room_for_announcements_ends_when_a_batch_is_written_or_at_the_deadline() {
    let (queue, _woken) = queue(10, 10);
    push(&queue, &[0; 10]).unwrap();
    let deadline = Instant::now() + Duration::from_millis(10);
    assert!(!queue.wait_for_announcement_room(Some(deadline)));
    assert!(Instant::now() >= deadline);
    thread::scope(|scope| {
        let waiter = scope.spawn(|| queue.wait_for_announcement_room(None));
        let batch = queue.pop().unwrap();
        assert!(!waiter.is_finished(), "a batch that is being written counts");
        queue.written(batch);
        assert!(waiter.join().unwrap());
    });
}

#[test]
fn the_writer_waits_for_more_frames_only_if_one_small_batch_is_queued() {
    let (queue, _woken) = queue(1 << 20, 1 << 20);
    assert!(!queue.next_is_small(), "an empty queue");
    push(&queue, &[0; SMALL_BATCH - 1]).unwrap();
    assert!(queue.next_is_small());
    push(&queue, &[0; 1]).unwrap();
    assert!(!queue.next_is_small(), "not a small batch");
    take_all(&queue).into_iter().for_each(|batch| queue.written(batch));
    push(&queue, &[0; 1]).unwrap();
    queue.push(Command::Block, EncodedFrame::Large(vec![0; BATCH_SIZE]), MessageKind::Ordinary, Wait::No).unwrap();
    assert!(!queue.next_is_small(), "two batches");
}

#[test]
fn the_queue_says_which_stage_it_has_reached() {
    let (queue, woken) = Outbound::new(100, 100);
    assert!(queue.is_accepting() && !queue.is_verack_queued() && !queue.last_is_queued());
    queue.release_held();
    assert!(queue.is_verack_queued());
    push(&queue, b"one").unwrap();
    push(&queue, b"two").unwrap();
    assert_eq!(queue.last_position(), 2);
    woken.try_iter().for_each(drop);
    queue.wake_writer();
    assert_eq!(woken.len(), 1);
    queue.drain();
    assert!(!queue.is_accepting() && !queue.last_is_queued());
    queue.push_last(Command::Reject, b"reject", DisconnectReason::Local).unwrap();
    assert!(queue.last_is_queued());
}

#[test]
fn what_was_not_written_is_counted_when_the_connection_ends() {
    let (queue, _woken) = queue(100, 100);
    push(&queue, b"one").unwrap();
    let batch = queue.pop().unwrap();
    push(&queue, b"four").unwrap();
    assert_eq!(queue.unwritten(), (0, 0), "before the end");
    queue.not_written(batch);
    assert_eq!(queue.pop().unwrap().bytes(), b"one", "it comes first again");
    for _ in 0..2 {
        drop(queue.close());
        assert_eq!((queue.unwritten(), queue.size()), ((7, 2), (0, 0)));
    }
}

#[test]
fn a_batch_that_was_not_written_is_dropped_after_the_end() {
    let (queue, _woken) = queue(100, 100);
    push(&queue, b"one").unwrap();
    let batch = queue.pop().unwrap();
    drop(queue.close());
    queue.not_written(batch);
    assert!(queue.pop().is_none());
}

#[test]
fn waiting_senders_are_refused_as_soon_as_the_queue_drains_or_the_last_frame_is_queued() {
    let drain = |queue: &Outbound| queue.drain();
    let push_last = |queue: &Outbound| queue.push_last(Command::Reject, b"reject", DisconnectReason::Local).unwrap();
    for end in [&drain as &dyn Fn(&Outbound), &push_last] {
        let (queue, _woken) = queue(10, 10);
        push(&queue, &[0; 10]).unwrap();
        thread::scope(|scope| {
            let senders = [(); 2].map(|()| scope.spawn(|| push_waiting(&queue, b"x", FOREVER)));
            until_waiting(&queue, 2);
            end(&queue);
            assert_eq!(senders.map(|sender| sender.join().unwrap()), [Err(Refused::Closed); 2]);
        });
    }
}
