//! Remotes that attack a node.

#[path = "../common/mod.rs"]
mod common;

mod before_the_version;
mod isolation;
mod malformed_frames_while_blocked;
mod pings_during_large_sends;
