//! The receiving end of the kinds with two ends, for the floor and for the library, in this process or another.

use super::{Result, floor, payloads};
use kaspa_peer::wire::{Block, FeeFilter, Inv, Network, Transaction};
use kaspa_peer::{Config, Listener, Peer};
use std::hint::black_box;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// Counts messages, and visits all parts of blocks.
#[derive(Clone, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How many there were since the last call.
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

/// How connections are served.
#[derive(Clone, Default)]
pub struct Serving {
    counter: Counter,
    /// How many items a peer remembers as known to the remote, if not as many as usual.
    known_inventory: Option<usize>,
}

/// The receiving end, as the sending end sees it.
pub struct Receiver {
    pub address: SocketAddr,
    /// Only when it is in this process.
    delivered: Option<Counter>,
}

impl Receiver {
    /// One in this process. `known_inventory` is the setting of its peers.
    pub fn here(known_inventory: Option<usize>) -> Result<Self> {
        let delivered = Counter::default();
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let serving = Serving { counter: delivered.clone(), known_inventory };
        thread::spawn(move || serve(&listener, &serving));
        Ok(Self { address, delivered: Some(delivered) })
    }

    /// One in a process that was started with `--role receive`.
    pub fn at(address: SocketAddr) -> Self {
        Self { address, delivered: None }
    }

    /// Checks that the library delivered every message.
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

/// Serves every connection, each in a thread of its own.
pub fn serve(listener: &TcpListener, serving: &Serving) {
    for stream in listener.incoming() {
        let serving = serving.clone();
        thread::spawn(move || {
            let result = stream.map_err(Into::into).and_then(|stream| serve_one(stream, serving));
            if let Err(error) = result {
                eprintln!("kpeer bench: receiver: {error}");
            }
        });
    }
}

fn serve_one(stream: TcpStream, serving: Serving) -> Result<()> {
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
        floor::MEET => floor::meet(stream),
        _ => {
            let builder = Config::builder(Network::Simnet).listener(serving.counter);
            let builder = match serving.known_inventory {
                Some(items) => builder.known_inventory(items),
                None => builder,
            };
            let config = builder.build()?;
            let address = stream.peer_addr()?;
            Peer::inbound(stream, address, &config)?.wait_for_disconnect()?;
            Ok(())
        }
    }
}
