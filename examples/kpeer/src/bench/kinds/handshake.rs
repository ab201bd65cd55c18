//! Connections one after the other: with both ends in this process, and with the remote in another.

use crate::bench::child::Remote;
use crate::bench::floor::dial_and_meet;
use crate::bench::measure::{Cost, Outcome, Sample, Target, calibrate};
use crate::bench::report::Report;
use crate::bench::{Plan, Result};
use kaspa_peer::{Config, Peer, wire::Network};
use std::net::{TcpListener, TcpStream};
use std::thread;

/// The threads of two peers, and their stacks.
const THREADS: usize = 6;
const STACK: usize = 256 * 1024;

pub fn run(plan: &Plan, report: &mut Report) -> Result<()> {
    if plan.wants("handshake", "handshake") {
        here(plan, report)?;
    }
    if plan.wants("handshake", "handshake-remote") {
        remote(plan, report)?;
    }
    Ok(())
}

fn here(plan: &Plan, report: &mut Report) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let config = || Config::builder(Network::Simnet).user_agent("throughput", "0").build();
    let (dialler, acceptor) = (config()?, config()?);
    let count = calibrate(plan, |count| (0..count).try_for_each(|_| threads()))?;
    let floor = || repeat(count, threads);
    let library = || repeat(count, || meet(&listener, &dialler, &acceptor));
    report.show(&Outcome::alternate(plan, "handshake", "connections/s", Target::Ratio(0.48), floor, library)?);
    Ok(())
}

fn remote(plan: &Plan, report: &mut Report) -> Result<()> {
    let remote = Remote::acceptor()?;
    let config = Config::builder(Network::Simnet).user_agent("throughput", "0").build()?;
    let count = calibrate(plan, |count| (0..count).try_for_each(|_| dial_and_meet(remote.address)))?;
    let floor = || repeat(count, || dial_and_meet(remote.address));
    let library = || {
        repeat(count, || {
            let peer = Peer::outbound(TcpStream::connect(remote.address)?, remote.address, &config)?;
            peer.wait_for_handshake()?;
            peer.disconnect();
            peer.wait_for_disconnect()?;
            Ok(())
        })
    };
    report.show(&Outcome::alternate(plan, "handshake-remote", "connections/s", None, floor, library)?);
    Ok(())
}

fn repeat(count: u64, mut work: impl FnMut() -> Result<()>) -> Result<Sample> {
    let (cost, ()) = Cost::of(|| (0..count).try_for_each(|_| work()))?;
    Ok(Sample::rate(cost, count))
}

fn meet(listener: &TcpListener, dialler: &Config, acceptor: &Config) -> Result<()> {
    let address = listener.local_addr()?;
    let outbound = Peer::outbound(TcpStream::connect(address)?, address, dialler)?;
    let (stream, from) = listener.accept()?;
    let inbound = Peer::inbound(stream, from, acceptor)?;
    outbound.wait_for_handshake()?;
    inbound.wait_for_handshake()?;
    outbound.disconnect();
    outbound.wait_for_disconnect()?;
    inbound.wait_for_disconnect()?;
    Ok(())
}

fn threads() -> Result<()> {
    let mut threads = Vec::with_capacity(THREADS);
    for _ in 0..THREADS {
        threads.push(thread::Builder::new().stack_size(STACK).spawn(|| {})?);
    }
    for thread in threads {
        thread.join().map_err(|_| "a thread panicked")?;
    }
    Ok(())
}
