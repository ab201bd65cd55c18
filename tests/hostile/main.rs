//! Remotes that attack a node.

#[path = "../common/mod.rs"]
mod common;

mod answers_beyond_the_queue_limit;
mod isolation;
mod rejects_nobody_reads;
