//! The handshake: who speaks first, what `version` contains, which remotes are refused, and when it times out.

#[path = "../common/mod.rs"]
mod common;

mod clock_offset;
mod messages_before_verack;
mod our_version_message;
mod receiver_address;
mod rules;
mod selected_tip;
mod timeout;
