//! The kaspa peer-to-peer protocol over blocking sockets.
pub mod peer;
pub mod wire;

pub use peer::{
    Config, ConfigBuilder, ConfigError, DagView, Direction, DisconnectReason, Event, EventKind, HandshakeError,
    Listener, Peer, PeerAddress, QueueError, RateLimit, Receipt, ScoreLimit, StallRule, StartError, Stats, WaitError,
    events,
};
