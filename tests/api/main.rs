//! The conventions of Rust libraries that the public API follows, and the extremes of its settings.

#[path = "../common/mod.rs"]
mod common;

mod conventions;
mod extreme_settings;
