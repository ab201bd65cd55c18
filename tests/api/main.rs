//! What Rust programmers expect of a public API, and the extremes of its settings.

#[path = "../common/mod.rs"]
mod common;

mod conventions;
mod extreme_settings;
