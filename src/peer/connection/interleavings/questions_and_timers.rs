//! Questions, and the wake-ups of the pinger and of the writer's trickle timer.

use super::*;

#[test]
fn every_question_gets_one_answer_or_none() {
    in_many_orders(|| {
        let (shared, _ends, _) = peer(1000);
        let asking = [1, 2].map(|nonce| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                let awaited = Awaited::Type(Command::SelectedTip);
                let queue = || queue(&shared, nonce, Wait::No).map(drop);
                let pending = shared.questions.ask(Command::GetSelectedTip, awaited, queue).unwrap();
                yield_now();
                pending.answer.try_recv().ok()
            })
        });
        let answers = [3, 4].map(|byte| Message::from(SelectedTip { hash: Hash::from_bytes([byte; 32]) }));
        answers.iter().for_each(|answer| shared.questions.arrived(answer));
        let got: Vec<Result<Message, AskError>> = asking.into_iter().filter_map(|it| it.join().unwrap()).collect();
        assert!(got.iter().all(|answer| answer.as_ref().is_ok_and(|answer| answers.contains(answer))));
        assert!(got.len() < 2 || got[0] != got[1], "one answer for each");
        assert!(shared.questions.is_empty());
    });
}

#[test]
fn questions_are_answered_in_the_order_in_which_their_requests_leave() {
    in_many_orders(|| {
        let (shared, _ends, _) = peer(1000);
        shared.outbound().release_held();
        let asking = [1_u8, 2].map(|number| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                let awaited = Awaited::Type(Command::SelectedTip);
                let queue = || queue(&shared, u64::from(number), Wait::No).map(drop);
                let pending = shared.questions.ask(Command::GetSelectedTip, awaited, queue).unwrap();
                loop {
                    match pending.answer.try_recv() {
                        Ok(answer) => return (number, answer),
                        Err(_) => yield_now(),
                    }
                }
            })
        });
        // The numbers of the requests, in the order in which a writer would take them.
        let mut order = Vec::new();
        while order.len() < 2 {
            match shared.outbound().pop_or_idle() {
                Ok(batch) => order.extend(batch.bytes().chunks(HEADER_SIZE + 8).map(|frame| frame[HEADER_SIZE])),
                Err(_) => yield_now(),
            }
        }
        let tip = |number| Message::from(SelectedTip { hash: Hash::from_bytes([number; 32]) });
        order.into_iter().for_each(|number| shared.questions.arrived(&tip(number)));
        for (number, answer) in asking.into_iter().map(|it| it.join().unwrap()) {
            assert_eq!(answer, Ok(tip(number)));
        }
    });
}

#[test]
fn the_pinger_never_sleeps_past_an_earlier_deadline() {
    in_many_orders(|| {
        let (shared, wake_ups, _) = peer(1000);
        let now = Instant::now();
        let soon = now + Duration::from_millis(1);
        let pinger = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.next_due(now))
        };
        shared.with_deadlines(|deadlines| deadlines.end_at(soon, DisconnectReason::Local));
        let Err(Some(wake_at)) = pinger.join().unwrap() else { panic!("nothing to wait for") };
        assert!(wake_at <= soon || wake_ups.pinger.try_recv().is_ok(), "sleeps too long");
        assert_eq!(shared.next_due(soon), Ok(Due::End(DisconnectReason::Local)));
    });
}

#[test]
fn the_writer_never_sleeps_past_announcements() {
    let item = |number| Inventory::tx(Hash::from_bytes([number; 32]));
    in_many_orders(move || {
        let (shared, wake_ups, _) = peer(1000);
        shared.outbound().release_held();
        wake_ups.writer.try_iter().for_each(drop);
        let announcers = [1, 2].map(|number| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.queue_inventory(&[item(number)]))
        });
        // The writer looks twice, and then would sleep.
        let late = Instant::now() + 2 * HOUR;
        let mut announced = 0;
        let mut sleeps = None;
        for _ in 0..2 {
            sleeps = shared.trickle(late);
            while let Ok(batch) = shared.outbound().pop_or_idle() {
                // A header, the number of items, and 36 bytes for each.
                announced += (batch.bytes().len() - HEADER_SIZE - 1) / 36;
            }
        }
        announcers.into_iter().for_each(|announcer| assert_eq!(announcer.join().unwrap(), Ok(())));
        let waiting = shared.announcements.lock().len().1;
        assert_eq!(announced + waiting, 2);
        assert!(waiting == 0 || sleeps.is_some() || wake_ups.writer.try_recv().is_ok(), "sleeps with {waiting} left");
    });
}
