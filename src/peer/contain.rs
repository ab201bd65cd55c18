//! Panics of the program's code, kept where they happened.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs code of the program's; `None` when it panicked.
///
/// What it panicked with is dropped in here, too: that can panic as well, and would end a thread before it has said so.
pub(super) fn contain<T>(run: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(value) => Some(value),
        Err(payload) => {
            if let Err(worse) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
                mem::forget(worse);
            }
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::panic_any;

    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic_any(Bomb);
        }
    }

    #[test]
    fn no_panic_gets_out() {
        assert_eq!(contain(|| 7), Some(7));
        assert_eq!(contain(|| panic!("once")), None::<()>);
        assert_eq!(contain(|| panic_any(Bomb)), None::<()>);
    }
}
