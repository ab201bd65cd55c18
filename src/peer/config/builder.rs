//! The builder of a configuration.

use super::Config;
use crate::peer::capture::Capture;
use crate::peer::dag_view::DagView;
use crate::peer::error::ConfigError;
use crate::peer::listener::Listener;
use crate::peer::rules::rate_limit::RateLimit;
use crate::peer::rules::score::ScoreLimit;
use crate::peer::rules::stall_rule::StallRule;
use crate::peer::settings::{CustomCommands, OversizeFrames, Settings, UserAgentPart, Values};
use crate::wire::{Network, PayloadLimits, Services, SubnetworkId};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::{fmt, sync::Arc, time::Duration};

/// Collects the settings of a [`Config`]. Every setting has a default, given in the documentation of its method.
///
/// ```
/// use kaspa_peer::{Config, ConfigError, wire::Network};
/// use std::time::Duration;
///
/// let builder = Config::builder(Network::Testnet)
///     .user_agent("monitor", "0.3.0")
///     .handshake_timeout(Duration::from_secs(10))
///     .idle_timeout(None)
///     .queue_limit(1024 * 1024);
/// assert!(builder.clone().build().is_ok());
///
/// // `build` refuses a setting that makes no sense.
/// let error = builder.ping_interval(Duration::ZERO).build().unwrap_err();
/// assert_eq!(error.to_string(), "ping_interval is 0ns, but must be at least 1ms");
/// # Ok::<(), ConfigError>(())
/// ```
#[derive(Clone)]
#[must_use = "nothing is configured before build()"]
pub struct ConfigBuilder {
    values: Values,
    user_agent: Vec<UserAgentPart>,
    listener: Arc<dyn Listener>,
    dag: Option<Arc<dyn DagView>>,
    capture: Option<Capture>,
}

/// A panic in the program's code cannot leave a builder in an inconsistent state, because the library holds none of its
/// locks while it runs code of the program.
impl UnwindSafe for ConfigBuilder {}
impl RefUnwindSafe for ConfigBuilder {}

impl fmt::Debug for ConfigBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigBuilder").field("network", &self.values.network).finish_non_exhaustive()
    }
}

impl Config {
    /// Starts the configuration of a node of `network`.
    pub fn builder(network: Network) -> ConfigBuilder {
        ConfigBuilder {
            values: Values::new(network),
            user_agent: Vec::new(),
            listener: Arc::new(()),
            dag: None,
            capture: None,
        }
    }

    /// Returns a builder with the settings of this configuration. The builder describes another node: its peer ids
    /// start at 1, and the two nodes can connect to each other.
    pub fn to_builder(&self) -> ConfigBuilder {
        ConfigBuilder {
            values: self.settings.values().clone(),
            user_agent: self.settings.node().parts.clone(),
            listener: Arc::clone(&self.listener),
            dag: self.dag.clone(),
            capture: self.capture.clone(),
        }
    }
}

impl ConfigBuilder {
    /// Adds the name and version of the program to the user agent, after those of this library. Each call adds one more
    /// name and version, for example first those of a framework and then those of the program. Default: only the name
    /// and version of this library.
    pub fn user_agent(self, name: impl Into<String>, version: impl Into<String>) -> Self {
        self.user_agent_with_comments(name, version, [""; 0])
    }

    /// Like [`user_agent`](Self::user_agent), and adds comments, which follow the version in parentheses.
    pub fn user_agent_with_comments<C: Into<String>>(
        mut self,
        name: impl Into<String>,
        version: impl Into<String>,
        comments: impl IntoIterator<Item = C>,
    ) -> Self {
        let comments = comments.into_iter().map(Into::into).collect();
        self.user_agent.push(UserAgentPart { name: name.into(), version: version.into(), comments });
        self
    }

    /// The services that the node offers. Default: none.
    pub fn services(mut self, services: Services) -> Self {
        self.values.services = services;
        self
    }

    /// The subnetwork whose transactions this node handles, if it is a partial node. Default: `None`, a full node,
    /// which handles the transactions of all subnetworks.
    pub fn subnetwork(mut self, subnetwork: impl Into<Option<SubnetworkId>>) -> Self {
        self.values.subnetwork = subnetwork.into();
        self
    }

    /// The newest protocol version that the node speaks, at least 1. Default:
    /// [`PROTOCOL_VERSION`](crate::wire::PROTOCOL_VERSION).
    pub fn protocol_version(mut self, version: i32) -> Self {
        self.values.protocol_version = version;
        self
    }

    /// Sets whether remotes should announce transactions to this node. Default: true.
    pub fn relay_transactions(mut self, relay: bool) -> Self {
        self.values.relay_transactions = relay;
        self
    }

    /// The address of the proxy through which the program connects, as `host:port`. [`build`](Self::build) refuses any
    /// other text. The library does not connect to the proxy: the program does. A `version` message contains the
    /// address of the remote. Normally the program passes the remote's address to
    /// [`Peer::outbound`](crate::Peer::outbound), and this setting has no effect. If the address passed to `outbound`
    /// has the host of the proxy, with any port, the `version` message contains zeros instead of that address. So
    /// remotes do not learn the proxy's address. Default: none.
    pub fn proxy(mut self, address: impl Into<String>) -> Self {
        self.values.proxy = Some(address.into());
        self
    }

    /// The listener whose callbacks the peers call. A listener that the rest of the program also uses can be an `Arc`.
    /// Default: a listener that does nothing.
    pub fn listener(mut self, listener: impl Listener) -> Self {
        self.listener = Arc::new(listener);
        self
    }

    /// The view of the block DAG that the program keeps. Default: a view that knows no block and has no selected tip.
    ///
    /// If a view is set, peers answer `getseltip` automatically, see
    /// [`answer_selected_tip`](Self::answer_selected_tip). The listener must then not answer `getseltip` too: kaspad
    /// disconnects when it receives a second `selectedtip`.
    pub fn dag(mut self, dag: impl DagView) -> Self {
        self.dag = Some(Arc::new(dag));
        self
    }

    /// Sets whether peers answer each `ping` with a `pong`. Default: true. Turn this off to test how a node treats a
    /// remote that does not answer its pings.
    pub fn automatic_pongs(mut self, automatic: bool) -> Self {
        self.values.automatic_pongs = automatic;
        self
    }

    /// Sets whether peers answer `getseltip` with the selected tip of the [`dag`](Self::dag), if one is set. Default:
    /// true. Turn this off if the listener answers `getseltip`: kaspad disconnects at once if it receives two answers,
    /// and within a minute if it receives none.
    pub fn answer_selected_tip(mut self, answer: bool) -> Self {
        self.values.answer_selected_tip = answer;
        self
    }

    /// Sets what peers do with custom commands. Default: [`CustomCommands::Deliver`].
    pub fn custom_commands(mut self, policy: CustomCommands) -> Self {
        self.values.custom_commands = policy;
        self
    }

    /// The largest payload that peers accept, for each command. Default: the limits of the protocol, and 1 MiB for
    /// custom commands. [`oversize_frames`](Self::oversize_frames) says what happens to a larger frame.
    ///
    /// ```
    /// use kaspa_peer::peer::OversizeFrames;
    /// use kaspa_peer::wire::{Command, Network, PayloadLimits};
    /// use kaspa_peer::Config;
    ///
    /// // A crawler that never wants a block.
    /// let limits = PayloadLimits::protocol().all(64 * 1024);
    /// let config = Config::builder(Network::Mainnet).payload_limits(limits).oversize_frames(OversizeFrames::Skip).build()?;
    /// assert_eq!(config.payload_limits().of(Command::Block), 64 * 1024);
    /// # Ok::<(), kaspa_peer::ConfigError>(())
    /// ```
    pub fn payload_limits(mut self, limits: PayloadLimits) -> Self {
        self.values.payload_limits = limits;
        self
    }

    /// The largest payload of custom commands, in bytes. Changes only the limit of custom commands in
    /// [`payload_limits`](Self::payload_limits). Default: 1 MiB.
    pub fn max_custom_payload(mut self, bytes: u32) -> Self {
        self.values.payload_limits = self.values.payload_limits.custom(bytes);
        self
    }

    /// Sets what peers do with a frame whose payload is larger than [`payload_limits`](Self::payload_limits) allow.
    /// Default: [`OversizeFrames::Disconnect`].
    pub fn oversize_frames(mut self, policy: OversizeFrames) -> Self {
        self.values.oversize_frames = policy;
        self
    }

    /// The lowest negotiated protocol version at which peers disconnect if the remote sends a bloom filter command and
    /// the node does not offer [`Services::BLOOM`]. At lower versions, peers ignore the command. Default: 1.
    pub fn bloom_version(mut self, version: i32) -> Self {
        self.values.bloom_version = version;
        self
    }

    /// How long the handshake may take, until the `verack` of the remote has arrived. At least 1 ms. Default: 30 s.
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.values.handshake_timeout = timeout;
        self
    }

    /// How long a peer stays connected after the handshake while no complete message arrives. `None` turns the timeout
    /// off. At least 1 ms. A frame cannot take longer than this timeout either, because only a complete message
    /// restarts it. Default: 5 min.
    pub fn idle_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.values.idle_timeout = timeout.into();
        self
    }

    /// How long a frame may take to arrive, from its first byte to its last. This timeout disconnects a remote that
    /// sends only a byte now and then. `None` turns the timeout off: then only the idle timeout limits a frame. At
    /// least 1 ms. Default: 5 min.
    pub fn frame_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.values.frame_timeout = timeout.into();
        self
    }

    /// How long a write may make no progress before the peer disconnects. A slow remote that accepts some bytes stays
    /// connected. The peer can disconnect up to a fifth of the timeout late. `None` turns the timeout off. At least 1
    /// ms. A timeout of less than a few seconds may disconnect a remote that is only busy. Default: 30 s.
    pub fn write_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.values.write_timeout = timeout.into();
        self
    }

    /// How often peers send a `ping`. The peer sends the first `ping` one interval after the handshake. `None` turns
    /// the pings off. At least 1 ms. Default: 2 min.
    pub fn ping_interval(mut self, interval: impl Into<Option<Duration>>) -> Self {
        self.values.ping_interval = interval.into();
        self
    }

    /// How long a peer collects announcements before it sends them together. At least 1 ms. Default: 100 ms.
    pub fn trickle_interval(mut self, interval: Duration) -> Self {
        self.values.trickle_interval = interval;
        self
    }

    /// The requests that the remote must answer, each with its timeout. At most [`StallRule::MAX`] rules. An empty list
    /// turns the check off. Default: [`StallRule::defaults`].
    pub fn stall_rules(mut self, rules: impl IntoIterator<Item = StallRule>) -> Self {
        self.values.stall_rules = rules.into_iter().collect();
        self
    }

    /// The largest number of bytes that wait to be written to one remote. If a message does not fit, `queue_message`
    /// returns [`QueueError::Full`](crate::QueueError::Full). There are three exceptions. If almost nothing waits (at
    /// most 4 KiB, or half of the limit if that is less), the queue accepts a message of any size. If the queue is
    /// full, it still accepts 16 KiB of automatic answers, enough for a few hundred pongs. `send_message` queues a
    /// message of any size once the queue is below the high-water mark. Default: 8 MiB.
    ///
    /// If the [high-water mark](Self::high_water_mark) is above the new limit, this method also lowers the mark to the
    /// limit.
    pub fn queue_limit(mut self, bytes: usize) -> Self {
        self.values.queue_limit = bytes;
        self.values.high_water_mark = self.values.high_water_mark.min(bytes);
        self
    }

    /// The size of the outbound queue, in bytes, at which [`Peer::send_message`](crate::Peer::send_message) starts to
    /// wait. A higher mark makes sending slower, because the queue then uses more memory than the caches of the
    /// processor hold. The mark must not be above the [limit of the queue](Self::queue_limit). Default: 256 KiB.
    pub fn high_water_mark(mut self, bytes: usize) -> Self {
        self.values.high_water_mark = bytes;
        self
    }

    /// How many of the last announced inventory items a peer remembers as known to the remote; 0 for none. An item that
    /// is announced again becomes the most recent one. Default: 1000.
    pub fn known_inventory(mut self, items: usize) -> Self {
        self.values.known_inventory = items;
        self
    }

    /// The largest number of inventory items that wait to be announced to one remote. Default: 500 000, which take 18
    /// MB.
    pub fn inventory_queue(mut self, items: usize) -> Self {
        self.values.inventory_queue = items;
        self
    }

    /// The stack size of each of the three threads of a peer, in bytes, at least 64 KiB. Callbacks run on these stacks:
    /// raise the size if a callback recurses deeply or has large local variables. Default: 256 KiB.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.values.stack_size = bytes;
        self
    }

    /// The capture that records the traffic of the peers. The capture must be for the network of this node. Default:
    /// `None`.
    pub fn capture(mut self, capture: impl Into<Option<Capture>>) -> Self {
        self.capture = capture.into();
        self
    }

    /// The rate at which each remote may send messages and bytes. Default: `None`, no limit.
    pub fn rate_limit(mut self, limit: impl Into<Option<RateLimit>>) -> Self {
        self.values.rate_limit = limit.into();
        self
    }

    /// The score at which a peer disconnects. [`Peer::misbehaved`](crate::Peer::misbehaved) adds points. Default:
    /// `None`: the points add up and have no effect. With a [`ScoreLimit`], points can also decay over time.
    pub fn score_limit(mut self, limit: impl Into<Option<ScoreLimit>>) -> Self {
        self.values.score_limit = limit.into();
        self
    }

    /// Checks the settings, and returns the configuration of a new node.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for the first setting that cannot be used.
    pub fn build(self) -> Result<Config, ConfigError> {
        let Self { values, user_agent, listener, dag, capture } = self;
        let settings = Arc::new(Settings::new(values, user_agent)?);
        let node = settings.network();
        if let Some(capture) = capture.as_ref().map(Capture::network).filter(|capture| *capture != node) {
            return Err(ConfigError::CaptureNetwork { capture, node });
        }
        Ok(Config { settings, listener, dag, capture })
    }
}
