//! Harnesses for the pure parts, which nobody outside can reach: bytes choose what happens, and what must hold is
//! asserted.
//!
//! The targets in `tests/fuzz` run them on what a fuzzer makes up, the unit tests below on arbitrary bytes.

mod choices;
mod handshaking;
mod session;

pub use choices::Choices;
pub use handshaking::handshake;
pub use session::session;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

        #[test]
        fn any_bytes_make_a_handshake(input in vec(any::<u8>(), 0..400)) {
            handshake(&input);
        }

        #[test]
        fn any_bytes_make_a_session(input in vec(any::<u8>(), 0..1500)) {
            session(&input);
        }

        /// Small numbers choose what is of interest more often.
        #[test]
        fn small_bytes_make_a_session(input in vec(prop_oneof![3 => 0..20u8, 1 => any::<u8>()], 0..1500)) {
            session(&input);
        }
    }
}
