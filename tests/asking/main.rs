//! Questions to a remote, and dialling in one call.

#[path = "../common/mod.rs"]
mod common;

mod answers;
mod connect;
