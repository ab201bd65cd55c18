//! Tests of the waiting senders.

use super::*;
use crate::peer::locks::Mutex;
use std::thread;
use std::time::Duration;

#[test]
fn senders_that_waited_leave_no_memory_behind() {
    const SENDERS: usize = 50;
    #[derive(Default)]
    struct Queue {
        waiting: WaitingSenders,
        has_room: bool,
    }
    let queue = Mutex::new(Queue::default());
    thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS)
            .map(|number| {
                // Every second sender gives up.
                let deadline = (number % 2 == 0).then(|| Instant::now() + Duration::from_millis(1));
                let queue = &queue;
                scope.spawn(move || {
                    let mut queue = queue.lock();
                    let is_turn = wait(&mut queue, |queue| &mut queue.waiting, deadline, |queue| queue.has_room);
                    queue.waiting.wake_first();
                    is_turn
                })
            })
            .collect();
        let mut locked = loop {
            let locked = queue.lock();
            if locked.waiting.len() >= SENDERS / 2 {
                break locked;
            }
            drop(locked);
            thread::yield_now();
        };
        assert!(locked.waiting.0.capacity() >= SENDERS / 2);
        locked.has_room = true;
        locked.waiting.wake_first();
        drop(locked);
        let results = senders.into_iter().map(|sender| sender.join().unwrap());
        assert!(results.filter(|is_turn| *is_turn).count() >= SENDERS / 2);
    });
    assert_eq!(queue.lock().waiting.0.capacity(), 0);
}
