//! The configuration of a node, checked once and cheap to clone.

pub(super) mod builder;

use super::capture::Capture;
use super::dag_view::DagView;
use super::error::ConfigError;
use super::listener::Listener;
use super::rules::stall_rule::StallRule;
use super::settings::Settings;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::{fmt, ops::Deref, sync::Arc};

/// The configuration of a node: its `version` message, its listener, and the settings of its peers. Cloning is cheap,
/// and a clone describes the same node.
///
/// Build one configuration for each node of the process, and use it for all connections of this node. If a connection
/// needs another listener or other stall rules, use [`with_listener`](Self::with_listener) or
/// [`with_stall_rules`](Self::with_stall_rules), which return a configuration of the same node. The peers of all these
/// configurations get their ids from one counter. The configurations also share the nonces by which the node detects a
/// connection to itself. A second configuration from a builder describes a second node. The two nodes can connect to
/// each other.
///
/// A configuration dereferences to its [`Settings`], whose methods return the values of the settings.
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
    settings: Arc<Settings>,
    listener: Arc<dyn Listener>,
    dag: Option<Arc<dyn DagView>>,
    capture: Option<Capture>,
}

/// A panic in the program's code cannot leave a configuration in an inconsistent state, because the library holds
/// none of its locks while it runs code of the program.
impl UnwindSafe for Config {}
impl RefUnwindSafe for Config {}

impl Config {
    /// Returns a configuration of the same node with another listener, for a connection whose callbacks need data of
    /// their own.
    ///
    /// The peers of all configurations of a node get their ids from one counter. The node detects a connection to
    /// itself, whichever of its configurations the two peers use.
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
        Self { listener: Arc::new(listener), ..self.clone() }
    }

    /// Returns a configuration of the same node with other stall rules, see
    /// [`ConfigBuilder::stall_rules`](crate::ConfigBuilder::stall_rules).
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if a rule cannot be used.
    pub fn with_stall_rules(&self, rules: impl IntoIterator<Item = StallRule>) -> Result<Self, ConfigError> {
        let settings = self.settings.with_stall_rules(rules.into_iter().collect())?;
        Ok(Self { settings: Arc::new(settings), ..self.clone() })
    }

    /// The listener, see [`ConfigBuilder::listener`](crate::ConfigBuilder::listener).
    #[must_use]
    pub fn listener(&self) -> &dyn Listener {
        &*self.listener
    }

    pub(super) fn listener_pointer(&self) -> &Arc<dyn Listener> {
        &self.listener
    }

    /// The [`DagView`] of the node, if there is one, see [`ConfigBuilder::dag`](crate::ConfigBuilder::dag).
    #[must_use]
    pub fn dag(&self) -> Option<&dyn DagView> {
        self.dag.as_deref()
    }

    pub(super) fn dag_pointer(&self) -> Option<&Arc<dyn DagView>> {
        self.dag.as_ref()
    }

    /// The capture, see [`ConfigBuilder::capture`](crate::ConfigBuilder::capture).
    #[must_use]
    pub fn capture(&self) -> Option<&Capture> {
        self.capture.as_ref()
    }

    pub(super) fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }
}

/// The methods of [`Settings`] return the settings of the configuration.
impl Deref for Config {
    type Target = Settings;

    fn deref(&self) -> &Settings {
        &self.settings
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
