//! The codec: messages, frames and their bytes, without threads or sockets.

mod accepted_oddity_vectors;
#[path = "../common/payloads.rs"]
mod payloads;

mod allocation_counts;
mod arbitrary;
mod captured_session;
mod claimed_lengths;
mod decode_memory;
mod encode_refusals;
mod fuzz_seeds;
mod hash_and_varint_vectors;
mod huge_length_vectors;
mod invalid_frame_vectors;
mod message_vectors;
mod properties;
#[cfg(feature = "serde")]
mod serde_round_trip;
mod vector_files;
