//! One connection: its threads, the state that they share, its start and its end.
//!
//! `start` makes the shared state and starts the threads, which are in `reader`, `writer` and `pinger`. `lifecycle`
//! holds the reason for the end. `version_exchange` builds and sends the messages of the handshake. `outbound` is the
//! queue between the senders and the writer, and `trickle` collects announcements. `send_progress` counts written
//! messages, so that receipts resolve. `questions` holds the requests whose callers wait for an answer. `callbacks` has
//! the trait through which the threads call the program, and `program` holds the parts of the program that they use.

pub(in crate::peer) mod batch;
pub(in crate::peer) mod callbacks;
pub(in crate::peer) mod counters;
pub(in crate::peer) mod frame_sizes;
#[cfg(all(test, shuttle))]
mod interleavings;
pub(in crate::peer) mod lifecycle;
pub(in crate::peer) mod outbound;
mod pinger;
pub(in crate::peer) mod program;
pub(in crate::peer) mod questions;
mod reader;
pub(in crate::peer) mod send_progress;
pub(in crate::peer) mod shared;
pub(in crate::peer) mod start;
pub(in crate::peer) mod thread_identity;
mod trickle;
mod version_exchange;
mod writer;
