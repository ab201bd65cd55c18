//! Catches panics in code of the program: callbacks, streams, outputs of captures, the logger.

use std::any::Any;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A longer message of a panic is cut to this many bytes, because every handle of an ended peer keeps the reason for
/// the end.
const KEPT: usize = 512;

/// Runs code of the program. Returns the message if it panics.
///
/// The payload of the panic is dropped here as well, because its destructor can panic too.
pub(super) fn catch_panic<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|payload| {
        let message = panic_message(&*payload);
        if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            // The destructor of `second` may panic too, so it never runs.
            mem::forget(second);
        }
        message
    })
}

/// The message of a panic, from the payload that `catch_unwind` returns. At most [`KEPT`] bytes of it.
pub(super) fn panic_message(payload: &(dyn Any + Send)) -> String {
    let text = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => *text,
        (_, Some(text)) => text.as_str(),
        _ => "the panic has no message",
    };
    let ends = text.char_indices().map(|(at, character)| at + character.len_utf8());
    let end = ends.take_while(|end| *end <= KEPT).last().unwrap_or_default();
    text.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::panic_any;

    /// Panics when it is dropped, with a payload that does the same.
    struct PanicsOnDrop;

    impl Drop for PanicsOnDrop {
        fn drop(&mut self) {
            panic_any(PanicsOnDrop);
        }
    }

    #[test]
    fn a_panic_becomes_its_message() {
        assert_eq!(catch_panic(|| 7), Ok(7));
        assert_eq!(catch_panic(|| panic!("once")), Err::<(), _>("once".to_owned()));
        assert_eq!(catch_panic(|| panic!("{} times", 2)), Err::<(), _>("2 times".to_owned()));
    }

    #[test]
    fn a_payload_that_panics_when_it_is_dropped_is_caught() {
        let message = catch_panic(|| panic_any(PanicsOnDrop)).map(|()| String::new()).unwrap_err();
        assert_eq!(message, "the panic has no message");
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let message = catch_panic(|| panic!("{}", "ä€".repeat(1000))).map(|()| String::new()).unwrap_err();
        assert!(message.len() <= KEPT && message.len() > KEPT - 4, "{}", message.len());
    }
}
