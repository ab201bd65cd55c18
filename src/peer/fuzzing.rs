//! Fuzz harnesses that need private types. Each takes bytes, which choose what happens, and panics if a property does
//! not hold.
//!
//! The targets in `tests/fuzz` run them on the inputs of a fuzzer, and the unit tests below on random bytes.

mod choices;
mod handshaking;
mod lifecycle;
mod session;

pub use choices::Choices;
pub use handshaking::handshake;
pub use lifecycle::lifecycle;
pub use session::session;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    /// Small numbers choose what is of interest more often.
    fn mostly_small() -> impl Strategy<Value = u8> {
        prop_oneof![3 => 0..20u8, 1 => any::<u8>()]
    }

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

        #[test]
        fn small_bytes_make_a_session(input in vec(mostly_small(), 0..1500)) {
            session(&input);
        }
    }

    #[test]
    fn a_second_end_does_not_postpone_the_first_in_a_session() {
        session(&[
            0xbb, 0xe9, 0x00, 0x61, 0x00, 0x00, 0x01, 0x00, 0x04, 0xb5, 0xb5, 0x35, 0xb5, 0xb5, 0xb5, 0x00, 0x5d, 0x04,
            0xb5, 0x60, 0x3f, 0x23, 0xa7, 0x00, 0x00, 0x01, 0x00, 0xa7, 0xa7, 0xa7, 0xa7, 0xa7, 0x61, 0x00, 0x00, 0x01,
            0x00, 0x04, 0xb5, 0xb5, 0x35, 0xb5, 0x3f, 0x23, 0xa7, 0xb5, 0xb5, 0xb5, 0x00, 0xa7, 0xa7, 0xa7, 0xa7, 0xa7,
            0xff,
        ]);
    }

    proptest! {
        // Each case starts threads, and one that hangs takes a minute, so a failure is not made smaller here.
        #![proptest_config(ProptestConfig {
            failure_persistence: None,
            max_shrink_iters: 0,
            ..ProptestConfig::with_cases(100)
        })]

        #[test]
        fn any_bytes_make_a_lifecycle(input in vec(any::<u8>(), 0..400)) {
            lifecycle(&input);
        }

        #[test]
        fn small_bytes_make_a_lifecycle(input in vec(mostly_small(), 0..400)) {
            lifecycle(&input);
        }
    }
}
