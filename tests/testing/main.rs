//! The public module for tests, used as other programs would use it.

mod closing;
mod expecting;
mod sending;
mod streams;
