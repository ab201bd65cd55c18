use super::super::{DisconnectReason, WaitError, current::PeerKey, receipt::Receipt, run::RUN_SIZE};
use super::*;
use std::{sync::Arc, thread};

fn queue(limit: usize, high_water_mark: usize) -> (Outbound, Receiver<()>) {
    let (queue, bell) = Outbound::new(limit, high_water_mark);
    queue.open();
    bell.try_iter().for_each(drop);
    (queue, bell)
}

fn receipt() -> (Unsent, Receipt) {
    Receipt::new(Arc::default(), PeerKey::new())
}

fn push(queue: &Outbound, bytes: &[u8]) -> Result<(), Refused> {
    queue.push(Command::Ping, Queued::Small(bytes), Lane::Ordinary, Patience::None, None)
}

#[test]
fn small_frames_are_coalesced_and_large_ones_stand_alone() {
    let (queue, bell) = queue(1 << 20, 1 << 20);
    assert_eq!(push(&queue, b"one"), Ok(()));
    assert_eq!(push(&queue, b"two"), Ok(()));
    let large = Bytes::from(vec![7; 100_000]);
    let lane = Lane::Ordinary;
    assert_eq!(queue.push(Command::Ping, Queued::Shared(large), lane, Patience::None, None), Ok(()));
    assert_eq!(push(&queue, b"three"), Ok(()));
    assert_eq!(bell.len(), 1, "rung once");
    assert_eq!(queue.size(), (100_011, 4));
    let runs: Vec<Run> = std::iter::from_fn(|| queue.pop()).collect();
    assert_eq!(runs.iter().map(|run| run.bytes().len()).collect::<Vec<_>>(), [6, 100_000, 5]);
    runs.into_iter().for_each(|run| queue.written(run));
    assert_eq!(queue.size(), (0, 0));
}

#[test]
fn a_run_grows_no_larger_than_a_write() {
    let (queue, _bell) = queue(1 << 20, 1 << 20);
    for _ in 0..10 {
        assert_eq!(push(&queue, &[0; 15_000]), Ok(()));
    }
    while let Some(run) = queue.pop() {
        assert!(run.bytes().len() <= RUN_SIZE);
    }
}

#[test]
fn the_bound_is_in_bytes_and_one_frame_always_fits_an_empty_queue() {
    let (queue, _bell) = queue(10, 10);
    assert_eq!(push(&queue, &[0; 100]), Ok(()));
    assert_eq!(push(&queue, &[0; 1]), Err(Refused::Full { queued: 100, limit: 10 }));
    let run = queue.pop().unwrap();
    assert_eq!(push(&queue, &[0; 1]), Err(Refused::Full { queued: 100, limit: 10 }), "being written is queued");
    queue.written(run);
    assert_eq!(push(&queue, &[0; 10]), Ok(()));
    assert_eq!(push(&queue, &[0; 1]), Err(Refused::Full { queued: 10, limit: 10 }));
}

#[test]
fn next_to_nothing_stands_in_nobodys_way() {
    // At most half the limit, and at most a small run.
    for (limit, little) in [(1001, 500), (10 * SMALL_RUN, SMALL_RUN)] {
        for (waits, large) in [(little, Ok(())), (little + 1, Err(Refused::Full { queued: little + 1, limit }))] {
            let (queue, _bell) = queue(limit, limit);
            assert_eq!(push(&queue, &vec![0; waits]), Ok(()));
            assert_eq!(push(&queue, &vec![0; limit]), large, "behind {waits} of {limit}");
        }
    }
}

#[test]
fn who_waits_is_let_in_when_there_is_room_and_told_when_there_is_not() {
    let (queue, _bell) = queue(10, 10);
    assert_eq!(push(&queue, &[0; 10]), Ok(()));
    let soon = Patience::AtMost(Duration::from_millis(10));
    assert_eq!(queue.push(Command::Ping, Queued::Small(b"x"), Lane::Ordinary, soon, None), Err(Refused::Timeout));
    thread::scope(|scope| {
        let sender = scope.spawn(|| {
            queue.push(Command::Ping, Queued::Small(b"x"), Lane::Ordinary, Patience::AtMost(Duration::MAX), None)
        });
        let run = queue.pop().unwrap();
        queue.written(run);
        assert_eq!(sender.join().unwrap(), Ok(()));
    });
    assert_eq!(queue.size(), (1, 1));
}

#[test]
fn closing_refuses_wakes_and_resolves() {
    let (queue, _bell) = queue(10, 10);
    let (unsent, receipt) = receipt();
    assert_eq!(
        queue.push(Command::Ping, Queued::Small(&[0; 10]), Lane::Ordinary, Patience::None, Some(unsent)),
        Ok(())
    );
    thread::scope(|scope| {
        let sender = scope.spawn(|| {
            queue.push(Command::Ping, Queued::Small(b"x"), Lane::Ordinary, Patience::AtMost(Duration::MAX), None)
        });
        drop(queue.close());
        assert_eq!(sender.join().unwrap(), Err(Refused::Closed));
    });
    assert_eq!(receipt.try_wait(), Some(Err(WaitError::Closed(DisconnectReason::Local))));
    assert_eq!(push(&queue, b"x"), Err(Refused::Closed));
    assert!(queue.pop().is_none());
}

#[test]
fn a_buffer_is_kept_while_there_is_traffic_and_given_back_when_there_is_none() {
    let (queue, _bell) = queue(1 << 20, 1 << 20);
    let keeps_buffers = || queue.pop_or_idle().unwrap_err().keeps_buffers;
    let write = |bytes: usize| {
        assert_eq!(push(&queue, &vec![0; bytes]), Ok(()));
        queue.written(queue.pop_or_idle().unwrap());
    };
    write(SMALL_RUN - 1);
    assert!(!keeps_buffers(), "of a small run");
    write(SMALL_RUN);
    assert!(keeps_buffers());
    write(1);
    assert!(!keeps_buffers(), "what was taken for little is not kept again");
    write(SMALL_RUN);
    queue.release_spare();
    assert!(!keeps_buffers(), "released");
    write(SMALL_RUN);
    queue.close();
    assert!(!keeps_buffers(), "closed");
}

#[test]
fn only_the_handshake_passes_before_it_is_done() {
    let (queue, bell) = Outbound::new(100, 100);
    assert_eq!(push(&queue, b"early"), Ok(()));
    assert!(bell.is_empty() && queue.pop().is_none());
    assert_eq!(queue.push(Command::Ping, Queued::Small(b"verack"), Lane::Handshake, Patience::None, None), Ok(()));
    assert_eq!(bell.len(), 1);
    queue.open();
    let runs: Vec<Run> = std::iter::from_fn(|| queue.pop()).collect();
    assert_eq!(runs.iter().map(Run::bytes).collect::<Vec<_>>().concat(), b"verackearly");
}

#[test]
fn the_handshake_finds_room_in_a_full_queue() {
    let (queue, _bell) = Outbound::new(10, 10);
    assert_eq!(push(&queue, &[0; 10]), Ok(()));
    assert_eq!(push(&queue, &[0; 1]), Err(Refused::Full { queued: 10, limit: 10 }));
    assert_eq!(queue.push(Command::Ping, Queued::Small(b"verack"), Lane::Handshake, Patience::None, None), Ok(()));
    assert_eq!(queue.size(), (16, 2));
}

#[test]
fn answers_have_some_room_of_their_own() {
    let (queue, _bell) = queue(10, 10);
    assert_eq!(push(&queue, &[0; 100]), Ok(()));
    let answer = || queue.push(Command::Ping, Queued::Small(&[0; 1024]), Lane::Answer, Patience::None, None);
    (0..16).for_each(|_| assert_eq!(answer(), Ok(())));
    let full = Refused::Full { queued: 100 + ANSWERS, limit: 10 };
    assert_eq!(answer(), Err(full), "not without end");
    assert_eq!(push(&queue, &[0; 1]), Err(full), "not for others");
    let run = queue.pop().unwrap();
    queue.written(run);
    assert_eq!((queue.size(), answer()), ((0, 0), Ok(())));
}

#[test]
fn a_receipt_resolves_when_its_own_frame_is_out() {
    let (queue, _bell) = queue(100, 100);
    let [first, second] = [receipt(), receipt()];
    for sender in [first.0, second.0] {
        assert_eq!(
            queue.push(Command::Ping, Queued::Small(b"frame"), Lane::Ordinary, Patience::None, Some(sender)),
            Ok(())
        );
    }
    let mut run = queue.pop().unwrap();
    run.split().2.resolve(7);
    assert_eq!((first.1.try_wait(), second.1.try_wait()), (Some(Ok(())), None));
    run.split().2.resolve(10);
    assert_eq!(second.1.try_wait(), Some(Ok(())));
}

/// Runs of so many bytes, of which the first is taken to be written.
fn waited_for(runs: &[usize]) -> (Outbound, Run) {
    let (queue, _bell) = queue(1 << 20, 1 << 20);
    for bytes in runs {
        let frame = Bytes::from(vec![0; *bytes]);
        assert_eq!(queue.push(Command::Block, Queued::Shared(frame), Lane::Ordinary, Patience::None, None), Ok(()));
    }
    queue.queue.lock().waiting = 1;
    let run = queue.pop().unwrap();
    (queue, run)
}

#[test]
fn who_waits_for_room_is_woken_when_half_of_the_mark_is_free() {
    let (queue, run) = waited_for(&[10, 20, 30, 1]);
    queue.written(run);
    let wakes = |high_water_mark| queue.queue.lock().has_room_for_who_waits(high_water_mark);
    assert_eq!([wakes(51), wakes(100), wakes(101)], [false, false, false], "51 bytes are more than half");
    assert_eq!([wakes(102), wakes(1000)], [true, true]);
    queue.queue.lock().waiting = 0;
    assert!(!wakes(1000), "nobody waits");
}

#[test]
fn who_waits_for_room_is_woken_before_the_writer_runs_dry() {
    let (queue, run) = waited_for(&[200, 200]);
    assert!(!queue.queue.lock().has_room_for_who_waits(256));
    queue.written(run);
    assert!(queue.queue.lock().has_room_for_who_waits(256), "the writer is at the last run");
    assert!(!queue.queue.lock().has_room_for_who_waits(200), "which is all that may wait");
}

#[test]
fn who_waits_for_room_is_woken_early_when_others_have_gone_first() {
    let (queue, run) = waited_for(&[100, 100, 50]);
    queue.written(run);
    assert!(!queue.queue.lock().has_room_for_who_waits(200));
    assert_eq!(push(&queue, b"overtakes"), Ok(()));
    assert!(queue.queue.lock().has_room_for_who_waits(200));
    queue.queue.lock().waiting = 0;
    assert_eq!(push(&queue, b"waited"), Ok(()));
    queue.queue.lock().waiting = 1;
    assert!(!queue.queue.lock().has_room_for_who_waits(200), "the next that waits has not been overtaken");
}

#[test]
fn buffers_are_kept_for_the_runs_to_come_and_given_back() {
    let (queue, _bell) = queue(1 << 20, 1 << 20);
    for _ in 0..2 * SPARES {
        assert_eq!(push(&queue, &[0; RUN_SIZE]), Ok(()));
    }
    let runs: Vec<Run> = std::iter::from_fn(|| queue.pop()).collect();
    assert_eq!(queue.pop_or_idle().unwrap_err(), Idle { keeps_buffers: false });
    runs.into_iter().for_each(|run| queue.written(run));
    assert_eq!(queue.queue.lock().spare.len(), SPARES);
    assert_eq!(queue.pop_or_idle().unwrap_err(), Idle { keeps_buffers: true });
    assert_eq!(push(&queue, b"next"), Ok(()));
    assert_eq!(queue.queue.lock().spare.len(), SPARES - 1, "a run is made of one");
    queue.release_spare();
    assert_eq!(queue.queue.lock().spare.len(), 0);
}
