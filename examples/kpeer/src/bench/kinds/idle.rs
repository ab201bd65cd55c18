//! Peers that do nothing. Each measurement has a process of its own, with the remotes in another.

use crate::bench::child::{Child, Remote};
use crate::bench::measure::{Cost, Outcome, Sample, Target};
use crate::bench::report::Report;
use crate::bench::{Plan, Result};
use kaspa_peer::{Config, Peer, wire::Network};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};
use std::{fs, process, thread};

/// The threads of a peer, and their stacks, for the floor.
const THREADS: usize = 3;
const STACK: usize = 256 * 1024;

pub fn run(plan: &Plan, report: &mut Report) -> Result<()> {
    if !fs::exists("/proc/self/smaps_rollup")? {
        eprintln!("kpeer bench: idle needs /proc, as on Linux");
        return Ok(());
    }
    let several = plan.peers.len() > 1;
    let usual = if plan.quick { 50 } else { 1000 };
    let counts = if plan.peers.is_empty() { vec![usual] } else { plan.peers.clone() };
    for count in counts {
        let mut floor = Vec::new();
        let mut library = Vec::new();
        for _ in 0..plan.rounds {
            let sink = Remote::sink()?;
            floor.push(Idle::of("idle-floor", plan, count, sink.address)?);
            library.push(Idle::of("idle-library", plan, count, sink.address)?);
        }
        let show = |kind: &str, unit, target, value: fn(&Idle) -> f64| {
            let suffix = if several { format!(" {count}") } else { String::new() };
            let samples = |all: &[Idle]| {
                all.iter().map(|idle| Sample::new(value(idle), Cost { cpu: idle.cpu, ..Cost::default() }, 1)).collect()
            };
            let (library, floor) = (samples(&library), samples(&floor));
            let target = Some(Target::AtMost(target));
            report.show(&Outcome { kind: format!("{kind}{suffix}"), unit, target, library, floor });
        };
        show("idle.memory", "KiB a peer", 52.0, |idle| idle.kib);
        show("idle.cpu", "% of a core", 0.05, |idle| 100.0 * idle.cpu.as_secs_f64() / idle.window.as_secs_f64());
        show("idle.wakeups", "in all", 0.0, |idle| idle.wakeups);
    }
    Ok(())
}

/// The resources that idle peers used for a while.
struct Idle {
    kib: f64,
    cpu: Duration,
    wakeups: f64,
    window: Duration,
}

impl Idle {
    fn of(role: &str, plan: &Plan, peers: usize, sink: SocketAddr) -> Result<Self> {
        let mut arguments = vec![format!("--peers={peers}"), format!("--addr={sink}")];
        arguments.extend(plan.quick.then(|| String::from("--quick")));
        let child = Child::start(role, &arguments)?;
        let numbers = child.line.split_whitespace().map(str::parse).collect::<std::result::Result<Vec<f64>, _>>()?;
        let [kib, cpu, wakeups, window] = *numbers.as_slice() else { return Err("an idle child failed".into()) };
        Ok(Self { kib, cpu: Duration::try_from_secs_f64(cpu)?, wakeups, window: Duration::try_from_secs_f64(window)? })
    }
}

/// In the child: makes peers, or the sockets and threads of the floor, and measures what they use.
pub fn measure(role: &str, plan: &Plan) -> Result<String> {
    let (&count, address) = plan.peers.first().zip(plan.receiver).ok_or("a child without --peers and --addr")?;
    let (settle, window) = if plan.quick { (50, 100) } else { (300, 2000) };
    let before = resident_kib()?;
    let _kept: Box<dyn Send> = match role {
        "idle-library" => Box::new(peers(count, address)?),
        "idle-floor" => Box::new(sockets(count, address)?),
        other => return Err(format!("there is no role {other}").into()),
    };
    thread::sleep(Duration::from_millis(settle));
    let after = resident_kib()?;
    let before_window = Activity::so_far()?;
    let start = Instant::now();
    thread::sleep(Duration::from_millis(window));
    let window = start.elapsed().as_secs_f64();
    let activity = Activity::so_far()?;
    let kib = after.saturating_sub(before) as f64 / count as f64;
    let cpu = Duration::from_nanos(activity.cpu_nanos.saturating_sub(before_window.cpu_nanos)).as_secs_f64();
    let wakeups = activity.wakeups.saturating_sub(before_window.wakeups);
    Ok(format!("{kib} {cpu} {wakeups} {window}"))
}

fn peers(count: usize, address: SocketAddr) -> Result<Vec<Peer>> {
    let config = Config::builder(Network::Simnet).build()?;
    let peer = |_| {
        let peer = Peer::outbound(TcpStream::connect(address)?, address, &config)?;
        peer.wait_for_handshake()?;
        Ok(peer)
    };
    (0..count).map(peer).collect()
}

fn sockets(count: usize, address: SocketAddr) -> Result<Vec<TcpStream>> {
    let barrier = Arc::new(Barrier::new(count * THREADS + 1));
    let socket = |_| {
        let stream = TcpStream::connect(address)?;
        for _ in 0..THREADS {
            let barrier = Arc::clone(&barrier);
            thread::Builder::new().stack_size(STACK).spawn(move || barrier.wait())?;
        }
        Ok(stream)
    };
    (0..count).map(socket).collect()
}

fn resident_kib() -> Result<u64> {
    field(&fs::read_to_string("/proc/self/smaps_rollup")?, "Rss:")
}

/// The work of all threads but this one. Reading the figures of thousands of threads takes this one longer than they take.
#[derive(Default)]
struct Activity {
    cpu_nanos: u64,
    wakeups: u64,
}

impl Activity {
    fn so_far() -> Result<Self> {
        let mut sum = Self::default();
        let this = process::id().to_string();
        for task in fs::read_dir("/proc/self/task")? {
            let task = task?;
            if task.file_name() != *this {
                sum.cpu_nanos += field(&fs::read_to_string(task.path().join("schedstat"))?, "")?;
                sum.wakeups += field(&fs::read_to_string(task.path().join("status"))?, "voluntary_ctxt_switches:")?;
            }
        }
        Ok(sum)
    }
}

/// The first number after a name at the start of a line.
fn field(text: &str, name: &str) -> Result<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)).ok_or("a field is missing")?;
    Ok(value.split_whitespace().next().unwrap_or_default().parse()?)
}
