//! The configuration of a node, checked once and cheap to clone.

mod builder;
mod settings;

pub use builder::ConfigBuilder;
pub(super) use settings::Settings;

use super::rules::nonces::Nonces;
use super::{Capture, ConfigError, DagView, Listener, RateLimit, ScoreLimit, StallRule};
use crate::wire::{Network, PayloadLimits, Services, SubnetworkId, UserAgent, UserAgentError};
use parking_lot::Mutex;
use rand::seq::SliceRandom;
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// The treatment of a well-formed message whose command is not one of the protocol's 25.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CustomCommands {
    /// Calls [`Listener::on_custom`], whose default does nothing.
    #[default]
    Deliver,
    /// Answers with a `reject` and disconnects, as kaspad does.
    Disconnect,
}

/// The treatment of a frame whose payload is larger than the [`ConfigBuilder::payload_limits`] allow. During the
/// handshake, the peer always disconnects when it receives such a frame.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OversizeFrames {
    /// Answers with a `reject` and disconnects, as for every malformed frame.
    #[default]
    Disconnect,
    /// Skips the frame without keeping its payload. The peer counts the frame as malformed and reports it to
    /// [`Listener::on_read`].
    Skip,
}

/// The configuration of a node: its `version` message, its listener, and the settings of its peers. Cloning is cheap,
/// and a clone describes the same node.
///
/// Build one configuration for each node of the process, and use it for all connections of this node. If a connection
/// needs another listener or other stall rules, use [`with_listener`](Self::with_listener) or
/// [`with_stall_rules`](Self::with_stall_rules), which return a configuration of the same node. These configurations
/// share the peer ids, and the nonces by which the node detects a connection to itself. A second configuration from a
/// builder describes a second node. The two nodes can connect to each other.
///
/// ```
/// use kaspa_peer::{Config, wire::{Network, Services}};
/// use std::time::Duration;
///
/// let config = Config::builder(Network::Simnet)
///     .user_agent_with_comments("dag-watch", "1.0.0", ["demo"])
///     .services(Services::NETWORK)
///     .idle_timeout(Duration::from_secs(60))
///     .build()?;
/// assert!(config.user_agent().to_string().ends_with("/dag-watch:1.0.0(demo)/"));
/// assert_eq!(config.idle_timeout(), Some(Duration::from_secs(60)));
/// # Ok::<(), kaspa_peer::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct Config {
    node: Arc<Node>,
    settings: Arc<Settings>,
}

/// The data that all peers of a node share, whatever their settings.
struct Node {
    parts: Vec<UserAgentPart>,
    user_agent: UserAgent,
    next_id: AtomicU64,
    nonces: Mutex<Nonces>,
}

#[derive(Clone)]
struct UserAgentPart {
    name: String,
    version: String,
    comments: Vec<String>,
}

impl Node {
    fn new(parts: Vec<UserAgentPart>) -> Result<Self, UserAgentError> {
        let library = UserAgent::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))?;
        let add = |agent: UserAgent, part: &UserAgentPart| agent.then(&part.name, &part.version, &part.comments);
        let user_agent = parts.iter().try_fold(library, add)?;
        Ok(Self { parts, user_agent, next_id: AtomicU64::new(1), nonces: Mutex::new(Nonces::new()) })
    }
}

impl Config {
    /// Starts the configuration of a node of `network`.
    pub fn builder(network: Network) -> ConfigBuilder {
        ConfigBuilder::new(network)
    }

    /// Returns a builder with the settings of this configuration. The builder describes another node: its peer ids
    /// start at 1, and the two nodes can connect to each other.
    pub fn to_builder(&self) -> ConfigBuilder {
        ConfigBuilder { settings: (*self.settings).clone(), user_agent: self.node.parts.clone() }
    }

    /// Returns a configuration of the same node with another listener, for a connection whose callbacks need data of
    /// their own.
    ///
    /// All configurations of a node share its peer ids, and detect a connection of the node to itself.
    ///
    /// ```
    /// use kaspa_peer::wire::{FeeFilter, Network};
    /// use kaspa_peer::{Config, Listener, Peer};
    /// # use std::net::{TcpListener, TcpStream};
    ///
    /// /// The data of one connection.
    /// struct Connection { number: usize }
    ///
    /// impl Listener for Connection {
    ///     fn on_fee_filter(&self, _: &Peer, message: FeeFilter) {
    ///         println!("connection {} wants at least {} sompi", self.number, message.min_fee);
    ///     }
    /// }
    ///
    /// let node = Config::builder(Network::Simnet).build()?;
    /// # let server = TcpListener::bind("127.0.0.1:0")?;
    /// # let _remotes = [TcpStream::connect(server.local_addr()?)?, TcpStream::connect(server.local_addr()?)?];
    /// for number in 1..=2 {
    ///     let (stream, address) = server.accept()?;
    ///     let peer = Peer::inbound(stream, address, &node.with_listener(Connection { number }))?;
    ///     assert_eq!(peer.id(), number as u64);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_listener(&self, listener: impl Listener) -> Self {
        let settings = Settings { listener: Arc::new(listener), ..(*self.settings).clone() };
        Self { node: Arc::clone(&self.node), settings: Arc::new(settings) }
    }

    /// Returns a configuration of the same node with other stall rules, see [`ConfigBuilder::stall_rules`].
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if a rule cannot be used.
    pub fn with_stall_rules(&self, rules: impl IntoIterator<Item = StallRule>) -> Result<Self, ConfigError> {
        let settings = Settings { stall_rules: rules.into_iter().collect(), ..(*self.settings).clone() };
        settings.check()?;
        Ok(Self { node: Arc::clone(&self.node), settings: Arc::new(settings) })
    }

    /// The network of the node.
    #[must_use]
    pub fn network(&self) -> Network {
        self.settings.network
    }

    /// The user agent of the node: the name and version of this library, followed by those of the program.
    #[must_use]
    pub fn user_agent(&self) -> &UserAgent {
        &self.node.user_agent
    }

    /// The proxy, see [`ConfigBuilder::proxy`].
    #[must_use]
    pub fn proxy(&self) -> Option<&str> {
        self.settings.proxy.as_deref()
    }

    /// The listener, see [`ConfigBuilder::listener`].
    #[must_use]
    pub fn listener(&self) -> &dyn Listener {
        &*self.settings.listener
    }

    /// The view of the program's block DAG, if there is one, see [`ConfigBuilder::dag`].
    #[must_use]
    pub fn dag(&self) -> Option<&dyn DagView> {
        self.settings.has_dag.then_some(&*self.settings.dag)
    }

    /// The largest payload of each command, see [`ConfigBuilder::payload_limits`].
    #[must_use]
    pub fn payload_limits(&self) -> &PayloadLimits {
        &self.settings.payload_limits
    }

    /// The stall rules, see [`ConfigBuilder::stall_rules`].
    #[must_use]
    pub fn stall_rules(&self) -> &[StallRule] {
        &self.settings.stall_rules
    }

    /// The capture, see [`ConfigBuilder::capture`].
    #[must_use]
    pub fn capture(&self) -> Option<&Capture> {
        self.settings.capture.as_ref()
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The id of the next peer. Ids count up from 1 for each node.
    pub(super) fn next_peer_id(&self) -> u64 {
        self.node.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Returns a new nonce for a `version` message, and stores it to detect a connection to itself.
    pub(super) fn new_nonce(&self) -> u64 {
        self.node.nonces.lock().fresh()
    }

    /// A nonce for a ping, not 0. Uses the random number generator of the node: the generator of the thread may no
    /// longer exist when the program pings in the destructor of a thread-local value.
    pub(super) fn ping_nonce(&self) -> u64 {
        self.node.nonces.lock().ping()
    }

    /// Puts items in random order.
    pub(super) fn shuffle<T>(&self, items: &mut [T]) {
        items.shuffle(self.node.nonces.lock().rng());
    }

    /// `true` if this node sent the nonce in a `version`.
    pub(super) fn sent_nonce(&self, nonce: u64) -> bool {
        self.node.nonces.lock().contains(nonce)
    }
}

macro_rules! getters {
    ($($name:ident: $type:ty, $doc:literal;)*) => {
        impl Config {
            $(
                #[doc = concat!($doc, ", see [`ConfigBuilder::", stringify!($name), "`].")]
                #[must_use]
                pub fn $name(&self) -> $type {
                    self.settings.$name
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

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("network", &self.network())
            .field("user_agent", self.user_agent())
            .field("services", &self.services())
            .field("subnetwork", &self.subnetwork())
            .finish_non_exhaustive()
    }
}
