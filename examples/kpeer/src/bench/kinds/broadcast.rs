//! One large frame to many peers. The remotes are in another process, so that the CPU time is that of the sending side.

use crate::bench::child::Remote;
use crate::bench::measure::{Cost, Outcome, Sample, Target};
use crate::bench::report::Report;
use crate::bench::{Plan, Result, payloads};
use kaspa_peer::wire::{Block, Frame, Network, SendHeaders, write_message};
use kaspa_peer::{Config, Peer, Receipt};
use std::io::Write;
use std::net::TcpStream;

pub fn run(plan: &Plan, report: &mut Report) -> Result<()> {
    let block: Block = payloads::block()?;
    let several = plan.peers.len() > 1;
    let usual = if plan.quick { 20 } else { 200 };
    let counts = if plan.peers.is_empty() { vec![usual] } else { plan.peers.clone() };
    for count in counts {
        let sink = Remote::sink()?;
        let peers = (0..count).map(|_| peer(&sink)).collect::<Result<Vec<_>>>()?;
        let mut sockets = (0..count).map(|_| socket(&sink)).collect::<Result<Vec<_>>>()?;
        let kind = if several { format!("broadcast {count}") } else { "broadcast".into() };
        let floor = || {
            let frame = Frame::encode(&block, Network::Simnet)?;
            let all = |sockets: &mut Vec<TcpStream>| {
                sockets.iter_mut().try_for_each(|socket| Ok(socket.write_all(frame.as_bytes())?))
            };
            per_peer(count, || all(&mut sockets))
        };
        let library = || {
            per_peer(count, || {
                let frame = Frame::encode(&block, Network::Simnet)?;
                let queue = |peer: &Peer| Ok(peer.queue_frame(&frame)?);
                let receipts = peers.iter().map(queue).collect::<Result<Vec<Receipt>>>()?;
                Ok(receipts.iter().try_for_each(Receipt::wait)?)
            })
        };
        let outcome = Outcome::alternate(plan, kind, "ms CPU a peer", Target::AtMost(0.2), floor, library)?;
        report.show(&outcome);
    }
    Ok(())
}

fn peer(sink: &Remote) -> Result<Peer> {
    let config = Config::builder(Network::Simnet).build()?;
    let peer = Peer::outbound(TcpStream::connect(sink.address)?, sink.address, &config)?;
    peer.wait_for_handshake()?;
    Ok(peer)
}

fn socket(sink: &Remote) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(sink.address)?;
    stream.set_nodelay(true)?;
    // The sink starts no handshake after any message but a version.
    write_message(&mut stream, &SendHeaders, Network::Simnet)?;
    Ok(stream)
}

fn per_peer(count: usize, work: impl FnOnce() -> Result<()>) -> Result<Sample> {
    let (cost, ()) = Cost::of(work)?;
    Ok(Sample::new(cost.cpu.as_secs_f64() * 1e3 / count as f64, cost, count as u64))
}
