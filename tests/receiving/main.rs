//! Receiving: custom commands, bloom filter commands, malformed frames, rate limits and scores.

#[path = "../common/mod.rs"]
mod common;

mod bloom_commands;
mod custom_commands;
mod malformed_frames;
mod misbehaviour_score;
mod oversize_frames;
mod rate_limit;
