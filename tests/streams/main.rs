//! Connections over streams other than TCP sockets.

#[path = "../common/mod.rs"]
mod common;

mod errors_that_panic;
mod faulty_streams;
mod memory_streams;
mod resets;
mod stream_destructors;
#[cfg(unix)]
mod unix_sockets;
