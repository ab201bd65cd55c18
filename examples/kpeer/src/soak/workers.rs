//! Threads for the calls that wait: questions and `close`.

use super::counts::{Counts, one_more};
use crossbeam_channel::{Receiver, Sender, bounded};
use kaspa_peer::peer::{AskError, CloseError};
use kaspa_peer::wire::{GetLocator, GetSelectedTip, Hash};
use kaspa_peer::{Peer, Receipt};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::Duration;

const THREADS: usize = 16;

/// Jobs that may wait for a thread.
const WAITING: usize = 64;

/// Longer than a connection can take to end, even when the process is paused meanwhile. A question that has not resolved
/// by then never will.
const ASK_TIMEOUT: Duration = Duration::from_secs(120);

const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Clone, Copy)]
pub enum Question {
    /// The remote's selected tip. The library answers it.
    Tip,
    /// A transaction that the remote has.
    Transaction(Hash),
    /// A block that the remote does not have.
    MissingBlock,
    /// A locator, which the remote never sends.
    Locator,
}

enum Job {
    Ask(Peer, Question),
    /// Closes the peer, whose receipts are those of everything that was queued before.
    Close(Peer, Vec<Receipt>),
}

pub struct Workers {
    jobs: Sender<Job>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    pub fn start(counts: &Arc<Counts>) -> io::Result<Self> {
        let (jobs, work) = bounded(WAITING);
        let thread = |number| {
            let (work, counts) = (work.clone(), Arc::clone(counts));
            thread::Builder::new().name(format!("worker-{number}")).spawn(move || run(&work, &counts))
        };
        let threads = (0..THREADS).map(thread).collect::<io::Result<_>>()?;
        Ok(Self { jobs, threads })
    }

    /// Asks, unless all threads are busy.
    pub fn ask(&self, peer: &Peer, question: Question) {
        // A full channel means that enough is being asked already.
        let _ = self.jobs.try_send(Job::Ask(peer.clone(), question));
    }

    /// Closes a peer; returns whether a thread will do it.
    pub fn close(&self, peer: &Peer, receipts: Vec<Receipt>) -> bool {
        self.jobs.try_send(Job::Close(peer.clone(), receipts)).is_ok()
    }

    /// Waits until everything is done.
    pub fn stop(self) -> Result<(), String> {
        drop(self.jobs);
        for thread in self.threads {
            thread.join().map_err(|_| "a thread that asks panicked".to_owned())?;
        }
        Ok(())
    }
}

fn run(work: &Receiver<Job>, counts: &Counts) {
    for job in work {
        match job {
            Job::Ask(peer, question) => ask(&peer, question, counts),
            Job::Close(peer, receipts) => close(&peer, &receipts, counts),
        }
    }
}

fn ask(peer: &Peer, question: Question, counts: &Counts) {
    one_more(&counts.asked);
    let result = match question {
        Question::Tip => peer.ask(&GetSelectedTip, ASK_TIMEOUT).map(drop),
        Question::Transaction(id) => peer.fetch_transaction(id, ASK_TIMEOUT).map(drop),
        Question::MissingBlock => peer.fetch_block(Hash::of(b"missing"), ASK_TIMEOUT).map(drop),
        Question::Locator => peer.ask(&GetLocator::default(), ASK_TIMEOUT).map(drop),
    };
    match result {
        Ok(()) | Err(AskError::NotFound { .. } | AskError::Rejected(_)) => one_more(&counts.answered),
        Err(AskError::Closed(_)) => one_more(&counts.ended),
        Err(AskError::Queue(_) | AskError::TooMany { .. }) => {
            counts.asked.fetch_sub(1, Ordering::Relaxed);
            one_more(&counts.refused);
        }
        Err(error) => counts.complain(format!("a question to {peer} was not resolved: {error}")),
    }
}

fn close(peer: &Peer, receipts: &[Receipt], counts: &Counts) {
    match peer.close(CLOSE_TIMEOUT) {
        Ok(()) => {
            one_more(&counts.closed);
            let not_written = receipts.iter().filter(|receipt| receipt.try_wait() != Some(Ok(()))).count();
            if not_written > 0 {
                counts.complain(format!("{peer} was closed in order, and {not_written} messages were not written"));
            }
        }
        Err(CloseError::NotSent { .. } | CloseError::Closed(_)) => one_more(&counts.closed_short),
        Err(error) => counts.complain(format!("{peer} could not be closed: {error}")),
    }
}
