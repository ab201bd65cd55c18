//! The kaspa peer-to-peer protocol over blocking sockets.
pub mod wire;
