//! What was counted, in one consistent snapshot.

use super::{Direction, PeerAddress};
use crate::wire::{Command, Hash, Services, SubnetworkId, UserAgent};
use std::{
    array,
    iter::{FusedIterator, Sum, Zip},
    ops::{Add, AddAssign},
    slice,
    time::{Duration, SystemTime},
};

/// Messages and their bytes, headers included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Count {
    /// How many messages.
    pub messages: u64,
    /// How many bytes they took on the wire.
    pub bytes: u64,
}

impl Count {
    pub(super) fn one(bytes: usize) -> Self {
        Self { messages: 1, bytes: bytes as u64 }
    }
}

impl AddAssign for Count {
    /// Saturates.
    fn add_assign(&mut self, other: Self) {
        // What was counted fits; what was read back from somewhere may be any number.
        self.messages = self.messages.saturating_add(other.messages);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

impl Add for Count {
    type Output = Self;

    /// Saturates.
    fn add(mut self, other: Self) -> Self {
        self += other;
        self
    }
}

impl Sum for Count {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), Add::add)
    }
}

impl<'a> Sum<&'a Self> for Count {
    fn sum<I: Iterator<Item = &'a Self>>(counts: I) -> Self {
        counts.copied().sum()
    }
}

/// The known commands, and all unknown ones.
pub(super) const COMMANDS: usize = Command::ALL.len() + 1;

/// What went one way, as a whole and per command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Traffic {
    counts: [Count; COMMANDS],
    /// Bytes of frames that were no messages.
    pub(super) malformed: Count,
}

impl Default for Traffic {
    fn default() -> Self {
        Self { counts: [Count::default(); COMMANDS], malformed: Count::default() }
    }
}

impl Traffic {
    #[inline]
    pub(super) fn add(&mut self, command: Command, count: Count) {
        if let Some(sum) = self.counts.get_mut(command.index()) {
            *sum += count;
        }
    }

    pub(super) fn add_custom(&mut self, count: Count) {
        if let Some(sum) = self.counts.last_mut() {
            *sum += count;
        }
    }

    /// Everything, malformed frames included as bytes but not as messages.
    #[must_use]
    pub fn total(&self) -> Count {
        self.counts.iter().sum::<Count>() + Count { messages: 0, bytes: self.malformed.bytes }
    }

    /// The messages of one command. All unknown commands are counted as one.
    #[must_use]
    pub fn of(&self, command: Command) -> Count {
        self.counts.get(command.index()).copied().unwrap_or_default()
    }

    /// The messages of all commands that this crate does not know.
    #[must_use]
    pub fn custom(&self) -> Count {
        self.counts.last().copied().unwrap_or_default()
    }

    /// Frames that were no messages, and the bytes read of them.
    #[must_use]
    pub fn malformed(&self) -> Count {
        self.malformed
    }

    /// The known commands of which there was at least one message.
    #[must_use]
    pub fn iter(&self) -> Counts<'_> {
        Counts(Command::ALL.into_iter().zip(&self.counts))
    }
}

impl<'a> IntoIterator for &'a Traffic {
    type Item = (Command, Count);
    type IntoIter = Counts<'a>;

    fn into_iter(self) -> Counts<'a> {
        self.iter()
    }
}

/// The known commands of which there was at least one message, with their counts. Made by [`Traffic::iter`].
#[derive(Debug, Clone)]
pub struct Counts<'a>(Zip<array::IntoIter<Command, { Command::ALL.len() }>, slice::Iter<'a, Count>>);

impl Iterator for Counts<'_> {
    type Item = (Command, Count);

    fn next(&mut self) -> Option<(Command, Count)> {
        self.0.find(|(_, count)| count.messages > 0).map(|(command, count)| (command, *count))
    }
}

impl FusedIterator for Counts<'_> {}

/// What is known of a peer at one moment. See [`Peer::stats`](super::Peer::stats).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Stats {
    /// The peer's id; they count up from 1 for each node.
    pub id: u64,
    /// Where the peer is.
    pub address: PeerAddress,
    /// Which side made the connection.
    pub direction: Direction,
    /// When the peer was made.
    pub connected_at: SystemTime,
    /// Whether both sides have said `version` and `verack`.
    pub handshake_done: bool,
    /// What the remote said in its `version`; `None` before that.
    pub remote: Option<Remote>,
    /// What arrived.
    pub received: Traffic,
    /// What was written.
    pub sent: Traffic,
    /// When something arrived last.
    pub last_receive: Option<SystemTime>,
    /// When something was written last.
    pub last_send: Option<SystemTime>,
    /// The nonce of the last `ping` sent; `None` when it has been answered, or there was none. A `pong` of nonce 0 answers
    /// none.
    pub last_ping_nonce: Option<u64>,
    /// When the last `ping` was sent.
    pub last_ping: Option<SystemTime>,
    /// The round-trip time of the last `ping` that was answered.
    pub last_rtt: Option<Duration>,
    /// The shortest round-trip time so far.
    pub min_rtt: Option<Duration>,
    /// How many bytes wait to be written.
    pub queued_bytes: usize,
    /// How many messages wait to be written.
    pub queued_messages: usize,
    /// How many inventory items the remote is known to have.
    pub inventory_known: usize,
    /// How many inventory items wait to be announced.
    pub inventory_queued: usize,
    /// Whether the remote asked for new blocks as `headers`.
    pub wants_headers: bool,
    /// How many points the program gave the remote for misbehaving, less those forgiven.
    pub score: u32,
}

/// What a remote said in its `version`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Remote {
    /// What it runs.
    pub user_agent: UserAgent,
    /// What it offers.
    pub services: Services,
    /// The newest protocol version it speaks.
    pub advertised_version: i32,
    /// The version both sides speak.
    pub negotiated_version: i32,
    /// Its subnetwork; `None` for a full node.
    pub subnetwork: Option<SubnetworkId>,
    /// Whether it wants transactions announced.
    pub relay_transactions: bool,
    /// Its clock minus ours, in seconds: negative when it is behind.
    pub time_offset: i64,
    /// Its selected tip, as last heard.
    pub selected_tip: Hash,
}
