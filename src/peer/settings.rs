//! The settings of a node and of its peers.

mod node;
mod values;

pub(super) use node::{Node, UserAgentPart};
pub(super) use values::Values;
pub use values::{CustomCommands, OversizeFrames};

use super::error::ConfigError;
use super::rules::deadlines::Timeouts;
use super::rules::rate_limit::RateLimit;
use super::rules::score::ScoreLimit;
use super::rules::stall_rule::StallRule;
use crate::wire::{Network, PayloadLimits, Services, SubnetworkId, UserAgent};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::{fmt, sync::Arc, time::Duration};

/// The settings of a node and of its peers: everything in a [`Config`](crate::Config) but the listener, the view of the
/// block DAG and the capture, which a peer does not keep after its end.
///
/// A `Config` dereferences to its settings, and [`Peer::settings`](crate::Peer::settings) returns the settings with
/// which a peer was started. Each method returns the value of one setting.
/// [`ConfigBuilder`](crate::ConfigBuilder) documents the settings and their defaults.
///
/// ```
/// use kaspa_peer::wire::{Network, SendHeaders, Services};
/// use kaspa_peer::{Config, Listener, Peer};
/// # use kaspa_peer::Inbox;
/// # use std::time::Duration;
///
/// /// Asks remotes to announce blocks with `headers`, if the node offers blocks.
/// struct PrefersHeaders;
///
/// impl Listener for PrefersHeaders {
///     fn on_handshake(&self, peer: &Peer) {
///         if peer.settings().services().contains(Services::NETWORK) {
///             let _ = peer.queue_message(&SendHeaders);
///         }
///     }
/// }
///
/// let config = Config::builder(Network::Simnet).services(Services::NETWORK).listener(PrefersHeaders).build()?;
/// assert_eq!(config.services(), Services::NETWORK);
/// # let inbox = Inbox::new();
/// # let other = Config::builder(Network::Simnet).listener(inbox.clone()).build()?;
/// # let peers = kaspa_peer::testing::connect_peers(&config, &other)?;
/// # let _: SendHeaders = inbox.wait_for(Duration::from_secs(10))?;
/// # drop(peers);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Settings {
    node: Arc<Node>,
    values: Values,
}

/// A panic in the program's code cannot leave settings in an inconsistent state, because the library holds none of
/// their locks while it runs code of the program.
impl UnwindSafe for Settings {}
impl RefUnwindSafe for Settings {}

impl Settings {
    /// The settings of a new node.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for the first setting that cannot be used.
    pub(super) fn new(values: Values, user_agent: Vec<UserAgentPart>) -> Result<Self, ConfigError> {
        values.check()?;
        Ok(Self { node: Arc::new(Node::new(user_agent)?), values })
    }

    /// The settings of the same node with other stall rules.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if a rule cannot be used.
    pub(super) fn with_stall_rules(&self, stall_rules: Arc<[StallRule]>) -> Result<Self, ConfigError> {
        let values = Values { stall_rules, ..self.values.clone() };
        values.check()?;
        Ok(Self { node: Arc::clone(&self.node), values })
    }

    pub(super) fn node(&self) -> &Node {
        &self.node
    }

    pub(super) fn values(&self) -> &Values {
        &self.values
    }

    /// The timeouts that the deadlines of a peer need.
    pub(super) fn timeouts(&self) -> Timeouts {
        self.values.timeouts()
    }

    /// The network of the node.
    #[must_use]
    pub fn network(&self) -> Network {
        self.values.network
    }

    /// The user agent of the node: the name and version of this library, followed by those of the program.
    #[must_use]
    pub fn user_agent(&self) -> &UserAgent {
        &self.node.user_agent
    }

    /// The proxy, see [`ConfigBuilder::proxy`](crate::ConfigBuilder::proxy).
    #[must_use]
    pub fn proxy(&self) -> Option<&str> {
        self.values.proxy.as_deref()
    }

    /// The largest payload of each command, see
    /// [`ConfigBuilder::payload_limits`](crate::ConfigBuilder::payload_limits).
    #[must_use]
    pub fn payload_limits(&self) -> &PayloadLimits {
        &self.values.payload_limits
    }

    /// The stall rules, see [`ConfigBuilder::stall_rules`](crate::ConfigBuilder::stall_rules).
    #[must_use]
    pub fn stall_rules(&self) -> &[StallRule] {
        &self.values.stall_rules
    }
}

macro_rules! getters {
    ($($name:ident: $type:ty, $doc:literal;)*) => {
        impl Settings {
            $(
                #[doc = concat!($doc, ", see [`ConfigBuilder::", stringify!($name), "`](crate::ConfigBuilder::", stringify!($name), ").")]
                #[must_use]
                pub fn $name(&self) -> $type {
                    self.values.$name
                }
            )*
        }
    };
}

getters! {
    services: Services, "The services that the node offers";
    subnetwork: Option<SubnetworkId>, "The subnetwork of a partial node, which handles the transactions of one subnetwork; `None` for a full node, which handles all";
    protocol_version: i32, "The newest protocol version that the node speaks";
    relay_transactions: bool, "Whether remotes should announce transactions to the node";
    automatic_pongs: bool, "Whether peers answer each `ping`";
    answer_selected_tip: bool, "Whether peers answer `getseltip`";
    custom_commands: CustomCommands, "What peers do with custom commands";
    oversize_frames: OversizeFrames, "What peers do with a frame that is too large";
    bloom_version: i32, "The lowest negotiated protocol version at which a bloom filter command ends the connection, if the node does not offer bloom filters";
    handshake_timeout: Duration, "How long the handshake may take";
    idle_timeout: Option<Duration>, "How long a peer stays connected while no message arrives";
    frame_timeout: Option<Duration>, "How long a frame may take to arrive";
    write_timeout: Option<Duration>, "How long a write may make no progress before the peer disconnects";
    ping_interval: Option<Duration>, "How often peers send a `ping`";
    trickle_interval: Duration, "How long a peer collects announcements before it sends them together";
    queue_limit: usize, "The largest number of bytes that wait to be written to one remote";
    high_water_mark: usize, "The queue size in bytes at which `send_message` starts to wait";
    known_inventory: usize, "How many inventory items a peer remembers as known to the remote";
    inventory_queue: usize, "The largest number of inventory items that wait to be announced to one remote";
    stack_size: usize, "The stack size of each thread of a peer, in bytes";
    rate_limit: Option<RateLimit>, "The rate at which each remote may send messages and bytes";
    score_limit: Option<ScoreLimit>, "The score at which a peer disconnects";
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("network", &self.network())
            .field("user_agent", self.user_agent())
            .field("services", &self.services())
            .field("subnetwork", &self.subnetwork())
            .finish_non_exhaustive()
    }
}
