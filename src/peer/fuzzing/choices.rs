//! Choices made by the bytes of a fuzzer's input.

use crate::wire::{
    Command, Hash, Inv, Inventory, Message, NetAddress, Ping, Pong, Services, SubnetworkId, UserAgent, VerAck, Version,
};
use std::net::Ipv6Addr;

/// Takes choices from the front of some bytes. After the last byte, every choice is zero.
#[derive(Debug, Clone)]
pub struct Choices<'a> {
    rest: &'a [u8],
}

impl<'a> Choices<'a> {
    /// The choices in `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// `true` if no byte is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The bytes that are left.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        let (taken, rest) = self.rest.split_at(N.min(self.rest.len()));
        self.rest = rest;
        array.iter_mut().zip(taken).for_each(|(to, from)| *to = *from);
        array
    }

    /// One byte.
    pub fn byte(&mut self) -> u8 {
        let [byte] = self.array();
        byte
    }

    /// Two bytes.
    pub fn short(&mut self) -> u16 {
        u16::from_le_bytes(self.array())
    }

    /// Four bytes.
    pub fn word(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    /// Eight bytes.
    pub fn long(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    /// `true` or `false`.
    pub fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// One of the values in `few`.
    pub fn of<T: Clone>(&mut self, few: &[T]) -> T {
        few[usize::from(self.byte()) % few.len()].clone()
    }

    /// At most `max` bytes.
    pub fn bytes(&mut self, max: usize) -> &'a [u8] {
        let length = usize::from(self.short()) % (max + 1);
        let (taken, rest) = self.rest.split_at(length.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// A hash: mostly one of 255, sometimes any.
    pub fn hash(&mut self) -> Hash {
        match self.byte() {
            255 => Hash::from_bytes(self.array()),
            small => Hash::from_bytes([small; 32]),
        }
    }

    /// A subnetwork: a built-in one or any.
    pub fn subnetwork(&mut self) -> SubnetworkId {
        match self.byte() {
            0 => SubnetworkId::NATIVE,
            1 => SubnetworkId::COINBASE,
            2 => SubnetworkId::REGISTRY,
            _ => SubnetworkId::from_bytes(self.array()),
        }
    }

    /// A command: a known one or a custom one.
    pub fn command(&mut self) -> Command {
        let index = usize::from(self.byte()) % (Command::ALL.len() + 1);
        let custom = || "mystery".parse().expect("well-formed");
        Command::ALL.get(index).copied().unwrap_or_else(custom)
    }

    /// At most 15 items out of 64.
    pub fn inventory(&mut self) -> Vec<Inventory> {
        (0..self.byte() % 16).map(|_| Inventory::tx(Hash::from_bytes([self.byte() % 64; 32]))).collect()
    }

    /// A `version` whose fields are often at a limit of the handshake.
    pub fn version(&mut self) -> Version {
        let nobody = NetAddress { services: Services::empty(), ip: Ipv6Addr::UNSPECIFIED, port: 0 };
        Version {
            protocol_version: i32::from(self.byte().cast_signed()),
            services: Services::NETWORK,
            time: 0,
            subnetwork: self.flag().then(|| SubnetworkId::from_bytes([self.byte() % 3; 20])),
            receiver: nobody,
            sender: nobody,
            nonce: u64::from(self.byte()),
            user_agent: UserAgent::default(),
            selected_tip: Hash::ZERO,
            relay_transactions: true,
        }
    }

    /// A message that changes the state of a peer, or any other one. `None` if the payload does not decode.
    pub fn message(&mut self) -> Option<Message> {
        match self.byte() % 6 {
            0 => Some(self.version().into()),
            1 => Some(VerAck.into()),
            2 => Some(Ping { nonce: u64::from(self.byte()) }.into()),
            3 => Some(Pong { nonce: u64::from(self.byte()) }.into()),
            4 => Some(Inv::from(self.inventory()).into()),
            _ => Message::decode(self.command(), self.bytes(300)).ok(),
        }
    }
}
