//! Listener callbacks and event channels.

#[path = "../common/mod.rs"]
mod common;

mod event_channel;
mod listener_pointers;
mod on_write;
mod panics;
mod slow_callbacks;
mod waiting_in_callbacks;
