//! The conventions of Rust libraries that the public API follows, and the settings of a node.

#[path = "../common/mod.rs"]
mod common;

mod addresses;
mod channels;
mod conventions;
mod extreme_settings;
mod local_address;
mod settings;
