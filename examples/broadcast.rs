//! Sends one block to many peers. The block is encoded and hashed once, and all peers share its bytes.
//!
//! The receipt of each message says whether the message was written to that peer's socket.
//!
//! Run it with `cargo run --release --example broadcast`, or with a number of peers: `… broadcast -- 100`. The
//! receivers are nodes in the same process: a real node disconnects, and may ban, a remote that sends it a block
//! without being asked.

use kaspa_peer::wire::{Block, BlockHeader, Frame, Network, Transaction, TxFields, TxOutput};
use kaspa_peer::{Config, Listener, Peer};
use std::env;
use std::error::Error;
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

/// How long each receiver may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Reports each block that arrives.
struct Receiver(Sender<Block>);

impl Listener for Receiver {
    fn on_block(&self, _: &Peer, block: Block) {
        // Sending fails if the main thread waits no longer.
        let _ = self.0.send(block);
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let peers: usize = match env::args().nth(1) {
        Some(text) => text.parse().map_err(|_| format!("not a number of peers: {text:?}"))?,
        None => 20,
    };

    let (sender, blocks) = channel();
    let receiver = Config::builder(Network::Simnet).user_agent("receiver", "1.0").listener(Receiver(sender)).build()?;
    let node = Config::builder(Network::Simnet).user_agent("broadcaster", "1.0").build()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    // Dropping the last handle of a peer disconnects it, so the program keeps both ends.
    let (mut receivers, mut remotes) = (Vec::new(), Vec::new());
    for _ in 0..peers {
        receivers.push(Peer::outbound(TcpStream::connect(address)?, address, &receiver)?);
        let (stream, from) = listener.accept()?;
        remotes.push(Peer::inbound(stream, from, &node)?);
    }
    for remote in &remotes {
        remote.wait_for_handshake()?;
    }

    let outputs = vec![TxOutput { value: 1, script: vec![0x51; 1_000_000] }];
    let tx = Transaction::new(&TxFields { outputs, ..TxFields::default() })?;
    let block = Block::new(BlockHeader::default(), [&tx])?;
    let frame = Frame::encode(&block, Network::Simnet)?;

    let start = Instant::now();
    let mut receipts = Vec::new();
    for remote in &remotes {
        match remote.queue_frame(&frame) {
            Ok(receipt) => receipts.push((remote, receipt)),
            // The remote has gone, or does not read. The others get the block all the same.
            Err(error) => println!("{remote}: not queued: {error}"),
        }
    }
    let mut written = 0;
    for (remote, receipt) in receipts {
        match receipt.wait_timeout(TIMEOUT) {
            Ok(()) => written += 1,
            Err(error) => println!("{remote}: not written: {error}"),
        }
    }
    println!("wrote {} bytes to each of {written} peers in {:?}", frame.as_bytes().len(), start.elapsed());

    // Written means that the operating system took the bytes. Here the receivers report that the block arrived, too.
    let mut received = 0;
    while received < written {
        received += usize::from(blocks.recv_timeout(TIMEOUT)?.hash() == block.hash());
    }
    println!("{received} of {peers} peers received the block");
    Ok(())
}
