//! The handshake with any messages in any order. The harness is in `src/peer/fuzzing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| kaspa_peer::peer::fuzzing::handshake(input));
