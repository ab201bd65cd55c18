//! Lines on their way to a pipe or a terminal that may not be read.

use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// How many bytes may wait. Further lines are dropped and counted.
const LIMIT: usize = 1 << 20;

/// Writes lines on a thread of its own, so that nobody who prints waits for a reader.
pub struct LineQueue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    lines: VecDeque<String>,
    bytes: usize,
    dropped: u64,
    /// The number of lines that the thread is writing.
    writing: u64,
}

impl LineQueue {
    /// Starts the thread. `notice` makes the line that reports dropped lines. `failed` handles an error of `target`;
    /// after it returned, everything is discarded.
    pub fn start(
        mut target: impl Write + Send + 'static,
        notice: impl Fn(u64) -> String + Send + 'static,
        failed: impl Fn(io::Error) + Send + 'static,
    ) -> io::Result<Arc<Self>> {
        let queue = Arc::new(Self { state: Mutex::default(), changed: Condvar::new() });
        let lines = Arc::clone(&queue);
        thread::Builder::new().name("print".into()).spawn(move || {
            let mut works = true;
            loop {
                let (batch, dropped) = lines.take();
                let text: String = batch.into_iter().chain((dropped > 0).then(|| notice(dropped))).collect();
                if works && let Err(error) = target.write_all(text.as_bytes()).and_then(|()| target.flush()) {
                    works = false;
                    failed(error);
                }
            }
        })?;
        Ok(queue)
    }

    /// Queues a line, or drops it if too much waits.
    pub fn push(&self, mut line: String) {
        line.push('\n');
        let mut state = self.state.lock();
        // After a dropped line, the notice comes first.
        if state.dropped > 0 || state.bytes + line.len() > LIMIT {
            state.dropped += 1;
        } else {
            state.bytes += line.len();
            state.lines.push_back(line);
        }
        self.changed.notify_all();
    }

    /// Waits until everything is written, at most `timeout`. Returns the number of lines that are not written then.
    pub fn flush(&self, timeout: Duration) -> u64 {
        let deadline = Instant::now() + timeout;
        let mut state = self.state.lock();
        loop {
            let waiting = state.writing + state.lines.len() as u64 + state.dropped;
            if waiting == 0 || self.changed.wait_until(&mut state, deadline).timed_out() {
                return waiting;
            }
        }
    }

    /// Waits for lines and takes all of them, with the number of lines that were dropped after them.
    fn take(&self) -> (VecDeque<String>, u64) {
        let mut state = self.state.lock();
        state.writing = 0;
        self.changed.notify_all();
        while state.lines.is_empty() && state.dropped == 0 {
            self.changed.wait(&mut state);
        }
        state.bytes = 0;
        let (lines, dropped) = (std::mem::take(&mut state.lines), std::mem::take(&mut state.dropped));
        state.writing = lines.len() as u64 + dropped;
        (lines, dropped)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::sync::mpsc::channel;

    const DEADLINE: Duration = Duration::from_secs(60);

    #[test]
    fn lines_that_find_no_room_are_counted_and_reported_when_there_is_room_again() {
        let (reader, writer) = io::pipe().unwrap();
        let notice = |dropped| format!("{dropped} dropped\n");
        let queue = LineQueue::start(writer, notice, |error| panic!("{error}")).unwrap();
        let line = "x".repeat(999);
        // More than the pipe, the batch that is being written, and the queue hold.
        const LINES: u64 = 5000;
        for _ in 0..LINES {
            queue.push(line.clone());
        }

        let (sender, lines) = channel();
        thread::spawn(move || BufReader::new(reader).lines().try_for_each(|line| sender.send(line.unwrap())));
        let (mut printed, mut dropped) = (0, 0);
        while printed + dropped < LINES {
            let next = lines.recv_timeout(DEADLINE).unwrap();
            match next.strip_suffix(" dropped") {
                Some(count) => dropped += count.parse::<u64>().unwrap(),
                None => printed += u64::from(next == line),
            }
        }
        assert_eq!(printed + dropped, LINES);
        assert!(dropped > 0);
        queue.push("after".into());
        assert_eq!(queue.flush(DEADLINE), 0);
        assert_eq!(lines.recv_timeout(DEADLINE).unwrap(), "after");
    }

    #[test]
    fn a_flush_gives_up_and_returns_the_number_of_unwritten_lines() {
        let (_reader, writer) = io::pipe().unwrap();
        let queue = LineQueue::start(writer, |_| String::new(), |error| panic!("{error}")).unwrap();
        for _ in 0..10 {
            queue.push("x".repeat(LIMIT / 5));
        }
        assert_eq!(queue.flush(Duration::from_millis(10)), 10);
    }
}
