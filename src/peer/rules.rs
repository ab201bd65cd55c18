//! The rules of one connection, as state machines without threads, sockets or clocks of their own. The caller passes
//! the time.
//!
//! They import only public types and messages, nothing of the connection that uses them.

pub(super) mod announcements;
pub(super) mod deadlines;
pub(super) mod handshake;
mod known_inventory;
pub(super) mod nonces;
pub(super) mod ping;
pub(super) mod rate_limit;
pub(super) mod score;
pub(super) mod stall_rule;
