//! The log records of the library.
//!
//! A process has one logger, so these tests have a binary of their own, and those that log run one after the other.

#[path = "../common/mod.rs"]
mod common;

mod hostile_text;
mod levels_and_targets;
mod logger;
mod panicking_logger;
