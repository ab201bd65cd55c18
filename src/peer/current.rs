//! Whose thread this is, so that nobody waits for itself.

use super::WaitError;
use std::cell::Cell;

thread_local! {
    static CURRENT: Cell<Option<PeerKey>> = const { Cell::new(None) };
}

/// Names a peer for as long as it exists: where its shared state is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PeerKey(usize);

impl PeerKey {
    pub fn of<T>(shared: *const T) -> Self {
        Self(shared.addr())
    }

    /// Marks this thread as one of the peer's own.
    pub fn adopt_thread(self) {
        CURRENT.set(Some(self));
    }

    pub fn is_current(self) -> bool {
        CURRENT.get() == Some(self)
    }

    pub fn check_not_current(self) -> Result<(), WaitError> {
        if self.is_current() { Err(WaitError::InCallback) } else { Ok(()) }
    }
}
