//! Very many announcements at once. The remote is in another process, so the CPU time is that of the sending side alone.

use crate::bench::child::Sink;
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

const ITEMS: u32 = 100_000;

/// What one message carries, and how often one goes out, unless configured otherwise.
const BATCH: u32 = 1000;
const TICK: Duration = Duration::from_millis(100);

/// Tells of each `inv` that is written.
struct Written(Sender<()>);

impl Listener for Written {
    fn on_write(&self, _: &Peer, command: Command, _: usize, error: Option<&io::Error>) {
        if command == Command::Inv && error.is_none() {
            // Nobody asks any more once all are out.
            let _ = self.0.send(());
        }
    }
}

pub fn run(plan: &Plan, report: &mut Report) -> Result<()> {
    let sink = Sink::start()?;
    let items: Vec<Inventory> = (0..ITEMS).map(payloads::item).collect();
    let batches = items.chunks(BATCH as usize).map(|items| items.iter().copied().collect());
    let payloads = batches.map(|inv: kaspa_peer::wire::Inv| Ok(inv.encode()?)).collect::<Result<Vec<_>>>()?;
    let lists = |peer: &Peer| Ok(peer.queue_inventories(&items)?);
    let one_by_one = |peer: &Peer| items.iter().try_for_each(|item| Ok(peer.queue_inventory(*item)?));

    let ticks = |cost: Cost| cost.wall.as_secs_f64() / TICK.as_secs_f64();
    let cpu = |cost: Cost| cost.cpu.as_secs_f64() * 1e3;
    let each = u64::from(ITEMS);
    // The floor cannot be early: it is the tick for which the announcements have to wait.
    let tick = || Ok(Sample::new(1.0, Cost::default(), each));
    let pump = || Ok(Sample::new(cpu(pump(&sink, &payloads)?), Cost::default(), each));
    let sample = |value: fn(Cost) -> f64, cost: Cost| Sample::new(value(cost), cost, each);
    let list = || Ok(sample(ticks, trickle(&sink, lists)?));
    report.show(&Outcome::alternate(plan, "trickle", "ticks", Target::AtMost(2.0), tick, list)?);
    let list = || Ok(sample(cpu, trickle(&sink, lists)?));
    report.show(&Outcome::alternate(plan, "trickle.cpu", "ms CPU", Target::AtMost(20.0), pump, list)?);
    let single = || Ok(sample(cpu, trickle(&sink, one_by_one)?));
    report.show(&Outcome::alternate(plan, "trickle.single", "ms CPU", None, pump, single)?);
    Ok(())
}

fn trickle(sink: &Sink, queue: impl FnOnce(&Peer) -> Result<()>) -> Result<Cost> {
    let (told, written) = channel();
    let config = Config::builder(Network::Simnet).trickle_interval(TICK).listener(Written(told)).build()?;
    let peer = Peer::outbound(TcpStream::connect(sink.address)?, sink.address, &config)?;
    peer.wait_for_handshake()?;
    let (cost, ()) = Cost::of(|| {
        queue(&peer)?;
        for _ in 0..ITEMS / BATCH {
            written.recv_timeout(Duration::from_secs(20))?;
        }
        Ok(())
    })?;
    Ok(cost)
}

/// The floor: the same messages, hashed and written.
fn pump(sink: &Sink, payloads: &[Vec<u8>]) -> Result<Cost> {
    let mut stream = TcpStream::connect(sink.address)?;
    write_message(&mut stream, &SendHeaders, Network::Simnet)?;
    let mut pump = Pump::over(stream);
    let (cost, ()) = Cost::of(|| {
        payloads.iter().try_for_each(|payload| pump.send(b"inv\0\0\0\0\0\0\0\0\0", payload))?;
        pump.flush()
    })?;
    Ok(cost)
}
