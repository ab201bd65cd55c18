//! A peer with its threads, on a stream that fails in any way. The harness is in `src/peer/fuzzing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| kaspa_peer::peer::fuzzing::lifecycle(input));
