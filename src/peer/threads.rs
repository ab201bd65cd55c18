//! The three threads of a peer, and who waits for their end.
//!
//! A thread that has ended and that nobody joined keeps its stack, and a program may keep handles of peers that are long
//! gone and never wait for them. So the pinger, which calls nobody back, ends last and joins the other two, and each pinger
//! joins the one that ended before it: of all peers that are gone, one thread at most is left.

use parking_lot::{Mutex, MutexGuard};
use std::{
    mem,
    thread::{self, JoinHandle},
};

/// The pinger that ended last, in the whole process.
static LAST: Mutex<Option<JoinHandle<()>>> = Mutex::new(None);

/// The threads of one peer.
#[derive(Debug, Default)]
pub(super) struct Threads(Mutex<Vec<JoinHandle<()>>>);

impl Threads {
    /// Where threads are put while they are started. Nobody finds some of them before all are there.
    pub fn start(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.0.lock()
    }

    /// Waits until all are started, or none will be.
    pub fn wait_until_started(&self) {
        drop(self.0.lock());
    }

    /// For the pinger: waits until the others are gone, and gives its own.
    pub fn join_others(&self) -> Option<JoinHandle<()>> {
        let mut threads = mem::take(&mut *self.0.lock());
        let this = thread::current().id();
        let own = threads.iter().position(|thread| thread.thread().id() == this).map(|at| threads.swap_remove(at));
        threads.into_iter().for_each(join);
        own
    }
}

/// The last thing that a pinger does, but for saying that it is gone. From here on others wait for its end, so nothing of
/// the program's may run on it any more.
pub(super) fn leave(own: Option<JoinHandle<()>>) {
    let mut last = LAST.lock();
    if let Some(before) = mem::replace(&mut *last, own) {
        join(before);
    }
}

/// Waits until every pinger that has finished is gone.
pub(super) fn join_last() {
    // Locked until it is joined, so that everybody who waits returns after that.
    let mut last = LAST.lock();
    if let Some(thread) = last.take() {
        join(thread);
    }
}

fn join(thread: JoinHandle<()>) {
    // A panic was turned into a reason on the thread itself.
    drop(thread.join());
}
