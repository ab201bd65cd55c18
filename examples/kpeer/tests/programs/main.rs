//! Tests of `kpeer` as a program: what it prints, how it ends, and how it behaves toward nodes that a test plays.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod bench;
mod connect;
#[cfg(target_os = "linux")]
mod connect_memory;
mod crawl;
mod crawl_limits;
#[cfg(target_os = "linux")]
mod dag_memory;
mod exercise;
mod help;
mod hostile_text;
mod inspect_captures;
mod inspect_frames;
mod inspect_pcap;
mod inspect_replay;
mod listen;
mod proxy;
mod relay;
mod relay_hostile;
#[cfg(unix)]
mod signals;
mod soak;
mod support;
mod sync;
mod unread_output;
#[cfg(target_os = "linux")]
mod unused_messages;
