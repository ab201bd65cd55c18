//! One connection: its threads, what they share, and how it starts and ends.
//!
//! `start` makes the shared state and the threads. `version_exchange` builds and sends the messages of the handshake.
//! `lifecycle` holds the reason of the end. `reader`, `writer` and `pinger` are the threads. `outbound` is the queue
//! between the callers and the writer, `send_progress` tells receipts how far the writer is, and `trickle` collects
//! announcements. `questions` are the requests whose callers wait for an answer. `callbacks` is the trait through which
//! the threads call the program.

pub(in crate::peer) mod batch;
pub(in crate::peer) mod callbacks;
pub(in crate::peer) mod counters;
pub(in crate::peer) mod frame_sizes;
#[cfg(all(test, shuttle))]
mod interleavings;
pub(in crate::peer) mod lifecycle;
pub(in crate::peer) mod outbound;
mod pinger;
pub(in crate::peer) mod questions;
mod reader;
pub(in crate::peer) mod send_progress;
pub(in crate::peer) mod shared;
pub(in crate::peer) mod start;
pub(in crate::peer) mod thread_identity;
mod trickle;
mod version_exchange;
mod writer;
