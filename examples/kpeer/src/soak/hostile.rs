//! A remote that attacks a node, and a peer of the same node that pings meanwhile.

use super::pair::END_TIMEOUT;
use kaspa_peer::wire::{
    CustomMessage, Encode, Frame, Hash, Inv, Inventory, Message, NetAddress, Network, Ping, Services, UserAgent,
    VerAck, Version, read_message, write_message,
};
use kaspa_peer::{Config, Peer};
use std::error::Error;
use std::io::{self, Read, Write};
use std::mem;
use std::net::{Ipv6Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long one kind of attack goes on.
const ATTACK: Duration = Duration::from_millis(700);

/// Attacks a node over one connection after the other.
pub struct Hostile {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Hostile {
    pub fn start(victim: &Config) -> io::Result<Self> {
        let (stop, victim) = (Arc::new(AtomicBool::new(false)), victim.clone());
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut attacks = 0;
            while !stopped.load(Ordering::Relaxed) {
                // The node disconnects the attacker, which is an error here and the aim of the attack.
                let _ = attack(attacks, &listener, &victim, &stopped);
                attacks += 1;
            }
            attacks
        });
        Ok(Self { stop, thread })
    }

    /// Stops. Returns how many attacks there were.
    pub fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_default()
    }
}

fn attack(kind: u64, listener: &TcpListener, victim: &Config, stop: &AtomicBool) -> Result<(), Box<dyn Error>> {
    let mut socket = TcpStream::connect(listener.local_addr()?)?;
    let (remote, from) = listener.accept()?;
    let peer = Peer::inbound(remote, from, victim)?;
    socket.set_write_timeout(Some(ATTACK))?;
    socket.set_read_timeout(Some(ATTACK))?;
    handshake(&mut socket)?;
    let until = Instant::now() + ATTACK;
    let mut goes_on = || Instant::now() < until && !stop.load(Ordering::Relaxed);
    let result = match kind % 6 {
        // Pings without reading the pongs.
        0 => flood(&mut socket, &Ping { nonce: 1 }, &mut goes_on),
        1 => {
            let items = (0..1000).map(|_| Inventory::tx(Hash::from_bytes(rand::random())));
            flood(&mut socket, &Inv::from_iter(items), &mut goes_on)
        }
        2 => flood(&mut socket, &CustomMessage::new("noise", vec![0; 1 << 20])?, &mut goes_on),
        3 => flood(&mut socket, &CustomMessage::new("noise", Vec::new())?, &mut goes_on),
        4 => garbage(&mut socket, &mut goes_on),
        _ => trickle(&mut socket, &mut goes_on),
    };
    drop(socket);
    peer.wait_for_disconnect_timeout(END_TIMEOUT)?;
    Ok(result?)
}

fn handshake(socket: &mut TcpStream) -> Result<(), Box<dyn Error>> {
    let nobody = NetAddress { services: Services::empty(), ip: Ipv6Addr::UNSPECIFIED, port: 0 };
    let version = Version {
        protocol_version: 1,
        services: Services::empty(),
        time: 0,
        subnetwork: None,
        receiver: nobody,
        sender: nobody,
        nonce: rand::random(),
        user_agent: UserAgent::default(),
        selected_tip: Hash::ZERO,
        relay_transactions: true,
    };
    write_message(socket, &version, Network::Simnet)?;
    while !matches!(read_message(socket, Network::Simnet)?, Message::VerAck(_)) {}
    Ok(write_message(socket, &VerAck, Network::Simnet)?)
}

fn flood(socket: &mut TcpStream, message: &impl Encode, goes_on: &mut dyn FnMut() -> bool) -> io::Result<()> {
    let frame = Frame::encode(message, Network::Simnet).map_err(io::Error::other)?;
    let burst = frame.as_bytes().repeat((64 * 1024 / frame.as_bytes().len()).max(1));
    while goes_on() {
        socket.write_all(&burst)?;
    }
    Ok(())
}

fn garbage(socket: &mut TcpStream, goes_on: &mut dyn FnMut() -> bool) -> io::Result<()> {
    while goes_on() {
        socket.write_all(&rand::random::<[u8; 32]>().repeat(100))?;
        // The node answers with a reject, and disconnects.
        if socket.read(&mut [0; 1000])? == 0 {
            return Ok(());
        }
    }
    Ok(())
}

/// Announces a payload of 1 MiB and sends it one byte at a time.
fn trickle(socket: &mut TcpStream, goes_on: &mut dyn FnMut() -> bool) -> io::Result<()> {
    let frame = Frame::encode(&CustomMessage::new("noise", vec![0; 1000]).map_err(io::Error::other)?, Network::Simnet);
    let mut bytes = frame.map_err(io::Error::other)?.as_bytes().to_vec();
    if let Some(length) = bytes.get_mut(16..20) {
        length.copy_from_slice(&(1_u32 << 20).to_le_bytes());
    }
    for byte in bytes {
        if !goes_on() {
            break;
        }
        socket.write_all(&[byte])?;
        thread::sleep(Duration::from_micros(500));
    }
    Ok(())
}

/// A peer that pings all the time.
pub struct Pinger {
    stop: Arc<AtomicBool>,
    times: Arc<Mutex<Vec<Duration>>>,
    thread: JoinHandle<usize>,
}

impl Pinger {
    pub fn start(alice: &Config, bob: &Config) -> Result<Self, Box<dyn Error>> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let peer = Peer::outbound(TcpStream::connect(address)?, address, alice)?;
        let (stream, from) = listener.accept()?;
        let remote = Peer::inbound(stream, from, bob)?;
        peer.wait_for_handshake()?;
        let (stop, times) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (stopped, measured) = (Arc::clone(&stop), Arc::clone(&times));
        let thread = thread::spawn(move || {
            let mut count = 0;
            while !stopped.load(Ordering::Relaxed) {
                let Ok(time) = peer.ping() else { break };
                measured.lock().unwrap_or_else(PoisonError::into_inner).push(time);
                count += 1;
                thread::sleep(Duration::from_millis(1));
            }
            drop(remote);
            count
        });
        Ok(Self { stop, times, thread })
    }

    /// The median round trip since the last call.
    pub fn median(&self) -> Option<Duration> {
        let mut times = mem::take(&mut *self.times.lock().unwrap_or_else(PoisonError::into_inner));
        times.sort_unstable();
        times.get(times.len() / 2).copied()
    }

    /// Stops. Returns how many pings there were.
    pub fn stop(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_default()
    }
}
