//! What the socket tests share: pairs of peers, a listener that remembers, and waiting with a deadline.
#![allow(dead_code)]

pub mod by_hand;
pub mod patience;
pub mod recorded;
pub mod remote;

use kaspa_peer::wire::{Command, FrameError, Message, Network, Payload, Version};
use kaspa_peer::{Config, ConfigBuilder, DisconnectReason, Listener, Peer};
use parking_lot::{Condvar, Mutex};
use std::{
    net::{TcpListener, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

/// Longer than anything here takes on a busy machine; a test that gets here has failed.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Waits until `condition` holds.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {DEADLINE:?}: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Two connected sockets: the dialling and the accepting one.
pub fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let dialled = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    (dialled, accepted)
}

/// A builder on simnet with nothing that would disturb a test.
pub fn builder() -> ConfigBuilder {
    Config::builder(Network::Simnet).user_agent("test", "0.0.1", [""; 0])
}

/// Remembers everything that a peer tells.
#[derive(Clone, Default)]
pub struct Recorder {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    told: Mutex<Told>,
    changed: Condvar,
}

#[derive(Default)]
pub struct Told {
    pub messages: Vec<Message>,
    pub read: Vec<(usize, Result<Command, FrameError>)>,
    pub written: Vec<(Command, usize, bool)>,
    pub disconnects: Vec<DisconnectReason>,
}

impl Recorder {
    /// Looks at what was told, once `ready` gives something.
    pub fn wait<T>(&self, what: &str, mut ready: impl FnMut(&Told) -> Option<T>) -> T {
        let deadline = Instant::now() + DEADLINE;
        let mut told = self.inner.told.lock();
        loop {
            if let Some(found) = ready(&told) {
                return found;
            }
            let timed_out = self.inner.changed.wait_until(&mut told, deadline).timed_out();
            assert!(!timed_out, "not within {DEADLINE:?}: {what}; got {:?}", told.messages);
        }
    }

    pub fn wait_for<T: Payload>(&self) -> T {
        self.wait(T::COMMAND.name(), |told| told.messages.iter().find_map(|message| T::try_from(message.clone()).ok()))
    }

    pub fn wait_for_count(&self, command: Command, count: usize) {
        use kaspa_peer::wire::Encode;
        self.wait(&format!("{count} {command}"), |told| {
            (told.messages.iter().filter(|message| message.command() == command).count() >= count).then_some(())
        });
    }

    pub fn commands(&self) -> Vec<String> {
        use kaspa_peer::wire::Encode;
        self.inner.told.lock().messages.iter().map(|message| message.command().to_string()).collect()
    }

    pub fn told<T>(&self, look: impl FnOnce(&Told) -> T) -> T {
        look(&self.inner.told.lock())
    }

    fn tell(&self, change: impl FnOnce(&mut Told)) {
        change(&mut self.inner.told.lock());
        self.inner.changed.notify_all();
    }
}

impl Listener for Recorder {
    fn on_message(&self, _: &Peer, message: &Message) {
        self.tell(|told| told.messages.push(message.clone()));
    }

    fn on_read(&self, _: &Peer, bytes: usize, frame: Result<Command, &FrameError>) {
        self.tell(|told| told.read.push((bytes, frame.map_err(Clone::clone))));
    }

    fn on_write(&self, _: &Peer, command: Command, bytes: usize, error: Option<&std::io::Error>) {
        self.tell(|told| told.written.push((command, bytes, error.is_none())));
    }

    fn on_disconnect(&self, _: &Peer, reason: &DisconnectReason) {
        self.tell(|told| told.disconnects.push(reason.clone()));
    }
}

/// A peer of ours and what it told.
pub struct End {
    pub peer: Peer,
    pub told: Recorder,
}

/// Two nodes that talk to each other over loopback: the dialling and the accepting one. Their listeners remember.
pub fn connect(dialler: ConfigBuilder, acceptor: ConfigBuilder) -> (End, End) {
    let (dialled, accepted) = sockets();
    let address = dialled.peer_addr().unwrap();
    let from = accepted.peer_addr().unwrap();
    let (out_told, in_told) = (Recorder::default(), Recorder::default());
    let out_config = dialler.listener(out_told.clone()).build().unwrap();
    let in_config = acceptor.listener(in_told.clone()).build().unwrap();
    let inbound = Peer::inbound(accepted, from, &in_config).unwrap();
    let outbound = Peer::outbound(dialled, address, &out_config).unwrap();
    (End { peer: outbound, told: out_told }, End { peer: inbound, told: in_told })
}

/// Like [`connect`], with the handshake done.
pub fn acquainted(dialler: ConfigBuilder, acceptor: ConfigBuilder) -> (End, End) {
    let (outbound, inbound) = connect(dialler, acceptor);
    outbound.peer.wait_for_handshake().unwrap();
    inbound.peer.wait_for_handshake().unwrap();
    (outbound, inbound)
}

/// A plausible `version` for a remote that a test plays by hand.
pub fn version() -> Version {
    use kaspa_peer::wire::{Hash, NetAddress, Services, UserAgent};
    use std::net::Ipv6Addr;
    let nobody = NetAddress { services: Services::empty(), ip: Ipv6Addr::UNSPECIFIED, port: 0 };
    Version {
        protocol_version: 1,
        services: Services::NETWORK,
        time: 1_581_437_000,
        subnetwork: None,
        receiver: nobody,
        sender: nobody,
        nonce: 0x1234_5678_9abc_def0,
        user_agent: UserAgent::from_bytes("/by-hand:1.0/"),
        selected_tip: Hash::from_bytes([7; 32]),
        relay_transactions: true,
    }
}
