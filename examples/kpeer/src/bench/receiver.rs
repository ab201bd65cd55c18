//! The receiving end of everything that streams, for the floor and for the library, in this process or another.

use super::{Result, floor, payloads};
use kaspa_peer::wire::{Block, FeeFilter, Inv, Network, Transaction};
use kaspa_peer::{Config, Listener, Peer};
use std::hint::black_box;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// Counts the messages that it is told of, and looks into blocks.
#[derive(Clone, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How many there were since this was last asked.
    pub fn take(&self) -> u64 {
        self.0.swap(0, Ordering::Relaxed)
    }
}

impl Listener for Counter {
    fn on_fee_filter(&self, _: &Peer, message: FeeFilter) {
        black_box(message);
        self.count();
    }

    fn on_tx(&self, _: &Peer, message: Transaction) {
        black_box(message);
        self.count();
    }

    fn on_inv(&self, _: &Peer, message: Inv) {
        black_box(message);
        self.count();
    }

    fn on_block(&self, _: &Peer, message: Block) {
        black_box(payloads::visit(&message));
        self.count();
    }
}

/// Where the receiving end is.
pub struct Receiver {
    pub address: SocketAddr,
    /// Only when it is in this process.
    delivered: Option<Counter>,
}

impl Receiver {
    /// One in this process.
    pub fn here() -> Result<Self> {
        let delivered = Counter::default();
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let counter = delivered.clone();
        thread::spawn(move || serve(&listener, &counter));
        Ok(Self { address, delivered: Some(delivered) })
    }

    /// One in a process that was started with `--role receive`.
    pub fn at(address: SocketAddr) -> Self {
        Self { address, delivered: None }
    }

    /// Makes sure that the library delivered what was sent: a benchmark that loses messages is none.
    pub fn check(&self, sent: u64) -> Result<()> {
        match self.delivered.as_ref().map(Counter::take) {
            Some(delivered) if delivered != sent => Err(format!("{delivered} of {sent} messages arrived").into()),
            _ => Ok(()),
        }
    }

    /// A peer of this process whose remote is the receiver, after the handshake.
    pub fn peer(&self) -> Result<Peer> {
        let config = Config::builder(Network::Simnet).user_agent("throughput", "0").build()?;
        let peer = Peer::outbound(TcpStream::connect(self.address)?, self.address, &config)?;
        peer.wait_for_handshake()?;
        Ok(peer)
    }
}

/// Serves whoever connects, as long as connections come.
pub fn serve(listener: &TcpListener, counter: &Counter) {
    for stream in listener.incoming() {
        let counter = counter.clone();
        thread::spawn(move || {
            let result = stream.map_err(Into::into).and_then(|stream| serve_one(stream, counter));
            if let Err(error) = result {
                eprintln!("kpeer bench: receiver: {error}");
            }
        });
    }
}

fn serve_one(stream: TcpStream, counter: Counter) -> Result<()> {
    let mut first = [0; 4];
    loop {
        match stream.peek(&mut first)? {
            0 => return Ok(()),
            count if count < first.len() => thread::yield_now(),
            _ => break,
        }
    }
    match &first {
        floor::PUMP => floor::receive(stream),
        floor::ECHO => floor::echo(stream),
        _ => {
            let config = Config::builder(Network::Simnet).listener(counter).build()?;
            let address = stream.peer_addr()?;
            Peer::inbound(stream, address, &config)?.wait_for_disconnect()?;
            Ok(())
        }
    }
}
