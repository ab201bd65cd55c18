//! Helpers: the messages that a node often sends, with their limits and filters.

use super::logging::SENT;
use super::{Peer, QueueError, Receipt, WaitError};
use crate::wire::{
    Addr, AddressScope, GetBlockInvs, GetHeaders, GetLocator, Hash, Locator, Reject, RejectCode, SubnetworkId,
    TimedAddress, WireString,
};
use log::warn;
use std::time::Duration;

impl Peer {
    /// Sends addresses of nodes of `subnetwork` (`None`: of full nodes), and tells which were sent.
    ///
    /// Nothing is sent for an empty list. Of more than [`Addr::MAX`] a random choice is sent.
    ///
    /// # Errors
    ///
    /// As [`queue_message`](Self::queue_message).
    pub fn push_addresses(
        &self,
        addresses: &[TimedAddress],
        subnetwork: Option<SubnetworkId>,
    ) -> Result<Vec<TimedAddress>, QueueError> {
        if addresses.is_empty() {
            return Ok(Vec::new());
        }
        let mut addresses = addresses.to_vec();
        if addresses.len() > Addr::MAX {
            self.config().shuffle(&mut addresses);
            addresses.truncate(Addr::MAX);
        }
        let message = Addr { scope: AddressScope::from(subnetwork), addresses };
        self.queue_message(&message)?;
        Ok(message.addresses)
    }

    /// Asks for the inventory of the blocks between two blocks, unless the last such request was the same. Tells
    /// whether it was queued.
    ///
    /// # Errors
    ///
    /// As [`queue_message`](Self::queue_message); a request that was not queued does not count as the last.
    pub fn push_get_block_invs(&self, low: Hash, high: Hash) -> Result<bool, QueueError> {
        let request = GetBlockInvs { low, high };
        // Locked until it is queued, so that of two threads with the same request one sends it.
        let mut last = self.shared().last_requests.lock();
        if last.block_invs == Some(request) {
            return Ok(false);
        }
        self.queue_message(&request)?;
        last.block_invs = Some(request);
        Ok(true)
    }

    /// Asks for the headers between two blocks, unless the last such request was the same. Tells whether it was queued.
    ///
    /// # Errors
    ///
    /// As [`push_get_block_invs`](Self::push_get_block_invs).
    pub fn push_get_headers(&self, low: Hash, high: Hash) -> Result<bool, QueueError> {
        let request = GetHeaders { low, high };
        let mut last = self.shared().last_requests.lock();
        if last.headers == Some(request) {
            return Ok(false);
        }
        self.queue_message(&request)?;
        last.headers = Some(request);
        Ok(true)
    }

    /// Asks for a locator from `high` down to `low`.
    ///
    /// # Errors
    ///
    /// As [`queue_message`](Self::queue_message).
    pub fn push_get_locator(&self, high: Hash, low: Hash) -> Result<Receipt, QueueError> {
        self.queue_message(&GetLocator { high, low })
    }

    /// Sends a locator.
    ///
    /// # Errors
    ///
    /// [`QueueError::Encode`] for more than [`Locator::MAX`] hashes; otherwise as
    /// [`queue_message`](Self::queue_message).
    pub fn push_locator(&self, hashes: impl Into<Vec<Hash>>) -> Result<Receipt, QueueError> {
        self.queue_message(&Locator { hashes: hashes.into() })
    }

    /// Tells the remote what was wrong with a message of its. For `block` and `tx` the hash says with which; a missing
    /// one goes out as zero, with a warning in the log. For other commands it is not sent.
    ///
    /// # Errors
    ///
    /// As [`queue_message`](Self::queue_message).
    pub fn push_reject(
        &self,
        command: impl Into<WireString>,
        code: RejectCode,
        reason: impl Into<WireString>,
        hash: Option<Hash>,
    ) -> Result<Receipt, QueueError> {
        self.queue_message(&self.rejection(command.into(), code, reason.into(), hash))
    }

    /// Like [`push_reject`](Self::push_reject), and waits until it is written, as one does before disconnecting.
    ///
    /// # Errors
    ///
    /// When it was not queued, or not written within `timeout`.
    pub fn push_reject_and_wait(
        &self,
        command: impl Into<WireString>,
        code: RejectCode,
        reason: impl Into<WireString>,
        hash: Option<Hash>,
        timeout: Duration,
    ) -> Result<(), WaitError> {
        let reject = self.rejection(command.into(), code, reason.into(), hash);
        self.queue_message(&reject)?.wait_timeout(timeout)
    }

    fn rejection(&self, command: WireString, code: RejectCode, reason: WireString, hash: Option<Hash>) -> Reject {
        let reject = Reject { command, code, reason, hash };
        if hash.is_none() && reject.names_object() {
            warn!(target: SENT, "{self}: reject of {} without a hash", reject.command);
        }
        reject
    }
}
