//! Detects calls that are made on one of a peer's own threads. Such a call must not wait for the peer, because it would
//! deadlock.

use crate::peer::error::WaitError;
use std::{
    cell::Cell,
    sync::atomic::{AtomicU64, Ordering},
};

thread_local! {
    static CURRENT: Cell<Option<PeerIdentity>> = const { Cell::new(None) };
}

static IDENTITIES: AtomicU64 = AtomicU64::new(0);

/// Identifies a peer among all peers of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::peer) struct PeerIdentity(u64);

impl PeerIdentity {
    pub fn new() -> Self {
        Self(IDENTITIES.fetch_add(1, Ordering::Relaxed))
    }

    /// Marks this thread as one of the peer's own threads.
    pub fn adopt_thread(self) {
        CURRENT.set(Some(self));
    }

    pub fn is_current(self) -> bool {
        CURRENT.get() == Some(self)
    }

    /// Returns an error if this thread is a thread of any peer.
    pub fn check_none_is_current() -> Result<(), WaitError> {
        if CURRENT.get().is_some() { Err(WaitError::InCallback) } else { Ok(()) }
    }

    pub fn check_not_current(self) -> Result<(), WaitError> {
        if self.is_current() { Err(WaitError::InCallback) } else { Ok(()) }
    }
}
