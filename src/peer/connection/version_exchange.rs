//! The messages of the handshake: builds and sends our `version` and `verack`, and stores the remote's `version`.
//!
//! `rules::handshake` decides which messages the remote may send, and when.

use super::outbound::MessageKind;
use super::program::Program;
use super::shared::{Shared, State};
use crate::peer::address::Direction;
use crate::peer::disconnect::DisconnectReason;
use crate::peer::stats::Remote;
use crate::wire::{Hash, NetAddress, VerAck, Version};
use std::net::Ipv6Addr;
use std::time::{SystemTime, UNIX_EPOCH};

impl Shared {
    /// Sends our `version` if this side dialled. Called before any thread starts, so that nothing can be sent before
    /// it.
    pub fn send_first_version(&self, program: &Program) -> Result<(), DisconnectReason> {
        match self.direction {
            Direction::Outbound => self.answer(MessageKind::Handshake, &self.version(program.selected_tip())),
            Direction::Inbound => Ok(()),
        }
    }

    /// Answers the remote's `version`: queues our `version` if it was not sent yet, and our `verack`, and releases the
    /// messages that wait for the handshake.
    pub fn answer_version(&self, send_version: bool, program: &Program) -> Result<(), DisconnectReason> {
        if send_version {
            self.answer(MessageKind::Handshake, &self.version(program.selected_tip()))?;
        }
        self.answer(MessageKind::Handshake, &VerAck)?;
        self.outbound().release_held();
        Ok(())
    }

    /// Our `version` message, with a new nonce. By the nonces of dialled peers the node detects a connection to itself.
    fn version(&self, selected_tip: Hash) -> Version {
        let settings = self.settings();
        Version {
            protocol_version: settings.protocol_version(),
            services: settings.services(),
            time: unix_time(SystemTime::now()),
            subnetwork: settings.subnetwork(),
            receiver: self.address.as_receiver(settings.proxy()),
            sender: NetAddress { services: settings.services(), ip: Ipv6Addr::UNSPECIFIED, port: 0 },
            nonce: settings.node().version_nonce(self.direction),
            user_agent: settings.user_agent().clone(),
            selected_tip,
            relay_transactions: settings.relay_transactions(),
        }
    }

    /// Stores the fields of the remote's `version`.
    pub fn store_version(state: &mut State, version: &Version, negotiated_version: i32) {
        state.remote = Some(Remote {
            user_agent: version.user_agent.clone(),
            services: version.services,
            advertised_version: version.protocol_version,
            negotiated_version,
            subnetwork: version.subnetwork,
            relay_transactions: version.relay_transactions,
            time_offset: version.time.saturating_sub(unix_time(SystemTime::now())),
            selected_tip: version.selected_tip,
        });
    }
}

/// Seconds since 1970, negative before.
fn unix_time(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_secs()).map_or(i64::MIN, |seconds| -seconds),
    }
}
