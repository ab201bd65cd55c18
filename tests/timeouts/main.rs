//! The timeouts of an open connection: idle, frame, stall and write, and the periodic pings.

#[path = "../common/mod.rs"]
mod common;

mod automatic_pongs;
mod frame_timeout;
mod idle_timeout;
mod pings;
mod retry_helper;
mod stall_timeout;
mod write_timeout;
