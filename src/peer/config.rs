//! What a node is, and how its peers behave: validated once, cheap to clone.

use super::rules::nonces::Nonces;
use super::{Capture, ConfigError, DagView, Listener, RateLimit, ScoreLimit};
use crate::wire::{Command, Network, PROTOCOL_VERSION, Services, SubnetworkId, UserAgent};
use parking_lot::Mutex;
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Until when a request must have been answered.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StallRule {
    /// The request. The time runs from when it is written; a repeat restarts it.
    pub request: Command,
    /// What answers it: any message of one of these types.
    pub answers: Vec<Command>,
    /// How long it may take. Time spent in callbacks is not counted.
    pub limit: Duration,
}

impl StallRule {
    /// The most rules a configuration can have.
    pub const MAX: usize = 32;

    /// The rules unless others are set: 30 s for `inv` after `getblockinvs`, for `block`, `merkleblock`, `tx` or
    /// `notfound` after `getdata`, and for `selectedtip` after `getseltip`; 90 s for `headers` after `getheaders`.
    #[must_use]
    pub fn defaults() -> Vec<Self> {
        let rule = |request, answers: &[Command], seconds| Self {
            request,
            answers: answers.to_vec(),
            limit: Duration::from_secs(seconds),
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

/// What to do with a well-formed message whose command this crate does not know.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CustomCommands {
    /// Hand it to [`Listener::on_custom`], which does nothing unless it is implemented.
    #[default]
    Deliver,
    /// Answer with a `reject` and disconnect, as the original does.
    Disconnect,
}

/// A node: what it tells of itself and how its peers behave. Cloning is cheap, and a clone is the same node.
///
/// Two configurations built separately are two nodes, which can talk to each other in one process. A node that connects
/// to itself is noticed by the nonces in its `version` messages.
///
/// ```
/// use kaspa_peer::{Config, wire::{Network, Services}};
/// use std::time::Duration;
///
/// let config = Config::builder(Network::Simnet)
///     .user_agent("dag-watch", "1.0.0", ["demo"])
///     .services(Services::NETWORK)
///     .idle_timeout(Duration::from_secs(60))
///     .build()?;
/// assert!(config.user_agent().to_string().ends_with("/dag-watch:1.0.0(demo)/"));
/// # Ok::<(), kaspa_peer::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct Config {
    node: Arc<Node>,
}

struct Node {
    settings: Settings,
    user_agent: UserAgent,
    next_id: AtomicU64,
    nonces: Mutex<Nonces>,
}

/// What a builder collects, and what the threads of a peer read.
#[derive(Clone)]
pub(super) struct Settings {
    pub network: Network,
    pub services: Services,
    pub subnetwork: Option<SubnetworkId>,
    pub protocol_version: i32,
    pub relay_transactions: bool,
    pub proxy: Option<String>,
    pub listener: Arc<dyn Listener>,
    pub dag: Arc<dyn DagView>,
    pub custom_commands: CustomCommands,
    pub max_custom_payload: u32,
    pub bloom_version: i32,
    pub handshake_timeout: Duration,
    pub idle_timeout: Option<Duration>,
    pub frame_timeout: Option<Duration>,
    pub write_timeout: Option<Duration>,
    pub ping_interval: Option<Duration>,
    pub trickle_interval: Duration,
    pub stall_rules: Arc<[StallRule]>,
    pub queue_limit: usize,
    pub high_water_mark: usize,
    pub known_inventory: usize,
    pub inventory_queue: usize,
    pub capture: Option<Capture>,
    pub rate_limit: Option<RateLimit>,
    pub score_limit: Option<ScoreLimit>,
}

impl Config {
    /// Begins a configuration for a node of `network`.
    pub fn builder(network: Network) -> ConfigBuilder {
        ConfigBuilder { settings: Settings::new(network), user_agents: Vec::new() }
    }

    /// The network the node is on.
    #[must_use]
    pub fn network(&self) -> Network {
        self.node.settings.network
    }

    /// What the node says it runs: this library, then the program.
    #[must_use]
    pub fn user_agent(&self) -> &UserAgent {
        &self.node.user_agent
    }

    /// What the node offers.
    #[must_use]
    pub fn services(&self) -> Services {
        self.node.settings.services
    }

    /// The subnetwork of a partial node; `None` for a full node.
    #[must_use]
    pub fn subnetwork(&self) -> Option<SubnetworkId> {
        self.node.settings.subnetwork
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.node.settings
    }

    /// Ids count up from 1 for each node.
    pub(super) fn next_peer_id(&self) -> u64 {
        self.node.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// A fresh nonce for a `version` message, remembered.
    pub(super) fn new_nonce(&self) -> u64 {
        self.node.nonces.lock().fresh()
    }

    pub(super) fn sent_nonce(&self, nonce: u64) -> bool {
        self.node.nonces.lock().contains(nonce)
    }
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

impl Settings {
    fn new(network: Network) -> Self {
        Self {
            network,
            services: Services::empty(),
            subnetwork: None,
            protocol_version: PROTOCOL_VERSION,
            relay_transactions: true,
            proxy: None,
            listener: Arc::new(()),
            dag: Arc::new(()),
            custom_commands: CustomCommands::default(),
            max_custom_payload: 1024 * 1024,
            bloom_version: 1,
            handshake_timeout: Duration::from_secs(30),
            idle_timeout: Some(Duration::from_secs(5 * 60)),
            frame_timeout: Some(Duration::from_secs(5 * 60)),
            write_timeout: Some(Duration::from_secs(30)),
            ping_interval: Some(Duration::from_secs(2 * 60)),
            trickle_interval: Duration::from_millis(100),
            stall_rules: StallRule::defaults().into(),
            queue_limit: 8 * 1024 * 1024,
            high_water_mark: 256 * 1024,
            known_inventory: 1000,
            inventory_queue: 500_000,
            capture: None,
            rate_limit: None,
            score_limit: None,
        }
    }

    fn check(&self) -> Result<(), ConfigError> {
        let durations = [
            ("handshake_timeout", Some(self.handshake_timeout)),
            ("idle_timeout", self.idle_timeout),
            ("frame_timeout", self.frame_timeout),
            ("a score's half life", self.score_limit.and_then(|limit| limit.half_life)),
            ("a rate limit's end_after", self.rate_limit.and_then(|limit| limit.end_after)),
            ("write_timeout", self.write_timeout),
            ("ping_interval", self.ping_interval),
            ("trickle_interval", Some(self.trickle_interval)),
        ];
        let limits = self.stall_rules.iter().map(|rule| ("a stall rule's limit", Some(rule.limit)));
        if let Some((name, _)) = durations.into_iter().chain(limits).find(|(_, value)| *value == Some(Duration::ZERO)) {
            return Err(ConfigError::ZeroDuration(name));
        }
        if let Some(rule) = self.stall_rules.iter().find(|rule| rule.answers.is_empty()) {
            return Err(ConfigError::NoAnswer(rule.request));
        }
        if self.stall_rules.len() > StallRule::MAX {
            return Err(ConfigError::StallRules { found: self.stall_rules.len(), max: StallRule::MAX });
        }
        if self.protocol_version < 1 {
            return Err(ConfigError::ProtocolVersion(self.protocol_version));
        }
        if self.subnetwork == Some(SubnetworkId::NATIVE) {
            return Err(ConfigError::NativeSubnetwork);
        }
        if self.high_water_mark > self.queue_limit {
            return Err(ConfigError::HighWaterMark { high_water_mark: self.high_water_mark, limit: self.queue_limit });
        }
        let rates = self.rate_limit.map(|limit| [limit.messages_per_second, limit.bytes_per_second]);
        if rates.into_iter().flatten().any(|rate| rate == Some(0)) {
            return Err(ConfigError::ZeroLimit("a rate limit"));
        }
        if self.score_limit.is_some_and(|limit| limit.threshold == 0) {
            return Err(ConfigError::ZeroLimit("a score limit's threshold"));
        }
        if let Some(capture) = self.capture.as_ref().map(Capture::network).filter(|capture| *capture != self.network) {
            return Err(ConfigError::CaptureNetwork { capture, node: self.network });
        }
        Ok(())
    }
}

/// Collects what a [`Config`] is made of. Every setting has a default, given with its method.
///
/// ```
/// use kaspa_peer::{Config, ConfigError, wire::Network};
/// use std::time::Duration;
///
/// let builder = Config::builder(Network::Testnet)
///     .user_agent("monitor", "0.3.0", [""; 0])
///     .handshake_timeout(Duration::from_secs(10))
///     .idle_timeout(None)
///     .queue_limit(1024 * 1024);
/// assert!(builder.clone().build().is_ok());
///
/// // What cannot be is refused here, and not on a thread later.
/// let refused = builder.ping_interval(Duration::ZERO).build().err();
/// assert_eq!(refused, Some(ConfigError::ZeroDuration("ping_interval")));
/// ```
#[derive(Clone)]
#[must_use = "nothing is configured before build()"]
pub struct ConfigBuilder {
    settings: Settings,
    user_agents: Vec<(String, String, Vec<String>)>,
}

impl fmt::Debug for ConfigBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigBuilder").field("network", &self.settings.network).finish_non_exhaustive()
    }
}

impl ConfigBuilder {
    /// Adds the program's name, version and comments behind the library's own in the user agent. May be called more
    /// than once.
    pub fn user_agent<C: Into<String>>(
        mut self,
        name: impl Into<String>,
        version: impl Into<String>,
        comments: impl IntoIterator<Item = C>,
    ) -> Self {
        self.user_agents.push((name.into(), version.into(), comments.into_iter().map(Into::into).collect()));
        self
    }

    /// What the node offers. Default: nothing.
    pub fn services(mut self, services: Services) -> Self {
        self.settings.services = services;
        self
    }

    /// Makes this a partial node of `subnetwork`. Default: `None`, a full node.
    pub fn subnetwork(mut self, subnetwork: impl Into<Option<SubnetworkId>>) -> Self {
        self.settings.subnetwork = subnetwork.into();
        self
    }

    /// The newest protocol version to speak, at least 1. Default: [`PROTOCOL_VERSION`].
    pub fn protocol_version(mut self, version: i32) -> Self {
        self.settings.protocol_version = version;
        self
    }

    /// Whether remotes should announce transactions to this node. Default: yes.
    pub fn relay_transactions(mut self, relay: bool) -> Self {
        self.settings.relay_transactions = relay;
        self
    }

    /// The proxy, as `host:port`, through which the program dials: its address is then never told to a remote. The
    /// program does the dialling. Default: none.
    pub fn proxy(mut self, address: impl Into<String>) -> Self {
        self.settings.proxy = Some(address.into());
        self
    }

    /// Who is told what happens. Default: nobody.
    pub fn listener(mut self, listener: impl Listener) -> Self {
        self.settings.listener = Arc::new(listener);
        self
    }

    /// Like [`listener`](Self::listener), for one that is shared with the rest of the program.
    pub fn shared_listener(mut self, listener: Arc<dyn Listener>) -> Self {
        self.settings.listener = listener;
        self
    }

    /// Where to look up the selected tip and whether a block is known. Default: knows no block.
    pub fn dag(mut self, dag: impl DagView) -> Self {
        self.settings.dag = Arc::new(dag);
        self
    }

    /// What to do with unknown commands. Default: [`CustomCommands::Deliver`].
    pub fn custom_commands(mut self, policy: CustomCommands) -> Self {
        self.settings.custom_commands = policy;
        self
    }

    /// The largest payload of a message with an unknown command, in bytes; a larger one is malformed. Default: 1 MiB.
    pub fn max_custom_payload(mut self, bytes: u32) -> Self {
        self.settings.max_custom_payload = bytes;
        self
    }

    /// From which negotiated protocol version on a remote must know that bloom filter commands need the bloom service:
    /// it is then disconnected for one, and ignored below. Only matters to a node without [`Services::BLOOM`]. Default:
    /// 1.
    pub fn bloom_version(mut self, version: i32) -> Self {
        self.settings.bloom_version = version;
        self
    }

    /// How long the handshake may take, the remote's `verack` included. Default: 30 s.
    pub fn handshake_timeout(mut self, limit: Duration) -> Self {
        self.settings.handshake_timeout = limit;
        self
    }

    /// How long a peer lives without a whole message arriving, once the handshake is done; `None` for ever. This is
    /// also the most that one frame can take. Default: 5 min.
    pub fn idle_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.settings.idle_timeout = limit.into();
        self
    }

    /// How long one frame may take from its first byte to its last; `None` for ever, or as the idle timeout says. A
    /// remote that sends a byte now and then is ended by it. Default: 5 min.
    pub fn frame_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.settings.frame_timeout = limit.into();
        self
    }

    /// Where to record what the peers say: a capture of this node's network. Default: `None`, nowhere.
    pub fn capture(mut self, capture: impl Into<Option<Capture>>) -> Self {
        self.settings.capture = capture.into();
        self
    }

    /// How much each remote may send. Default: `None`, as much as it likes.
    pub fn rate_limit(mut self, limit: impl Into<Option<RateLimit>>) -> Self {
        self.settings.rate_limit = limit.into();
        self
    }

    /// When the points given with [`Peer::misbehaved`](super::Peer::misbehaved) end a peer. Default: `None`, never;
    /// points are then only counted, and none is forgiven.
    pub fn score_limit(mut self, limit: impl Into<Option<ScoreLimit>>) -> Self {
        self.settings.score_limit = limit.into();
        self
    }

    /// How long the remote may accept no byte of what is written; `None` for ever. A slow remote that keeps taking some
    /// lives. Default: 30 s. Short values kill live peers.
    pub fn write_timeout(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.settings.write_timeout = limit.into();
        self
    }

    /// How often to send a `ping`, the first one interval after the handshake; `None` for never. Default: 2 min.
    pub fn ping_interval(mut self, interval: impl Into<Option<Duration>>) -> Self {
        self.settings.ping_interval = interval.into();
        self
    }

    /// How long announcements are collected before they are sent together. Default: 100 ms.
    pub fn trickle_interval(mut self, interval: Duration) -> Self {
        self.settings.trickle_interval = interval;
        self
    }

    /// Which requests must be answered, and until when; an empty list for none. Default: [`StallRule::defaults`].
    pub fn stall_rules(mut self, rules: impl IntoIterator<Item = StallRule>) -> Self {
        self.settings.stall_rules = rules.into_iter().collect();
        self
    }

    /// How many bytes may wait to be written to one remote before queueing fails with
    /// [`QueueError::Full`](super::QueueError::Full). One message is always accepted when next to nothing waits (at most
    /// 4 KiB), however large it is, and so are the pongs for a few hundred pings whatever waits. Default: 8 MiB.
    pub fn queue_limit(mut self, bytes: usize) -> Self {
        self.settings.queue_limit = bytes;
        self.settings.high_water_mark = self.settings.high_water_mark.min(bytes);
        self
    }

    /// How many bytes may wait before [`Peer::send_message`](super::Peer::send_message) waits for room, mostly until half as
    /// many do; a deep queue is slower, not faster. Default: 256 KiB.
    pub fn high_water_mark(mut self, bytes: usize) -> Self {
        self.settings.high_water_mark = bytes;
        self
    }

    /// How many inventory items are remembered as known to the remote, least recently announced forgotten first; 0
    /// turns it off. Default: 1000.
    pub fn known_inventory(mut self, items: usize) -> Self {
        self.settings.known_inventory = items;
        self
    }

    /// How many inventory items may wait to be announced to one remote. Default: 500 000, which are 18 MB.
    pub fn inventory_queue(mut self, items: usize) -> Self {
        self.settings.inventory_queue = items;
        self
    }

    /// Checks the settings and makes the node.
    ///
    /// # Errors
    ///
    /// The first setting that cannot be, see [`ConfigError`].
    pub fn build(self) -> Result<Config, ConfigError> {
        self.settings.check()?;
        let library = UserAgent::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))?;
        let user_agent = self
            .user_agents
            .iter()
            .try_fold(library, |agent, (name, version, comments)| agent.then(name, version, comments))?;
        let node =
            Node { settings: self.settings, user_agent, next_id: AtomicU64::new(1), nonces: Mutex::new(Nonces::new()) };
        Ok(Config { node: Arc::new(node) })
    }
}
