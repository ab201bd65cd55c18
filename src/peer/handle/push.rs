//! Methods that queue messages that a node often sends, with their limits and filters.

use crate::peer::error::{QueueError, WaitError};
use crate::peer::handle::Peer;
use crate::peer::logging::SENT;
use crate::peer::receipt::Receipt;
use crate::wire::{
    Addr, AddressScope, GetBlockInvs, GetHeaders, GetLocator, Hash, Locator, Reject, RejectCode, SubnetworkId,
    TimedAddress, WireString,
};
use log::warn;
use std::time::Duration;

impl Peer {
    /// Queues an `addr` with `addresses`, and returns the addresses that it contains. `subnetwork` says whose addresses
    /// they are: those of nodes of this subnetwork, or, if it is `None`, those of full nodes. The method does not check
    /// this.
    ///
    /// An empty list is not sent. If there are more than [`Addr::MAX`] addresses, a random selection of them is sent.
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
            self.settings().node().shuffle(&mut addresses);
            addresses.truncate(Addr::MAX);
        }
        let message = Addr { scope: AddressScope::from(subnetwork), addresses };
        self.queue_message(&message)?;
        Ok(message.addresses)
    }

    /// Queues a `getblockinvs`, which requests the inventory of the blocks between two blocks. Queues nothing if the
    /// last request that this method queued was the same. Returns whether the request was queued.
    ///
    /// # Errors
    ///
    /// As [`queue_message`](Self::queue_message). After an error the same request can be queued again.
    pub fn push_get_block_invs(&self, low: Hash, high: Hash) -> Result<bool, QueueError> {
        let request = GetBlockInvs { low, high };
        // The lock is held until the request is queued. If two threads make the same request, only one of them queues
        // it.
        let mut last = self.shared().last_requests.lock();
        if last.block_invs.as_deref() == Some(&request) {
            return Ok(false);
        }
        self.queue_message(&request)?;
        last.block_invs = Some(Box::new(request));
        Ok(true)
    }

    /// Queues a `getheaders`, which requests the headers of the blocks between two blocks. Queues nothing if the last
    /// request that this method queued was the same. Returns whether the request was queued.
    ///
    /// # Errors
    ///
    /// As [`push_get_block_invs`](Self::push_get_block_invs).
    pub fn push_get_headers(&self, low: Hash, high: Hash) -> Result<bool, QueueError> {
        let request = GetHeaders { low, high };
        let mut last = self.shared().last_requests.lock();
        if last.headers.as_deref() == Some(&request) {
            return Ok(false);
        }
        self.queue_message(&request)?;
        last.headers = Some(Box::new(request));
        Ok(true)
    }

    /// Queues a `getlocator`, which requests a locator of the blocks from `high` down to `low`.
    ///
    /// # Errors
    ///
    /// As [`queue_message`](Self::queue_message).
    pub fn push_get_locator(&self, high: Hash, low: Hash) -> Result<Receipt, QueueError> {
        self.queue_message(&GetLocator { high, low })
    }

    /// Queues a `locator`, the answer to `getlocator`.
    ///
    /// # Errors
    ///
    /// [`QueueError::Encode`] for more than [`Locator::MAX`] hashes; otherwise as
    /// [`queue_message`](Self::queue_message).
    pub fn push_locator(&self, hashes: impl Into<Vec<Hash>>) -> Result<Receipt, QueueError> {
        self.queue_message(&Locator { hashes: hashes.into() })
    }

    /// Queues a `reject`, which says why a message of the remote was rejected. To disconnect after it, use
    /// [`disconnect_with`](Self::disconnect_with).
    ///
    /// If `command` is `block` or `tx`, `hash` names the rejected block or transaction; `None` is sent as zeros, with a
    /// warning in the log. For other commands `hash` is ignored.
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

    /// Like [`push_reject`](Self::push_reject), and waits until the message is written, at most `timeout`.
    ///
    /// # Errors
    ///
    /// If the message was not queued, or was not written within `timeout`; [`WaitError::InCallback`] in a callback of
    /// this peer, where it queues nothing.
    pub fn push_reject_and_wait(
        &self,
        command: impl Into<WireString>,
        code: RejectCode,
        reason: impl Into<WireString>,
        hash: Option<Hash>,
        timeout: Duration,
    ) -> Result<(), WaitError> {
        // Checked first, so that nothing was sent if the call is refused.
        self.shared().lifecycle().identity().check_not_current()?;
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
