//! How long a remote may take to answer a request.

use crate::wire::Command;
use std::time::Duration;

/// The time in which a remote must answer a request.
///
/// ```
/// use kaspa_peer::{Config, StallRule, wire::{Command, Network}};
/// use std::time::Duration;
///
/// let mut rules = StallRule::defaults();
/// rules.push(StallRule::new(Command::GetAddr, [Command::Addr], Duration::from_secs(30)));
/// let config = Config::builder(Network::Simnet).stall_rules(rules).build()?;
/// # Ok::<(), kaspa_peer::ConfigError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct StallRule {
    /// The request. The time starts when the request is completely written. Another request of the same type restarts
    /// it.
    pub request: Command,
    /// The answers: any message of one of these types.
    pub answers: Vec<Command>,
    /// How long the answer may take, at least 1 ms.
    pub limit: Duration,
}

impl StallRule {
    /// The largest number of rules in a configuration.
    pub const MAX: usize = 32;

    /// A rule: the remote must send one of `answers` within `limit` after a `request`.
    #[must_use]
    pub fn new(request: Command, answers: impl IntoIterator<Item = Command>, limit: Duration) -> Self {
        Self { request, answers: answers.into_iter().collect(), limit }
    }

    /// The default rules: 30 s for `inv` after `getblockinvs`, for `block`, `merkleblock`, `tx` or
    /// `notfound` after `getdata`, and for `selectedtip` after `getseltip`; 90 s for `headers` after `getheaders`.
    #[must_use]
    pub fn defaults() -> Vec<Self> {
        let rule = |request, answers: &[Command], seconds| {
            Self::new(request, answers.iter().copied(), Duration::from_secs(seconds))
        };
        let data = [Command::Block, Command::MerkleBlock, Command::Tx, Command::NotFound];
        vec![
            rule(Command::GetBlockInvs, &[Command::Inv], 30),
            rule(Command::GetData, &data, 30),
            rule(Command::GetSelectedTip, &[Command::SelectedTip], 30),
            rule(Command::GetHeaders, &[Command::Headers], 90),
        ]
    }
}
