//! Many announcements at once. The remote is in another process, so that the CPU time is that of the sending side.

use crate::bench::child::Remote;
use crate::bench::floor::Pump;
use crate::bench::measure::{Cost, Outcome, Sample, Target};
use crate::bench::report::Report;
use crate::bench::{Plan, Result, payloads};
use kaspa_peer::wire::{Command, Encode, Inventory, Network, SendHeaders, write_message};
use kaspa_peer::{Config, Listener, Peer};
use std::io;
use std::net::TcpStream;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

/// How many items are queued: as many as fit by default, and half a million.
const ITEMS: [(u32, &str); 2] = [(100_000, ""), (500_000, " 500k")];

/// How many items one message has, and how long items are collected.
const BATCH: u32 = 1000;
const TICK: Duration = Duration::from_millis(100);

/// Sends a value for each `inv` that is written.
struct Written(Sender<()>);

impl Listener for Written {
    fn on_write(&self, _: &Peer, command: Command, _: usize, error: Option<&io::Error>) {
        if command == Command::Inv && error.is_none() {
            // An error means that the measurement is over.
            let _ = self.0.send(());
        }
    }
}

pub fn run(plan: &Plan, report: &mut Report) -> Result<()> {
    ITEMS.into_iter().try_for_each(|(count, suffix)| measure(plan, report, count, suffix))
}

fn measure(plan: &Plan, report: &mut Report, count: u32, suffix: &str) -> Result<()> {
    let sink = Remote::sink()?;
    let items: Vec<Inventory> = (0..count).map(payloads::item).collect();
    let batches = items.chunks(BATCH as usize).map(|items| items.iter().copied().collect());
    let payloads = batches.map(|inv: kaspa_peer::wire::Inv| Ok(inv.encode()?)).collect::<Result<Vec<_>>>()?;
    let lists = |peer: &Peer| Ok(peer.queue_inventories(&items)?);
    let one_by_one = |peer: &Peer| items.iter().try_for_each(|item| Ok(peer.queue_inventory(*item)?));

    let ticks = |cost: Cost| cost.wall.as_secs_f64() / TICK.as_secs_f64();
    let cpu = |cost: Cost| cost.cpu.as_secs_f64() * 1e3;
    let small = suffix.is_empty();
    let each = u64::from(count);
    // The floor is the interval for which the announcements are collected.
    let tick = || Ok(Sample::new(1.0, Cost::default(), each));
    let pump = || Ok(Sample::new(cpu(pump(&sink, &payloads)?), Cost::default(), each));
    let sample = |value: fn(Cost) -> f64, cost: Cost| Sample::new(value(cost), cost, each);
    let list = || Ok(sample(ticks, trickle(&sink, count, lists)?));
    report.show(&Outcome::alternate(
        plan,
        format!("trickle{suffix}"),
        "ticks",
        small.then_some(Target::AtMost(2.0)),
        tick,
        list,
    )?);
    let list = || Ok(sample(cpu, trickle(&sink, count, lists)?));
    report.show(&Outcome::alternate(
        plan,
        format!("trickle.cpu{suffix}"),
        "ms CPU",
        small.then_some(Target::AtMost(20.0)),
        pump,
        list,
    )?);
    if !small {
        return Ok(());
    }
    let single = || Ok(sample(cpu, trickle(&sink, count, one_by_one)?));
    report.show(&Outcome::alternate(plan, "trickle.single", "ms CPU", None, pump, single)?);
    Ok(())
}

fn trickle(sink: &Remote, items: u32, queue: impl FnOnce(&Peer) -> Result<()>) -> Result<Cost> {
    let (told, written) = channel();
    let config = Config::builder(Network::Simnet)
        .trickle_interval(TICK)
        .inventory_queue(items as usize)
        .listener(Written(told))
        .build()?;
    let peer = Peer::outbound(TcpStream::connect(sink.address)?, sink.address, &config)?;
    peer.wait_for_handshake()?;
    let (cost, ()) = Cost::of(|| {
        queue(&peer)?;
        for _ in 0..items / BATCH {
            written.recv_timeout(Duration::from_secs(20))?;
        }
        Ok(())
    })?;
    Ok(cost)
}

/// The floor: the same messages, hashed and written.
fn pump(sink: &Remote, payloads: &[Vec<u8>]) -> Result<Cost> {
    let mut stream = TcpStream::connect(sink.address)?;
    write_message(&mut stream, &SendHeaders, Network::Simnet)?;
    let mut pump = Pump::over(stream);
    let (cost, ()) = Cost::of(|| {
        payloads.iter().try_for_each(|payload| pump.send(b"inv\0\0\0\0\0\0\0\0\0", payload))?;
        pump.flush()
    })?;
    Ok(cost)
}
