//! What the `peer` package of the original kaspad promised, and what it did wrong.

#[path = "../common/mod.rs"]
mod common;

mod defects;
mod promises;
