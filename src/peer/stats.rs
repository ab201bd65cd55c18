//! The statistics of a peer, as one consistent snapshot.

use super::address::{Direction, PeerAddress};
use crate::wire::{Command, Hash, Services, SubnetworkId, UserAgent};
use std::{
    array,
    iter::{FusedIterator, Sum, Zip},
    ops::{Add, AddAssign},
    slice,
    time::{Duration, SystemTime},
};

/// A number of messages, and of their bytes.
///
/// Counts can be added with `+` and `+=`, and summed with [`Iterator::sum`]. Sums saturate.
///
/// ```
/// use kaspa_peer::peer::Count;
///
/// let counts = [Count::new(1, 32), Count::new(2, 64)];
/// assert_eq!(counts.iter().sum::<Count>(), Count::new(3, 96));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Count {
    /// The number of messages.
    pub messages: u64,
    /// The number of bytes that the messages have on the wire, headers included.
    pub bytes: u64,
}

impl Count {
    /// Creates a `Count` of `messages` messages with `bytes` bytes in total.
    #[must_use]
    pub const fn new(messages: u64, bytes: u64) -> Self {
        Self { messages, bytes }
    }

    pub(super) fn one(bytes: usize) -> Self {
        Self { messages: 1, bytes: bytes as u64 }
    }
}

impl AddAssign for Count {
    /// Adds the numbers. A sum that does not fit becomes `u64::MAX`.
    fn add_assign(&mut self, other: Self) {
        // The numbers of a peer are too small to overflow, but a deserialised `Count` can contain any numbers.
        self.messages = self.messages.saturating_add(other.messages);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

impl Add for Count {
    type Output = Self;

    /// Adds the numbers. A sum that does not fit becomes `u64::MAX`.
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

/// One entry for each known command, and one for all custom commands.
pub(super) const COMMANDS: usize = Command::ALL.len() + 1;

/// The traffic in one direction, in total and by command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Traffic {
    counts: [Count; COMMANDS],
    /// The number of malformed frames, and the number of bytes that were read of these frames.
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

    /// The messages and bytes of all commands. The bytes include malformed frames; the messages do not.
    #[must_use]
    pub fn total(&self) -> Count {
        self.counts.iter().sum::<Count>() + Count { messages: 0, bytes: self.malformed.bytes }
    }

    /// The messages of one command. All custom commands are counted together.
    #[must_use]
    pub fn of(&self, command: Command) -> Count {
        self.counts.get(command.index()).copied().unwrap_or_default()
    }

    /// The messages of all custom commands.
    #[must_use]
    pub fn custom(&self) -> Count {
        self.counts.last().copied().unwrap_or_default()
    }

    /// The number of malformed frames, and the number of bytes that were read of these frames.
    #[must_use]
    pub fn malformed(&self) -> Count {
        self.malformed
    }

    /// All that was counted, with names, for a table: each known command with at least one message, then `custom` and
    /// `malformed` if there are any.
    ///
    /// The bytes of all rows add up to those of the [`total`](Self::total). So do the messages of all rows but
    /// `malformed`.
    ///
    /// ```
    /// # use kaspa_peer::{Config, wire::Network, testing::connect_peers};
    /// # let node = || Config::builder(Network::Simnet).build();
    /// # let (peer, remote) = connect_peers(&node()?, &node()?)?;
    /// for (name, count) in peer.stats().received.rows() {
    ///     println!("{name:>12} {:>9} {:>12}", count.messages, count.bytes);
    /// }
    /// # drop(remote);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn rows(&self) -> impl Iterator<Item = (String, Count)> {
        let others = [("custom", self.custom()), ("malformed", self.malformed)];
        let others = others.into_iter().filter(|(_, count)| *count != Count::default());
        let known = self.iter().map(|(command, count)| (command.name().to_owned(), count));
        known.chain(others.map(|(name, count)| (name.to_owned(), count)))
    }

    /// The known commands with at least one message, and their counts. Leaves out custom commands and malformed frames,
    /// so that the sum can be less than the [`total`](Self::total); [`rows`](Self::rows) has them.
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

/// An iterator over the known commands with at least one message, and the [`Count`] of each. Returned by
/// [`Traffic::iter`].
#[derive(Debug, Clone)]
pub struct Counts<'a>(Zip<array::IntoIter<Command, { Command::ALL.len() }>, slice::Iter<'a, Count>>);

impl Iterator for Counts<'_> {
    type Item = (Command, Count);

    fn next(&mut self) -> Option<(Command, Count)> {
        self.0.find(|(_, count)| count.messages > 0).map(|(command, count)| (command, *count))
    }
}

impl FusedIterator for Counts<'_> {}

/// The state and the counters of a peer at one moment. Returned by [`Peer::stats`](super::Peer::stats).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Stats {
    /// The id of the peer. The peers of one node have the ids 1, 2, 3 and so on.
    pub id: u64,
    /// The address of the remote.
    pub address: PeerAddress,
    /// The side that dialled.
    pub direction: Direction,
    /// The time at which the peer was started.
    pub connected_at: SystemTime,
    /// `true` if both sides have sent `version` and `verack`.
    pub handshake_done: bool,
    /// The content of the remote's `version`; `None` before the `version` has arrived.
    pub remote: Option<Remote>,
    /// The messages that arrived.
    pub received: Traffic,
    /// The messages that were written.
    pub sent: Traffic,
    /// The time at which the last frame arrived.
    pub last_receive: Option<SystemTime>,
    /// The time at which the last frame was written.
    pub last_send: Option<SystemTime>,
    /// The nonce of the last `ping` that was sent; `None` if the remote has answered this `ping`, or if no `ping` was
    /// sent. A `pong` with nonce 0 is no answer to a `ping`.
    pub last_ping_nonce: Option<u64>,
    /// The time at which the last `ping` was sent.
    pub last_ping: Option<SystemTime>,
    /// The round-trip time of the last `ping` that was answered.
    pub last_rtt: Option<Duration>,
    /// The shortest round-trip time so far; `None` before the first answer to a `ping`.
    pub min_rtt: Option<Duration>,
    /// How many bytes wait to be written.
    pub queued_bytes: usize,
    /// How many messages wait to be written.
    pub queued_messages: usize,
    /// How many inventory items the remote is known to have.
    pub inventory_known: usize,
    /// How many inventory items wait to be announced.
    pub inventory_queued: usize,
    /// `true` if the remote has asked to have new blocks announced as `headers`.
    pub wants_headers: bool,
    /// The points that the program gave the remote for misbehaviour, minus the points that were forgiven over time.
    pub score: u32,
}

/// The content of the `version` of a remote.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Remote {
    /// The user agent.
    pub user_agent: UserAgent,
    /// The services that the remote offers.
    pub services: Services,
    /// The newest protocol version that the remote speaks.
    pub advertised_version: i32,
    /// The protocol version of this connection: the newest that both sides speak.
    pub negotiated_version: i32,
    /// The subnetwork of a partial node; `None` for a full node.
    pub subnetwork: Option<SubnetworkId>,
    /// `true` if the remote wants transactions to be announced.
    pub relay_transactions: bool,
    /// The remote's clock minus this system's clock, in seconds. The value is negative if the remote's clock is behind.
    pub time_offset: i64,
    /// The remote's selected tip, from its `version`, from a later `selectedtip`, or from
    /// [`Peer::set_selected_tip`](super::Peer::set_selected_tip).
    pub selected_tip: Hash,
}

/// Implements the `serde` traits for [`Traffic`], which cannot be derived.
#[cfg(feature = "serde")]
mod serde_impls {
    use super::{Count, Traffic};
    use crate::wire::Command;
    use serde::de::{Deserialize, Deserializer};
    use serde::ser::{Serialize, Serializer};
    use std::collections::BTreeMap;

    /// The serialised form of [`Traffic`]. Commands without messages are left out.
    #[derive(serde::Serialize, serde::Deserialize)]
    struct Written {
        commands: BTreeMap<Command, Count>,
        unknown: Count,
        malformed: Count,
    }

    impl Serialize for Traffic {
        fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            let written =
                Written { commands: self.iter().collect(), unknown: self.custom(), malformed: self.malformed() };
            written.serialize(to)
        }
    }

    impl<'de> Deserialize<'de> for Traffic {
        fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            let Written { commands, unknown, malformed } = Written::deserialize(from)?;
            let mut traffic = Self::default();
            for (command, count) in commands {
                traffic.add(command, count);
            }
            traffic.add_custom(unknown);
            traffic.malformed += malformed;
            Ok(traffic)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_add_up_to_the_total() {
        let mut traffic = Traffic::default();
        assert_eq!(traffic.rows().count(), 0);
        traffic.add(Command::Ping, Count::new(2, 64));
        traffic.add(Command::Block, Count::new(1, 1000));
        traffic.add_custom(Count::new(3, 100));
        traffic.malformed = Count::new(1, 7);
        let rows: Vec<_> = traffic.rows().collect();
        let mut names: Vec<_> = rows.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names.split_off(2), ["custom", "malformed"]);
        names.sort_unstable();
        assert_eq!(names, ["block", "ping"]);
        let sum: Count = rows.iter().map(|(_, count)| count).sum();
        assert_eq!((sum.bytes, sum.messages), (traffic.total().bytes, traffic.total().messages + 1));
    }
}
