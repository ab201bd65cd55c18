//! Hostile remotes keep a node busy in several ways. Another remote of the node is answered and pinged all the while.

use crate::common::local::end_reason;
use crate::common::{DEADLINE, builder};
use kaspa_peer::testing::{ScriptedRemote, TestFrame, tcp_pair};
use kaspa_peer::wire::{
    Addr, AddressScope, Command, CustomMessage, GetData, Hash, Inv, Inventory, Message, NetAddress, Network, Ping,
    Pong, Services, TimedAddress, write_message,
};
use kaspa_peer::{Config, DisconnectReason, Listener, Peer, ScoreLimit};
use socket2::SockRef;
use std::io::Write;
use std::net::TcpStream;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Answers requests for data, as a node does, and adds a point to the score for every `addr`.
struct Node;

impl Listener for Node {
    fn on_message(&self, peer: &Peer, message: &Message) {
        match message {
            Message::GetData(wanted) => {
                for _ in 0..wanted.items.len() {
                    // The queue is full if the remote does not read. Then it gets no more.
                    if peer.queue_message(&CustomMessage::new("filler", vec![0; 10_000]).unwrap()).is_err() {
                        return;
                    }
                }
            }
            Message::Addr(_) => drop(peer.misbehaved(1, "unrequested addr").to_string()),
            _ => {}
        }
    }
}

fn config() -> Config {
    builder()
        .listener(Node)
        .write_timeout(Duration::from_millis(500))
        .frame_timeout(Duration::from_millis(500))
        .idle_timeout(Duration::from_secs(60))
        .ping_interval(Duration::from_millis(50))
        .queue_limit(200_000)
        .score_limit(ScoreLimit::new(100))
        .build()
        .unwrap()
}

/// A peer after its handshake. The buffers of its sockets are small, so that a remote that does not read shows at once.
fn connected_peer(config: &Config) -> (Peer, ScriptedRemote) {
    let (dialled, accepted) = tcp_pair().unwrap();
    SockRef::from(&dialled).set_recv_buffer_size(4096).unwrap();
    SockRef::from(&accepted).set_send_buffer_size(4096).unwrap();
    let peer = Peer::inbound(accepted, dialled.local_addr().unwrap(), config).unwrap();
    let mut remote = ScriptedRemote::new(dialled, config.network());
    remote.shake_hands().unwrap();
    peer.wait_for_handshake().unwrap();
    (peer, remote)
}

/// One step of an attack. Returns whether there is another.
type Attack = fn(&mut TcpStream) -> bool;

/// The name of each attack, and the step that is repeated until the connection ends.
const ATTACKS: [(&str, Attack); 8] = [
    ("pings and does not read", |stream| write_message(stream, &Ping { nonce: 1 }, Network::Simnet).is_ok()),
    ("requests data and does not read", |stream| {
        let items = vec![Inventory::block(Hash::ZERO); 1000];
        write_message(stream, &GetData { items }, Network::Simnet).is_ok()
    }),
    ("sends malformed frames", |stream| stream.write_all(&[0x5a; 100]).is_ok()),
    ("sends one byte at a time", |stream| {
        thread::sleep(Duration::from_millis(5));
        static FRAME: OnceLock<Vec<u8>> = OnceLock::new();
        static AT: AtomicUsize = AtomicUsize::new(0);
        let frame = FRAME.get_or_init(|| TestFrame::new("block", &[0; 100_000], Network::Simnet).to_bytes());
        let at = AT.fetch_add(1, Ordering::SeqCst);
        stream.write_all(&frame[at..=at]).is_ok()
    }),
    ("announces inventory", |stream| {
        let items = (0..2000u32).map(|n| Inventory::tx(Hash::of(&n.to_le_bytes()))).collect();
        write_message(stream, &Inv { items }, Network::Simnet).is_ok()
    }),
    ("sends addresses", |stream| {
        let address = NetAddress::new(([1, 2, 3, 4], 16111).into(), Services::NETWORK);
        let addresses = vec![TimedAddress { time: 7, address }; Addr::MAX];
        write_message(stream, &Addr { scope: AddressScope::All, addresses }, Network::Simnet).is_ok()
    }),
    ("sends custom commands", |stream| {
        write_message(stream, &CustomMessage::new("nonsense", vec![1; 50_000]).unwrap(), Network::Simnet).is_ok()
    }),
    ("claims a large payload", |stream| {
        let header = TestFrame::new("block", &[], Network::Simnet).with_length(32 << 20).to_bytes();
        let _ = stream.write_all(&header);
        false
    }),
];

/// `true` if a remote that makes this attack ends for this reason.
fn is_expected(attack: &str, reason: &DisconnectReason) -> bool {
    match attack {
        // No attacker reads our pings. On a slow machine this may end it first.
        _ if matches!(reason, DisconnectReason::WriteStalled { .. }) => true,
        "pings and does not read" => matches!(reason, DisconnectReason::QueueFull { command: Command::Pong }),
        "requests data and does not read" => false,
        "sends malformed frames" => matches!(reason, DisconnectReason::Malformed(_)),
        "sends one byte at a time" | "claims a large payload" => {
            matches!(reason, DisconnectReason::FrameTimeout { .. })
        }
        "sends addresses" => matches!(reason, DisconnectReason::Misbehaved { .. }),
        // The other attacks are allowed, and the test disconnects them.
        _ => matches!(reason, DisconnectReason::Local),
    }
}

/// Stops the attackers when it is dropped, also if the test panics.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Sends a `ping` from the remote, and reads up to its `pong`. Answers our pings meanwhile, and counts them in
/// `answered`.
fn ping(remote: &mut ScriptedRemote, answered: &mut u64) {
    for message in remote.sync_with_ping().unwrap() {
        let Message::Ping(ping) = message else { panic!("{message:?}") };
        remote.send(&Pong { nonce: ping.nonce }).unwrap();
        *answered += 1;
    }
}

#[test]
fn hostile_remotes_do_not_disturb_another_remote_of_the_node() {
    let config = config();
    let (good, mut remote) = connected_peer(&config);
    let stop = AtomicBool::new(false);
    let mut answered = 0;
    let mut hostile: Vec<(Peer, ScriptedRemote)> = ATTACKS.iter().map(|_| connected_peer(&config)).collect();
    thread::scope(|scope| {
        let stop_attacks = StopOnDrop(&stop);
        for ((_, attack), (_, attacker)) in ATTACKS.iter().zip(&mut hostile) {
            let (mut stream, stop) = (attacker.stream().try_clone().unwrap(), &stop);
            scope.spawn(move || while !stop.load(Ordering::SeqCst) && attack(&mut stream) {});
        }
        let ended = || hostile.iter().filter(|(peer, _)| peer.disconnect_reason().is_some()).count();
        let start = Instant::now();
        // Two of the attacks are allowed, and do not end by themselves.
        for count in 1.. {
            if count > 200 && (ended() >= ATTACKS.len() - 2 || start.elapsed() > DEADLINE) {
                break;
            }
            ping(&mut remote, &mut answered);
            thread::sleep(Duration::from_millis(5));
        }
        drop(stop_attacks);
        hostile.iter().for_each(|(peer, _)| peer.disconnect());
    });
    // Only the pong for our last ping counts. On a busy machine the next ping can be sent before a pong arrives.
    let deadline = Instant::now() + DEADLINE;
    while answered < 3 || good.stats().min_rtt.is_none() {
        assert!(Instant::now() < deadline, "no pong for any of {answered} pings counts");
        ping(&mut remote, &mut answered);
    }
    assert_eq!(good.disconnect_reason(), None);
    for ((attack, _), (peer, _)) in ATTACKS.iter().zip(&mut hostile) {
        let reason = end_reason(peer);
        assert!(is_expected(attack, &reason), "a remote that {attack}: {reason}");
    }
}
