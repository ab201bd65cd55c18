//! What the original kaspad `peer` package promised, and what it did wrong.

#[path = "../common/mod.rs"]
mod common;

mod defects;
mod promises;
