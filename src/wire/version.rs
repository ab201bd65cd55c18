//! `version`: the message that introduces a node.

use super::address::{NetAddress, unix_time};
use super::codec::{Codec, Cursor, MAX_VAR_BYTES, Put, var_bytes_size};
use super::error::{DecodeError, EncodeError};
use super::hash::Hash;
use super::services::Services;
use super::subnetwork::{SubnetworkId, choice_size, read_choice, write_choice};
use super::user_agent::UserAgent;
use std::time::SystemTime;

/// The protocol version that this crate speaks. It is both the newest and the oldest that it supports.
pub const PROTOCOL_VERSION: i32 = 1;

/// `version`: the first message of each side of a connection.
///
/// Decoding drops bytes after the last field, because newer nodes may append fields. The payload must still fit the
/// protocol's limit of 394 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Version {
    /// The newest protocol version that the sender speaks. The lower one of both sides is used.
    pub protocol_version: i32,
    /// The services that the sender offers.
    pub services: Services,
    /// The sender's clock, in unix seconds.
    pub time: i64,
    /// The subnetwork of a partial node, or `None` for a full node.
    pub subnetwork: Option<SubnetworkId>,
    /// The receiver's address, as the sender sees it.
    pub receiver: NetAddress,
    /// The sender's address. Nodes set only its services, and leave the address unspecified.
    pub sender: NetAddress,
    /// A random number, by which a node detects a connection to itself.
    pub nonce: u64,
    /// The software that the sender runs.
    pub user_agent: UserAgent,
    /// The selected tip of the sender's DAG.
    pub selected_tip: Hash,
    /// `true` if the sender wants transactions announced to it.
    pub relay_transactions: bool,
}

impl Version {
    /// A message that introduces a node with this nonce, by this machine's clock. Everything else is as in
    /// [`default`](Self::default); change it with struct update syntax.
    ///
    /// The nonce should be a new random number for each connection.
    ///
    /// ```
    /// use kaspa_peer::wire::{Services, UserAgent, Version};
    ///
    /// let version = Version {
    ///     services: Services::NETWORK,
    ///     user_agent: UserAgent::new("probe", "1.0.0")?,
    ///     ..Version::new(0x1234_5678)
    /// };
    /// assert_eq!(version.user_agent.to_string(), "/probe:1.0.0/");
    /// # Ok::<(), kaspa_peer::wire::UserAgentError>(())
    /// ```
    #[must_use]
    pub fn new(nonce: u64) -> Self {
        Self { nonce, time: unix_time(SystemTime::now()), ..Self::default() }
    }
}

impl Default for Version {
    /// A full node that speaks [`PROTOCOL_VERSION`], offers no services and wants transactions announced. Time, nonce
    /// and selected tip are zero, the addresses unspecified, and the user agent is empty.
    fn default() -> Self {
        Self {
            protocol_version: PROTOCOL_VERSION,
            services: Services::empty(),
            time: 0,
            subnetwork: None,
            receiver: NetAddress::default(),
            sender: NetAddress::default(),
            nonce: 0,
            user_agent: UserAgent::default(),
            selected_tip: Hash::ZERO,
            relay_transactions: true,
        }
    }
}

fn read_user_agent(input: &mut Cursor<'_>) -> Result<UserAgent, DecodeError> {
    let at = input.at();
    // As in kaspad, a string that is both cut and too long is an error because it is cut.
    let bytes = input.var_bytes("user agent", MAX_VAR_BYTES)?;
    let (found, max) = (bytes.len() as u64, UserAgent::MAX as u64);
    if found > max {
        return Err(DecodeError::TooMany { field: "user agent", at, found, max });
    }
    Ok(UserAgent::from_bytes(bytes))
}

impl Codec for Version {
    fn read(input: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let message = Self {
            protocol_version: input.i32("protocol version")?,
            services: Services::from_bits_retain(input.u64("services")?),
            time: input.i64("time")?,
            subnetwork: read_choice(input)?,
            receiver: NetAddress::read(input)?,
            sender: NetAddress::read(input)?,
            nonce: input.u64("nonce")?,
            user_agent: read_user_agent(input)?,
            selected_tip: input.hash("selected tip")?,
            relay_transactions: input.bool("relay transactions")?,
        };
        input.bytes(input.left(), "fields of a newer version")?;
        Ok(message)
    }

    fn size(&self) -> usize {
        4 + 8
            + 8
            + choice_size(self.subnetwork)
            + 2 * NetAddress::SIZE
            + 8
            + var_bytes_size(self.user_agent.as_bytes())
            + Hash::SIZE
            + 1
    }

    fn check(&self) -> Result<(), EncodeError> {
        self.user_agent.check()
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.put_i32(self.protocol_version);
        out.put_u64(self.services.bits());
        out.put_i64(self.time);
        write_choice(self.subnetwork, out);
        self.receiver.write(out);
        self.sender.write(out);
        out.put_u64(self.nonce);
        out.put_var_bytes(self.user_agent.as_bytes());
        out.put_hash(&self.selected_tip);
        out.put_bool(self.relay_transactions);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Encode, Payload};

    #[test]
    fn a_new_version_has_the_time_and_the_nonce_and_can_be_sent() {
        let version = Version::new(7);
        assert_eq!(version, Version { nonce: 7, time: version.time, ..Version::default() });
        assert!(version.time > 1_577_836_800, "{}", version.time);
        assert_eq!(Version::decode(&version.encode().unwrap()), Ok(version));
    }
}
