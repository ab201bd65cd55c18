//! The handshake: which side speaks first, what our `version` contains, which remotes are refused, and the timeout.

#[path = "../common/mod.rs"]
mod common;

mod clock_offset;
mod messages_before_verack;
mod our_version_message;
mod receiver_address;
mod rules;
mod selected_tip;
mod timeout;
