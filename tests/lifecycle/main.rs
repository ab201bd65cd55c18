//! A connection from its first message to its last callback.

#[path = "../common/mod.rs"]
mod common;

mod conversation;
mod disconnect_under_load;
mod disconnecting;
mod last_callback;
mod listener_destructor;
mod orderly_end;
mod thread_local_destructors;
