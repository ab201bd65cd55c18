//! Observing a peer: statistics and captures.

#[path = "../common/mod.rs"]
mod common;

mod capture;
mod capture_outputs;
#[cfg(feature = "serde")]
mod serde_of_statistics_and_reasons;
mod statistics;
