//! The public module for tests, used as other programs would use it.

mod closing;
mod data_store;
mod expecting;
mod sending;
mod streams;
