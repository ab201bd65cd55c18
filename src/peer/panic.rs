//! Catches panics in code of the program: callbacks, streams, outputs of captures, the logger.

use super::disconnect::kept_text;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::{io, mem};

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

/// Drops a value of the program, whose destructor may panic. The panic is lost.
///
/// A thread that holds several such values drops each with a call of its own: if a second destructor panics while the
/// panic of the first one unwinds, the process aborts.
pub(super) fn drop_caught<T>(value: T) {
    let _ = catch_panic(|| drop(value));
}

/// Returns the kind and the text of an error of a stream or an output of the program, and drops the error.
///
/// The text is `Err` with the message of the panic if the `Display` of the error panics. The error is dropped after
/// that, because its destructor may panic too, and two panics at once abort the process. Therefore no other code of the
/// program may run while the caller owns such an error, unless the caller catches its panics.
pub(super) fn take_error(error: io::Error) -> (io::ErrorKind, Result<String, String>) {
    let kind = error.kind();
    let text = catch_panic(|| error.to_string());
    drop_caught(error);
    (kind, text)
}

/// The message of a panic, from the payload that `catch_unwind` returns. At most 512 bytes of it.
pub(super) fn panic_message(payload: &(dyn Any + Send)) -> String {
    kept_text(match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text,
        _ => "the panic has no message",
    })
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
}
