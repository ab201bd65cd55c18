//! Whose thread this is, so that nobody waits for itself.

use super::WaitError;
use std::{
    cell::Cell,
    sync::atomic::{AtomicU64, Ordering},
};

thread_local! {
    static CURRENT: Cell<Option<PeerKey>> = const { Cell::new(None) };
}

static KEYS: AtomicU64 = AtomicU64::new(0);

/// Names a peer among all there ever are in this process: a receipt may outlive its peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct PeerKey(u64);

impl PeerKey {
    pub fn new() -> Self {
        Self(KEYS.fetch_add(1, Ordering::Relaxed))
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
