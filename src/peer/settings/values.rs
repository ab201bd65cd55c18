//! The values of the settings: their defaults, and the check that they can be used.

use crate::peer::address::proxy_host;
use crate::peer::error::ConfigError;
use crate::peer::rules::deadlines::Timeouts;
use crate::peer::rules::rate_limit::RateLimit;
use crate::peer::rules::score::ScoreLimit;
use crate::peer::rules::stall_rule::StallRule;
use crate::wire::{Network, PROTOCOL_VERSION, ParseError, PayloadLimits, Services, SubnetworkId};
use std::{sync::Arc, time::Duration};

/// The shortest timeout or interval. A ping interval of a nanosecond would keep a processor busy.
const SHORTEST: Duration = Duration::from_millis(1);

/// The smallest stack of a thread. Reading, decoding and logging need less than half of it.
const SMALLEST_STACK: usize = 64 * 1024;

/// The treatment of a well-formed message whose command is not one of the protocol's 25.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CustomCommands {
    /// Calls [`Listener::on_custom`](crate::Listener::on_custom), whose default does nothing.
    #[default]
    Deliver,
    /// Answers with a `reject` and disconnects, as kaspad does.
    Disconnect,
}

/// The treatment of a frame whose payload is larger than the
/// [`ConfigBuilder::payload_limits`](crate::ConfigBuilder::payload_limits) allow. During the handshake, the peer always
/// disconnects when it receives such a frame.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OversizeFrames {
    /// Treats the frame as a malformed frame: answers with a `reject` and disconnects. On Regtest, a peer whose remote
    /// has a loopback address skips the frame instead.
    #[default]
    Disconnect,
    /// Skips the frame without keeping its payload. The peer counts the frame as malformed and reports it to
    /// [`Listener::on_read`](crate::Listener::on_read).
    Skip,
}

/// The value of each setting.
#[derive(Clone)]
pub(in crate::peer) struct Values {
    pub network: Network,
    pub services: Services,
    pub subnetwork: Option<SubnetworkId>,
    pub protocol_version: i32,
    pub relay_transactions: bool,
    pub proxy: Option<String>,
    pub automatic_pongs: bool,
    pub answer_selected_tip: bool,
    pub custom_commands: CustomCommands,
    pub payload_limits: PayloadLimits,
    pub oversize_frames: OversizeFrames,
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
    pub stack_size: usize,
    pub rate_limit: Option<RateLimit>,
    pub score_limit: Option<ScoreLimit>,
}

impl Values {
    /// The default values.
    pub fn new(network: Network) -> Self {
        Self {
            network,
            services: Services::empty(),
            subnetwork: None,
            protocol_version: PROTOCOL_VERSION,
            relay_transactions: true,
            proxy: None,
            automatic_pongs: true,
            answer_selected_tip: true,
            custom_commands: CustomCommands::default(),
            payload_limits: PayloadLimits::protocol().custom(1024 * 1024),
            oversize_frames: OversizeFrames::default(),
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
            stack_size: 256 * 1024,
            rate_limit: None,
            score_limit: None,
        }
    }

    /// The timeouts that the deadlines of a peer need.
    pub fn timeouts(&self) -> Timeouts {
        Timeouts {
            handshake: self.handshake_timeout,
            idle: self.idle_timeout,
            frame: self.frame_timeout,
            ping_interval: self.ping_interval,
            stall_rules: Arc::clone(&self.stall_rules),
        }
    }

    /// Checks that the values can be used.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for the first setting that cannot be used.
    pub fn check(&self) -> Result<(), ConfigError> {
        let durations = [
            ("handshake_timeout", Some(self.handshake_timeout)),
            ("idle_timeout", self.idle_timeout),
            ("frame_timeout", self.frame_timeout),
            ("the half life of a score limit", self.score_limit.and_then(|limit| limit.half_life)),
            ("the end_after of a rate limit", self.rate_limit.and_then(|limit| limit.end_after)),
            ("write_timeout", self.write_timeout),
            ("ping_interval", self.ping_interval),
            ("trickle_interval", Some(self.trickle_interval)),
        ];
        let limits = self.stall_rules.iter().map(|rule| ("the limit of a stall rule", Some(rule.limit)));
        let mut all = durations.into_iter().chain(limits).filter_map(|(name, value)| Some((name, value?)));
        if let Some((name, value)) = all.find(|(_, value)| *value < SHORTEST) {
            return Err(ConfigError::TooShort { name, value, min: SHORTEST });
        }
        if self.stack_size < SMALLEST_STACK {
            return Err(ConfigError::StackSize { found: self.stack_size, min: SMALLEST_STACK });
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
        if let Some(proxy) = self.proxy.as_deref().filter(|proxy| proxy_host(proxy).is_none()) {
            return Err(ConfigError::Proxy(ParseError::new(proxy, "a proxy", "host:port, such as 127.0.0.1:9050")));
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
        Ok(())
    }
}
