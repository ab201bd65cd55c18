//! The promises of the `peer` package of the original kaspad, and its defects.

#[path = "../common/mod.rs"]
mod common;

mod defects;
mod promises;
